//! Answers of the golden models: the continuations transformers gives, whatever shares the batch, on every backend.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use std::sync::Arc;

use tunebench_generate::{Answer, Error, Finish, Prompt, Sampling, Settings, answer, answer_each, groups};
use tunebench_model::Tuning;
use tunebench_model::backend::{self, Backend, FAST, Generator, Parts, REFERENCE};
use tunebench_spec::VirtualKind;
use tunebench_testkit::golden::{self, FAMILIES, Greedy};
use tunebench_testkit::methods::{ALL, ATTENTION, VIRTUAL, adapted, behind, frozen, lora, wide_lora};
use tunebench_testkit::values::moved;

fn model(backend: &dyn Backend, family: &str) -> Box<dyn Generator> {
    let (shape, weights) = golden::model(family);
    backend.generator(Parts { shape: &shape, weights, tuning: Tuning::none() }).unwrap()
}

/// All answers, in the order of their prompts.
fn answers(model: &dyn Generator, prompts: &[&Prompt], settings: &Settings, places: usize) -> Vec<Answer> {
    let mut found = vec![None; prompts.len()];
    let mut keep = |i: usize, answer: Answer| -> Result<(), Error> {
        assert!(found[i].replace(answer).is_none(), "answered twice");
        Ok(())
    };
    answer(model, prompts, settings, places, &mut keep).unwrap();
    found.into_iter().map(|answer| answer.expect("an answer for each prompt")).collect()
}

/// Prompts and greedy continuations of 12 tokens, as transformers gives them in f32. Each leads by more than bf16 takes, so
/// the fast engine gives them too.
fn fixture(family: &str) -> Vec<(Prompt, Vec<u32>)> {
    let prompts = Greedy::of(family).into_iter().enumerate();
    prompts.map(|(key, greedy)| (Prompt { tokens: greedy.prompt, key: key as u64, adapter: 0 }, greedy.new)).collect()
}

fn settings(max_new_tokens: usize, stop_tokens: Vec<u32>, sampling: Sampling) -> Settings {
    Settings { max_new_tokens, sampling, stop_tokens, top_logprobs: None, constraint: None }
}

#[test]
fn greedy_is_transformers() {
    for (family, backend) in backend::ALL.into_iter().flat_map(|of| FAMILIES.map(|family| (family, of))) {
        let (what, model, fixture) = (format!("{family}, {backend:?}"), model(backend, family), fixture(family));
        let prompts: Vec<&Prompt> = fixture.iter().map(|(p, _)| p).collect();
        let expected: Vec<Answer> = fixture
            .iter()
            .map(|(_, new)| Answer { tokens: new.clone(), finish: Finish::Length, logprobs: vec![] })
            .collect();
        let greedy = settings(12, vec![], Sampling::Greedy);
        // All at once; and one after the other, each in the place of the one before.
        for places in [3, 2, 1] {
            assert_eq!(answers(&*model, &prompts, &greedy, places), expected, "{what}, {places} places");
        }
        // A lead of 0.25 is 250 there: the second token has a chance of e^-250.
        let cold = settings(12, vec![], Sampling::new(0.001, 5));
        assert_eq!(answers(&*model, &prompts, &cold, 3), expected, "{what}, the paper's temperature");
    }
}

#[test]
fn a_stop_token_ends_its_row_and_no_other() {
    let model = model(FAST, "tiny");
    let fixture = fixture("tiny");
    let prompts: Vec<&Prompt> = fixture.iter().map(|(p, _)| p).collect();
    for (row, (_, new)) in fixture.iter().enumerate() {
        let stop = new[4];
        let answers = answers(&*model, &prompts, &settings(12, vec![stop], Sampling::Greedy), 2);
        for (i, (answer, (_, new))) in answers.iter().zip(&fixture).enumerate() {
            let end = new.iter().position(|t| *t == stop);
            let finish = if end.is_some() { Finish::Stop } else { Finish::Length };
            let tokens = new[..end.unwrap_or(12)].to_vec();
            assert_eq!(answer, &Answer { tokens, finish, logprobs: vec![] }, "stop of {row}, row {i}");
        }
    }
}

