//! The row schemas, told apart by their keys:
//!
//! | keys | what |
//! |---|---|
//! | `question`, `class` (`std_answer` or an answer) | BELLE's evaluation set |
//! | `conversations` (`system`) | BELLE train_3.5M, ShareGPT: `[{from, value}]` |
//! | `messages` | OpenAI: `[{role, content}]` |
//! | `instruction`, `instances` | BELLE's seed tasks: one `{input, output}` |
//! | `instruction`, an answer (`input` or `context`, `system`, `history`) | BELLE 1M, 2M, multi-turn, school math; Alpaca; Dolly |
//! | `question`, an answer (`system`, `history`) | pairs |
//! | `prompt`, an answer (`system`, `history`) | pairs, as OpenAI's completions |
//! | `input`, an answer | BELLE 0.5M |
//! | `text` | text to pre-train on: one turn of the assistant |
//!
//! An answer is the first of `output`, `target`, `response`, `answer`, `completion` that is there. All but the first kind
//! yield the whole conversation. Asked as an evaluation item, that is the question with what was said before, and the
//! host takes the last answer as the reference.

use serde_json::{Map, Value};
use tunebench_plugin_api::prelude::*;

use crate::dialogue;

type Fields = Map<String, Value>;
/// Why a row cannot be used; equal faults have equal reasons.
type Fault = String;
type Read = fn(&Fields, &str) -> std::result::Result<Vec<Turn>, Fault>;

/// The keys of an evaluation item.
const ITEM: &[&str] = &["question", "class"];

/// Keys that a row must have, and how it is then read, given what to put between an instruction and its input. The first
/// match counts.
const SCHEMAS: [(&[&str], Read); 9] = [
    (ITEM, question),
    (&["conversations"], conversations),
    (&["messages"], messages),
    (&["instruction", "instances"], seed_task),
    (&["instruction"], instruction),
    (&["question"], question_answer),
    (&["prompt"], prompt_completion),
    (&["input"], input_target),
    (&["text"], plain_text),
];

/// What an answer may be called; the first that a row has counts.
const ANSWERS: [&str; 5] = ["output", "target", "response", "answer", "completion"];

/// The conversation of a row. An evaluation item's category is its class name, not yet what the paper counts it as.
///
/// # Errors
/// The reason why the row cannot be used.
pub fn example(id: &str, row: &Value, separator: &str) -> std::result::Result<Example, Fault> {
    let Value::Object(fields) = row else { return Err("not a JSON object".into()) };
    let has_all = |keys: &[&str]| keys.iter().all(|key| fields.contains_key(*key));
    let Some((keys, read)) = SCHEMAS.iter().find(|(keys, _)| has_all(keys)) else {
        let mut keys: Vec<&str> = fields.keys().map(String::as_str).collect();
        keys.sort_unstable();
        keys.truncate(10);
        return Err(format!("no known schema has the keys: {}", keys.join(", ")));
    };
    let turns = read(fields, separator)?;
    if *keys != ITEM {
        return Ok(Example { id: id.into(), turns, category: None, reference: None, rubric: None });
    }
    let answers = ["std_answer"].into_iter().chain(ANSWERS);
    let answers: Vec<&str> = answers.map(|key| text(fields, key)).collect::<std::result::Result<_, Fault>>()?;
    let reference = answers.into_iter().find(|answer| !is_blank(answer)).map(str::to_owned);
    let class = Some(class_name(required(fields, "class")?));
    Ok(Example { id: id.into(), turns, category: class, reference, rubric: None })
}

/// Whether a row is the rubric of a class.
pub fn is_rubric(row: &Value) -> bool {
    row.get("class").is_some() && row.get("prompt").is_some() && row.get("question").is_none()
}

/// Class and text of a rubric.
///
/// # Errors
/// The reason why the row is no rubric.
pub fn rubric(row: &Value) -> std::result::Result<(String, String), Fault> {
    let Value::Object(fields) = row else { return Err("not a JSON object".into()) };
    Ok((class_name(required(fields, "class")?), required(fields, "prompt")?.to_owned()))
}

/// One spelling for a class: BELLE's files differ in case, and have no-break spaces in some names.
pub fn class_name(class: &str) -> String {
    class.replace('\u{a0}', " ").trim().to_lowercase()
}

/// The category that the paper reports a class under.
pub fn category(class: String) -> String {
    match class.as_str() {
        "math" | "code" => "others".into(),
        _ => class,
    }
}

fn question(fields: &Fields, _: &str) -> std::result::Result<Vec<Turn>, Fault> {
    Ok(vec![Turn::new(Role::User, required(fields, "question")?)])
}

fn plain_text(fields: &Fields, _: &str) -> std::result::Result<Vec<Turn>, Fault> {
    Ok(vec![Turn::new(Role::Assistant, required(fields, "text")?)])
}

fn input_target(fields: &Fields, _: &str) -> std::result::Result<Vec<Turn>, Fault> {
    // BELLE's own name for it, where a row has both.
    let answer = if fields.contains_key("target") { required(fields, "target")? } else { answer(fields)? };
    with_answer(prompt_turns(required(fields, "input")?)?, answer)
}

fn question_answer(fields: &Fields, _: &str) -> std::result::Result<Vec<Turn>, Fault> {
    after_history(fields, required(fields, "question")?)
}

fn prompt_completion(fields: &Fields, _: &str) -> std::result::Result<Vec<Turn>, Fault> {
    after_history(fields, required(fields, "prompt")?)
}

