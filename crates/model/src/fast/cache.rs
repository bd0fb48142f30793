//! Generation: keys and values of the tokens seen, in blocks that rows take as they grow and give back when they end.
//!
//! A row's scores are the same bytes whatever rows stand beside it: rows may come and go between steps, and an answer
//! does not depend on the company it was made in.

use std::mem::swap;

use tunebench_kernels::attention::{self, AttentionSpec, BLOCK, Heads};

use super::batch::Batch;
use super::layer::{Attend, Layer, Saved, Within};
use super::linear::Pass;
use super::model::{Model, Workspace};
use super::values::Storage;
use super::virtual_tokens::Front;
use crate::Error;

/// Blocks that a layer's pool grows by, at least.
const GROWTH: usize = 64;

/// Keys and values of some texts.
pub struct Cache<E> {
    /// Of each layer `[blocks, k, BLOCK, e]`.
    keys: Vec<Vec<E>>,
    values: Vec<Vec<E>>,
    rows: Vec<Row>,
    /// Blocks that no row has.
    free: Vec<u32>,
    blocks: usize,
    /// Elements of a block: `k · BLOCK · e`.
    size: usize,
    saved: Saved<E>,
    work: Workspace<E>,
    /// What stands in front of every prompt, once one was read.
    front: Option<Front<E>>,
}

#[derive(Default)]
struct Row {
    blocks: Vec<u32>,
    length: usize,
}

impl<E: Storage> Cache<E> {
    /// No rows yet.
    pub fn new(model: &Model<E>) -> Self {
        let shape = model.shape();
        let layers = shape.num_hidden_layers;
        Self {
            keys: vec![Vec::new(); layers],
            values: vec![Vec::new(); layers],
            rows: Vec::new(),
            free: Vec::new(),
            blocks: 0,
            size: shape.num_key_value_heads * BLOCK * shape.head_dim,
            saved: Saved::default(),
            work: Workspace::default(),
            front: None,
        }
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
        self.free.extend(self.rows.swap_remove(row).blocks);
        Ok(())
    }

    /// Makes room for `row` to hold `length` tokens.
    fn reserve(&mut self, row: usize, length: usize) {
        while self.rows[row].blocks.len() * BLOCK < length {
            if self.free.is_empty() {
                let more = self.blocks.max(GROWTH);
                self.free.extend((self.blocks..self.blocks + more).rev().map(|b| b as u32));
                self.blocks += more;
                for pool in self.keys.iter_mut().chain(&mut self.values) {
                    pool.resize(self.blocks * self.size, E::default());
                }
            }
            self.rows[row].blocks.extend(self.free.pop());
        }
    }
}

/// Puts the key or value `heads [k e]` of one token at its place in a pool.
fn put<E: Storage>(pool: &mut [E], heads: Heads, row: &Row, token: usize, from: &[E]) {
    let Heads { kv_heads: k, head_dim: e, .. } = heads;
    let block = row.blocks[token / BLOCK] as usize;
    for (head, from) in from.chunks_exact(e).enumerate() {
        pool[((block * k + head) * BLOCK + token % BLOCK) * e..][..e].copy_from_slice(from);
    }
}

/// Whole prompts: attention within each, and their keys and values kept. `first` is the row of the first prompt.
struct Prompts<'a, E> {
    keys: &'a mut [E],
    values: &'a mut [E],
    rows: &'a [Row],
}

impl<E: Storage> Attend<E> for Prompts<'_, E> {
    fn attend(&mut self, pass: &Pass<'_, E>, heads: Heads, saved: &mut Saved<E>) -> Result<(), Error> {
        let Heads { heads: h, kv_heads: k, head_dim: e } = heads;
        let mut tokens = saved.qkv.chunks_exact((h + 2 * k) * e);
        let starts = std::iter::once(&0).chain(pass.ends);
        for (row, (start, end)) in self.rows.iter().zip(starts.zip(pass.ends)) {
            for (token, qkv) in tokens.by_ref().take(end - start).enumerate() {
                put(self.keys, heads, row, token, &qkv[h * e..(h + k) * e]);
                put(self.values, heads, row, token, &qkv[(h + k) * e..]);
            }
        }
        Within.attend(pass, heads, saved)
    }
}

/// One new token in each row.
struct NewTokens<'a, E> {
    keys: &'a mut [E],
    values: &'a mut [E],
    rows: &'a [Row],
}

impl<E: Storage> Attend<E> for NewTokens<'_, E> {
    fn attend(&mut self, pass: &Pass<'_, E>, heads: Heads, saved: &mut Saved<E>) -> Result<(), Error> {
        let Heads { heads: h, kv_heads: k, head_dim: e } = heads;
        let mut queries = Vec::with_capacity(self.rows.len() * h * e);
        for (row, qkv) in self.rows.iter().zip(saved.qkv.chunks_exact((h + 2 * k) * e)) {
            queries.extend_from_slice(&qkv[..h * e]);
            put(self.keys, heads, row, row.length, &qkv[h * e..(h + k) * e]);
            put(self.values, heads, row, row.length, &qkv[(h + k) * e..]);
        }
        let tables: Vec<&[u32]> = self.rows.iter().map(|r| r.blocks.as_slice()).collect();
        let lengths: Vec<usize> = self.rows.iter().map(|r| r.length + 1).collect();
        let cache = attention::PagedCache {
            keys: &*self.keys,
            values: &*self.values,
            block_tables: &tables,
            lengths: &lengths,
        };
        attention::decode(pass.level, &AttentionSpec::causal(heads), &queries, cache, &mut saved.read);
        Ok(())
    }
}

