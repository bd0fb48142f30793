//! How far from ReLU's kink a model's pre-activations keep. Nearer to it than a rounding, a unit is on by one order of sums
//! and off by another, and its gradient with it: no tolerance covers that, so a test keeps away and asks here.

use candle_core::Device;
use tunebench_model::{ReferenceModel, Tuning, Weights};
use tunebench_spec::Decoder;
use tunebench_spec::graph::{Graph, Node, Op};

use crate::golden::Rows;

/// Whether every ReLU that the recorded graphs run over `rows` gets inputs at least `margin` away from 0.
pub fn keeps_margin(margin: f64, shape: &Decoder, weights: &Weights, tuning: &Tuning, rows: &Rows) -> bool {
    let (batch, targets) = rows.batch();
    let loss = |tuning: &Tuning| {
        ReferenceModel::new(shape, weights, tuning, &Device::Cpu).unwrap().loss(&batch, &targets).unwrap()
    };
    let mut recorded = tuning.recorded().clone();
    let graphs = recorded.graphs.iter_mut().map(|graphs| &mut graphs.forward);
    graphs.chain(&mut recorded.virtual_tokens).for_each(|graph| *graph = alarmed(graph, margin));
    let marked = Tuning::new(shape, recorded, tuning.values().clone()).unwrap();
    loss(tuning) == loss(&marked)
}

/// `graph` with `relu(x) + 10⁶ relu(margin - |x|)` in place of `relu(x)`: exactly the same, unless `x` is too near to 0.
fn alarmed(graph: &Graph, margin: f64) -> Graph {
    let mut nodes: Vec<Node> = vec![];
    let mut moved = vec![];
    for node in &graph.nodes {
        let mut add = |op: Op, inputs: Vec<usize>| {
            nodes.push(Node { op, inputs, shape: node.shape.clone() });
            nodes.len() - 1
        };
        let inputs: Vec<usize> = node.inputs.iter().map(|&i| moved[i]).collect();
        let mut at = add(node.op.clone(), inputs.clone());
        if node.op == Op::Relu {
            let negative = add(Op::Scale { by: -1.0 }, inputs);
            let below = add(Op::Relu, vec![negative]);
            let size = add(Op::Add, vec![at, below]);
            let size = add(Op::Scale { by: -1.0 }, vec![size]);
            let missing = add(Op::Offset { by: margin }, vec![size]);
            let missing = add(Op::Relu, vec![missing]);
            let alarm = add(Op::Scale { by: 1e6 }, vec![missing]);
            at = add(Op::Add, vec![at, alarm]);
        }
        moved.push(at);
    }
    Graph { nodes, output: moved[graph.output] }
}

#[cfg(test)]
mod tests {
    use tunebench_spec::VirtualKind;

    use super::*;
    use crate::methods::{behind, frozen};
    use crate::{golden, values};

    /// Virtual tokens as `W2 relu(W1 E) + b`, whose inputs of ReLU are all the same number.
    #[test]
    fn an_input_nearer_than_the_margin_is_found() {
        let (shape, weights) = golden::model("tiny");
        let recorded = behind(frozen(&shape), &shape, VirtualKind::Embeddings, true);
        let start = Tuning::init(&shape, &weights, recorded, 1).unwrap();
        let is_kept = |input: f64| {
            let tuning = values::with(&shape, &start, |name, value| match name {
                // Eight equal products.
                "virtual_tokens.w1" => (value.ones_like().unwrap() * 0.125).unwrap(),
                "virtual_tokens.embedding" => (value.ones_like().unwrap() * input).unwrap(),
                _ => value.clone(),
            });
            keeps_margin(0.25, &shape, &weights, &tuning, &Rows::tiny())
        };
        assert!(is_kept(0.5) && is_kept(-0.5) && !is_kept(0.2) && !is_kept(-0.2));
    }
}
