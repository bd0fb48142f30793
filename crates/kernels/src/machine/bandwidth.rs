//! How fast memory is read: the floor under whatever reads each weight once, as a decoding step of one text does.

use std::hint::black_box;
use std::time::Instant;

use rayon::prelude::*;

use crate::SimdLevel;
use crate::simd::multiversion::multiversion;

/// Words that are read: beyond every cache.
const WORDS: usize = 1 << 26;
/// Words of a task.
const PIECE: usize = 1 << 16;
/// Of so many passes the fastest counts, as others on the machine only take from it.
const PASSES: usize = 7;

/// Bytes per second that all threads together read from memory. Takes about a second and half a gibibyte.
pub fn read_bandwidth(level: SimdLevel) -> f64 {
    let words: Vec<u64> = (0..WORDS as u64).into_par_iter().collect();
    let pass = |_| {
        let begin = Instant::now();
        let total = words.par_chunks(PIECE).map(|piece| sum(level, piece)).reduce(|| 0, u64::wrapping_add);
        black_box(total);
        begin.elapsed().as_secs_f64()
    };
    let fastest = (0..PASSES).map(pass).fold(f64::INFINITY, f64::min);
    size_of_val(words.as_slice()) as f64 / fastest
}

multiversion! {
    /// The words' sum, in lanes enough that loads and not additions are waited for.
    fn sum(words: &[u64]) -> u64 {
        let mut lanes = [0u64; 64];
        for words in words.as_chunks::<64>().0 {
            for i in 0..64 {
                lanes[i] = lanes[i].wrapping_add(words[i]);
            }
        }
        lanes.into_iter().fold(0, u64::wrapping_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_adds_all_words() {
        let words: Vec<u64> = (0..PIECE as u64).collect();
        for level in SimdLevel::available() {
            assert_eq!(sum(level, &words), (PIECE as u64 - 1) * PIECE as u64 / 2, "{level:?}");
        }
    }
}
