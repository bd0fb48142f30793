//! Bytes that training takes at its peak, from shapes alone, before a weight is read.
//!
//! What is counted is what [`super::Model`] keeps: weights in bf16, frozen ones twice where [`is_packed`] says so; of
//! trained tensors the other half of their f32, the gradient and two moments; what each layer leaves for the backward
//! pass; the buffers that layers share; the head's slice of scores and its packed weight. A graph that is not fused costs
//! its candle tensors in f32; that of virtual tokens its parameters and their value.

use tunebench_kernels::attention::BLOCK;
use tunebench_kernels::machine::memory;
use tunebench_spec::decoder::{NormKind, NormPlacement, QkvLayout, Weight};
use tunebench_spec::names::Role;
use tunebench_spec::plan::RecordedPlan;
use tunebench_spec::{Decoder, ParamSpec, WeightPlan};

use super::fusion;
use super::head::{LABELS_AT_ONCE, LABELS_AT_ONCE_TRAINED};
use crate::weights::QuantisedBytes;

/// The program itself, with its plugins, tokenizer and the packed pieces of the product at hand.
const BASE: u64 = 120 << 20;
/// Bytes of a bf16 and of an f32.
const HALF: u64 = 2;
const FULL: u64 = 4;
/// f32 values that candle holds for each number that goes in or out of an unfused graph, forward and backward.
const UNFUSED: u64 = 12;

/// Tokens of prompts that are read together, unless one is longer.
const PROMPT_TOKENS: u64 = 2048;

/// Of this machine's memory, what frozen weights may take that are packed for both passes.
const PACKED_SHARE: u64 = 4;

/// Whether frozen weights that are plain numbers are kept packed for both passes: where layers are kept too, not computed again to save memory,
/// and the two copies take no more than a quarter of what the machine has.
pub fn is_packed(shape: &Decoder, quantised: &QuantisedBytes, recompute: bool) -> bool {
    let plain = shape.weights().into_iter().filter(|weight| !quantised.contains_key(&weight.name));
    let two = 2 * HALF * plain.map(|weight| weight.len()).sum::<u64>();
    !recompute && memory::total().is_some_and(|total| two <= total / PACKED_SHARE)
}

/// Peak bytes of a step over `tokens` tokens at once, virtual ones included; `quantised` has the bytes of weights that are held so.
pub fn training(
    shape: &Decoder,
    recorded: &RecordedPlan,
    quantised: &QuantisedBytes,
    tokens: usize,
    recompute: bool,
) -> u64 {
    let plans = &recorded.plan.weights;
    let copies = if is_packed(shape, quantised, recompute) { 2 } else { 1 };
    let (mut weights, mut unfused) = (0, 0);
    let mut rank = 0;
    for weight in shape.weights() {
        let len = weight.len();
        weights += match plans.get(&weight.name) {
            Some(WeightPlan::Trainable { .. }) => len * (HALF + HALF + 3 * FULL),
            Some(WeightPlan::Adapted { params }) => {
                let added: u64 = params.iter().map(ParamSpec::len).sum();
                let form = recorded.graphs_of(&weight.name).and_then(|graphs| fusion::lora(&graphs.forward, params));
                let plain = match form {
                    Some(form) => {
                        rank += form.rank as u64;
                        copies
                    }
                    None => {
                        let widths: usize = weight.shape.iter().sum();
                        unfused = unfused.max(UNFUSED * FULL * (widths * tokens) as u64 + 3 * FULL * len);
                        1
                    }
                };
                quantised.get(&weight.name).copied().unwrap_or(len * HALF * plain) + added * (HALF + 4 * FULL)
            }
            Some(WeightPlan::Frozen) | None if quantised.contains_key(&weight.name) => quantised[&weight.name],
            // The head's two are counted with its buffers.
            _ if weight.role == Role::Head => len * HALF * (2 - copies),
            _ if weight.role == Role::Embedding => len * HALF,
            _ => len * HALF * copies,
        };
    }
    let head = if shape.tie_word_embeddings { Role::Embedding } else { Role::Head };
    let head = shape.weight_name(head, 0);
    let is_frozen = plans.get(&head).is_none_or(|plan| *plan == WeightPlan::Frozen);
    let at_once = if is_frozen { LABELS_AT_ONCE } else { LABELS_AT_ONCE_TRAINED };
    let first_trained = first_trained_layer(shape, recorded);
    let passes = activations(shape, first_trained, [tokens, at_once].map(|n| n as u64), recompute);
    // Quantised, it is unpacked as it is read.
    let head_size = 2 * HALF * (shape.vocab_size * shape.hidden_size) as u64;
    let packed_head = if is_frozen && quantised.contains_key(&head) { 0 } else { head_size };
    weights + packed_head + virtual_tokens(shape, recorded) + passes + HALF * rank * tokens as u64 + unfused + BASE
}

