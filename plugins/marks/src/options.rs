//! What is known of a reply before it is read.

use crate::scale::Scale;

/// What is known of a reply before it is read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// The scale that the rubric declares.
    pub scale: Scale,
    /// What is judged, and whatever else the judge was shown. Words of the reply that repeat it are not the reply's own.
    pub answers: &'a [&'a str],
    /// What marks the beginning and end of blocks that are not the reply's own.
    pub nonces: &'a [&'a str],
    /// Whether the reply ended at its length limit; then a number at its end may have lost digits.
    pub cut_off: bool,
    /// Whether the mark alone was asked for. A reply that is nothing but a mark counts then even where the judged answer
    /// is the same words.
    pub asked_alone: bool,
}
