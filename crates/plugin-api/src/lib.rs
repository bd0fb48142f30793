//! The stable plugin contract of tunebench: write a [`Tuner`], a [`Dataset`] or a [`Judge`] as a small `cdylib`
//! that depends on this crate alone.
//!
//! 1. [What a plugin is](#what-a-plugin-is)
//! 2. [A whole tuner](#a-whole-tuner)
//! 3. [Testing it](#testing-it)
//! 4. [A whole dataset](#a-whole-dataset)
//! 5. [A whole judge](#a-whole-judge)
//! 6. [A whole judge of two answers](#a-whole-judge-of-two-answers)
//! 7. [Building and loading](#building-and-loading)
//! 8. [Rules of the boundary](#rules-of-the-boundary)
//! 9. [Versions](#versions)
//!
//! # What a plugin is
//!
//! A plugin *describes*; the host *does*. The host owns parameters, files, sockets, clocks and randomness. A plugin
//! links no ML framework, opens nothing and sees no key. That keeps it small, testable and loadable years later.
//!
//! | kind | what it says | trait |
//! |---|---|---|
//! | tuner | what is trained, and how an adapted weight computes | [`Tuner`] |
//! | dataset | how the bytes of files become conversations | [`Dataset`] |
//! | judge | what score an answer gets, or which of two is better, and what to ask a chat model for it | [`Judge`] |
//!
//! A library holds one plugin. `tunebench plugins new tuner NAME` writes one to start from, with a test; so it does
//! for the other kinds.
//!
//! # A whole tuner
//!
//! LoRA (Hu et al. 2021): `h = W0 x + (alpha/r) B A x`, with `A` random and `B` zero, so that the first answer is
//! the base model's.
//!
//! ```standalone_crate
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
//!         let (a, b) = (ops.param("lora_A"), ops.param("lora_B")); // [r, in], [out, r]
//!         Ok(ops.base(x) + self.0.alpha / self.0.r as f64 * x.matmul(a.t()).matmul(b.t()))
//!     }
//!
//!     fn merge<'o>(&self, ops: &'o Ops<'o>, _site: &Site) -> Result<Option<Tensor<'o>>> {
//!         let (a, b) = (ops.param("lora_A"), ops.param("lora_B"));
//!         Ok(Some(ops.weight() + self.0.alpha / self.0.r as f64 * b.matmul(a)))
//!     }
//! }
//!
//! export_plugin!(tuner: Lora);
//!
//! // In a test of the plugin:
//! use tunebench_plugin_api::{serde_json::json, testing::check_tuner};
//! let report = check_tuner::<Lora>(json!({ "r": 4 }))?;
//! assert_eq!(report.sites.len(), 8); // q, k, v and o in two layers
//! assert!(report.starts_at_base && report.merges);
//! # Ok::<(), Error>(())
//! ```
//!
//! [`Tuner::forward`] runs once per adapted weight, when a study is planned: the host records it as a graph, checks
//! its shapes, differentiates, trains and saves it. The saved graph opens without the plugin. Operations are the
//! methods of [`Ops`] and [`Tensor`]; numbers and references stand in their expressions too. The token axis, printed
//! `t`, may be neither reduced nor contracted, so that no answer sees its own future.
//!
//! # Testing it
//!
//! [`testing`] calls a plugin as the host would, in a test of the plugin's own: nothing is loaded, no model is needed.
//! [`testing::check_tuner`] plans for a model of two layers and computes every site: shapes, gradients, merge.
//! [`testing::read_rows`] reads texts in memory from every position, [`testing::judge`] and [`testing::compare`] play a
//! conversation. A fault is one sentence:
//!
//! ```
//! # use tunebench_plugin_api::{prelude::*, serde_json::json, testing::check_tuner};
//! # #[derive(Deserialize)] #[serde(crate = "tunebench_plugin_api::serde")] struct Options {}
//! # struct Faulty;
//! # impl Tuner for Faulty {
//! #     const NAME: &'static str = "faulty";
//! #     const DESCRIPTION: &'static str = "";
//! #     type Options = Options;
//! #     fn new(_: Options) -> Result<Self> { Ok(Self) }
//! #     fn plan(&self, model: &Model) -> Result<TunePlan> {
//! #         let mut plan = TunePlan::frozen(model);
//! #         for w in model.linears() {
//! #             plan.adapt(w, vec![Param::new("lora_A", [8, w.in_features()], Init::Ones)]);
//! #         }
//! #         Ok(plan)
//! #     }
//! fn forward<'o>(&self, ops: &'o Ops<'o>, _site: &Site, x: Tensor<'o>) -> Result<Tensor<'o>> {
//!     Ok(x.matmul(ops.param("lora_A"))) // without .t()
//! }
//! # }
//! // …
//! let error = check_tuner::<Faulty>(json!({})).unwrap_err();
//! assert_eq!(
//!     error.message(),
//!     "model.layers.0.self_attn.q_proj: `forward`: `matmul` takes [m, k] and [k, n], given [t, 16] and [8, 16]"
//! );
//! ```
//!
//! # A whole dataset
//!
//! Questions with answers, one JSON object a line. Whatever a file is, Parquet, CSV or JSON of any shape, packed or not,
//! the host gives JSON Lines or one JSON array in UTF-8 (but for [`Dataset::READS_BYTES`]). [`Records`] reads these row by
//! row and knows its position, so that training goes on anywhere; a row that cannot be used becomes a [`Row::Skip`], which
//! is counted and reported.
//!
//! ```standalone_crate
//! use tunebench_plugin_api::prelude::*;
//! use tunebench_plugin_api::serde_json::{Value, json};
//!
//! #[derive(Deserialize)]
//! #[serde(crate = "tunebench_plugin_api::serde", deny_unknown_fields)]
//! struct Options {}
//!
//! struct Questions(Records<Source>);
//!
//! impl Dataset for Questions {
//!     const NAME: &'static str = "questions";
//!     const DESCRIPTION: &'static str = "Questions with answers, one JSON object a line";
//!     type Options = Options;
//!
//!     fn open(source: Source, _: Options) -> Result<Self> { Ok(Self(Records::new(source))) }
//!
//!     fn next(&mut self) -> Result<Option<Row>> { Ok(self.0.next()?.map(|record| record.into_row(example))) }
//!
//!     fn position(&self) -> Position { self.0.position() }
//!
//!     fn seek(&mut self, position: &Position) -> Result<()> { self.0.seek(position) }
//! }
//!
//! /// The example of a row, or why there is none; `place` is `train.jsonl:17`.
//! fn example(place: &str, row: &Value) -> std::result::Result<Example, String> {
//!     let text = |key: &str| row[key].as_str().filter(|t| !t.is_empty()).ok_or(format!("`{key}` says nothing"));
//!     let turns = vec![Turn::new(Role::User, text("question")?), Turn::new(Role::Assistant, text("answer")?)];
//!     Ok(Example { id: place.into(), turns, category: None, reference: None, rubric: None })
//! }
//!
//! export_plugin!(dataset: Questions);
//!
//! // In a test of the plugin:
//! let file = r#"{"question": "2+1?", "answer": "3"}
//! {"question": "2+2?"}
//! "#;
//! let rows = tunebench_plugin_api::testing::read_rows::<Questions>(&[("train.jsonl", file)], json!({}))?;
//! assert!(matches!(&rows[0], Row::Example(e) if e.question() == "2+1?"));
//! assert!(matches!(&rows[1], Row::Skip { place, .. } if place == "train.jsonl:2"));
//! # Ok::<(), Error>(())
//! ```
//!
//! # A whole judge
//!
//! A judge is a pure function of the item, the answer and the replies so far. It says what to ask; the host sends it,
//! retries, prices it and keeps the reply, and calls again with one more. So replies are paid for once, whatever is
//! interrupted, and a judge that asks nobody answers at once.
//!
//! ```standalone_crate
//! use tunebench_plugin_api::prelude::*;
//! use tunebench_plugin_api::serde_json::json;
//!
//! #[derive(Deserialize)]
//! #[serde(crate = "tunebench_plugin_api::serde", deny_unknown_fields)]
//! struct Options { model: String }
//!
//! struct Percent(Options);
//!
//! impl Judge for Percent {
//!     const NAME: &'static str = "percent";
//!     const DESCRIPTION: &'static str = "A chat model gives each answer 0 to 100";
//!     type Options = Options;
//!
//!     fn new(options: Options) -> Result<Self> { Ok(Self(options)) }
//!
//!     fn step(&self, item: &Example, answer: &str, replies: &[ChatReply]) -> Result<JudgeStep> {
//!         let Some(reply) = replies.first() else {
//!             let content = format!(
//!                 "Question: {}\nAnswer: {answer}\nHow good is it, from 0 to 100? Reply with the number alone.",
//!                 item.question()
//!             );
//!             let messages = vec![ChatMessage::new("user", content)];
//!             let request = ChatCompletionRequest::new(&self.0.model, messages);
//!             return Ok(JudgeStep::Chat { request });
//!         };
//!         Ok(match reply.content.trim().parse::<u8>() {
//!             Ok(percent @ 0..=100) => {
//!                 JudgeStep::Verdict { score: f64::from(percent) / 100.0, reason: "the reply's number".into() }
//!             }
//!             // In doubt no score: a guess would count as a measurement.
//!             _ => JudgeStep::Unscored { reason: "the reply is no number from 0 to 100".into() },
//!         })
//!     }
//! }
//!
//! export_plugin!(judge: Percent);
//!
//! // In a test of the plugin:
//! let turns = vec![Turn::new(Role::User, "2+1?")];
//! let item = Example { id: "1".into(), turns, category: None, reference: None, rubric: None };
//! let run = tunebench_plugin_api::testing::judge::<Percent>(json!({ "model": "m" }), &item, "3", &["90"])?;
//! assert!(run.chats[0].messages[0].content.contains("2+1?"));
//! assert!(matches!(run.step, JudgeStep::Verdict { score: 0.9, .. }));
//! # Ok::<(), Error>(())
//! ```
//!
//! What a request does not state is not sent, so that every model takes it. A judge that wants more sets
//! [`ChatCompletionRequest`]'s fields: a temperature, a limit, a JSON schema, log-probabilities; the host leaves out what
//! a server refuses by name, and says so. [`JudgeStep::Ask`] with a [`ChatRequest`] is the older form.
//!
//! # A whole judge of two answers
//!
//! A judge that compares says so by [`Judge::COMPARES`] and writes [`Judge::compare`] in place of [`Judge::step`]: its
//! score is how much better the first answer is. The host asks in both orders, since models favour a place. Here the
//! probabilities of the two letters make the score, where the server tells them.
//!
//! ```standalone_crate
//! use tunebench_plugin_api::prelude::*;
//! use tunebench_plugin_api::serde_json::json;
//!
//! #[derive(Deserialize)]
//! #[serde(crate = "tunebench_plugin_api::serde", deny_unknown_fields)]
//! struct Options { model: String }
//!
//! struct Better(Options);
//!
//! impl Judge for Better {
//!     const NAME: &'static str = "better";
//!     const DESCRIPTION: &'static str = "A chat model says which of two answers is better";
//!     const COMPARES: bool = true;
//!     type Options = Options;
//!
//!     fn new(options: Options) -> Result<Self> { Ok(Self(options)) }
//!
//!     fn compare(&self, item: &Example, [a, b]: [&str; 2], replies: &[ChatReply]) -> Result<JudgeStep> {
//!         let Some(reply) = replies.first() else {
//!             let content = format!(
//!                 "Question: {}\nAnswer A: {a}\nAnswer B: {b}\nWhich is better? Reply with A or B alone.",
//!                 item.question()
//!             );
//!             let messages = vec![ChatMessage::new("user", content)];
//!             let mut request = ChatCompletionRequest::new(&self.0.model, messages);
//!             request.top_logprobs = Some(5);
//!             return Ok(JudgeStep::Chat { request });
//!         };
//!         let verdict = |score, reason: &str| JudgeStep::Verdict { score, reason: reason.into() };
//!         let told = reply.logprobs.first().map_or(&[][..], |first| &first.top_logprobs);
//!         let of = |letter: &str| told.iter().find(|other| other.token == letter).map(|other| other.logprob.exp());
//!         Ok(match (of("A"), of("B"), reply.content.trim()) {
//!             (Some(a), Some(b), _) => verdict(a / (a + b), "the letters' probabilities"),
//!             (_, _, "A") => verdict(1.0, "the reply's letter"),
//!             (_, _, "B") => verdict(0.0, "the reply's letter"),
//!             _ => JudgeStep::Unscored { reason: "the reply is neither A nor B".into() },
//!         })
//!     }
//! }
//!
//! export_plugin!(judge: Better);
//!
//! // In a test of the plugin:
//! use tunebench_plugin_api::testing::compare;
//! let turns = vec![Turn::new(Role::User, "2+1?")];
//! let item = Example { id: "1".into(), turns, category: None, reference: None, rubric: None };
//! let options = json!({ "model": "m" });
//! let run = compare::<Better>(options.clone(), &item, ["3", "4"], &[ChatReply::new("A")])?;
//! assert!(matches!(run.step, JudgeStep::Verdict { score: 1.0, .. }));
//!
//! let letters = [("A", 0.75f64.ln()), ("B", 0.25f64.ln())];
//! let mut reply = ChatReply::new("A");
//! reply.logprobs = vec![TokenLogprob::new("A", letters[0].1, &letters)];
//! let run = compare::<Better>(options, &item, ["3", "4"], &[reply])?;
//! assert!(matches!(run.step, JudgeStep::Verdict { score, .. } if (score - 0.75).abs() < 1e-12));
//! # Ok::<(), Error>(())
//! ```
//!
//! # Building and loading
//!
//! The crate is a `cdylib`, and an `rlib` so that its tests can use it:
//!
//! ```toml
//! [lib]
//! crate-type = ["cdylib", "rlib"]
//! ```
//!
//! `cargo build --release` leaves `target/release/libNAME.so` (`.dylib` on macOS). Then
//!
//! ```text
//! tunebench plugins check target/release/libNAME.so    # loads it as a study would, and says what each step found
//! tunebench plugins add target/release/libNAME.so      # any study may name it, as long as the file stays as it is
//! tunebench study study.toml --plugin target/release/libNAME.so    # or for one run
//! ```
//!
//! An added plugin needs no more. A study may name the file too, `plugins = ["plugins/libNAME.so"]` under `[study]`, so
//! that its reader knows what to get; it runs only where its user has added it or given it by `--plugin`.
//!
//! An arm then says `tuner = "NAME"` with `options = { … }`, a dataset `plugin = "NAME"`, `[eval]` `judge = "NAME"`.
//!
//! A plan may also have [`VirtualTokens`] in front of every example, as prompt tuning and prefix tuning do;
//! [`Tuner::virtual_tokens`] says what they are made of.
//!
//! # Rules of the boundary
//!
//! - A panic inside a plugin becomes an error that names the plugin. Build with `panic = "unwind"` (the default).
//! - Cold data crosses as JSON; unknown fields are ignored on either side, so both can grow.
//! - New operations appear by name and version ([`Ops::has_op`]); nothing existing changes meaning.
//! - `plan`, `forward`, `merge`, `init`, `step` and `compare` are pure: the same input, the same answer.
//! - A plugin runs with the rights of the process. It writes nothing to standard output, starts no threads that outlive
//!   a call, and touches neither signals nor the environment.
//! - Libraries are never unloaded.
//!
//! # Versions
//!
//! This crate's version is the contract's. Within a major version everything only grows: a plugin built with an older
//! minor version loads in every later host, and one built with a newer minor version loads as long as it uses no
//! operation that the host does not know. Host and plugin may come from different compilers; `plugins check` shows
//! which built a file.

