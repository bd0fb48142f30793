//! Recorded graphs at a site: every operation's value and derivative, parameters' beginnings, graphs gone wrong.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use tunebench_model::{DropoutKey, Error, ReferenceModel, Tuning};
use tunebench_spec::graph::DType as Precision;
use tunebench_spec::plan::{RecordedPlan, SiteGraphs};
use tunebench_spec::{Dim, Init, Op, ParamSpec, WeightPlan};
use tunebench_testkit::compare::flat;
use tunebench_testkit::golden::{Rows, model};
use tunebench_testkit::methods::{ALL, adapted, dora, full, lora};
use tunebench_testkit::record::{Record, param};

const WEIGHT: &str = "model.layers.0.mlp.up_proj.weight";
const LINEAR: [usize; 2] = [56, 32];

/// `base(x) + f(x Aᵀ) Bᵀ` at one weight.
fn through(f: impl Fn(&mut Record<'_>, usize) -> usize) -> RecordedPlan {
    let params = vec![
        param("lora_A", &[4, 32], Init::Uniform { low: -0.2, high: 0.2 }),
        param("lora_B", &[56, 4], Init::Normal { mean: 0.1, std: 0.2 }),
    ];
    let mut graph = Record::new(LINEAR, &params);
    let x = graph.op(Op::Input, &[]);
    let base = graph.op(Op::Base, &[x]);
    let (a, b) = (graph.param("lora_A"), graph.param("lora_B"));
    let (a, b) = (graph.op(Op::Transpose, &[a]), graph.op(Op::Transpose, &[b]));
    let low = graph.op(Op::Matmul, &[x, a]); // [t, 4]
    let mid = f(&mut graph, low);
    let up = graph.op(Op::Matmul, &[mid, b]);
    let y = graph.op(Op::Add, &[base, up]);
    let forward = graph.finish(y);
    at_site(params, SiteGraphs { forward, merge: None, inits: BTreeMap::new() })
}

/// Records something done to a node.
type Apply = fn(&mut Record<'_>, usize) -> usize;

fn at_site(params: Vec<ParamSpec>, graphs: SiteGraphs) -> RecordedPlan {
    let mut recorded = RecordedPlan { graphs: vec![graphs], ..RecordedPlan::default() };
    recorded.sites.insert(WEIGHT.into(), 0);
    recorded.plan.weights.insert(WEIGHT.into(), WeightPlan::Adapted { params });
    recorded
}

fn built(recorded: RecordedPlan) -> ReferenceModel {
    let (shape, weights) = model("tiny");
    let tuning = Tuning::init(&shape, &weights, recorded, 3).unwrap();
    ReferenceModel::new(&shape, &weights, &tuning, &Device::Cpu).unwrap()
}

fn draw(step: u64, rows: &[u64]) -> DropoutKey {
    DropoutKey::new(11, step, rows.to_vec())
}

#[test]
fn the_loss_falls_by_what_the_gradient_of_each_operation_says() {
    let operations: [(&str, Apply); 20] = [
        ("gelu", |g, x| g.op(Op::Gelu, &[x])),
        ("silu", |g, x| g.op(Op::Silu, &[x])),
        ("relu", |g, x| g.op(Op::Relu, &[x])),
        ("sigmoid", |g, x| g.op(Op::Sigmoid, &[x])),
        ("tanh", |g, x| g.op(Op::Tanh, &[x])),
        ("exp", |g, x| g.op(Op::Exp, &[x])),
        ("sqrt", |g, x| {
            let square = g.op(Op::Mul, &[x, x]);
            let above = g.op(Op::Offset { by: 0.5 }, &[square]);
            g.op(Op::Sqrt, &[above])
        }),
        ("scale", |g, x| g.op(Op::Scale { by: -1.7 }, &[x])),
        ("offset", |g, x| g.op(Op::Offset { by: 0.3 }, &[x])),
        ("add", |g, x| g.op(Op::Add, &[x, x])),
        ("sub", |g, x| {
            let mean = g.op(Op::Mean { axis: 1 }, &[x]);
            g.op(Op::Sub, &[x, mean])
        }),
        ("mul", |g, x| g.op(Op::Mul, &[x, x])),
        ("div", |g, x| {
            let one = g.op(Op::Sigmoid, &[x]);
            g.op(Op::Div, &[x, one])
        }),
        ("sum", |g, x| {
            let sum = g.op(Op::Sum { axis: 1 }, &[x]);
            g.op(Op::Mul, &[x, sum])
        }),
        ("norm", |g, x| {
            let norm = g.op(Op::Norm { axis: 1 }, &[x]);
            g.op(Op::Mul, &[x, norm])
        }),
        ("transpose", |g, x| {
            let turned = g.op(Op::Transpose, &[x]);
            g.op(Op::Transpose, &[turned])
        }),
        ("reshape", |g, x| {
            let pairs = g.op(Op::Reshape { shape: vec![Dim::TOKENS, Dim::Fixed(2), Dim::Fixed(2)] }, &[x]);
            let sum = g.op(Op::Sum { axis: 2 }, &[pairs]);
            let scaled = g.op(Op::Mul, &[pairs, sum]);
            g.op(Op::Reshape { shape: vec![Dim::TOKENS, Dim::Fixed(4)] }, &[scaled])
        }),
        ("detach", |g, x| {
            let fixed = g.op(Op::Detach, &[x]);
            g.op(Op::Add, &[x, fixed])
        }),
        ("weight", |g, x| {
            let weight = g.op(Op::Weight, &[]);
            let a = g.param("lora_A");
            let a = g.op(Op::Transpose, &[a]);
            let product = g.op(Op::Matmul, &[weight, a]); // [56, 4]
            let norm = g.op(Op::Norm { axis: 0 }, &[product]); // [1, 4]
            g.op(Op::Mul, &[x, norm])
        }),
        ("dropout", |g, x| g.op(Op::Dropout { p: 0.4 }, &[x])),
    ];
    let (batch, targets) = Rows::tiny().batch();
    let draw = draw(0, &[0, 1, 2]);
    for (name, f) in operations {
        let model = built(through(f));
        let (loss, gradients) = model.loss_and_gradients(&batch, &targets, &draw).unwrap();
        let gradient = &gradients[&format!("{}.lora_A", WEIGHT.strip_suffix(".weight").unwrap())];
        let square: f64 = flat(gradient).iter().map(|g| f64::from(*g).powi(2)).sum();
        assert!(square > 1e-4, "{name}: hardly a gradient");
        // A central difference along the gradient.
        let by = 0.01 / square;
        let var = &model.params()[&format!("{}.lora_A", WEIGHT.strip_suffix(".weight").unwrap())].var;
        let start = var.as_detached_tensor().copy().unwrap();
        let moved = |by: f64| {
            var.set(&(&start + (gradient * by).unwrap()).unwrap()).unwrap();
            model.loss_and_gradients(&batch, &targets, &draw).unwrap().0
        };
        let slope = (moved(by) - moved(-by)) / 0.02;
        // Half of what `detach` adds up moves without a gradient.
        let expected = if name == "detach" { 2.0 } else { 1.0 };
        assert!((slope - expected).abs() < 0.03, "{name}: slope {slope}, loss {loss}");
    }
}

#[test]
fn casts_round_values_and_pass_gradients() {
    let model = |f: Apply| built(through(f));
    let (batch, targets) = Rows::tiny().batch();
    let exact = model(|_, x| x).loss(&batch, &targets).unwrap();
    let casts: [(Apply, f64); 2] = [
        (|g, x| g.op(Op::Cast { dtype: Precision::BF16 }, &[x]), 1e-2),
        (|g, x| g.op(Op::Cast { dtype: Precision::F16 }, &[x]), 1e-3),
    ];
    for (cast, apart) in casts {
        let model = model(cast);
        let (loss, gradients) = model.loss_and_gradients(&batch, &targets, &draw(0, &[0, 1, 2])).unwrap();
        assert!(loss != exact && (loss / exact - 1.0).abs() < apart);
        assert!(gradients.values().all(|g| flat(g).iter().any(|v| *v != 0.0)));
    }
}

#[test]
fn dropout_depends_on_the_example_not_on_the_batch_around_it() {
    let (shape, weights) = model("tiny");
    let tuning = Tuning::init(&shape, &weights, adapted(&shape, &ALL, dora, 0.3), 5).unwrap();
    let values = tuning.values().clone().into_iter().map(|(name, v)| {
        let v = if name.ends_with("lora_B") { (v + 0.1).unwrap() } else { v };
        (name, v)
    });
    let tuning = Tuning::new(&shape, tuning.recorded().clone(), values.collect()).unwrap();
    let model = ReferenceModel::new(&shape, &weights, &tuning, &Device::Cpu).unwrap();
    let rows = Rows::tiny();
    let (batch, targets) = rows.batch();
    let loss = |draw: &DropoutKey| model.loss_and_gradients(&batch, &targets, draw).unwrap().0;
    let whole = loss(&draw(4, &[7, 8, 9]));
    assert_eq!(whole, loss(&draw(4, &[7, 8, 9])), "the same draws");
    assert!((whole - loss(&draw(5, &[7, 8, 9]))).abs() > 1e-3, "another step");
    assert!((whole - model.loss(&batch, &targets).unwrap()).abs() > 1e-3, "none in evaluation");
    let pieces = [(2, 9), (0, 7), (1, 8)].map(|(row, number): (usize, u64)| {
        let one = Rows { tokens: vec![rows.tokens[row].clone()], is_label: vec![rows.is_label[row].clone()] };
        let (batch, targets) = one.batch();
        model.loss_and_gradients(&batch, &targets, &draw(4, &[number])).unwrap().0
    });
    assert!((pieces.iter().sum::<f64>() / whole - 1.0).abs() < 1e-6);
}

#[test]
fn parameters_begin_as_their_plan_says_and_the_same_for_the_same_seed() {
    let (shape, weights) = model("tiny");
    let begin = |seed| Tuning::init(&shape, &weights, adapted(&shape, &["q_proj"], lora, 0.0), seed).unwrap();
    let (first, again, other) = (begin(1), begin(1), begin(2));
    let name = "model.layers.1.self_attn.q_proj.lora_A";
    let values = flat(&first.values()[name]);
    assert_eq!(values, flat(&again.values()[name]));
    assert_ne!(values, flat(&other.values()[name]));
    assert_ne!(values, flat(&first.values()["model.layers.0.self_attn.q_proj.lora_A"]));
    // kaiming_uniform_(a = √5) over fan-in 32: within ±1/√32, and nearly to its ends.
    let bound = 1.0 / 32f32.sqrt();
    let largest = values.iter().fold(0f32, |m, v| m.max(v.abs()));
    assert!(largest <= bound && largest > 0.9 * bound, "{largest} of {bound}");
    assert!(flat(&first.values()["model.layers.1.self_attn.q_proj.lora_B"]).iter().all(|v| *v == 0.0));

    let all = Tuning::init(&shape, &weights, full(&shape), 1).unwrap();
    assert_eq!(all.values().len(), shape.weights().len());
}

/// Changes to a sound plan, and what the refusal must mention.
#[test]
fn plans_and_graphs_that_do_not_fit_are_refused() {
    type Spoil = fn(&mut RecordedPlan);
    fn params(r: &mut RecordedPlan) -> &mut Vec<ParamSpec> {
        match r.plan.weights.get_mut(WEIGHT) {
            Some(WeightPlan::Adapted { params }) => params,
            _ => unreachable!(),
        }
    }
    let cases: [(Spoil, &str); 16] = [
        (|r| r.graphs[0].forward.nodes[1].inputs = vec![99], "not before it"),
        (|r| r.graphs[0].forward.nodes[1].inputs = vec![1], "not before it"),
        (|r| r.graphs[0].forward.nodes[1].inputs = vec![], "takes 1 inputs"),
        (|r| r.graphs[0].forward.output = 99, "not before it"),
        (|r| r.graphs[0].forward.output = 0, "the result is [t, 32]"),
        (|r| r.graphs[0].forward.nodes[0].shape = vec![Dim::Fixed(1)], "node 0 yields"),
        (|r| r.graphs[0].forward.nodes[2].op = Op::Param { name: "lora_C".into() }, "no parameter `lora_C`"),
        (
            |r| r.graphs[0].forward.nodes[4].op = Op::Reshape { shape: vec![Dim::Fixed(usize::MAX); 3] },
            "changes the number",
        ),
        (|r| r.graphs[0].forward.nodes[4].op = Op::Mean { axis: 9 }, "no such axis"),
        (|r| r.graphs[0].forward.nodes = vec![r.graphs[0].forward.nodes[0].clone(); 5000], "5000 operations"),
        (|r| r.graphs[0].merge = Some(r.graphs[0].forward.clone()), "where there is none"),
        (|r| *r.sites.get_mut(WEIGHT).unwrap() = 7, "no maths was recorded"),
        (|r| params(r)[0].name = "weight".into(), "reserved"),
        (|r| params(r)[0].shape = vec![usize::MAX, 2], "impossible shape"),
        (|r| params(r)[1].init = Init::Computed, "no maths says how"),
        (
            |r| {
                let plan = r.plan.weights.remove(WEIGHT).unwrap();
                r.plan.weights.insert("model.norm.weight".into(), plan);
            },
            "only linear weights",
        ),
    ];
    let (shape, weights) = model("tiny");
    for (i, (spoil, expected)) in cases.into_iter().enumerate() {
        let mut recorded = through(|_, x| x);
        spoil(&mut recorded);
        let error = Tuning::init(&shape, &weights, recorded, 0).unwrap_err().to_string();
        assert!(error.contains(expected), "case {i}: {error}");
        assert!(error.contains("model."), "case {i} does not name the weight: {error}");
    }
}

#[test]
fn trained_values_that_do_not_fit_the_plan_are_refused() {
    let (shape, weights) = model("tiny");
    let recorded = adapted(&shape, &["q_proj"], lora, 0.0);
    let good = Tuning::init(&shape, &weights, recorded.clone(), 0).unwrap().values().clone();
    let name = "model.layers.0.self_attn.q_proj.lora_A".to_string();
    let zeros = |dims: &[usize]| Tensor::zeros(dims, candle_core::DType::F32, &Device::Cpu).unwrap();

    let mut missing = good.clone();
    missing.remove(&name);
    assert!(matches!(Tuning::new(&shape, recorded.clone(), missing), Err(Error::Missing { name: n, .. }) if n == name));
    let mut wrong = good.clone();
    wrong.insert(name.clone(), zeros(&[4, 31]));
    assert!(matches!(Tuning::new(&shape, recorded.clone(), wrong), Err(Error::Shape { name: n, .. }) if n == name));
    let mut extra = good;
    extra.insert("lora_C".into(), zeros(&[1]));
    assert!(matches!(Tuning::new(&shape, recorded, extra), Err(Error::Unexpected { name: n, .. }) if n == "lora_C"));

    // Without a merge the adaptation cannot be folded in.
    let tuning = Tuning::init(&shape, &weights, through(|_, x| x), 0).unwrap();
    assert!(tuning.merge(&shape, weights).unwrap_err().to_string().contains("cannot fold"));
}
