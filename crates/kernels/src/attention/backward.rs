//! Attention backward: a task is some queries of all heads that share a key/value head, against all keys they see.
//!
//! The gradient of the queries is summed by their task alone. Those of keys and values get a part from every task that
//! sees them, in a fixed order, from the last queries to the first: each task goes through the blocks of keys from the
//! first on, one block behind the task of the queries after its own.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::heads::{AttentionSpec, Heads, Sequence, sequences};
use super::kernel::{AttentionKernel, PackedScores};
use super::kv_blocks::{KEYS, KvBlocks, Layout};
use super::operands::{pack_rhs, round_up_cols, round_up_k, round_up_kstep, round_up_rows};
use super::score_shape::{NO_DELTA, ScoreShape, shape_gradients};
use super::score_tile::ScoreTile;
use crate::arena::{Arena, room};
use crate::gemm::kernel::Kernel;
use crate::gemm::panels::{Panels, Shared, with_accumulators};
use crate::gemm::{Matrix, MatrixMut};
use crate::simd::dispatch::visit_level;
use crate::tasks::in_order;
use crate::{Element, SimdLevel, Store};

/// What [`forward`](super::forward()) read and left, in its shapes.
#[derive(Clone, Copy, Debug)]
pub struct Saved<'a, E> {
    pub qkv: &'a [E],
    pub out: &'a [E],
    pub lse: &'a [f32],
}

/// The gradient of [`forward`](super::forward()): from `d_out`, that of its result, to `d_qkv`, which is overwritten
/// wholly.
///
/// # Shapes
/// As in [`forward`](super::forward()); `d_out [n, h e]`, `d_qkv [n, (h + 2k) e]`.
///
/// # Panics
/// When the lengths do not fit.
pub fn backward<E: Element>(
    level: SimdLevel,
    spec: &AttentionSpec,
    seq_ends: &[usize],
    saved: Saved<'_, E>,
    d_out: &[E],
    d_qkv: &mut [E],
) {
    let Heads { heads, head_dim, .. } = spec.heads;
    let (n, sequences) = sequences(spec, seq_ends, saved.qkv.len());
    let width = heads * head_dim;
    assert!(saved.out.len() == n * width && d_out.len() == n * width, "shapes of attention");
    assert!(saved.lse.len() == n * heads && d_qkv.len() == saved.qkv.len(), "shapes of attention");
    let mut d_qkv = MatrixMut::new(d_qkv, n, spec.heads.row());
    let d_qkv = Shared::new(&mut d_qkv);
    visit_level!(level, E, K => run::<K, E>(*spec, &sequences, saved, d_out, d_qkv));
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

/// Layouts of a packed block.
const KEY_ROWS: usize = 0;
const KEY_COLUMNS: usize = 1;
const VALUE_ROWS: usize = 2;

/// Queries from `query` on, counted from the sequence's beginning.
struct Task {
    sequence: usize,
    kv_head: usize,
    query: usize,
    /// The task of the queries after these, which goes before this one.
    ahead: Option<usize>,
    /// Where the sums of the keys' and values' gradients begin, for this sequence and head.
    sums: usize,
}

/// What tasks read and write together.
struct Common<'a, K, E> {
    spec: AttentionSpec,
    sequences: &'a [Sequence],
    saved: Saved<'a, E>,
    d_out: &'a [E],
    blocks: KvBlocks<K>,
    tasks: Vec<Task>,
    /// Blocks of keys that each task is done with.
    done: Vec<AtomicUsize>,
    sums: Shared<'a, f32>,
    d_qkv: Shared<'a, E>,
}

