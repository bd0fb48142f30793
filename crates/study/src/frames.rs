//! The frames of a run folder as they grow: the rows of one model after the other, each replaced as a whole when they
//! are made anew.

use std::collections::BTreeMap;
use std::path::Path;

use tunebench_results as results;
use tunebench_spec::{ArmRecord, Generation, Judgement, StepLog};

use crate::error::StudyError;
use crate::observer::{Event, Observer};

/// The rows of one model.
#[derive(Clone, Default)]
pub struct ArmRows {
    /// One row.
    pub arms: Vec<ArmRecord>,
    pub steps: Vec<StepLog>,
    pub generations: Vec<Generation>,
    pub judgements: Vec<Judgement>,
}

/// The rows of all models, in the study's order.
pub struct RunFrames {
    order: Vec<String>,
    rows: BTreeMap<String, ArmRows>,
}

impl RunFrames {
    /// What an earlier run left in the frames, as far as it still is what the study describes, which names each model by
    /// an identity: a run that breaks off must not take away what was there.
    pub fn open(
        root: &Path,
        order: Vec<String>,
        identities: &BTreeMap<String, String>,
        observer: &mut dyn Observer,
    ) -> Self {
        let mut rows = match earlier(root) {
            Ok(rows) => rows,
            Err(_) if !root.join("arms.parquet").exists() => BTreeMap::new(),
            Err(error) => {
                observer.on_event(&Event::FramesLost(&error));
                BTreeMap::new()
            }
        };
        let is_current = |rows: &ArmRows| rows.arms.iter().all(|arm| identities.get(&arm.arm) == Some(&arm.identity));
        rows.retain(|_, rows| !rows.arms.is_empty() && is_current(rows));
        Self { order, rows }
    }

    /// Puts in the rows of a model, in place of those it had.
    pub fn replace(&mut self, model: &str, rows: ArmRows) {
        self.rows.insert(model.to_owned(), rows);
    }

    /// Writes all frames.
    ///
    /// # Errors
    /// When a file cannot be written; the old one is then still whole.
    pub fn write(&self, root: &Path) -> Result<(), StudyError> {
        let rows = || self.order.iter().filter_map(|name| self.rows.get(name));
        results::write_steps(root, &rows().flat_map(|r| r.steps.clone()).collect::<Vec<_>>())?;
        results::write_generations(root, &rows().flat_map(|r| r.generations.clone()).collect::<Vec<_>>())?;
        results::write_judgements(root, &rows().flat_map(|r| r.judgements.clone()).collect::<Vec<_>>())?;
        // Last, so that a model with a row here has all its others, whenever the run is killed.
        results::write_arms(root, &rows().flat_map(|r| r.arms.clone()).collect::<Vec<_>>())?;
        Ok(())
    }
}

/// The rows of the frames by model.
fn earlier(root: &Path) -> results::Result<BTreeMap<String, ArmRows>> {
    let frames = results::Frames::open(root)?;
    let mut rows: BTreeMap<String, ArmRows> = BTreeMap::new();
    for row in frames.read::<ArmRecord>()? {
        rows.entry(row.arm.clone()).or_default().arms.push(row);
    }
    for row in frames.read::<StepLog>()? {
        rows.entry(row.arm.clone()).or_default().steps.push(row);
    }
    for row in frames.read::<Generation>()? {
        rows.entry(row.arm.clone()).or_default().generations.push(row);
    }
    for row in frames.read::<Judgement>()? {
        rows.entry(row.arm.clone()).or_default().judgements.push(row);
    }
    Ok(rows)
}
