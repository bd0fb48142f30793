//! Families: config.json in both key styles, what each family makes of it and writes, and what is refused.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use tunebench_model::families::{ALL, from_config_json, to_config_json};
use tunebench_spec::decoder::{ConfigError, Positions, RopeScaling};

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
    let [old, new] = [old, new].map(|extra| from_config_json(ALL, &config(extra)).unwrap());
    assert_eq!(old, new);
    assert_eq!((old.attention.head_dim, old.attention.kv_heads), (8, 4));
    let scaling = Some(RopeScaling::Llama3 {
        factor: 8.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position_embeddings: 8192,
    });
    assert_eq!(old.positions, Positions::Rotary { theta: 500_000.0, scaling });
}

#[test]
fn a_written_config_reads_back() {
    let shape = from_config_json(ALL, &config(r#","head_dim":12,"num_key_value_heads":2"#)).unwrap();
    let written = to_config_json(ALL, &shape).unwrap().to_string();
    assert_eq!(from_config_json(ALL, &written).unwrap(), shape);
}

#[test]
fn what_cannot_be_built_is_refused_by_name() {
    for (extra, expected) in [
        (r#","num_key_value_heads":3"#, "num_key_value_heads"),
        (r#","head_dim":7"#, "head_dim"),
        (r#","hidden_act":"quick_gelu""#, "quick_gelu"),
        (r#","attention_bias":"yes""#, "attention_bias"),
        (r#","architectures":["MambaForCausalLM"]"#, "MambaForCausalLM"),
        (r#","architectures":["MistralForCausalLM"]"#, "`llama` is not supported"),
        (r#","rope_scaling":{"rope_type":"yarn","factor":2.0}"#, "yarn"),
        (r#","rope_theta":"big""#, "rope_theta"),
        (r#","rope_theta":-1"#, "rope_theta"),
        (r#","head_dim":99999999999"#, "head_dim"),
    ] {
        let error = from_config_json(ALL, &config(extra)).unwrap_err().to_string();
        assert!(error.contains(expected), "{extra}: {error}");
    }
    let missing = from_config_json(ALL, r#"{"hidden_size": 32}"#).unwrap_err();
    assert!(matches!(missing, ConfigError::Key { .. }), "{missing}");
    assert!(matches!(from_config_json(ALL, "{"), Err(ConfigError::Json(_))));
}
