//! How many rows may be unusable.

use crate::error::Error;
use crate::skips::Skips;

/// That no more rows were skipped than a share `most` of them all, `used` being the others.
///
/// # Errors
/// The reasons, when more were.
pub fn check(skips: &Skips, used: u64, most: f64) -> Result<(), Error> {
    let (skipped, total) = (skips.total(), used + skips.total());
    if skipped == 0 || skipped as f64 <= most * total as f64 {
        return Ok(());
    }
    Err(Error::TooManySkipped { total, most, skips: skips.clone() })
}
