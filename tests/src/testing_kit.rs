//! The authors' kit of plugin-api computes what the engine computes, and refuses what the host refuses in its words.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use serde_json::{Value, json};
use tunebench_host::api::testing::{Array, Values, evaluate};
use tunebench_host::{Registry, api};
use tunebench_model::families;
use tunebench_model::graph::site;
use tunebench_spec::graph::{DType, Dim, Graph, Node, Op};
use tunebench_spec::random::Stream;
use tunebench_spec::shapes::{SiteShape, infer, name_of};
use tunebench_spec::{ParamSpec, WeightPlan};

use crate::support;

const LINEAR: [usize; 2] = [6, 8];
const TOKENS: usize = 5;

/// A graph as a tuner that calls its operations one by one.
struct Replay(Graph);

impl api::Tuner for Replay {
    const NAME: &'static str = "replay";
    const DESCRIPTION: &'static str = "";
    type Options = Value;

    fn new(graph: Value) -> api::Result<Self> {
        serde_json::from_value(graph).map(Self).map_err(|e| api::Error::new(e.to_string()))
    }

    fn plan(&self, model: &api::Model) -> api::Result<api::TunePlan> {
        Ok(api::TunePlan::frozen(model))
    }

    fn forward<'o>(&self, ops: &'o api::Ops<'o>, _: &api::Site, x: api::Tensor<'o>) -> api::Result<api::Tensor<'o>> {
        let mut values = vec![];
        for node in &self.0.nodes {
            let inputs: Vec<api::Tensor> = node.inputs.iter().map(|&i| values[i]).collect();
            values.push(match &node.op {
                Op::Input => x,
                op => ops.call(name_of(op), 1, &inputs, &serde_json::to_value(op).unwrap()),
            });
        }
        Ok(values[self.0.output])
    }
}

fn api_site([out, width]: [usize; 2], params: &[(&str, &[usize])]) -> api::Site {
    let (name, module) = ("model.layers.0.mlp.up_proj.weight".into(), "mlp.up_proj".into());
    let weight =
        api::Weight { name, shape: vec![out, width], layer: Some(0), module, linear: true, role: String::new() };
    let params = params.iter().map(|(name, shape)| api::Param::new(name, *shape, api::Init::Zeros)).collect();
    api::Site { weight, params }
}

/// Outputs and gradients of both, for random numbers; `apart` is how far they may differ, of the largest value.
fn compare(what: &str, graph: &Graph, linear: [usize; 2], params: &[(&str, &[usize])], apart: f64) {
    let draw = |name: &str, shape: &[usize]| {
        let mut random = Stream::named(7, name);
        // f32 numbers, so that both begin with the same.
        let data = (0..shape.iter().product()).map(|_| f64::from(0.5 * random.normal() as f32)).collect();
        Array::new(shape, data).unwrap()
    };
    let named = params.iter().map(|(name, shape)| ((*name).to_owned(), draw(name, shape)));
    let [out, width] = linear;
    let values = Values { x: draw("x", &[TOKENS, width]), weight: draw("weight", &linear), params: named.collect() };
    let upstream = draw("upstream", &[TOKENS, out]);
    let kit = evaluate(&Replay(graph.clone()), &api_site(linear, params), &values, &upstream).unwrap();

    let tensor = |array: &Array| {
        let data: Vec<f32> = array.data.iter().map(|v| *v as f32).collect();
        Tensor::from_vec(data, array.shape.clone(), &Device::Cpu).unwrap()
    };
    let tensors: BTreeMap<String, Tensor> = values.params.iter().map(|(n, a)| (n.clone(), tensor(a))).collect();
    let engine =
        site::evaluate(graph, &tensor(&values.x), &tensor(&values.weight), &tensors, &tensor(&upstream)).unwrap();

    let check = |part: &str, found: &Array, expected: Option<&Tensor>| {
        let expected = match expected {
            Some(t) => t.flatten_all().unwrap().to_vec1::<f32>().unwrap(),
            None => vec![0.0; found.data.len()],
        };
        assert_eq!(expected.len(), found.data.len(), "{what}: {part}");
        let largest = expected.iter().fold(1e-3, |most: f64, v| most.max(f64::from(v.abs())));
        for (found, expected) in found.data.iter().zip(expected) {
            let difference = (found - f64::from(expected)).abs() / largest;
            assert!(difference <= apart, "{what}: {part}: the kit has {found}, the engine {expected}");
        }
    };
    check("output", &kit.output, Some(&engine.output));
    check("gradient of x", &kit.x_gradient, engine.x_gradient.as_ref());
    assert_eq!(kit.gradients.len(), params.len());
    for (name, gradient) in &kit.gradients {
        check(&format!("gradient of {name}"), gradient, engine.gradients.get(name));
    }
}

const PARAMS: [(&str, &[usize]); 2] = [("a", &[4, 8]), ("b", &[6, 4])];

