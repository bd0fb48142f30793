//! Whether longer answers score higher, which says as much about the judge as about the arms, and which answers were cut.

use std::collections::BTreeMap;
use std::path::Path;

use tunebench_results::item_scores;
use tunebench_spec::{Generation, Judgement};

use crate::error::Result;
use crate::run::{Run, judged_title, judges};
use crate::statistics::{Line, line};
use crate::table::{Cell, Table};

const COLUMNS: [(&str, usize); 8] = [
    ("arm", 0),
    ("answers", 0),
    ("truncated", 0),
    ("truncated_percent", 1),
    ("mean_new_tokens", 1),
    ("scored", 0),
    ("slope_per_100_tokens", 4),
    ("correlation", 3),
];

/// One table per judge, a row for each arm and one for all; one table without scores when nothing is judged yet.
///
/// # Errors
/// When `dir` is not a run folder, its arms or generations are missing, or a frame is damaged.
pub fn lengths(dir: &Path) -> Result<Vec<Table>> {
    let run = Run::open(dir)?;
    let answers: Vec<Generation> = run.frames.read()?;
    let judgements: Vec<Judgement> = run.so_far()?;
    let scores = item_scores(&judgements);
    let mut judges = judges(judgements.iter().map(|judgement| judgement.judge.as_str()));
    if judges.is_empty() {
        judges.push("");
    }

    let mut by_arm: BTreeMap<&str, Vec<&Generation>> = BTreeMap::new();
    for answer in &answers {
        by_arm.entry(&answer.arm).or_default().push(answer);
    }
    let tables = judges.iter().map(|judge| {
        let score = |answer: &Generation| {
            scores.get(&(answer.arm.clone(), (*judge).to_owned(), answer.item.clone())).and_then(|item| item.score)
        };
        let mut table = Table::new(judged_title("Length of the answers and their score", judge, &judges), &COLUMNS);
        for arm in run.in_order(by_arm.keys().copied()) {
            table.rows.push(row(arm, &by_arm[arm], score));
        }
        table.rows.push(row("all arms", &answers.iter().collect::<Vec<_>>(), score));
        table
            .notes
            .push("truncated: cut at the limit of new tokens. slope: change of score per 100 new tokens.".into());
        table
    });
    Ok(tables.collect())
}

fn row(name: &str, answers: &[&Generation], score: impl Fn(&Generation) -> Option<f64>) -> Vec<Cell> {
    let truncated = answers.iter().filter(|answer| answer.finish == "length").count();
    let tokens: u64 = answers.iter().map(|answer| answer.new_tokens).sum();
    let per_answer = |total: f64| (!answers.is_empty()).then(|| total / answers.len() as f64);
    let pairs: Vec<(f64, f64)> =
        answers.iter().filter_map(|answer| Some((answer.new_tokens as f64 / 100.0, score(answer)?))).collect();
    let fit: Option<Line> = line(&pairs);
    vec![
        name.into(),
        answers.len().into(),
        truncated.into(),
        per_answer(100.0 * truncated as f64).into(),
        per_answer(tokens as f64).into(),
        pairs.len().into(),
        fit.map(|fit| fit.slope).into(),
        fit.and_then(|fit| fit.correlation).into(),
    ]
}
