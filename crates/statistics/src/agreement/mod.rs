//! How far raters agree: several people, several judges, a judge with itself, a judge with people.
//!
//! No single number does. [`krippendorff_alpha`] takes any number of raters with gaps; [`cohens_kappa`] two, on marks
//! put into [`Bins`]; [`raw_agreement`] says how often they come within a tolerance; [`correlation`] whether they rank
//! alike, whatever the scale; [`concordance`] whether they give the same marks; [`bland_altman`] by how much one is
//! above the other, and how far apart two marks of one answer may be. A judge that is always 0.2 above people has a
//! correlation of 1 and a bias of 0.2: only the last two see it.

mod bland_altman;
mod concordance;
mod correlation;
mod kappa;
mod krippendorff;
mod pairs;

pub use bland_altman::{BlandAltman, Limits, bland_altman};
pub use concordance::{Concordance, concordance};
pub use correlation::{Correlation, CorrelationKind, correlation};
pub use kappa::{Bins, Kappa, KappaWeights, RawAgreement, cohens_kappa, raw_agreement};
pub use krippendorff::{Alpha, MeasurementLevel, krippendorff_alpha};