/// Records as the host does, at the site of [`LINEAR`] and [`PARAMS`].
#[derive(Default)]
struct Record(Vec<Node>);

impl Record {
    fn op(&mut self, op: Op, inputs: &[usize]) -> usize {
        let shape = self.try_op(&op, inputs).unwrap();
        self.push(op, inputs, shape)
    }

    fn try_op(&self, op: &Op, inputs: &[usize]) -> Result<Vec<Dim>, String> {
        let shapes: Vec<&[Dim]> = inputs.iter().map(|&i| self.0[i].shape.as_slice()).collect();
        let [out_features, in_features] = LINEAR;
        infer(op, &shapes, &SiteShape { out_features, in_features, params: PARAMS.to_vec() })
    }

    fn push(&mut self, op: Op, inputs: &[usize], shape: Vec<Dim>) -> usize {
        self.0.push(Node { op, inputs: inputs.to_vec(), shape });
        self.0.len() - 1
    }

    fn param(&mut self, name: &str) -> usize {
        self.op(Op::Param { name: name.into() }, &[])
    }
}

/// Every operation, once or for each of its ways.
fn operations() -> Vec<Op> {
    let pairs = vec![Dim::TOKENS, Dim::Fixed(2), Dim::Fixed(2)];
    let casts = [DType::F32, DType::F16, DType::BF16].map(|dtype| Op::Cast { dtype });
    let reductions = [Op::Sum { axis: 1 }, Op::Mean { axis: 1 }, Op::Norm { axis: 1 }];
    let unary = [Op::Gelu, Op::Silu, Op::Relu, Op::Sigmoid, Op::Tanh, Op::Exp, Op::Sqrt, Op::Detach];
    let others = [
        Op::Input,
        Op::Base,
        Op::Weight,
        Op::Param { name: "b".into() },
        Op::Matmul,
        Op::Add,
        Op::Sub,
        Op::Mul,
        Op::Div,
        Op::Scale { by: -1.7 },
        Op::Offset { by: 0.3 },
        Op::Transpose,
        Op::Reshape { shape: pairs },
        Op::Dropout { p: 0.4 },
    ];
    casts.into_iter().chain(reductions).chain(unary).chain(others).collect()
}

/// `base(x) + f(x aᵀ) bᵀ` with an operation in `f`; a new one has no arm here, and then none in the kit.
fn through(op: &Op) -> Graph {
    let mut record = Record::default();
    let g = &mut record;
    let x = g.op(Op::Input, &[]);
    let base = g.op(Op::Base, &[x]);
    let (a, b) = (g.param("a"), g.param("b"));
    let (a, b) = (g.op(Op::Transpose, &[a]), g.op(Op::Transpose, &[b]));
    let low = g.op(Op::Matmul, &[x, a]); // [t, 4]
    let mid = match op {
        // Those are in every graph here.
        Op::Input | Op::Base | Op::Param { .. } | Op::Matmul => low,
        Op::Weight => {
            let weight = g.op(Op::Weight, &[]);
            let product = g.op(Op::Matmul, &[weight, a]); // [6, 4]
            let row = g.op(Op::Mean { axis: 0 }, &[product]); // [1, 4]
            g.op(Op::Mul, &[low, row])
        }
        // [t, 4] with [t, 1], both ways.
        Op::Add | Op::Sub | Op::Mul | Op::Div => {
            let one = g.op(Op::Norm { axis: 1 }, &[low]);
            let first = g.op(op.clone(), &[low, one]);
            let second = g.op(op.clone(), &[one, low]);
            let second = g.op(Op::Tanh, &[second]);
            g.op(Op::Mul, &[first, second])
        }
        Op::Sum { .. } | Op::Mean { .. } | Op::Norm { .. } => {
            let reduced = g.op(op.clone(), &[low]);
            g.op(Op::Mul, &[low, reduced])
        }
        Op::Transpose => {
            let turned = g.op(Op::Transpose, &[low]);
            g.op(Op::Transpose, &[turned])
        }
        Op::Reshape { .. } => {
            let pairs = g.op(op.clone(), &[low]); // [t, 2, 2]
            let sum = g.op(Op::Sum { axis: 1 }, &[pairs]); // [t, 1, 2]
            let scaled = g.op(Op::Mul, &[pairs, sum]);
            g.op(Op::Reshape { shape: vec![Dim::TOKENS, Dim::Fixed(4)] }, &[scaled])
        }
        Op::Sqrt => {
            let above = g.op(Op::Sigmoid, &[low]);
            g.op(Op::Sqrt, &[above])
        }
        Op::Detach => {
            let fixed = g.op(Op::Detach, &[low]);
            g.op(Op::Mul, &[low, fixed])
        }
        Op::Scale { .. } | Op::Offset { .. } | Op::Cast { .. } | Op::Dropout { .. } => g.op(op.clone(), &[low]),
        Op::Gelu | Op::Silu | Op::Relu | Op::Sigmoid | Op::Tanh | Op::Exp => g.op(op.clone(), &[low]),
    };
    let up = g.op(Op::Matmul, &[mid, b]);
    let output = g.op(Op::Add, &[base, up]);
    Graph { nodes: record.0, output }
}

