//! The commands, each in a file of its own or, when it is a call and a print, here.

mod chat;
mod export;
mod labels;
mod plan;
mod plugins;

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use tunebench_analysis::{self as analysis, Table};

use crate::args::{Analysis, Analyze, Args, Command, Query, Quickstart, Shared, Study};
use crate::progress::say;
use crate::quickstart;
use crate::run::setup::Setup;
use crate::run::study::{self, Choice};

/// Does what the command line says.
pub fn run(args: Args) -> Result<()> {
    let shared = &args.shared;
    match args.command {
        Command::Quickstart(args) => run_quickstart(&args, shared),
        Command::Study(args) => run_study(&args, shared),
        Command::Plan(args) => plan::run(&args, shared),
        Command::Labels(args) => labels::run(&args, shared),
        Command::Analyze(args) => analyze(&args),
        Command::Query(args) => query(&args),
        Command::Export(args) => export::run(&args.what),
        Command::Chat(args) => chat::run(&args, shared.engine),
        Command::Plugins(args) => plugins::run(&args.command, shared),
    }
}

fn run_quickstart(args: &Quickstart, shared: &Shared) -> Result<()> {
    let out = &args.out;
    let data = out.join("data");
    let written = quickstart::write_all(&data, args.seed, &quickstart::study::Sizes::QUICKSTART)?;
    say(format!(
        "Quickstart: {} texts, {} instructions, {} sums and {} questions written to {}",
        written.text_rows,
        written.instruction_rows,
        written.math_rows,
        written.eval_items,
        data.display()
    ));
    let setup = Setup::open(&data.join("study.toml"), shared)?;
    study::run(&setup, out, &Choice::default())?;
    print_tables(&analysis::scores(out)?, Form::Text)?;
    let out = out.display();
    print(&format!(
        "\nWhat next:\n  \
         tunebench analyze compare {out} \"small + FT(2000)\" \"small + LoRA(2000)\"   is the difference more than chance?\n  \
         tunebench analyze curves {out}    how the losses fell\n  \
         tunebench query {out} \"SELECT category, prompt, answer, reference FROM generations LIMIT 5\"\n  \
         tunebench plan data/studies/paper.toml    the same study at the paper's size\n  \
         {out}/data/study.toml    the study file: copy it, point it at your model and data\n"
    ))
}

fn run_study(args: &Study, shared: &Shared) -> Result<()> {
    let setup = Setup::open(&args.file, shared)?;
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from("runs").join(&setup.study.study.name));
    study::run(&setup, &out, &Choice { only: args.only.clone(), dry_run: args.dry_run })?;
    if args.dry_run || setup.study.eval.is_none() {
        return Ok(());
    }
    print_tables(&analysis::scores(&out)?, Form::Text)
}

fn analyze(args: &Analyze) -> Result<()> {
    let tables = match &args.analysis {
        Analysis::Scores { dir } => analysis::scores(dir)?,
        Analysis::Compare { dir, a, b } => analysis::compare(dir, a, b)?,
        Analysis::Cost { dir } => analysis::cost(dir)?,
        Analysis::Curves { dir } => analysis::curves(dir)?,
        Analysis::Lengths { dir } => analysis::lengths(dir)?,
        Analysis::Paper => analysis::paper()?,
    };
    print_tables(&tables, Form::of(args.json, args.markdown))
}

fn query(args: &Query) -> Result<()> {
    let table = analysis::query(&args.dir, &args.sql)?;
    match Form::of(args.json, args.markdown) {
        Form::Json => print(&table.to_json()),
        form => print_tables(&[table], form),
    }
}

/// How tables are printed.
#[derive(Clone, Copy)]
pub enum Form {
    Text,
    Markdown,
    Json,
}

impl Form {
    fn of(json: bool, markdown: bool) -> Self {
        match (json, markdown) {
            (true, _) => Self::Json,
            (_, true) => Self::Markdown,
            _ => Self::Text,
        }
    }
}

fn print_tables(tables: &[Table], form: Form) -> Result<()> {
    let show = |table: &Table| match form {
        Form::Text => format!("\n{}\n", table.to_text().trim_end()),
        Form::Markdown => format!("\n{}\n", table.to_markdown().trim_end()),
        Form::Json => table.to_json().trim_end().to_owned(),
    };
    let shown: Vec<String> = tables.iter().map(show).collect();
    match form {
        Form::Json => print(&format!("[{}]\n", shown.join(",\n"))),
        Form::Text | Form::Markdown => print(&shown.concat()),
    }
}

/// Writes to standard output; a closed pipe is an error like any other, not a panic.
pub fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Text from outside with what would steer a terminal or hide text made visible; line breaks stay.
pub fn printable(text: &str) -> String {
    text.split('\n').map(analysis::escape::line).collect::<Vec<_>>().join("\n")
}
