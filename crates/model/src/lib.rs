//! A decoder: its files, its weights and its passes.
//!
//! - [`families`]: from a configuration to a decoder
//! - [`formats`]: Hugging Face folders and GGUF files; [`weights`]: all weights of a model, f32 or bf16 by name,
//!   with what engines make of them (`prepared.rs`)
//! - [`tokenizer`]: text to tokens, with the tokens that begin and end it
//! - [`tuning`]: what is trained: a recorded plan with its values; their beginning, and their merge into the weights
//! - [`graph`]: recorded graphs by candle; [`dropout`] draws; [`rotary`] angles; [`optim`]: moments, and which tensors decay
//! - [`reference`]: the model in plain candle operations, the oracle; [`fast`]: the same model at the CPU's speed
//! - [`backend`]: what trains and answers, each of these two under its name
//! - [`quantise`]: frozen weights in fewer bits than their files have
//! - [`MemoryNeed`]: bytes that must be there, and bytes of files that only gain by it
//! - [`flat`]: trained tensors end to end, as ranks divide them; [`error`]: what can go wrong

pub mod backend;
pub mod dropout;
pub mod error;
pub mod families;
pub mod fast;
mod files;
pub mod flat;
pub mod formats;
pub mod graph;
mod memory_need;
pub mod optim;
mod prepared;
pub mod quantise;
pub mod reference;
pub mod rotary;
pub mod tokenizer;
pub mod tuning;
pub mod weights;

pub use dropout::DropoutKey;
pub use error::Error;
pub use formats::huggingface::save;
pub use formats::source::{Source, decoder_of, open, open_as};
pub use memory_need::MemoryNeed;
pub use optim::{AdamWState, AdamWStates, ParamOptions};
pub use reference::{Batch, Cache, Gradients, Param, Params, ReferenceModel, Targets};
pub use tokenizer::{Conversations, Tokenizer};
pub use tuning::Tuning;
pub use weights::{QuantisedWeight, QuantisedWeights, Weights};
