//! A mark as it was found, whatever form it has.

use crate::fault::Fault;
use crate::number::{Number, Odd};
use crate::scale::{Of, Scale};
use crate::text::shown;
use crate::words::Rank;

/// A mark, or what looks like one and cannot be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// Where its heading begins.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    pub rank: Rank,
    /// From 0 to 1.
    pub share: Result<f64, Fault>,
    /// As it stands in the reply.
    pub shown: String,
    /// Whether its own heading says that it replaces another.
    pub corrects: bool,
    /// Whether its end is sure although the reply was cut off later: it stands in an object that is closed.
    pub is_closed: bool,
    /// Whether nothing but the number says what it is of.
    pub is_unmeasured: bool,
}

impl Mark {
    /// A number that was read; `of` is what surroundings say it is of, for a number that does not say it itself.
    pub fn of_number(text: &[char], start: usize, at: usize, number: Number, of: Option<Of>, scale: Scale) -> Self {
        let shown = shown(text, at..number.end);
        let joined = match (number.of, of) {
            (Of::Scale, Some(of)) => Ok(of),
            (own, None) => Ok(own),
            (own, Some(of)) if own == of => Ok(own),
            // 85% of a full mark of 100 is 85 of it.
            (Of::Percent, Some(Of::Full(_) | Of::Scale)) => Ok(Of::Percent),
            _ => Err(Fault::Unclear(shown.clone())),
        };
        let is_unmeasured = joined == Ok(Of::Scale);
        let share = joined.and_then(|of| scale.share(number.value, of, &shown));
        Self {
            start,
            end: number.end,
            rank: Rank::Plain,
            share,
            shown,
            corrects: false,
            is_closed: false,
            is_unmeasured,
        }
    }

    /// What cannot be read.
    pub fn unread(text: &[char], start: usize, range: std::ops::Range<usize>, odd: Odd) -> Self {
        let end = range.end;
        let shown = shown(text, range);
        let fault = match odd {
            Odd::Unclear => Fault::Unclear(shown.clone()),
            Odd::Negative => Fault::OutOfRange(shown.clone()),
        };
        Self {
            start,
            end,
            rank: Rank::Plain,
            share: Err(fault),
            shown,
            corrects: false,
            is_closed: false,
            is_unmeasured: false,
        }
    }

    /// The same with what its heading says of it.
    pub fn ranked(mut self, rank: Rank, corrects: bool) -> Self {
        (self.rank, self.corrects) = (rank, corrects);
        self
    }
}