fn run<K: AttentionKernel, E: Element>(
    spec: AttentionSpec,
    sequences: &[Sequence],
    saved: Saved<'_, E>,
    d_out: &[E],
    d_qkv: Shared<'_, E>,
) {
    let heads = spec.heads;
    let layouts = [
        (heads.key_column(), Layout::Tokens),
        (heads.key_column(), Layout::Transposed),
        (heads.value_column(), Layout::Tokens),
    ];
    let blocks = KvBlocks::<K>::new(heads, sequences, saved.qkv, &layouts);
    let mut tasks = Vec::new();
    let mut total = 0;
    for (s, sequence) in sequences.iter().enumerate() {
        for kv_head in 0..heads.kv_heads {
            for query in (0..sequence.len()).step_by(queries_of(heads)) {
                tasks.push(Task { sequence: s, kv_head, query, ahead: None, sums: total });
            }
            total += 2 * round_up_rows::<K>(sequence.len()) * round_up_cols::<K>(heads.head_dim);
        }
    }
    // The longest first, so that all threads finish at about the same time. A task never comes before one that it
    // waits for.
    tasks.sort_by_key(|task| std::cmp::Reverse(task.query));
    let mut newest = vec![None; sequences.len() * heads.kv_heads];
    for (i, task) in tasks.iter_mut().enumerate() {
        task.ahead = newest[task.sequence * heads.kv_heads + task.kv_head].replace(i);
    }
    let mut sums = Panels::lent::<f32>(1, 1, total);
    let mut sums = MatrixMut::new(sums.all(), 1, total);
    let common = Common {
        spec,
        sequences,
        saved,
        d_out,
        blocks,
        done: tasks.iter().map(|_| AtomicUsize::new(0)).collect(),
        tasks,
        sums: Shared::new(&mut sums),
        d_qkv,
    };
    in_order(common.tasks.len(), |i| run_task(&common, i));
}

impl<K, E> Common<'_, K, E> {
    /// The first block of keys that a query of the task sees; those before are outside all their windows.
    fn first_block(&self, task: &Task) -> usize {
        self.spec.first_key(task.query) / KEYS
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
    queries_transposed: &'a mut [P],
    d_out_transposed: &'a mut [P],
    /// Of each query: log-sum-exp base 2, and the sum of its result times the gradient.
    lse: &'a mut [f32],
    delta: &'a mut [f32],
}

/// Sizes of a task.
struct Sizes {
    /// Queries of a head, the same rounded to the kernel's padding, and strips of them.
    count: usize,
    padded: usize,
    strips: usize,
    /// Numbers of a packed strip, and of a strip's gradient.
    packed: usize,
    sums: usize,
}

impl Sizes {
    /// Steps of sums over all queries that come before those of a head's strip: strip by strip, so that keys can leave
    /// out the strips that do not see them.
    fn steps_before<K: Kernel>(&self, heads: Heads, [g, strip]: [usize; 2]) -> usize {
        let first = strip * K::NR;
        first * heads.group() + g * K::NR.min(self.padded - first)
    }
}

/// One task at work.
struct TaskRun<'c, 'a, K, E> {
    common: &'c Common<'a, K, E>,
    task: &'c Task,
    sizes: Sizes,
}

