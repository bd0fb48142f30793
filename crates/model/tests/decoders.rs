//! The parts of a decoder's description, each and together: both engines on decoders of no family, and as families combine
//! them.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use half::bf16;
use tunebench_model::fast::{Batch, Cache, Model, Options, Workspace};
use tunebench_model::{Error, ReferenceModel, Tuning, Weights};
use tunebench_spec::decoder::{
    Activation, Dims, NormKind, NormPlacement, Part, Positions, QkvLayout, RopeScaling, Rotary, Window, Yarn,
};
use tunebench_spec::names::Role;
use tunebench_spec::plan::RecordedPlan;
use tunebench_spec::random::Stream;
use tunebench_spec::{Decoder, VirtualKind};
use tunebench_testkit::compare::{assert_all_close, assert_rounded, flat};
use tunebench_testkit::engines::{fast_gradients, levels, reference_gradients};
use tunebench_testkit::golden::{Rows, seen_gradients};
use tunebench_testkit::methods::{adapted, behind, dora, full, lora};
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
    decoder.names = decoder.names.clone().with(&[
        (Role::PostAttentionNorm, "behind_attention"),
        (Role::PostMlpNorm, "behind_mlp"),
        (Role::QueryKeyValue, "self_attn.qkv_proj"),
        (Role::GateUp, "mlp.gate_up_proj"),
    ]);
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

fn everything_of_qwen(decoder: &mut Decoder) {
    for change in [biases, qk_norm, window_and_scale] {
        change(decoder);
    }
    decoder.tie_word_embeddings = true;
}

fn layer_norms(decoder: &mut Decoder) {
    decoder.norm.kind = NormKind::Layer;
}

fn offset_norms(decoder: &mut Decoder) {
    decoder.norm.kind = NormKind::Rms { unit_offset: true };
    decoder.attention.qk_norm = true;
}

fn post_norms(decoder: &mut Decoder) {
    decoder.norm_placement = NormPlacement::PreAndPost;
}

fn side_by_side(decoder: &mut Decoder) {
    decoder.norm_placement = NormPlacement::Parallel;
}

fn learned_positions(decoder: &mut Decoder) {
    decoder.positions = Positions::Learned { offset: 2 };
    decoder.max_position_embeddings = 64;
}

fn slopes(decoder: &mut Decoder) {
    decoder.positions = Positions::Alibi;
}

/// Of heads that are no power of two, and embeddings under a norm.
fn slopes_of_six_heads(decoder: &mut Decoder) {
    decoder.positions = Positions::Alibi;
    (decoder.attention.heads, decoder.attention.kv_heads) = (6, 3);
    decoder.embedding.norm = true;
}

fn scaled_embeddings(decoder: &mut Decoder) {
    decoder.embedding.scale = Some(5.6);
    decoder.tie_word_embeddings = true;
}

fn caps(decoder: &mut Decoder) {
    decoder.attention.softcap = Some(1.5);
    decoder.logit_softcap = Some(2.0);
}

fn plain_mlp(decoder: &mut Decoder) {
    (decoder.mlp.gated, decoder.mlp.bias, decoder.mlp.activation) = (false, true, Activation::Gelu);
}

fn gate_by_tanh(decoder: &mut Decoder) {
    decoder.mlp.activation = Activation::GeluTanh;
}

fn fused_blocks(decoder: &mut Decoder) {
    decoder.attention.qkv = QkvLayout::Blocks;
    decoder.mlp.fused_gate_up = true;
}

fn fused_by_head(decoder: &mut Decoder) {
    decoder.attention.qkv = QkvLayout::ByHead;
    (decoder.attention.kv_heads, decoder.attention.qkv_bias) = (4, true);
}

fn partly_rotated(decoder: &mut Decoder) {
    decoder.positions = Positions::Rotary(Rotary { rotary_dim: Some(4), ..Rotary::plain(1e4) });
}

/// By YaRN, with a base of its own in layers with a window.
fn two_rotations(decoder: &mut Decoder) {
    let yarn = Yarn {
        factor: 4.0,
        original_max_position_embeddings: 16,
        beta_fast: Some(4.0),
        beta_slow: None,
        attention_factor: None,
        mscale: None,
        mscale_all_dim: None,
        truncate: None,
    };
    decoder.positions = Positions::Rotary(Rotary {
        scaling: Some(RopeScaling::Yarn(yarn)),
        local_theta: Some(100.0),
        ..Rotary::plain(1e4)
    });
    decoder.attention.window = Some(Window { size: 5, full_layers: vec![1] });
}

fn gemma_2(decoder: &mut Decoder) {
    decoder.norm.kind = NormKind::Rms { unit_offset: true };
    for change in [post_norms, scaled_embeddings, gate_by_tanh, window_and_scale] {
        change(decoder);
    }
    (decoder.attention.softcap, decoder.logit_softcap) = (Some(50.0), Some(30.0));
}

