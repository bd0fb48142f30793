//! Bytes of a graphics card that training and answering take at their peak, from shapes alone.
//!
//! What is counted is what candle's autograd keeps of [`crate::reference`], tensor by tensor, with `a` bytes of the precision and
//! 4 of f32. A layer's graph keeps, for each of `n` tokens of examples of up to `t`:
//!
//! ```text
//! a · (7 d                 its input, the input's copy, two norms, two sums, what attention and MLP add
//!      + 6 q + 5 kv        queries, keys, values: projected, by head, rotated, scaled; what attention yields, twice
//!      + h t               probabilities
//!      + 3 f)              gate, up and their product
//! ```
//!
//! and more for layer norms, other activations, biases, norms of heads, fused projections; of an adapted weight every value of
//! its recorded graph in f32. `kept` is that of every layer that is differentiated; recomputed, that of one and the inputs of
//! all. Over it lies the larger of a layer's backward pass, `5·4 h t` or `8·4 f` for each token with the
//! largest recorded graph once more, and of the head, which has at most
//! 2^24 scores at once, `2 a + 4·4` bytes each. Weights take `a` frozen and 12 trained: master, gradient, and the gradient of the
//! micro-batch at hand; AdamW's moments stay in the machine's memory. [`CONTEXT`] is what CUDA itself takes.

use std::collections::BTreeMap;

use tunebench_spec::decoder::{Activation, NormKind, NormPlacement, Positions, QkvLayout, Weight};
use tunebench_spec::graph::{Graph, Op};
use tunebench_spec::names::Role;
use tunebench_spec::plan::RecordedPlan;
use tunebench_spec::{Decoder, Dim, ParamSpec, WeightPlan};

use super::StepSize;
use crate::reference::Precision;
use crate::reference::loss::SCORES_AT_ONCE;

/// What lies outside of what candle asks for: the driver's context with its kernels and cuBLAS, 691 MiB on an H100 under CUDA
/// 13.0, and what the driver's pool keeps beyond what is in use, up to 151 MiB there.
pub(super) const CONTEXT: u64 = 850 << 20;
/// Bytes of an f32.
const FULL: u64 = 4;
/// What a cache grows by.
const GROWTH: u64 = 64;

const fn bytes(precision: Precision) -> u64 {
    match precision {
        Precision::F32 => 4,
        Precision::BF16 => 2,
    }
}

/// Peak bytes of a step.
pub(super) fn training(
    shape: &Decoder,
    recorded: &RecordedPlan,
    size: StepSize,
    recompute: bool,
    precision: Precision,
) -> u64 {
    let a = bytes(precision);
    let plan_of = |weight: &Weight| recorded.plan.weights.get(&weight.name);
    let is_trained = |weight: &Weight| matches!(plan_of(weight), Some(WeightPlan::Trainable { .. }));
    let all = shape.weights();
    let mut weights = 0;
    for weight in &all {
        weights += match plan_of(weight) {
            Some(WeightPlan::Trainable { .. }) => weight.len() * 3 * FULL,
            Some(WeightPlan::Adapted { params }) => weight.len() * a + trained(params),
            _ => frozen(weight, a),
        };
    }
    let layers = shape.num_hidden_layers as u64;
    let [n, t] = [size.tokens, size.longest.min(size.tokens)].map(|n| n as u64);
    let [d, f, v] = [shape.hidden_size, shape.mlp.intermediate_size, shape.vocab_size].map(|x| x as u64);
    let (graph, first) = (layer_graph(shape, recorded, [n, t], a), first_tracked(shape, recorded, &all));
    let differentiated = layers - first;
    let input = n * a * d;
    let (kept, again) = match recompute {
        true => ((layers + 1) * input, graph),
        false => (layers * 2 * input + differentiated * graph, 0),
    };

    let in_layers = all.iter().filter(|weight| weight.layer.is_some() && is_trained(weight));
    let largest = in_layers.map(Weight::len).max().unwrap_or(0) * (a + FULL);
    let sites = all.iter().filter_map(|weight| recorded.graphs_of(&weight.name));
    let sites = sites.map(|graphs| values(&graphs.forward, n) * FULL).max().unwrap_or(0);
    let scores = shape.attention.heads as u64 * t;
    let backward = if differentiated == 0 { 0 } else { n * FULL * (5 * scores).max(8 * f) + largest + sites + again };

    let head_role = if shape.tie_word_embeddings { Role::Embedding } else { Role::Head };
    let of_role = |role: Role| all.iter().find(|weight| weight.role == role).is_some_and(is_trained);
    let head_weight = if of_role(head_role) { v * d * (2 * a + 2 * FULL) } else { 0 };
    let capped = if shape.logit_softcap.is_some() { 4 * FULL } else { 0 };
    let head = 6 * n * a * d + (n * v).min((SCORES_AT_ONCE as u64).max(v)) * (2 * a + 4 * FULL + capped) + head_weight;
    let embedding = if of_role(Role::Embedding) { 2 * FULL * v * d } else { 0 };
    let slopes = if shape.positions == Positions::Alibi { shape.attention.heads as u64 } else { 1 };
    let masks = t * t * slopes * FULL * if shape.attention.window.is_some() { 2 } else { 1 };
    CONTEXT + weights + virtual_tokens(shape, recorded) + masks + kept + backward.max(head).max(embedding)
}

