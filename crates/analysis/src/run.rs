//! What the analyses share: the frames of a run folder in the order in which tables show them.

use std::collections::BTreeSet;
use std::path::Path;

use tunebench_results::column::Record;
use tunebench_results::{Frames, MACRO_AVERAGE, MICRO_AVERAGE, ScoreRow};
use tunebench_spec::ArmRecord;

use crate::error::Result;
use crate::table::Cell;

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
    pub arms: Vec<ArmRecord>,
}

impl Run {
    pub fn open(dir: &Path) -> Result<Self> {
        let frames = Frames::open(dir)?;
        let arms = frames.read()?;
        Ok(Self { frames, arms })
    }

    /// The rows of a frame that an unfinished run may not have written yet; none then.
    pub fn so_far<R: Record>(&self) -> Result<Vec<R>> {
        let written = self.frames.present().iter().any(|frame| frame.name == R::FRAME);
        if written { Ok(self.frames.read()?) } else { Ok(Vec::new()) }
    }

    /// The names in the study's order, those the study does not list at the end.
    pub fn in_order<'a>(&'a self, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
        let names: BTreeSet<&str> = names.into_iter().collect();
        let listed: Vec<&str> = self.arms.iter().map(|arm| arm.arm.as_str()).collect();
        let unlisted = names.iter().filter(|name| !listed.contains(name)).copied();
        listed.iter().filter(|name| names.contains(*name)).copied().chain(unlisted).collect()
    }

    pub fn arm(&self, name: &str) -> Option<&ArmRecord> {
        self.arms.iter().find(|arm| arm.arm == name)
    }
}

/// The judges in the order of their names. Scores of different judges are never mixed.
pub fn judges<'a>(judges: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    judges.into_iter().collect::<BTreeSet<_>>().into_iter().collect()
}

/// `title`, with the judge where there are several.
pub fn judged_title(title: &str, judge: &str, judges: &[&str]) -> String {
    if judges.len() > 1 { format!("{title}, judged by {judge}") } else { title.to_owned() }
}

/// The paper's categories that occur, in its order, then any other by name; the averages are no categories.
pub fn ordered_categories<'a>(found: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut found: BTreeSet<&str> = found.into_iter().collect();
    found.remove(MACRO_AVERAGE);
    found.remove(MICRO_AVERAGE);
    let in_paper: Vec<&str> = PAPER_CATEGORIES.into_iter().filter(|category| found.remove(category)).collect();
    in_paper.into_iter().chain(found).collect()
}

/// The row of an arm, judge and category.
pub fn find_score<'a>(rows: &'a [ScoreRow], arm: &str, judge: &str, category: &str) -> Option<&'a ScoreRow> {
    rows.iter().find(|row| row.arm == arm && row.judge == judge && row.category == category)
}

/// A figure of training; missing for a model that was not trained.
pub fn if_trained(arm: Option<&ArmRecord>, value: impl Fn(&ArmRecord) -> f64) -> Cell {
    arm.filter(|arm| arm.steps > 0).map(value).into()
}
