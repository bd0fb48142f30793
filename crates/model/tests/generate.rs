//! Generation with the cache: the greedy answers of transformers, rows that come and go.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use candle_core::{D, Device, Tensor};
use tunebench_model::{Batch, Cache, ReferenceModel, Tuning};
use tunebench_spec::decoder::Positions;
use tunebench_testkit::compare::error;
use tunebench_testkit::golden::{FAMILIES, Greedy, model};

fn base(name: &str) -> ReferenceModel {
    let (shape, weights) = model(name);
    ReferenceModel::new(&shape, &weights, &Tuning::none(), &Device::Cpu).unwrap()
}

fn best(logits: &Tensor) -> Vec<u32> {
    logits.argmax(D::Minus1).unwrap().to_vec1().unwrap()
}

#[test]
fn greedy_answers_of_different_lengths_are_those_of_transformers() {
    for family in FAMILIES {
        let (model, cases) = (base(family), Greedy::of(family));
        let prompts: Vec<&[u32]> = cases.iter().map(|case| case.prompt.as_slice()).collect();
        let mut cache = Cache::new(&model);
        let mut next = best(&model.prefill(&mut cache, &prompts).unwrap());
        let mut answers = vec![vec![]; 3];
        for _ in 0..12 {
            answers.iter_mut().zip(&next).for_each(|(answer, token)| answer.push(*token));
            next = best(&model.step(&mut cache, &next).unwrap());
        }
        let expected: Vec<Vec<u32>> = cases.iter().map(|case| case.new.clone()).collect();
        assert_eq!(answers, expected, "{family}");
        assert_eq!(cache.lengths(), [15, 19, 24]);
    }
}

#[test]
fn rows_that_come_and_go_do_not_disturb_each_other() {
    for family in FAMILIES {
        // One row at first; the others join later; the first leaves before they end.
        let (model, cases) = (base(family), Greedy::of(family));
        let mut cache = Cache::new(&model);
        let mut running = vec![(0, best(&model.prefill(&mut cache, &[&cases[0].prompt]).unwrap())[0])];
        let mut answers = vec![vec![]; 3];
        for round in 0.. {
            if round == 4 {
                let new = best(&model.prefill(&mut cache, &[&cases[1].prompt, &cases[2].prompt]).unwrap());
                running.extend([(1, new[0]), (2, new[1])]);
            }
            for row in (0..running.len()).rev() {
                let (case, token) = running[row];
                answers[case].push(token);
                if answers[case].len() == 12 {
                    running.swap_remove(row);
                    cache.swap_remove(row).unwrap();
                }
            }
            if running.is_empty() {
                break;
            }
            let tokens: Vec<u32> = running.iter().map(|(_, token)| *token).collect();
            let new = best(&model.step(&mut cache, &tokens).unwrap());
            running.iter_mut().zip(new).for_each(|((_, token), n)| *token = n);
        }
        let expected: Vec<Vec<u32>> = cases.iter().map(|case| case.new.clone()).collect();
        assert_eq!(answers, expected, "{family}");
        assert!(cache.is_empty());
    }
}

#[test]
fn a_long_text_step_by_step_scores_as_at_once() {
    for family in FAMILIES {
        // Longer than the cache grows at a time, or as long as there are learned positions.
        let model = base(family);
        let is_bounded = matches!(model.shape().positions, Positions::Learned { .. });
        let length = if is_bounded { model.positions() as u32 } else { 150 };
        let text: Vec<u32> = (0..length).map(|i| (i * 31 + 7) % model.shape().vocab_size as u32).collect();
        let mut cache = Cache::new(&model);
        let mut scores = model.prefill(&mut cache, &[&text[..3]]).unwrap();
        for token in &text[3..] {
            scores = model.step(&mut cache, &[*token]).unwrap();
        }
        let batch = Batch::right_padded(&[&text]).unwrap();
        let expected = model.logits(&batch, &[length - 1]).unwrap();
        assert!(error(&scores, &expected) < 5e-6, "{family}");
    }
}

#[test]
fn what_the_model_cannot_take_is_an_error() {
    let model = base("tiny");
    let mut cache = Cache::new(&model);
    assert!(model.prefill(&mut cache, &[&[1u32, 96]]).unwrap_err().to_string().contains("token 96"));
    assert!(model.prefill(&mut cache, &[&[] as &[u32]]).unwrap_err().to_string().contains("at least one token"));
    assert!(model.step(&mut cache, &[1]).unwrap_err().to_string().contains("cache of 0 rows"));
    assert!(cache.is_empty() && cache.swap_remove(0).is_err());
    // u32::MAX is what candle's own lookup answers with zeros.
    assert!(model.prefill(&mut cache, &[&[u32::MAX]]).is_err());
}