/// Bytes beside [`training`] of a base that stays for the next model over it: of its plain numbers the source, f32 at most, and
/// what is packed for others where this model reads them otherwise. What is quantised is the source itself, and counted there.
/// None where a base is let go: where a matrix of it is trained, and where its plain numbers are too many to be packed, or the
/// layers are computed again to save memory.
pub fn kept_base(shape: &Decoder, recorded: &RecordedPlan, quantised: &QuantisedBytes, recompute: bool) -> Option<u64> {
    let plans = &recorded.plan.weights;
    let is_trained = |weight: &Weight| {
        weight.shape.len() > 1 && matches!(plans.get(&weight.name), Some(WeightPlan::Trainable { .. }))
    };
    let is_kept = is_packed(shape, quantised, recompute && quantised.is_empty());
    if !is_kept || shape.weights().iter().any(is_trained) {
        return None;
    }
    let is_fused = |(name, plan): (&String, &WeightPlan)| match plan {
        WeightPlan::Adapted { params } => {
            recorded.graphs_of(name).is_some_and(|graphs| fusion::lora(&graphs.forward, params).is_some())
        }
        WeightPlan::Frozen | WeightPlan::Trainable { .. } => true,
    };
    let packed = if recompute || !plans.iter().all(is_fused) { 2 * HALF } else { 0 };
    let plain = shape.weights().into_iter().filter(|weight| !quantised.contains_key(&weight.name));
    Some((FULL + packed) * plain.map(|weight| weight.len()).sum::<u64>())
}

/// Peak bytes of answering `rows` texts at once, each of at most `tokens` tokens: weights packed once; keys and values of all,
/// whose memory doubles as it grows, old and new side by side for one layer; the pass that reads prompts, of which as many
/// are read together as `crates/generate` says; and the scores.
pub fn answering(shape: &Decoder, quantised: &QuantisedBytes, rows: usize, tokens: usize) -> u64 {
    let [rows, tokens] = [rows, tokens].map(|n| n as u64);
    let [d, f, v] = [shape.hidden_size, shape.mlp.intermediate_size, shape.vocab_size].map(|x| x as u64);
    let [h, e] = [shape.attention.heads, shape.attention.head_dim].map(|x| x as u64);
    let kv = shape.attention.kv_width() as u64;
    let embedding = shape.weight_name(Role::Embedding, 0);
    let is_packed_again = shape.tie_word_embeddings && !quantised.contains_key(&embedding);
    let head = if is_packed_again { HALF * v * d } else { 0 }; // packed beside the embedding
    let plain = |weight: &Weight| HALF * weight.len();
    let weights = shape.weights().into_iter();
    let weights: u64 = weights.map(|w| quantised.get(&w.name).copied().unwrap_or_else(|| plain(&w))).sum();
    // A row's blocks before a window are given back; the one that the window begins in is not, nor is the last one full.
    let held = |layer| match shape.attention.window_of(layer) {
        Some(window) => tokens.min((window + 2 * BLOCK) as u64),
        None => tokens,
    };
    let in_layers: u64 = (0..shape.num_hidden_layers).map(held).sum();
    let longest = (0..shape.num_hidden_layers).map(held).max().unwrap_or(0);
    let cache = HALF * 2 * kv * 2 * rows * (in_layers + longest);
    let read = tokens.max(PROMPT_TOKENS.min(rows * tokens));
    let (added, by_head) = (added_widths(shape), by_head_width(shape));
    let pass = read * (HALF * (6 * d + 4 * f + 2 * h * e + 2 * kv + added + by_head) + FULL * (2 * d + h));
    weights + head + cache + pass + rows * (v * FULL + d * HALF) + BASE
}

