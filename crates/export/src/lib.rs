//! A trained model for other programs: what a folder of it holds, in which order, opened again and compared before it has
//! its name. A folder that is wrong is never there.
//!
//! - [`target`]: where an export may go: into a folder that is not there yet, or is empty, and is no source of a study
//! - [`trained`]: what is exported, and what is known of it
//! - [`merged`]: a Hugging Face folder; [`kept`]: what of the base model's folder stays as it is
//! - [`gguf`]: a file for llama.cpp, with a [`modelfile`] for Ollama
//! - [`card`]: the README of each
//! - [`compare`]: scores of the model beside those of its export

#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod card;
pub mod compare;
mod error;
pub mod gguf;
pub mod kept;
pub mod merged;
pub mod modelfile;
pub mod target;
pub mod trained;

pub use compare::Difference;
pub use error::Error;
pub use target::{Source, Target};
pub use trained::{About, Report, Trained};
