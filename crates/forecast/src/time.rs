//! How long a study takes on this machine.

use tunebench_analysis::duration::words as duration;
use tunebench_analysis::{Cell, Table};
use tunebench_study::StudyForecast;

use crate::arms::name;

/// What the study takes on this machine, a row an arm and candidate, and one a base model that is measured or answers.
pub fn time_table(forecast: &StudyForecast) -> Table {
    let columns = [
        ("arm", 0),
        ("steps", 0),
        ("tokens", 0),
        ("training", 0),
        ("trainings", 2),
        ("all trainings", 0),
        ("losses", 0),
        ("answers at most", 0),
    ];
    let mut table = Table::new("Time on this machine", &columns);
    let shown = |seconds: Option<f64>| Cell::from(seconds.map(duration));
    for arm in &forecast.arms {
        table.rows.push(vec![
            name(&arm.arm, &arm.candidate).into(),
            arm.steps.into(),
            arm.tokens.into(),
            shown(arm.training_seconds),
            arm.trainings.into(),
            shown(arm.training_seconds.map(|seconds| seconds * arm.trainings)),
            shown(arm.loss_seconds),
            shown(arm.answering_seconds_at_most),
        ]);
    }
    table.notes.push(match forecast.seconds() {
        Some(seconds) => format!(
            "The whole study takes {} at most, from nothing; loading models and judges comes besides.",
            duration(seconds)
        ),
        None => "The time of the whole study cannot be said, because that of an arm cannot.".to_owned(),
    });
    table.notes.extend(forecast.warnings.iter().cloned());
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_units_that_fit() {
        let arm = |training_seconds, trainings| tunebench_study::ArmTime {
            arm: "a".to_owned(),
            candidate: "learning_rate=0.1".to_owned(),
            steps: 10,
            tokens: 100,
            training_seconds,
            trainings,
            loss_seconds: Some(7.0),
            answering_seconds_at_most: Some(90.0),
        };
        let forecast =
            |arms| StudyForecast { arms, items: None, judging: Vec::new(), warnings: vec!["warning: look".to_owned()] };
        let text = time_table(&forecast(vec![arm(Some(1.5), 3.0)])).to_text();
        for part in
            ["a [learning_rate=0.1]", "1.5 s", "4.5 s", "7.0 s", "90.0 s", "takes 1.7 min at most", "warning: look"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(time_table(&forecast(vec![arm(None, 1.0)])).to_text().contains("cannot be said"));
    }
}
