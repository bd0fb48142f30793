//! Why a reply has no mark.

use std::fmt;

/// Why no mark was read. What was found stands in it as it was read: folded to plain signs and lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No mark at all, or only marks that are not the reply's own: of a part, quoted, or under a condition.
    Missing,
    /// The reply ended at its length limit before a mark was surely complete.
    CutOff,
    /// Something that may be a mark, but not surely which.
    Unclear(String),
    /// Not on the scale.
    OutOfRange(String),
    /// Two marks, and no word which of them counts.
    Differing(String, String),
    /// A mark, and behind it words that take it back without another.
    TakenBack(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("the reply has no mark of its own"),
            Self::CutOff => {
                f.write_str("the reply was cut off at its length limit before a mark was complete; raise max_tokens")
            }
            Self::Unclear(text) => write!(f, "the reply's mark is unclear: `{text}`"),
            Self::OutOfRange(text) => write!(f, "the reply's mark is not on the scale: `{text}`"),
            Self::Differing(a, b) => write!(f, "the reply has differing marks: `{a}` and `{b}`"),
            Self::TakenBack(text) => write!(f, "the reply takes its mark back and gives no other: `{text}`"),
        }
    }
}

impl std::error::Error for Fault {}
