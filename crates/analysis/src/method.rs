//! What an arm is an example of: its method, data, base and rank, as the factors that a study crosses.

use tunebench_statistics::Levels;

use crate::run::{Arm, Run};
use crate::settings;

pub const METHOD: &str = "method";
pub const DATA: &str = "data size";
pub const BASE: &str = "base size";
pub const RANK: &str = "rank";

/// The factors of the paper's four conclusions, in its order.
pub const FACTORS: [&str; 4] = [METHOD, DATA, BASE, RANK];

/// The level of each factor that an arm has, and what it starts from beside the model.
pub fn levels(run: &Run, arm: &Arm) -> Levels {
    let mut levels = Levels::from([
        (METHOD.to_owned(), name(arm)),
        (DATA.to_owned(), data(arm)),
        (BASE.to_owned(), base(run, arm)),
        ("history".to_owned(), history(run, arm)),
    ]);
    if let Some(rank) = settings::number(&arm.record, "options.r") {
        levels.insert(RANK.to_owned(), rank.to_string());
    }
    levels
}

/// The tuner with its options but for the rank: `lora-attention`, `lora-all-linear targets=paper`.
pub fn name(arm: &Arm) -> String {
    let options = settings::options(&arm.record).unwrap_or_default();
    let others = options.iter().filter(|(name, _)| *name != "options.r");
    let words = others.map(|(name, value)| format!(" {}={}", name.trim_start_matches("options."), value.shown()));
    std::iter::once(arm.record.tuner.clone()).chain(words).collect()
}

/// Data set and examples.
fn data(arm: &Arm) -> String {
    format!("{} ({} examples)", arm.record.dataset, arm.record.examples)
}

/// The model that it goes back to, and its parameters.
fn base(run: &Run, arm: &Arm) -> String {
    format!("{} ({} parameters)", run.root(arm), arm.record.model_params)
}

/// How the arms between the model and this one were trained.
fn history(run: &Run, arm: &Arm) -> String {
    let parent = run.arm(&arm.record.base).filter(|parent| parent.is_trained());
    let mut words = Vec::new();
    let mut next = parent;
    for _ in &run.arms {
        let Some(ancestor) = next else { break };
        words.push(format!("{} on {}", name(ancestor), data(ancestor)));
        next = run.arm(&ancestor.record.base).filter(|parent| parent.is_trained());
    }
    words.join(", after ")
}
