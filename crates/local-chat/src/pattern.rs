//! Regular expressions over bytes, as a tree.

/// What a text may be. No pattern here matches nothing at all, so whatever has begun can be ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Pattern {
    /// These bytes.
    Literal(Vec<u8>),
    /// One byte in one of these ranges, both ends included.
    Byte(Vec<(u8, u8)>),
    /// One after the other.
    Sequence(Vec<Pattern>),
    /// One of these, of which there is at least one.
    Any(Vec<Pattern>),
    /// It or nothing.
    Optional(Box<Pattern>),
    /// It any number of times, or never.
    Repeat(Box<Pattern>),
}

impl Pattern {
    pub(crate) fn literal(text: &str) -> Self {
        Self::Literal(text.as_bytes().to_vec())
    }

    pub(crate) fn optional(self) -> Self {
        Self::Optional(Box::new(self))
    }

    pub(crate) fn repeat(self) -> Self {
        Self::Repeat(Box::new(self))
    }

    /// How large it is: nodes, and bytes of literals.
    pub(crate) fn size(&self) -> usize {
        1 + match self {
            Self::Literal(bytes) => bytes.len(),
            Self::Byte(ranges) => ranges.len(),
            Self::Sequence(parts) | Self::Any(parts) => parts.iter().map(Self::size).sum(),
            Self::Optional(part) | Self::Repeat(part) => part.size(),
        }
    }

    /// From none up to so many of it.
    pub(crate) fn at_most(self, count: usize) -> Self {
        (0..count).fold(Self::Sequence(vec![]), |rest, _| Self::Sequence(vec![self.clone(), rest]).optional())
    }
}
