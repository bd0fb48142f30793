//! `tunebench judge`: a run's answers judged again, by another judge, by changed answers, or by people.

use std::collections::BTreeMap;
use std::io::{BufRead as _, IsTerminal as _};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tunebench_analysis as analysis;
use tunebench_spec::study::JudgeSettings;
use tunebench_spec::{Label, hash};
use tunebench_study::human_labels::{self, Unlabelled};
use tunebench_study::judge_again::{JudgeAgain, judge_again};
use tunebench_study::judge_probes::probe_judge;
use tunebench_study::judgements::{Allowance, JudgingOptions};

use crate::args::{CalibrateArgs, JudgeAgainArgs, JudgeArgs, JudgeCommand, ProbeArgs, Shared};
use crate::output::{OutputFormat, Terminal, print, print_tables, printable, status};
use crate::plugin_files;
use crate::signals::Signals;

pub fn run(args: &JudgeArgs, shared: &Shared, signals: &Signals) -> Result<()> {
    match (&args.command, &args.again) {
        (Some(JudgeCommand::Calibrate(args)), _) => calibrate(args),
        (Some(JudgeCommand::Probe(args)), _) => probe(args, shared, signals),
        (None, again) => again_by(again, shared, signals),
    }
}

fn again_by(args: &JudgeAgainArgs, shared: &Shared, signals: &Signals) -> Result<()> {
    let dir = args.dir.as_ref().context("name the run folder")?;
    let options =
        JudgingOptions { again: args.again.into(), is_replay: args.replay, max_cost: allowance(args.max_cost)? };
    let mut chat = values("--chat", &args.chat)?;
    chat.extend(args.base_url.iter().map(|url| ("base_url".to_owned(), url.as_str().into())));
    let again = JudgeAgain { judge: settings(args)?, chat, options, is_forecast: args.dry_run };
    let plugins = plugin_files::registry(shared)?;
    judge_again(dir, &plugins, shared.backend, &again, &mut Terminal::new(signals.clone()))?;
    if args.dry_run {
        return Ok(());
    }
    print_tables(&analysis::scores(dir)?, OutputFormat::Text)
}

fn allowance(usd: Option<f64>) -> Result<Option<Allowance>> {
    Ok(usd.map(Allowance::new).transpose()?)
}

/// The judge that the command line describes; none where it names none.
fn settings(args: &JudgeAgainArgs) -> Result<Option<JudgeSettings>> {
    let Some(judge) = &args.judge else {
        if args.model.is_some() || !args.options.is_empty() || args.name.is_some() {
            bail!("--model, --option and --name say what a judge is; say which with --judge");
        }
        return Ok(None);
    };
    let mut judge_options = values("--option", &args.options)?;
    judge_options.extend(args.model.iter().map(|model| ("model".to_owned(), model.as_str().into())));
    Ok(Some(JudgeSettings {
        judge: judge.clone(),
        name: args.name.clone(),
        judge_options,
        repeats: args.repeats,
        repeat_share: args.repeat_share,
        share: args.share,
        baseline: args.baseline.clone(),
        chat: None,
    }))
}

/// What `NAME=VALUE`s say: JSON where it is some, else text.
fn values(flag: &str, said: &[String]) -> Result<BTreeMap<String, Value>> {
    let value = |text: &String| {
        let (name, value) = text.split_once('=').with_context(|| format!("{flag} {text}: write NAME=VALUE"))?;
        Ok((name.trim().to_owned(), serde_json::from_str(value).unwrap_or_else(|_| value.into())))
    };
    said.iter().map(value).collect()
}

fn probe(args: &ProbeArgs, shared: &Shared, signals: &Signals) -> Result<()> {
    let options = JudgingOptions { max_cost: allowance(args.max_cost)?, ..JudgingOptions::default() };
    let (plugins, judge) = (plugin_files::registry(shared)?, args.judge.as_deref());
    let mut terminal = Terminal::new(signals.clone());
    probe_judge(&args.dir, &plugins, shared.backend, judge, args.answers, options, &mut terminal)?;
    print_tables(&analysis::judges(&args.dir)?, OutputFormat::Text)
}

/// Takes marks from a file, or asks for them, one answer after the other, without saying whose it is.
fn calibrate(args: &CalibrateArgs) -> Result<()> {
    if let Some(file) = &args.from {
        let imported = human_labels::import(&args.dir, file)?;
        status(format!("{} marks taken, {} were there already", imported.added, imported.known));
    } else {
        let answers = human_labels::to_label(&args.dir, args.count, args.seed, &args.labeler)?;
        ask_all(args, &answers)?;
    }
    print_tables(&analysis::calibration(&args.dir)?, OutputFormat::Text)
}

fn ask_all(args: &CalibrateArgs, answers: &[Unlabelled]) -> Result<()> {
    if std::io::stdin().is_terminal() {
        status("A mark from 0 to 1 for each answer; an empty line passes over it, Ctrl-D ends. Each is kept at once.");
    }
    let mut lines = std::io::stdin().lock().lines();
    for (number, Unlabelled { item, generation }) in (1..).zip(answers) {
        let reference = item.reference.as_ref().map_or_else(String::new, |text| format!("\nReference: {text}"));
        let question = format!("Question: {}{reference}\nAnswer: {}", item.question(), generation.answer);
        print(&printable(&format!("\n{number} of {}\n{question}\n", answers.len())))?;
        loop {
            print("mark> ")?;
            let Some(line) = lines.next().transpose()? else { return Ok(()) };
            if line.trim().is_empty() {
                break;
            }
            let label = Label {
                arm: generation.arm.clone(),
                seed: generation.seed,
                item: generation.item.clone(),
                answer_hash: hash::of_bytes(generation.answer.as_bytes()),
                score: line.trim().parse().unwrap_or(f64::NAN),
                labeler: args.labeler.clone(),
            };
            match human_labels::add(&args.dir, &label) {
                Ok(()) => break,
                Err(error) => status(format!("{error}; again, or an empty line to pass over it")),
            }
        }
    }
    Ok(())
}
