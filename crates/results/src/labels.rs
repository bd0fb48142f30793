//! People's marks of answers, which lie beside the frames: a JSON object a line.

use std::path::Path;

use tunebench_spec::Label;

use crate::error::{Error, Result};

/// Name of the file in the run folder.
pub const LABELS_FILE: &str = "labels.jsonl";

/// The marks of a run folder, in the order of the file; none where nobody has marked anything. A last line without its end
/// is still being written, and passed over.
///
/// # Errors
/// When a line is no mark, or its mark is not from 0 to 1, with its number.
pub fn read_labels(dir: &Path) -> Result<Vec<Label>> {
    let path = dir.join(LABELS_FILE);
    let labels: Vec<Label> = tunebench_files::read_lines(&path).map_err(Error::Label)?;
    match (1..).zip(&labels).find(|(_, label)| !(0.0..=1.0).contains(&label.score)) {
        Some((line, label)) => Err(Error::LabelRange { path, line, score: label.score }),
        None => Ok(labels),
    }
}
