//! The parts of a decoder's description, each and together: both engines on decoders of no family.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use half::bf16;
use tunebench_model::fast::{Batch, Cache, Model, Options, Workspace, check_supported};
use tunebench_model::{Error, ReferenceModel, Tuning, Weights};
use tunebench_spec::decoder::{Activation, Dims, NormKind, NormPlacement, Part, Positions, Window};
use tunebench_spec::names::Role;
use tunebench_spec::plan::RecordedPlan;
use tunebench_spec::random::Stream;
use tunebench_spec::{Decoder, VirtualKind};
use tunebench_testkit::compare::{assert_all_close, assert_rounded, flat};
use tunebench_testkit::engines::{fast_gradients, levels, reference_gradients};
use tunebench_testkit::golden::Rows;
use tunebench_testkit::methods::{ALL, adapted, behind, dora, full, lora};
use tunebench_testkit::values;

/// What a decoder has beyond LLaMA.
type Change = fn(&mut Decoder);

/// LLaMA's but for heads that do not fill the hidden width, changed by `change`.
fn decoder(change: Change) -> Decoder {
    let mut decoder = Decoder::llama(Dims {
        vocab_size: 96,
        hidden_size: 32,
        intermediate_size: 48,
        num_hidden_layers: 3,
        heads: 4,
        kv_heads: 2,
        head_dim: 12,
    });
    change(&mut decoder);
    decoder
}

fn biases(decoder: &mut Decoder) {
    (decoder.attention.qkv_bias, decoder.attention.output_bias, decoder.mlp.bias) = (true, true, true);
}

fn qk_norm(decoder: &mut Decoder) {
    decoder.attention.qk_norm = true;
}

fn window_and_scale(decoder: &mut Decoder) {
    decoder.attention.window = Some(Window { size: 3, full_layers: vec![1] });
    decoder.attention.scale = Some(0.2);
}

fn everything(decoder: &mut Decoder) {
    for change in [biases, qk_norm, window_and_scale] {
        change(decoder);
    }
    decoder.tie_word_embeddings = true;
}

fn post_norms(decoder: &mut Decoder) {
    decoder.norm_placement = NormPlacement::PreAndPost;
    let names = [(Role::PostAttentionNorm, "post_attention"), (Role::PostMlpNorm, "post_mlp")];
    decoder.names = decoder.names.clone().with(&names);
}

const DECODERS: [(&str, Change); 4] = [
    ("biases everywhere", biases),
    ("norms of queries and keys", qk_norm),
    ("a window in some layers, and a scale of scores", window_and_scale),
    ("everything, and a tied head", everything),
];

