//! Sizes of the largest study that a report must bear, and texts of its length.

use tunebench_spec::random::Stream;

pub const ARMS: usize = 20;
pub const SEEDS: u64 = 5;
pub const ITEMS: usize = 1_000;
pub const JUDGES: usize = 3;
/// Characters.
pub const ANSWER: usize = 300;
pub const WORDS: usize = 120;
/// Different words that texts are made of, the frequent ones first: about as compressible as prose.
const VOCABULARY: usize = 20_000;

pub fn arm_name(arm: usize) -> String {
    format!("model-{} + tuner-{}({})", arm % 5, arm % 4, 500 * (arm + 1))
}

/// Words of two to nine letters, as `random` spells them.
pub fn vocabulary() -> Vec<String> {
    let mut random = Stream::named(2, "vocabulary");
    let word = |random: &mut Stream| {
        let length = 2 + random.below(8);
        (0..length).map(|_| char::from(b'a' + random.below(26) as u8)).collect()
    };
    (0..VOCABULARY).map(|_| word(&mut random)).collect()
}

/// Prose of about so many characters, frequent words more often (Zipf).
pub fn prose(random: &mut Stream, vocabulary: &[String], characters: usize) -> String {
    let mut text = String::with_capacity(characters + 10);
    while text.len() < characters {
        let rank = (VOCABULARY as f64).powf(random.uniform()) as usize - 1;
        text.push_str(vocabulary.get(rank).map_or("", String::as_str));
        text.push(' ');
    }
    text
}
