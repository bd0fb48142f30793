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
//! what is judged, [`choice`] the better of two answers, [`checks`] criteria that are met or not, [`logprobs`] a mark from the probabilities of its digits, [`Language`] which language to ask in.
//!
//! ```
//! use marks::{Options, read};
//!
//! let options = Options { answers: &["我认为得分：1"], ..Options::default() };
//! assert_eq!(read("模型自称“我认为得分：1”，但结果错误。得分：2/10", &options), Ok(0.2));
//! assert!(read("得分：8", &options).is_err(), "8 is not from 0 to 1, and nothing says what it is of");
//! ```

pub mod asking;
pub mod checks;
pub mod choice;
pub mod logprobs;
pub mod nonce;

mod bare;
mod before;
mod behind;
mod decide;
mod doubts;
mod fault;
mod headed;
mod json;
mod language;
mod mark;
mod number;
mod objects;
mod options;
mod other_scale;
mod own_words;
mod quotes;
mod scale;
mod surroundings;
mod table;
mod text;
mod verbs;
mod words;

pub use fault::Fault;
pub use language::Language;
pub use options::Options;
pub use quotes::QUOTED;
pub use scale::Scale;

use own_words::OwnWords;

/// The mark of a reply, as a share of the scale from 0 to 1.
///
/// # Errors
/// [`Fault`] says what stands in the way. Nothing is clamped and nothing guessed.
pub fn read(reply: &str, options: &Options) -> Result<f64, Fault> {
    let Options { scale, cut_off, .. } = *options;
    let mut own = OwnWords::of(reply, options);
    if let Some(mark) = bare::whole(&own.text, scale).filter(|_| !own.is_an_answer(options)) {
        return if cut_off { Err(Fault::CutOff) } else { mark.share };
    }
    own.erase_markdown();
    let mut all = own.text.clone();
    own.quoted.erase(&mut all);
    let mut marks = json::take_marks(&mut own.text, &own.quoted, scale);
    own.erase_quotes();
    let words = own.text.clone();
    let mut found = table::take_marks(&mut own.text, scale);
    found.extend(headed::marks(&own.text, scale));
    found.extend(verbs::marks(&own.text, scale));
    found.extend(bare::with_reason(&own.text, scale));
    found.retain(|mark| !own.quoted.has(words.get(mark.start..mark.end).unwrap_or_default()));
    marks.extend(found);
    marks.sort_by_key(|mark| mark.start);
    decide::decide(&all, &own.text, &marks, scale, cut_off)
}
