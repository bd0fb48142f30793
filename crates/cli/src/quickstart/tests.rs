//! The quickstart's files: reproducible, disjoint, short, and read back exactly by the tokenizer.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;
use tokenizers::Tokenizer;
use tunebench_model::backend::{FAST, Parts, Sequence};
use tunebench_model::{AdamWStates, Tuning};
use tunebench_spec::Study;

use super::study::Sizes;
use super::write_all;

const SIZES: Sizes = Sizes::QUICKSTART;

fn rows(dir: &std::path::Path, name: &str) -> Vec<Value> {
    fs::read_to_string(dir.join(name)).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap()
}

fn prompt(row: &Value) -> String {
    format!("{}{}", text(row, "instruction"), text(row, "input"))
}

#[test]
fn equal_seeds_give_equal_bytes_and_other_seeds_other_facts() {
    let dir = tempfile::tempdir().unwrap();
    let written: Vec<_> = [("a", 1), ("b", 1), ("c", 2)]
        .map(|(name, seed)| write_all(&dir.path().join(name), seed, &SIZES).unwrap())
        .into();
    assert_eq!(written[0], written[1]);
    for name in [
        "text.jsonl",
        "belle.jsonl",
        "math.jsonl",
        "eval_set.json",
        "eval_prompt.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "study.toml",
    ] {
        let read = |d: &str| fs::read(dir.path().join(d).join(name)).unwrap();
        assert!(read("a") == read("b"), "{name} differs between two runs of one seed");
    }
    let text = |d: &str| fs::read(dir.path().join(d).join("text.jsonl")).unwrap();
    assert!(text("a") != text("c"));
}

#[test]
fn training_and_evaluation_share_no_prompt_and_cover_every_class() {
    let dir = tempfile::tempdir().unwrap();
    let written = write_all(dir.path(), 1, &SIZES).unwrap();
    let (train, math, eval) =
        (rows(dir.path(), "belle.jsonl"), rows(dir.path(), "math.jsonl"), rows(dir.path(), "eval_set.json"));
    assert!(train.len() >= 4000 && train.len() as u64 >= SIZES.examples[2], "{}", train.len());
    assert_eq!(
        (train.len(), math.len(), eval.len()),
        (written.instruction_rows, written.math_rows, written.eval_items)
    );
    let seen: BTreeSet<String> = train.iter().chain(&math).map(prompt).collect();
    assert_eq!(seen.len(), train.len() + math.len());
    for item in &eval {
        assert!(!seen.contains(text(item, "question")), "{item}");
        assert_eq!(text(item, "std_answer").is_empty(), text(item, "class") == "generation", "{item}");
    }
    for (class, _, items) in SIZES.classes {
        assert_eq!(eval.iter().filter(|r| text(r, "class") == class).count(), items, "{class}");
    }
    let rubrics: BTreeSet<String> =
        rows(dir.path(), "eval_prompt.json").iter().map(|r| text(r, "class").into()).collect();
    assert!(SIZES.classes.iter().all(|c| rubrics.contains(c.0)));
}

#[test]
fn evaluation_uses_no_word_that_training_lacks() {
    let dir = tempfile::tempdir().unwrap();
    write_all(dir.path(), 1, &SIZES).unwrap();
    let tokenizer = Tokenizer::from_file(dir.path().join("tokenizer.json")).unwrap();
    let ids = |t: &str| tokenizer.encode(t, false).unwrap().get_ids().to_vec();
    let mut known = BTreeSet::new();
    for row in rows(dir.path(), "text.jsonl") {
        known.extend(ids(text(&row, "text")));
    }
    // A base model has met every word before it is tuned: LoRA leaves the embeddings as they are.
    for word in super::tokenizer::pieces() {
        assert!(ids(&word).iter().all(|id| known.contains(id)), "the text never has {word:?}");
    }
    for row in rows(dir.path(), "belle.jsonl") {
        known.extend(ids(&prompt(&row)).into_iter().chain(ids(text(&row, "output"))));
    }
    for item in rows(dir.path(), "eval_set.json") {
        let unknown = |t: &str| ids(t).iter().any(|id| !known.contains(id));
        assert!(!unknown(text(&item, "question")) && !unknown(text(&item, "std_answer")), "{item}");
    }
}

#[test]
fn tokenizer_decodes_what_it_encodes_and_keeps_sequences_short() {
    let dir = tempfile::tempdir().unwrap();
    let written = write_all(dir.path(), 1, &SIZES).unwrap();
    let tokenizer = Tokenizer::from_file(dir.path().join("tokenizer.json")).unwrap();
    assert_eq!(tokenizer.get_vocab_size(true), written.vocab_size);
    assert_eq!(tokenizer.token_to_id("</s>"), Some(2));
    let count = |t: &str| {
        let ids = tokenizer.encode(t, false).unwrap().get_ids().to_vec();
        assert_eq!(tokenizer.decode(&ids, false).unwrap(), t);
        ids.len()
    };
    for odd in ["", " ", "\n\n", "龘 é\t🙂 end", "  two  spaces ", "苹果苹果", "12345"] {
        count(odd);
    }
    let train = rows(dir.path(), "belle.jsonl");
    let mean = |total: usize, n: usize| total as f64 / n as f64;
    let wrapped = |r: &Value| count(&format!("Human: \n{}\n\nAssistant: \n{}", prompt(r), text(r, "output")));
    let per_row = mean(train.iter().map(wrapped).sum(), train.len());
    assert!(per_row < 30.0, "{per_row} tokens per instruction");
    let per_answer = mean(train.iter().map(|r| count(text(r, "output"))).sum(), train.len());
    assert!(per_answer < 8.0, "{per_answer} tokens per answer");
    let texts = rows(dir.path(), "text.jsonl");
    let per_text = mean(texts.iter().map(|r| count(text(r, "text"))).sum(), texts.len());
    assert!((20.0..60.0).contains(&per_text), "{per_text} tokens per paragraph");
}

