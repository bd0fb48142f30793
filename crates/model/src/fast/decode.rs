//! Generation: prompts are read into a cache's rows, and each row grows token by token.
//!
//! A row's logits are the same bytes whatever rows stand beside it: rows may come and go between steps, and an answer
//! does not depend on the company it was made in.

use std::iter::repeat_n;
use std::mem::swap;

use tunebench_kernels::ops::rope::RopeTables;
use tunebench_kernels::with_team;

use super::attention::KeyValues;
use super::batch::Batch;
use super::cache::{Buffers, Cache, NewTokens, Pool, Prompts, Row};
use super::head::LABELS_AT_ONCE;
use super::layer::Layer;
use super::model::Model;
use super::pass::{Pass, Rope};
use super::row_adapters::RowAdapters;
use super::storage::Storage;
use crate::Error;

impl<E: Storage> Model<E> {
    /// Makes the model ready to answer only: linear weights are packed for the forward pass, the plain ones let go.
    pub fn pack(&mut self) {
        let (level, trained) = (self.options.level, &self.trained);
        let fused = self.layers.iter_mut().flat_map(Layer::linears_mut).chain([&mut self.head.linear]);
        for linear in fused.flat_map(|fused| fused.linears_mut()) {
            linear.pack_for_answers(level, trained);
        }
    }

    /// Adds the prompts to the cache as rows; `logits` become those of what comes after each.
    ///
    /// # Shapes
    /// `logits [prompts, v]`, row after row.
    ///
    /// # Errors
    /// [`Error::Batch`] when a prompt is empty or a token is not in the vocabulary.
    pub fn prefill<R: AsRef<[u32]> + Sync>(
        &self,
        cache: &mut Cache<E>,
        prompts: &[R],
        logits: &mut Vec<f32>,
    ) -> Result<(), Error> {
        self.prefill_adapted(cache, prompts, &vec![0; prompts.len()], logits)
    }

    /// As [`Model::prefill`], in a model of several adapters ([`Model::grouped`]): by its number the one that each prompt's row
    /// has from now on. A model that is not one of several has number 0 alone.
    ///
    /// # Errors
    /// As [`Model::prefill`]; [`Error::Batch`] when there is no such adapter, or not one for each prompt.
    pub fn prefill_adapted<R: AsRef<[u32]> + Sync>(
        &self,
        cache: &mut Cache<E>,
        prompts: &[R],
        adapters: &[usize],
        logits: &mut Vec<f32>,
    ) -> Result<(), Error> {
        rayon::scope(|_| {
            let batch = self.read(cache, prompts, adapters)?;
            self.score_last(cache, &batch, adapters, logits)
        })
    }

    /// As [`Model::prefill_adapted`], and shows the logits after every token of the prompts, some at a time: `each` is told the number
    /// of the first, counted over the prompts end to end without virtual tokens, and `[m, v]` of it and those behind it.
    ///
    /// # Errors
    /// As [`Model::prefill_adapted`].
    pub fn prefill_scored<R: AsRef<[u32]> + Sync>(
        &self,
        cache: &mut Cache<E>,
        prompts: &[R],
        adapters: &[usize],
        each: &mut (dyn FnMut(usize, &[f32]) + Send),
        logits: &mut Vec<f32>,
    ) -> Result<(), Error> {
        rayon::scope(|_| {
            let batch = self.read(cache, prompts, adapters)?;
            let indices: Vec<usize> = (0..batch.own_tokens()).map(|i| batch.index_behind_prefix(i)).collect();
            let of_tokens = prompts.iter().zip(adapters).flat_map(|(p, adapter)| repeat_n(*adapter, p.as_ref().len()));
            let of_tokens: Vec<usize> = of_tokens.collect();
            let chunks = indices.chunks(LABELS_AT_ONCE).zip(of_tokens.chunks(LABELS_AT_ONCE));
            for (number, (indices, adapters)) in chunks.enumerate() {
                let rows = self.row_adapters(adapters.iter().map(|adapter| (*adapter, 1)));
                let Buffers { x, head, .. } = &mut cache.buffers;
                self.head.logits(&self.head_pass(rows.as_ref()), x, indices, head, logits)?;
                each(number * LABELS_AT_ONCE, logits);
            }
            self.score_last(cache, &batch, adapters, logits)
        })
    }

    /// Which rows have which adapter, where there are several: an adapter, and how many rows in succession it has.
    fn row_adapters(&self, rows: impl IntoIterator<Item = (usize, usize)>) -> Option<RowAdapters> {
        (self.adapters > 0).then(|| RowAdapters::new(self.adapters, rows))
    }

    /// A pass over rows of the head alone, which knows of no positions.
    fn head_pass<'a>(&'a self, adapters: Option<&'a RowAdapters>) -> Pass<'a, E> {
        let rope = Rope { global: RopeTables::default(), local: None };
        let (level, trained) = (self.options.level, &self.trained);
        Pass { level, trained, seq_ends: &[], rope, dropout: None, prefix: None, adapters }
    }

