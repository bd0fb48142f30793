//! Examples of drawn tokens for golden models, whose vocabulary has 96: what is learnt of each is all behind its first two.

use tunebench_dataset::Tokenized;
use tunebench_spec::random::Stream;

/// So many, each of at least `shortest` tokens and less than `shortest + spread`.
pub fn drawn(mut stream: Stream, count: usize, shortest: usize, spread: u64) -> Vec<Tokenized> {
    let example = |_| {
        let length = shortest + stream.below(spread) as usize;
        let tokens = (0..length).map(|_| 3 + stream.below(93) as u32).collect();
        Tokenized { tokens, is_label: (0..length).map(|i| i >= 2).collect() }
    };
    (0..count).map(example).collect()
}
