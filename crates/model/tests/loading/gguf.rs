//! GGUF files: values, shapes, refusals.

use std::f64::consts::TAU;

use candle_core::Device;
use serde_json::Value;
use tunebench_model::{Batch, ReferenceModel, Tuning, open, rotary};
use tunebench_spec::Decoder;
use tunebench_spec::decoder::{Positions, RopeScaling, Rotary, Window};

use crate::folders::numbers;
use crate::gguf_writer::{Data, Item, Writer, text};
use crate::{golden, refusal};

const TOKENS: [&str; 4] = ["a", "b", "c", "d"];

/// A report of `tests/golden/gguf`.
fn report(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(golden("gguf").join(name)).unwrap()).unwrap()
}

/// Whether a file has the configuration, and the weights, that the gguf package says; yields the types of its tensors.
fn equals_the_gguf_packages(file: &str, config: &Value, expected: &Value) -> Vec<String> {
    let source = open(&golden("gguf").join(file)).unwrap();
    let shape = serde_json::to_value(&source.shape).unwrap();
    for (key, value) in config.as_object().unwrap().iter().filter(|(key, _)| !key.ends_with("token_id")) {
        assert_eq!(shape[key].as_f64(), value.as_f64(), "{file}: {key}");
    }
    assert_eq!(shape["tie_word_embeddings"], expected["tied_head"]);
    let weights = source.weights().unwrap();
    let tensors = expected["tensors"].as_object().unwrap();
    assert_eq!(weights.len(), tensors.len());
    for (name, expected) in tensors {
        let tensor = weights.get(name).unwrap();
        let values = numbers(&tensor);
        let columns = *tensor.dims().last().unwrap();
        for sample in expected["samples"].as_array().unwrap() {
            let sample: Vec<f64> = sample.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
            let (at, value) = match sample[..] {
                [i, value] => (i as usize, value),
                [row, column, value] => (row as usize * columns + column as usize, value),
                _ => panic!("{sample:?}"),
            };
            assert!((f64::from(values[at]) - value).abs() <= 1e-6 * value.abs(), "{file} {name} {at}");
        }
        let squares: f64 = values.iter().map(|v| f64::from(*v).powi(2)).sum();
        let expected = expected["sum_of_squares"].as_f64().unwrap();
        assert!((squares / expected - 1.0).abs() < 1e-6, "{file} {name}: {squares} {expected}");
    }
    tensors.values().map(|tensor| tensor["type"].as_str().unwrap().to_owned()).collect()
}

/// The values of every storage type, and the order of rows in q and k, are those of the gguf package.
#[test]
fn values_equal_the_gguf_packages() {
    let expected = report("expected.json");
    let files = expected["files"].as_object().unwrap();
    let of = |(file, report): (&String, &Value)| equals_the_gguf_packages(file, &expected["config"], report);
    let types: std::collections::BTreeSet<String> = files.iter().flat_map(of).collect();
    assert_eq!(types.into_iter().collect::<Vec<_>>().join(" "), "BF16 F16 F32 Q4_0 Q4_1 Q4_K Q6_K Q8_0");
}

/// Files of other families, with what llama.cpp's converter calls and orders otherwise, and their logits by transformers.
#[test]
fn every_family_opens_as_llama_cpp_writes_it() {
    let report = report("families.json");
    let files = report["files"].as_object().unwrap();
    assert_eq!(files.len(), 3);
    for (file, expected) in files {
        equals_the_gguf_packages(file, &expected["config"], expected);
        let source = open(&golden("gguf").join(file)).unwrap();
        assert_eq!(source.shape.family, expected["architecture"].as_str().unwrap());
        let weights = source.weights().unwrap();
        let model = ReferenceModel::new(&source.shape, &weights, &Tuning::none(), &Device::Cpu).unwrap();
        let ids = expected["input_ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32);
        let ids: Vec<u32> = ids.collect();
        let found = model.logits(&Batch::right_padded(&[&ids]).unwrap(), &[ids.len() as u32 - 1]).unwrap();
        let expected = expected["last_logits"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32);
        let off = numbers(&found).into_iter().zip(expected).fold(0f32, |m, (f, e)| m.max((f - e).abs()));
        assert!(off < 5e-5, "{file}: {off}");
    }
}

#[test]
fn both_versions_and_untied_heads() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::model(&TOKENS);
    writer.version = 2;
    let source = open(&writer.write(dir.path())).unwrap();
    assert!(source.shape.tie_word_embeddings);
    assert_eq!((source.shape.vocab_size, source.shape.attention.head_dim), (4, 4));
    assert_eq!(source.shape.norm.eps, 1e-5);
    assert_eq!(source.shape.positions, Positions::Rotary(Rotary::plain(10000.0)));
    // Rows 0..4 of a head of 4 hold the pairs (0, 2), (1, 3).
    let key = source.weights().unwrap().get("model.layers.0.self_attn.k_proj.weight").unwrap();
    let first_of_rows: Vec<f32> = numbers(&key).into_iter().step_by(8).collect();
    assert_eq!(first_of_rows, [0.0, 16.0, 8.0, 24.0]);

    let head = writer.tensor("token_embd.weight").3.clone();
    writer.tensors.push(Data("output.weight".into(), vec![8, 4], 0, head));
    assert!(!open(&writer.write(dir.path())).unwrap().shape.tie_word_embeddings);
}

