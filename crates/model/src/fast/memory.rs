//! Bytes that training takes at its peak, from shapes alone, before a weight is read.
//!
//! What is counted is what [`super::Model`] keeps: weights in bf16, frozen ones twice where [`is_packed`] says so; of
//! trained tensors the other half of their f32, the gradient and two moments; what each layer leaves for the backward
//! pass; the buffers that layers share; the head's slice of scores and its packed weight; of a product the slabs of operands
//! that are packed for it. A graph that is not fused costs its candle tensors in f32; that of virtual tokens its parameters
//! and their value. Blocks that stay in a file are counted apart: they need not be there.

use tunebench_kernels::SimdLevel;
use tunebench_kernels::attention::BLOCK;
use tunebench_kernels::gemm::slabs;
use tunebench_kernels::machine::memory;
use tunebench_spec::decoder::{NormKind, NormPlacement, QkvLayout, Weight};
use tunebench_spec::names::Role;
use tunebench_spec::plan::RecordedPlan;
use tunebench_spec::{Decoder, ParamSpec, WeightPlan};

use super::fusion;
use super::head::{LABELS_AT_ONCE, LABELS_AT_ONCE_TRAINED};
use crate::memory_need::MemoryNeed;
use crate::weights::QuantisedWeights;

/// The program itself and its threads.
pub const PROGRAM: u64 = 40 << 20;
/// A program that answers: its tokenizer, templates and requests beside it.
const ANSWERING: u64 = 120 << 20;
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
pub fn is_packed(shape: &Decoder, quantised: &QuantisedWeights, recompute: bool) -> bool {
    let plain = shape.weights().into_iter().filter(|weight| !quantised.contains_key(&weight.name));
    let two = 2 * HALF * plain.map(|weight| weight.len()).sum::<u64>();
    !recompute && memory::total().is_some_and(|total| two <= total / PACKED_SHARE)
}

/// What training takes at its peak, with steps over `tokens` tokens at once and losses measured over `measured` between them,
/// virtual ones included; `quantised` has the weights that are held so.
pub fn training(
    shape: &Decoder,
    recorded: &RecordedPlan,
    quantised: &QuantisedWeights,
    [tokens, measured]: [usize; 2],
    recompute: bool,
) -> MemoryNeed {
    let plans = &recorded.plan.weights;
    let copies = if is_packed(shape, quantised, recompute) { 2 } else { 1 };
    let (mut weights, mut mapped, mut unfused, mut rank) = (0, 0, 0, 0);
    for weight in shape.weights() {
        let len = weight.len();
        let in_blocks = quantised.get(&weight.name);
        let plan = plans.get(&weight.name);
        if let Some(blocks) = in_blocks.filter(|blocks| blocks.is_mapped && !is_trained(plan)) {
            mapped += blocks.bytes;
        }
        let own_blocks = in_blocks.map(|blocks| if blocks.is_mapped { 0 } else { blocks.bytes });
        weights += match plan {
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
                own_blocks.unwrap_or(len * HALF * plain) + added * (HALF + 4 * FULL)
            }
            Some(WeightPlan::Frozen) | None if own_blocks.is_some() => own_blocks.unwrap_or_default(),
            // The head's two are counted with its buffers.
            _ if weight.role == Role::Head => len * HALF * (2 - copies),
            _ if weight.role == Role::Embedding => len * HALF,
            _ => len * HALF * copies,
        };
    }
    let head = if shape.tie_word_embeddings { Role::Embedding } else { Role::Head };
    let head = shape.weight_name(head, 0);
    let head_plan = plans.get(&head);
    let is_frozen = head_plan.is_none_or(|plan| *plan == WeightPlan::Frozen);
    let at_once = if is_frozen { LABELS_AT_ONCE } else { LABELS_AT_ONCE_TRAINED };
    let first_trained = first_trained_layer(shape, recorded);
    let [tokens, measured, at_once] = [tokens, measured, at_once].map(|n| n as u64);
    let passes = activations(shape, first_trained, [tokens, measured], at_once, recompute);
    // Quantised, it is unpacked slab by slab as it is read.
    let is_read_in_blocks = !is_trained(head_plan) && quantised.contains_key(&head);
    let head_size = 2 * HALF * (shape.vocab_size * shape.hidden_size) as u64;
    let packed_head = if is_read_in_blocks { 0 } else { head_size };
    let widest = shape.hidden_size.max(shape.mlp.intermediate_size).max(shape.attention.q_width());
    let [left, _] = slabs(widest.max(shape.vocab_size));
    let [_, right] = slabs(if is_read_in_blocks { widest.max(shape.vocab_size) } else { widest });
    let hidden = HALF * rank * (tokens + measured / shape.num_hidden_layers.max(1) as u64);
    let own = weights
        + packed_head
        + virtual_tokens(shape, recorded)
        + passes
        + hidden
        + unfused
        + packed_number() * (left + right) as u64
        + PROGRAM;
    MemoryNeed { own, mapped }
}

