//! `tunebench export`: a trained arm in formats other tools read.

use anyhow::Result;
use tunebench_model::backend::Backend;
use tunebench_spec::study::Quantise;
use tunebench_study::{AdapterBase, Report, arm_export};

use crate::args::{Exported, ExportedArm};
use crate::output::{print, printable, status};

pub fn run(what: &Exported, engine: &'static dyn Backend) -> Result<()> {
    match what {
        Exported::Adapter { of } => adapter(of, engine),
        Exported::Merged { of, dtype, max_shard_size } => {
            tell(of, &arm_export::save_merged(&of.dir, &of.name(), &of.out, (*dtype, *max_shard_size), engine)?)
        }
        Exported::Gguf { of, kind } => tell(of, &arm_export::save_gguf(&of.dir, &of.name(), &of.out, *kind, engine)?),
    }
}

fn tell(of: &ExportedArm, report: &Report) -> Result<()> {
    report.said.iter().for_each(status);
    print(&format!("{}: {}\n{}\n", of.out.display(), printable(&report.what), report.difference))
}

fn adapter(of: &ExportedArm, engine: &'static dyn Backend) -> Result<()> {
    let (saved, difference) = arm_export::save_adapter(&of.dir, &of.name(), &of.out, engine)?;
    let (base, whose) = match &saved.base {
        AdapterBase::Original(path, None) => (path, "the study's model"),
        AdapterBase::Original(path, Some(Quantise::Nf4)) => (
            path,
            "the study's model in 4 bits (BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type=\"nf4\", bnb_4bit_use_double_quant=True))",
        ),
        AdapterBase::Written(path) => (path, "written beside it"),
    };
    let base = printable(&base.display().to_string());
    let stacked = if saved.stacked.len() > 1 { format!(" of {}", saved.stacked.join(" and ")) } else { String::new() };
    let (kind, stacked, out) = (&saved.kind, printable(&stacked), of.out.display());
    let load = "load that model, then this with PeftModel.from_pretrained";
    print(&format!("{out}: a PEFT adapter, {kind}{stacked}, over {base}, {whose}; {load}\n{difference}\n"))
}
