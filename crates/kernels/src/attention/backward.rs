//! Attention backward: a task is some queries of all heads that share a key/value head, against all keys they see.
//!
//! The gradient of the queries is summed by their task alone. Those of keys and values get a part from every task that
//! sees them, in a fixed order, from the last queries to the first: each task goes through the blocks of keys from the
//! first on, one block behind the task of the queries after its own.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::blocks::{Arena, Blocks, Form, KEYS, deep, right, room, steps, tall, wide};
use super::softmax::Strip;
use super::strip::{Attend, Parts};
use super::{Example, Heads, Work, in_order};
use crate::Element;
use crate::product::micro::Kernel;
use crate::product::panels::{Panels, Shared, with_accumulators};
use crate::product::{Matrix, MatrixMut, Store};

pub struct Backward<'a, E> {
    pub heads: Heads,
    pub examples: &'a [Example],
    pub qkv: &'a [E],
    pub out: &'a [E],
    pub lse: &'a [f32],
    pub d_out: &'a [E],
    pub d_qkv: &'a mut [E],
}

/// Queries of a task, of each head: a divisor of [`KEYS`], and with the group's heads enough for long sums.
fn queries_of(heads: Heads) -> usize {
    match heads.group() {
        1 => 192,
        2 => 96,
        3 => 64,
        _ => 32,
    }
}

/// Queries from `query` on, counted from the example's beginning.
struct Task {
    example: usize,
    kv_head: usize,
    query: usize,
    /// The task of the queries after these, which goes before this one.
    ahead: Option<usize>,
    /// Where the sums of the keys' and values' gradients begin, for this example and head.
    sums: usize,
}

/// What tasks read and write together.
struct Common<'a, K: Attend, E> {
    heads: Heads,
    examples: &'a [Example],
    qkv: &'a [E],
    out: &'a [E],
    lse: &'a [f32],
    d_out: &'a [E],
    blocks: Blocks<K>,
    tasks: Vec<Task>,
    /// Blocks of keys that each task is done with.
    done: Vec<AtomicUsize>,
    sums: Shared<'a, f32>,
    d_qkv: Shared<'a, E>,
}

impl<E: Element> Work for Backward<'_, E> {
    fn run<K: Attend>(self) {
        let Self { heads, examples, qkv, out, lse, d_out, d_qkv } = self;
        let Heads { heads: h, kv_heads, width } = heads;
        let forms = [(h * width, Form::Tokens), (h * width, Form::Turned), ((h + kv_heads) * width, Form::Tokens)];
        let blocks = Blocks::<K>::new(heads, examples, qkv, &forms);
        let mut tasks = Vec::new();
        let mut total = 0;
        for (example, place) in examples.iter().enumerate() {
            for kv_head in 0..kv_heads {
                for query in (0..place.len()).step_by(queries_of(heads)) {
                    tasks.push(Task { example, kv_head, query, ahead: None, sums: total });
                }
                total += 2 * tall::<K>(place.len()) * wide::<K>(width);
            }
        }
        // The longest first, so that all threads finish at about the same time. A task never comes before one that it
        // waits for.
        tasks.sort_by_key(|task| std::cmp::Reverse(task.query));
        let mut newest = vec![None; examples.len() * kv_heads];
        for (i, task) in tasks.iter_mut().enumerate() {
            task.ahead = newest[task.example * kv_heads + task.kv_head].replace(i);
        }
        let mut sums = Panels::lent::<f32>(1, 1, total);
        let mut sums = MatrixMut::new(sums.all(), 1, total);
        let mut d_qkv = MatrixMut::new(d_qkv, qkv.len() / heads.row(), heads.row());
        let common = Common {
            done: tasks.iter().map(|_| AtomicUsize::new(0)).collect(),
            sums: Shared::new(&mut sums),
            d_qkv: Shared::new(&mut d_qkv),
            heads,
            examples,
            qkv,
            out,
            lse,
            d_out,
            blocks,
            tasks,
        };
        in_order(common.tasks.len(), |i| run_task(&common, i));
    }
}

/// Counts the blocks that a task is done with; all of them once it is dropped, so that nobody waits for a panic.
struct Progress<'a>(&'a AtomicUsize);

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        self.0.store(usize::MAX, Ordering::Release);
    }
}

