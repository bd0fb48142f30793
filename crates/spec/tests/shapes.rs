//! Shape rules of the recorded operations.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use tunebench_spec::graph::{Dim, Graph, Node, Op};
use tunebench_spec::shapes::{SiteShape, check, infer};

const T: Dim = Dim::TOKENS;

fn d(n: usize) -> Dim {
    Dim::Fixed(n)
}

fn site() -> SiteShape<'static> {
    SiteShape { out_features: 6, in_features: 4, params: vec![("a", &[2, 4])] }
}

#[test]
fn operations_yield_what_numpy_would() {
    let cases: Vec<(Op, Vec<Vec<Dim>>, Vec<Dim>)> = vec![
        (Op::Input, vec![], vec![T, d(4)]),
        (Op::Base, vec![vec![T, d(4)]], vec![T, d(6)]),
        (Op::Weight, vec![], vec![d(6), d(4)]),
        (Op::Param { name: "a".into() }, vec![], vec![d(2), d(4)]),
        (Op::Matmul, vec![vec![T, d(4)], vec![d(4), d(2)]], vec![T, d(2)]),
        (Op::Add, vec![vec![T, d(6)], vec![d(6)]], vec![T, d(6)]),
        (Op::Mul, vec![vec![d(1), d(6)], vec![T, d(6)]], vec![T, d(6)]),
        (Op::Sub, vec![vec![d(3), d(1)], vec![d(1), d(5)]], vec![d(3), d(5)]),
        (Op::Norm { axis: 1 }, vec![vec![d(6), d(4)]], vec![d(6), d(1)]),
        (Op::Sum { axis: 1 }, vec![vec![T, d(4)]], vec![T, d(1)]),
        (Op::Transpose, vec![vec![d(6), d(1)]], vec![d(1), d(6)]),
        (Op::Reshape { shape: vec![d(1), d(6)] }, vec![vec![d(6)]], vec![d(1), d(6)]),
        (Op::Reshape { shape: vec![T, d(2), d(2)] }, vec![vec![T, d(4)]], vec![T, d(2), d(2)]),
        (Op::Silu, vec![vec![T, d(4)]], vec![T, d(4)]),
    ];
    for (op, inputs, expected) in cases {
        let inputs: Vec<&[Dim]> = inputs.iter().map(Vec::as_slice).collect();
        assert_eq!(infer(&op, &inputs, &site()), Ok(expected), "{op:?}");
    }
}

#[test]
fn what_does_not_fit_is_said_with_the_shapes() {
    let cases: Vec<(Op, Vec<Vec<Dim>>, &str)> = vec![
        (Op::Base, vec![vec![T, d(5)]], "[t, 5]"),
        (Op::Matmul, vec![vec![T, d(4)], vec![d(2), d(4)]], "[t, 4] and [2, 4]"),
        (Op::Matmul, vec![vec![d(4), T], vec![T, d(4)]], "[4, t] and [t, 4]"),
        (Op::Add, vec![vec![T, d(4)], vec![d(3)]], "[t, 4] with [3]"),
        (Op::Add, vec![vec![T, d(4)]], "takes 2 inputs, 1 given"),
        (Op::Sum { axis: 0 }, vec![vec![T, d(4)]], "mix tokens"),
        (Op::Norm { axis: 2 }, vec![vec![T, d(4)]], "no such axis"),
        (Op::Param { name: "b".into() }, vec![], "no parameter `b`; it has: a"),
        (Op::Reshape { shape: vec![d(5)] }, vec![vec![d(6)]], "number of elements"),
        (Op::Reshape { shape: vec![d(4), T] }, vec![vec![T, d(4)]], "token axis first"),
        (Op::Transpose, vec![vec![T, d(2), d(2)]], "two axes"),
        (Op::Dropout { p: 1.0 }, vec![vec![T, d(4)]], "0 <= p < 1"),
        (Op::Scale { by: f64::NAN }, vec![vec![T, d(4)]], "not a number"),
    ];
    for (op, inputs, expected) in cases {
        let inputs: Vec<&[Dim]> = inputs.iter().map(Vec::as_slice).collect();
        let error = infer(&op, &inputs, &site()).unwrap_err();
        assert!(error.contains(expected), "{op:?}: {error}");
    }
}

#[test]
fn a_graph_from_a_file_is_checked_before_it_runs() {
    let node = |op, inputs: Vec<usize>, shape| Node { op, inputs, shape };
    let good = Graph {
        nodes: vec![node(Op::Input, vec![], vec![T, d(4)]), node(Op::Base, vec![0], vec![T, d(6)])],
        output: 1,
    };
    let out = [T, d(6)];
    assert_eq!(check(&good, &site(), &out), Ok(()));
    let json = serde_json::to_string(&good).unwrap();
    assert_eq!(serde_json::from_str::<Graph>(&json).unwrap(), good);

    let mut forward = good.clone();
    forward.nodes[1].inputs = vec![1];
    let mut outside = good.clone();
    outside.output = 9;
    let mut lying = good.clone();
    lying.nodes[1].shape = vec![T, d(7)];
    for bad in [forward, outside, lying] {
        assert!(check(&bad, &site(), &out).is_err(), "{bad:?}");
    }
    assert!(check(&good, &site(), &[T, d(4)]).is_err());
}

#[test]
fn without_a_weight_there_are_only_parameters() {
    let site = SiteShape::without_weight(vec![("a", &[2, 4])]);
    assert_eq!(infer(&Op::Param { name: "a".into() }, &[], &site), Ok(vec![d(2), d(4)]));
    let tokens: &[Dim] = &[T, d(0)];
    for (op, inputs) in [(Op::Input, vec![]), (Op::Weight, vec![]), (Op::Base, vec![tokens])] {
        let error = infer(&op, &inputs, &site).unwrap_err();
        assert!(error.contains("no weight here"), "{error}");
    }
}