/// What virtual tokens take beside their rows in the passes: trained tensors, candle's copies of them with their
/// gradients and those of their transposes, and their value.
fn virtual_tokens(shape: &Decoder, recorded: &RecordedPlan) -> u64 {
    let Some(tokens) = &recorded.plan.virtual_tokens else { return 0 };
    let params: u64 = tokens.params.iter().map(ParamSpec::len).sum();
    params * (HALF + 4 * FULL + 4 * FULL) + UNFUSED * FULL * (tokens.count * tokens.width(shape)) as u64
}

/// The first layer that has something trained in it, or below it.
fn first_trained_layer(shape: &Decoder, recorded: &RecordedPlan) -> u64 {
    if recorded.plan.virtual_tokens.is_some() {
        return 0;
    }
    let is_trained = |name: &str| recorded.plan.weights.get(name).is_some_and(|plan| *plan != WeightPlan::Frozen);
    let layer = |weight: Weight| match weight.layer {
        Some(layer) => layer,
        None if weight.role.is_embedding() => 0,
        None => shape.num_hidden_layers,
    };
    let trained = shape.weights().into_iter().filter(|weight| is_trained(&weight.name));
    trained.map(layer).min().unwrap_or(shape.num_hidden_layers) as u64
}

fn activations(shape: &Decoder, first_trained: u64, [n, labels_at_once]: [u64; 2], recompute: bool) -> u64 {
    let [d, f, v] = [shape.hidden_size, shape.mlp.intermediate_size, shape.vocab_size].map(|x| x as u64);
    let [h, k, e] = [shape.attention.heads, shape.attention.kv_heads, shape.attention.head_dim].map(|x| x as u64);
    let layers = shape.num_hidden_layers as u64;
    let (qkv, attn_out) = ((h + 2 * k) * e, h * e);
    let qk_norm = if shape.attention.qk_norm { (h + k) * (HALF * e + FULL) } else { 0 };
    let gate_up = if shape.mlp.gated { 2 * f } else { f };
    let stats = if shape.norm.kind == NormKind::Layer { 2 } else { 1 };
    let norms = if shape.norm_placement == NormPlacement::PreAndPost { 4 } else { 2 };
    let saved =
        n * (HALF * (2 * d + qkv + attn_out + gate_up + added_widths(shape)) + FULL * (norms * stats + h) + qk_norm);
    let kept = if recompute {
        saved + layers * n * d * HALF
    } else {
        saved * (layers - first_trained + u64::from(first_trained > 0))
    };
    let embedded = if shape.embedding.norm { (HALF + FULL) * d } else { 0 };
    let scratch = n * (HALF * (3 * d + 2 * f + attn_out + qkv + by_head_width(shape)) + FULL * 2 * d + embedded);
    let labels = n.min(labels_at_once);
    let head = n * d * (2 * HALF + 2 * FULL) + labels * v * (HALF + FULL);
    kept + scratch + head
}

/// Numbers of a token that norms behind attention and the MLP read, in each layer.
fn added_widths(shape: &Decoder) -> u64 {
    match shape.norm_placement {
        NormPlacement::Pre | NormPlacement::Parallel => 0,
        NormPlacement::PreAndPost => 2 * shape.hidden_size as u64,
    }
}

/// Numbers of a token's queries, keys and values where they have to be put in another order.
fn by_head_width(shape: &Decoder) -> u64 {
    match shape.attention.qkv {
        QkvLayout::Separate | QkvLayout::Blocks => 0,
        QkvLayout::ByHead => (shape.attention.q_width() + 2 * shape.kv_width()) as u64,
    }
}
