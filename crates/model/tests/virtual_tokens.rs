//! Virtual tokens on both engines: what they mean, generation behind them, and plans that are refused.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

mod common;

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use common::{Rows, VIRTUAL, adapted, behind, error, flat, frozen, json, lora, model, section};
use tunebench_kernels::SimdLevel;
use tunebench_model::{Batch, Cache, Draw, Error, Llama, Tuning, Weights, fast, tuning};
use tunebench_spec::plan::Recorded;
use tunebench_spec::{Dim, Graph, Init, ModelShape, Node, Op, VirtualKind};

/// Both kinds, by the names of their golden methods.
const KINDS: [(VirtualKind, &str); 2] =
    [(VirtualKind::Embeddings, "prompt_tuning"), (VirtualKind::KeysValues, "prefix_tuning")];

/// What PEFT's numbers of a method are for.
fn golden(shape: &ModelShape, kind: VirtualKind, method: &str) -> Tuning {
    let values = section("tiny/virtual_tokens.safetensors", &format!("{method}.param."));
    Tuning::new(shape, behind(frozen(shape), shape, kind, false), values).unwrap()
}

fn fast_model(shape: &ModelShape, weights: &Weights, tuning: &Tuning) -> fast::Model<f32> {
    let options = fast::Options { level: SimdLevel::best(), recompute: false, packed: false };
    fast::Model::new(shape, weights.clone(), tuning.clone(), options).unwrap()
}

fn best(scores: &[f32]) -> u32 {
    (0..scores.len()).max_by(|&i, &j| scores[i].total_cmp(&scores[j])).unwrap() as u32
}

#[test]
fn logits_are_those_of_peft_whatever_the_padding() {
    let (shape, weights) = model("tiny");
    let rows = Rows::tiny();
    for (kind, method) in KINDS {
        let model = Llama::new(&shape, &weights, &golden(&shape, kind, method), &Device::Cpu).unwrap();
        let expected = &common::tensors("tiny/virtual_tokens.safetensors")[&format!("{method}.logits")];
        let (right, _) = rows.batch();
        for batch in [right, Batch::left_padded(&rows.tokens).unwrap()] {
            let hidden = model.hidden(&batch).unwrap();
            assert_eq!(hidden.dims(), [batch.rows(), batch.width(), shape.hidden_size], "{method}");
            for (row, tokens) in rows.tokens.iter().enumerate() {
                let indices: Vec<u32> = (0..tokens.len()).map(|i| batch.index(row, i)).collect();
                let found = model.logits(&batch, &indices).unwrap();
                let expected = expected.get(row).unwrap().narrow(0, 0, tokens.len()).unwrap();
                assert!(error(&found, &expected) < 1e-5, "{method}, row {row}");
            }
        }
    }
}

/// Behind the embeddings of some words, a text is what it is behind the words.
#[test]
fn embeddings_of_words_are_the_words() {
    let (shape, weights) = model("tiny");
    let (words, text) = ([7u32, 50, 3, 91], [5u32, 6, 7]);
    let rows = weights.get("model.embed_tokens.weight").unwrap();
    let rows = rows.index_select(&Tensor::new(&words, &Device::Cpu).unwrap(), 0).unwrap();
    let recorded = behind(frozen(&shape), &shape, VirtualKind::Embeddings, false);
    let values = BTreeMap::from([("virtual_tokens.embedding".to_owned(), rows)]);
    let tuning = Tuning::new(&shape, recorded, values).unwrap();
    let whole = Batch::right_padded(&[[&words[..], &text].concat()]).unwrap();
    let plain = Llama::new(&shape, &weights, &Tuning::none(), &Device::Cpu).unwrap();
    let expected = plain.logits(&whole, &[6]).unwrap();

    let tuned = Llama::new(&shape, &weights, &tuning, &Device::Cpu).unwrap();
    let found = tuned.logits(&Batch::right_padded(&[text]).unwrap(), &[2]).unwrap();
    assert!(error(&found, &expected) < 1e-6);
    let mut batch = fast::Batch::new();
    batch.push(&text, &[false; 3]).unwrap();
    let found = fast_model(&shape, &weights, &tuning).logits(&batch, &[2], &mut fast::Workspace::default()).unwrap();
    let off = found.iter().zip(flat(&expected)).fold(0f32, |m, (f, e)| m.max((f - e).abs()));
    assert!(off < 1e-5, "{off}");
}

