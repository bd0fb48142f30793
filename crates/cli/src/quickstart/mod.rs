//! The quickstart's own world: everything the embedded study needs, written from a seed.
//!
//! A closed world of invented towns and people ([`words`], [`world`]) is told in a pre-training text ([`text`]) and
//! asked about in Chinese instructions of nine categories ([`tasks`], [`sums`]), in BELLE's file formats. Every
//! evaluation item has an answer that a program can check, so a score is a share of right answers. [`study`] is the
//! paper's comparison at toy scale over these files.

pub mod bases;
pub mod study;
mod sums;
mod task;
mod tasks;
#[cfg(test)]
mod tests;
mod text;
mod tokenizer;
mod words;
mod world;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use serde_json::{Value, json};
use tunebench_spec::random::Stream;

use study::{Bases, Sizes};
use task::Task;
use tasks::{CLASSES, Class, Split};
use words::RUBRICS;
use world::Fact;

/// What [`write_all`] wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    pub text_rows: usize,
    pub instruction_rows: usize,
    pub math_rows: usize,
    pub eval_items: usize,
    /// Tokens of `tokenizer.json`.
    pub vocab_size: usize,
}

/// Draws without a new prompt before a generator counts as exhausted.
const PATIENCE: usize = 2_000;

/// Writes the pre-training text, the instruction and maths data, the evaluation set with its rubrics, the
/// tokenizer and the study into `dir`, which is created. Equal seeds and sizes give equal bytes.
///
/// # Errors
/// When a file cannot be written, or when `sizes` asks for more different prompts than there are.
pub fn write_all(dir: &Path, seed: u64, sizes: &Sizes) -> io::Result<Written> {
    let facts = world::facts(seed);
    let pieces = tokenizer::pieces();
    let mut asked = BTreeSet::new();
    let eval = eval_items(seed, sizes, &facts, &mut asked)?;
    let instructions = instructions(seed, sizes, &facts, &mut asked)?;
    let math = math(seed, sizes, &mut asked)?;
    let spoken = pieces.iter().map(String::as_str).filter(|p| !p.contains('\n')).collect();
    let source = text::Source { facts: &facts, pieces: spoken };
    let mut rng = Stream::named(seed, "text");
    let mut paragraphs = source.every_word(&mut rng);
    while paragraphs.len() < sizes.text_rows {
        paragraphs.push(source.paragraph(&mut rng));
    }
    let texts: Vec<Value> = paragraphs.iter().map(|paragraph| json!({"text": paragraph})).collect();
    let rubrics: Vec<Value> = RUBRICS.iter().map(|(class, prompt)| json!({"class": class, "prompt": prompt})).collect();

    fs::create_dir_all(dir)?;
    let mut characters = BTreeSet::new();
    for (name, rows) in [
        ("text.jsonl", &texts),
        ("belle.jsonl", &instructions),
        ("math.jsonl", &math),
        ("eval_set.json", &eval),
        ("eval_prompt.json", &rubrics),
    ] {
        rows.iter().for_each(|row| collect_characters(row, &mut characters));
        write_rows(&dir.join(name), rows)?;
    }
    pieces.iter().for_each(|p| characters.extend(p.chars()));
    let (tokenizer, vocab_size) = tokenizer::tokenizer_json(&pieces, &characters);
    fs::write(dir.join("tokenizer.json"), format!("{tokenizer:#}\n"))?;
    let special = json!({"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"});
    fs::write(dir.join("tokenizer_config.json"), format!("{special:#}\n"))?;
    let bases = if seed == bases::SEED { Bases::Shipped } else { Bases::Pretrained };
    if bases == Bases::Shipped {
        bases::write(dir, vocab_size, sizes)?;
    }
    for (name, study) in [
        ("study.toml", study::study(seed, vocab_size, sizes, bases)),
        ("pretraining.toml", study::pretraining_study(seed, vocab_size, sizes)),
    ] {
        fs::write(dir.join(name), study.to_toml().map_err(io::Error::other)?)?;
    }
    Ok(Written {
        text_rows: texts.len(),
        instruction_rows: instructions.len(),
        math_rows: math.len(),
        eval_items: eval.len(),
        vocab_size,
    })
}

/// `n` tasks with prompts that nothing else has.
fn distinct(
    what: &str,
    n: usize,
    asked: &mut BTreeSet<String>,
    mut make: impl FnMut() -> Task,
) -> io::Result<Vec<Task>> {
    let mut tasks = Vec::new();
    let mut misses = 0;
    while tasks.len() < n {
        let task = make();
        if asked.insert(task.question()) {
            tasks.push(task);
            misses = 0;
            continue;
        }
        misses += 1;
        if misses == PATIENCE {
            let found = tasks.len();
            return Err(io::Error::other(format!(
                "{what}: {found} different prompts found, {n} asked for; lower the size"
            )));
        }
    }
    Ok(tasks)
}

fn eval_items(seed: u64, sizes: &Sizes, facts: &[Fact], asked: &mut BTreeSet<String>) -> io::Result<Vec<Value>> {
    let mut rows = Vec::new();
    for Class { name, make } in &CLASSES {
        let mut rng = Stream::named(seed, &format!("eval {name}"));
        let n = sizes.eval_items(name);
        let tasks = distinct(&format!("evaluation, {name}"), n, asked, || make(facts, Split::Eval, &mut rng))?;
        let row = |t: &Task| json!({"question": t.question(), "std_answer": t.reference, "class": name});
        rows.extend(tasks.iter().map(row));
    }
    Ok(rows)
}

fn instructions(seed: u64, sizes: &Sizes, facts: &[Fact], asked: &mut BTreeSet<String>) -> io::Result<Vec<Value>> {
    let mut rows = Vec::new();
    for Class { name, make } in &CLASSES {
        let mut rng = Stream::named(seed, &format!("train {name}"));
        let n = sizes.train_rows(name);
        let tasks = distinct(&format!("training, {name}"), n, asked, || make(facts, Split::Train, &mut rng))?;
        rows.extend(tasks.iter().map(instruction_row));
    }
    Stream::named(seed, "order").shuffle(&mut rows);
    Ok(rows)
}

fn math(seed: u64, sizes: &Sizes, asked: &mut BTreeSet<String>) -> io::Result<Vec<Value>> {
    let mut rng = Stream::named(seed, "maths");
    let tasks = distinct("maths", sizes.math_rows, asked, || sums::math(sums::Style::Worked, &mut rng))?;
    Ok(tasks.iter().map(instruction_row).collect())
}

fn instruction_row(task: &Task) -> Value {
    json!({"instruction": task.instruction, "input": task.input, "output": task.output})
}

fn write_rows(path: &Path, rows: &[Value]) -> io::Result<()> {
    let mut file = io::BufWriter::new(fs::File::create(path)?);
    for row in rows {
        writeln!(file, "{row}")?;
    }
    file.flush()
}

/// The characters of every string in a row.
fn collect_characters(value: &Value, into: &mut BTreeSet<char>) {
    match value {
        Value::String(text) => into.extend(text.chars()),
        Value::Array(values) => values.iter().for_each(|v| collect_characters(v, into)),
        Value::Object(fields) => fields.values().for_each(|v| collect_characters(v, into)),
        _ => {}
    }
}
