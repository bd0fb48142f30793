//! Shared by the tests of `llama` and `train`: golden models, LoRA and DoRA recorded by hand, comparisons.
#![allow(dead_code, clippy::unwrap_used)] // each test binary uses its part, and fails by panicking

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use candle_core::{DType, Device, Tensor};
use serde_json::Value;
use tunebench_model::{Batch, Targets, Weights, open};
use tunebench_spec::graph::{DType as Precision, Dim, Graph, Node, Op};
use tunebench_spec::plan::{RecordedPlan, SiteGraphs};
use tunebench_spec::shapes::{SiteShape, infer};
use tunebench_spec::{Decoder, Init, ParamSpec, TunePlan, VirtualKind, VirtualTokens, WeightPlan};

/// Rank and alpha/rank of the golden adapters.
pub const RANK: usize = 4;
pub const SCALE: f64 = 2.0;

pub fn golden(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(path)
}

pub fn model(folder: &str) -> (Decoder, Weights) {
    let source = open(&golden(folder)).unwrap();
    (source.shape.clone(), source.weights().unwrap())
}

pub fn tensors(path: &str) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(golden(path), &Device::Cpu).unwrap()
}

pub fn json(path: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(golden(path)).unwrap()).unwrap()
}

/// The tensors of a fixture file whose names begin with `prefix`, which is cut off.
pub fn section(path: &str, prefix: &str) -> BTreeMap<String, Tensor> {
    let all = tensors(path).into_iter();
    let found: BTreeMap<_, _> =
        all.filter_map(|(name, t)| name.strip_prefix(prefix).map(|n| (n.to_string(), t.clone()))).collect();
    assert!(!found.is_empty(), "{path} has nothing that begins with {prefix}");
    found
}

/// Rows of tokens and label marks, cut to their lengths.
pub struct Rows {
    pub tokens: Vec<Vec<u32>>,
    pub is_label: Vec<Vec<bool>>,
}

impl Rows {
    /// From `ids`, `labels` and `mask`, all `[b, t]`, right-padded.
    pub fn new(ids: &Tensor, labels: &Tensor, mask: &Tensor) -> Self {
        let read = |t: &Tensor| t.to_dtype(DType::I64).unwrap().to_vec2::<i64>().unwrap();
        let (ids, labels, mask) = (read(ids), read(labels), read(mask));
        let lengths: Vec<usize> = mask.iter().map(|row| row.iter().sum::<i64>() as usize).collect();
        let cut = |rows: &[Vec<i64>], f: fn(&i64) -> u32| -> Vec<Vec<u32>> {
            rows.iter().zip(&lengths).map(|(row, n)| row[..*n].iter().map(f).collect()).collect()
        };
        let marks = cut(&labels, |l| u32::from(*l != -100));
        Self {
            tokens: cut(&ids, |i| *i as u32),
            is_label: marks.into_iter().map(|row| row.into_iter().map(|m| m == 1).collect()).collect(),
        }
    }

    /// The batch that logits, losses and gradients of `tiny` are given for.
    pub fn tiny() -> Self {
        let all = tensors("tiny/fixtures.safetensors");
        Self::new(&all["input_ids"], &all["labels"], &all["attention_mask"])
    }

    pub fn batch(&self) -> (Batch, Targets) {
        let batch = Batch::right_padded(&self.tokens).unwrap();
        let targets = Targets::new(&batch, &self.is_label).unwrap();
        (batch, targets)
    }
}

/// Records a graph as the host would.
pub struct Record<'a> {
    pub site: SiteShape<'a>,
    nodes: Vec<Node>,
}

impl<'a> Record<'a> {
    pub fn new([out_features, in_features]: [usize; 2], params: &'a [ParamSpec]) -> Self {
        let params = params.iter().map(|p| (p.name.as_str(), p.shape.as_slice())).collect();
        Self { site: SiteShape { out_features, in_features, params }, nodes: vec![] }
    }

    pub fn op(&mut self, op: Op, inputs: &[usize]) -> usize {
        let shapes: Vec<&[Dim]> = inputs.iter().map(|&i| self.nodes[i].shape.as_slice()).collect();
        let shape = infer(&op, &shapes, &self.site).unwrap();
        self.nodes.push(Node { op, inputs: inputs.to_vec(), shape });
        self.nodes.len() - 1
    }

    pub fn param(&mut self, name: &str) -> usize {
        self.op(Op::Param { name: name.into() }, &[])
    }

    pub fn finish(self, output: usize) -> Graph {
        Graph { nodes: self.nodes, output }
    }
}

pub fn param(name: &str, shape: &[usize], init: Init) -> ParamSpec {
    ParamSpec { name: name.into(), shape: shape.to_vec(), dtype: Precision::F32, init, lr_scale: 1.0 }
}

/// Parameters and maths of one way to adapt a weight `[out, in]`.
pub type Method = fn([usize; 2], f64) -> (Vec<ParamSpec>, SiteGraphs);