/// LLaMA 3's divisors of frequency `i` of `half`, as llama.cpp's converter computes them.
fn llama3_divisors(half: i32, theta: f64, factor: f64, context: f64) -> Vec<f32> {
    let divisor = |i: i32| {
        let wavelength = TAU * theta.powf(f64::from(i) / f64::from(half));
        if wavelength > context {
            return factor;
        }
        if wavelength < context / 4.0 {
            return 1.0;
        }
        let smooth = (context / wavelength - 1.0) / 3.0;
        1.0 / ((1.0 - smooth) / factor + smooth)
    };
    (0..half).map(|i| divisor(i) as f32).collect()
}

#[test]
fn rotary_scaling() {
    let dir = tempfile::tempdir().unwrap();
    let with = |entries: &[(&str, Item)], divisors: &[f32]| {
        let mut writer = Writer::model(&TOKENS);
        entries.iter().for_each(|(key, item)| writer.set(key, item.clone()));
        if !divisors.is_empty() {
            let data = divisors.iter().flat_map(|v| v.to_le_bytes()).collect();
            writer.tensors.push(Data("rope_freqs.weight".into(), vec![divisors.len() as u64], 0, data));
        }
        open(&writer.write(dir.path())).map(|source| match source.shape.positions {
            Positions::Rotary(rotary) => rotary.scaling,
            other => panic!("{other:?}"),
        })
    };
    let linear = [("llama.rope.scaling.type", text("linear")), ("llama.rope.scaling.factor", Item::F32(2.5))];
    assert_eq!(with(&linear, &[]).unwrap(), Some(RopeScaling::Linear { factor: 2.5 }));
    let old = [("llama.rope.scale_linear", Item::F32(4.0))];
    assert_eq!(with(&old, &[]).unwrap(), Some(RopeScaling::Linear { factor: 4.0 }));
    assert_eq!(with(&[("llama.rope.scaling.type", text("none"))], &[]).unwrap(), None);

    let theta = ("llama.rope.freq_base", Item::F32(5e6));
    let llama3 = |context| {
        Some(RopeScaling::Llama3 {
            factor: 32.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position_embeddings: context,
        })
    };
    let divisors = llama3_divisors(2, 5e6, 32.0, 8192.0);
    assert_eq!(with(std::slice::from_ref(&theta), &divisors).unwrap(), llama3(8192));
    let stated = [("llama.rope.scaling.original_context_length", Item::U32(12)), theta.clone()];
    let divisors = llama3_divisors(2, 5e6, 32.0, 12.0);
    assert!(divisors[0] > 1.0 && divisors[0] < 32.0, "one of them is on the blend");
    assert_eq!(with(&stated, &divisors).unwrap(), llama3(12));

    for bad in [vec![1.0, 5.0], vec![1.0], vec![1.0, f32::NAN], vec![1.0, f32::INFINITY], vec![1.0, 8.0, 8.0]] {
        assert!(refusal(with(&[theta.clone(), stated[0].clone()], &bad)).contains("rope_freqs"), "{bad:?}");
    }
    // A factor without a type is linear, as llama.cpp reads it; one that does nothing is none.
    let untyped = |factor| [("llama.rope.scaling.factor", Item::F32(factor))];
    assert_eq!(with(&untyped(2.5), &[]).unwrap(), Some(RopeScaling::Linear { factor: 2.5 }));
    assert_eq!(with(&untyped(1.0), &[]).unwrap(), None);
    let none = [untyped(2.5)[0].clone(), ("llama.rope.scaling.type", text("none"))];
    assert_eq!(with(&none, &[]).unwrap(), None);
    let yarn = [
        ("llama.rope.scaling.type", text("yarn")),
        ("llama.rope.scaling.factor", Item::F32(4.0)),
        ("llama.rope.scaling.original_context_length", Item::U32(12)),
        ("llama.rope.scaling.yarn_beta_fast", Item::F32(16.0)),
    ];
    let Some(RopeScaling::Yarn(found)) = with(&yarn, &[]).unwrap() else { panic!("no YaRN") };
    assert_eq!((found.factor, found.original_max_position_embeddings, found.beta_fast), (4.0, 12, Some(16.0)));
    assert_eq!((found.beta_slow, found.attention_factor, found.mscale_all_dim), (None, None, None));
    for (entry, want) in [
        (("llama.rope.scaling.type", text("longrope")), "short_factor has 0 numbers"),
        (("llama.rope.scaling.type", text("ntk")), "rope scaling `ntk`"),
        (("llama.rope.scaling.attn_factor", Item::F32(1.5)), "attention factor"),
    ] {
        let refused = refusal(with(&[entry], &[]));
        assert!(refused.contains(want), "{refused}");
    }
}

