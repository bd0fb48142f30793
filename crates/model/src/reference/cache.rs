//! Generation: keys and values of the tokens seen, kept so that each new token costs one step.
//!
//! The cache is a list of rows, each a text of its own length. [`ReferenceModel::prefill`] adds rows, [`ReferenceModel::step`] gives
//! every row one more token, [`Cache::swap_remove`] lets a finished one go: rows may come and go between steps.

use candle_core::{DType, Device, Tensor};

use crate::Error;
use crate::graph::ops;
use crate::reference::batch::Batch;
use crate::reference::model::ReferenceModel;
use crate::reference::weight::Pass;

/// Rows grow by this many tokens at a time.
const GROWTH: usize = 64;

/// Keys and values of some texts.
pub struct Cache {
    /// Of each layer `[rows, k, tokens, e]`, with room for more of both than are used.
    keys: Vec<Tensor>,
    values: Vec<Tensor>,
    /// Tokens of each row, virtual ones included.
    lengths: Vec<usize>,
    kv_heads: usize,
    head_dim: usize,
    dtype: DType,
    device: Device,
}

impl Cache {
    /// No rows yet.
    pub fn new(model: &ReferenceModel) -> Self {
        Self {
            keys: vec![],
            values: vec![],
            lengths: vec![],
            kv_heads: model.shape().attention.kv_heads,
            head_dim: model.shape().attention.head_dim,
            dtype: model.precision().dtype(),
            device: model.device().clone(),
        }
    }

    /// Tokens of each row so far, virtual ones included.
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// Drops a row; the last one takes its place.
    ///
    /// # Errors
    /// [`Error::Batch`] when there is no such row.
    pub fn swap_remove(&mut self, row: usize) -> Result<(), Error> {
        if row >= self.len() {
            return Err(Error::Batch(format!("no row {row} in a cache of {}", self.len())));
        }
        let last = self.len() - 1;
        if row != last {
            for tensor in self.keys.iter().chain(&self.values) {
                tensor.narrow(0, row, 1)?.slice_set(&tensor.narrow(0, last, 1)?.force_contiguous()?, 0, 0)?;
            }
        }
        self.lengths.swap_remove(row);
        Ok(())
    }

    /// Makes room for `rows` rows of `tokens` tokens in `layers` layers.
    fn reserve(&mut self, layers: usize, rows: usize, tokens: usize) -> Result<(), Error> {
        let (has_rows, has_tokens) = match self.keys.first() {
            Some(first) => (first.dim(0)?, first.dim(2)?),
            None => (0, 0),
        };
        if rows <= has_rows && tokens <= has_tokens {
            return Ok(());
        }
        let tokens = has_tokens.max(tokens.next_multiple_of(GROWTH));
        let dims = (has_rows.max(rows), self.kv_heads, tokens, self.head_dim);
        let used = self.lengths.iter().copied().max().unwrap_or(0);
        for tensors in [&mut self.keys, &mut self.values] {
            for layer in 0..layers {
                let grown = Tensor::zeros(dims, self.dtype, &self.device)?;
                let Some(old) = tensors.get_mut(layer) else {
                    tensors.push(grown);
                    continue;
                };
                for row in 0..self.lengths.len() {
                    let old = old.narrow(0, row, 1)?.narrow(2, 0, used)?.contiguous()?;
                    grown.narrow(0, row, 1)?.slice_set(&old, 2, 0)?;
                }
                *old = grown;
            }
        }
        Ok(())
    }

    /// Writes the first `count` tokens of row `from` of `keys`, `values` `[b, k, t, e]` to `row`, from token `at`.
    fn write(
        &self,
        layer: usize,
        [row, at]: [usize; 2],
        [keys, values]: [&Tensor; 2],
        [from, count]: [usize; 2],
    ) -> Result<(), Error> {
        for (cache, new) in [(&self.keys[layer], keys), (&self.values[layer], values)] {
            let new = new.narrow(0, from, 1)?.narrow(2, 0, count)?.contiguous()?;
            cache.narrow(0, row, 1)?.slice_set(&new, 2, at)?;
        }
        Ok(())
    }
}

