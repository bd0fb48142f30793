//! Reads the mark that a chat model gives in its reply, and refuses rather than guesses.
//!
//! [`read`] knows a grammar of marks, in Chinese and English, and the scale that the rubric declares:
//!
//! - behind a heading (`得分：0.8`, `**Final score:** 8/10`, `### 评分` above `80%`), in a table, in JSON, in LaTeX, in a
//!   sentence that gives it (`因此给0.8分`, `I rate this answer 8 out of 10`), or alone
//! - with what it is of: `8/10`, `8分（满分10分）`, `得分：1，满分10`, `80%`, `百分之八十`, `0.5+0.3=0.8`; a number alone stands on the
//!   rubric's scale, and one that is not on it is never divided by a guess
//! - one that is said to be final counts before those of parts that stand before it, one that is said to correct counts
//!   before all that stood before; several others must agree
//! - a range, a list, a number about which doubt is said, a condition, another's claim, a part's mark, and the rubric's
//!   own words are no marks
//! - what repeats the answer that is judged never counts, nor what stands between marks that hold a nonce
//!
//! Beside it is what judges share that ask a chat model: [`asking`] its settings and the request, [`nonce`] marks around
//! what is judged, [`logprobs`] a mark from the probabilities of its digits, [`Language`] which language to ask in.
//!
//! ```
//! use marks::{Options, read};
//!
//! let options = Options { answers: &["我认为得分：1"], ..Options::default() };
//! assert_eq!(read("模型自称“我认为得分：1”，但结果错误。得分：2/10", &options), Ok(0.2));
//! assert!(read("得分：8", &options).is_err(), "8 is not from 0 to 1, and nothing says what it is of");
//! ```

pub mod asking;
pub mod logprobs;
pub mod nonce;

mod bare;
mod before;
mod behind;
mod decide;
mod fault;
mod headed;
mod json;
mod language;
mod mark;
mod number;
mod quotes;
mod scale;
mod table;
mod text;
mod verbs;
mod words;

pub use fault::Fault;
pub use language::Language;
pub use quotes::QUOTED;
pub use scale::Scale;

use quotes::Quoted;

/// What is known of a reply before it is read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// The scale that the rubric declares.
    pub scale: Scale,
    /// What is judged. Words of the reply that repeat it are not the reply's own.
    pub answers: &'a [&'a str],
    /// What marks the beginning and end of blocks that are not the reply's own.
    pub nonces: &'a [&'a str],
    /// Whether the reply ended at its length limit; then a number at its end may have lost digits.
    pub cut_off: bool,
}

/// The mark of a reply, as a share of the scale from 0 to 1.
///
/// # Errors
/// [`Fault`] says what stands in the way. Nothing is clamped and nothing guessed.
pub fn read(reply: &str, options: &Options) -> Result<f64, Fault> {
    let Options { scale, cut_off, .. } = *options;
    let answers: Vec<Vec<char>> = options.answers.iter().map(|answer| text::fold(answer)).collect();
    let quoted = Quoted::new(&answers);
    let mut text = text::without_tags(&text::fold(reply));
    quotes::erase_thoughts(&mut text, &answers);
    options.nonces.iter().for_each(|nonce| quotes::erase_blocks(&mut text, nonce));
    quotes::erase_struck(&mut text);
    if let Some(mark) = bare::whole(&text, scale) {
        return if cut_off { Err(Fault::CutOff) } else { mark.share };
    }
    quotes::erase_blocks_of_markdown(&mut text);
    let mut marks = json::take_marks(&mut text, &quoted, scale);
    let from_objects = marks.len();
    quoted.erase(&mut text);
    let words = text.clone();
    marks.extend(table::take_marks(&mut text, scale));
    marks.extend(headed::marks(&text, scale));
    marks.extend(verbs::marks(&text, scale));
    marks.extend(bare::with_reason(&text, scale));
    let mut at = 0;
    marks.retain(|mark| {
        at += 1;
        at <= from_objects || !quoted.has(words.get(mark.start..mark.end).unwrap_or_default())
    });
    marks.sort_by_key(|mark| mark.start);
    decide::decide(&text, &marks, scale, cut_off)
}