/// Until the task ahead is done with `blocks` blocks. It has begun, on another thread, and waits for none that has not.
fn wait(done: &AtomicUsize, blocks: usize) {
    let mut rounds = 0;
    while done.load(Ordering::Acquire) < blocks {
        rounds += 1;
        if rounds < 100 {
            std::hint::spin_loop();
        } else {
            std::thread::yield_now();
        }
    }
}

/// What is packed of a task's queries, each head's strip by strip.
struct Queries<'a, P> {
    /// Right operands, columns queries: of queries and of the result's gradient.
    queries: &'a mut [P],
    d_out: &'a mut [P],
    /// Right operands, columns a head's numbers, summed over all heads' queries.
    queries_turned: &'a mut [P],
    d_out_turned: &'a mut [P],
    /// Of each query: log-sum-exp base 2, and the sum of its result times the gradient.
    lse: &'a mut [f32],
    delta: &'a mut [f32],
}

/// Sizes of a task.
struct Sizes {
    /// Queries of a head, the same rounded to the kernel's depth, and strips of them.
    count: usize,
    deep: usize,
    strips: usize,
    /// Numbers of a packed strip, and of a strip's gradient.
    packed: usize,
    sums: usize,
}

impl Sizes {
    /// Steps of sums over all queries that come before those of a head's strip: strip by strip, so that keys can leave
    /// out the strips that do not see them.
    fn steps_before<K: Kernel>(&self, heads: Heads, [g, strip]: [usize; 2]) -> usize {
        let first = strip * K::COLUMNS;
        first * heads.group() + g * K::COLUMNS.min(self.deep - first)
    }
}

fn run_task<K: Attend, E: Element>(common: &Common<'_, K, E>, i: usize) {
    let task = &common.tasks[i];
    let heads = common.heads;
    let (width, group, columns) = (heads.width, heads.group(), K::COLUMNS);
    let length = common.examples[task.example].len();
    let end = length.min(task.query + queries_of(heads));
    let count = end - task.query;
    let strips = count.div_ceil(columns);
    let sizes = Sizes {
        count,
        deep: deep::<K>(count),
        strips,
        packed: columns * deep::<K>(width),
        sums: tall::<K>(width) * columns,
    };
    let (standing, turned) = (group * strips * sizes.packed, wide::<K>(width) * group * sizes.deep);
    let weights = KEYS * group * sizes.deep;
    let memory = 2 * room::<K::Packed>(standing)
        + 2 * room::<K::Packed>(turned)
        + 2 * room::<f32>(group * strips * columns)
        + room::<f32>(group * strips * sizes.sums)
        + 2 * room::<K::Packed>(weights)
        + 2 * room::<f32>(KEYS.max(width) * columns)
        + room::<K::Packed>(KEYS * columns);
    with_accumulators(memory, |memory| {
        let mut arena = Arena(memory);
        let mut queries = Queries {
            queries: arena.take(standing),
            d_out: arena.take(standing),
            queries_turned: arena.take(turned),
            d_out_turned: arena.take(turned),
            lse: arena.take(group * strips * columns),
            delta: arena.take(group * strips * columns),
        };
        let mut work = Scratch::<K> {
            d_queries: arena.take(group * strips * sizes.sums),
            weights: arena.take(weights),
            d_scores: arena.take(weights),
            scores: arena.take(KEYS.max(width) * columns),
            d_weights: arena.take(KEYS.max(width) * columns),
            d_strip: arena.take(KEYS * columns),
        };
        pack_queries(common, task, &sizes, &mut queries);
        let progress = Progress(&common.done[i]);
        K::enter();
        for (block, first) in (0..end).step_by(KEYS).enumerate() {
            for g in 0..group {
                for strip in 0..sizes.strips {
                    run_strip(common, task, &sizes, &queries, &mut work, [block, first], [g, strip]);
                }
            }
            if let Some(ahead) = task.ahead {
                wait(&common.done[ahead], block + 1);
            }
            add_to_keys(common, task, &sizes, &queries, &work, first);
            progress.0.store(block + 1, Ordering::Release);
        }
        K::leave();
        store_queries(common, task, &sizes, work.d_queries, work.scores);
    });
}

/// A task's sums and what it makes on the way.
struct Scratch<'a, K: Attend> {
    /// Gradients of the queries, transposed, strip by strip.
    d_queries: &'a mut [f32],
    /// Left operands, rows keys, summed over all heads' queries: probabilities and gradients of scores.
    weights: &'a mut [K::Packed],
    d_scores: &'a mut [K::Packed],
    /// Of one strip: `[keys, queries]`.
    scores: &'a mut [f32],
    d_weights: &'a mut [f32],
    /// Gradients of scores as a right operand, columns queries.
    d_strip: &'a mut [K::Packed],
}

