//! Families: config.json in both key styles, what each family makes of it and writes, what is refused; and one more family.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

mod starcoder2;

use candle_core::Device;
use tunebench_model::families::{ALL, Family, from_config_json, to_config_json};
use tunebench_model::fast::{Model, Options, Workspace};
use tunebench_model::{DropoutKey, ReferenceModel, Tuning, open_as};
use tunebench_spec::Decoder;
use tunebench_spec::decoder::{ConfigError, Positions, RopeScaling, Rotary, Window};
use tunebench_spec::names::{Names, Role};
use tunebench_testkit::compare::{assert_all_close, error};
use tunebench_testkit::engines::{batch, levels};
use tunebench_testkit::golden::{self, Rows, json, section, tensors};
use tunebench_testkit::methods::full;

/// Adding a family is one file, [`starcoder2`], and one line.
const FAMILIES: &[Family] = &[
    starcoder2::FAMILY, //
];

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
    assert_eq!(old.positions, Positions::Rotary(Rotary { scaling, ..Rotary::plain(500_000.0) }));
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
        (
            r#","architectures":["MistralForCausalLM"]"#,
            "`architectures` says MistralForCausalLM (mistral) and `model_type` says llama; set one to match the other",
        ),
        (r#","rope_scaling":{"rope_type":"mrope","factor":2.0}"#, "`mrope`"),
        (r#","rope_scaling":{"factor":2.0}"#, "names no `rope_type`"),
        (r#","rope_scaling":{"type":"linear"}"#, "factor"),
        (r#","rope_scaling":{"type":"linear","rope_type":"dynamic","factor":2.0}"#, "remove one"),
        (r#","rope_scaling":{"type":"longrope","short_factor":[1],"long_factor":[1,1,1,1]}"#, "short_factor has 1"),
        (r#","partial_rotary_factor":0.5"#, "partial_rotary_factor"),
        (r#","rope_scaling":[1]"#, "rope_scaling"),
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

/// The defaults of transformers where a key is missing, and which layers have a window.
#[test]
fn each_family_reads_its_own_keys() {
    let of = |family: &str, extra: &str| {
        let text = config(extra).replace(r#""llama""#, &format!("{family:?}"));
        from_config_json(ALL, &text)
    };
    let heads = r#","num_key_value_heads":2"#;
    let windows = |family: &str, extra: &str| {
        let decoder = of(family, &format!("{heads}{extra}")).unwrap();
        (0..2).map(|layer| decoder.attention.window_of(layer)).collect::<Vec<_>>()
    };
    let on = r#","use_sliding_window":true,"sliding_window":7"#;
    for (family, extra, expected) in [
        ("mistral", "", [Some(4096), Some(4096)]),
        ("mistral", r#","sliding_window":null"#, [None, None]),
        ("mistral", r#","sliding_window":5"#, [Some(5), Some(5)]),
        ("qwen2", r#","sliding_window":7"#, [None, None]),
        ("qwen2", &format!(r#"{on},"max_window_layers":1"#), [None, Some(7)]),
        ("qwen2", &format!(r#"{on},"max_window_layers":0"#), [Some(7), Some(7)]),
        ("qwen2", on, [None, None]),
        ("qwen3", &format!(r#"{on},"layer_types":["sliding_attention","full_attention"]"#), [Some(7), None]),
    ] {
        assert_eq!(windows(family, extra), expected, "{family} {extra}");
    }
    let qwen3 = of("qwen3", heads).unwrap();
    assert_eq!((qwen3.attention.head_dim, qwen3.attention.qk_norm, qwen3.max_position_embeddings), (128, true, 32768));
    let qwen2 = of("qwen2", heads).unwrap();
    assert!(qwen2.attention.qkv_bias && !qwen2.attention.output_bias && !qwen2.attention.qk_norm);
    for (family, extra, expected) in [
        ("qwen2", "", "num_key_value_heads (32)"),
        ("mistral", "", "num_key_value_heads (8)"),
        ("mistral", r#","num_key_value_heads":2,"sliding_window":0"#, "sliding_window"),
        ("mistral", r#","num_key_value_heads":2,"layer_types":["full_attention"]"#, "layer_types"),
        ("qwen3", &format!(r#"{heads}{on},"layer_types":["full_attention"]"#), "1 entries for 2 layers"),
        ("qwen3", &format!(r#"{heads},"layer_types":["full_attention","sliding_attention"]"#), "sliding layers, but"),
        ("qwen3", &format!(r#"{heads},"layer_types":["full_attention","chunked"]"#), "chunked"),
        ("gemma", heads, "gemma"),
    ] {
        let message = of(family, extra).unwrap_err().to_string();
        assert!(message.contains(expected), "{family} {extra}: {message}");
    }
}

/// transformers reads back what is written, since its own files are what the fixtures are: config in, config out, same decoder.
#[test]
fn every_golden_config_survives_being_written() {
    for folder in [&golden::FAMILIES[..], &VARIANTS, &["tiny-llama3"]].concat() {
        let (shape, _) = golden::model(folder);
        let written = to_config_json(ALL, &shape).unwrap();
        assert_eq!(from_config_json(ALL, &written.to_string()).unwrap(), shape, "{folder}: {written}");
    }
}

/// A decoder that a study describes by itself may be none of its family's.
#[test]
fn what_config_json_cannot_say_is_not_written() {
    let plain = from_config_json(ALL, &config("")).unwrap();
    let changes: [fn(&mut Decoder); 4] = [
        |d| d.attention.qkv_bias = true, // and o's, in LLaMA's words
        |d| d.attention.window = Some(Window { size: 3, full_layers: vec![] }),
        |d| d.attention.scale = Some(0.5),
        |d| d.names = Names::default().with(&[(Role::Head, "head")]),
    ];
    for change in changes {
        let mut decoder = plain.clone();
        change(&mut decoder);
        let message = to_config_json(ALL, &decoder).unwrap_err().to_string();
        assert!(message.contains("`llama` says all of this decoder"), "{message}");
    }
}

/// Other configurations of the families, in other spellings: windows, every scaling of rotary positions, numbers of heads.
const VARIANTS: [&str; 11] = [
    "qwen2-window",
    "qwen3-window",
    "mistral-full",
    "rope-linear",
    "rope-dynamic",
    "rope-yarn",
    "rope-yarn-mscale",
    "phi3-longrope",
    "bloom-heads",
    "gpt_neox-sequential",
    "gemma3-linear",
];

/// On both engines.
#[test]
fn variants_score_as_transformers() {
    tunebench_amx_emulator::install();
    for folder in VARIANTS {
        let (shape, weights) = golden::model(folder);
        let rows = Rows::of(folder);
        let expected = tensors(&format!("{folder}/fixtures.safetensors"))["logits"].clone();
        let per_label = json(&format!("{folder}/fixtures.json"))["loss"].as_f64().unwrap();
        let reference = ReferenceModel::new(&shape, &weights, &Tuning::none(), &Device::Cpu).unwrap();
        let (padded, targets) = rows.batch();
        for (row, length) in padded.lengths().iter().enumerate() {
            let indices: Vec<u32> = (0..*length).map(|i| padded.index(row, i)).collect();
            let found = reference.logits(&padded, &indices).unwrap();
            let worst = error(&found, &expected.get(row).unwrap().narrow(0, 0, *length).unwrap());
            assert!(worst < 2e-6, "{folder}, row {row}: {worst:e}");
        }
        let loss = reference.loss(&padded, &targets).unwrap();
        assert!((loss / targets.len() as f64 / per_label - 1.0).abs() < 1e-6, "{folder}: {loss}");
        for level in levels() {
            let options = Options { level, recompute: false, packed: false };
            let model = Model::<f32>::new(&shape, weights.clone(), Tuning::none(), options).unwrap();
            let found = model.loss(&batch(&rows, 0), &mut Workspace::default()).unwrap();
            assert!((found / loss - 1.0).abs() < 1e-5, "{folder}, {}: {found} for {loss}", level.name());
        }
    }
}

/// Layer norms, GELU without a gate, biases: parts that are there already, put together by one file.
#[test]
fn a_family_is_one_file() {
    let source = open_as(FAMILIES, &golden::path("starcoder2")).unwrap();
    let (shape, weights) = (&source.shape, source.weights().unwrap());
    let rows = Rows::of("starcoder2");
    let tuning = Tuning::init(shape, &weights, full(shape), 0).unwrap();
    let model = ReferenceModel::new(shape, &weights, &tuning, &Device::Cpu).unwrap();
    let (batch, targets) = rows.batch();
    let expected = tensors("starcoder2/fixtures.safetensors")["logits"].clone();
    for (row, length) in batch.lengths().iter().enumerate() {
        let indices: Vec<u32> = (0..*length).map(|i| batch.index(row, i)).collect();
        let worst =
            error(&model.logits(&batch, &indices).unwrap(), &expected.get(row).unwrap().narrow(0, 0, *length).unwrap());
        assert!(worst < 5e-6, "row {row}: {worst:e}");
    }
    let report = json("starcoder2/fixtures.json");
    let labels = report["label_tokens"].as_u64().unwrap() as f64;
    let (loss, gradients) = model.loss_and_gradients(&batch, &targets, &DropoutKey::new(0, 0, vec![0, 1, 2])).unwrap();
    assert!((loss / labels / report["loss"].as_f64().unwrap() - 1.0).abs() < 2e-6, "{loss}");
    let gradients = gradients.into_iter().map(|(name, g)| (name, (g / labels).unwrap())).collect();
    let expected = section("starcoder2/fixtures.safetensors", "grad.");
    assert_all_close("starcoder2", &gradients, &expected, |_| 3e-5);
    assert!(golden::path("starcoder2/config.json").exists());
    assert!(tunebench_model::open(&golden::path("starcoder2")).is_err());
}

/// With both spellings, transformers 5 takes the old one and drops the new one, whatever that says.
#[test]
fn both_spellings_of_rope_are_read_as_transformers_does_or_refused() {
    let read = |extra: &str| from_config_json(ALL, &config(extra));
    let scaling = |extra: &str| match read(extra).unwrap().positions {
        Positions::Rotary(rotary) => (rotary.theta, rotary.scaling),
        other => panic!("{other:?}"),
    };
    let linear = Some(RopeScaling::Linear { factor: 2.0 });
    for (extra, theta) in [
        (r#","rope_scaling":{"type":"linear","factor":2}"#, 10000.0),
        (r#","rope_theta":500.0,"rope_scaling":{"type":"linear","factor":2}"#, 500.0),
        (r#","rope_parameters":{"rope_type":"linear","factor":2,"rope_theta":7.0}"#, 7.0),
        (r#","rope_theta":9.0,"rope_parameters":{"rope_type":"linear","factor":2,"rope_theta":7.0}"#, 7.0),
        (r#","rope_theta":9.0,"rope_parameters":{"rope_type":"linear","factor":2}"#, 9.0),
        // The old one is added to a configuration that transformers 5 wrote.
        (
            r#","rope_parameters":{"rope_type":"default","rope_theta":10000.0},"rope_scaling":{"type":"linear","factor":2}"#,
            10000.0,
        ),
        (
            r#","rope_parameters":{"rope_type":"default","rope_theta":7.0},"rope_scaling":{"type":"linear","factor":2,"rope_theta":7}"#,
            7.0,
        ),
        (
            r#","rope_parameters":{"rope_type":"linear","factor":2,"rope_theta":10000.0},"rope_scaling":{"type":"linear","factor":2}"#,
            10000.0,
        ),
        (r#","rope_parameters":{"rope_type":"linear","factor":2},"rope_scaling":{}"#, 10000.0),
        (r#","rope_parameters":{"rope_type":"linear","factor":2},"rope_scaling":null"#, 10000.0),
    ] {
        assert_eq!(scaling(extra), (theta, linear.clone()), "{extra}");
    }
    for (extra, expected) in [
        (
            r#","rope_parameters":{"rope_type":"default","rope_theta":7.0},"rope_scaling":{"type":"linear","factor":2}"#,
            "loses `rope_theta` 7",
        ),
        (
            r#","rope_parameters":{"rope_type":"yarn","factor":2},"rope_scaling":{"type":"linear","factor":2}"#,
            "contradict",
        ),
        (
            r#","rope_parameters":{"rope_type":"linear","factor":4},"rope_scaling":{"type":"linear","factor":2}"#,
            "contradict",
        ),
        (r#","rope_parameters":{"full_attention":{"rope_type":"default"}}"#, "by kind of layer"),
    ] {
        let message = read(extra).unwrap_err().to_string();
        assert!(message.contains(expected), "{extra}: {message}");
    }
}

/// What a family's configuration may ask for and is not computed here.
#[test]
fn what_a_family_cannot_be_is_refused_by_name() {
    let all_ways = golden::FAMILIES.map(|folder| (folder, "is_causal", "false", "attention to later tokens"));
    let own = [
        ("qwen2", "is_causal", "null", "`is_causal` is null"),
        ("opt", "do_layer_norm_before", "false", "OPT-350m"),
        ("opt", "word_embed_proj_dim", "16", "OPT-350m"),
        ("opt", "_remove_final_layer_norm", "true", "last norm"),
        ("opt", "layer_norm_elementwise_affine", "false", "layer norms without weights"),
        ("bloom", "apply_residual_connection_post_layernorm", "true", "behind the norm"),
        ("bloom", "num_attention_heads", "2", "`n_head` is 4 and `num_attention_heads` 2, and both mean the same"),
        ("bloom", "num_hidden_layers", "3", "`n_layer` is 2 and `num_hidden_layers` 3"),
        ("gemma2", "use_bidirectional_attention", "true", "later tokens"),
        ("gemma2", "sliding_window", "null", "sliding_window"),
        ("gemma3", "rope_parameters", r#"{"rope_type":"default","rope_theta":5.0}"#, "has no effect"),
        (
            "gemma3",
            "rope_parameters",
            r#"{"sliding_attention":{"rope_type":"linear","factor":2}}"#,
            "layers with a window",
        ),
        ("gemma3", "rope_scaling", r#"{"type":"linear","factor":8}"#, "a `type` and no `rope_type`"),
        ("gemma3", "rope_scaling", r#"{"type":"linear","rope_type":null,"factor":8}"#, "a `type` and no `rope_type`"),
        ("phi3", "rope_scaling", r#"{"rope_type":"linear","factor":2}"#, "longrope"),
        ("gpt_neox", "hidden_act", r#""quick_gelu""#, "quick_gelu"),
        ("gpt_neox", "num_attention_heads", "5", "multiple"),
        ("qwen3", "architectures", r#"["Gemma3ForConditionalGeneration"]"#, "vision"),
        ("qwen3", "model_type", r#""qwen4""#, "Qwen3ForCausalLM (qwen3) and `model_type` says qwen4"),
    ];
    for (folder, key, value, expected) in all_ways.into_iter().chain(own) {
        let text = std::fs::read_to_string(golden::path(&format!("{folder}/config.json"))).unwrap();
        let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
        config[key] = serde_json::from_str(value).unwrap();
        let message = from_config_json(ALL, &config.to_string()).unwrap_err().to_string();
        assert!(message.contains(expected), "{folder}, {key}: {message}");
    }
}
