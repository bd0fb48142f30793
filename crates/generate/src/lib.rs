//! Answers: prompts through a model with a key/value cache, many at once.
//!
//! Answers are made together ([`answer`]): a finished one leaves at once and the next prompt takes its place. What is
//! drawn for a row depends on its own key alone. On the fast engine so do its scores, to the byte, and an interrupted
//! run goes on with the prompts it lacks. On the reference path they depend on the company by rounding: there prompts are
//! cut into [`groups`], the same for the same prompts, and a group is answered as a whole or not at all.
//!
//! - [`Sampling`]: how a token is chosen; [`Constraint`]: which may be
//! - [`Continuous`]: prompts that come while others are answered, each with settings of its own
//! - [`TokenLogprobs`]: how likely it was, and what else could have stood in its place

mod answer;
mod constraint;
mod continuous;
mod error;
mod logprobs;
mod sample;
mod settings;

pub use answer::{Answer, Finish, answer, answer_each, groups};
pub use constraint::Constraint;
pub use continuous::{Continuous, Outcome, Request};
pub use error::Error;
pub use logprobs::TokenLogprobs;
pub use sample::Sampling;
pub use settings::{Prompt, Settings};