fn gemma_3(decoder: &mut Decoder) {
    for change in [offset_norms, post_norms, scaled_embeddings, gate_by_tanh, two_rotations] {
        change(decoder);
    }
}

fn phi_3(decoder: &mut Decoder) {
    for change in [fused_blocks, partly_rotated, window_and_scale] {
        change(decoder);
    }
}

fn opt(decoder: &mut Decoder) {
    for change in [layer_norms, learned_positions, biases] {
        change(decoder);
    }
    (decoder.mlp.gated, decoder.mlp.activation, decoder.tie_word_embeddings) = (false, Activation::Relu, true);
}

fn bloom(decoder: &mut Decoder) {
    for change in [layer_norms, slopes_of_six_heads, biases] {
        change(decoder);
    }
    (decoder.attention.qkv, decoder.attention.kv_heads) = (QkvLayout::ByHead, 6);
    (decoder.mlp.gated, decoder.mlp.activation, decoder.tie_word_embeddings) = (false, Activation::GeluTanh, true);
}

fn gpt_neox(decoder: &mut Decoder) {
    for change in [layer_norms, side_by_side, biases, fused_by_head, partly_rotated, plain_mlp] {
        change(decoder);
    }
}

const DECODERS: [(&str, Change); 25] = [
    ("biases everywhere", biases),
    ("norms of queries and keys", qk_norm),
    ("a window in some layers, and a scale of scores", window_and_scale),
    ("all of that, and a tied head", everything_of_qwen),
    ("layer norms", layer_norms),
    ("norms with an offset", offset_norms),
    ("norms behind", post_norms),
    ("attention and MLP side by side", side_by_side),
    ("learned positions", learned_positions),
    ("slopes", slopes),
    ("slopes of six heads, and normed embeddings", slopes_of_six_heads),
    ("scaled embeddings", scaled_embeddings),
    ("caps", caps),
    ("an MLP without a gate", plain_mlp),
    ("a gate by tanh", gate_by_tanh),
    ("fused weights", fused_blocks),
    ("a weight fused by head", fused_by_head),
    ("partly rotated heads", partly_rotated),
    ("two rotations", two_rotations),
    ("as Gemma 2", gemma_2),
    ("as Gemma 3", gemma_3),
    ("as Phi-3", phi_3),
    ("as OPT", opt),
    ("as BLOOM", bloom),
    ("as GPT-NeoX", gpt_neox),
];

/// The linear weights of a layer, as [`decoder`] names them.
const LINEARS: [&str; 9] =
    ["q_proj", "k_proj", "v_proj", "qkv_proj", "o_proj", "gate_proj", "up_proj", "gate_up_proj", "down_proj"];