/// Bytes of a number of an operand that is packed for one product: a level without products of bf16 multiplies f32.
fn packed_number() -> u64 {
    let level = SimdLevel::chosen().unwrap_or_else(|_| SimdLevel::best());
    if level >= SimdLevel::Avx512Bf16 { HALF } else { FULL }
}

/// Whether a weight itself is trained, as plain numbers.
fn is_trained(plan: Option<&WeightPlan>) -> bool {
    matches!(plan, Some(WeightPlan::Trainable { .. }))
}

/// Bytes beside [`training`] and the source of a base that stays for the next model over it: what of its plain numbers is packed for
/// others where this model reads them otherwise. What is quantised is the source itself, and counted there.
/// None where a base is let go: where a matrix of it is trained, and where its plain numbers are too many to be packed, or the
/// layers are computed again to save memory.
pub fn kept_base(
    shape: &Decoder,
    recorded: &RecordedPlan,
    quantised: &QuantisedWeights,
    recompute: bool,
) -> Option<u64> {
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
    Some(packed * plain.map(|weight| weight.len()).sum::<u64>())
}

/// What answering `rows` texts at once takes, each of at most `tokens` tokens: weights packed once; keys and values of all,
/// whose memory doubles as it grows, old and new side by side for one layer; the pass that reads prompts, of which as many
/// are read together as `crates/generate` says; and the scores.
pub fn answering(shape: &Decoder, quantised: &QuantisedWeights, rows: usize, tokens: usize) -> MemoryNeed {
    let [rows, tokens] = [rows, tokens].map(|n| n as u64);
    let [d, f, v] = [shape.hidden_size, shape.mlp.intermediate_size, shape.vocab_size].map(|x| x as u64);
    let [h, e] = [shape.attention.heads, shape.attention.head_dim].map(|x| x as u64);
    let kv = shape.attention.kv_width() as u64;
    let embedding = shape.weight_name(Role::Embedding, 0);
    let is_packed_again = shape.tie_word_embeddings && !quantised.contains_key(&embedding);
    let head = if is_packed_again { HALF * v * d } else { 0 }; // packed beside the embedding
    let (mut weights, mut mapped) = (0, 0);
    for weight in shape.weights() {
        match quantised.get(&weight.name) {
            Some(blocks) if blocks.is_mapped => mapped += blocks.bytes,
            Some(blocks) => weights += blocks.bytes,
            None => weights += HALF * weight.len(),
        }
    }
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
    MemoryNeed { own: weights + head + cache + pass + rows * (v * FULL + d * HALF) + ANSWERING, mapped }
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

/// What passes leave and use of `n` tokens that are learnt from, and of `measured` in passes whose loss alone is wanted: those
/// leave what one layer leaves, and use less. Buffers stay as large as the largest pass had them.
fn activations(
    shape: &Decoder,
    first_trained: u64,
    [n, measured]: [u64; 2],
    labels_at_once: u64,
    recompute: bool,
) -> u64 {
    let [d, f, v] = [shape.hidden_size, shape.mlp.intermediate_size, shape.vocab_size].map(|x| x as u64);
    let [h, k, e] = [shape.attention.heads, shape.attention.kv_heads, shape.attention.head_dim].map(|x| x as u64);
    let layers = shape.num_hidden_layers as u64;
    let (qkv, attn_out) = ((h + 2 * k) * e, h * e);
    let qk_norm = if shape.attention.qk_norm { (h + k) * (HALF * e + FULL) } else { 0 };
    let gate_up = if shape.mlp.gated { 2 * f } else { f };
    let stats = if shape.norm.kind == NormKind::Layer { 2 } else { 1 };
    let norms = if shape.norm_placement == NormPlacement::PreAndPost { 4 } else { 2 };
    let saved = HALF * (2 * d + qkv + attn_out + gate_up + added_widths(shape)) + FULL * (norms * stats + h) + qk_norm;
    // One layer's at the first place: of those that are not reached, of each in its turn when it is computed again, and of
    // passes that keep nothing.
    let most = n.max(measured);
    let kept = if recompute {
        most * saved + layers * n * d * HALF
    } else {
        let first = if first_trained > 0 { most } else { measured };
        first * saved + n * saved * (layers - first_trained)
    };
    let embedded = if shape.embedding.norm { (HALF + FULL) * d } else { 0 };
    let forward = HALF * (2 * d + f + by_head_width(shape)) + embedded;
    let backward = HALF * (d + attn_out + qkv) + FULL * 2 * d;
    let labels = most.min(labels_at_once);
    let head = HALF * 2 * d * most + FULL * 2 * d * n + labels * v * (HALF + FULL);
    kept + most * forward + n * backward + head
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