impl ReferenceModel {
    /// Adds one row for each prompt, and scores what comes after it.
    ///
    /// # Shapes
    /// `[prompts, v]`.
    ///
    /// # Errors
    /// [`Error::Batch`] when a prompt is empty or a token is not in the vocabulary. The cache then has the rows
    /// that it had.
    pub fn prefill<R: AsRef<[u32]>>(&self, cache: &mut Cache, prompts: &[R]) -> Result<Tensor, Error> {
        let (batch, x) = self.read(cache, prompts)?;
        let last: Vec<u32> = batch.lengths().iter().enumerate().map(|(row, n)| batch.index(row, n - 1)).collect();
        self.logits_of(&x, &batch.indices_with_prefix(self.virtual_count(), &last))
    }

    /// As [`ReferenceModel::prefill`], and scores what comes after every token of the prompts, end to end without virtual
    /// tokens.
    ///
    /// # Shapes
    /// `[tokens, v]`, `[prompts, v]`.
    ///
    /// # Errors
    /// As [`ReferenceModel::prefill`].
    pub fn prefill_scored<R: AsRef<[u32]>>(&self, cache: &mut Cache, prompts: &[R]) -> Result<(Tensor, Tensor), Error> {
        let (batch, x) = self.read(cache, prompts)?;
        let lengths = batch.lengths();
        let all = lengths.iter().enumerate().flat_map(|(row, n)| (0..*n).map(move |token| (row, token)));
        let all: Vec<u32> = all.map(|(row, token)| batch.index(row, token)).collect();
        let all = self.logits_of(&x, &batch.indices_with_prefix(self.virtual_count(), &all))?;
        let ends = lengths.iter().scan(0, |end, n| {
            *end += *n as u32;
            Some(*end - 1)
        });
        let last = all.index_select(&Tensor::new(ends.collect::<Vec<_>>(), self.device())?, 0)?;
        Ok((all, last))
    }

    /// Reads prompts into new rows: the prompts as a batch, without virtual tokens, and what the last layer yields,
    /// virtual tokens included.
    fn read<R: AsRef<[u32]>>(&self, cache: &mut Cache, prompts: &[R]) -> Result<(Batch, Tensor), Error> {
        let own = Batch::right_padded(prompts)?;
        let count = self.virtual_count();
        let batch = own.with_prefix(count);
        let context = self.context(&batch, Pass::Eval)?;
        let mut x = self.embedded(&self.embed(batch.tokens())?, batch.positions(), &context)?;
        let first = cache.len();
        cache.reserve(self.layers.len(), first + batch.rows(), batch.width())?;
        for (i, layer) in self.layers.iter().enumerate() {
            x = layer.forward(&x, &context, |[q, k, v], mask, scores| {
                for (row, length) in batch.lengths().iter().enumerate() {
                    cache.write(i, [first + row, 0], [k, v], [row, count + length])?;
                }
                Ok(ops::attention(q, k, v, mask, scores)?)
            })?;
        }
        cache.lengths.extend(batch.lengths().iter().map(|length| count + length));
        drop(batch);
        Ok((own, x))
    }

    /// Gives each row of the cache its next token, and scores what comes after it.
    ///
    /// # Shapes
    /// `tokens [rows] -> [rows, v]`.
    ///
    /// # Errors
    /// [`Error::Batch`] when there is not one token for each row, or one is not in the vocabulary.
    pub fn step(&self, cache: &mut Cache, tokens: &[u32]) -> Result<Tensor, Error> {
        let rows = cache.len();
        if rows == 0 || tokens.len() != rows {
            return Err(Error::Batch(format!("{} tokens for a cache of {rows} rows", tokens.len())));
        }
        let longest = 1 + cache.lengths.iter().copied().max().unwrap_or(0);
        cache.reserve(self.layers.len(), rows, longest)?;
        let positions: Vec<u32> = cache.lengths.iter().map(|n| *n as u32).collect();
        let context = self.step_context(&positions, longest)?;
        let mut x = self.embedded(&self.embed(tokens)?, &positions, &context)?;
        for (i, layer) in self.layers.iter().enumerate() {
            x = layer.forward(&x, &context, |[q, k, v], mask, scores| {
                for (row, length) in cache.lengths.iter().enumerate() {
                    cache.write(i, [row, *length], [k, v], [row, 1])?;
                }
                let seen = |t: &Tensor| t.narrow(0, 0, rows)?.narrow(2, 0, longest);
                Ok(ops::attention(q, &seen(&cache.keys[i])?, &seen(&cache.values[i])?, mask, scores)?)
            })?;
        }
        cache.lengths.iter_mut().for_each(|n| *n += 1);
        self.logits_of(&x, &(0..rows as u32).collect::<Vec<_>>())
    }
}