/// `s B A`, `[out, in]`.
fn delta(record: &mut Record<'_>) -> usize {
    let (b, a) = (record.param("lora_B"), record.param("lora_A"));
    let product = record.op(Op::Matmul, &[b, a]);
    record.op(Op::Scale { by: SCALE }, &[product])
}

/// `W x + s B A dropout(x)`, `[t, out]`.
fn low_rank(record: &mut Record<'_>, dropout: f64) -> usize {
    let x = record.op(Op::Input, &[]);
    let base = record.op(Op::Base, &[x]);
    let x = if dropout > 0.0 { record.op(Op::Dropout { p: dropout }, &[x]) } else { x };
    let (a, b) = (record.param("lora_A"), record.param("lora_B"));
    let (at, bt) = (record.op(Op::Transpose, &[a]), record.op(Op::Transpose, &[b]));
    let low = record.op(Op::Matmul, &[x, at]);
    let up = record.op(Op::Matmul, &[low, bt]);
    let scaled = record.op(Op::Scale { by: SCALE }, &[up]);
    record.op(Op::Add, &[base, scaled])
}

fn lora_params([out, wide]: [usize; 2]) -> Vec<ParamSpec> {
    let a = param("lora_A", &[RANK, wide], Init::KaimingUniform { a: 5f64.sqrt() });
    vec![a, param("lora_B", &[out, RANK], Init::Zeros)]
}

pub fn lora(weight: [usize; 2], dropout: f64) -> (Vec<ParamSpec>, SiteGraphs) {
    let params = lora_params(weight);
    let mut forward = Record::new(weight, &params);
    let y = low_rank(&mut forward, dropout);
    let forward = forward.finish(y);
    let mut merge = Record::new(weight, &params);
    let delta = delta(&mut merge);
    let base = merge.op(Op::Weight, &[]);
    let sum = merge.op(Op::Add, &[base, delta]);
    let merge = Some(merge.finish(sum));
    (params, SiteGraphs { forward, merge, inits: BTreeMap::new() })
}

/// DoRA (Liu et al. 2024) as PEFT computes it: the row norms that divide the magnitudes get no gradient.
pub fn dora(weight @ [out, _]: [usize; 2], dropout: f64) -> (Vec<ParamSpec>, SiteGraphs) {
    let mut params = lora_params(weight);
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
        let delta = delta(graph);
        let adapted = graph.op(Op::Add, &[w, delta]);
        let norm = graph.op(Op::Norm { axis: 1 }, &[adapted]);
        let norm = graph.op(Op::Detach, &[norm]);
        let norm = graph.op(Op::Reshape { shape: vec![Dim::Fixed(out)] }, &[norm]);
        let magnitude = graph.param("lora_magnitude_vector");
        (adapted, graph.op(Op::Div, &[magnitude, norm]))
    };
    let mut forward = Record::new(weight, &params);
    let sum = low_rank(&mut forward, dropout);
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

pub const ATTENTION: [&str; 4] = ["q_proj", "k_proj", "v_proj", "o_proj"];
pub const ALL: [&str; 7] = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

/// `method` at every linear weight of the layers named in `targets`, the rest frozen.
pub fn adapted(shape: &Decoder, targets: &[&str], method: Method, dropout: f64) -> RecordedPlan {
    let mut recorded = RecordedPlan::default();
    for weight in shape.weights() {
        let target = weight.name.strip_suffix(".weight").unwrap().rsplit('.').next().unwrap();
        if !targets.contains(&target) {
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

pub const METHODS: [&str; 4] = ["ft", "lora_attention", "lora_all_linear", "dora"];

pub fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

pub fn bits(tensor: &Tensor) -> Vec<u32> {
    flat(tensor).into_iter().map(f32::to_bits).collect()
}

/// Largest difference, relative to the largest expected value (at least 1e-3 of a unit).
pub fn error(found: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(found.dims(), expected.dims());
    let (found, expected) = (flat(found), flat(expected));
    let largest = expected.iter().fold(1e-3, |m, v| f64::from(v.abs()).max(m));
    let apart = found.iter().zip(&expected).map(|(f, e)| f64::from((f - e).abs()));
    apart.fold(0.0, |m, d| if d.is_nan() { f64::INFINITY } else { m.max(d) }) / largest
}

/// Fails unless every tensor of `expected` is in `found`, within the tolerance of its name, and there is no other.
pub fn assert_all_close(
    what: &str,
    found: &BTreeMap<String, Tensor>,
    expected: &BTreeMap<String, Tensor>,
    tolerance: fn(&str) -> f64,
) {
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{what}: names");
    let errors = expected.iter().map(|(name, e)| (error(&found[name], e), name));
    let errors: Vec<_> = errors.filter(|(error, name)| *error > tolerance(name)).collect();
    assert!(errors.is_empty(), "{what}: relative to the largest element off by {errors:?}");
}
