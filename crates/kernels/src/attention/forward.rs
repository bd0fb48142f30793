//! Attention forward: a task is some queries of all heads that share a key/value head.

use super::heads::{AttentionSpec, Heads, Sequence, sequences};
use super::kernel::AttentionKernel;
use super::kv_blocks::{KEYS, KvBlocks, Layout};
use super::operands::{pack_rhs, round_up_k, round_up_kstep, round_up_rows};
use super::score_shape::{ScoreShape, shape_scores};
use super::score_tile::{OnlineSoftmax, ScoreTile};
use super::softmax::scale_columns;
use crate::arena::{Arena, room};
use crate::gemm::panels::{Shared, with_accumulators};
use crate::gemm::{Matrix, MatrixMut};
use crate::simd::dispatch::visit_level;
use crate::tasks::in_order;
use crate::{Element, SimdLevel, Store};

/// Queries of a task, of each head.
const QUERIES: usize = 64;

/// Causal self-attention over packed sequences (varlen).
///
/// # Shapes
/// `n` tokens, `h` heads, `k` key/value heads of `e` numbers. `qkv [n, (h + 2k) e]`: the queries, then the keys, then
/// the values of a token; `seq_ends`: cumulative lengths, `cu_seqlens[1..]` of FlashAttention, the last one `n`;
/// `out [n, h e]`; `lse [h, n]`: the logarithm of the summed exponentials of the scaled scores.
///
/// # Panics
/// When the lengths do not fit.
pub fn forward<E: Element>(
    level: SimdLevel,
    spec: &AttentionSpec,
    seq_ends: &[usize],
    qkv: &[E],
    out: &mut [E],
    lse: &mut [f32],
) {
    let Heads { heads, head_dim, .. } = spec.heads;
    let (n, sequences) = sequences(spec, seq_ends, qkv.len());
    assert!(out.len() == n * heads * head_dim && lse.len() == n * heads, "shapes of attention");
    let (mut out, mut lse) = (MatrixMut::new(out, n, heads * head_dim), MatrixMut::new(lse, heads, n));
    let (out, lse) = (Shared::new(&mut out), Shared::new(&mut lse));
    visit_level!(level, E, K => run::<K, E>(*spec, &sequences, qkv, out, lse));
}

/// What tasks read and write together.
struct Common<'a, K, E> {
    spec: AttentionSpec,
    sequences: &'a [Sequence],
    qkv: &'a [E],
    blocks: KvBlocks<K>,
    out: Shared<'a, E>,
    lse: Shared<'a, f32>,
}

/// Layouts of a packed block.
const KEY_ROWS: usize = 0;
const VALUE_COLUMNS: usize = 1;

/// Queries from `query` on, counted from the sequence's beginning.
struct Task {
    sequence: usize,
    kv_head: usize,
    query: usize,
}

fn run<K: AttentionKernel, E: Element>(
    spec: AttentionSpec,
    sequences: &[Sequence],
    qkv: &[E],
    out: Shared<'_, E>,
    lse: Shared<'_, f32>,
) {
    let heads = spec.heads;
    let layouts = [(heads.key_column(), Layout::Tokens), (heads.value_column(), Layout::Transposed)];
    let blocks = KvBlocks::<K>::new(heads, sequences, qkv, &layouts);
    let mut tasks: Vec<Task> = Vec::new();
    for (s, sequence) in sequences.iter().enumerate() {
        for query in (0..sequence.len()).step_by(QUERIES) {
            tasks.extend((0..heads.kv_heads).map(|kv_head| Task { sequence: s, kv_head, query }));
        }
    }
    // The longest first, so that all threads finish at about the same time.
    tasks.sort_by_key(|task| std::cmp::Reverse(task.query));
    let common = Common { spec, sequences, qkv, blocks, out, lse };
    in_order(tasks.len(), |i| run_task(&common, &tasks[i]));
}

