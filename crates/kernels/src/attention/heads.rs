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
    /// `cap · tanh(score / cap)` in place of each scaled score (Gemma 2). Above 0.
    pub softcap: Option<f32>,
    pub key_bias: KeyBias,
}

/// What is added to a scaled score, after any cap, for the place of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyBias {
    None,
    /// A slope of the head's own times the distance from query back to key (Press et al. 2022, "Train short, test long").
    Alibi,
}

impl KeyBias {
    /// What head `head` of `heads` loses for each position of distance. Of a power of two of heads `2^(-8 (i+1) / heads)`;
    /// else, as the authors' code and BLOOM have it, those of the power of two below, then every second one of that above.
    pub fn slope(self, head: usize, heads: usize) -> f32 {
        match self {
            Self::None => 0.0,
            Self::Alibi => {
                let below = 1 << heads.max(1).ilog2();
                let (number, of) = if head < below { (head + 1, below) } else { (2 * (head - below) + 1, 2 * below) };
                2f64.powf(-8.0 * number as f64 / of as f64) as f32
            }
        }
    }
}

impl AttentionSpec {
    /// Causal attention as most decoders have it: scores scaled by `1 / sqrt(head_dim)`, every earlier key seen.
    pub fn causal(heads: Heads) -> Self {
        let scale = 1.0 / (heads.head_dim as f32).sqrt();
        Self { heads, scale, window: None, softcap: None, key_bias: KeyBias::None }
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
        assert!(self.softcap.is_none_or(|cap| cap > 0.0), "a soft cap that is not above 0");
    }

    /// Whether scores are more than products times the scale, and shaped before their softmax.
    pub(super) fn is_shaped(&self) -> bool {
        self.softcap.is_some() || self.key_bias != KeyBias::None
    }

    /// What is left to multiply tiles of scores with: nothing where they are shaped, which scales them.
    pub(super) fn softmax_scale(&self) -> f32 {
        if self.is_shaped() { 1.0 } else { self.scale }
    }

    /// What tiles of scores are multiplied by to be exponents of two.
    pub(super) fn factor(&self) -> f32 {
        self.softmax_scale() * std::f32::consts::LOG2_E
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
