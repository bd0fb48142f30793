//! Decoders as plain data: presets against published counts, the wire form, and names of weights.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use tunebench_spec::Decoder;
use tunebench_spec::decoder::{Attention, Mlp, NormKind, Positions, Window};
use tunebench_spec::names::{Names, Role};

#[test]
fn presets_have_the_published_parameter_counts() {
    for (name, params) in [
        ("llama-7b", 6_738_415_616),
        ("llama-13b", 13_015_864_320),
        ("llama-33b", 32_528_943_616),
        ("llama-65b", 65_285_660_672),
    ] {
        assert_eq!(Decoder::preset(name).unwrap().params(), params, "{name}");
    }
    let error = Decoder::preset("llama-8b").unwrap_err().to_string();
    assert!(error.contains("llama-8b") && error.contains("llama-7b"), "{error}");
}

/// LLaMA's study files, arm files and identities are what they were when it was the only family.
#[test]
fn a_llama_on_the_wire_has_its_twelve_keys_and_no_other() {
    let decoder = Decoder::preset("llama-7b").unwrap();
    let json = serde_json::json!({
        "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 32, "head_dim": 128, "max_position_embeddings": 2048,
        "rope_theta": 10000.0, "rms_norm_eps": 1e-6, "tie_word_embeddings": false,
    });
    assert_eq!(serde_json::to_value(&decoder).unwrap(), json);
    assert_eq!(serde_json::from_value::<Decoder>(json).unwrap(), decoder);
}

#[test]
fn every_other_decoder_survives_the_wire() {
    let plain = Decoder::preset("llama-7b").unwrap();
    let window = Some(Window { size: 4096, full_layers: vec![0, 2] });
    let attention = Attention { qkv_bias: true, qk_norm: true, window, ..plain.attention.clone() };
    let mut opt = Decoder { positions: Positions::Learned { offset: 2 }, ..plain.clone() };
    opt.norm.kind = NormKind::Layer;
    opt.names = Names::default().with(&[(Role::Output, "self_attn.out_proj")]);
    let mlp = Mlp { gated: false, bias: true, activation: tunebench_spec::decoder::Activation::Relu, ..plain.mlp };
    let alibi = Decoder { positions: Positions::Alibi, mlp, ..plain.clone() };
    for decoder in [Decoder { attention, family: "other".into(), ..plain }, opt, alibi] {
        let text = serde_json::to_string(&decoder).unwrap();
        assert_eq!(serde_json::from_str::<Decoder>(&text).unwrap(), decoder, "{text}");
    }
    for wrong in [r#"{"alibi":true,"rope_theta":1.0"#, r#"{"position_offset":2,"rope_theta":1.0"#, r#"{"x":1"#] {
        let text = format!(
            r#"{wrong},"vocab_size":9,"hidden_size":8,"intermediate_size":8,"num_hidden_layers":1,"head_dim":8,
            "num_attention_heads":1,"num_key_value_heads":1,"max_position_embeddings":8,"rms_norm_eps":1e-5,
            "tie_word_embeddings":true}}"#
        );
        assert!(serde_json::from_str::<Decoder>(&text).is_err(), "{text}");
    }
}

#[test]
fn weights_are_named_by_role() {
    let mut decoder = Decoder::preset("llama-7b").unwrap();
    decoder.num_hidden_layers = 1;
    decoder.attention.qkv_bias = true;
    decoder.attention.qk_norm = true;
    let names: Vec<String> = decoder.weights().into_iter().map(|w| format!("{} {:?}", w.name, w.shape)).collect();
    expect_test::expect![[r#"
        model.embed_tokens.weight [32000, 4096]
        model.layers.0.self_attn.q_proj.weight [4096, 4096]
        model.layers.0.self_attn.q_proj.bias [4096]
        model.layers.0.self_attn.k_proj.weight [4096, 4096]
        model.layers.0.self_attn.k_proj.bias [4096]
        model.layers.0.self_attn.v_proj.weight [4096, 4096]
        model.layers.0.self_attn.v_proj.bias [4096]
        model.layers.0.self_attn.o_proj.weight [4096, 4096]
        model.layers.0.self_attn.q_norm.weight [128]
        model.layers.0.self_attn.k_norm.weight [128]
        model.layers.0.mlp.gate_proj.weight [11008, 4096]
        model.layers.0.mlp.up_proj.weight [11008, 4096]
        model.layers.0.mlp.down_proj.weight [4096, 11008]
        model.layers.0.input_layernorm.weight [4096]
        model.layers.0.post_attention_layernorm.weight [4096]
        model.norm.weight [4096]
        lm_head.weight [32000, 4096]"#]]
    .assert_eq(&names.join("\n"));
    decoder.names = Names::default().with(&[(Role::Key, "self_attn.q_proj")]);
    let error = decoder.check().unwrap_err().to_string();
    assert_eq!(error, "Query and Key share the name `self_attn.q_proj`");
}
