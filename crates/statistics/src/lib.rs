//! Numbers to estimates: what scores of items, from trainings with several seeds, can say about arms.
//!
//! One judge at a time: [`Scores`] holds what it gave, in long form. The model is
//!
//! score = arm + item + arm×item + seed within arm + seed×item + repeat,
//!
//! items drawn within categories, trainings drawn within arms. From it come the variances ([`components()`]), an arm's
//! average ([`estimate()`]), differences paired by item ([`contrast()`], [`linear`], [`pairwise()`]) and what they
//! amount to ([`verdict`], [`Letters`]), and what a study would have to be to show more ([`smallest_detectable`]).
//! Every interval says its [`Scope`]; where none can be given there is a [`NoInterval`] instead, never one of no width.
//!
//! How far a judge can be trusted is asked of marks, not of scores of arms: how raters agree ([`agreement`]), what
//! marks vary by ([`generalizability()`]), whether changes that should not matter move them ([`probe_shifts`]), and
//! what another judge changes ([`bridge()`]). What people mark of the answers corrects averages and widens their
//! intervals by the judge's own error ([`calibration`]). Judges that compare two answers have [`preference`].
//!
//! The methods are those of [`spread`], which says why. That they hold is shown by simulation: `docs/coverage.md`.
//! The crate knows no file, no frame and no study.
//!
//! ```
//! use tunebench_statistics::{Average, Observation, Scores, Seeds, contrast};
//!
//! let score = |arm: usize, seed: u64, item: usize| ((arm * 5 + item * 3 + seed as usize * item) % 7) as f64 / 7.0; let
//! rows = (0..2).flat_map(|arm| (0..3).flat_map(move |seed| (0..20).map(move |item| (arm, seed, item)))); let
//! observation = |(arm, seed, item)| Observation { arm, seed, item, category: 0, repeat: 0, score: score(arm, seed,
//! item) }; let scores = Scores::new(vec!["ft".into(), "lora".into()], vec!["all".into()],
//! rows.map(observation).collect())?; let difference = contrast(&scores, 0, 1, Average::Macro, Seeds::Nested)?; match
//! &difference.inference {     Ok(known) => println!("{} over {}: {:?}", difference.difference, known.scope,
//! known.interval),     Err(reason) => println!("{}: {reason}", difference.difference), }
//! # Ok::<(), tunebench_statistics::Error>(())
//! ```

pub mod agreement;
mod average;
mod bootstrap;
mod bridge;
pub mod calibration;
pub mod components;
mod contrast;
pub mod distributions;
mod equating;
mod equivalence;
mod error;
mod estimate;
mod factors;
mod generalizability;
mod inverse;
mod letters;
mod logistic;
mod marks;
mod mean_squares;
mod no_interval;
mod pairwise;
pub mod power;
pub mod preference;
mod probes;
mod regression;
mod sample_mean;
mod scores;
pub mod simulation;
pub mod spread;

pub use average::Average;
pub use bootstrap::Bootstrap;
pub use bridge::{ArmShift, Bridge, BridgeSettings, Conclusion, PairShift, bridge};
pub use components::{Component, Components, components};
pub use contrast::{Contrast, Test, contrast, linear};
pub use equating::{Equating, JudgedTwice, equate};
pub use equivalence::{Equivalence, Side, Verdict, equivalence, verdict};
pub use error::Error;
pub use estimate::{Estimate, estimate};
pub use factors::{FactorContrast, Levels, levels_of, matched_pairs};
pub use generalizability::{Generalizability, JudgedMark, JudgingDesign, Precision, generalizability};
pub use letters::{Letters, letters};
pub use mean_squares::{Part, Scope, Seeds};
pub use no_interval::NoInterval;
pub use pairwise::{Adjustment, Pair, Pairwise, holm, pairwise};
pub use power::{Demand, Design, Detectable, Enough, Variances, designs_that_show, detectable_of, smallest_detectable};
pub use probes::{ProbePair, ProbeShift, SignTest, probe_shifts};
pub use regression::{Line, SlopeUncertainty, line, line_in_log10};
pub use sample_mean::{SampleMean, Uncertainty};
pub use scores::{Item, ItemCount, Observation, Scores};
pub use spread::{Inference, Interval, Spread};
