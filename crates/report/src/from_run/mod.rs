//! From the folder of a run to what its page is made of.

mod answers;
mod arms;
mod columns;
mod curves;
mod decision;
mod headings;
mod tables;
mod template;
mod warnings;

use std::path::Path;

use serde::Deserialize;
use tunebench_analysis::arm_cost::arm_costs;
use tunebench_analysis::decision::of_scores;
use tunebench_analysis::estimates::judge_scores;
use tunebench_analysis::evidence::{Evidence, Note};
use tunebench_analysis::lint::findings;
use tunebench_analysis::run::Run;
use tunebench_spec::LossLog;

use crate::data::{ItemAnswers, Language, Report, Scale, Text};
use crate::error::Error;

/// The report on a run, and its answers item by item. Equal frames make equal reports: nothing else is in them, but the
/// study's name.
///
/// Differences below `margin`, in units of the score, count as none that matters. Of several judges the first by name makes
/// scores and decision; what the others gave is in a table, and everybody's words are with the answers.
///
/// # Errors
/// When a frame is missing or damaged, nothing is judged yet, the margin is none, or the judgements of any judge do not
/// measure the same.
pub fn of_run(
    dir: &Path,
    margin: f64,
    language: Language,
) -> Result<(Report, impl Iterator<Item = ItemAnswers> + use<>), Error> {
    if !(margin > 0.0 && margin < 1.0) {
        return Err(tunebench_analysis::Error::BadMargin(margin).into());
    }
    let run = Run::open(dir)?;
    let mut report = measured(&run, dir, margin)?;
    report.language = language;
    (report.study, report.warnings) = named(dir, report.warnings);
    report.machine = computed_by(&run);
    report.commands = commands(margin, language);

    let answers = answers::Answers::read(&run.frames, dir)?;
    report.warnings.extend(warnings::of_rows(answers.orphans, answers.broken_scores));
    report.judges.clone_from(&answers.judges);
    report.answer_notes.push(Text::new(
        "Questions are shown as the prompts without the lines that all prompts of an arm begin and end with.",
        "问题按提示词显示，去掉了同一组全部提示词共有的首尾行。",
    ));
    Ok((report, answers))
}

/// All that comes from the analyses.
fn measured(run: &Run, dir: &Path, margin: f64) -> Result<Report, Error> {
    let evidence = Evidence::read(run)?;
    let judges = evidence.judge_names();
    let Some((judge, others)) = judges.split_first() else {
        return Err(tunebench_analysis::Error::NothingJudged.into());
    };
    let scores = judge_scores(run, &evidence, judge, margin)?;
    let found = of_scores(run, &evidence, &scores, margin)?;
    let costs = arm_costs(run, &evidence, judge, &scores.arms);
    let losses: Vec<LossLog> = run.so_far()?;
    let answered = evidence.answered();
    let all: Vec<&str> = run.in_order(evidence.arm_names().into_iter().chain(answered));
    let (curves, curve_notes) = curves::curves(run, &losses)?;
    let by_others = tables::other_judges(run, &evidence, others)?;
    let mut report = Report {
        scale: Scale { low: 0.0, high: 1.0 },
        decision: decision::decision(&found),
        arms: arms::arms(run, &scores, &costs, &losses, &all)?,
        pairs: arms::pairs(&scores),
        categories: arms::categories(&scores),
        score_notes: arms::notes(&scores, &judges, margin, &about(&evidence, &found)),
        cost_notes: arms::cost_notes(run),
        candidates: curves::candidates(run, &losses),
        curves,
        curve_notes,
        ..Report::default()
    };
    // The analyses read what they need again: both at once would be too much for a small machine.
    drop(evidence);
    let findings = findings(run)?;
    report.warnings = warnings::warnings(&findings, &scores);
    report.tables = tables::tables(run, dir, &findings)?;
    report.judge_tables = tables::of_judges(dir)?;
    report.pair_tables = tables::of_pairs(dir)?;
    report.tables.extend(by_others);
    Ok(report)
}

/// What must be known of the judge that the decision is by, and of its own error.
fn about(evidence: &Evidence, found: &tunebench_analysis::decision::Decision) -> Vec<Note> {
    let correction = found.correction.as_ref().map(|correction| correction.note());
    evidence.about(&found.judge).into_iter().chain(correction).collect()
}

/// What of a study's file is on the page: a file of another version has it, too.
#[derive(Deserialize)]
struct StudyFile {
    study: StudyHeader,
}

#[derive(Deserialize)]
struct StudyHeader {
    name: String,
}

/// The study's name, from the study as it was run; or the folder's, and a warning.
fn named(dir: &Path, mut warnings: Vec<Text>) -> (String, Vec<Text>) {
    let path = dir.join("study.toml");
    let read = std::fs::read_to_string(&path).map_err(|why| why.to_string());
    match read.and_then(|text| toml::from_str::<StudyFile>(&text).map_err(|why| why.to_string())) {
        Ok(file) => (file.study.name, warnings),
        Err(why) => {
            let why = why.lines().next().unwrap_or_default().to_owned();
            warnings.push(Text::new(
                format!("The study's file cannot be read ({why}): the page has the folder's name, and nothing says how to run it again."),
                format!("无法读取研究文件（{why}）：本页以文件夹为名，也无从得知如何重新运行。"),
            ));
            let name = dir.file_name().map(|name| name.to_string_lossy().into_owned());
            (name.unwrap_or_default(), warnings)
        }
    }
}

/// Engines and precisions of the trainings, and the program.
fn computed_by(run: &Run) -> String {
    let mut engines: Vec<String> = Vec::new();
    for record in run.arms.iter().flat_map(|arm| &arm.trainings) {
        let words = format!("{} engine, {}", record.engine, record.precision);
        if !engines.contains(&words) {
            engines.push(words);
        }
    }
    format!("tunebench {} · {}", env!("CARGO_PKG_VERSION"), engines.join(" · "))
}

/// `OUT` stands for the folder, whose place says nothing of the results.
fn commands(margin: f64, language: Language) -> Vec<String> {
    let language = match language {
        Language::En => "",
        Language::Zh => " --language zh",
    };
    vec![
        "# OUT: the run's folder".to_owned(),
        "tunebench study OUT/study.toml --out OUT".to_owned(),
        format!("tunebench report OUT --margin {margin}{language}"),
    ]
}
