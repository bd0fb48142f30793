//! Rows of tokens of different lengths, padded to one width, with the position of each token and what it may see.

use std::borrow::Cow;

use candle_core::{Device, Tensor};

use crate::Error;

/// The token that stands where a row has none, and at the places of virtual ones; no loss is taken there.
const PADDING: u32 = 0;

/// Padded rows. Build one with [`Batch::right_padded`] or [`Batch::left_padded`].
#[derive(Clone, Debug)]
pub struct Batch {
    /// Row after row, each `width` long.
    tokens: Vec<u32>,
    /// Of each token in its own row, from 0.
    positions: Vec<u32>,
    /// Tokens of each row, padding and virtual ones excluded.
    lengths: Vec<usize>,
    width: usize,
    /// Places of virtual tokens, before all else in each row.
    prefix: usize,
    side: Side,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

impl Batch {
    /// Rows that all begin at the left: for training and for prompts.
    ///
    /// # Errors
    /// [`Error::Batch`] when there is no row or one is empty.
    pub fn right_padded<R: AsRef<[u32]>>(rows: &[R]) -> Result<Self, Error> {
        Self::padded(rows, Side::Right)
    }

    /// Rows that all end at the right.
    ///
    /// # Errors
    /// [`Error::Batch`] when there is no row or one is empty.
    pub fn left_padded<R: AsRef<[u32]>>(rows: &[R]) -> Result<Self, Error> {
        Self::padded(rows, Side::Left)
    }

    fn padded<R: AsRef<[u32]>>(rows: &[R], side: Side) -> Result<Self, Error> {
        let lengths: Vec<usize> = rows.iter().map(|r| r.as_ref().len()).collect();
        let width = lengths.iter().copied().max().unwrap_or(0);
        if lengths.is_empty() || lengths.contains(&0) {
            return Err(Error::Batch("a batch needs at least one row, and each row at least one token".into()));
        }
        let (mut tokens, mut positions) = (vec![], vec![]);
        for row in rows {
            let row = row.as_ref();
            let padding = width - row.len();
            let before = if side == Side::Left { padding } else { 0 };
            tokens.extend(std::iter::repeat_n(PADDING, before));
            tokens.extend_from_slice(row);
            tokens.extend(std::iter::repeat_n(PADDING, padding - before));
            positions.extend((0..width).map(|i| i.saturating_sub(before) as u32));
        }
        Ok(Self { tokens, positions, lengths, width, prefix: 0, side })
    }

    /// The same rows, each behind `count` places of virtual tokens.
    pub(crate) fn with_prefix(&self, count: usize) -> Cow<'_, Self> {
        if count == 0 {
            return Cow::Borrowed(self);
        }
        let (mut tokens, mut positions) = (vec![], vec![]);
        for (row, places) in self.tokens.chunks(self.width).zip(self.positions.chunks(self.width)) {
            tokens.extend(std::iter::repeat_n(PADDING, count));
            tokens.extend_from_slice(row);
            positions.extend(0..count as u32);
            positions.extend(places.iter().map(|p| p + count as u32));
        }
        let (lengths, width, prefix) = (self.lengths.clone(), self.width + count, self.prefix + count);
        Cow::Owned(Self { tokens, positions, lengths, width, prefix, side: self.side })
    }

