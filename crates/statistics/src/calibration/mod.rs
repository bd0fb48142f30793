//! The judge's own error, taken out of scores and put into their intervals, by people's marks of a random part of the
//! answers.
//!
//! - [`rogan_gladen`]: right or wrong; the share that a judge passes, corrected by how often it passes what is wrong and
//!   fails what is right.
//! - [`prediction_powered_mean`]: marks on a scale; a plain list of answers.
//! - [`corrected_estimate`] and [`corrected_contrast`]: the averages of a study, over categories, items and trainings.
//!
//! All stand on labels drawn by chance: answers that somebody picked because they looked odd correct nothing.

mod corrected;
mod label;
mod prediction_powered;
mod recalibration;
mod rogan_gladen;

pub use corrected::{
    Calibration, CorrectedContrast, CorrectedEstimate, ErrorModel, JudgeError, corrected_contrast, corrected_estimate,
};
pub use label::{LEAST_LABELS, Label, Sampling, Tuning};
pub use prediction_powered::{MarkPair, Population, PredictionPowered, prediction_powered_mean};
pub use rogan_gladen::{JudgedShare, RoganGladen, Share, rogan_gladen};
