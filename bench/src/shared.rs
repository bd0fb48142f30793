//! What both sides of a comparison start from: the tokens, and each LoRA tuner's first values as a PEFT adapter. So
//! losses can be compared step by step.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::ValueEnum as _;
use serde_json::{Value, json};

use crate::model::{Choice, Tuner};
use crate::tokens;

/// Options of `shared`.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: Choice,
    /// How many tokens.
    #[arg(long)]
    tokens: usize,
    /// Files whose text they are, one after the other and again from the first, by the model's tokenizer; they are drawn
    /// when none is given.
    #[arg(long, value_name = "FILE", requires = "model")]
    text: Vec<PathBuf>,
    /// Where to: `tokens.u32`, and a folder for each LoRA tuner.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Writes the files and says where they are.
pub fn write(args: &Args) -> Result<Value> {
    let model = args.model.load()?;
    std::fs::create_dir_all(&args.out).with_context(|| args.out.display().to_string())?;
    let data = args.out.join("tokens.u32");
    let tokens = match &args.model.model {
        Some(folder) if !args.text.is_empty() => tokens::of_text(folder, &args.text, args.tokens)?,
        _ => tokens::draw(model.shape.vocab_size, args.tokens),
    };
    tokens::write(&data, &tokens)?;
    let mut adapters = serde_json::Map::new();
    for tuner in Tuner::value_variants().iter().filter(|tuner| **tuner != Tuner::Ft) {
        let folder = args.out.join(tuner.name());
        let base = args.model.model.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        tunebench_peft::save(&folder, &model.shape, &base, &tuner.start(&model)?)?;
        adapters.insert(tuner.name().into(), folder.to_string_lossy().into());
    }
    Ok(json!({ "data": data, "adapters": adapters }))
}
