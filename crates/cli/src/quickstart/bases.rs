//! The two base models that the quickstart tunes: they come with the executable, in bf16, because to train them takes longer
//! than the study. `tunebench quickstart --pretrain data/quickstart` makes them anew.

use std::fs;
use std::io;
use std::path::Path;

use tunebench_model::families;

use super::study::{Sizes, decoder};

/// The seed of the facts that they know and of their own weights.
pub const SEED: u64 = 1;

/// A base model as it comes.
struct Base {
    size: &'static str,
    safetensors: &'static [u8],
}

static BASES: [Base; 2] = [
    Base { size: "small", safetensors: include_bytes!("../../../../data/quickstart/small.safetensors") },
    Base { size: "large", safetensors: include_bytes!("../../../../data/quickstart/large.safetensors") },
];

/// Writes them into `dir` as Hugging Face folders `base-small` and `base-large`; the study names the tokenizer.
///
/// # Errors
/// When a file cannot be written.
pub fn write(dir: &Path, vocab_size: usize, sizes: &Sizes) -> io::Result<()> {
    for Base { size, safetensors } in &BASES {
        let folder = dir.join(format!("base-{size}"));
        fs::create_dir_all(&folder)?;
        let shape = decoder(vocab_size, sizes.dimensions(size));
        let config = families::to_config_json(families::ALL, &shape).map_err(io::Error::other)?;
        fs::write(folder.join("config.json"), format!("{config:#}\n"))?;
        fs::write(folder.join("model.safetensors"), safetensors)?;
    }
    Ok(())
}
