//! Keys and values of the tokens seen, in blocks that rows take as they grow and give back when they end.

use tunebench_kernels::attention::{self, AttentionSpec, BLOCK, Heads, PagedCache};

use super::attention::{KeyValues, OwnTokens};
use super::embedding::EmbeddingActs;
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
    /// Layers that see equally far back hold the same tokens in the same blocks.
    groups: Vec<Group>,
    /// Elements of a block: `k · BLOCK · e`.
    block_len: usize,
}

/// Keys and values of one layer, each `[blocks, k, BLOCK, e]`.
pub(super) struct Pool<E> {
    keys: Vec<E>,
    values: Vec<E>,
    group: usize,
}

/// The blocks of the layers with one window, or of those without.
struct Group {
    window: Option<usize>,
    /// Blocks that no row has.
    free: Vec<u32>,
    blocks: usize,
}

/// One text: the tokens in it, and the blocks that hold them in each group.
#[derive(Default)]
pub(super) struct Row {
    tables: Vec<BlockTable>,
    pub len: usize,
    /// Which adapter it has, where the model has several.
    pub adapter: usize,
}

impl Row {
    /// No tokens yet.
    pub fn of(adapter: usize) -> Self {
        Self { adapter, ..Self::default() }
    }
}

/// The blocks of a row in their order; the first of them are outside the window of every later token, and given back.
#[derive(Default)]
struct BlockTable {
    blocks: Vec<u32>,
    given_back: usize,
}

/// Buffers of a pass, used again by the next.
#[derive(Default)]
pub(super) struct Buffers<E> {
    pub embedding: EmbeddingActs<E>,
    pub activations: Activations<E>,
    pub scratch: Scratch<E>,
    pub head: HeadScratch<E>,
    /// The residual stream, `[n, d]`.
    pub x: Vec<E>,
}

impl<E: Storage> Cache<E> {
    /// No rows yet.
    pub fn new(model: &Model<E>) -> Self {
        let attention = &model.shape().attention;
        let windows: Vec<_> = (0..model.shape().num_hidden_layers).map(|layer| attention.window_of(layer)).collect();
        let mut groups: Vec<Group> = Vec::new();
        let mut pool = |window: Option<usize>| {
            let found = groups.iter().position(|group| group.window == window);
            let group = found.unwrap_or(groups.len());
            if found.is_none() {
                groups.push(Group { window, free: Vec::new(), blocks: 0 });
            }
            Pool { keys: Vec::new(), values: Vec::new(), group }
        };
        let layers = windows.into_iter().map(&mut pool).collect();
        let pools = Pools { layers, groups, block_len: attention.kv_width() * BLOCK };
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
        let tables = self.rows.swap_remove(row).tables;
        for (group, table) in self.pools.groups.iter_mut().zip(tables) {
            group.free.extend(&table.blocks[table.given_back..]);
        }
        Ok(())
    }

    /// Elements that keys and values take in all layers, used or not.
    pub fn elements(&self) -> usize {
        self.pools.layers.iter().map(|pool| pool.keys.len() + pool.values.len()).sum()
    }
}

impl<E: Storage> Pools<E> {
    /// Makes room for `row` to hold `len` tokens, of which those are needed that the token `query` or a later one sees.
    pub fn reserve(&mut self, row: &mut Row, len: usize, query: usize) {
        row.tables.resize_with(self.groups.len(), BlockTable::default);
        for (i, table) in row.tables.iter_mut().enumerate() {
            let group = &mut self.groups[i];
            let unseen = group.window.map_or(0, |window| (query + 1).saturating_sub(window) / BLOCK);
            let held = table.blocks.len().min(unseen);
            if table.given_back < held {
                group.free.extend(&table.blocks[table.given_back..held]);
            }
            // A block that nobody needs is none; no kernel reads it.
            table.blocks.resize(table.blocks.len().max(unseen), u32::MAX);
            table.given_back = table.given_back.max(unseen);
            while table.blocks.len() * BLOCK < len {
                if self.groups[i].free.is_empty() {
                    self.grow(i);
                }
                table.blocks.extend(self.groups[i].free.pop());
            }
        }
    }

    fn grow(&mut self, index: usize) {
        let group = &mut self.groups[index];
        let more = group.blocks.max(GROWTH);
        group.free.extend((group.blocks..group.blocks + more).rev().map(|b| b as u32));
        group.blocks += more;
        let len = group.blocks * self.block_len;
        for Pool { keys, values, .. } in self.layers.iter_mut().filter(|pool| pool.group == index) {
            keys.resize(len, E::default());
            values.resize(len, E::default());
        }
    }
}

impl<E: Storage> Pool<E> {
    /// Puts key and value of token number `token` of a row at their place, from its `qkv [(h+2k) e]`; nowhere where no later
    /// token sees it.
    fn put(&mut self, heads: Heads, row: &Row, token: usize, qkv: &[E]) {
        let Heads { heads: h, kv_heads: k, head_dim: e } = heads;
        let table = &row.tables[self.group];
        if token / BLOCK < table.given_back {
            return;
        }
        let block = table.blocks[token / BLOCK] as usize;
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
    /// In the order of the batch.
    pub rows: &'a [&'a Row],
}

impl<E: Storage> KeyValues<E> for NewTokens<'_, E> {
    fn attend(&mut self, pass: &Pass<'_, E>, spec: &AttentionSpec, qkv: &[E], attn_out: &mut [E], _: &mut [f32]) {
        let mut queries = Vec::with_capacity(attn_out.len());
        for (row, qkv) in self.rows.iter().zip(qkv.chunks_exact(row_len(spec.heads))) {
            queries.extend_from_slice(&qkv[..spec.heads.heads * spec.heads.head_dim]);
            self.pool.put(spec.heads, row, row.len, qkv);
        }
        let Pool { keys, values, group } = &*self.pool;
        let block_tables: Vec<&[u32]> = self.rows.iter().map(|r| r.tables[*group].blocks.as_slice()).collect();
        let lengths: Vec<usize> = self.rows.iter().map(|r| r.len + 1).collect();
        let cache = PagedCache { keys, values, block_tables: &block_tables, lengths: &lengths };
        attention::decode(pass.level, spec, &queries, cache, attn_out);
    }
}

/// Numbers of a token's queries, keys and values.
fn row_len(Heads { heads, kv_heads, head_dim }: Heads) -> usize {
    (heads + 2 * kv_heads) * head_dim
}