impl<E: Storage> Model<E> {
    /// Makes the model ready to answer only: linear weights are packed for the forward pass, the plain ones let go.
    pub fn pack(&mut self) {
        let (level, trained) = (self.options.level, &self.trained);
        let groups = self.layers.iter_mut().flat_map(Layer::groups_mut).chain([&mut self.head]);
        for linear in groups.flat_map(|group| &mut group.linears) {
            linear.pack(level, trained);
        }
    }

    /// Adds the prompts to the cache as rows; `scores` becomes what comes after each.
    ///
    /// # Shapes
    /// `scores [prompts, v]`, row after row.
    ///
    /// # Errors
    /// [`Error::Batch`] when a prompt is empty or a token is not in the vocabulary.
    pub fn prefill<R: AsRef<[u32]> + Sync>(
        &self,
        cache: &mut Cache<E>,
        prompts: &[R],
        scores: &mut Vec<f32>,
    ) -> Result<(), Error> {
        rayon::scope(|_| self.read(cache, prompts, scores))
    }

    fn read<R: AsRef<[u32]>>(&self, cache: &mut Cache<E>, prompts: &[R], scores: &mut Vec<f32>) -> Result<(), Error> {
        let mut batch = Batch::new();
        for prompt in prompts {
            let prompt = prompt.as_ref();
            batch.push(prompt, &vec![false; prompt.len()])?;
        }
        batch.check(self.shape.vocab_size)?;
        let (first, count) = (cache.len(), self.virtual_count());
        for prompt in prompts {
            cache.rows.push(Row::default());
            cache.reserve(cache.len() - 1, count + prompt.as_ref().len());
        }
        let batch = batch.behind(count);
        if cache.front.is_none() {
            cache.front = self.front(None)?;
        }
        let Cache { keys, values, rows, saved, work, front, .. } = cache;
        let (pass, g) = (self.pass(&batch.ends, None, front.as_ref()), self.geometry(&batch.positions));
        self.embed(&pass, &batch, &mut work.x)?;
        for ((layer, keys), values) in self.layers.iter().zip(keys).zip(values) {
            let mut attend = Prompts { keys, values, rows: &rows[first..] };
            swap(&mut saved.x, &mut work.x);
            layer.forward(&pass, &g, saved, &mut work.scratch, &mut attend, &mut work.x)?;
        }
        for (row, prompt) in rows[first..].iter_mut().zip(prompts) {
            row.length = count + prompt.as_ref().len();
        }
        let last: Vec<usize> = batch.ends.iter().map(|end| end - 1).collect();
        self.head().logits(&pass, &g, &work.x, &last, &mut work.head, scores)
    }

    /// Gives each row of the cache its next token; `scores` becomes what comes after it.
    ///
    /// # Shapes
    /// `tokens [rows]`, `scores [rows, v]`, row after row.
    ///
    /// # Errors
    /// [`Error::Batch`] when there is not one token for each row, or one is not in the vocabulary.
    pub fn step(&self, cache: &mut Cache<E>, tokens: &[u32], scores: &mut Vec<f32>) -> Result<(), Error> {
        rayon::scope(|_| self.advance(cache, tokens, scores))
    }

    fn advance(&self, cache: &mut Cache<E>, tokens: &[u32], scores: &mut Vec<f32>) -> Result<(), Error> {
        let count = cache.len();
        if count == 0 || tokens.len() != count {
            return Err(Error::Batch(format!("{} tokens for a cache of {count} rows", tokens.len())));
        }
        for row in 0..count {
            cache.reserve(row, cache.rows[row].length + 1);
        }
        let positions = cache.rows.iter().map(|r| r.length as u32).collect();
        let batch = Batch { tokens: tokens.to_vec(), ends: (1..=count).collect(), positions, ..Batch::new() };
        let (pass, g) = (self.pass(&batch.ends, None, None), self.geometry(&batch.positions));
        let Cache { keys, values, rows, saved, work, .. } = cache;
        self.embed(&pass, &batch, &mut work.x)?;
        for ((layer, keys), values) in self.layers.iter().zip(keys).zip(values) {
            let mut attend = NewTokens { keys, values, rows };
            swap(&mut saved.x, &mut work.x);
            layer.forward(&pass, &g, saved, &mut work.scratch, &mut attend, &mut work.x)?;
        }
        rows.iter_mut().for_each(|row| row.length += 1);
        self.head().logits(&pass, &g, &work.x, &(0..count).collect::<Vec<_>>(), &mut work.head, scores)
    }
}
