//! A decoder: its files, its weights and its passes.
//!
//! - [`formats`]: Hugging Face folders and GGUF files; [`weights`]: all weights of a model, f32 or bf16 by name
//! - [`tokenizer`]: text to tokens, with the tokens that begin and end it
//! - [`tuning`]: what is trained: a recorded plan with its values; their beginning, and their merge into the weights
//! - [`graph`]: recorded graphs by candle; [`dropout`] draws; [`rotary`] angles
//! - [`reference`]: the model in plain candle operations, the oracle; [`fast`]: the same model at the CPU's speed
//! - [`error`]: what can go wrong

pub mod dropout;
pub mod error;
pub mod fast;
pub mod files;
pub mod formats;
pub mod graph;
pub mod reference;
pub mod rotary;
pub mod tokenizer;
pub mod tuning;
pub mod weights;

pub use dropout::Draw;
pub use error::Error;
pub use formats::huggingface::save;
pub use formats::source::{Source, open};
pub use reference::{Batch, Cache, Gradients, Llama, Param, Params, Targets};
pub use tokenizer::Tokenizer;
pub use tuning::Tuning;
pub use weights::Weights;
