//! People's marks of answers, by which a judge is calibrated: which answers to mark, and the file that keeps the marks.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;

use tunebench_files::JsonLines;
use tunebench_results::Frames;
use tunebench_spec::{Example, Generation, Judgement, JudgementStatus, Label, hash};

use crate::error::{Locate, StudyError};
use crate::generations::SKIPPED;
use crate::run_folder;

const REMEDY: &str = "mend or remove that line";

/// An answer that nobody has marked yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Unlabelled {
    pub item: Example,
    pub generation: Generation,
}

/// What came of a file of marks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    pub added: usize,
    /// Marks that were there already.
    pub known: usize,
}

/// The answers to mark next. They are drawn by `seed`, with equal chances within an arm and as many of each arm, among those
/// that a judge has scored and this person has not marked: so the marks tell how the judge errs, and not where somebody looked.
///
/// # Errors
/// When the run folder has no answers that were scored, or a file of it is damaged.
pub fn to_label(root: &Path, count: usize, seed: u64, labeler: &str) -> Result<Vec<Unlabelled>, StudyError> {
    let frames = Frames::open(root)?;
    let own = read(root)?.into_iter().filter(|label| label.labeler == labeler);
    let marked: BTreeSet<String> =
        own.map(|label| key(&label.arm, label.seed, &label.item, &label.answer_hash)).collect();
    let judgements: Vec<Judgement> = frames.read()?;
    let is_scored = |row: &&Judgement| row.status == JudgementStatus::Scored && row.rival.is_empty();
    let scored: BTreeSet<String> =
        judgements.iter().filter(is_scored).map(|row| key(&row.arm, row.seed, &row.item, &row.answer_hash)).collect();
    let mut arms: Vec<(String, Vec<(String, Generation)>)> = Vec::new();
    for row in frames.read::<Generation>()? {
        let key = key(&row.arm, row.seed, &row.item, &answer_hash(&row));
        if row.finish == SKIPPED || !scored.contains(&key) || marked.contains(&key) {
            continue;
        }
        let place = arms.iter().position(|(arm, _)| *arm == row.arm).unwrap_or_else(|| {
            arms.push((row.arm.clone(), Vec::new()));
            arms.len() - 1
        });
        arms[place].1.push((hash::of_bytes(format!("{seed} {key}").as_bytes()), row));
    }
    if arms.is_empty() && marked.is_empty() {
        let fault = "no answer of this run has a score yet that a person's mark could be compared with; judge it first";
        return Err(StudyError::Invalid(format!("{}: {fault}", root.display())));
    }
    let items = items(root)?;
    let mut queues: Vec<VecDeque<Generation>> = arms
        .into_iter()
        .map(|(_, mut rows)| {
            rows.sort_by(|a, b| a.0.cmp(&b.0));
            rows.into_iter().map(|(_, row)| row).collect()
        })
        .collect();
    let mut drawn = Vec::new();
    while drawn.len() < count && queues.iter().any(|queue| !queue.is_empty()) {
        for generation in queues.iter_mut().filter_map(VecDeque::pop_front) {
            let Some(item) = items.get(&generation.item) else { continue };
            drawn.push(Unlabelled { item: item.clone(), generation });
        }
    }
    drawn.truncate(count);
    // In an order that tells nothing of the arm.
    drawn.sort_by_cached_key(|one| {
        hash::of_bytes(format!("{seed} {} {}", one.item.id, one.generation.answer).as_bytes())
    });
    Ok(drawn)
}

/// The marks of a run folder; none where nobody has marked anything.
///
/// # Errors
/// When a line is no mark.
pub fn read(root: &Path) -> Result<Vec<Label>, StudyError> {
    let path = run_folder::labels(root);
    tunebench_files::read_lines(&path).map_err(|source| StudyError::Damaged { source, remedy: REMEDY })
}

