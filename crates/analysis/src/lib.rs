//! What the numbers of a study say: tables, estimates with their intervals and small plots, from the frames of a run folder.
//!
//! Every analysis returns [`Table`]s of plain data, which print to a terminal, as Markdown and as JSON; the structs under
//! them are public, for who shows them in another way. Columns are named like those of the frames, units in names. All
//! judgements and answers come through [`evidence`], which refuses by name what does not measure the same.
//!
//! - [`decision`]: what a study says, in a sentence or two
//! - [`scores`]: the average of each arm and its scores by category (the paper's Tables 4 and 5), with intervals
//! - [`compare`]: two arms, paired by item, and what would show more
//! - [`factors`], [`scaling`]: the effects of method, data, base and rank; scores and losses against sizes
//! - [`cost`], [`forgetting`], [`curves`], [`lengths`]: what it cost, what was lost, how the loss fell, whether long answers
//!   score higher
//! - [`agreement`], [`judges`], [`calibration`]: how far judges agree with each other and with people, how good each is, and scores
//!   corrected by people's marks
//! - [`pairs`], [`bridge`]: arms compared two by two, and what another judge changes
//! - [`power`]: beforehand, how many items and trainings would show a difference
//! - [`ledger`], [`lint`]: every setting with its origin, and what makes a comparison unfair
//! - [`query`]: SQL, as a table
//! - [`paper`]: the figures of Sun et al. 2023, and which of its differences its items can carry
//!
//! Under them: [`run`] (trainings by arm), [`estimates`] and [`sample`] (scores as the statistics take them), [`arm_cost`],
//! [`pareto`], [`ratios`], [`counts`], [`settings`], [`method`], [`tried`] (candidates of grids), [`marks`] and [`people`]
//! (marks answer by answer), [`comparisons`], [`probes`].

pub mod agreement;
pub mod arm_cost;
pub mod bridge;
pub mod calibration;
pub mod compare;
pub mod comparisons;
pub mod corrected;
pub mod cost;
pub mod counts;
pub mod curves;
pub mod decision;
pub mod duration;
pub mod error;
pub mod estimates;
pub mod evidence;
pub mod factors;
pub mod forgetting;
pub mod judge_findings;
pub mod judges;
pub mod ledger;
pub mod lengths;
pub mod lint;
pub mod marks;
pub mod method;
pub mod pairs;
pub mod paper;
pub mod pareto;
pub mod people;
pub mod power;
pub mod probes;
pub mod query;
pub mod ratios;
mod render;
pub mod run;
pub mod sample;
pub mod scaling;
pub mod scores;
pub mod settings;
mod spread;
pub mod table;
pub mod tried;

pub use agreement::agreement;
pub use bridge::bridge;
pub use calibration::calibration;
pub use compare::compare;
pub use cost::cost;
pub use curves::curves;
pub use decision::decision;
pub use error::{Error, Result};
pub use factors::factors;
pub use forgetting::forgetting;
pub use judges::judges;
pub use ledger::ledger;
pub use lengths::lengths;
pub use lint::{lint, lint_paper};
pub use pairs::pairs;
pub use paper::paper;
pub use query::query;
pub use run::Run;
pub use scaling::scaling;
pub use scores::scores;
pub use table::{Cell, Column, Table};
pub use tunebench_spec::escape;