fn seed_task(fields: &Fields, separator: &str) -> std::result::Result<Vec<Turn>, Fault> {
    let Some([Value::Object(instance)]) = fields["instances"].as_array().map(Vec::as_slice) else {
        return Err("`instances` does not hold exactly one object".into());
    };
    let prompt = join(text(fields, "instruction")?, text(instance, "input")?, separator);
    with_answer(prompt_turns(&prompt)?, required(instance, "output")?)
}

fn instruction(fields: &Fields, separator: &str) -> std::result::Result<Vec<Turn>, Fault> {
    let input = if fields.contains_key("input") { "input" } else { "context" };
    after_history(fields, &join(text(fields, "instruction")?, text(fields, input)?, separator))
}

/// The conversation of a row with this prompt: what was said before it, and the answer behind it.
fn after_history(fields: &Fields, prompt: &str) -> std::result::Result<Vec<Turn>, Fault> {
    let mut turns = system(fields)?;
    match fields.get("history") {
        None | Some(Value::Null) => {}
        Some(Value::Array(pairs)) => {
            for pair in pairs {
                let Some([Value::String(question), Value::String(answer)]) = pair.as_array().map(Vec::as_slice) else {
                    return Err("`history` is not a list of [question, answer]".into());
                };
                turns.push(Turn::new(Role::User, question));
                turns.push(Turn::new(Role::Assistant, answer));
            }
        }
        Some(_) => return Err("`history` is not a list of [question, answer]".into()),
    }
    turns.extend(prompt_turns(prompt)?);
    with_answer(turns, answer(fields)?)
}

fn conversations(fields: &Fields, _: &str) -> std::result::Result<Vec<Turn>, Fault> {
    said(fields, "conversations")
}

fn messages(fields: &Fields, _: &str) -> std::result::Result<Vec<Turn>, Fault> {
    said(fields, "messages")
}

/// A list of messages in either spelling: `{from, value}` or `{role, content}`.
fn said(fields: &Fields, key: &str) -> std::result::Result<Vec<Turn>, Fault> {
    let Some(messages) = fields[key].as_array() else { return Err(format!("`{key}` is not a list")) };
    let mut turns = system(fields)?;
    for message in messages {
        let Value::Object(message) = message else { return Err(format!("`{key}` holds something else than objects")) };
        let (who, what) = if message.contains_key("from") { ("from", "value") } else { ("role", "content") };
        turns.push(Turn::new(role(required(message, who)?)?, required(message, what)?));
    }
    checked(turns)
}

fn role(name: &str) -> std::result::Result<Role, Fault> {
    match name {
        "system" | "developer" => Ok(Role::System),
        "human" | "user" => Ok(Role::User),
        "assistant" | "gpt" | "chatgpt" | "model" => Ok(Role::Assistant),
        _ => Err("a speaker other than system, user and assistant".into()),
    }
}

fn system(fields: &Fields) -> std::result::Result<Vec<Turn>, Fault> {
    let content = text(fields, "system")?;
    Ok(if is_blank(content) { vec![] } else { vec![Turn::new(Role::System, content)] })
}

fn join(instruction: &str, input: &str, separator: &str) -> String {
    let separator = if is_blank(instruction) || is_blank(input) { "" } else { separator };
    [instruction, separator, input].concat()
}

/// The turns of a prompt: those of the dialogue it holds, or one of the user.
fn prompt_turns(prompt: &str) -> std::result::Result<Vec<Turn>, Fault> {
    match dialogue::turns(prompt) {
        turns if turns.is_empty() => Ok(vec![Turn::new(Role::User, prompt)]),
        turns => Ok(turns),
    }
}

fn with_answer(mut turns: Vec<Turn>, answer: &str) -> std::result::Result<Vec<Turn>, Fault> {
    turns.push(Turn::new(Role::Assistant, answer));
    checked(turns)
}

/// Refuses what no template can write sensibly or nothing can be learnt from.
fn checked(turns: Vec<Turn>) -> std::result::Result<Vec<Turn>, Fault> {
    if turns.iter().any(|turn| is_blank(&turn.content)) {
        return Err("a turn is empty".into());
    }
    let spoken = &turns[usize::from(turns.first().is_some_and(|turn| turn.role == Role::System))..];
    let alternates = spoken.iter().enumerate().all(|(index, turn)| {
        let expected = if index % 2 == 0 { Role::User } else { Role::Assistant };
        turn.role == expected
    });
    if !alternates {
        return Err("turns do not alternate between user and assistant, the user first".into());
    }
    if spoken.len() < 2 {
        return Err("no answer of the assistant".into());
    }
    Ok(turns)
}

/// The answer of a row, whatever it is called.
fn answer(fields: &Fields) -> std::result::Result<&str, Fault> {
    required(fields, ANSWERS.into_iter().find(|key| fields.contains_key(*key)).unwrap_or(ANSWERS[0]))
}

/// A text field; empty when absent or null.
fn text<'a>(fields: &'a Fields, key: &str) -> std::result::Result<&'a str, Fault> {
    match fields.get(key) {
        None | Some(Value::Null) => Ok(""),
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(format!("`{key}` is not text")),
    }
}

/// A text field that says something.
fn required<'a>(fields: &'a Fields, key: &str) -> std::result::Result<&'a str, Fault> {
    match text(fields, key)? {
        blank if is_blank(blank) => Err(format!("`{key}` is missing or empty")),
        text => Ok(text),
    }
}

fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}
