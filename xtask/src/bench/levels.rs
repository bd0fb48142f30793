//! Our side at each level of CPU instructions that this CPU has: products, and with a model a training step and one
//! text's answers, each as a share of what the machine can do at best.

use anyhow::Result;
use serde::Serialize;

use super::args::Args;
use super::case::Case;
use super::figures::{median, number, short, table};
use super::floors::Floors;
use super::programs::{Programs, last_line, sizes};
use super::report::{Answered, Kernel, Trained, kernels_table};
use crate::levels::VARIABLE;

/// What is trained at each level.
const TUNER: &str = "lora-all-linear";
const CASE: Case = Case { batch: 4, seq: 256 };

/// A model at one level: medians over the rounds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AtLevel {
    pub level: String,
    /// Tokens per second.
    #[serde(serialize_with = "short")]
    pub training: f64,
    /// Of the operations that a token costs in products with weights, over the peak; and with attention's and the adapters'.
    #[serde(serialize_with = "short")]
    pub training_share: f64,
    #[serde(serialize_with = "short")]
    pub training_share_of_all: f64,
    /// New tokens per second of one text.
    #[serde(serialize_with = "short")]
    pub answering: f64,
    /// Of reading each weight once a token, over what memory gives.
    #[serde(serialize_with = "short")]
    pub answering_share: f64,
}

/// All of it.
#[derive(Debug, PartialEq, Serialize)]
pub struct Levels {
    pub bytes_per_s: f64,
    pub kernels: Vec<Kernel>,
    pub models: Vec<AtLevel>,
}

impl Levels {
    /// Runs our side at every level, lowest first.
    ///
    /// # Errors
    /// When our side fails.
    pub fn measure(args: &Args, programs: &Programs<'_>) -> Result<Self> {
        let floors = Floors::measure(programs)?;
        let (mut kernels, mut models) = (Vec::new(), Vec::new());
        for (level, peak) in &floors.bf16 {
            kernels.extend(programs.lines_at("kernels", level)?);
            if args.needs_model() {
                models.push(at_level(args, programs, &floors, level, *peak)?);
            }
        }
        Ok(Self { bytes_per_s: floors.bytes_per_s, kernels, models })
    }

    /// As Markdown; a model's only where one was measured.
    pub fn tables(&self) -> String {
        let kernels = format!("Kernels\n\n{}", kernels_table(&self.kernels));
        if self.models.is_empty() {
            return kernels;
        }
        let row = |m: &AtLevel| {
            vec![
                m.level.clone(),
                number(Some(m.training), 1),
                number(Some(m.training_share), 2),
                number(Some(m.training_share_of_all), 2),
                number(Some(m.answering), 1),
                number(Some(m.answering_share), 2),
            ]
        };
        let columns = ["level", "training", "of the peak", "with attention and adapters", "one text", "of memory"];
        format!(
            "{kernels}\n{TUNER} {}x{}, tokens/s, and one text, new tokens/s; memory is read at {:.1} GB/s\n\n{}",
            CASE.batch,
            CASE.seq,
            self.bytes_per_s / 1e9,
            table(&columns, self.models.iter().map(row).collect())
        )
    }
}

fn at_level(args: &Args, programs: &Programs<'_>, floors: &Floors, level: &str, peak: f64) -> Result<AtLevel> {
    let mut training = programs.our_training(TUNER, CASE);
    let mut answering = programs.of_ours("generate");
    programs.add_engine(&mut answering);
    sizes(programs.add_model(&mut answering), 1);
    let (mut trained, mut answered): (Vec<Trained>, Vec<Answered>) = (vec![], vec![]);
    for round in 1..=args.rounds {
        trained.push(last_line(training.env(VARIABLE, level))?);
        answered.push(last_line(answering.env(VARIABLE, level))?);
        let (tokens, new) = (trained.last().map(|l| l.tokens_per_s), answered.last().map(|l| l.new_tokens_per_s));
        eprintln!("{level}, round {round}: {} and {} tokens/s", number(tokens, 1), number(new, 1));
    }
    let flop = trained.first().and_then(|line| line.flop_per_token).unwrap_or(0.0);
    let of_all = trained.first().and_then(|line| line.step_flop_per_token).unwrap_or(0.0);
    let bytes = answered.first().and_then(|line| line.weight_bytes).unwrap_or(0.0);
    let trained = median(trained.iter().map(|line| line.tokens_per_s)).unwrap_or(0.0);
    let answered = median(answered.iter().map(|line| line.new_tokens_per_s)).unwrap_or(0.0);
    Ok(AtLevel {
        level: level.to_owned(),
        training: trained,
        training_share: flop * trained / peak,
        training_share_of_all: of_all * trained / peak,
        answering: answered,
        answering_share: floors.of_memory(bytes, answered),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_has_a_table_where_it_was_measured() {
        let kernel = Kernel { shape: "8x4x2".into(), gflops: 75.0, peak: 100.0, level: "avx2".into() };
        let mut levels = Levels { bytes_per_s: 4e10, kernels: vec![kernel], models: vec![] };
        assert!(levels.tables().ends_with("| 8x4x2   |  avx2 |      75 |  100 |  0.75 |\n"), "{}", levels.tables());
        levels.models.push(AtLevel {
            level: "avx2".into(),
            training: 200.0,
            training_share: 0.5,
            training_share_of_all: 0.55,
            answering: 90.0,
            answering_share: 0.6,
        });
        let want = "\nlora-all-linear 4x256, tokens/s, and one text, new tokens/s; memory is read at 40.0 GB/s\n\n\
            | level | training | of the peak | with attention and adapters | one text | of memory |\n\
            | ----- | -------: | ----------: | --------------------------: | -------: | --------: |\n\
            | avx2  |    200.0 |        0.50 |                        0.55 |     90.0 |      0.60 |\n";
        assert!(levels.tables().ends_with(want), "{}", levels.tables());
    }
}
