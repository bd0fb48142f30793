//! `tunebench quickstart`: the embedded study, from its data to its decision.

use std::path::Path;

use anyhow::Result;
use tunebench_analysis as analysis;
use tunebench_analysis::estimates::MARGIN;
use tunebench_exchange::Alone;
use tunebench_model::formats::safetensors::Float;
use tunebench_report::data::Language;
use tunebench_study::{RunOptions, WorkAhead, trained_arm};

use crate::args::{Quickstart, Shared};
use crate::commands::report;
use crate::jobs::{self, Jobs};
use crate::output::{OutputFormat, Terminal, print, print_tables, status};
use crate::plugin_files;
use crate::quickstart::{study::Sizes, write_all};
use crate::signals::Signals;

pub fn run(args: &Quickstart, shared: &Shared, signals: &Signals) -> Result<()> {
    let out = &args.out;
    let data = out.join("data");
    let written = write_all(&data, args.seed, &Sizes::QUICKSTART)?;
    status(format!(
        "Quickstart: {} texts, {} instructions, {} sums and {} questions written to {}",
        written.text_rows,
        written.instruction_rows,
        written.math_rows,
        written.eval_items,
        data.display()
    ));
    if let Some(folder) = &args.pretrain {
        return pretrain(&data, folder, shared, signals);
    }
    let study = plugin_files::open_study(&data.join("study.toml"), shared)?;
    let options = RunOptions::default();
    let jobs = Jobs { file: &data.join("study.toml"), out, options: &options, shared };
    let mut beside = |ahead: &WorkAhead| jobs::run(&jobs, args.jobs, ahead, signals);
    study.run_together(out, &options, &mut Alone, &mut beside, &mut Terminal::new(signals.clone()))?;
    print_tables(&analysis::scores(out)?, OutputFormat::Text)?;
    print("\n")?;
    report::write(out, &out.join("report.html"), MARGIN, Language::En)?;
    let out = out.display();
    print(&format!(
        "\nWhat next:\n  \
         {out}/report.html    one page with everything, to read and to send\n  \
         tunebench analyze compare {out} \"small + FT(2000)\" \"small + LoRA(2000)\"   is the difference more than chance?\n  \
         tunebench analyze forgetting {out}    what general language each arm forgot\n  \
         tunebench query {out} \"SELECT category, prompt, answer, reference FROM generations LIMIT 5\"\n  \
         tunebench plan data/studies/paper.toml    the same study at the paper's size\n  \
         {out}/data/study.toml    the study file: copy it, point it at your model and data\n"
    ))
}

/// Trains the base models that come with tunebench, and writes their weights into `folder`.
fn pretrain(data: &Path, folder: &Path, shared: &Shared, signals: &Signals) -> Result<()> {
    let out = data.join("bases");
    let study = plugin_files::open_study(&data.join("pretraining.toml"), shared)?;
    study.run(&out, &RunOptions::default(), &mut Terminal::new(signals.clone()))?;
    for size in ["small", "large"] {
        let merged = out.join(size);
        trained_arm::find(&out, &format!("base-{size}"))?.save_merged(&merged, Float::BF16)?;
        let file = folder.join(format!("{size}.safetensors"));
        std::fs::create_dir_all(folder)?;
        std::fs::copy(merged.join("model.safetensors"), &file)?;
        print(&format!("{}\n", file.display()))?;
    }
    Ok(())
}
