//! Probes of a judge: answers of a run, changed on purpose, and judged beside what they were.

use std::collections::BTreeMap;
use std::path::Path;

use tunebench_host::Registry;
use tunebench_model::backend::Backend;
use tunebench_spec::study::JudgeSettings;
use tunebench_spec::{Generation, Judgement, JudgementStatus, Probe, hash};

use crate::changed_answers::{CHANGES, Change, changed};
use crate::error::StudyError;
use crate::generations::SKIPPED;
use crate::judge_again::JudgedRun;
use crate::judgements::{Answers, JudgingOptions};
use crate::judges::OpenJudge;
use crate::observer::Observer;

/// Of a judge that compares: an answer beside itself.
const POSITION: &str = "position";

/// Arm, seed and item of an answer.
type AnswerKey = (String, u64, String);

/// Has the judge of this name, or the run's first, judge `count` answers of a run in every changed form, and writes what it
/// says to the frame `probes`, in place of what it said before.
///
/// # Errors
/// When there is no such judge, nothing can begin, or not all could be judged.
pub fn probe_judge(
    root: &Path,
    plugins: &Registry,
    backend: &'static dyn Backend,
    name: Option<&str>,
    count: usize,
    options: JudgingOptions,
    observer: &mut dyn Observer,
) -> Result<Vec<Probe>, StudyError> {
    let run = JudgedRun::open(root, backend)?;
    let judges = run.judges()?;
    let known = || judges.iter().map(|judge| judge.name()).collect::<Vec<_>>().join(", ");
    let settings = match name {
        None => judges.first(),
        Some(name) => judges.iter().find(|judge| judge.name() == name),
    };
    let Some(settings) = settings else {
        let asked = name.map_or_else(|| "the run has no judge".to_owned(), |name| format!("no judge `{name}`"));
        return Err(StudyError::Invalid(format!("{asked}; there are: {}", known())));
    };
    // Each changed answer once, whatever share of the items it judges otherwise.
    let settings = JudgeSettings { repeats: 1, share: None, repeat_share: None, ..settings.clone() };
    let judge = OpenJudge::open(plugins, settings)?;
    let drawn = draw(&run, &judge, count);
    if drawn.is_empty() {
        let fault = "no answer has a score by it yet that a changed one could be compared with";
        return Err(StudyError::Invalid(format!("judge `{}`: {fault}; judge the run first", judge.name())));
    }
    let judging = run.judging(&judge, options);
    let (mut probes, mut stopped) = (Vec::new(), None);
    let kinds: Vec<(&str, Option<Change>)> = match judge.compares() {
        true => vec![(POSITION, None)],
        false => CHANGES.iter().map(|(change, name)| (*name, Some(*change))).collect(),
    };
    for (kind, change) in kinds {
        let (originals, generations) = changed_forms(&run, &drawn, change);
        // The same answer under another name, for a judge that compares.
        let twins: Vec<Generation> =
            drawn.iter().map(|(row, _)| Generation { arm: format!("{} itself", row.arm), ..row.clone() }).collect();
        let rivals: &[&[Generation]] = if judge.compares() { &[&twins] } else { &[] };
        let answers = [Answers { generations: &generations, rivals }];
        let found = judging.judge(&answers, &run.folder, observer)?;
        probes.extend(found.judgements.into_iter().map(|row| probe(kind, &originals, row)));
        stopped = stopped.or(found.stopped);
    }
    keep(root, judge.name(), &probes)?;
    match stopped {
        None => Ok(probes),
        Some(reason) => Err(StudyError::JudgingStopped { model: judge.name().to_owned(), reason }),
    }
}

/// Answers that the judge scored, with its mean score, drawn by the study's seed.
fn draw(run: &JudgedRun, judge: &OpenJudge, count: usize) -> Vec<(Generation, f64)> {
    let mut drawn = Vec::new();
    for (model, generations) in run.frames.answered(&run.study) {
        let judgements = run.frames.judgements(&model, judge.name());
        for row in generations.iter().filter(|row| row.finish != SKIPPED) {
            let of_answer = judgements.iter().filter(|judgement| judgement.item == row.item);
            let scores: Vec<f64> = of_answer.filter_map(|judgement| judgement.score).collect();
            if !scores.is_empty() {
                drawn.push((row.clone(), scores.iter().sum::<f64>() / scores.len() as f64));
            }
        }
    }
    let seed = run.study.study.seed;
    drawn.sort_by_cached_key(|(row, _)| {
        hash::of_bytes(format!("{seed} {} {} {}", row.arm, row.seed, row.item).as_bytes())
    });
    drawn.truncate(count);
    drawn
}

/// The drawn answers in one changed form, those that have it, and what each was scored as it was.
fn changed_forms(
    run: &JudgedRun,
    drawn: &[(Generation, f64)],
    change: Option<Change>,
) -> (BTreeMap<AnswerKey, f64>, Vec<Generation>) {
    let (mut originals, mut generations) = (BTreeMap::new(), Vec::new());
    for (index, (row, score)) in drawn.iter().enumerate() {
        let others = drawn.iter().cycle().skip(index + 1).take(drawn.len());
        let other = others.map(|(other, _)| other).find(|other| other.item_hash != row.item_hash);
        let other = other.map_or("", |other| other.answer.as_str());
        let answer = match change {
            None => Some(row.answer.clone()),
            Some(change) => changed(change, &row.answer, other, run.study.study.seed),
        };
        let Some(answer) = answer else { continue };
        originals.insert((row.arm.clone(), row.seed, row.item.clone()), if change.is_none() { 0.5 } else { *score });
        generations.push(Generation { answer, ..row.clone() });
    }
    (originals, generations)
}

fn probe(kind: &str, originals: &BTreeMap<AnswerKey, f64>, row: Judgement) -> Probe {
    let original = originals.get(&(row.arm.clone(), row.seed, row.item.clone())).copied();
    let Judgement { judge, judge_hash, arm, seed, item, item_hash, category, score, status, reason, cost_usd, .. } =
        row;
    Probe {
        judge,
        judge_hash,
        arm,
        seed,
        item,
        item_hash,
        category,
        probe: kind.to_owned(),
        original,
        score: score.filter(|_| status == JudgementStatus::Scored),
        status,
        reason,
        cost_usd,
    }
}

/// Puts the probes of a judge into the frame.
fn keep(root: &Path, judge: &str, probes: &[Probe]) -> Result<(), StudyError> {
    let mut all: Vec<Probe> = match root.join("probes.parquet").exists() {
        true => tunebench_results::Frames::open(root)?.read()?,
        false => Vec::new(),
    };
    all.retain(|row| row.judge != judge);
    all.extend_from_slice(probes);
    Ok(tunebench_results::write_probes(root, &all)?)
}
