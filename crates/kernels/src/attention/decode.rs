//! Attention of one new token a row against its cached keys and values, which lie in blocks of a common pool.

use super::heads::{AttentionSpec, Heads};
use super::kernel::{AttentionKernel, BLOCK, PADDED};
use super::score_shape::{ScoreShape, shape_row};
use super::softmax::softmax_in_place;
use crate::gemm::MatrixMut;
use crate::gemm::panels::{Shared, with_accumulators};
use crate::simd::dispatch::visit_level;
use crate::tasks;
use crate::{Element, SimdLevel, Store};

/// Keys and values of all rows, in blocks of a pool (PagedAttention, Kwon et al. 2023).
#[derive(Clone, Copy, Debug)]
pub struct PagedCache<'a, E, T> {
    /// `[blocks, k, BLOCK, e]`; keys are rotated.
    pub keys: &'a [E],
    pub values: &'a [E],
    /// Of each row, its blocks in the order of its tokens. Those wholly before a sliding window are not read.
    pub block_tables: &'a [T],
    /// Of each row, its tokens; the new one, which is the last, is written already.
    pub lengths: &'a [usize],
}

/// Attention of each row's new token over the row's tokens, or those in its window.
///
/// # Shapes
/// Heads as in [`forward`](super::forward()); `queries [rows, h e]`, rotated; `out [rows, h e]`.
///
/// # Panics
/// When the lengths do not fit.
pub fn decode<E: Element, T: AsRef<[u32]> + Sync>(
    level: SimdLevel,
    spec: &AttentionSpec,
    queries: &[E],
    cache: PagedCache<'_, E, T>,
    out: &mut [E],
) {
    spec.check();
    let rows = cache.lengths.len();
    let length = rows * spec.heads.heads * spec.heads.head_dim;
    assert!(queries.len() == length && out.len() == length && cache.block_tables.len() == rows, "shapes of decode");
    for (table, length) in cache.block_tables.iter().zip(cache.lengths) {
        assert!(*length > 0 && table.as_ref().len() * BLOCK >= *length, "a row's blocks hold fewer tokens than it has");
    }
    visit_level!(level, E, K => run::<K, E, T>(*spec, queries, cache, out));
}

fn run<K: AttentionKernel, E: Element, T: AsRef<[u32]> + Sync>(
    spec: AttentionSpec,
    queries: &[E],
    cache: PagedCache<'_, E, T>,
    out: &mut [E],
) {
    let Heads { heads, kv_heads, head_dim } = spec.heads;
    let (rows, row) = (cache.lengths.len(), heads * head_dim);
    let mut out = MatrixMut::new(out, rows, row);
    let out = Shared::new(&mut out);
    tasks::each(rows * kv_heads, |i| {
        let (r, kv_head) = (i / kv_heads, i % kv_heads);
        let columns = spec.heads.group() * head_dim;
        let length = cache.lengths[r];
        let row = Row {
            kv_head,
            blocks: &cache.block_tables[r].as_ref()[..length.div_ceil(BLOCK)],
            length,
            queries: &queries[r * row + kv_head * columns..][..columns],
        };
        // SAFETY: no other task has this row's heads.
        let out = unsafe { out.row(r, kv_head * columns, (kv_head + 1) * columns) };
        run_row::<K, E>(spec, [cache.keys, cache.values], row, out);
    });
}

/// The query heads of one row that share a key/value head.
struct Row<'a, E> {
    kv_head: usize,
    blocks: &'a [u32],
    length: usize,
    /// `[group, e]`.
    queries: &'a [E],
}

fn run_row<K: AttentionKernel, E: Element>(
    spec: AttentionSpec,
    [keys, values]: [&[E]; 2],
    row: Row<'_, E>,
    out: &mut [E],
) {
    let Row { kv_head, blocks, length, queries } = row;
    let (head_dim, group) = (spec.heads.head_dim, spec.heads.group());
    // Blocks before the window are left out, and so are the tokens before it in its first block.
    let first_key = spec.first_key(length - 1);
    let (first_block, outside) = (first_key / BLOCK, first_key % BLOCK);
    let (blocks, length) = (&blocks[first_block..], length - first_block * BLOCK);
    let (room, padded) = (blocks.len() * BLOCK, head_dim.next_multiple_of(PADDED));
    let offset = |block: u32| (block as usize * spec.heads.kv_heads + kv_head) * BLOCK * head_dim;
    with_accumulators(group * (room + padded), |memory| {
        let (scores, sums) = memory.split_at_mut(group * room);
        sums.fill(0.0);
        for (b, &block) in blocks.iter().enumerate() {
            let keys = &keys[offset(block)..][..BLOCK * head_dim];
            for (query, scores) in queries.chunks_exact(head_dim).zip(scores.chunks_exact_mut(room)) {
                K::qk_dots(keys, query, &mut scores[b * BLOCK..][..BLOCK]);
            }
        }
        for (g, scores) in scores.chunks_exact_mut(room).enumerate() {
            if let Some(shape) = ScoreShape::of(&spec, kv_head * group + g) {
                shape_row(K::LEVEL, &mut scores[..length], shape);
            }
            softmax_in_place(K::LEVEL, &mut scores[outside..length], spec.factor());
        }
        for (b, &block) in blocks.iter().enumerate() {
            let tokens = outside.saturating_sub(b * BLOCK)..BLOCK.min(length - b * BLOCK);
            let values = &values[offset(block)..][tokens.start * head_dim..tokens.end * head_dim];
            for (scores, sums) in scores.chunks_exact(room).zip(sums.chunks_exact_mut(padded)) {
                K::weighted_sum(values, head_dim, &scores[b * BLOCK..][tokens.clone()], sums);
            }
        }
        for (sums, out) in sums.chunks_exact(padded).zip(out.chunks_exact_mut(head_dim)) {
            K::store(out, &sums[..head_dim], 1.0, Store::Set);
        }
    });
}
