//! `tunebench report`: a run as one HTML file.

use std::path::Path;

use anyhow::Result;
use tunebench_report::data::Language;

use crate::args::{self, Report};
use crate::output::{print, printable};

pub fn run(args: &Report) -> Result<()> {
    let language = match args.language {
        args::Language::En => Language::En,
        args::Language::Zh => Language::Zh,
    };
    let path = args.out.clone().unwrap_or_else(|| args.dir.join("report.html"));
    write(&args.dir, &path, args.margin, language)
}

/// Writes the report of a run folder, and prints its decision and where it is.
pub fn write(dir: &Path, path: &Path, margin: f64, language: Language) -> Result<()> {
    let (report, answers) = tunebench_report::of_run(dir, margin, language)?;
    tunebench_report::write_file(&report, answers, path)?;
    let sentences = [&report.decision.headline, &report.decision.certainty].map(|text| text.in_language(language));
    for sentence in sentences.into_iter().filter(|sentence| !sentence.is_empty()) {
        print(&format!("{}\n", printable(sentence)))?;
    }
    print(&format!("{}\n", printable(&path.display().to_string())))
}
