//! A first study with rows of one's own: forty in Alpaca's form, a tuner and nothing of a recipe, twelve more rows as questions.

use serde_json::{Value, json};
use tunebench_spec::{ArmRecord, Judgement, JudgementStatus, StepLog};

use crate::tiny::lines;
use crate::workbench::Workbench;

/// In the words of the manual's first example, and no more than it takes.
const STUDY: &str = r#"
[study]
name = "mine"
MODEL
[[dataset]]
id = "mine"
plugin = "belle"
source = "rows.jsonl"
[[dataset]]
id = "questions"
plugin = "belle"
source = "questions.jsonl"
[[arm]]
name = "mine"
base = "tiny"
tuner = "TUNER"
dataset = "mine"
[eval]
items = "questions"
judge = "reference"
generation = { max_new_tokens = 8 }
"#;

fn row(number: usize) -> Value {
    let (a, b) = (number % 7 + 1, number % 5 + 1);
    json!({ "instruction": "How much is that?", "input": format!("{a} + {b} and {number:02} more"), "output": format!("It is {}.", 10 + a + b) })
}

#[test]
fn forty_rows_learn_and_every_question_is_scored() {
    for tuner in ["lora-attention", "lora-all-linear"] {
        let bench = Workbench::from_study(&STUDY.replace("TUNER", tuner), 1024);
        bench.write("rows.jsonl", &lines((0..40).map(row)));
        bench.write("questions.jsonl", &lines((40..52).map(row)));
        let told = bench.run("out");

        // What was adapted is said before anything is trained.
        let first = told.lines.iter().position(|line| line.starts_with("train ")).unwrap();
        for field in ["batch_size = ", "warmup_steps = "] {
            let said = told.lines.iter().position(|line| line.starts_with(&format!("fitted mine: {field}")));
            assert!(said.is_some_and(|said| said < first), "{field}: {told:?}");
        }
        let [record]: [ArmRecord; 1] = bench.rows("out").try_into().unwrap();
        assert!(record.steps > 20 && record.examples == 40, "{record:?}");
        assert!(record.recipe.contains("\"origin\":\"fitted\""), "{record:?}");
        assert!(told.of("warning ").is_empty(), "{told:?}");

        let steps: Vec<StepLog> = bench.rows("out");
        let peak = steps.iter().map(|step| step.learning_rate).fold(0.0, f64::max);
        assert!((peak - 2e-4).abs() < 1e-12, "the recommended rate is reached: {peak}");
        let per_epoch = steps.len() / record.epochs.round() as usize;
        let mean = |of: &[StepLog]| of.iter().map(|step| step.loss).sum::<f64>() / of.len() as f64;
        let (begin, end) = (mean(&steps[..per_epoch]), mean(&steps[steps.len() - per_epoch..]));
        assert!(end < begin, "{begin} to {end}");

        let judgements: Vec<Judgement> = bench.rows("out");
        assert_eq!(judgements.len(), 12);
        assert!(judgements.iter().all(|j| j.status == JudgementStatus::Scored && j.score.is_some()), "{judgements:?}");
        assert!(told.of("reference cannot score").is_empty(), "{told:?}");
    }
}