fn run_task<K: AttentionKernel, E: Element>(common: &Common<'_, K, E>, i: usize) {
    let task = &common.tasks[i];
    let heads = common.spec.heads;
    let (head_dim, group, columns) = (heads.head_dim, heads.group(), K::NR);
    let length = common.sequences[task.sequence].len();
    let end = length.min(task.query + queries_of(heads));
    let count = end - task.query;
    let strips = count.div_ceil(columns);
    let sizes = Sizes {
        count,
        padded: round_up_k::<K>(count),
        strips,
        packed: columns * round_up_k::<K>(head_dim),
        sums: round_up_rows::<K>(head_dim) * columns,
    };
    let (by_query, by_head_dim) = (group * strips * sizes.packed, round_up_cols::<K>(head_dim) * group * sizes.padded);
    let tiles = KEYS * group * sizes.padded;
    let memory = 2 * room::<K::Packed>(by_query)
        + 2 * room::<K::Packed>(by_head_dim)
        + 2 * room::<f32>(group * strips * columns)
        + room::<f32>(group * strips * sizes.sums)
        + 2 * room::<K::Packed>(tiles)
        + 2 * room::<f32>(KEYS.max(head_dim) * columns)
        + room::<K::Packed>(KEYS * columns);
    with_accumulators(memory, |memory| {
        let mut arena = Arena(memory);
        let mut queries = Queries {
            queries: arena.take(by_query),
            d_out: arena.take(by_query),
            queries_transposed: arena.take(by_head_dim),
            d_out_transposed: arena.take(by_head_dim),
            lse: arena.take(group * strips * columns),
            delta: arena.take(group * strips * columns),
        };
        let mut work = Scratch::<K> {
            d_queries: arena.take(group * strips * sizes.sums),
            probs: arena.take(tiles),
            d_scores: arena.take(tiles),
            scores: arena.take(KEYS.max(head_dim) * columns),
            d_probs: arena.take(KEYS.max(head_dim) * columns),
            d_strip: arena.take(KEYS * columns),
        };
        let run = TaskRun { common, task, sizes };
        run.pack_queries(&mut queries);
        let progress = Progress(&common.done[i]);
        K::enter();
        for block in common.first_block(task)..end.div_ceil(KEYS) {
            for g in 0..group {
                for strip in 0..strips {
                    run.strip(&queries, &mut work, block, [g, strip]);
                }
            }
            run.add_to_keys(&queries, &work, block);
            progress.0.store(block + 1, Ordering::Release);
        }
        K::leave();
        run.store_queries(work.d_queries, work.scores);
    });
}

/// A task's sums and what it makes on the way.
struct Scratch<'a, K: AttentionKernel> {
    /// Gradients of the queries, transposed, strip by strip.
    d_queries: &'a mut [f32],
    /// Left operands, rows keys, summed over all heads' queries: probabilities and gradients of scores.
    probs: &'a mut [K::Packed],
    d_scores: &'a mut [K::Packed],
    /// Of one strip: `[keys, queries]`.
    scores: &'a mut [f32],
    d_probs: &'a mut [f32],
    /// Gradients of scores as a right operand, columns queries.
    d_strip: &'a mut [K::Packed],
}

impl<K: AttentionKernel, E: Element> TaskRun<'_, '_, K, E> {
    fn pack_queries(&self, into: &mut Queries<'_, K::Packed>) {
        let Self { common, task, sizes } = self;
        let Heads { heads: h, head_dim, .. } = common.spec.heads;
        let (group, columns) = (common.spec.heads.group(), K::NR);
        let (count, from) = (sizes.count, common.sequences[task.sequence].from + task.query);
        let (n, room) = (common.saved.lse.len() / h, group * sizes.padded);
        into.lse.fill(0.0);
        into.delta.fill(0.0);
        for g in 0..group {
            let head = task.kv_head * group + g;
            let at = from * h * head_dim + head * head_dim;
            for strip in 0..sizes.strips {
                let (first, count) = (strip * columns, columns.min(count - strip * columns));
                let queries = &common.saved.qkv[(from + first) * common.spec.heads.row() + head * head_dim..];
                let queries = Matrix::strided(queries, count, head_dim, common.spec.heads.row());
                let d_out = Matrix::strided(&common.d_out[at + first * h * head_dim..], count, head_dim, h * head_dim);
                let by_query = (g * sizes.strips + strip) * sizes.packed;
                let by_head_dim = sizes.steps_before::<K>(common.spec.heads, [g, strip]) * columns;
                pack_rhs::<K, E>(queries, [count, head_dim], &mut into.queries[by_query..], head_dim);
                pack_rhs::<K, E>(queries.t(), [head_dim, count], &mut into.queries_transposed[by_head_dim..], room);
                pack_rhs::<K, E>(d_out, [count, head_dim], &mut into.d_out[by_query..], head_dim);
                pack_rhs::<K, E>(d_out.t(), [head_dim, count], &mut into.d_out_transposed[by_head_dim..], room);
            }
            let lanes = g * sizes.strips * columns..;
            let (lse, delta) = (&mut into.lse[lanes.clone()], &mut into.delta[lanes]);
            for (l, (lse, delta)) in lse.iter_mut().zip(delta).take(count).enumerate() {
                let row = at + l * h * head_dim..at + l * h * head_dim + head_dim;
                *lse = common.saved.lse[head * n + from + l] * std::f32::consts::LOG2_E;
                *delta = K::dot(&common.saved.out[row.clone()], &common.d_out[row]);
            }
        }
    }