/// A method's name and what it records for a model.
type Case = (&'static str, fn(&Decoder) -> RecordedPlan);

const CASES: [Case; 4] = [
    ("ft", full),
    ("lora with dropout behind keys and values", |shape| {
        behind(adapted(shape, &ALL, lora, 0.3), shape, VirtualKind::KeysValues, false)
    }),
    ("dora", |shape| adapted(shape, &ALL, dora, 0.1)),
    ("ft behind embeddings", |shape| behind(full(shape), shape, VirtualKind::Embeddings, false)),
];

/// Weights with a gain of about 1, as trained models have, and nothing that is exactly 0 or 1.
fn weights(shape: &Decoder) -> Weights {
    let draw = |weight: tunebench_spec::decoder::Weight| {
        let mut stream = Stream::named(7, &weight.name);
        let (mean, std) = match weight.part {
            Part::Weight if weight.role.is_norm() => (1.0, 0.1),
            Part::Weight => (0.0, 0.15),
            Part::Bias => (0.0, 0.1),
        };
        let numbers: Vec<f32> = (0..weight.len()).map(|_| (mean + std * stream.normal()) as f32).collect();
        (weight.name, Tensor::from_vec(numbers, weight.shape, &Device::Cpu).unwrap())
    };
    Weights::new(shape, shape.weights().into_iter().map(draw).collect::<BTreeMap<_, _>>()).unwrap()
}

#[test]
fn loss_and_gradients_are_the_reference_paths() {
    tunebench_amx_emulator::install();
    let rows = Rows::tiny();
    for ((part, change), (method, recorded)) in DECODERS.into_iter().flat_map(|d| CASES.map(|case| (d, case))) {
        let shape = decoder(change);
        let weights = weights(&shape);
        let tuning = values::moved(&shape, &weights, recorded(&shape));
        let (loss, expected) = reference_gradients(&shape, &weights, &tuning, &rows);
        let (rounded, half) = values::in_bf16(&shape, &weights, &tuning);
        let (half_loss, half_expected) = reference_gradients(&shape, &rounded, &half, &rows);
        for level in levels() {
            for (recompute, packed) in [(false, true), (true, false)] {
                let what = format!("{part}, {method}, {}, recompute {recompute}, packed {packed}", level.name());
                let options = Options { level, recompute, packed };
                // Sums in another order: a few units in the last place of the largest.
                let (found, gradients) = fast_gradients::<f32>(&shape, &weights, &tuning, &rows, options);
                assert!((found - loss).abs() < 1e-5 * loss, "{what}, f32: loss {found} for {loss}");
                assert_all_close(&format!("{what}, f32"), &gradients, &expected, |_| 3e-5);
                // Eight bits in every activation.
                let (found, gradients) = fast_gradients::<bf16>(&shape, &rounded, &half, &rows, options);
                assert!((found - half_loss).abs() < 5e-3 * half_loss, "{what}, bf16: loss {found} for {half_loss}");
                assert_rounded(&format!("{what}, bf16"), &gradients, &half_expected);
            }
        }
    }
}

/// Across blocks of the cache and far beyond the window.
#[test]
fn a_text_by_the_cache_scores_as_at_once_by_the_reference_path() {
    tunebench_amx_emulator::install();
    let text: Vec<u32> = (0..45).map(|i| (i * 31 + 7) % 96).collect();
    for (part, change) in DECODERS {
        let shape = decoder(change);
        let weights = weights(&shape);
        let reference = ReferenceModel::new(&shape, &weights, &Tuning::none(), &Device::Cpu).unwrap();
        let batch = tunebench_model::Batch::right_padded(&[&text]).unwrap();
        let indices: Vec<u32> = (0..text.len()).map(|i| batch.index(0, i)).collect();
        let expected = flat(&reference.logits(&batch, &indices).unwrap());
        for level in levels() {
            let options = Options { level, recompute: false, packed: false };
            let mut model = Model::<f32>::new(&shape, weights.clone(), Tuning::none(), options).unwrap();
            let is_close = |found: &[f32], n: usize| {
                let off = found.iter().zip(&expected[(n - 1) * 96..]).fold(0f32, |m, (f, e)| m.max((f - e).abs()));
                assert!(off < 1e-4, "{part}, {}: after {n} tokens: {off}", level.name());
            };
            let whole = Batch::unlabelled([&text[..]], 0).unwrap();
            is_close(&model.logits(&whole, &[text.len() - 1], &mut Workspace::default()).unwrap(), text.len());
            model.pack();
            let (mut cache, mut logits) = (Cache::new(&model), vec![]);
            model.prefill(&mut cache, &[&text[..9], &text[..1]], &mut logits).unwrap();
            for n in 0..36 {
                is_close(&logits[..96], 9 + n);
                is_close(&logits[96..], 1 + n);
                model.step(&mut cache, &[text[9 + n], text[1 + n]], &mut logits).unwrap();
            }
        }
    }
}

#[test]
fn what_the_fast_engine_lacks_is_refused_before_a_weight_is_read() {
    let cases: [(Change, &str); 10] = [
        (|d| d.norm.kind = NormKind::Layer, "plain RMS norms"),
        (|d| d.norm.kind = NormKind::Rms { unit_offset: true }, "plain RMS norms"),
        (post_norms, "norms behind"),
        (|d| d.positions = Positions::Learned { offset: 0 }, "rotary"),
        (|d| d.positions = Positions::Alibi, "rotary"),
        (|d| d.embedding.scale = Some(5.6), "embeddings"),
        (|d| d.embedding.norm = true, "embeddings"),
        (|d| d.attention.softcap = Some(50.0), "soft cap"),
        (|d| d.mlp.gated = false, "gate"),
        (|d| d.mlp.activation = Activation::Gelu, "SiLU"),
    ];
    tunebench_amx_emulator::install();
    let options = Options { level: levels()[0], recompute: false, packed: false };
    for (change, expected) in cases {
        let shape = decoder(change);
        let error = check_supported(&shape).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("`--engine reference`"), "{error}");
        let weights = weights(&decoder(|_| {}));
        let error = Model::<f32>::new(&shape, weights, Tuning::none(), options).err().unwrap();
        assert!(matches!(&error, Error::Config { .. }) && error.to_string().contains(expected), "{error}");
    }
    for (part, change) in DECODERS {
        assert_eq!(check_supported(&decoder(change)), Ok(()), "{part}");
    }
}
