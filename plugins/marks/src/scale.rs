//! The scale that a rubric declares, and a mark's share of it.

use crate::fault::Fault;

/// From the worst mark to the best.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// The worst mark.
    pub low: f64,
    /// The best mark; more than `low`.
    pub high: f64,
}

impl Default for Scale {
    /// From 0 to 1.
    fn default() -> Self {
        Self { low: 0.0, high: 1.0 }
    }
}

/// Marks that differ by less are the same: 0.1 + 0.2 and 0.3.
pub const SAME: f64 = 1e-9;

/// Whether two numbers are the same mark.
pub fn same(a: f64, b: f64) -> bool {
    (a - b).abs() < SAME
}

/// What a reply says a number is of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Of {
    /// Nothing: it stands on the rubric's scale.
    Scale,
    /// A full mark, the worst being 0.
    Full(f64),
    /// A hundred, by a percent sign.
    Percent,
}

impl Scale {
    /// The share of the scale, from 0 to 1, of a number that is `of` something; `shown` is how it stands in the reply.
    ///
    /// Where the scale does not begin at 0, a full mark can only be the scale's own, for nobody knows what the worst
    /// mark of another one is.
    ///
    /// # Errors
    /// [`Fault::OutOfRange`] for a number off its scale, [`Fault::Unclear`] for a full mark that does not fit the scale, and for a
    /// fraction below 1 on a wider scale.
    pub fn share(self, number: f64, of: Of, shown: &str) -> Result<f64, Fault> {
        let from_zero = same(self.low, 0.0);
        // On a scale to 10, 0.8 is more likely a share of 1 than less than a tenth of the way.
        let is_wide = self.high - self.low > 1.0 + SAME;
        if of == Of::Scale && is_wide && number > 0.0 && number < 1.0 {
            return Err(Fault::Unclear(shown.to_owned()));
        }
        let share = match of {
            Of::Scale => (number - self.low) / (self.high - self.low),
            Of::Full(full) if same(full, self.high) => (number - self.low) / (self.high - self.low),
            Of::Full(full) if from_zero && full > 0.0 => number / full,
            Of::Percent if from_zero => number / 100.0,
            Of::Full(_) | Of::Percent => return Err(Fault::Unclear(shown.to_owned())),
        };
        match share {
            share if !share.is_finite() => Err(Fault::Unclear(shown.to_owned())),
            share if !(-SAME..=1.0 + SAME).contains(&share) => Err(Fault::OutOfRange(shown.to_owned())),
            share => Ok(share.clamp(0.0, 1.0)),
        }
    }

    /// Whether a range that a reply names is the whole scale, hence the rubric's words and not a mark.
    pub fn is_range(self, low: f64, high: f64) -> bool {
        same(low, self.low) && same(high, self.high)
    }
}
