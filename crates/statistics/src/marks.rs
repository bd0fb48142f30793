//! Which numbers can be marks.

use crate::Error;

/// Larger marks are no marks: the fourth power of this is still a number, so that no sum of squares overflows.
pub(crate) const LARGEST: f64 = 1e60;

/// Whether it is finite, and not so large that its squares would not be.
pub(crate) fn is_mark(value: f64) -> bool {
    value.abs() <= LARGEST
}

/// That both marks of each item are marks.
pub(crate) fn check_pairs(pairs: impl Iterator<Item = (f64, f64)>) -> Result<(), Error> {
    for (item, (first, second)) in pairs.enumerate() {
        for (rater, value) in [(0, first), (1, second)] {
            if !is_mark(value) {
                return Err(Error::MarkNotFinite { item, rater, value });
            }
        }
    }
    Ok(())
}