#[test]
fn study_is_valid_and_has_the_papers_arms() {
    let dir = tempfile::tempdir().unwrap();
    write_all(dir.path(), 1, &SIZES).unwrap();
    let study = Study::from_toml(&fs::read_to_string(dir.path().join("study.toml")).unwrap()).unwrap();
    let names: Vec<&str> = study.arms.iter().filter(|a| a.evaluate).map(|a| a.name.as_str()).collect();
    let expected = [
        "small + LoRA(600)",
        "small + LoRA(2000)",
        "small + LoRA(4000)",
        "large + LoRA(2000)",
        "small + FT(600)",
        "small + FT(2000)",
        "small + FT(2000) + LoRA(math_1500)",
        "small + FT(2000) + FT(math_1500)",
        "small + LoRA-attention(2000)",
    ];
    assert_eq!(names, expected);
    for model in &study.models {
        assert!(dir.path().join(&model.source).join("model.safetensors").is_file(), "{}", model.source);
    }
    let pretraining = fs::read_to_string(dir.path().join("pretraining.toml")).unwrap();
    for model in &Study::from_toml(&pretraining).unwrap().models {
        model.shape.as_ref().unwrap().check().unwrap();
    }
    // The methods that are compared on one set are each at the best of several rates, and every arm is trained thrice.
    let tuned = ["small + LoRA(2000)", "small + FT(2000)", "small + LoRA-attention(2000)"];
    for arm in &study.arms {
        let candidates = study.candidates(arm).unwrap().len();
        assert_eq!((candidates, study.seeds(arm)), (if tuned.contains(&arm.name.as_str()) { 3 } else { 1 }, 3));
    }
    for source in study.datasets.iter().flat_map(|d| d.source.paths()) {
        assert!(dir.path().join(source).is_file(), "{source}");
    }
}

#[test]
fn asking_for_more_prompts_than_there_are_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let mut sizes = SIZES;
    sizes.classes[5].1 = 100_000;
    let error = write_all(dir.path(), 1, &sizes).unwrap_err().to_string();
    assert!(error.contains("open QA") && error.contains("lower the size"), "{error}");
}

/// The base models that come with the executable are those of the text and the tokenizer that it writes: they predict the one
/// in the tokens of the other far better than chance, which is the logarithm of the vocabulary's size.
#[test]
fn the_base_models_know_the_text() {
    let dir = tempfile::tempdir().unwrap();
    write_all(dir.path(), super::bases::SEED, &SIZES).unwrap();
    let tokenizer = Tokenizer::from_file(dir.path().join("tokenizer.json")).unwrap();
    let texts = rows(dir.path(), "text.jsonl");
    let encode = |row: &Value| tokenizer.encode(text(row, "text"), false).unwrap().get_ids().to_vec();
    let tokens: Vec<Vec<u32>> = texts.iter().take(40).map(encode).collect();
    let is_label: Vec<Vec<bool>> = tokens.iter().map(|of| (0..of.len()).map(|i| i > 0).collect()).collect();
    for size in ["small", "large"] {
        let source = tunebench_model::open(&dir.path().join(format!("base-{size}"))).unwrap();
        let (shape, weights) = (&source.shape, source.weights().unwrap());
        assert_eq!(*shape, super::study::decoder(shape.vocab_size, SIZES.dimensions(size)));
        let parts = Parts { shape, weights, tuning: Tuning::none() };
        let mut model = FAST.trainable(parts, AdamWStates::new(), false).unwrap();
        let sequence = |i: usize| Sequence { tokens: &tokens[i], is_label: &is_label[i], step_index: i as u64 };
        let totals = model.loss(&[(0..tokens.len()).map(sequence).collect()]).unwrap();
        let loss = totals.loss / totals.labels as f64;
        let chance = (shape.vocab_size as f64).ln();
        assert!(loss < 0.4 * chance, "{size}: {loss} nats per token, {chance} by chance");
    }
}

/// Another seed has other facts, which no model comes for: then each is trained first.
#[test]
fn another_seed_trains_its_own_base_models() {
    let dir = tempfile::tempdir().unwrap();
    write_all(dir.path(), super::bases::SEED + 1, &SIZES).unwrap();
    let study = Study::from_toml(&fs::read_to_string(dir.path().join("study.toml")).unwrap()).unwrap();
    assert!(!dir.path().join("base-small").exists());
    for arm in study.arms.iter().filter(|arm| !arm.evaluate) {
        assert_eq!((study.seeds(arm), study.model(&arm.base).unwrap().source.as_str()), (1, "init:"), "{}", arm.name);
    }
}
