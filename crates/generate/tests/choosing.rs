//! What a token's choice says of itself and obeys: log-probabilities, a nucleus, and a form that answers must have.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use std::sync::Arc;

use tunebench_generate::{Answer, Constraint, Error, Finish, Prompt, Sampling, Settings, answer};
use tunebench_model::Tuning;
use tunebench_model::backend::{ALL, FAST, Generator, Parts};
use tunebench_testkit::golden::{self, Greedy};

const SETTINGS: Settings = Settings {
    max_new_tokens: 6,
    sampling: Sampling::Greedy,
    stop_tokens: vec![],
    top_logprobs: None,
    constraint: None,
};

fn prompts() -> Vec<Prompt> {
    let prompts = Greedy::of("tiny").into_iter().enumerate();
    prompts.map(|(key, greedy)| Prompt { tokens: greedy.prompt, key: key as u64, adapter: 0 }).collect()
}

fn answers(model: &dyn Generator, settings: &Settings, places: usize) -> Result<Vec<Answer>, Error> {
    let prompts = prompts();
    let mut found = vec![None; prompts.len()];
    answer(model, &prompts.iter().collect::<Vec<_>>(), settings, places, &mut |i, answer| -> Result<(), Error> {
        found[i] = Some(answer);
        Ok(())
    })?;
    Ok(found.into_iter().map(Option::unwrap).collect())
}

fn model(backend: &dyn tunebench_model::backend::Backend) -> Box<dyn Generator> {
    let (shape, weights) = golden::model("tiny");
    backend.generator(Parts { shape: &shape, weights, tuning: Tuning::none() }).unwrap()
}

#[test]
fn log_probabilities_are_the_softmax_of_the_models_scores() {
    for backend in ALL {
        let model = model(backend);
        let asked = Settings { top_logprobs: Some(5), ..SETTINGS };
        for (prompt, answer) in prompts().iter().zip(answers(&*model, &asked, 1).unwrap()) {
            assert_eq!(answer.logprobs.len(), answer.tokens.len());
            let (mut rows, mut scores) = (model.rows(), vec![]);
            rows.prefill(&[prompt.tokens.as_slice().into()], &mut scores).unwrap();
            for (token, found) in answer.tokens.iter().zip(&answer.logprobs) {
                let total: f64 = scores.iter().map(|s| f64::from(*s).exp()).sum();
                let logprob = |token: u32| (f64::from(scores[token as usize]).exp() / total).ln();
                assert!((found.logprob - logprob(*token)).abs() < 1e-9, "{backend:?}");
                let mut order: Vec<u32> = (0..scores.len() as u32).collect();
                order.sort_by(|a, b| logprob(*b).total_cmp(&logprob(*a)).then(a.cmp(b)));
                let top: Vec<u32> = found.top.iter().map(|(token, _)| *token).collect();
                assert_eq!(top, order[..5]);
                assert!(found.top.iter().all(|(token, value)| (value - logprob(*token)).abs() < 1e-9));
                assert_eq!(found.top[0], (*token, found.logprob), "greedy takes the likeliest");
                let sum: f64 = found.top.iter().map(|(_, value)| value.exp()).sum();
                assert!(sum <= 1.0 + 1e-12, "{sum}");
                rows.step(&[*token], &mut scores).unwrap();
            }
        }
    }
}

#[test]
fn asking_for_log_probabilities_changes_no_answer_and_all_of_them_make_one() {
    let model = model(FAST);
    for sampling in [Sampling::Greedy, Sampling::new(1.5, 3)] {
        let plain = answers(&*model, &Settings { sampling, ..SETTINGS }, 3).unwrap();
        let asked = Settings { sampling, top_logprobs: Some(1000), ..SETTINGS };
        let with = answers(&*model, &asked, 2).unwrap();
        for (plain, with) in plain.iter().zip(&with) {
            assert_eq!((&plain.tokens, plain.finish, plain.logprobs.len()), (&with.tokens, with.finish, 0));
            for (token, found) in with.tokens.iter().zip(&with.logprobs) {
                assert_eq!(found.top.len(), model.shape().vocab_size, "no more than there are");
                let sum: f64 = found.top.iter().map(|(_, value)| value.exp()).sum();
                assert!((sum - 1.0).abs() < 1e-9, "{sum}");
                assert!(found.top.contains(&(*token, found.logprob)));
            }
        }
        assert_eq!(answers(&*model, &asked, 1).unwrap(), with, "to the last bit, whatever the company");
    }
    let none = Settings { top_logprobs: Some(0), ..SETTINGS };
    assert!(answers(&*model, &none, 3).unwrap().iter().all(|a| a.logprobs.iter().all(|l| l.top.is_empty())));
}