/// Greedy answers of both engines by the cache are PEFT's by recomputation, whoever stands beside them.
#[test]
fn greedy_answers_are_those_of_peft() {
    let (shape, weights) = model("tiny");
    let report = json("tiny/virtual_tokens.json");
    for (kind, method) in KINDS {
        let read = |key: &str| -> Vec<u32> {
            let list = report["methods"][method]["generate"][key].as_array().unwrap().iter();
            list.map(|t| t.as_u64().unwrap() as u32).collect()
        };
        let (prompt, expected) = (read("prompt"), read("new"));
        let prompts = [&prompt[..2], &prompt, &[60, 9, 14]];
        let tuning = golden(&shape, kind, method);

        let model = Llama::new(&shape, &weights, &tuning, &Device::Cpu).unwrap();
        let mut cache = Cache::new(&model);
        let mut scores = model.prefill(&mut cache, &prompts).unwrap().to_vec2::<f32>().unwrap();
        let mut answer = vec![];
        for _ in 0..expected.len() {
            let next: Vec<u32> = scores.iter().map(|scores| best(scores)).collect();
            answer.push(next[1]);
            scores = model.step(&mut cache, &next).unwrap().to_vec2().unwrap();
        }
        assert_eq!(answer, expected, "{method}");
        assert_eq!(cache.lengths()[1], VIRTUAL + prompt.len() + expected.len());

        let mut model = fast_model(&shape, &weights, &tuning);
        model.pack();
        assert_eq!(model.positions(), shape.max_position_embeddings - VIRTUAL);
        let run = |prompts: &[&[u32]], row: usize| {
            let (mut cache, mut scores, mut answer) = (fast::Cache::new(&model), vec![], vec![]);
            model.prefill(&mut cache, prompts, &mut scores).unwrap();
            for _ in 0..expected.len() {
                let next: Vec<u32> = scores.chunks(shape.vocab_size).map(best).collect();
                answer.push(next[row]);
                model.step(&mut cache, &next, &mut scores).unwrap();
            }
            (answer, scores[row * shape.vocab_size..][..shape.vocab_size].to_vec())
        };
        let (beside, alone) = (run(&prompts, 1), run(&prompts[1..2], 0));
        assert_eq!(beside.0, expected, "{method}");
        assert_eq!(beside, alone, "{method}: the same bytes alone");
    }
}

/// Longer than a block of the cache, and than the reference cache grows by.
#[test]
fn a_text_step_by_step_scores_as_at_once() {
    let (shape, weights) = model("tiny");
    let text: Vec<u32> = (0..80).map(|i| (i * 31 + 7) % 96).collect();
    for (kind, method) in KINDS {
        let tuning = golden(&shape, kind, method);
        let model = Llama::new(&shape, &weights, &tuning, &Device::Cpu).unwrap();
        let expected = model.logits(&Batch::right_padded(&[&text]).unwrap(), &[79]).unwrap();
        let mut cache = Cache::new(&model);
        let mut scores = model.prefill(&mut cache, &[&text[..3]]).unwrap();
        for token in &text[3..] {
            scores = model.step(&mut cache, &[*token]).unwrap();
        }
        assert!(error(&scores, &expected) < 5e-6, "{method}");

        let model = fast_model(&shape, &weights, &tuning);
        let (mut cache, mut scores) = (fast::Cache::new(&model), vec![]);
        model.prefill(&mut cache, &[&text[..3]], &mut scores).unwrap();
        for token in &text[3..] {
            model.step(&mut cache, &[*token], &mut scores).unwrap();
        }
        let off = scores.iter().zip(flat(&expected)).fold(0f32, |m, (f, e)| m.max((f - e).abs()));
        assert!(off < 1e-4, "{method}: {off}");
    }
}