    /// Reads the prompts into new rows; the residual stream behind them is in the cache's buffers.
    fn read<R: AsRef<[u32]>>(&self, cache: &mut Cache<E>, prompts: &[R], adapters: &[usize]) -> Result<Batch, Error> {
        let batch = Batch::unlabelled(prompts.iter().map(AsRef::as_ref), self.virtual_tokens())?;
        self.check(&batch)?;
        let count = self.adapters.max(1);
        if adapters.len() != prompts.len() {
            return Err(Error::Batch(format!("{} adapters for {} prompts", adapters.len(), prompts.len())));
        }
        if let Some(none) = adapters.iter().find(|adapter| **adapter >= count) {
            return Err(Error::Batch(format!("no adapter {none} in a model of {count}")));
        }
        if cache.prefix.is_none() {
            cache.prefix = self.prefix(None)?;
        }
        let first = cache.len();
        let Cache { pools, rows, buffers, prefix } = cache;
        let lens = prompts.iter().map(|prompt| self.virtual_tokens() + prompt.as_ref().len());
        for (len, adapter) in lens.clone().zip(adapters) {
            let mut row = Row::of(*adapter);
            pools.reserve(&mut row, len, len);
            rows.push(row);
        }
        let of_rows = self.row_adapters(adapters.iter().copied().zip(lens.clone()));
        let pass = Pass { adapters: of_rows.as_ref(), ..self.pass(&batch, None, prefix.as_ref()) };
        let new = &rows[first..];
        self.through_cache(&pass, &batch, &mut pools.layers, buffers, |pool| Prompts { pool, rows: new })?;
        rows[first..].iter_mut().zip(lens).for_each(|(row, len)| row.len = len);
        Ok(batch)
    }

    /// Logits of what comes after each text of the batch that was just read.
    fn score_last(
        &self,
        cache: &mut Cache<E>,
        batch: &Batch,
        adapters: &[usize],
        logits: &mut Vec<f32>,
    ) -> Result<(), Error> {
        let last: Vec<usize> = batch.seq_ends().iter().map(|end| end - 1).collect();
        let rows = self.row_adapters(adapters.iter().map(|adapter| (*adapter, 1)));
        let Buffers { x, head, .. } = &mut cache.buffers;
        self.head.logits(&self.head_pass(rows.as_ref()), x, &last, head, logits)
    }

    /// Gives each row of the cache its next token; `logits` become those of what comes after it.
    ///
    /// # Shapes
    /// `tokens [rows]`, `logits [rows, v]`, row after row.
    ///
    /// # Errors
    /// [`Error::Batch`] when there is not one token for each row, or one is not in the vocabulary.
    pub fn step(&self, cache: &mut Cache<E>, tokens: &[u32], logits: &mut Vec<f32>) -> Result<(), Error> {
        with_team(|| self.advance(cache, tokens, logits))
    }

    fn advance(&self, cache: &mut Cache<E>, tokens: &[u32], logits: &mut Vec<f32>) -> Result<(), Error> {
        let count = cache.len();
        if count == 0 || tokens.len() != count {
            return Err(Error::Batch(format!("{} tokens for a cache of {count} rows", tokens.len())));
        }
        let Cache { pools, rows, buffers, .. } = cache;
        // Those of an adapter lie together, so that few tiles of a product are of several.
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by_key(|row| rows[*row].adapter);
        let tokens: Vec<u32> = order.iter().map(|row| tokens[*row]).collect();
        let batch = Batch::next_tokens(&tokens, order.iter().map(|row| rows[*row].len as u32).collect());
        batch.check(self.shape.vocab_size, 0, self.learned_positions())?;
        for row in rows.iter_mut() {
            pools.reserve(row, row.len + 1, row.len);
        }
        let sorted: Vec<&Row> = order.iter().map(|row| &rows[*row]).collect();
        let of_rows = self.row_adapters(sorted.iter().map(|row| (row.adapter, 1)));
        let pass = Pass { adapters: of_rows.as_ref(), ..self.pass(&batch, None, None) };
        self.through_cache(&pass, &batch, &mut pools.layers, buffers, |pool| NewTokens { pool, rows: &sorted })?;
        // From here on in the order of the cache again.
        let mut places = vec![0; count];
        order.iter().enumerate().for_each(|(place, row)| places[*row] = place);
        rows.iter_mut().for_each(|row| row.len += 1);
        let of_rows = self.row_adapters(rows.iter().map(|row| (row.adapter, 1)));
        self.head.logits(&self.head_pass(of_rows.as_ref()), &buffers.x, &places, &mut buffers.head, logits)
    }

    /// Through all layers, each with its pool of the cache: `buffers.x [n, d]`.
    fn through_cache<'a, K: KeyValues<E>>(
        &self,
        pass: &Pass<'_, E>,
        batch: &Batch,
        pools: &'a mut [Pool<E>],
        buffers: &mut Buffers<E>,
        keys_values: impl Fn(&'a mut Pool<E>) -> K,
    ) -> Result<(), Error> {
        let Buffers { embedding, activations, scratch, x, .. } = buffers;
        self.embedding.forward(pass, batch, embedding, x);
        for (layer, pool) in self.layers.iter().zip(pools) {
            swap(&mut activations.x, x);
            layer.forward(pass, activations, scratch, &mut keys_values(pool), x)?;
        }
        Ok(())
    }
}