#[test]
fn what_is_not_supported_is_named() {
    type Change = fn(&mut Writer);
    let faults: [(Change, &[&str]); 17] = [
        (|w| w.version = 1, &["version 1", "2 and 3"]),
        (|w| w.version = 3 << 24, &["version", "little-endian"]),
        (|w| w.set("general.architecture", text("gemma")), &["`gemma`", "llama"]),
        (|w| w.set("llama.block_count", Item::U32(0)), &["llama.block_count", "from 1"]),
        (|w| w.set("llama.block_count", Item::U32(9_999_999)), &["num_hidden_layers", "9999999"]),
        (|w| w.set("llama.attention.head_count", Item::I32s(vec![2])), &["head_count", "a list"]),
        (
            |w| {
                w.set("llama.attention.key_length", Item::U32(2));
                w.set("llama.rope.dimension_count", Item::U32(4));
            },
            &["heads of 2, 4 of it rotated"],
        ),
        (
            |w| w.set("llama.attention.causal", Item::Bool(false)),
            &["`llama.attention.causal` is Bool(false)", "later tokens"],
        ),
        (|w| w.set("llama.attention.causal", Item::U32(0)), &["`llama.attention.causal` is Int(0)", "true or false"]),
        (
            |w| w.set("llama.attention.layer_norm_rms_epsilon", Item::U32(0)),
            &["`llama.attention.layer_norm_rms_epsilon` is Int(0)", "positive number"],
        ),
        (
            |w| {
                for (key, number) in [("no", 1), ("count", 3), ("tensors.count", 30)] {
                    w.set(&format!("split.{key}"), Item::U32(number));
                }
                w.entries.retain(|(key, _)| key.starts_with("split."));
            },
            &["is part 2 of 3", "llama-gguf-split --merge"],
        ),
        (|w| w.set("general.alignment", Item::U32(24)), &["general.alignment", "24"]),
        (|w| w.tensor("blk.0.ffn_up.weight").2 = 99, &["blk.0.ffn_up.weight", "GGML type 99", "Q4_K"]),
        (|w| drop(w.tensors.pop()), &["model.norm.weight", "missing", "[8]"]),
        (|w| w.tensor("blk.0.ffn_up.weight").1 = vec![6, 8], &["mlp.up_proj", "[8, 6]", "[6, 8]"]),
        (|w| w.tensor("blk.0.attn_q.weight").0 = "blk.0.attn_q.bias".into(), &["q_proj.weight", "missing"]),
        (
            |w| w.tensors.push(Data("blk.0.attn_q.bias".into(), vec![8], 0, vec![0; 32])),
            &["blk.0.attn_q.bias", "no place"],
        ),
    ];
    for (change, words) in faults {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Writer::model(&TOKENS);
        change(&mut writer);
        let path = writer.write(dir.path());
        let message = refusal(open(&path));
        for word in words.iter().chain([&path.to_str().unwrap()]) {
            assert!(message.contains(word), "{message} lacks {word}");
        }
    }
}

/// What decides numbers and llama.cpp does not do without is not guessed.
#[test]
fn keys_that_decide_numbers_must_be_there() {
    let dir = tempfile::tempdir().unwrap();
    for (file, key) in [
        ("mistral", "llama.context_length"),
        ("qwen3", "qwen3.attention.layer_norm_rms_epsilon"),
        ("converted-gemma2", "gemma2.attention.layer_norm_rms_epsilon"),
        ("converted-gemma3", "gemma3.attention.layer_norm_rms_epsilon"),
        ("converted-phi3", "phi3.attention.layer_norm_rms_epsilon"),
        ("converted-bloom", "bloom.attention.layer_norm_epsilon"),
        ("converted-gpt_neox", "gptneox.attention.layer_norm_epsilon"),
        ("converted-gpt_neox", "gptneox.use_parallel_residual"),
    ] {
        let mut bytes = std::fs::read(golden("gguf").join(format!("{file}.gguf"))).unwrap();
        let at = bytes.windows(key.len()).position(|window| window == key.as_bytes()).unwrap();
        bytes[at + key.len() - 1] ^= 1;
        let path = dir.path().join("model.gguf");
        std::fs::write(&path, bytes).unwrap();
        let message = refusal(open(&path));
        assert!(message.contains(&format!("metadata `{key}` is missing")), "{file}: {message}");
    }
}