#[test]
fn draws_depend_on_the_key_and_not_on_neighbours() {
    let model = model(FAST, "tiny");
    let fixture = fixture("tiny");
    let prompts: Vec<&Prompt> = fixture.iter().map(|(p, _)| p).collect();
    let hot = settings(12, vec![], Sampling::new(1.5, 3));
    let together = answers(&*model, &prompts, &hot, 3);
    for (prompt, expected) in prompts.iter().zip(&together) {
        assert_eq!(&answers(&*model, &[prompt], &hot, 1)[0], expected);
    }
    let other = answers(&*model, &prompts, &settings(12, vec![], Sampling::new(1.5, 4)), 3);
    assert_ne!(other, together, "another seed");
}

#[test]
fn an_answer_ends_where_the_positions_do() {
    let model = model(FAST, "tiny");
    let last = model.shape().max_position_embeddings;
    let prompt = Prompt { tokens: vec![5; last - 3], key: 0, adapter: 0 };
    let answers = answers(&*model, &[&prompt], &settings(12, vec![], Sampling::Greedy), 1);
    assert_eq!((answers[0].tokens.len(), answers[0].finish), (3, Finish::Length));
}

#[test]
fn virtual_tokens_take_their_positions_from_prompt_and_answer() {
    let (shape, weights) = golden::model("tiny");
    for (backend, kind) in [(FAST, VirtualKind::Embeddings), (REFERENCE, VirtualKind::KeysValues)] {
        let recorded = behind(frozen(&shape), &shape, kind, false);
        let tuning = Tuning::init(&shape, &weights, recorded, 1).unwrap();
        let model = backend.generator(Parts { shape: &shape, weights: weights.clone(), tuning }).unwrap();
        assert_eq!(model.positions(), shape.max_position_embeddings - VIRTUAL);
        let prompt = Prompt { tokens: vec![5; model.positions() - 3], key: 0, adapter: 0 };
        let answers = answers(&*model, &[&prompt], &settings(12, vec![], Sampling::Greedy), 1);
        assert_eq!((answers[0].tokens.len(), answers[0].finish), (3, Finish::Length));
    }
}

/// Adapters and draws of their own, more prompts than places.
#[test]
fn several_adapters_in_one_batch_answer_as_each_alone() {
    let (shape, weights) = golden::model("tiny");
    let recorded = [frozen(&shape), adapted(&shape, &ATTENTION, lora, 0.0), adapted(&shape, &ALL, wide_lora, 0.1)];
    let tunings = recorded.map(|recorded| moved(&shape, &weights, recorded));
    let prompts: Vec<Prompt> = (0..3)
        .flat_map(|adapter| fixture("tiny").into_iter().map(move |(prompt, _)| Prompt { adapter, ..prompt }))
        .collect();
    let of = |adapter: usize| Arc::new(settings(12, vec![], Sampling::new(1.5, 3 + adapter as u64)));
    let mut expected = Vec::new();
    for (adapter, tuning) in tunings.iter().enumerate() {
        let (weights, tuning) = (weights.clone(), tuning.clone());
        let alone = FAST.generator(Parts { shape: &shape, weights, tuning }).unwrap();
        let own = prompts.iter().filter(|prompt| prompt.adapter == adapter);
        let own: Vec<Prompt> = own.map(|prompt| Prompt { adapter: 0, ..prompt.clone() }).collect();
        expected.extend(answers(&*alone, &own.iter().collect::<Vec<_>>(), &of(adapter), 2));
    }
    assert!((0..3).any(|i| expected[i] != expected[i + 3] && expected[i + 3] != expected[i + 6]), "nothing to compare");
    let grouped = FAST.grouped_generator(&shape, weights, tunings.into()).unwrap();
    let asked: Vec<(&Prompt, Arc<Settings>)> = prompts.iter().map(|prompt| (prompt, of(prompt.adapter))).collect();
    for places in [1, 4, 9] {
        let mut found = vec![None; prompts.len()];
        answer_each(&*grouped, &asked, places, &mut |i, answer| -> Result<(), Error> {
            found[i] = Some(answer);
            Ok(())
        })
        .unwrap();
        let found: Vec<Answer> = found.into_iter().map(Option::unwrap).collect();
        assert_eq!(found, expected, "{places} places");
    }
}

#[test]
fn groups_hold_each_prompt_once() {
    let prompts: Vec<Prompt> = [3, 9, 1, 9, 4].map(|n| Prompt { tokens: vec![1; n], key: 0, adapter: 0 }).into();
    assert_eq!(groups(&prompts, 2), [vec![1, 3], vec![4, 0], vec![2]]);
}