#[test]
fn a_nucleus_leaves_out_the_unlikely() {
    let logit = |p: f64| p.ln() as f32;
    let scores: Vec<f32> = [0.05, 0.5, 0.15, 0.3].map(logit).to_vec();
    for (top_p, allowed) in [(1e-9, &[1][..]), (0.4, &[1]), (0.75, &[1, 3]), (0.94, &[1, 2, 3]), (1.0, &[0, 1, 2, 3])] {
        let sampling = Sampling::new(1.0, 9).within(top_p);
        let mut seen: Vec<u32> = (0..2000).map(|key| sampling.choose(&scores, key, 0).unwrap()).collect();
        let of_1 = seen.iter().filter(|token| **token == 1).count() as f64 / 2000.0;
        let weights: f64 = allowed.iter().map(|t| f64::from(scores[*t as usize]).exp()).sum();
        assert!((of_1 - 0.5 / weights).abs() < 0.05, "top_p {top_p}: {of_1}");
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, allowed, "top_p {top_p}");
    }
    assert_eq!(Sampling::new(0.0, 9).within(0.5), Sampling::Greedy);
    // Equal scores: the lower numbers are in it.
    let equal: Vec<u32> =
        (0..200).map(|key| Sampling::new(1.0, 9).within(0.5).choose(&[0.0; 4], key, 0).unwrap()).collect();
    assert!(equal.iter().all(|token| *token < 2) && equal.contains(&0) && equal.contains(&1));
}

/// Tokens of one residue, then an end.
#[derive(Debug)]
struct Multiples {
    of: usize,
    length: usize,
}

impl Constraint for Multiples {
    fn mask(&self, answer: &[u32], stop_tokens: &[u32], scores: &mut [f32]) {
        for (token, score) in scores.iter_mut().enumerate() {
            let is_end = stop_tokens.contains(&(token as u32));
            let is_allowed = if answer.len() < self.length { token % self.of == 1 && !is_end } else { is_end };
            if !is_allowed {
                *score = f32::NEG_INFINITY;
            }
        }
    }
}

#[test]
fn an_answer_has_the_form_that_is_asked_for() {
    let model = model(FAST);
    let constraint: Arc<dyn Constraint> = Arc::new(Multiples { of: 7, length: 4 });
    let asked = Settings { stop_tokens: vec![2], constraint: Some(constraint), top_logprobs: Some(3), ..SETTINGS };
    let free = answers(&*model, &Settings { top_logprobs: Some(3), ..SETTINGS }, 3).unwrap();
    for (answer, free) in answers(&*model, &asked, 2).unwrap().iter().zip(free) {
        assert_eq!((answer.finish, answer.tokens.len()), (Finish::Stop, 4));
        assert!(answer.tokens.iter().all(|token| token % 7 == 1));
        assert_eq!(answer.logprobs[0].top, free.logprobs[0].top, "likelihoods are those of the model without it");
        assert!(answer.logprobs.iter().all(|l| l.logprob <= l.top[0].1));
    }
    // Where nothing is left to choose from, that is said.
    let constraint: Arc<dyn Constraint> = Arc::new(Multiples { of: 1, length: 0 });
    let nothing = Settings { constraint: Some(constraint), ..SETTINGS };
    let refusal = answers(&*model, &nothing, 1).unwrap_err().to_string();
    assert!(refusal.contains("allows none of the model's tokens after 0"), "{refusal}");
}
