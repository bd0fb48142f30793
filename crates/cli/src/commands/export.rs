//! `tunebench export`: a trained arm in formats other tools read.

use std::path::Path;

use anyhow::Result;

use super::{print, printable};
use crate::args::Exported;
use crate::progress::say;
use crate::run::trained::{self, Base, Trained};

pub fn run(what: &Exported) -> Result<()> {
    match what {
        Exported::Adapter { dir, arm, out } => adapter(&trained::find(dir, arm)?, out),
        Exported::Merged { dir, arm, out } => merged(trained::find(dir, arm)?, out),
    }
}

fn adapter(arm: &Trained, out: &Path) -> Result<()> {
    tunebench_train::peft::save(out, &arm.file.shape, &arm.weights, &arm.base_name(), &arm.tuning)?;
    let base = printable(&arm.base_name());
    let load = "load that model, then this with PeftModel.from_pretrained";
    print(&format!("{}: a PEFT adapter over {base}; {load}\n", out.display()))?;
    if !matches!(arm.file.base, Base::Files { .. }) {
        say(format!("its base `{base}` is no model folder yet: `tunebench export merged` writes one of an arm"));
    }
    Ok(())
}

fn merged(arm: Trained, out: &Path) -> Result<()> {
    let Trained { file, weights, tuning, tokenizer } = arm;
    let weights = tuning.merge(&file.shape, weights)?;
    tunebench_model::save(out, &file.shape, &weights, Some(&tokenizer))?;
    print(&format!("{}: a Hugging Face folder, f32\n", out.display()))
}