#[test]
fn the_kit_computes_each_operation_as_the_engine() {
    for op in operations() {
        let apart = match op {
            // The kit does not round.
            Op::Cast { dtype: DType::BF16 } => 1e-2,
            Op::Cast { dtype: DType::F16 } => 2e-3,
            _ => 1e-5,
        };
        compare(&format!("{op:?}"), &through(&op), LINEAR, &PARAMS, apart);
    }
}

#[test]
fn the_kit_computes_recorded_tuners_as_the_engine() {
    let config = std::fs::read_to_string(support::repository("tests/golden/tiny/config.json")).unwrap();
    let shape = families::from_config_json(families::ALL, &config).unwrap();
    let mut compared = 0;
    for (file, tuner) in
        [(support::plugin("tuner-lora-all-linear"), "lora-all-linear"), (support::third_party("dora"), "dora")]
    {
        let mut registry = Registry::default();
        registry.add(&file).unwrap();
        let recorded = registry.tuner(tuner, &BTreeMap::new()).unwrap().record(&shape).unwrap();
        for weight in shape.weights() {
            let Some(WeightPlan::Adapted { params }) = recorded.plan.weights.get(&weight.name) else { continue };
            let params: Vec<(&str, &[usize])> =
                params.iter().map(|p: &ParamSpec| (p.name.as_str(), p.shape.as_slice())).collect();
            let graph = &recorded.graphs_of(&weight.name).unwrap().forward;
            compare(&format!("{tuner}: {}", weight.name), graph, [weight.shape[0], weight.shape[1]], &params, 1e-4);
            compared += 1;
        }
    }
    assert_eq!(compared, 28, "seven weights in two layers, by two tuners");
}

/// What the host refuses, the kit refuses, in the same words.
#[test]
fn the_kit_refuses_what_the_host_refuses() {
    let mut record = Record::default();
    let x = record.op(Op::Input, &[]); // [t, 8]
    let a = record.param("a"); // [4, 8]
    let turned = record.op(Op::Transpose, &[x]); // [8, t]
    let pairs = record.op(Op::Reshape { shape: vec![Dim::TOKENS, Dim::Fixed(4), Dim::Fixed(2)] }, &[x]);
    let shape = |dims: &[Dim]| Op::Reshape { shape: dims.to_vec() };
    let faults = [
        (Op::Base, vec![a, a]),
        (Op::Base, vec![turned]),
        (Op::Param { name: "c".into() }, vec![]),
        (Op::Weight, vec![x]),
        (Op::Matmul, vec![x]),
        (Op::Matmul, vec![x, a]),
        (Op::Matmul, vec![turned, x]),
        (Op::Matmul, vec![pairs, a]),
        (Op::Add, vec![x, turned]),
        (Op::Sub, vec![x, pairs]),
        (Op::Sum { axis: 0 }, vec![x]),
        (Op::Mean { axis: 1 }, vec![turned]),
        (Op::Norm { axis: 2 }, vec![x]),
        (Op::Transpose, vec![pairs]),
        (shape(&[Dim::TOKENS, Dim::Fixed(7)]), vec![x]),
        (shape(&[Dim::Fixed(usize::MAX), Dim::Fixed(2)]), vec![a]),
        (shape(&[Dim::Fixed(8), Dim::TOKENS]), vec![x]),
        (shape(&[Dim::TOKENS, Dim::Fixed(8)]), vec![turned]),
        (Op::Dropout { p: 1.0 }, vec![x]),
        (Op::Gelu, vec![x, x]),
    ];
    for (op, inputs) in faults {
        let expected = record.try_op(&op, &inputs).unwrap_err();
        let mut nodes = record.0.clone();
        nodes.push(Node { op, inputs, shape: vec![] });
        let graph = Graph { output: nodes.len() - 1, nodes };
        let zeros = |shape: &[usize]| Array::new(shape, vec![0.0; shape.iter().product()]).unwrap();
        let params = PARAMS.iter().map(|(name, shape)| ((*name).to_owned(), zeros(shape))).collect();
        let values = Values { x: zeros(&[TOKENS, LINEAR[1]]), weight: zeros(&LINEAR), params };
        let upstream = zeros(&[TOKENS, LINEAR[0]]);
        let error = evaluate(&Replay(graph), &api_site(LINEAR, &PARAMS), &values, &upstream).unwrap_err();
        assert_eq!(error.message(), expected, "{}", json!(expected));
    }
}
