//! Full fine-tuning, LoRA, DoRA, (IA)³ and virtual tokens, recorded by hand: a second opinion on what the plugins record.

use std::collections::BTreeMap;

use tunebench_spec::graph::{Dim, Op};
use tunebench_spec::plan::{RecordedPlan, SiteGraphs};
use tunebench_spec::{Decoder, Init, ParamSpec, TunePlan, VirtualKind, VirtualTokens, WeightPlan};

use crate::record::{Record, param};

/// Rank and alpha/rank of the golden adapters.
pub const RANK: usize = 4;
pub const SCALE: f64 = 2.0;
/// Rank of [`wide_lora`] and [`wide_dora`].
const WIDE_RANK: usize = 48;

/// Parameters and graphs of one way to adapt a weight `[out, in]`.
pub type Method = fn([usize; 2], f64) -> (Vec<ParamSpec>, SiteGraphs);

/// `s B A`, `[out, in]`.
fn delta(record: &mut Record<'_>, scale: f64) -> usize {
    let (b, a) = (record.param("lora_B"), record.param("lora_A"));
    let product = record.op(Op::Matmul, &[b, a]);
    record.op(Op::Scale { by: scale }, &[product])
}

/// `W x + s B A dropout(x)`, `[t, out]`.
fn low_rank(record: &mut Record<'_>, scale: f64, dropout: f64) -> usize {
    let x = record.op(Op::Input, &[]);
    let base = record.op(Op::Base, &[x]);
    let x = if dropout > 0.0 { record.op(Op::Dropout { p: dropout }, &[x]) } else { x };
    let (a, b) = (record.param("lora_A"), record.param("lora_B"));
    let (at, bt) = (record.op(Op::Transpose, &[a]), record.op(Op::Transpose, &[b]));
    let low = record.op(Op::Matmul, &[x, at]);
    let up = record.op(Op::Matmul, &[low, bt]);
    let scaled = record.op(Op::Scale { by: scale }, &[up]);
    record.op(Op::Add, &[base, scaled])
}

fn lora_params([out, wide]: [usize; 2], rank: usize) -> Vec<ParamSpec> {
    let a = param("lora_A", &[rank, wide], Init::KaimingUniform { a: 5f64.sqrt() });
    vec![a, param("lora_B", &[out, rank], Init::Zeros)]
}

/// LoRA (Hu et al. 2021), `W x + s B A dropout(x)`.
pub fn lora(weight: [usize; 2], dropout: f64) -> (Vec<ParamSpec>, SiteGraphs) {
    scaled_lora(weight, RANK, SCALE, dropout)
}

/// The same with so many numbers that ranks have something to divide.
pub fn wide_lora(weight: [usize; 2], dropout: f64) -> (Vec<ParamSpec>, SiteGraphs) {
    scaled_lora(weight, WIDE_RANK, SCALE, dropout)
}

/// The same scaled by alpha over the rank's root (Kalajdzievski 2023).
pub fn rslora(weight: [usize; 2], dropout: f64) -> (Vec<ParamSpec>, SiteGraphs) {
    scaled_lora(weight, RANK, SCALE * (RANK as f64).sqrt(), dropout)
}

fn scaled_lora(weight: [usize; 2], rank: usize, scale: f64, dropout: f64) -> (Vec<ParamSpec>, SiteGraphs) {
    let params = lora_params(weight, rank);
    let mut forward = Record::new(weight, &params);
    let y = low_rank(&mut forward, scale, dropout);
    let forward = forward.finish(y);
    let mut merge = Record::new(weight, &params);
    let delta = delta(&mut merge, scale);
    let base = merge.op(Op::Weight, &[]);
    let sum = merge.op(Op::Add, &[base, delta]);
    let merge = Some(merge.finish(sum));
    (params, SiteGraphs { forward, merge, inits: BTreeMap::new() })
}

/// DoRA (Liu et al. 2024) as PEFT computes it: the row norms that divide the magnitudes get no gradient.
pub fn dora(weight: [usize; 2], dropout: f64) -> (Vec<ParamSpec>, SiteGraphs) {
    dora_of(weight, RANK, dropout)
}

