//! `tunebench export`: a trained arm in formats other tools read.

use std::path::Path;

use anyhow::Result;
use tunebench_model::formats::safetensors::Float;
use tunebench_study::{Base, TrainedArm, trained_arm};

use crate::args::{Dtype, Exported};
use crate::output::{print, printable, status};

pub fn run(what: &Exported) -> Result<()> {
    match what {
        Exported::Adapter { dir, arm, out } => adapter(&trained_arm::find(dir, arm)?, out),
        Exported::Merged { dir, arm, out, dtype } => {
            let float = match dtype {
                Dtype::F32 => Float::F32,
                Dtype::Bf16 => Float::BF16,
            };
            trained_arm::find(dir, arm)?.save_merged(out, float)?;
            print(&format!("{}: a Hugging Face folder, {}\n", out.display(), float.torch_name()))
        }
    }
}

fn adapter(arm: &TrainedArm, out: &Path) -> Result<()> {
    arm.save_adapter(out)?;
    let base = printable(&arm.base_name());
    let load = "load that model, then this with PeftModel.from_pretrained";
    print(&format!("{}: a PEFT adapter over {base}; {load}\n", out.display()))?;
    if !matches!(arm.file.base, Base::Files { .. }) {
        status(format!("its base `{base}` is no model folder yet: `tunebench export merged` writes one of an arm"));
    }
    Ok(())
}
