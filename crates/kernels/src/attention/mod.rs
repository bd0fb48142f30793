//! Causal softmax attention over packed examples, forward and backward, without a matrix of all scores; and that of new
//! tokens against a cache.
//!
//! Scores are computed transposed, a strip of queries against a block of keys, so that the softmax runs down columns:
//! everything about a query is a lane of a vector (the online softmax of Dao et al. 2022, "FlashAttention"). The
//! backward pass recomputes the strips from the log-sum-exp of each query.
//!
//! Blocks begin where an example begins and are summed in an order that depends on the example alone. So an example's
//! results are the same bytes whatever stands beside it, and however many threads work.

mod backward;
mod blocks;
mod decode;
#[cfg(target_arch = "x86_64")]
mod dots;
mod forward;
#[cfg(target_arch = "x86_64")]
mod pairs;
mod softmax;
mod strip;

use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

pub use decode::{BLOCK, Cache, decode};

#[cfg(target_arch = "x86_64")]
use crate::product::micro;
use crate::product::micro::Portable;
use crate::{Element, Level};

/// Heads of an attention: each key/value head serves `heads / kv_heads` query heads, neighbours of each other.
#[derive(Clone, Copy, Debug)]
pub struct Heads {
    pub heads: usize,
    pub kv_heads: usize,
    /// Numbers of a head.
    pub width: usize,
}

impl Heads {
    /// Query heads of a key/value head.
    fn group(self) -> usize {
        self.heads / self.kv_heads
    }

    /// Numbers of a token in `qkv`.
    fn row(self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.width
    }

    /// What scores are multiplied by.
    fn scale(self) -> f32 {
        1.0 / (self.width as f32).sqrt()
    }

    fn check(self) {
        let Self { heads, kv_heads, width } = self;
        assert!(heads * kv_heads * width > 0, "attention without heads or width");
        assert!(heads.is_multiple_of(kv_heads), "{heads} heads cannot share {kv_heads} key/value heads evenly");
    }
}

/// Attends every token to the tokens of its example up to itself; scores are scaled by `1 / sqrt(width)`.
///
/// # Shapes
/// `n` tokens, `h` heads, `k` key/value heads of `e` numbers. `qkv [n, (h + 2k) e]`: the queries, then the keys, then
/// the values of a token; `ends`: where each example ends, increasing, the last one `n`; `out [n, h e]`;
/// `lse [h, n]`: the logarithm of the summed exponentials of the scaled scores.
pub fn forward<E: Element>(level: Level, heads: Heads, ends: &[usize], qkv: &[E], out: &mut [E], lse: &mut [f32]) {
    let (n, examples) = examples(heads, ends, qkv.len());
    assert!(out.len() == n * heads.heads * heads.width && lse.len() == n * heads.heads, "shapes of attention");
    on_level::<E>(level, forward::Forward { heads, examples: &examples, qkv, out, lse });
}

/// The gradient of [`forward`]: from `d_out`, that of its result, to `d_qkv`, which is overwritten wholly.
///
/// # Shapes
/// As in [`forward`], which made `out` and `lse`; `d_out [n, h e]`, `d_qkv [n, (h + 2k) e]`.
#[allow(clippy::too_many_arguments)]
pub fn backward<E: Element>(
    level: Level,
    heads: Heads,
    ends: &[usize],
    qkv: &[E],
    out: &[E],
    lse: &[f32],
    d_out: &[E],
    d_qkv: &mut [E],
) {
    let (n, examples) = examples(heads, ends, qkv.len());
    let width = heads.heads * heads.width;
    assert!(out.len() == n * width && d_out.len() == n * width, "shapes of attention");
    assert!(lse.len() == n * heads.heads && d_qkv.len() == qkv.len(), "shapes of attention");
    on_level::<E>(level, backward::Backward { heads, examples: &examples, qkv, out, lse, d_out, d_qkv });
}

/// Tokens `from..to` of a buffer; at least one.
#[derive(Clone, Copy, Debug)]
struct Example {
    from: usize,
    to: usize,
}

impl Example {
    fn len(self) -> usize {
        self.to - self.from
    }
}

/// Tokens in all, and the examples that have any.
fn examples(heads: Heads, ends: &[usize], length: usize) -> (usize, Vec<Example>) {
    heads.check();
    let n = length / heads.row();
    assert!(length == n * heads.row() && ends.last().copied().unwrap_or(0) == n, "shapes of attention");
    let starts = std::iter::once(0).chain(ends.iter().copied());
    let examples = starts.zip(ends.iter().copied()).map(|(from, to)| Example { from, to });
    (
        n,
        examples
            .inspect(|e| assert!(e.from <= e.to, "ends of examples must increase"))
            .filter(|e| e.len() > 0)
            .collect(),
    )
}

/// Work to be done with one kernel or another.
trait Work {
    fn run<K: strip::Attend>(self);
}

/// Does `work` with the kernel that multiplies numbers stored as `E` on this level.
fn on_level<E: Element>(level: Level, work: impl Work) {
    match (level.min(Level::best()), E::IS_BF16) {
        #[cfg(target_arch = "x86_64")]
        (Level::Amx, true) => work.run::<micro::Amx>(),
        #[cfg(target_arch = "x86_64")]
        (Level::Avx512Bf16, true) => work.run::<micro::Avx512Bf16>(),
        #[cfg(target_arch = "x86_64")]
        (Level::Amx | Level::Avx512Bf16 | Level::Avx512, _) => work.run::<micro::Avx512>(),
        #[cfg(target_arch = "x86_64")]
        (Level::Avx2, _) => work.run::<micro::Avx2>(),
        _ => work.run::<Portable>(),
    }
}

/// Does `work(0)` to `work(count - 1)` on all threads; none begins before those with lower numbers have begun.
fn in_order(count: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    (0..count).into_par_iter().with_max_len(1).for_each(|_| work(next.fetch_add(1, Ordering::Relaxed)));
}
