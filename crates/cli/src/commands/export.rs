//! `tunebench export`: a trained arm in formats other tools read.

use std::path::Path;

use anyhow::Result;
use tunebench_model::formats::safetensors::Float;
use tunebench_study::{AdapterBase, adapter_export, trained_arm};

use crate::args::{Dtype, Exported};
use crate::output::{print, printable};

pub fn run(what: &Exported) -> Result<()> {
    match what {
        Exported::Adapter { dir, arm, out } => adapter(dir, arm, out),
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

fn adapter(dir: &Path, arm: &str, out: &Path) -> Result<()> {
    let saved = adapter_export::save(dir, &trained_arm::find_identity(dir, arm)?, out, out)?;
    let (base, whose) = match &saved.base {
        AdapterBase::Original(path) => (path, "the study's model"),
        AdapterBase::Written(path) => (path, "written beside it"),
    };
    let base = printable(&base.display().to_string());
    let of = if saved.stacked.len() > 1 { format!(" of {}", saved.stacked.join(" and ")) } else { String::new() };
    let load = "load that model, then this with PeftModel.from_pretrained";
    print(&format!(
        "{}: a PEFT adapter, {}{}, over {base}, {whose}; {load}\n",
        out.display(),
        saved.kind,
        printable(&of)
    ))
}
