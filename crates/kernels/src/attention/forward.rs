//! Attention forward: a task is some queries of all heads that share a key/value head.

use super::blocks::{Arena, Blocks, Form, KEYS, deep, right, room, steps, tall};
use super::softmax::{Running, Strip, scale_columns};
use super::strip::Attend;
use super::{Example, Heads, Work, in_order};
use crate::Element;
use crate::product::panels::{Shared, with_accumulators};
use crate::product::{Matrix, MatrixMut, Store};

/// Queries of a task, of each head.
const QUERIES: usize = 64;

pub struct Forward<'a, E> {
    pub heads: Heads,
    pub examples: &'a [Example],
    pub qkv: &'a [E],
    pub out: &'a mut [E],
    pub lse: &'a mut [f32],
}

/// Queries from `query` on, counted from the example's beginning.
struct Task {
    example: usize,
    kv_head: usize,
    query: usize,
}

impl<E: Element> Work for Forward<'_, E> {
    fn run<K: Attend>(self) {
        let Self { heads, examples, qkv, out, lse } = self;
        let Heads { heads: h, kv_heads, width } = heads;
        let forms = [(h * width, Form::Tokens), ((h + kv_heads) * width, Form::Turned)];
        let blocks = Blocks::<K>::new(heads, examples, qkv, &forms);
        let mut tasks: Vec<Task> = Vec::new();
        for (e, example) in examples.iter().enumerate() {
            for query in (0..example.len()).step_by(QUERIES) {
                tasks.extend((0..kv_heads).map(|kv_head| Task { example: e, kv_head, query }));
            }
        }
        // The longest first, so that all threads finish at about the same time.
        tasks.sort_by_key(|task| std::cmp::Reverse(task.query));
        let n = lse.len() / h;
        let (mut out, mut lse) = (MatrixMut::new(out, n, h * width), MatrixMut::new(lse, h, n));
        let (out, lse) = (Shared::new(&mut out), Shared::new(&mut lse));
        in_order(tasks.len(), |i| run_task(heads, examples, &blocks, qkv, &out, &lse, &tasks[i]));
    }
}

fn run_task<K: Attend, E: Element>(
    heads: Heads,
    examples: &[Example],
    blocks: &Blocks<K>,
    qkv: &[E],
    out: &Shared<'_, E>,
    lse: &Shared<'_, f32>,
    task: &Task,
) {
    let Task { example: e, kv_head, query } = *task;
    let (example, width, group) = (examples[e], heads.width, heads.group());
    let (length, columns) = (example.len(), K::COLUMNS);
    let end = length.min(query + QUERIES);
    let strips = (end - query).div_ceil(columns);
    let (depth, rows) = (deep::<K>(width), tall::<K>(width));
    let (packed, sums) = (columns * depth, rows * columns);
    let count = group * strips;
    let memory = room::<K::Packed>(count * packed)
        + room::<f32>(count * sums)
        + 2 * room::<f32>(count * columns)
        + room::<f32>(columns)
        + room::<f32>(KEYS.max(width) * columns)
        + room::<K::Packed>(KEYS * columns);
    with_accumulators(memory, |memory| {
        let mut arena = Arena(memory);
        let queries = arena.take::<K::Packed>(count * packed);
        let all_sums = arena.take::<f32>(count * sums);
        let (max, sum) = (arena.take::<f32>(count * columns), arena.take::<f32>(count * columns));
        let shrink = arena.take::<f32>(columns);
        let scores = arena.take::<f32>(KEYS.max(width) * columns);
        let weights = arena.take::<K::Packed>(KEYS * columns);
        max.fill(f32::NEG_INFINITY);
        sum.fill(0.0);
        for g in 0..group {
            let data = &qkv[(example.from + query) * heads.row() + (kv_head * group + g) * width..];
            let matrix = Matrix::strided(data, end - query, width, heads.row());
            right::<K, E>(matrix, [end - query, width], &mut queries[g * strips * packed..], width);
        }
        K::enter();
        for (block, first) in (0..end).step_by(KEYS).enumerate() {
            let keys = blocks.at(e, kv_head, block, length, 0);
            let values = blocks.at(e, kv_head, block, length, 1);
            let step = K::ROWS * deep::<K>(KEYS.min(length - first));
            for i in 0..count {
                let from = query + i % strips * columns;
                let seen = KEYS.min(end.min(from + columns) - first);
                let lanes = i * columns..(i + 1) * columns;
                let queries = queries[i * packed..].as_ptr();
                for row in (0..seen).step_by(K::ROWS) {
                    let sums = scores[row * columns..][..K::ROWS * columns].as_mut_ptr();
                    // SAFETY: the panels of keys and queries hold `depth` steps, the scores a tile; the CPU has the
                    // kernel's level.
                    unsafe {
                        K::rows(seen - row, steps::<K>(width), [keys.add(row * depth), queries], sums, columns, false)
                    };
                }
                let running = Running { max: &mut max[lanes.clone()], sum: &mut sum[lanes], shrink: &mut shrink[..] };
                let factor = heads.scale() * std::f32::consts::LOG2_E;
                K::soften(scores, Strip { keys: seen, last: from - first, factor }, running, weights);
                let sums = &mut all_sums[i * sums..][..sums];
                if block > 0 {
                    scale_columns(K::LEVEL, sums, shrink);
                }
                for row in (0..rows).step_by(K::ROWS) {
                    let sums = sums[row * columns..][..K::ROWS * columns].as_mut_ptr();
                    // SAFETY: as above; the panels of values and weights hold at least so many steps.
                    unsafe {
                        let operands = [values.add(row / K::ROWS * step), weights.as_ptr()];
                        K::rows(width - row, steps::<K>(seen), operands, sums, columns, block > 0);
                    }
                }
            }
        }
        K::leave();
        for i in 0..count {
            let head = kv_head * group + i / strips;
            let from = query + i % strips * columns;
            let to = end.min(from + columns);
            let (max, sum) = (&max[i * columns..], &sum[i * columns..]);
            let sums = &all_sums[i * sums..][..sums];
            K::turn(sums, width, scores);
            // SAFETY: only this task writes these queries of this head.
            let lse = unsafe { lse.row(head, example.from + from, example.from + to) };
            for ((l, lse), sums) in lse.iter_mut().enumerate().zip(scores.chunks_exact(width)) {
                *lse = max[l] * heads.scale() + sum[l].ln();
                // SAFETY: as above.
                let out = unsafe { out.row(example.from + from + l, head * width, (head + 1) * width) };
                K::store(out, sums, 1.0 / sum[l], Store::Set);
            }
        }
    });
}
