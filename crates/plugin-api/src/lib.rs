//! The stable plugin contract of tunebench: write a [`Tuner`], a [`Dataset`] or a [`Judge`] as a small `cdylib`
//! that depends on this crate alone.
//!
//! A plugin *describes*; the host *does*. The host owns parameters, files, sockets, clocks and randomness. A plugin
//! links no ML framework, opens nothing and sees no key. That keeps it small, testable and loadable years later.
//!
//! # A whole tuner
//!
//! LoRA (Hu et al. 2021): `h = W0 x + (alpha/r) B A x`, with `A` random and `B` zero, so that the first answer is
//! the base model's.
//!
//! ```
//! use tunebench_plugin_api::prelude::*;
//!
//! #[derive(Deserialize)]
//! #[serde(crate = "tunebench_plugin_api::serde", default, deny_unknown_fields)]
//! struct Options { r: usize, alpha: f64 }
//! impl Default for Options { fn default() -> Self { Self { r: 8, alpha: 16.0 } } }
//!
//! struct Lora(Options);
//!
//! impl Tuner for Lora {
//!     const NAME: &'static str = "lora-attention";
//!     const DESCRIPTION: &'static str = "LoRA on the attention projections";
//!     type Options = Options;
//!
//!     fn new(options: Options) -> Result<Self> { Ok(Self(options)) }
//!
//!     fn plan(&self, model: &Model) -> Result<TunePlan> {
//!         let mut plan = TunePlan::frozen(model);
//!         for w in model.linears().filter(|w| w.module.starts_with("self_attn")) {
//!             plan.adapt(w, vec![
//!                 Param::new("lora_A", [self.0.r, w.in_features()], Init::KaimingUniform { a: 5f64.sqrt() }),
//!                 Param::new("lora_B", [w.out_features(), self.0.r], Init::Zeros),
//!             ]);
//!         }
//!         Ok(plan)
//!     }
//!
//!     fn forward<'o>(&self, ops: &'o Ops<'o>, _site: &Site, x: Tensor<'o>) -> Result<Tensor<'o>> {
//!         let (a, b) = (ops.param("lora_A"), ops.param("lora_B"));
//!         Ok(ops.base(x) + self.0.alpha / self.0.r as f64 * x.matmul(a.t()).matmul(b.t()))
//!     }
//! }
//!
//! export_plugin!(tuner: Lora);
//! ```
//!
//! [`Tuner::forward`] runs once per adapted weight, when a study is planned: the host records it as a graph, checks
//! its shapes, differentiates, trains and saves it. The saved graph opens without the plugin.
//!
//! A plan may also have [`VirtualTokens`] in front of every example, as prompt tuning and prefix tuning do;
//! [`Tuner::virtual_tokens`] says what they are made of.
//!
//! # Rules of the boundary
//!
//! - A panic inside a plugin becomes an error that names the plugin. Build with `panic = "unwind"` (the default).
//! - Cold data crosses as JSON; unknown fields are ignored on either side, so both can grow.
//! - New operations appear by name and version ([`Ops::has_op`]); nothing existing changes meaning.
//! - Libraries are never unloaded.

// abi_stable's derives and its `extern "C"` tables need unsafe code; authors may forbid it in their crates.
#![allow(unsafe_code)]

#[doc(hidden)]
pub mod abi;
#[doc(hidden)]
#[path = "export.rs"]
pub mod abi_export;
mod data;
mod dataset;
mod error;
mod guard;
mod judge;
mod records;
pub mod testing;
mod tuner;

pub use data::{
    ChatMessage, ChatReply, ChatRequest, Dim, Example, Init, JudgeStep, Model, Param, Recipe, Role, Row, Schedule,
    Site, TunePlan, Turn, VirtualKind, VirtualTokens, Weight, WeightPlan,
};
pub use dataset::{Dataset, Position, Source};
pub use error::{Error, Result};
pub use judge::Judge;
pub use records::{ReadAt, Record, Records};
pub use tuner::{Ops, Tensor, Tuner};

/// All that a plugin usually needs.
pub mod prelude {
    pub use crate::{
        ChatMessage, ChatReply, ChatRequest, Dataset, Dim, Error, Example, Init, Judge, JudgeStep, Model, Ops, Param,
        Position, Recipe, Record, Records, Result, Role, Row, Schedule, Site, Source, Tensor, TunePlan, Tuner, Turn,
        VirtualKind, VirtualTokens, Weight, WeightPlan, export_plugin,
    };
    pub use serde::{Deserialize, Serialize};
}

#[doc(hidden)]
pub use abi_stable;
/// For `#[serde(crate = "tunebench_plugin_api::serde")]`, so that a plugin needs no other dependency.
pub use serde;
/// JSON values, for options without a fixed form.
pub use serde_json;