    /// Probabilities and gradients of scores of one strip; adds to the gradient of its queries.
    fn strip(&self, queries: &Queries<'_, K::Packed>, work: &mut Scratch<'_, K>, block: usize, [g, strip]: [usize; 2]) {
        let Self { common, task, sizes } = self;
        let first = block * KEYS;
        let (columns, head_dim) = (K::NR, common.spec.heads.head_dim);
        let length = common.sequences[task.sequence].len();
        let (depth, inner) = (round_up_k::<K>(head_dim), round_up_kstep::<K>(head_dim));
        let block_of = |layout| common.blocks.at(task.sequence, task.kv_head, block, length, layout);
        let (keys, keys_transposed, values) = (block_of(KEY_ROWS), block_of(KEY_COLUMNS), block_of(VALUE_ROWS));
        let i = g * sizes.strips + strip;
        let from = task.query + strip * columns;
        let to = (task.query + sizes.count).min(from + columns);
        let tokens = KEYS.min(length - first);
        let seen = tokens.min(to - first);
        let (left_queries, left_d_out) = (&queries.queries[i * sizes.packed..], &queries.d_out[i * sizes.packed..]);
        for row in (0..seen).step_by(K::MR) {
            let at = row * columns..(row + K::MR) * columns;
            let (scores, d_probs) = (&mut work.scores[at.clone()], &mut work.d_probs[at]);
            // SAFETY: the panels hold `depth` steps, the sums a tile; the CPU has the kernel's level.
            unsafe {
                let (keys, values) = (keys.add(row * depth), values.add(row * depth));
                K::multiply(seen - row, inner, [keys, left_queries.as_ptr()], scores.as_mut_ptr(), columns, false);
                K::multiply(seen - row, inner, [values, left_d_out.as_ptr()], d_probs.as_mut_ptr(), columns, false);
            }
        }
        let tile = ScoreTile::new(&common.spec, seen, first, from);
        let (lse, delta) = (&queries.lse[i * columns..][..columns], &queries.delta[i * columns..][..columns]);
        let (count, panel) = (to - from, K::MR * common.spec.heads.group() * sizes.padded);
        let before = sizes.steps_before::<K>(common.spec.heads, [g, strip]) * K::MR;
        let Scratch { probs, d_scores, .. } = work;
        let packed = PackedScores { probs, d_scores, before, panel, steps: count };
        let delta = match ScoreShape::of(&common.spec, task.kv_head * common.spec.heads.group() + g) {
            None => delta,
            Some(shape) => {
                let [scores, d_probs] = [&mut *work.scores, &mut *work.d_probs];
                shape_gradients(K::LEVEL, columns, scores, d_probs, tile, shape, delta);
                &NO_DELTA[..columns]
            }
        };
        let both = [&mut *work.scores, &mut *work.d_probs];
        K::softmax_backward(both, tile, [lse, delta], packed, work.d_strip);
        let sums = &mut work.d_queries[i * sizes.sums..][..sizes.sums];
        let is_first = block == common.first_block(task);
        for row in (0..round_up_rows::<K>(head_dim)).step_by(K::MR) {
            let sums = sums[row * columns..][..K::MR * columns].as_mut_ptr();
            // SAFETY: as above; the panels hold at least so many steps.
            unsafe {
                let keys = keys_transposed.add(row * round_up_k::<K>(tokens));
                let operands = [keys, work.d_strip.as_ptr()];
                K::multiply(head_dim - row, round_up_kstep::<K>(seen), operands, sums, columns, !is_first);
            }
        }
    }