// abi_stable's derives and its `extern "C"` tables need unsafe code; authors may forbid it in their crates.
#![allow(unsafe_code)]

#[doc(hidden)]
pub mod abi;
#[doc(hidden)]
#[path = "export.rs"]
pub mod abi_export;
mod chat;
mod data;
mod dataset;
mod error;
mod guard;
mod judge;
mod plan;
mod records;
mod source;
pub mod testing;
mod tuner;

pub use chat::{ChatCompletionRequest, ChatMessage, ChatReply, ChatRequest, JudgeStep, TokenLogprob, TopLogprob};
pub use data::{
    Dim, Example, Init, Model, Param, Recipe, Role, Row, Schedule, Site, TunePlan, Turn, VirtualKind, VirtualTokens,
    Weight, WeightPlan,
};
pub use dataset::{Dataset, Position};
pub use error::{Error, Result};
pub use judge::Judge;
pub use records::{Record, Records};
pub use source::{ReadAt, Source};
pub use tuner::{Ops, Tensor, Tuner};

/// All that a plugin usually needs.
pub mod prelude {
    pub use crate::{
        ChatCompletionRequest, ChatMessage, ChatReply, ChatRequest, Dataset, Dim, Error, Example, Init, Judge,
        JudgeStep, Model, Ops, Param, Position, Recipe, Record, Records, Result, Role, Row, Schedule, Site, Source,
        Tensor, TokenLogprob, TopLogprob, TunePlan, Tuner, Turn, VirtualKind, VirtualTokens, Weight, WeightPlan,
        export_plugin,
    };
    pub use serde::{Deserialize, Serialize};
}

#[doc(hidden)]
pub use abi_stable;
/// For `#[serde(crate = "tunebench_plugin_api::serde")]`, so that a plugin needs no other dependency.
pub use serde;
/// JSON values, for options without a fixed form.
pub use serde_json;
