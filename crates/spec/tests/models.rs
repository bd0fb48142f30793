//! Model shapes: presets against published counts, config.json in both key styles, and what is refused.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use tunebench_spec::ModelShape;
use tunebench_spec::model::{RopeScaling, ShapeError};

#[test]
fn presets_have_the_published_parameter_counts() {
    for (name, params) in [
        ("llama-7b", 6_738_415_616),
        ("llama-13b", 13_015_864_320),
        ("llama-33b", 32_528_943_616),
        ("llama-65b", 65_285_660_672),
    ] {
        assert_eq!(ModelShape::preset(name).unwrap().params(), params, "{name}");
    }
    let error = ModelShape::preset("llama-8b").unwrap_err().to_string();
    assert!(error.contains("llama-8b") && error.contains("llama-7b"), "{error}");
}

fn config(extra: &str) -> String {
    format!(
        r#"{{"model_type":"llama","vocab_size":100,"hidden_size":32,"intermediate_size":64,"num_hidden_layers":2,
            "num_attention_heads":4{extra}}}"#
    )
}

#[test]
fn old_and_new_keys_mean_the_same() {
    let old = r#","rope_theta":500000.0,"torch_dtype":"bfloat16","rope_scaling":{"type":"llama3","factor":8.0,
        "low_freq_factor":1.0,"high_freq_factor":4.0,"original_max_position_embeddings":8192}"#;
    let new = r#","dtype":"bfloat16","rope_parameters":{"rope_theta":500000.0,"rope_type":"llama3","factor":8.0,
        "low_freq_factor":1.0,"high_freq_factor":4.0,"original_max_position_embeddings":8192}"#;
    let [old, new] = [old, new].map(|extra| ModelShape::from_config_json(&config(extra)).unwrap());
    assert_eq!(old, new);
    assert_eq!((old.head_dim, old.num_key_value_heads, old.rope_theta), (8, 4, 500_000.0));
    assert!(matches!(old.rope_scaling, Some(RopeScaling::Llama3 { factor: 8.0, .. })));
}

#[test]
fn a_written_config_reads_back() {
    let shape = ModelShape::from_config_json(&config(r#","head_dim":12,"num_key_value_heads":2"#)).unwrap();
    let written = shape.to_config_json().to_string();
    assert_eq!(ModelShape::from_config_json(&written).unwrap(), shape);
}

#[test]
fn what_cannot_be_built_is_refused_by_name() {
    for (extra, expected) in [
        (r#","num_key_value_heads":3"#, "num_key_value_heads"),
        (r#","head_dim":7"#, "head_dim"),
        (r#","hidden_act":"gelu""#, "gelu"),
        (r#","attention_bias":true"#, "attention_bias"),
        (r#","architectures":["MistralForCausalLM"]"#, "MistralForCausalLM"),
        (r#","rope_scaling":{"rope_type":"yarn","factor":2.0}"#, "yarn"),
        (r#","rope_theta":"big""#, "rope_theta"),
        (r#","rope_theta":-1"#, "rope_theta"),
        (r#","head_dim":99999999999"#, "head_dim"),
    ] {
        let error = ModelShape::from_config_json(&config(extra)).unwrap_err().to_string();
        assert!(error.contains(expected), "{extra}: {error}");
    }
    let missing = ModelShape::from_config_json(r#"{"hidden_size": 32}"#).unwrap_err();
    assert!(matches!(missing, ShapeError::Key { .. }), "{missing}");
    assert!(matches!(ModelShape::from_config_json("{"), Err(ShapeError::Json(_))));
}
