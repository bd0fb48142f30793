//! "The same, but …": arms in another form, which answer and are judged like any, and train nothing.

use std::collections::BTreeSet;

use tunebench_model::formats::gguf::{GgufType, quantized};
use tunebench_spec::{ArmRecord, Generation, Judgement, LossLog, StepLog};
use tunebench_study::trained_arm;

use crate::workbench::{Draft, ITEMS, Workbench, arm};

/// LoRA with two seeds on rows of which some are held out, and `forms` of it.
fn tables(forms: &[(&str, &str)]) -> String {
    let form =
        |(name, form): &(&str, &str)| format!("[[arm]]\nname = \"{name}\"\nof = \"lora-attention\"\nas = \"{form}\"\n");
    let selection = "[selection]\nshare = 0.1\n".to_owned();
    [selection, forms.iter().map(form).collect(), arm("lora-attention", "")].concat()
}

fn draft(tables: &str) -> Draft<'_> {
    Draft { header: "seeds = 2", tables, ..Draft::default() }
}

#[test]
fn a_form_answers_and_is_measured_and_trains_nothing() {
    let tables = tables(&[("folded", "merged"), ("8 bits", "Q8_0"), ("4 bits", "Q4_K_M")]);
    let bench = Workbench::new(draft(&tables));
    let told = bench.run("out");
    assert_eq!(told.trainings().len(), 2, "{told:?}");
    assert_eq!(told.of("form ").len(), 6, "{told:?}");

    let arms: Vec<ArmRecord> = bench.rows("out");
    let rows: Vec<(&str, &str, &str, u64)> =
        arms.iter().map(|row| (row.arm.as_str(), row.tuner.as_str(), row.base.as_str(), row.seed)).collect();
    let twice = |name, tuner, base| [3, 4].map(|seed| (name, tuner, base, seed)).to_vec();
    let want = [
        twice("lora-attention", "lora-attention", "tiny"),
        twice("folded", "merged", "lora-attention"),
        twice("8 bits", "Q8_0", "lora-attention"),
        twice("4 bits", "Q4_K_M", "lora-attention"),
    ];
    assert_eq!(rows, want.concat());
    for row in arms.iter().filter(|row| row.arm != "lora-attention") {
        assert_eq!((row.steps, row.trainable_params, row.additional_params, row.train_seconds), (0, 0, 0, 0.0));
        assert!(row.evaluated && row.selected && row.final_loss.is_none());
    }
    assert_eq!(arms.iter().map(|row| &row.identity).collect::<BTreeSet<_>>().len(), arms.len());
    assert!(bench.rows::<StepLog>("out").iter().all(|step| step.arm == "lora-attention"));
    for name in ["lora-attention", "folded", "8 bits", "4 bits"] {
        let of_arm = |arm: &str| arm == name;
        assert_eq!(bench.rows::<Generation>("out").iter().filter(|row| of_arm(&row.arm)).count(), 2 * ITEMS, "{name}");
        assert_eq!(bench.rows::<Judgement>("out").iter().filter(|row| of_arm(&row.arm)).count(), 2 * ITEMS, "{name}");
        let losses: Vec<LossLog> = bench.rows("out");
        let finals = losses.iter().filter(|loss| of_arm(&loss.arm) && loss.is_final && loss.set == "held_out");
        assert_eq!(finals.clone().count(), 2, "{name}");
        assert!(finals.clone().all(|loss| loss.step == 4), "{name}");
    }
    // Folding in f32 changes a loss by rounding alone; four bits change it by more.
    let losses: Vec<LossLog> = bench.rows("out");
    let loss = |name: &str| {
        let found = losses.iter().find(|l| l.arm == name && l.seed == 3 && l.is_final && l.set == "held_out");
        found.unwrap().loss
    };
    let (own, folded, four) = (loss("lora-attention"), loss("folded"), loss("4 bits"));
    assert!((own - folded).abs() < 0.02, "{own} {folded}");
    assert!(four.is_finite() && (own - four).abs() < 1.0, "{own} {four}");

    // Nothing is done twice, and a form that comes later needs answers alone.
    let again = bench.run("out");
    assert!(again.trainings().is_empty() && again.of("answered ").is_empty(), "{again:?}");
    let more = self::tables(&[("folded", "merged"), ("8 bits", "Q8_0"), ("4 bits", "Q4_K_M"), ("half", "BF16")]);
    bench.draft(draft(&more));
    let told = bench.run("out");
    assert!(told.trainings().is_empty(), "{told:?}");
    assert_eq!(told.of("answered ").len(), 2 * ITEMS, "{told:?}");
}

#[test]
fn a_form_alone_takes_its_arm_along_and_is_opened_by_its_name() {
    let tables = tables(&[("folded", "merged"), ("8 bits", "Q8_0")]);
    let bench = Workbench::new(draft(&tables));
    let (result, told) = bench.try_run("out", &["8 bits"]);
    result.unwrap();
    assert_eq!((told.trainings().len(), told.of("form ").len()), (2, 2), "{told:?}");
    let arms: Vec<ArmRecord> = bench.rows("out");
    assert_eq!(arms.iter().map(|row| row.arm.as_str()).collect::<BTreeSet<_>>(), ["8 bits", "lora-attention"].into());

    // What answers is what a GGUF file of that type would hold.
    let out = bench.path("out");
    let (plain, formed) = (trained_arm::find(&out, "lora-attention@4"), trained_arm::find(&out, "8 bits@4"));
    let (plain, formed) = (plain.unwrap(), formed.unwrap());
    assert_eq!((formed.file.record.arm.as_str(), formed.file.record.seed), ("8 bits", 4));
    let shape = &plain.file.shape;
    let merged = plain.tuning.merge(shape, plain.weights).unwrap();
    let held = quantized(shape, merged, GgufType::Q8_0).unwrap();
    for (name, tensor) in held.iter() {
        assert_eq!(formed.weights.distance(name, &tensor).unwrap(), 0.0, "{name}");
    }
}