/// Peak bytes of answering `rows` texts at once, each of at most `tokens` tokens: weights; keys and values, whose memory grows by
/// copying, a layer at a time; the pass that reads all prompts, with the scores of a layer; the logits.
pub(super) fn answering(shape: &Decoder, rows: usize, tokens: usize, precision: Precision) -> u64 {
    let a = bytes(precision);
    let [rows, tokens] = [rows, tokens].map(|n| n as u64);
    let [d, f, v] = [shape.hidden_size, shape.mlp.intermediate_size, shape.vocab_size].map(|x| x as u64);
    let [q, kv] = [shape.attention.q_width(), shape.attention.kv_width()].map(|x| x as u64);
    let weights: u64 = shape.weights().iter().map(|weight| frozen(weight, a)).sum();
    let cache = (shape.num_hidden_layers as u64 + 1) * 2 * a * kv * rows * tokens.next_multiple_of(GROWTH);
    let scores = shape.attention.heads as u64 * tokens * (3 * FULL + 2 * a);
    let in_pass = (4 * a * d).max(a * d + FULL * d) + 5 * a * (q + kv) + scores.max(f * (3 * a + 3 * FULL));
    CONTEXT + weights + cache + rows * tokens * in_pass + tokens * tokens * FULL + rows * v * (a + 2 * FULL)
}

fn frozen(weight: &Weight, a: u64) -> u64 {
    weight.len() * if weight.shape.len() < 2 { FULL } else { a }
}

/// Of the parameters of a graph: master, gradient, and that of the micro-batch.
fn trained(params: &[ParamSpec]) -> u64 {
    params.iter().map(ParamSpec::len).sum::<u64>() * 3 * FULL
}

