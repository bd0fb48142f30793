//! What held-out losses decide: which state is the best, and whether training has gone on long enough without a better.

use tunebench_spec::records::HELD_OUT;
use tunebench_spec::{LossLog, Recipe};

/// A decision from the losses measured so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// The step with the least loss, the first of them.
    pub best: Option<u64>,
    /// Whether the recipe's patience is at its end.
    pub is_over: bool,
}

/// What the lines of [`HELD_OUT`] decide, as transformers' `EarlyStoppingCallback` does: a loss is an improvement where it
/// is below the least one before it by more than the threshold.
///
/// Lines count at the steps that the recipe has measured, and at the last one of `total`. One that was made because a
/// caller stopped there does not: that must not change what training comes to.
pub(crate) fn verdict(lines: &[LossLog], recipe: &Recipe, total: u64) -> Verdict {
    let (mut least, mut best, mut waited) = (f64::INFINITY, None, 0);
    let counts = |line: &&LossLog| line.set == HELD_OUT && is_planned(line.step, recipe, total);
    for LossLog { step, loss, .. } in lines.iter().filter(counts) {
        waited = if least - loss > recipe.early_stopping_threshold { 0 } else { waited + 1 };
        if *loss < least {
            (least, best) = (*loss, Some(*step));
        }
    }
    let patience = recipe.early_stopping_patience;
    Verdict { best, is_over: patience > 0 && waited >= patience }
}

/// Whether the recipe has the loss measured after `step` steps of `total`.
pub(crate) fn is_planned(step: u64, recipe: &Recipe, total: u64) -> bool {
    step == total || step > 0 && recipe.eval_steps > 0 && step.is_multiple_of(recipe.eval_steps as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The step of the best state, and the first step at which training ends.
    fn decide(losses: &[f64], patience: usize, threshold: f64) -> (Option<u64>, Option<u64>) {
        let recipe = Recipe {
            eval_steps: 10,
            early_stopping_patience: patience,
            early_stopping_threshold: threshold,
            ..Recipe::base()
        };
        let lines: Vec<LossLog> = losses.iter().zip(1..).map(|(loss, i)| line(10 * i, HELD_OUT, *loss)).collect();
        let end = (0..=lines.len()).find(|n| verdict(&lines[..*n], &recipe, 1000).is_over);
        (verdict(&lines, &recipe, 1000).best, end.map(|n| 10 * n as u64))
    }

    fn line(step: u64, set: &str, loss: f64) -> LossLog {
        LossLog {
            arm: "arm".into(),
            candidate: String::new(),
            seed: 0,
            step,
            set: set.into(),
            set_hash: "hash".into(),
            loss,
            bits_per_byte: 1.0,
            tokens: 10,
            bytes: 20,
            is_final: false,
        }
    }

    #[test]
    fn patience_counts_measurements_without_improvement() {
        for (losses, patience, threshold, expected) in [
            (&[][..], 1, 0.0, (None, None)),
            (&[3.0, 2.0, 1.0], 1, 0.0, (Some(30), None)),
            (&[3.0, 2.0, 2.5, 2.1, 1.0], 2, 0.0, (Some(50), Some(40))),
            (&[3.0, 2.0, 2.5, 1.9, 2.5, 2.5], 2, 0.0, (Some(40), Some(60))),
            (&[3.0, 3.0, 3.0], 0, 0.0, (Some(10), None)),
            // Equal is no improvement, and of equal ones the first is the best.
            (&[2.0, 2.0], 1, 0.0, (Some(10), Some(20))),
            // Below the least by less than the threshold: the best, but no improvement.
            (&[3.0, 2.875, 2.75, 2.0], 2, 0.25, (Some(40), Some(30))),
            (&[3.0, 2.5, 2.0], 1, 0.25, (Some(30), None)),
        ] {
            assert_eq!(decide(losses, patience, threshold), expected, "{losses:?}, {patience}, {threshold}");
        }
    }

    #[test]
    fn only_planned_measurements_of_the_held_out_rows_count() {
        let recipe = Recipe { eval_steps: 10, early_stopping_patience: 1, ..Recipe::base() };
        let mut lines = vec![line(10, HELD_OUT, 2.0), line(13, HELD_OUT, 1.0), line(20, "general", 5.0)];
        assert_eq!(verdict(&lines, &recipe, 25), Verdict { best: Some(10), is_over: false });
        lines.push(line(25, HELD_OUT, 1.5));
        assert_eq!(verdict(&lines, &recipe, 25), Verdict { best: Some(25), is_over: false });
        assert_eq!(verdict(&lines, &recipe, 30), Verdict { best: Some(10), is_over: false }, "not the last step");
    }
}