fn pack_queries<K: Attend, E: Element>(
    common: &Common<'_, K, E>,
    task: &Task,
    sizes: &Sizes,
    into: &mut Queries<'_, K::Packed>,
) {
    let Heads { heads: h, width, .. } = common.heads;
    let (group, columns) = (common.heads.group(), K::COLUMNS);
    let (count, from) = (sizes.count, common.examples[task.example].from + task.query);
    let (n, room) = (common.lse.len() / h, group * sizes.deep);
    into.lse.fill(0.0);
    into.delta.fill(0.0);
    for g in 0..group {
        let head = task.kv_head * group + g;
        let at = from * h * width + head * width;
        for strip in 0..sizes.strips {
            let (first, count) = (strip * columns, columns.min(count - strip * columns));
            let queries = &common.qkv[(from + first) * common.heads.row() + head * width..];
            let queries = Matrix::strided(queries, count, width, common.heads.row());
            let d_out = Matrix::strided(&common.d_out[at + first * h * width..], count, width, h * width);
            let standing = (g * sizes.strips + strip) * sizes.packed;
            let turned = sizes.steps_before::<K>(common.heads, [g, strip]) * columns;
            right::<K, E>(queries, [count, width], &mut into.queries[standing..], width);
            right::<K, E>(queries.t(), [width, count], &mut into.queries_turned[turned..], room);
            right::<K, E>(d_out, [count, width], &mut into.d_out[standing..], width);
            right::<K, E>(d_out.t(), [width, count], &mut into.d_out_turned[turned..], room);
        }
        let lanes = g * sizes.strips * columns..;
        let (lse, delta) = (&mut into.lse[lanes.clone()], &mut into.delta[lanes]);
        for (l, (lse, delta)) in lse.iter_mut().zip(delta).take(count).enumerate() {
            let row = at + l * h * width..at + l * h * width + width;
            *lse = common.lse[head * n + from + l] * std::f32::consts::LOG2_E;
            *delta = K::dot(&common.out[row.clone()], &common.d_out[row]);
        }
    }
}

/// Probabilities and gradients of scores of one strip; adds to the gradient of its queries.
fn run_strip<K: Attend, E: Element>(
    common: &Common<'_, K, E>,
    task: &Task,
    sizes: &Sizes,
    queries: &Queries<'_, K::Packed>,
    work: &mut Scratch<'_, K>,
    [block, first]: [usize; 2],
    [g, strip]: [usize; 2],
) {
    let (columns, width) = (K::COLUMNS, common.heads.width);
    let length = common.examples[task.example].len();
    let (depth, inner) = (deep::<K>(width), steps::<K>(width));
    let keys_of = |form| common.blocks.at(task.example, task.kv_head, block, length, form);
    let (keys, keys_turned, values) = (keys_of(0), keys_of(1), keys_of(2));
    let i = g * sizes.strips + strip;
    let from = task.query + strip * columns;
    let to = (task.query + sizes.count).min(from + columns);
    let tokens = KEYS.min(length - first);
    let seen = tokens.min(to - first);
    let (left_queries, left_d_out) = (&queries.queries[i * sizes.packed..], &queries.d_out[i * sizes.packed..]);
    for row in (0..seen).step_by(K::ROWS) {
        let at = row * columns..(row + K::ROWS) * columns;
        let (scores, d_weights) = (&mut work.scores[at.clone()], &mut work.d_weights[at]);
        // SAFETY: the panels hold `depth` steps, the sums a tile; the CPU has the kernel's level.
        unsafe {
            let (keys, values) = (keys.add(row * depth), values.add(row * depth));
            K::rows(seen - row, inner, [keys, left_queries.as_ptr()], scores.as_mut_ptr(), columns, false);
            K::rows(seen - row, inner, [values, left_d_out.as_ptr()], d_weights.as_mut_ptr(), columns, false);
        }
    }
    let factor = common.heads.scale() * std::f32::consts::LOG2_E;
    let (lse, delta) = (&queries.lse[i * columns..][..columns], &queries.delta[i * columns..][..columns]);
    let (count, panel) = (to - from, K::ROWS * common.heads.group() * sizes.deep);
    let before = sizes.steps_before::<K>(common.heads, [g, strip]) * K::ROWS;
    let Scratch { weights, d_scores, .. } = work;
    let parts = Parts { weights, d_scores, before, panel, steps: count };
    let both = [&mut *work.scores, &mut *work.d_weights];
    K::recompute(both, Strip { keys: seen, last: from - first, factor }, [lse, delta], parts, work.d_strip);
    let sums = &mut work.d_queries[i * sizes.sums..][..sizes.sums];
    for row in (0..tall::<K>(width)).step_by(K::ROWS) {
        let sums = sums[row * columns..][..K::ROWS * columns].as_mut_ptr();
        // SAFETY: as above; the panels hold at least so many steps.
        unsafe {
            let keys = keys_turned.add(row * deep::<K>(tokens));
            K::rows(width - row, steps::<K>(seen), [keys, work.d_strip.as_ptr()], sums, columns, block > 0);
        }
    }
}

