//! How long the stages of a study take on a cluster that is only described, where they wait, and what it costs.
//!
//! The order is that of the submitted jobs: a stage begins when all of the stage before has ended, its tasks start in the
//! order of their numbers on the first node with room, and a task that is out of time goes on after a pause. Nothing else is
//! in the queue, and no node fails.
//!
//! - [`Cluster`]: nodes, their rates and prices, from a TOML file such as `data/clusters/a100x8.toml`
//! - [`Task`], [`Work`]: what is done, as time or as operations; [`stages`] takes them from a submission
//! - [`decoder`](Decoder): operations and bytes of training a decoder, from its sizes
//! - [`run`]: a [`Schedule`]

mod cluster;
mod decoder;
mod schedule;
mod work;

pub use cluster::{Cluster, Limits, Node};
pub use decoder::{Decoder, Method};
pub use schedule::{Run, Schedule, StageTimes, run};
pub use work::{SimulatedStage, Task, Work, stages};