/// The gradient of a batch is the sum of those of its pieces, in the fast engine's one sum over pieces.
#[test]
fn pieces_of_a_batch_add_up() {
    let (shape, weights) = model("tiny");
    let rows = Rows::tiny();
    for (kind, method) in KINDS {
        let model = fast_model(&shape, &weights, &golden(&shape, kind, method));
        let gradient = |pieces: &[&[usize]]| {
            let (mut gradients, mut work) = (model.gradients(), fast::Workspace::default());
            for piece in pieces {
                let mut batch = fast::Batch::new();
                for &row in *piece {
                    batch.push(&rows.tokens[row], &rows.is_label[row]).unwrap();
                }
                let draw = Draw { seed: 0, step: 0, rows: vec![0; piece.len()], ends: vec![] };
                model.loss_and_gradients(&batch, &draw, &mut gradients, &mut work).unwrap();
            }
            let (_, dims) = model.trained().next().unwrap();
            Tensor::from_slice(gradients.get(0).unwrap(), dims, &Device::Cpu).unwrap()
        };
        assert!(error(&gradient(&[&[0], &[1, 2]]), &gradient(&[&[0, 1, 2]])) < 1e-5, "{method}");
    }
}

#[test]
fn they_begin_as_their_plan_says_and_are_listed_among_what_is_trained() {
    let (shape, weights) = model("tiny");
    let recorded = behind(adapted(&shape, &["q_proj"], lora, 0.0), &shape, VirtualKind::KeysValues, true);
    let begin = |seed| Tuning::init(&shape, &weights, recorded.clone(), seed).unwrap().values().clone();
    let (values, again, other) = (begin(1), begin(1), begin(2));
    let name = "virtual_tokens.embedding";
    assert_eq!(flat(&values[name]), flat(&again[name]));
    assert_ne!(flat(&values[name]), flat(&other[name]));
    let found: BTreeMap<String, Vec<usize>> = values.iter().map(|(n, t)| (n.clone(), t.dims().to_vec())).collect();
    assert_eq!(found, tuning::shapes(&shape, &recorded));
    assert_eq!(found.keys().filter(|n| n.starts_with("virtual_tokens.")).count(), 4);

    let mut wrong = values;
    wrong.insert(name.into(), Tensor::zeros((VIRTUAL, 9), candle_core::DType::F32, &Device::Cpu).unwrap());
    let error = Tuning::new(&shape, recorded, wrong).unwrap_err();
    assert!(matches!(&error, Error::Shape { name: n, .. } if n == name), "{error}");
}

#[test]
fn they_are_not_folded_into_weights() {
    let (shape, weights) = model("tiny");
    for (kind, method) in KINDS {
        let error = golden(&shape, kind, method).merge(&shape, weights.clone()).unwrap_err();
        assert!(matches!(&error, Error::Plan { weight, .. } if weight == "virtual_tokens"), "{error}");
        assert!(error.to_string().contains("cannot be folded"), "{error}");
    }
}

/// Changes to a sound plan, and what the refusal must mention.
#[test]
fn plans_and_graphs_that_do_not_fit_are_refused() {
    fn graph(r: &mut Recorded) -> &mut Graph {
        r.virtual_tokens.as_mut().unwrap()
    }
    type Spoil = fn(&mut Recorded);
    let cases: [(Spoil, &str); 9] = [
        (|r| r.virtual_tokens = None, "no maths was recorded"),
        (|r| r.plan.virtual_tokens = None, "none is planned"),
        (|r| r.plan.virtual_tokens.as_mut().unwrap().count = 0, "0 virtual tokens"),
        (|r| r.plan.virtual_tokens.as_mut().unwrap().count = 63, "from 1 to 62"),
        (|r| r.plan.virtual_tokens.as_mut().unwrap().count = 5, "the result is [4, 32], expected [5, 32]"),
        (|r| r.plan.virtual_tokens.as_mut().unwrap().params[0].init = Init::Computed, "no maths says how"),
        (|r| r.plan.virtual_tokens.as_mut().unwrap().params[0].shape = vec![0], "impossible shape"),
        (|r| graph(r).nodes[0].op = Op::Weight, "no weight here"),
        (
            |r| {
                graph(r).nodes.push(Node { op: Op::Base, inputs: vec![0], shape: vec![Dim::Fixed(4), Dim::Fixed(32)] });
                graph(r).output = 1;
            },
            "no weight here",
        ),
    ];
    let (shape, weights) = model("tiny");
    for (i, (spoil, expected)) in cases.into_iter().enumerate() {
        let mut recorded = behind(frozen(&shape), &shape, VirtualKind::Embeddings, false);
        spoil(&mut recorded);
        let error = Tuning::init(&shape, &weights, recorded, 0).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("virtual_tokens"), "case {i}: {error}");
    }
}
