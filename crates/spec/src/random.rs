//! Counter-based randomness: a value depends on its key alone, never on what was drawn before.
//!
//! Every random choice of the host (subset, shuffle, initial weights, dropout, sampling) comes from here, so
//! that a resumed run draws what an uninterrupted one would, and batches can be formed in any order.
//! The generator is SplitMix64 over a hashed key (Steele, Lea, Flood 2014, "Fast splittable pseudorandom
//! number generators").

/// A stream of random values named by its key.
#[derive(Clone, Debug)]
pub struct Stream {
    state: u64,
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

#[inline]
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Stream {
    /// The stream of `seed` for the purpose and place that `words` name.
    pub fn new(seed: u64, words: &[u64]) -> Self {
        let state = words.iter().fold(mix(seed ^ GOLDEN), |s, w| mix(s.wrapping_add(GOLDEN) ^ mix(*w)));
        Self { state }
    }

    /// The stream of `seed` for a named place, e.g. a parameter's name.
    pub fn named(seed: u64, name: &str) -> Self {
        let words: Vec<u64> = name.bytes().map(u64::from).collect();
        Self::new(seed, &words)
    }

    /// Uniform over all 64-bit values.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }

    /// What the `n`-th call (from 0) of [`Stream::next_u64`] from here on would yield.
    #[inline]
    pub fn nth_u64(&self, n: u64) -> u64 {
        mix(self.state.wrapping_add(n.wrapping_add(1).wrapping_mul(GOLDEN)))
    }

    /// Uniform in [0, 1), 53 bits.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Standard normal, by Box-Muller.
    pub fn normal(&mut self) -> f64 {
        let u = 1.0 - self.uniform(); // in (0, 1]: the logarithm is finite
        let v = self.uniform();
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    /// Uniform in `0..n`; 0 when `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(n)) >> 64) as u64
    }

    /// Fisher-Yates over a slice.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64 + 1) as usize);
        }
    }
}
