//! Virtual tokens in a plan: what is counted, what is refused, and plans written before there were any.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use tunebench_spec::graph::{DType, Dim};
use tunebench_spec::plan::RecordedPlan;
use tunebench_spec::{Decoder, Init, ParamSpec, TunePlan, VirtualKind, VirtualTokens};

fn tokens(kind: VirtualKind, count: usize) -> VirtualTokens {
    let param = |name: &str, shape: Vec<usize>| {
        let init = Init::Normal { mean: 0.0, std: 1.0 };
        ParamSpec { name: name.into(), shape, dtype: DType::F32, init, lr_scale: 1.0 }
    };
    VirtualTokens { kind, count, params: vec![param("a", vec![count, 7]), param("b", vec![7])] }
}

#[test]
fn a_value_is_as_wide_as_what_it_stands_for() {
    let mut model = Decoder::preset("llama-7b").unwrap();
    model.attention.kv_heads = 8;
    for (kind, width) in [(VirtualKind::Embeddings, 4096), (VirtualKind::KeysValues, 32 * 2 * 8 * 128)] {
        assert_eq!(tokens(kind, 20).shape(&model), [Dim::Fixed(20), Dim::Fixed(width)]);
    }
}

#[test]
fn their_parameters_are_counted() {
    let plan = TunePlan { virtual_tokens: Some(tokens(VirtualKind::Embeddings, 3)), ..TunePlan::default() };
    let model = Decoder::preset("llama-7b").unwrap();
    assert_eq!((plan.trainable_params(&model), plan.additional_params(), plan.virtual_count()), (28, 28, 3));
}

#[test]
fn there_is_at_least_one_and_an_example_keeps_its_room() {
    let model = Decoder::preset("llama-7b").unwrap(); // 2048 positions
    let wide = Decoder { max_position_embeddings: 1 << 20, ..model.clone() };
    for (model, count, most) in [(&model, 0, 2046), (&model, 2047, 2046), (&wide, 4097, 4096)] {
        let error = tokens(VirtualKind::Embeddings, count).check(model).unwrap_err();
        assert!(error.contains(&format!("{count} virtual tokens")) && error.contains(&most.to_string()), "{error}");
        assert_eq!(tokens(VirtualKind::Embeddings, most).check(model), Ok(()));
    }
}

#[test]
fn a_plan_without_any_keeps_its_json() {
    let json = r#"{"plan":{"weights":{"model.norm.weight":{"kind":"frozen"}},"recipe":{}},"graphs":[],"sites":{}}"#;
    let recorded: RecordedPlan = serde_json::from_str(json).unwrap();
    assert_eq!(serde_json::to_string(&recorded).unwrap(), json);
    let plan = TunePlan { virtual_tokens: Some(tokens(VirtualKind::KeysValues, 3)), ..TunePlan::default() };
    let text = serde_json::to_string(&plan).unwrap();
    assert!(text.contains(r#""kind":"keys_values""#), "{text}");
    assert_eq!(serde_json::from_str::<TunePlan>(&text).unwrap(), plan);
}
