//! The vocabulary of tunebench: what a study is, and the plain records that flow between its stages.
//!
//! Nothing here computes, reads a file or knows a framework; every other crate may depend on this one.
//!
//! - [`study`]: what a study file says, read (TOML) and validated by `study_file.rs`; [`form`]: an arm in another form, untrained
//! - [`decoder`]: a decoder as plain data; [`names`]: what its weights are called, and their roles
//! - [`plan`]: what a tuner does with each weight, and parameter counts; [`param`]: what it adds
//! - [`recipe`]: the hyper-parameters of a training run; [`fit`]: how defaults fit the size of the data, and warnings
//! - [`virtual_tokens`]: what a tuner may put in front of every example
//! - [`graph`]: the recorded computation of an adapted site
//! - [`shapes`]: the shape rules of the graph's operations
//! - [`records`]: what the stages write: steps, generations, judgements
//! - [`progress`]: what a running study says of itself
//! - [`example`]: conversations to learn from and items to answer
//! - [`chat`]: what a judge asks and what it makes of the replies
//! - [`hash`]: content identity; [`escape`]: text from outside made safe to show; [`guarded`]: panics of other people's code

mod arms;
pub mod chat;
mod config_error;
pub mod decoder;
pub mod escape;
mod evaluation;
pub mod example;
pub mod fit;
pub mod form;
pub mod graph;
pub mod grid;
pub mod guarded;
pub mod hash;
pub mod names;
pub mod param;
pub mod plan;
mod positions;
pub mod progress;
pub mod random;
pub mod recipe;
pub mod records;
pub mod shapes;
pub mod study;
mod study_file;
pub mod virtual_tokens;
mod wire;

pub use chat::{ChatMessage, ChatReply, ChatRequest, JudgeStep, TokenLogprob, TopLogprob};
pub use decoder::Decoder;
pub use example::{Example, Role, Row, Turn};
pub use fit::{Fitted, Layers, RecipeWarning};
pub use graph::{Dim, Graph, Node, Op};
pub use param::{Init, ParamSpec};
pub use plan::{RecordedPlan, TunePlan, WeightPlan};
pub use recipe::{Recipe, RecipeOverrides, Schedule};
pub use records::{ArmRecord, Generation, GradientReceipt, Judgement, JudgementStatus, Label, LossLog, Probe, StepLog};
pub use study::Study;
pub use virtual_tokens::{VirtualKind, VirtualTokens};