/// A method's name and what it records for a model.
type Case = (&'static str, fn(&Decoder) -> RecordedPlan);

const CASES: [Case; 4] = [
    ("ft", full),
    ("lora with dropout behind keys and values", |shape| {
        behind(adapted(shape, &LINEARS, lora, 0.3), shape, VirtualKind::KeysValues, false)
    }),
    ("dora", |shape| adapted(shape, &LINEARS, dora, 0.1)),
    ("ft behind embeddings", |shape| behind(full(shape), shape, VirtualKind::Embeddings, false)),
];

/// Weights with a gain of about 1, as trained models have, and nothing that is exactly 0 or 1.
fn weights(shape: &Decoder) -> Weights {
    let gain = if shape.norm.kind == (NormKind::Rms { unit_offset: true }) { 0.0 } else { 1.0 };
    let draw = |weight: tunebench_spec::decoder::Weight| {
        let mut stream = Stream::named(7, &weight.name);
        let (mean, std) = match weight.part {
            Part::Weight if weight.role.is_norm() => (gain, 0.1),
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
        let expected = seen_gradients(&shape, &expected);
        let (rounded, half) = values::in_bf16(&shape, &weights, &tuning);
        let (half_loss, half_expected) = reference_gradients(&shape, &rounded, &half, &rows);
        let half_expected = seen_gradients(&shape, &half_expected);
        for level in levels() {
            for (recompute, packed) in [(false, true), (true, false)] {
                let what = format!("{part}, {method}, {}, recompute {recompute}, packed {packed}", level.name());
                let options = Options { level, recompute, packed };
                // Sums in another order: a few units in the last place of the largest; 3.3e-6 has been seen.
                let (found, gradients) = fast_gradients::<f32>(&shape, &weights, &tuning, &rows, options);
                assert!((found - loss).abs() < 1e-5 * loss, "{what}, f32: loss {found} for {loss}");
                assert_all_close(&format!("{what}, f32"), &seen_gradients(&shape, &gradients), &expected, |_| 2e-5);
                // Eight bits in every activation.
                let (found, gradients) = fast_gradients::<bf16>(&shape, &rounded, &half, &rows, options);
                assert!((found - half_loss).abs() < 5e-3 * half_loss, "{what}, bf16: loss {found} for {half_loss}");
                let gradients = seen_gradients(&shape, &gradients);
                assert_rounded(&format!("{what}, bf16"), &shape, &gradients, &half_expected);
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

/// Virtual tokens in front of a prompt and of each answer, in every way that positions enter.
#[test]
fn virtual_tokens_stand_before_an_answer_as_before_a_whole_text() {
    tunebench_amx_emulator::install();
    let text: Vec<u32> = (0..40).map(|i| (i * 17 + 5) % 96).collect();
    for (part, change) in DECODERS {
        let shape = decoder(change);
        let weights = weights(&shape);
        for kind in [VirtualKind::Embeddings, VirtualKind::KeysValues] {
            let tuning = values::moved(&shape, &weights, behind(full(&shape), &shape, kind, false));
            let reference = ReferenceModel::new(&shape, &weights, &tuning, &Device::Cpu).unwrap();
            let batch = tunebench_model::Batch::right_padded(&[&text]).unwrap();
            let indices: Vec<u32> = (0..text.len()).map(|i| batch.index(0, i)).collect();
            let expected = flat(&reference.logits(&batch, &indices).unwrap());
            let options = Options { level: *levels().last().unwrap(), recompute: false, packed: false };
            let model = Model::<f32>::new(&shape, weights.clone(), tuning.clone(), options).unwrap();
            let (mut cache, mut logits) = (Cache::new(&model), vec![]);
            model.prefill(&mut cache, &[&text[..9]], &mut logits).unwrap();
            for n in 9..40 {
                let off = logits.iter().zip(&expected[(n - 1) * 96..]).fold(0f32, |m, (f, e)| m.max((f - e).abs()));
                assert!(off < 1e-4, "{part}, {kind:?}: after {n} tokens: {off}");
                model.step(&mut cache, &[text[n]], &mut logits).unwrap();
            }
        }
    }
}

/// In layers with a window the blocks before it are given back, for later tokens and other rows.
#[test]
fn a_cache_holds_no_more_than_windows_see() {
    tunebench_amx_emulator::install();
    let options = Options { level: *levels().last().unwrap(), recompute: false, packed: false };
    let windowed: [Change; 2] = [
        |decoder| decoder.attention.window = Some(Window { size: 40, full_layers: vec![] }),
        |decoder| decoder.attention.window = Some(Window { size: 40, full_layers: vec![0, 2] }),
    ];
    let [all, some] = windowed.map(|change| {
        let shape = decoder(change);
        let model = Model::<f32>::new(&shape, weights(&shape), Tuning::none(), options).unwrap();
        let (mut cache, mut logits) = (Cache::new(&model), vec![]);
        let prompt: Vec<u32> = (0..3000).map(|i| (i * 7 + 1) % 96).collect();
        for _ in 0..2 {
            model.prefill(&mut cache, &[&prompt], &mut logits).unwrap();
        }
        for token in 0..1500 {
            model.step(&mut cache, &[token % 96, token % 5], &mut logits).unwrap();
        }
        cache.swap_remove(0).unwrap();
        model.prefill(&mut cache, &[&prompt[..2000]], &mut logits).unwrap();
        cache.elements()
    });
    // Blocks of 32 tokens, 64 at first: of each layer that sees all, four times as many are taken for 9000 tokens.
    let layer = 64 * 32 * 2 * 2 * 12;
    assert_eq!((all, some), (3 * layer, layer + 2 * 8 * layer));
}

#[test]
fn a_text_beyond_learned_positions_is_refused() {
    tunebench_amx_emulator::install();
    let options = Options { level: levels()[0], recompute: false, packed: false };
    let shape = decoder(learned_positions);
    let model = Model::<f32>::new(&shape, weights(&shape), Tuning::none(), options).unwrap();
    let text = [1u32; 65];
    let mut work = Workspace::default();
    let logits = |n: usize, work: &mut _| model.logits(&Batch::unlabelled([&text[..n]], 0).unwrap(), &[n - 1], work);
    assert_eq!(logits(64, &mut work).unwrap().len(), 96);
    let error = logits(65, &mut work).unwrap_err();
    assert!(matches!(&error, Error::Batch(why) if why.contains("65") && why.contains("64 positions")), "{error}");
    let (mut cache, mut scores) = (Cache::new(&model), vec![]);
    model.prefill(&mut cache, &[&text[..64]], &mut scores).unwrap();
    assert!(matches!(model.step(&mut cache, &[1], &mut scores), Err(Error::Batch(_))));
}