/// The same with so many numbers that ranks have something to divide.
pub fn wide_dora(weight: [usize; 2], dropout: f64) -> (Vec<ParamSpec>, SiteGraphs) {
    dora_of(weight, WIDE_RANK, dropout)
}

fn dora_of(weight @ [out, _]: [usize; 2], rank: usize, dropout: f64) -> (Vec<ParamSpec>, SiteGraphs) {
    let mut params = lora_params(weight, rank);
    let begin = |graph: &mut Record<'_>| {
        let w = graph.op(Op::Weight, &[]);
        let norm = graph.op(Op::Norm { axis: 1 }, &[w]);
        graph.op(Op::Reshape { shape: vec![Dim::Fixed(out)] }, &[norm])
    };
    let mut init = Record::new(weight, &params);
    let norms = begin(&mut init);
    let inits = BTreeMap::from([("lora_magnitude_vector".to_string(), init.finish(norms))]);
    params.push(param("lora_magnitude_vector", &[out], Init::Computed));
    // magnitude / norm of the rows of W + s B A
    let ratio = |graph: &mut Record<'_>| {
        let w = graph.op(Op::Weight, &[]);
        let delta = delta(graph, SCALE);
        let adapted = graph.op(Op::Add, &[w, delta]);
        let norm = graph.op(Op::Norm { axis: 1 }, &[adapted]);
        let norm = graph.op(Op::Detach, &[norm]);
        let norm = graph.op(Op::Reshape { shape: vec![Dim::Fixed(out)] }, &[norm]);
        let magnitude = graph.param("lora_magnitude_vector");
        (adapted, graph.op(Op::Div, &[magnitude, norm]))
    };
    let mut forward = Record::new(weight, &params);
    let sum = low_rank(&mut forward, SCALE, dropout);
    let (_, scale) = ratio(&mut forward);
    let y = forward.op(Op::Mul, &[sum, scale]);
    let forward = forward.finish(y);
    let mut merge = Record::new(weight, &params);
    let (adapted, scale) = ratio(&mut merge);
    let column = merge.op(Op::Reshape { shape: vec![Dim::Fixed(out), Dim::Fixed(1)] }, &[scale]);
    let product = merge.op(Op::Mul, &[adapted, column]);
    let merge = Some(merge.finish(product));
    (params, SiteGraphs { forward, merge, inits })
}

/// (IA)³ (Liu et al. 2022) as PEFT shapes it, the output scaled.
pub fn ia3(weight: [usize; 2], _: f64) -> (Vec<ParamSpec>, SiteGraphs) {
    scaled(weight, false)
}

/// The same with the input scaled, as at PEFT's feed-forward modules.
pub fn ia3_input(weight: [usize; 2], _: f64) -> (Vec<ParamSpec>, SiteGraphs) {
    scaled(weight, true)
}

fn scaled(weight @ [out, wide]: [usize; 2], scales_input: bool) -> (Vec<ParamSpec>, SiteGraphs) {
    let params = vec![param("ia3_l", &if scales_input { [1, wide] } else { [out, 1] }, Init::Ones)];
    let mut forward = Record::new(weight, &params);
    let (x, l) = (forward.op(Op::Input, &[]), forward.param("ia3_l"));
    let y = if scales_input {
        let scaled = forward.op(Op::Mul, &[x, l]);
        forward.op(Op::Base, &[scaled])
    } else {
        let (base, row) = (forward.op(Op::Base, &[x]), forward.op(Op::Transpose, &[l]));
        forward.op(Op::Mul, &[base, row])
    };
    let forward = forward.finish(y);
    let mut merge = Record::new(weight, &params);
    let (w, l) = (merge.op(Op::Weight, &[]), merge.param("ia3_l"));
    let merged = merge.op(Op::Mul, &[w, l]);
    let merge = Some(merge.finish(merged));
    (params, SiteGraphs { forward, merge, inits: BTreeMap::new() })
}

/// `plan`, and what `other` adapts.
pub fn both(mut plan: RecordedPlan, other: RecordedPlan) -> RecordedPlan {
    for (weight, index) in other.sites {
        plan.sites.insert(weight.clone(), index + plan.graphs.len());
        plan.plan.weights.extend(other.plan.weights.get(&weight).map(|of| (weight.clone(), of.clone())));
    }
    plan.graphs.extend(other.graphs);
    plan
}