fn run_task<K: AttentionKernel, E: Element>(common: &Common<'_, K, E>, task: &Task) {
    let Common { spec, qkv, blocks, out, lse, .. } = common;
    let Task { sequence: s, kv_head, query } = *task;
    let heads = spec.heads;
    let (sequence, head_dim, group) = (common.sequences[s], heads.head_dim, heads.group());
    let (length, columns) = (sequence.len(), K::NR);
    let end = length.min(query + QUERIES);
    let strips = (end - query).div_ceil(columns);
    let (depth, rows) = (round_up_k::<K>(head_dim), round_up_rows::<K>(head_dim));
    let (packed, sums) = (columns * depth, rows * columns);
    let count = group * strips;
    let memory = room::<K::Packed>(count * packed)
        + room::<f32>(count * sums)
        + 2 * room::<f32>(count * columns)
        + room::<f32>(columns)
        + room::<f32>(KEYS.max(head_dim) * columns)
        + room::<K::Packed>(KEYS * columns);
    with_accumulators(memory, |memory| {
        let mut arena = Arena(memory);
        let queries = arena.take::<K::Packed>(count * packed);
        let all_sums = arena.take::<f32>(count * sums);
        let (max, sum) = (arena.take::<f32>(count * columns), arena.take::<f32>(count * columns));
        let rescale = arena.take::<f32>(columns);
        let scores = arena.take::<f32>(KEYS.max(head_dim) * columns);
        let probs = arena.take::<K::Packed>(KEYS * columns);
        max.fill(f32::NEG_INFINITY);
        sum.fill(0.0);
        for g in 0..group {
            let data = &qkv[(sequence.from + query) * heads.row() + (kv_head * group + g) * head_dim..];
            let matrix = Matrix::strided(data, end - query, head_dim, heads.row());
            pack_rhs::<K, E>(matrix, [end - query, head_dim], &mut queries[g * strips * packed..], head_dim);
        }
        K::enter();
        // Blocks before the window of the first query are outside all windows.
        let first_block = spec.first_key(query) / KEYS;
        for block in first_block..end.div_ceil(KEYS) {
            let (first, is_first) = (block * KEYS, block == first_block);
            let keys = blocks.at(s, kv_head, block, length, KEY_ROWS);
            let values = blocks.at(s, kv_head, block, length, VALUE_COLUMNS);
            let step = K::MR * round_up_k::<K>(KEYS.min(length - first));
            for i in 0..count {
                let from = query + i % strips * columns;
                let seen = KEYS.min(end.min(from + columns) - first);
                let lanes = i * columns..(i + 1) * columns;
                let queries = queries[i * packed..].as_ptr();
                for row in (0..seen).step_by(K::MR) {
                    let sums = scores[row * columns..][..K::MR * columns].as_mut_ptr();
                    // SAFETY: the panels of keys and queries hold `depth` steps, the scores a tile; the CPU has the
                    // kernel's level.
                    unsafe {
                        let operands = [keys.add(row * depth), queries];
                        K::multiply(seen - row, round_up_kstep::<K>(head_dim), operands, sums, columns, false);
                    }
                }
                let tile = ScoreTile::new(spec, seen, first, from);
                if let Some(shape) = ScoreShape::of(spec, kv_head * group + i / strips) {
                    shape_scores(K::LEVEL, columns, scores, tile, shape);
                }
                let state =
                    OnlineSoftmax { max: &mut max[lanes.clone()], sum: &mut sum[lanes], rescale: &mut rescale[..] };
                K::online_softmax(scores, tile, state, probs);
                let sums = &mut all_sums[i * sums..][..sums];
                if !is_first {
                    scale_columns(K::LEVEL, sums, rescale);
                }
                for row in (0..rows).step_by(K::MR) {
                    let sums = sums[row * columns..][..K::MR * columns].as_mut_ptr();
                    // SAFETY: as above; the panels of values and probabilities hold at least so many steps.
                    unsafe {
                        let operands = [values.add(row / K::MR * step), probs.as_ptr()];
                        K::multiply(head_dim - row, round_up_kstep::<K>(seen), operands, sums, columns, !is_first);
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
            K::transpose(sums, head_dim, scores);
            // SAFETY: only this task writes these queries of this head.
            let lse = unsafe { lse.row(head, sequence.from + from, sequence.from + to) };
            for ((l, lse), sums) in lse.iter_mut().enumerate().zip(scores.chunks_exact(head_dim)) {
                *lse = max[l] * spec.softmax_scale() + sum[l].ln();
                // SAFETY: as above.
                let out = unsafe { out.row(sequence.from + from + l, head * head_dim, (head + 1) * head_dim) };
                K::store(out, sums, 1.0 / sum[l], Store::Set);
            }
        }
    });
}
