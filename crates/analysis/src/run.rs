//! What the analyses share: the frames of a run folder, a training a row, put together by arm and in the study's order.

use std::collections::BTreeSet;
use std::path::Path;

use tunebench_results::column::Record;
use tunebench_results::{Frames, MACRO_AVERAGE, MICRO_AVERAGE};
use tunebench_spec::ArmRecord;

use crate::error::Result;

/// The paper's categories in the order of its Table 5.
pub const PAPER_CATEGORIES: [&str; 9] = [
    "others",
    "rewrite",
    "classification",
    "generation",
    "summarization",
    "extract",
    "open qa",
    "brainstorming",
    "closed qa",
];

/// A run folder with its arms.
pub struct Run {
    pub frames: Frames,
    /// In the study's order.
    pub arms: Vec<Arm>,
}

/// An arm with its trainings, or a base model as it is.
#[derive(Clone, Debug)]
pub struct Arm {
    pub name: String,
    /// Of the first training that stands for it: what all of them share, such as base, tuner and dataset.
    pub record: ArmRecord,
    /// One for each seed: those that stand for the arm. Empty while a grid has not chosen yet.
    pub trainings: Vec<ArmRecord>,
    /// The grid's candidates that were not chosen.
    pub losing: Vec<ArmRecord>,
}

impl Arm {
    /// A base model as it is was never trained. An arm in another form was, as the arm that it is of.
    pub fn is_trained(&self) -> bool {
        self.record.steps > 0 || self.is_variant()
    }

    /// Whether it is another arm in another form, and no method of its own.
    pub fn is_variant(&self) -> bool {
        self.record.form().is_some()
    }

    /// Mean over the trainings; none for a base model and for an arm in another form.
    pub fn mean(&self, value: impl Fn(&ArmRecord) -> f64) -> Option<f64> {
        let values: Vec<f64> = self.trainings.iter().filter(|training| training.steps > 0).map(value).collect();
        mean(&values)
    }

    /// Largest over the trainings; none for a base model.
    pub fn peak_bytes(&self) -> Option<u64> {
        self.trainings.iter().filter(|training| training.steps > 0).map(|training| training.peak_rss_bytes).max()
    }
}

impl Run {
    /// # Errors
    /// When `dir` is not a run folder, or its arms are missing or damaged.
    pub fn open(dir: &Path) -> Result<Self> {
        let frames = Frames::open(dir)?;
        let mut arms: Vec<Arm> = Vec::new();
        for record in frames.read::<ArmRecord>()? {
            let place = arms.iter().position(|arm| arm.name == record.arm).unwrap_or_else(|| {
                let (name, record) = (record.arm.clone(), record.clone());
                arms.push(Arm { name, record, trainings: Vec::new(), losing: Vec::new() });
                arms.len() - 1
            });
            let arm = &mut arms[place];
            match record.selected {
                true if arm.trainings.is_empty() => {
                    arm.record = record.clone();
                    arm.trainings.push(record);
                }
                true => arm.trainings.push(record),
                false => arm.losing.push(record),
            }
        }
        Ok(Self { frames, arms })
    }

    /// The rows of a frame that an unfinished run may not have written yet; none then.
    ///
    /// # Errors
    /// When the frame is there and cannot be read.
    pub fn so_far<R: Record>(&self) -> Result<Vec<R>> {
        if self.has::<R>() { Ok(self.frames.read()?) } else { Ok(Vec::new()) }
    }

    /// Whether the frame is there.
    pub fn has<R: Record>(&self) -> bool {
        self.frames.present().iter().any(|frame| frame.name == R::FRAME)
    }

    /// The names in the study's order, those the study does not list at the end.
    pub fn in_order<'a>(&'a self, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
        let names: BTreeSet<&str> = names.into_iter().collect();
        let listed: Vec<&str> = self.arms.iter().map(|arm| arm.name.as_str()).collect();
        let unlisted = names.iter().filter(|name| !listed.contains(name)).copied();
        listed.iter().filter(|name| names.contains(*name)).copied().chain(unlisted).collect()
    }

    pub fn arm(&self, name: &str) -> Option<&Arm> {
        self.arms.iter().find(|arm| arm.name == name)
    }

    /// The trained arms that an arm goes back to, itself among them.
    pub fn ancestors(&self, name: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut next = self.arm(name);
        while let Some(arm) = next.filter(|arm| arm.is_trained()) {
            if !found.insert(arm.name.clone()) {
                break;
            }
            next = self.arm(&arm.record.base);
        }
        found
    }

    /// The model that an arm goes back to, through all arms that it starts from.
    pub fn root<'a>(&'a self, arm: &'a Arm) -> &'a str {
        let mut base = arm.record.base.as_str();
        // Each turn goes to another arm, unless a file goes round in a circle, which no study does.
        for _ in &self.arms {
            match self.arm(base).filter(|parent| parent.is_trained()) {
                Some(parent) => base = &parent.record.base,
                None => break,
            }
        }
        base
    }
}

/// The judges in the order of their names. Scores of different judges are never mixed.
pub fn judges<'a>(judges: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    judges.into_iter().collect::<BTreeSet<_>>().into_iter().collect()
}

/// The paper's categories that occur, in its order, then any other by name; the averages are no categories.
pub fn ordered_categories<'a>(found: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut found: BTreeSet<&str> = found.into_iter().collect();
    found.remove(MACRO_AVERAGE);
    found.remove(MICRO_AVERAGE);
    let in_paper: Vec<&str> = PAPER_CATEGORIES.into_iter().filter(|category| found.remove(category)).collect();
    in_paper.into_iter().chain(found).collect()
}

/// None of no values.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}
