//! Adapters as PEFT keeps them: a folder of `adapter_config.json` and `adapter_model.safetensors`, read and written.
//!
//! ```text
//! folder ─ settings ─ targets ─ read ──┐
//!                                      ├─ form: an adapter in PEFT's terms ─ record ─> a tuning of the base model
//! a tuning ─ recognise ────────────────┘                                  └ write ─> a folder
//! ```
//!
//! - [`form`]: LoRA (rank-stabilised and DoRA, too), (IA)³, and virtual tokens, with their numbers
//! - [`read`]: a folder, checked by its configuration and its tensors' names and shapes before a number is read
//! - [`recognise`]: whether a recorded plan computes one of these, whatever its tuner is called
//! - [`stack`]: several over each other as one over the first one's base
//! - [`write`](mod@write): what PEFT loads
//! - [`targets`], [`tensors`], [`settings`], [`folder`]: which modules a configuration names; which tensor is what; what the
//!   configuration may say; where it lies
//!
//! What PEFT would pass over with a warning, tensors that are missing or left over, is an error here.

mod error;
pub mod folder;
pub mod form;
pub mod read;
pub mod recognise;
mod record;
mod settings;
pub mod stack;
mod targets;
mod tensors;
pub mod write;

use std::path::Path;

use tunebench_model::Tuning;
use tunebench_spec::Decoder;

pub use error::Error;
pub use form::{Form, Kind};
pub use read::{Adapter, Inspection, inspect, load};
pub use recognise::kind;
pub use stack::stack;

/// Writes what was trained to `dir`, for PEFT to load over the model `base_name`. The recorded graphs are checked: at each
/// site PEFT's formula must yield what they do.
///
/// # Errors
/// [`Error::NotPeft`] when something else was trained, e.g. whole weights, or another computation; [`kind`] says so before a
/// weight is read.
pub fn save(dir: &Path, shape: &Decoder, base_name: &str, tuning: &Tuning) -> Result<Kind, Error> {
    let form = Form::of(shape, tuning)?;
    write::write(dir, shape, base_name, &form)?;
    Ok(form.kind())
}
