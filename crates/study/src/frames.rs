//! The frames of a run folder as they grow: one part a candidate, each replaced as a whole when it is made anew.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use tunebench_results as results;
use tunebench_spec::{ArmRecord, Generation, Judgement, StepLog};

use super::folder::RunFolder;
use crate::progress::say;

/// The rows of one candidate.
#[derive(Clone, Default)]
pub struct Part {
    /// One row.
    pub arms: Vec<ArmRecord>,
    pub steps: Vec<StepLog>,
    pub generations: Vec<Generation>,
    pub judgements: Vec<Judgement>,
}

/// What came of one candidate.
#[derive(Default)]
pub struct Done {
    pub part: Part,
    /// Why not all of its answers could be judged.
    pub stopped: Option<String>,
}

/// The parts of all candidates, in the study's order.
pub struct Records {
    order: Vec<String>,
    parts: BTreeMap<String, Part>,
}

impl Records {
    /// What an earlier run left in the frames, as far as it still is what the study describes: a run that breaks off
    /// must not take away what was there.
    pub fn open<'a>(root: &Path, order: impl Iterator<Item = &'a str>, identities: &BTreeMap<String, String>) -> Self {
        let mut parts = match earlier(root) {
            Ok(parts) => parts,
            Err(_) if !root.join("arms.parquet").exists() => BTreeMap::new(),
            Err(error) => {
                say(format!("the frames of an earlier run cannot be read and are made anew: {error:#}"));
                BTreeMap::new()
            }
        };
        let is_current = |part: &Part| part.arms.iter().all(|arm| identities.get(&arm.arm) == Some(&arm.identity));
        parts.retain(|_, part| !part.arms.is_empty() && is_current(part));
        Self { order: order.map(str::to_owned).collect(), parts }
    }

    /// Takes in what came of a candidate and writes the frames; a failure is said and noted.
    ///
    /// # Errors
    /// When the frames cannot be written.
    pub fn add(
        &mut self,
        folder: &RunFolder,
        name: &str,
        done: Result<Done>,
        failures: &mut Vec<String>,
    ) -> Result<()> {
        let mut fail = |reason: String| {
            say(format!("  failed: {reason}"));
            failures.push(reason);
        };
        match done {
            Ok(Done { part, stopped }) => {
                self.parts.insert(name.to_owned(), part);
                if let Some(reason) = stopped {
                    fail(format!("`{name}`: judging stopped: {reason}"));
                }
                self.write(folder.root())
            }
            Err(error) => {
                fail(format!("{error:#}"));
                Ok(())
            }
        }
    }

    fn write(&self, root: &Path) -> Result<()> {
        let parts = || self.order.iter().filter_map(|name| self.parts.get(name));
        results::write_arms(root, &parts().flat_map(|p| p.arms.clone()).collect::<Vec<_>>())?;
        results::write_steps(root, &parts().flat_map(|p| p.steps.clone()).collect::<Vec<_>>())?;
        results::write_generations(root, &parts().flat_map(|p| p.generations.clone()).collect::<Vec<_>>())?;
        results::write_judgements(root, &parts().flat_map(|p| p.judgements.clone()).collect::<Vec<_>>())?;
        Ok(())
    }
}

/// The rows of the frames by candidate.
fn earlier(root: &Path) -> Result<BTreeMap<String, Part>> {
    let frames = results::Frames::open(root)?;
    let mut parts: BTreeMap<String, Part> = BTreeMap::new();
    for row in frames.read::<ArmRecord>()? {
        parts.entry(row.arm.clone()).or_default().arms.push(row);
    }
    for row in frames.read::<StepLog>()? {
        parts.entry(row.arm.clone()).or_default().steps.push(row);
    }
    for row in frames.read::<Generation>()? {
        parts.entry(row.arm.clone()).or_default().generations.push(row);
    }
    for row in frames.read::<Judgement>()? {
        parts.entry(row.arm.clone()).or_default().judgements.push(row);
    }
    Ok(parts)
}
