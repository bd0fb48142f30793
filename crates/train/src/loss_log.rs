//! The log of held-out losses, `DIR/losses.jsonl`: a line for each set and measurement.

use std::path::{Path, PathBuf};

use tunebench_files::{JsonLines, read_lines, write_file};
use tunebench_spec::LossLog;

use crate::Error;
use crate::held_out::HeldOut;
use crate::ranks::Ranks;

const LOG: &str = "losses.jsonl";

/// The held-out losses of a training in `dir`, in the order in which they were measured. Those of its result are marked
/// when it is finished.
///
/// # Errors
/// When a line is damaged. A torn last line, all that a kill can leave, is passed over.
pub fn losses(dir: &Path) -> Result<Vec<LossLog>, Error> {
    Ok(read_lines(&dir.join(LOG))?)
}

/// The log while training goes on. All ranks have its lines, and the first one the file.
pub(crate) struct LossFile {
    path: Option<PathBuf>,
    /// None until there is a line.
    file: Option<JsonLines<LossLog>>,
    lines: Vec<LossLog>,
}

impl LossFile {
    /// The log to be continued after `done` steps. Later lines belong to steps that are made again, and a mark to a result
    /// that was about to be written. Losses on other examples than those of `held_out` are refused.
    pub fn open(ranks: &mut Ranks<'_>, dir: &Path, done: u64, held_out: &[HeldOut<'_>]) -> Result<Self, Error> {
        let lines = ranks.told_by_first(|| Self::clean(dir, done, held_out))?;
        Ok(Self { path: ranks.is_first().then(|| dir.join(LOG)), file: None, lines })
    }

    fn clean(dir: &Path, done: u64, held_out: &[HeldOut<'_>]) -> Result<Vec<LossLog>, Error> {
        let path = dir.join(LOG);
        let found = losses(dir)?;
        for HeldOut { set, set_hash, .. } in held_out {
            if found.iter().any(|line| line.set == *set && line.set_hash != *set_hash) {
                return Err(Error::damaged(&path, format!("its losses on `{set}` are those of other examples")));
            }
        }
        let kept = found.iter().filter(|line| line.step <= done);
        let lines: Vec<LossLog> = kept.map(|line| LossLog { is_final: false, ..line.clone() }).collect();
        if lines != found {
            write(&path, &lines)?;
        }
        Ok(lines)
    }

    pub fn lines(&self) -> &[LossLog] {
        &self.lines
    }

    pub fn append(&mut self, line: LossLog) -> Result<(), Error> {
        if let Some(path) = &self.path {
            let file = match &mut self.file {
                Some(file) => file,
                none => none.insert(JsonLines::open(path)?.0),
            };
            file.append(&line)?;
        }
        self.lines.push(line);
        Ok(())
    }

    pub fn sync(&self) -> Result<(), Error> {
        Ok(self.file.as_ref().map_or(Ok(()), JsonLines::sync)?)
    }

    /// Marks the lines of the step that is the result.
    pub fn finish(&mut self, kept_step: u64) -> Result<(), Error> {
        self.sync()?;
        self.file = None;
        self.lines.iter_mut().for_each(|line| line.is_final = line.step == kept_step);
        match &self.path {
            Some(path) if !self.lines.is_empty() => write(path, &self.lines),
            _ => Ok(()),
        }
    }
}

/// Whether there is a line of the set of this hash at this step: a set of the same name may have been another before.
pub(crate) fn has(lines: &[LossLog], step: u64, set_hash: &str) -> bool {
    lines.iter().any(|line| line.step == step && line.set_hash == set_hash)
}

fn write(path: &Path, lines: &[LossLog]) -> Result<(), Error> {
    Ok(write_file(path, |out| {
        for line in lines {
            serde_json::to_writer(&mut *out, line)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    })?)
}
