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
        let (mut kernels, mut models, mut memory) = (Vec::new(), Vec::new(), vec![floors.bytes_per_s]);
        for (level, _) in &floors.bf16 {
            kernels.extend(programs.lines_at("kernels", level)?);
            if args.needs_model() {
                models.push(at_level(args, programs, level, &mut memory)?);
            }
        }
        Ok(Self { bytes_per_s: median(memory.into_iter()).unwrap_or(0.0), kernels, models })
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

/// Medians at a level, each round beside floors of its own, as machines change their pace; what memory was read at is added to
/// `memory`.
fn at_level(args: &Args, programs: &Programs<'_>, level: &str, memory: &mut Vec<f64>) -> Result<AtLevel> {
    let mut training = programs.our_training(TUNER, CASE);
    let mut answering = programs.of_ours("generate");
    programs.add_engine(&mut answering);
    sizes(programs.add_model(&mut answering), 1);
    let mut rounds: Vec<AtLevel> = Vec::new();
    for round in 1..=args.rounds {
        let floors = Floors::measure(programs)?;
        memory.push(floors.bytes_per_s);
        let trained: Trained = last_line(training.env(VARIABLE, level))?;
        let answered: Answered = last_line(answering.env(VARIABLE, level))?;
        let (tokens, new) = (trained.tokens_per_s, answered.new_tokens_per_s);
        eprintln!("{level}, round {round}: {tokens:.1} and {new:.1} tokens/s");
        let of_peak = |flop: Option<f64>| flop.unwrap_or(0.0) * tokens / floors.peak(level);
        rounds.push(AtLevel {
            level: level.to_owned(),
            training: tokens,
            training_share: of_peak(trained.flop_per_token),
            training_share_of_all: of_peak(trained.step_flop_per_token),
            answering: new,
            answering_share: floors.of_memory(answered.weight_bytes.unwrap_or(0.0), new),
        });
    }
    let of = |value: fn(&AtLevel) -> f64| median(rounds.iter().map(value)).unwrap_or(0.0);
    Ok(AtLevel {
        level: level.to_owned(),
        training: of(|round| round.training),
        training_share: of(|round| round.training_share),
        training_share_of_all: of(|round| round.training_share_of_all),
        answering: of(|round| round.answering),
        answering_share: of(|round| round.answering_share),
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
