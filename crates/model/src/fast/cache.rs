//! Keys and values of the tokens seen, in blocks that rows take as they grow and give back when they end.

use tunebench_kernels::attention::{self, AttentionSpec, BLOCK, Heads, PagedCache};

use super::attention::{KeyValues, OwnTokens};
use super::head::HeadScratch;
use super::layer::{Activations, Scratch};
use super::model::Model;
use super::pass::Pass;
use super::prefix::Prefix;
use super::storage::Storage;
use crate::Error;

/// Blocks that a layer's pool grows by, at least.
const GROWTH: usize = 64;

/// Keys and values of some texts, a row each.
pub struct Cache<E> {
    pub(super) pools: Pools<E>,
    pub(super) rows: Vec<Row>,
    pub(super) buffers: Buffers<E>,
    /// What stands in front of every prompt, once one was read.
    pub(super) prefix: Option<Prefix<E>>,
}

/// Memory for keys and values, shared by all rows.
pub(super) struct Pools<E> {
    /// Of each layer.
    pub layers: Vec<Pool<E>>,
    /// Blocks that no row has.
    free: Vec<u32>,
    blocks: usize,
    /// Elements of a block: `k · BLOCK · e`.
    block_len: usize,
}

/// Keys and values of one layer, each `[blocks, k, BLOCK, e]`.
pub(super) struct Pool<E> {
    keys: Vec<E>,
    values: Vec<E>,
}

/// One text: its blocks in order, and the tokens in them.
#[derive(Default)]
pub(super) struct Row {
    blocks: Vec<u32>,
    pub len: usize,
}

/// Buffers of a pass, used again by the next.
#[derive(Default)]
pub(super) struct Buffers<E> {
    pub activations: Activations<E>,
    pub scratch: Scratch<E>,
    pub head: HeadScratch<E>,
    /// The residual stream, `[n, d]`.
    pub x: Vec<E>,
}

impl<E: Storage> Cache<E> {
    /// No rows yet.
    pub fn new(model: &Model<E>) -> Self {
        let shape = model.shape();
        let pool = || Pool { keys: Vec::new(), values: Vec::new() };
        let pools = Pools {
            layers: (0..shape.num_hidden_layers).map(|_| pool()).collect(),
            free: Vec::new(),
            blocks: 0,
            block_len: shape.attention.kv_width() * BLOCK,
        };
        Self { pools, rows: Vec::new(), buffers: Buffers::default(), prefix: None }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Drops a row; the last one takes its place.
    ///
    /// # Errors
    /// [`Error::Batch`] when there is no such row.
    pub fn swap_remove(&mut self, row: usize) -> Result<(), Error> {
        if row >= self.len() {
            return Err(Error::Batch(format!("no row {row} in a cache of {}", self.len())));
        }
        self.pools.free.extend(self.rows.swap_remove(row).blocks);
        Ok(())
    }
}

impl<E: Storage> Pools<E> {
    /// Makes room for `row` to hold `len` tokens.
    pub fn reserve(&mut self, row: &mut Row, len: usize) {
        while row.blocks.len() * BLOCK < len {
            if self.free.is_empty() {
                self.grow();
            }
            row.blocks.extend(self.free.pop());
        }
    }

    fn grow(&mut self) {
        let more = self.blocks.max(GROWTH);
        self.free.extend((self.blocks..self.blocks + more).rev().map(|b| b as u32));
        self.blocks += more;
        for Pool { keys, values } in &mut self.layers {
            keys.resize(self.blocks * self.block_len, E::default());
            values.resize(self.blocks * self.block_len, E::default());
        }
    }
}

impl<E: Storage> Pool<E> {
    /// Puts key and value of token number `token` of a row at their place, from its `qkv [(h+2k) e]`.
    fn put(&mut self, heads: Heads, row: &Row, token: usize, qkv: &[E]) {
        let Heads { heads: h, kv_heads: k, head_dim: e } = heads;
        let block = row.blocks[token / BLOCK] as usize;
        let (keys, values) = qkv[h * e..].split_at(k * e);
        for (head, (key, value)) in keys.chunks_exact(e).zip(values.chunks_exact(e)).enumerate() {
            let at = ((block * k + head) * BLOCK + token % BLOCK) * e;
            self.keys[at..][..e].copy_from_slice(key);
            self.values[at..][..e].copy_from_slice(value);
        }
    }
}

/// Whole prompts: attention within each, and their keys and values kept.
pub(super) struct Prompts<'a, E> {
    pub pool: &'a mut Pool<E>,
    /// Of the prompts, in their order.
    pub rows: &'a [Row],
}

impl<E: Storage> KeyValues<E> for Prompts<'_, E> {
    fn attend(&mut self, pass: &Pass<'_, E>, spec: &AttentionSpec, qkv: &[E], attn_out: &mut [E], lse: &mut [f32]) {
        let mut tokens = qkv.chunks_exact(row_len(spec.heads));
        let starts = std::iter::once(&0).chain(pass.seq_ends);
        for (row, (start, end)) in self.rows.iter().zip(starts.zip(pass.seq_ends)) {
            for (token, qkv) in tokens.by_ref().take(end - start).enumerate() {
                self.pool.put(spec.heads, row, token, qkv);
            }
        }
        OwnTokens.attend(pass, spec, qkv, attn_out, lse);
    }
}

/// One new token in each row.
pub(super) struct NewTokens<'a, E> {
    pub pool: &'a mut Pool<E>,
    pub rows: &'a [Row],
}

impl<E: Storage> KeyValues<E> for NewTokens<'_, E> {
    fn attend(&mut self, pass: &Pass<'_, E>, spec: &AttentionSpec, qkv: &[E], attn_out: &mut [E], _: &mut [f32]) {
        let mut queries = Vec::with_capacity(attn_out.len());
        for (row, qkv) in self.rows.iter().zip(qkv.chunks_exact(row_len(spec.heads))) {
            queries.extend_from_slice(&qkv[..spec.heads.heads * spec.heads.head_dim]);
            self.pool.put(spec.heads, row, row.len, qkv);
        }
        let block_tables: Vec<&[u32]> = self.rows.iter().map(|r| r.blocks.as_slice()).collect();
        let lengths: Vec<usize> = self.rows.iter().map(|r| r.len + 1).collect();
        let Pool { keys, values } = &*self.pool;
        let cache = PagedCache { keys, values, block_tables: &block_tables, lengths: &lengths };
        attention::decode(pass.level, spec, &queries, cache, attn_out);
    }
}

/// Numbers of a token's queries, keys and values.
fn row_len(Heads { heads, kv_heads, head_dim }: Heads) -> usize {
    (heads + 2 * kv_heads) * head_dim
}