    /// Indices among the tokens of this batch as they are among those of [`Batch::with_prefix`].
    pub(crate) fn indices_with_prefix<'a>(&self, count: usize, indices: &'a [u32]) -> Cow<'a, [u32]> {
        if count == 0 {
            return Cow::Borrowed(indices);
        }
        indices.iter().map(|i| i + count as u32 * (i / self.width as u32 + 1)).collect()
    }

    /// Number of rows, `b`.
    pub fn rows(&self) -> usize {
        self.lengths.len()
    }

    /// Tokens in a row, padding included and, within the model, virtual ones, `t`.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Tokens of each row, padding excluded.
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// Index of token `i` of row `row` among all `b·t`.
    pub fn index(&self, row: usize, i: usize) -> u32 {
        (row * self.width + self.prefix + self.padding_before(row) + i) as u32
    }

    /// Padding that a row begins with, after its virtual tokens.
    fn padding_before(&self, row: usize) -> usize {
        if self.side == Side::Left { self.width - self.prefix - self.lengths[row] } else { 0 }
    }

    pub(crate) fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Positions `[t]` when all rows have the same, else `[b·t]`.
    pub(crate) fn positions(&self) -> &[u32] {
        let shared = self.side == Side::Right;
        if shared { &self.positions[..self.width] } else { &self.positions }
    }

    /// What is added to scores: 0 where a query sees a key, or by `slopes` of heads its fall with distance (ALiBi), -inf
    /// where it does not see it; `[b or 1, h or 1, t, t]`.
    ///
    /// With a window of `size`, a query sees the keys less than `size` places before it, its own included.
    ///
    /// Padding sees itself, so that no query is left without a key. On the right it needs no mask of its own:
    /// the tokens before it never look ahead.
    pub(crate) fn mask(&self, window: Option<usize>, slopes: &[f32], device: &Device) -> Result<Tensor, Error> {
        let rows = if self.side == Side::Right { 1 } else { self.rows() };
        let slopes = if slopes.is_empty() { &[0.0] } else { slopes };
        let mut mask = Vec::with_capacity(rows * slopes.len() * self.width * self.width);
        for (row, slope) in (0..rows).flat_map(|row| slopes.iter().map(move |slope| (row, slope))) {
            let padding = self.prefix..self.prefix + self.padding_before(row);
            for query in 0..self.width {
                let is_near = |key: usize| window.is_none_or(|size| key + size > query);
                let sees = |key: usize| key == query || key < query && !padding.contains(&key) && is_near(key);
                let fall = |key: usize| slope * (key as f32 - query as f32);
                mask.extend((0..self.width).map(|key| if sees(key) { fall(key) } else { f32::NEG_INFINITY }));
            }
        }
        Ok(Tensor::from_vec(mask, (rows, slopes.len(), self.width, self.width), device)?)
    }
}

/// The tokens of a batch that the model is to predict, each from those before it in its row.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    /// Where the prediction is made: indices among the `b·t` tokens, one before the label.
    pub(crate) from: Vec<u32>,
    /// What comes next there.
    pub(crate) labels: Vec<u32>,
}

impl Targets {
    /// The labels of a batch: `is_label[row][i]` says that token `i` is to be predicted. The first token of a row
    /// has nothing before it and is never one.
    ///
    /// # Errors
    /// [`Error::Batch`] when the marks do not have the rows and lengths of `batch`.
    pub fn new<R: AsRef<[bool]>>(batch: &Batch, is_label: &[R]) -> Result<Self, Error> {
        let lengths = is_label.iter().map(|row| row.as_ref().len());
        if !lengths.eq(batch.lengths.iter().copied()) {
            return Err(Error::Batch("the label marks do not have the lengths of the rows".into()));
        }
        let mut targets = Self::default();
        for (row, marks) in is_label.iter().enumerate() {
            let marked = marks.as_ref().iter().enumerate().skip(1).filter(|(_, is_label)| **is_label);
            for (i, _) in marked {
                targets.from.push(batch.index(row, i - 1));
                targets.labels.push(batch.tokens[batch.index(row, i) as usize]);
            }
        }
        Ok(targets)
    }

    /// The same labels in the rows of [`Batch::with_prefix`].
    pub(crate) fn with_prefix(&self, batch: &Batch, count: usize) -> Cow<'_, Self> {
        match batch.indices_with_prefix(count, &self.from) {
            Cow::Borrowed(_) => Cow::Borrowed(self),
            Cow::Owned(from) => Cow::Owned(Self { from, labels: self.labels.clone() }),
        }
    }

    /// Number of labels.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}
