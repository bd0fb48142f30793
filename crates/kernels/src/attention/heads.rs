//! What an attention is: heads, how scores are made of products, and sequences packed end to end.

/// Heads of an attention: each key/value head serves `heads / kv_heads` query heads, neighbours of each other
/// (grouped-query attention).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    pub heads: usize,
    pub kv_heads: usize,
    /// Numbers of a head.
    pub head_dim: usize,
}

impl Heads {
    /// Query heads of a key/value head.
    pub(super) fn group(self) -> usize {
        self.heads / self.kv_heads
    }

    /// Numbers of a token in `qkv`.
    pub(super) fn row(self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.head_dim
    }

    /// The columns of `qkv` with which the first key and the first value begin.
    pub(super) fn key_column(self) -> usize {
        self.heads * self.head_dim
    }
    pub(super) fn value_column(self) -> usize {
        (self.heads + self.kv_heads) * self.head_dim
    }
}

/// An attention: its heads, and how a score is made of the product of a query and a key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionSpec {
    pub heads: Heads,
    /// What products are multiplied by.
    pub scale: f32,
    /// Sliding window: query `i` sees the keys `i - window < j <= i` alone (Beltagy et al. 2020, as Mistral has it and
    /// transformers counts it). Above 0.
    pub window: Option<usize>,
}

impl AttentionSpec {
    /// Causal attention as most decoders have it: scores scaled by `1 / sqrt(head_dim)`, every earlier key seen.
    pub fn causal(heads: Heads) -> Self {
        Self { heads, scale: 1.0 / (heads.head_dim as f32).sqrt(), window: None }
    }

    /// The first key that a query sees.
    pub(super) fn first_key(&self, query: usize) -> usize {
        self.window.map_or(0, |window| (query + 1).saturating_sub(window))
    }

    pub(super) fn check(&self) {
        let Heads { heads, kv_heads, head_dim } = self.heads;
        assert!(heads * kv_heads * head_dim > 0, "attention without heads or width");
        assert!(heads.is_multiple_of(kv_heads), "{heads} heads cannot share {kv_heads} key/value heads evenly");
        assert!(self.window != Some(0), "a sliding window of no key");
    }

    /// What products are multiplied by to be exponents of two.
    pub(super) fn factor(&self) -> f32 {
        self.scale * std::f32::consts::LOG2_E
    }
}

/// Tokens `from..to` of a buffer; at least one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sequence {
    pub from: usize,
    pub to: usize,
}

impl Sequence {
    pub fn len(self) -> usize {
        self.to - self.from
    }
}

/// Tokens in all, and the sequences that have any; `length` is that of `qkv`.
///
/// # Panics
/// When the lengths do not fit.
pub(super) fn sequences(spec: &AttentionSpec, seq_ends: &[usize], length: usize) -> (usize, Vec<Sequence>) {
    spec.check();
    let row = spec.heads.row();
    let n = length / row;
    assert!(length == n * row && seq_ends.last().copied().unwrap_or(0) == n, "shapes of attention");
    assert!(seq_ends.is_sorted(), "ends of sequences must increase");
    let starts = std::iter::once(0).chain(seq_ends.iter().copied());
    let sequences = starts.zip(seq_ends.iter().copied()).map(|(from, to)| Sequence { from, to });
    (n, sequences.filter(|sequence| sequence.len() > 0).collect())
}