/// What one layer's graph keeps, for the layer that keeps most.
fn layer_graph(shape: &Decoder, recorded: &RecordedPlan, [n, t]: [u64; 2], a: u64) -> u64 {
    let [d, f] = [shape.hidden_size, shape.mlp.intermediate_size].map(|x| x as u64);
    let of = &shape.attention;
    let [h, q, kv] = [of.heads, of.q_width(), of.kv_width()].map(|x| x as u64);
    // In f32 nothing is converted.
    let converted = if a == FULL { 0 } else { FULL };
    let norms = if shape.norm_placement == NormPlacement::PreAndPost { 4 } else { 2 };
    let norm = if shape.norm.kind == NormKind::Layer { 6 * FULL + converted } else { 0 };
    let layer_norms = norms * norm * d + if of.qk_norm { (q + kv) * (a + norm) } else { 0 };
    let fused = if of.qkv == QkvLayout::Separate { 0 } else { a * (q + 2 * kv) };
    let capped = if of.softcap.is_some() { 2 * FULL } else { 0 };
    let gates = if shape.mlp.gated { 2 } else { 1 };
    let activated = match shape.mlp.activation {
        Activation::Silu if shape.mlp.gated => a,
        _ => converted + FULL + gates * a,
    };
    let cut = if shape.mlp.fused_gate_up { gates * a } else { 0 };
    let plain = a * ((5 + norms) * d + 6 * q + 5 * kv + h * t)
        + layer_norms
        + fused
        + capped * h * t
        + f * (gates * a + activated + cut);
    let mut added: BTreeMap<usize, u64> = BTreeMap::new();
    for weight in shape.weights() {
        let (Some(layer), [out, rest @ ..]) = (weight.layer, weight.shape.as_slice()) else { continue };
        let of_layer = added.entry(layer).or_default();
        let out = *out as u64;
        match recorded.plan.weights.get(&weight.name) {
            Some(WeightPlan::Adapted { .. }) => {
                let width = rest.first().map_or(0, |n| *n as u64);
                let graphs = recorded.graphs_of(&weight.name);
                let cast = if a == FULL { 0 } else { n * (width * (a + FULL) + 2 * out * a) + weight.len() * FULL };
                *of_layer += graphs.map_or(0, |graphs| values(&graphs.forward, n)) * FULL + cast;
            }
            Some(WeightPlan::Trainable { .. }) if a != FULL => *of_layer += weight.len() * a,
            _ => {}
        }
        if weight.role.is_linear() && shape.has_bias(weight.role) {
            *of_layer += n * out * (converted + FULL + a);
        }
    }
    n * plain + added.into_values().max().unwrap_or(0)
}

/// Numbers of all values that a graph makes over `n` tokens; a dropout's mask is one more.
fn values(graph: &Graph, n: u64) -> u64 {
    let length = |dim: &Dim| match dim {
        Dim::Fixed(length) => *length as u64,
        Dim::Tokens(_) => n,
    };
    let of_node = |op: &Op| match op {
        // They are there already, but for what is converted.
        Op::Input | Op::Weight | Op::Param { .. } | Op::Transpose | Op::Reshape { .. } | Op::Detach => 0,
        Op::Dropout { .. } => 2,
        _ => 1,
    };
    graph.nodes.iter().map(|node| of_node(&node.op) * node.shape.iter().map(length).product::<u64>()).sum()
}

/// Trained tensors of virtual tokens, their copies and gradients in the graph, and their value.
fn virtual_tokens(shape: &Decoder, recorded: &RecordedPlan) -> u64 {
    let Some(tokens) = &recorded.plan.virtual_tokens else { return 0 };
    let graph = recorded.virtual_tokens.as_ref().map_or(0, |graph| values(graph, 1));
    trained(&tokens.params) + FULL * (2 * graph + 4 * (tokens.count * tokens.width(shape)) as u64)
}

/// The first layer whose graph is kept: one that has something trained in it, or below it.
fn first_tracked(shape: &Decoder, recorded: &RecordedPlan, all: &[Weight]) -> u64 {
    if recorded.plan.virtual_tokens.is_some() {
        return 0;
    }
    let is_trained = |name: &str| recorded.plan.weights.get(name).is_some_and(|plan| *plan != WeightPlan::Frozen);
    let layer = |weight: &Weight| match weight.layer {
        Some(layer) => layer,
        None if weight.role.is_embedding() => 0,
        None => shape.num_hidden_layers,
    };
    let trained = all.iter().filter(|weight| is_trained(&weight.name));
    trained.map(layer).min().unwrap_or(shape.num_hidden_layers) as u64
}
