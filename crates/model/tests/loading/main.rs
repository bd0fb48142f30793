//! Opening and saving models: what is read equals what other programs read, and nothing damaged gets through.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

mod damaged; // files cut short and bytes changed
mod folders; // Hugging Face folders: reading, refusing, saving
mod gguf; // GGUF files: values, shapes, refusals
mod gguf_writer; // makes small GGUF files for the others
mod real; // a published model, where there is one
mod tokenizers; // tokenizer.json, its neighbours, and GGUF's own
mod written_gguf; // GGUF files that are written, read back

use std::path::PathBuf;

/// A file of tests/golden.
fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(name)
}

/// The text of the error that must come.
fn refusal<T>(result: Result<T, tunebench_model::Error>) -> String {
    match result {
        Ok(_) => panic!("was accepted"),
        Err(error) => error.to_string(),
    }
}