/// Keeps a mark: it is on disk when this returns.
///
/// # Errors
/// When it is not from 0 to 1, or cannot be kept.
pub fn add(root: &Path, label: &Label) -> Result<(), StudyError> {
    check(label)?;
    let (mut file, _) = JsonLines::<Label>::open(&run_folder::labels(root))?;
    file.append(label)?;
    Ok(file.sync()?)
}

/// Takes the marks of a file, JSON lines of `arm`, `seed`, `item` and `score`, into the run folder. Nothing is taken when a
/// line is wrong.
///
/// # Errors
/// When a line is no mark, or is of an answer that the run does not hold, with the line.
pub fn import(root: &Path, file: &Path) -> Result<Imported, StudyError> {
    let answers: Vec<Generation> = Frames::open(root)?.read()?;
    let hashes: BTreeMap<(&str, u64, &str), String> =
        answers.iter().map(|row| ((row.arm.as_str(), row.seed, row.item.as_str()), answer_hash(row))).collect();
    let mut known: BTreeMap<String, f64> = read(root)?.iter().map(|label| (key_of_label(label), label.score)).collect();
    let found: Vec<Label> =
        tunebench_files::read_lines(file).map_err(|source| StudyError::Damaged { source, remedy: REMEDY })?;
    if found.is_empty() {
        return Err(StudyError::Invalid(format!("{}: it is not there, or holds no marks", file.display())));
    }
    let (mut imported, mut new) = (Imported::default(), Vec::new());
    for (line, mut label) in (1..).zip(found) {
        let place = format!("{}:{line}", file.display());
        check(&label).at(&place)?;
        let Some(hash) = hashes.get(&(label.arm.as_str(), label.seed, label.item.as_str())) else {
            let Label { arm, seed, item, .. } = &label;
            let fault = format!("{place}: the run has no answer of `{arm}` (seed {seed}) to `{item}`");
            return Err(StudyError::Invalid(fault));
        };
        if label.answer_hash.is_empty() {
            label.answer_hash.clone_from(hash);
        }
        match known.insert(key_of_label(&label), label.score) {
            None => new.push(label),
            Some(score) if score == label.score => imported.known += 1,
            Some(score) => {
                let fault = "the same person marked the same answer otherwise before";
                let remedy = "give each person a `labeler`, or take the old line out of labels.jsonl";
                let new = label.score;
                return Err(StudyError::Invalid(format!("{place}: {fault}, {score} and now {new}; {remedy}")));
            }
        }
    }
    let (mut kept, _) = JsonLines::<Label>::open(&run_folder::labels(root))?;
    for label in &new {
        kept.append(label)?;
    }
    kept.sync()?;
    imported.added = new.len();
    Ok(imported)
}

/// The items of a run by their ids.
///
/// # Errors
/// When the run kept none.
pub fn items(root: &Path) -> Result<BTreeMap<String, Example>, StudyError> {
    let path = run_folder::items(root);
    let items: Vec<Example> = tunebench_files::read_lines(&path)?;
    if items.is_empty() {
        let fault = "the run keeps no items to judge by; run its study again, nothing that is finished is done again";
        return Err(StudyError::Invalid(format!("{}: {fault}", root.display())));
    }
    Ok(items.into_iter().map(|item| (item.id.clone(), item)).collect())
}

fn check(label: &Label) -> Result<(), StudyError> {
    match (0.0..=1.0).contains(&label.score) {
        true => Ok(()),
        false => Err(StudyError::Invalid(format!("the mark {} is not from 0 to 1", label.score))),
    }
}

fn answer_hash(row: &Generation) -> String {
    hash::of_bytes(row.answer.as_bytes())
}

/// Names a mark: whose it is, and of which answer.
fn key_of_label(label: &Label) -> String {
    format!("{:?} {}", label.labeler, key(&label.arm, label.seed, &label.item, &label.answer_hash))
}

/// Names an answer.
fn key(arm: &str, seed: u64, item: &str, answer_hash: &str) -> String {
    serde_json::json!([arm, seed, item, answer_hash]).to_string()
}
