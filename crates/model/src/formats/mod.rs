//! Models on disk: [`source`] opens a Hugging Face folder ([`huggingface`]) or a GGUF file ([`gguf`]), over
//! [`safetensors`] files.

pub mod gguf;
pub mod huggingface;
pub mod safetensors;
pub mod source;
mod stored_names;
