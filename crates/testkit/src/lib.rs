//! Shared by tests: golden models and numbers, tuners recorded by hand, both engines, comparisons. A dev-dependency of
//! integration tests and of nothing else: it panics where a test would.
//!
//! - [`golden`]: what PyTorch, transformers and PEFT computed, from `tests/golden`
//! - [`record`]: graphs recorded as the host would; [`methods`]: full fine-tuning, LoRA, DoRA, virtual tokens
//! - [`values`]: trained values that have moved, weights rounded to bf16; [`kink`]: how far from ReLU's kink they keep
//! - [`byte_level`]: small models that have a tokenizer
//! - [`blocks`]: small models in few bits
//! - [`examples`]: drawn ones to train on
//! - [`engines`]: losses and gradients by the reference path and by the fast engine, on every CPU level in force
//! - [`compare`]: how far apart tensors may be, and why
#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

pub mod blocks;
pub mod byte_level;
pub mod compare;
pub mod engines;
pub mod examples;
pub mod golden;
pub mod kink;
pub mod methods;
pub mod record;
pub mod values;
