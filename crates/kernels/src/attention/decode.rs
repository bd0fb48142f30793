//! Attention of one new token a row against its cached keys and values, which lie in blocks of a common pool.

use rayon::prelude::*;

use super::softmax::weigh;
use super::strip::Attend;
use super::{Heads, Work};
use crate::product::panels::{Shared, with_accumulators};
use crate::product::{MatrixMut, Store};
use crate::{Element, Level};

/// Tokens of a block of the pool.
pub const BLOCK: usize = 32;

/// Numbers that sums of values are padded to.
pub const PADDED: usize = 32;

/// Keys and values of all rows.
#[derive(Clone, Copy, Debug)]
pub struct Cache<'a, E, T> {
    /// `[blocks, k, BLOCK, e]`; keys are rotated.
    pub keys: &'a [E],
    pub values: &'a [E],
    /// Of each row, its blocks in the order of its tokens.
    pub tables: &'a [T],
    /// Of each row, its tokens; the new one, which is the last, is written already.
    pub lengths: &'a [usize],
}

/// Attends each row's new token to all tokens of the row.
///
/// # Shapes
/// Heads as in [`forward`](super::forward); `queries [rows, h e]`, rotated; `out [rows, h e]`.
pub fn decode<E: Element, T: AsRef<[u32]> + Sync>(
    level: Level,
    heads: Heads,
    queries: &[E],
    cache: Cache<'_, E, T>,
    out: &mut [E],
) {
    heads.check();
    let rows = cache.lengths.len();
    let length = rows * heads.heads * heads.width;
    assert!(queries.len() == length && out.len() == length && cache.tables.len() == rows, "shapes of decode");
    for (table, length) in cache.tables.iter().zip(cache.lengths) {
        assert!(*length > 0 && table.as_ref().len() * BLOCK >= *length, "a row's blocks hold fewer tokens than it has");
    }
    super::on_level::<E>(level, Decode { heads, queries, cache, out });
}

struct Decode<'a, E, T> {
    heads: Heads,
    queries: &'a [E],
    cache: Cache<'a, E, T>,
    out: &'a mut [E],
}

impl<E: Element, T: AsRef<[u32]> + Sync> Work for Decode<'_, E, T> {
    fn run<K: Attend>(self) {
        let Self { heads, queries, cache, out } = self;
        let (rows, row) = (cache.lengths.len(), heads.heads * heads.width);
        let mut out = MatrixMut::new(out, rows, row);
        let out = Shared::new(&mut out);
        (0..rows * heads.kv_heads).into_par_iter().for_each(|i| {
            let (r, kv_head) = (i / heads.kv_heads, i % heads.kv_heads);
            let columns = heads.group() * heads.width;
            let queries = &queries[r * row + kv_head * columns..][..columns];
            // SAFETY: no other task has this row's heads.
            let out = unsafe { out.row(r, kv_head * columns, (kv_head + 1) * columns) };
            let blocks = &cache.tables[r].as_ref()[..cache.lengths[r].div_ceil(BLOCK)];
            run_row::<K, E>(heads, queries, [cache.keys, cache.values], blocks, cache.lengths[r], kv_head, out);
        });
    }
}

/// The query heads of one row that share a key/value head, `[group, e]`.
fn run_row<K: Attend, E: Element>(
    heads: Heads,
    queries: &[E],
    [keys, values]: [&[E]; 2],
    blocks: &[u32],
    length: usize,
    kv_head: usize,
    out: &mut [E],
) {
    let (width, group) = (heads.width, heads.group());
    let (room, padded) = (blocks.len() * BLOCK, width.next_multiple_of(PADDED));
    let place = |block: u32| (block as usize * heads.kv_heads + kv_head) * BLOCK * width;
    with_accumulators(group * (room + padded), |memory| {
        let (scores, sums) = memory.split_at_mut(group * room);
        sums.fill(0.0);
        for (b, &block) in blocks.iter().enumerate() {
            let keys = &keys[place(block)..][..BLOCK * width];
            for (query, scores) in queries.chunks_exact(width).zip(scores.chunks_exact_mut(room)) {
                K::dots(keys, query, &mut scores[b * BLOCK..][..BLOCK]);
            }
        }
        for scores in scores.chunks_exact_mut(room) {
            weigh(K::LEVEL, &mut scores[..length], heads.scale() * std::f32::consts::LOG2_E);
        }
        for (b, &block) in blocks.iter().enumerate() {
            let tokens = BLOCK.min(length - b * BLOCK);
            let values = &values[place(block)..][..tokens * width];
            for (scores, sums) in scores.chunks_exact(room).zip(sums.chunks_exact_mut(padded)) {
                K::mix(values, width, &scores[b * BLOCK..][..tokens], sums);
            }
        }
        for (sums, out) in sums.chunks_exact(padded).zip(out.chunks_exact_mut(width)) {
            K::store(out, &sums[..width], 1.0, Store::Set);
        }
    });
}
