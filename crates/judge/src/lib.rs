//! Generations to judgements: runs a judge's pure steps, sends what they ask to a chat server, and keeps every reply.
//!
//! - [`judge`]: the run over all answers; [`tasks`] pairs answers with their items
//! - `store`: every paid reply in `replies.jsonl`, so that nothing is paid for twice
//! - `budget`: prices, and the promise that the budget is not passed
//!
//! A judge is anything that implements [`Judge`]; this crate knows no plugin.

mod budget;
mod error;
mod run;
mod store;

pub use budget::dearest_usd;
pub use error::JudgeError;
pub use run::{Judge, Outcome, Progress, Task, judge, tasks};