    /// Adds the queries' part to the gradients of a block of keys and values; stores them when it is the last part.
    fn add_to_keys(&self, queries: &Queries<'_, K::Packed>, work: &Scratch<'_, K>, block: usize) {
        let Self { common, task, sizes } = self;
        let first = block * KEYS;
        // Later queries that see the block add theirs before; where the task ahead does not, none that it waits for does.
        let ahead = task.ahead.filter(|&ahead| common.first_block(&common.tasks[ahead]) <= block);
        if let Some(ahead) = ahead {
            wait(&common.done[ahead], block + 1);
        }
        let Heads { heads: h, kv_heads, head_dim } = common.spec.heads;
        let sequence = common.sequences[task.sequence];
        let end = task.query + sizes.count;
        let tokens = KEYS.min(sequence.len() - first);
        let (depth, across) = (common.spec.heads.group() * sizes.padded, round_up_cols::<K>(head_dim));
        let (seen, size) = (tokens.min(end - first), round_up_rows::<K>(tokens) * across);
        let at = task.sums + 2 * first * across;
        // SAFETY: nobody else has the sums of this block now: tasks ahead are done with it, those behind wait.
        let (d_keys, d_values) =
            unsafe { (common.sums.row(0, at, at + size), common.sums.row(0, at + size, at + 2 * size)) };
        let operands = [(&*work.d_scores, &*queries.queries_transposed), (&*work.probs, &*queries.d_out_transposed)];
        for ((left, right), sums) in operands.into_iter().zip([&mut *d_keys, &mut *d_values]) {
            for column in (0..across).step_by(K::NR) {
                for row in (0..seen).step_by(K::MR) {
                    let unseen = (first + row).saturating_sub(task.query) / K::NR * K::NR * common.spec.heads.group();
                    let left = left[row * depth + unseen * K::MR..].as_ptr();
                    let right = right[column * depth + unseen * K::NR..].as_ptr();
                    let sums = sums[row * across + column..].as_mut_ptr();
                    // SAFETY: the panels hold `depth` steps, the sums a tile; the CPU has the kernel's level.
                    unsafe { K::multiply(seen - row, depth - unseen, [left, right], sums, across, ahead.is_some()) };
                }
            }
        }
        if first < task.query {
            return;
        }
        let columns = [(h + task.kv_head) * head_dim, (h + kv_heads + task.kv_head) * head_dim];
        for ((sums, scale), column) in [(d_keys, common.spec.scale), (d_values, 1.0)].into_iter().zip(columns) {
            for (token, sums) in sums.chunks(across).take(tokens).enumerate() {
                // SAFETY: one task is the last to see a key.
                let to = unsafe { common.d_qkv.row(sequence.from + first + token, column, column + head_dim) };
                K::store(to, &sums[..head_dim], scale, Store::Set);
            }
        }
    }

    /// Stores the gradients of the task's queries, for which `transposed` is room.
    fn store_queries(&self, sums: &[f32], transposed: &mut [f32]) {
        let Self { common, task, sizes } = self;
        let (group, head_dim) = (common.spec.heads.group(), common.spec.heads.head_dim);
        for (i, sums) in sums.chunks_exact(sizes.sums).enumerate().take(group * sizes.strips) {
            let column = (task.kv_head * group + i / sizes.strips) * head_dim;
            let from = i % sizes.strips * K::NR;
            let first = common.sequences[task.sequence].from + task.query + from;
            K::transpose(sums, head_dim, transposed);
            for (l, sums) in transposed.chunks_exact(head_dim).enumerate().take(K::NR.min(sizes.count - from)) {
                // SAFETY: only this task writes these queries of these heads.
                let to = unsafe { common.d_qkv.row(first + l, column, column + head_dim) };
                K::store(to, sums, common.spec.scale, Store::Set);
            }
        }
    }
}
