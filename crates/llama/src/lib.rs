//! The LLaMA-family model: its files, its weights and its forward pass.
//!
//! - [`source`]: opens a Hugging Face folder or a GGUF file; [`hf`] and [`gguf`] are the two readers
//! - [`weights`]: all weights of a model, f32 by Hugging Face name
//! - [`tensors`]: one safetensors file, read tensor by tensor or written whole
//! - [`tokenizer`]: text to tokens, with the tokens that begin and end it
//! - [`tuning`]: what is trained: a recorded plan with its values; their beginning, and their merge into the weights
//! - [`model`]: the model put together; [`batch`]: what it takes; [`loss`]: loss and gradients; [`cache`]: generation
//! - [`linear`]: weights in use, frozen, trained or adapted; [`site`] runs recorded maths, `ops` and `attach` hold the
//!   derivatives written by hand; `virtual_tokens` stand in front of every example
//! - [`fast`]: the same model at the CPU's speed, passes written by hand
//! - [`error`]: what can go wrong

mod attach;
pub mod batch;
pub mod cache;
pub mod dropout;
pub mod error;
pub mod fast;
pub mod files;
pub mod gguf;
pub mod hf;
pub mod linear;
pub mod loss;
pub mod model;
mod ops;
pub mod rotary;
pub mod site;
pub mod source;
pub mod system;
pub mod tensors;
pub mod threads;
pub mod tokenizer;
pub mod tuning;
mod virtual_tokens;
pub mod weights;

pub use batch::{Batch, Targets};
pub use cache::Cache;
pub use dropout::Draw;
pub use error::Error;
pub use hf::save;
pub use linear::{Param, Params};
pub use loss::Gradients;
pub use model::Llama;
pub use source::{Source, open};
pub use tokenizer::Tokenizer;
pub use tuning::Tuning;
pub use weights::Weights;