/// The linear weights of attention, and all of a layer.
pub const ATTENTION: [&str; 4] = ["q_proj", "k_proj", "v_proj", "o_proj"];
pub const ALL: [&str; 16] = [
    "q_proj",
    "k_proj",
    "v_proj",
    "o_proj",
    "gate_proj",
    "up_proj",
    "down_proj",
    // of other families than LLaMA's
    "qkv_proj",
    "gate_up_proj",
    "out_proj",
    "fc1",
    "fc2",
    "query_key_value",
    "dense",
    "dense_h_to_4h",
    "dense_4h_to_h",
];

/// `method` at every linear weight of the layers named in `targets`, the rest frozen.
pub fn adapted(shape: &Decoder, targets: &[&str], method: Method, dropout: f64) -> RecordedPlan {
    let mut recorded = RecordedPlan::default();
    for weight in shape.weights() {
        let target = weight.name.strip_suffix(".weight").and_then(|module| module.rsplit('.').next());
        if !target.is_some_and(|target| targets.contains(&target)) {
            recorded.plan.weights.insert(weight.name, WeightPlan::Frozen);
            continue;
        }
        let (params, graphs) = method([weight.shape[0], weight.shape[1]], dropout);
        let index = recorded.graphs.iter().position(|g| *g == graphs).unwrap_or(recorded.graphs.len());
        if index == recorded.graphs.len() {
            recorded.graphs.push(graphs);
        }
        recorded.sites.insert(weight.name.clone(), index);
        recorded.plan.weights.insert(weight.name, WeightPlan::Adapted { params });
    }
    recorded
}

/// Every weight trained.
pub fn full(shape: &Decoder) -> RecordedPlan {
    let weights = shape.weights().into_iter().map(|w| (w.name, WeightPlan::Trainable { lr_scale: 1.0 })).collect();
    RecordedPlan { plan: TunePlan { weights, ..TunePlan::default() }, ..RecordedPlan::default() }
}

/// `recorded` with `VIRTUAL` tokens of this kind: trained as they are, or as `W2 relu(W1 E) + b`.
pub fn behind(mut recorded: RecordedPlan, shape: &Decoder, kind: VirtualKind, projected: bool) -> RecordedPlan {
    let mut tokens = VirtualTokens { kind, count: VIRTUAL, params: vec![] };
    let (width, init) = (tokens.width(shape), Init::Normal { mean: 0.0, std: 0.3 });
    let mlp = [("w1", vec![20, 8]), ("w2", vec![width, 20]), ("b", vec![width])];
    tokens.params.push(param("embedding", &[VIRTUAL, if projected { 8 } else { width }], init.clone()));
    tokens.params.extend(mlp.iter().filter(|_| projected).map(|(name, dims)| param(name, dims, init.clone())));
    let mut record = Record::new([0, 0], &tokens.params);
    let mut value = record.param("embedding");
    if projected {
        let [w1, w2, b] = ["w1", "w2", "b"].map(|name| record.param(name));
        let [w1, w2] = [w1, w2].map(|w| record.op(Op::Transpose, &[w]));
        value = record.op(Op::Matmul, &[value, w1]);
        value = record.op(Op::Relu, &[value]);
        value = record.op(Op::Matmul, &[value, w2]);
        value = record.op(Op::Add, &[value, b]);
    }
    recorded.virtual_tokens = Some(record.finish(value));
    recorded.plan.virtual_tokens = Some(tokens);
    recorded
}

/// Virtual tokens of the golden methods.
pub const VIRTUAL: usize = 4;

/// Nothing trained of the weights themselves.
pub fn frozen(shape: &Decoder) -> RecordedPlan {
    adapted(shape, &[], lora, 0.0)
}

/// The golden methods by the names of their files.
pub fn recorded(shape: &Decoder, method: &str) -> RecordedPlan {
    match method {
        "ft" => full(shape),
        "lora_attention" => adapted(shape, &ATTENTION, lora, 0.0),
        "lora_all_linear" => adapted(shape, &ALL, lora, 0.0),
        "dora" => adapted(shape, &ALL, dora, 0.0),
        other => panic!("no golden method {other}"),
    }
}