/// Numbers that are none are told with file and tensor, of whatever type it is.
#[test]
fn weights_that_are_no_numbers_are_named() {
    const DOWN: &str = "blk.0.ffn_down.weight";
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::model(&TOKENS);
    writer.set("llama.feed_forward_length", Item::U32(32));
    for name in ["blk.0.ffn_gate.weight", "blk.0.ffn_up.weight"] {
        *writer.tensor(name) = Data(name.into(), vec![8, 32], 0, vec![0; 8 * 32 * 4]);
    }
    // The last of a row: a number, or the scale of Q8_0's block of 32.
    for (code, zeros, last, shown) in [
        (0, vec![0; 31 * 4], &[0, 0, 0xc0, 0x7f][..], "the number NaN"),
        (1, vec![0; 31 * 2], &[0, 0x7c], "the number inf"),
        (30, vec![0; 31 * 2], &[0x80, 0xff], "the number -inf"),
        (8, vec![], &[&[0, 0x7c][..], &[1; 32]].concat(), "the number inf"),
    ] {
        *writer.tensor(DOWN) = Data(DOWN.into(), vec![32, 8], code, [&zeros, last].concat().repeat(8));
        let message = refusal(open(&writer.write(dir.path())).unwrap().weights());
        let words = ["model.gguf: ", "model.layers.0.mlp.down_proj.weight", shown, "damaged"];
        assert!(words.iter().all(|word| message.contains(word)), "{code}: {message}");
    }
}

/// What llama.cpp's converter makes of a Hugging Face folder is read as that folder, but for what such a file does not say.
#[test]
fn converted_files_hold_what_their_folders_do() {
    type Change = fn(&mut Decoder);
    let same: Change = |_| {};
    let files: [(&str, Change); 6] = [
        ("gemma2", |d: &mut Decoder| {
            d.attention.scale = Some((d.attention.head_dim as f64).powf(-0.5));
            d.tie_word_embeddings = true; // the converter leaves the head out
        }),
        ("gemma3", |d: &mut Decoder| {
            d.attention.scale = Some((d.attention.head_dim as f64).powf(-0.5));
            // Five of six layers have the window, whatever the folder says.
            d.attention.window = d.attention.window.take().map(|window| Window { full_layers: vec![], ..window });
        }),
        ("phi3", same),
        ("phi3-longrope", same),
        // A context that BLOOM's configuration need not have.
        ("bloom", |d: &mut Decoder| d.max_position_embeddings = d.hidden_size),
        ("gpt_neox", same),
    ];
    for (name, unsaid) in files {
        let found = open(&golden("gguf").join(format!("converted-{name}.gguf"))).unwrap();
        let folder = open(&golden(name)).unwrap();
        let mut expected = folder.shape.clone();
        unsaid(&mut expected);
        let [rotation, of_folder] = [&found.shape, &expected].map(rotary::rotation);
        if let (Some(rotation), Some(of_folder)) = (rotation, of_folder) {
            // LongRoPE's factors are f32 there.
            let apart = |(a, b): (&f32, &f32)| (a - b).abs() > 1e-6 * b.abs();
            assert!(!rotation.frequencies.iter().zip(&of_folder.frequencies).any(apart), "{name}");
            assert!(!apart((&rotation.factor, &of_folder.factor)), "{name}: {rotation:?} for {of_folder:?}");
            assert_eq!(rotation.local, of_folder.local, "{name}");
            expected.positions = found.shape.positions.clone();
        }
        assert_eq!(found.shape, expected, "{name}");
        let (weights, of_folder) = (found.weights().unwrap(), folder.weights().unwrap());
        for (tensor, found) in weights.iter() {
            let (found, expected) = (numbers(&found), numbers(&of_folder.get(tensor).unwrap()));
            // 1 was added to the norms of a Gemma, and taken off again.
            let same = found.iter().zip(&expected).all(|(a, b)| (a - b).abs() <= 2e-7);
            assert!(same && found.len() == expected.len(), "{name}: {tensor}");
        }
    }
}
