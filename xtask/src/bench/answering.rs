//! Answers beside another program's from the same models, in turn, one text and many at once.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;

use super::args::Args;
use super::figures::{number, short_if_any, table};
use super::floors::Floors;
use super::programs::{Programs, last_line, sizes};
use super::report::{Answered, Generation};
use crate::levels::VARIABLE;

/// Both sides' answers from one file: medians over the rounds, in new tokens per second.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answering {
    pub file: PathBuf,
    pub format: String,
    pub streams: usize,
    #[serde(flatten)]
    pub speeds: Generation,
    /// Ours as a share of what one text could get if reading the file's bytes once a token were all there is to do.
    #[serde(serialize_with = "short_if_any")]
    pub floor_share: Option<f64>,
}

/// All of the comparison.
#[derive(Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// What the other side is called.
    pub peer: &'static str,
    /// The level of our side, and whether it was forced.
    pub level: String,
    pub is_forced: bool,
    pub bytes_per_s: f64,
    pub answers: Vec<Answering>,
}

impl Answering {
    fn new(file: &Path, streams: usize, floors: &Floors, [ours, theirs]: &[Vec<Answered>; 2]) -> Self {
        let bytes = ours.first().and_then(|line| line.weight_bytes).filter(|_| streams == 1);
        let mut speeds = Generation::new(ours, theirs);
        // Where the system does not say it.
        speeds.theirs_mib = speeds.theirs_mib.filter(|mib| *mib > 0.0);
        let floor_share = bytes.map(|bytes| floors.of_memory(bytes, speeds.ours));
        Self { file: file.to_owned(), format: format_of(file), streams, speeds, floor_share }
    }
}

impl Comparison {
    /// Runs both sides in turn, over every model and number of texts, as many times as there are rounds; `theirs` answers once.
    ///
    /// # Errors
    /// When a process of either side fails.
    pub fn measure(
        peer: &'static str,
        args: &Args,
        programs: &Programs<'_>,
        models: &[PathBuf],
        theirs: &dyn Fn(&Path, usize) -> Result<Answered>,
    ) -> Result<Self> {
        let floors = Floors::measure(programs)?;
        let mut answers = Vec::new();
        for model in models {
            let format = format_of(model);
            for streams in args.streams() {
                let mut ours = programs.of_ours("generate");
                sizes(&mut ours, streams).arg("--model").arg(model);
                programs.add_engine(&mut ours);
                programs.add_data(&mut ours);
                let mut sides = [vec![], vec![]];
                for round in 1..=args.rounds {
                    let lines = [last_line(&mut ours)?, theirs(model, streams)?];
                    for ((name, line), lines) in ["ours", "theirs"].into_iter().zip(lines).zip(&mut sides) {
                        let line: Answered = line;
                        let speed = line.new_tokens_per_s;
                        eprintln!("{format} x {streams}, round {round}, {name}: {speed:.1} new tokens/s");
                        lines.push(line);
                    }
                }
                answers.push(Answering::new(model, streams, &floors, &sides));
            }
        }
        let is_forced = std::env::var_os(VARIABLE).is_some();
        Ok(Self { peer, level: floors.level, is_forced, bytes_per_s: floors.bytes_per_s, answers })
    }

    /// As Markdown.
    pub fn tables(&self) -> String {
        let row = |a: &Answering| {
            vec![
                a.format.clone(),
                a.streams.to_string(),
                number(Some(a.speeds.ours), 1),
                number(a.speeds.theirs, 1),
                number(a.speeds.ratio, 2),
                number(Some(a.speeds.ours_mib), 0),
                number(a.speeds.theirs_mib, 0),
                number(a.floor_share, 2),
            ]
        };
        let columns = ["format", "streams", "ours", "theirs", "ratio", "MiB ours", "MiB theirs", "of memory"];
        let by = if self.is_forced { ", as forced: theirs must be built for the same" } else { "" };
        format!(
            "Answers beside {}, new tokens/s; ours at level {}{by}; memory is read at {:.1} GB/s\n\n{}",
            self.peer,
            self.level,
            self.bytes_per_s / 1e9,
            table(&columns, self.answers.iter().map(row).collect())
        )
    }
}

/// What a file is named to hold, by the convention of its makers: `q8_0` of `smollm2-q8_0.gguf`.
fn format_of(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    stem.rsplit(['-', '.']).next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_the_last_part_of_a_name() {
        for (name, want) in
            [("smollm2-q8_0.gguf", "q8_0"), ("SmolLM2-135M.Q4_K_M.gguf", "Q4_K_M"), ("model.gguf", "model")]
        {
            assert_eq!(format_of(Path::new(name)), want);
        }
    }
}
