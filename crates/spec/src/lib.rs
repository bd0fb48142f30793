//! The vocabulary of tunebench: what a study is, and the plain records that flow between its stages.
//!
//! Nothing here computes, reads a file or knows a framework; every other crate may depend on this one.
//!
//! - [`study`]: the study file (TOML) and its validation
//! - [`model`]: the shape of a LLaMA-family model, read from a `config.json` or a preset
//! - [`plan`]: what a tuner does with each weight, the recipe it asks for, and parameter counts
//! - [`virtual_tokens`]: what a tuner may put in front of every example
//! - [`graph`]: the recorded maths of an adapted site
//! - [`shapes`]: the shape rules of the graph's operations
//! - [`records`]: what the stages write: steps, generations, judgements
//! - [`example`]: conversations to learn from and items to answer
//! - [`chat`]: what a judge asks and what it makes of the replies
//! - [`engine`]: which way of computing is used
//! - [`hash`]: content identity

pub mod chat;
pub mod engine;
pub mod example;
pub mod graph;
pub mod hash;
pub mod model;
pub mod plan;
pub mod random;
pub mod records;
pub mod shapes;
pub mod study;
pub mod virtual_tokens;

pub use chat::{ChatMessage, ChatReply, ChatRequest, JudgeStep};
pub use engine::Engine;
pub use example::{Example, Role, Row, Turn};
pub use graph::{Dim, Graph, Node, Op};
pub use model::ModelShape;
pub use plan::{Init, ParamSpec, Recipe, Schedule, TunePlan, WeightPlan};
pub use records::{ArmRecord, Generation, Judgement, JudgementStatus, StepLog};
pub use study::Study;
pub use virtual_tokens::{VirtualKind, VirtualTokens};