/// Adds the queries' part to the gradients of a block of keys and values; stores them when it is the last part.
fn add_to_keys<K: Attend, E: Element>(
    common: &Common<'_, K, E>,
    task: &Task,
    sizes: &Sizes,
    queries: &Queries<'_, K::Packed>,
    work: &Scratch<'_, K>,
    first: usize,
) {
    let Heads { heads: h, kv_heads, width } = common.heads;
    let example = common.examples[task.example];
    let end = task.query + sizes.count;
    let tokens = KEYS.min(example.len() - first);
    let (depth, across) = (common.heads.group() * sizes.deep, wide::<K>(width));
    let (seen, block) = (tokens.min(end - first), tall::<K>(tokens) * across);
    let at = task.sums + 2 * first * across;
    // SAFETY: nobody else has the sums of this block now: tasks ahead are done with it, those behind wait.
    let (d_keys, d_values) =
        unsafe { (common.sums.row(0, at, at + block), common.sums.row(0, at + block, at + 2 * block)) };
    let operands = [(&*work.d_scores, &*queries.queries_turned), (&*work.weights, &*queries.d_out_turned)];
    for ((left, right), sums) in operands.into_iter().zip([&mut *d_keys, &mut *d_values]) {
        for column in (0..across).step_by(K::COLUMNS) {
            for row in (0..seen).step_by(K::ROWS) {
                let unseen = (first + row).saturating_sub(task.query) / K::COLUMNS * K::COLUMNS * common.heads.group();
                let left = left[row * depth + unseen * K::ROWS..].as_ptr();
                let right = right[column * depth + unseen * K::COLUMNS..].as_ptr();
                let sums = sums[row * across + column..].as_mut_ptr();
                // SAFETY: the panels hold `depth` steps, the sums a tile; the CPU has the kernel's level.
                unsafe { K::rows(seen - row, depth - unseen, [left, right], sums, across, task.ahead.is_some()) };
            }
        }
    }
    if first < task.query {
        return;
    }
    let columns = [(h + task.kv_head) * width, (h + kv_heads + task.kv_head) * width];
    for ((sums, scale), column) in [(d_keys, common.heads.scale()), (d_values, 1.0)].into_iter().zip(columns) {
        for (token, sums) in sums.chunks(across).take(tokens).enumerate() {
            // SAFETY: one task is the last to see a key.
            let to = unsafe { common.d_qkv.row(example.from + first + token, column, column + width) };
            K::store(to, &sums[..width], scale, Store::Set);
        }
    }
}

fn store_queries<K: Attend, E: Element>(
    common: &Common<'_, K, E>,
    task: &Task,
    sizes: &Sizes,
    sums: &[f32],
    turned: &mut [f32],
) {
    let (group, width) = (common.heads.group(), common.heads.width);
    for (i, sums) in sums.chunks_exact(sizes.sums).enumerate().take(group * sizes.strips) {
        let column = (task.kv_head * group + i / sizes.strips) * width;
        let from = i % sizes.strips * K::COLUMNS;
        let first = common.examples[task.example].from + task.query + from;
        K::turn(sums, width, turned);
        for (l, sums) in turned.chunks_exact(width).enumerate().take(K::COLUMNS.min(sizes.count - from)) {
            // SAFETY: only this task writes these queries of these heads.
            let to = unsafe { common.d_qkv.row(first + l, column, column + width) };
            K::store(to, sums, common.heads.scale(), Store::Set);
        }
    }
}
