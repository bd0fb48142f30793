//! Generations to judgements: runs a judge's pure steps, has a chat server answer what they ask, and keeps every reply.
//!
//! - [`Judge`]: a pure function from a [`Question`] and the replies so far to its next step
//! - [`tasks`], [`pairs`]: which judgements are to be made, all or a drawn share ([`Draw`])
//! - [`judge`]: the run over them, by whoever answers ([`Server`]): `each.rs` asks one request at a time, `batches.rs` many at once
//! - `store`: every paid reply in `replies.jsonl`, so that nothing is paid for twice
//! - [`Prices`], `budget`: what it costs, and the promise that a limit is not passed
//!
//! A judge is anything that implements [`Judge`]; this crate knows no plugin, and no server.

mod batches;
mod budget;
mod drift;
mod each;
mod error;
mod prices;
mod question;
mod reasons;
mod run;
mod session;
mod store;
mod task;
mod walk;

pub use error::JudgeError;
pub use prices::{Price, Prices};
pub use question::{Judge, Question};
pub use run::{Again, Outcome, Progress, Server, Settings, judge};
pub use task::{Draw, Pairs, Rival, Subject, Subjects, Task, pairs, tasks};
