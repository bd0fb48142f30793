//! Adapters over each other as one: it gives the logits of the model that was adapted twice.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use candle_core::{Device, Tensor};
use tunebench_model::{ReferenceModel, Tuning, Weights};
use tunebench_peft::{Form, load, stack, write};
use tunebench_spec::plan::RecordedPlan;
use tunebench_spec::{Decoder, VirtualKind};
use tunebench_testkit::compare::error;
use tunebench_testkit::golden::{Rows, model};
use tunebench_testkit::methods::{adapted, behind, dora, frozen, ia3, lora, rslora};
use tunebench_testkit::values;

fn logits(shape: &Decoder, weights: &Weights, tuning: &Tuning) -> Tensor {
    let llama = ReferenceModel::new(shape, weights, tuning, &Device::Cpu).unwrap();
    let (batch, _) = Rows::tiny().batch();
    llama.logits(&batch, &[0, 3, 7]).unwrap()
}

/// The model adapted by one after the other, and what stacks of both.
fn over(below: RecordedPlan, above: RecordedPlan) -> (Tensor, Result<Form, String>) {
    let (shape, weights) = model("tiny");
    let below = values::moved(&shape, &weights, below);
    let between = below.merge(&shape, weights.clone()).unwrap();
    let above = values::moved(&shape, &between, above);
    let forms = [&below, &above].map(|tuning| Form::of(&shape, tuning).unwrap()).to_vec();
    (logits(&shape, &between, &above), stack(forms).map_err(|error| error.to_string()))
}

#[test]
fn what_one_adapter_can_be_is_one() {
    let (shape, weights) = model("tiny");
    let plan = |targets: &[&str], method| adapted(&shape, targets, method, 0.0);
    for (what, below, above) in [
        ("LoRA at other sites", plan(&["q_proj"], lora), plan(&["v_proj", "up_proj"], lora)),
        ("LoRA at the same sites", plan(&["q_proj", "k_proj"], lora), plan(&["q_proj", "o_proj"], lora)),
        ("LoRA of another scale", plan(&["q_proj", "k_proj"], rslora), plan(&["q_proj", "o_proj"], lora)),
        ("IA3", plan(&["k_proj", "down_proj"], ia3), plan(&["k_proj", "v_proj"], ia3)),
    ] {
        let (expected, form) = over(below, above);
        let dir = tempfile::tempdir().unwrap();
        write::write(dir.path(), &shape, "tiny", &form.unwrap()).unwrap();
        let read = load(dir.path(), &shape).unwrap().tuning(&shape).unwrap();
        let off = error(&logits(&shape, &weights, &read), &expected);
        assert!(off < 5e-6, "{what}: off by {off}");
        assert!(error(&logits(&shape, &weights, &Tuning::none()), &expected) > 1e-2, "{what}");
    }
}

#[test]
fn what_no_single_adapter_is_is_refused() {
    let (shape, _) = model("tiny");
    let plan = |method| adapted(&shape, &["q_proj"], method, 0.0);
    let prompts = || behind(frozen(&shape), &shape, VirtualKind::Embeddings, false);
    for (below, above, expected) in [
        (plan(dora), plan(dora), "DoRA over DoRA"),
        (plan(lora), plan(dora), "DoRA over LoRA"),
        (plan(dora), plan(lora), "LoRA over DoRA"),
        (plan(ia3), plan(lora), "LoRA over (IA)³"),
        (plan(lora), prompts(), "prompt tuning over LoRA"),
    ] {
        let refused = over(below, above).1.unwrap_err();
        assert!(refused.contains(expected), "{refused}");
    }
    assert!(stack(Vec::new()).is_err());
}
