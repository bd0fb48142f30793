//! One message of a conversation, in any of the usual spellings.

use fields::{Fault, Fields, Notes, is_blank};
use serde_json::Value;
use tunebench_plugin_api::prelude::*;

use crate::options::{Options, Reasoning};

type Result<T> = std::result::Result<T, Fault>;

/// What a model thought before an answer.
const REASONING: [&str; 3] = ["reasoning_content", "reasoning", "thinking"];
/// Calls of tools, and what says that a message is one.
const CALLS: [&str; 3] = ["tool_calls", "function_call", "tool_call_id"];
/// Whether a message is learnt, as several tools write it.
const LEARNT: [&str; 4] = ["weight", "train", "training", "loss"];

/// Who speaks, by every name that is in use.
const ROLES: [(&str, Role); 15] = [
    ("system", Role::System),
    ("developer", Role::System),
    ("human", Role::User),
    ("user", Role::User),
    ("prompter", Role::User),
    ("assistant", Role::Assistant),
    ("gpt", Role::Assistant),
    ("chatgpt", Role::Assistant),
    ("gpt4", Role::Assistant),
    ("model", Role::Assistant),
    ("bot", Role::Assistant),
    ("ai", Role::Assistant),
    ("bing", Role::Assistant),
    ("bard", Role::Assistant),
    ("claude", Role::Assistant),
];

/// Roles that are a tool's part of a conversation.
const TOOL_ROLES: [&str; 8] =
    ["tool", "tools", "tool_call", "tool_response", "function", "function_call", "function_response", "observation"];

/// A list of messages as turns.
pub fn turns(key: &str, list: &Value, options: &Options, notes: &mut Notes) -> Result<Vec<Turn>> {
    let Some(messages) = list.as_array() else { return Err(format!("`{key}` is not a list")) };
    let mut turns = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        match message {
            // As UltraChat has it: one speaks after the other.
            Value::String(text) if key == "data" => {
                turns.push(Turn::new(if index % 2 == 0 { Role::User } else { Role::Assistant }, text));
            }
            Value::Object(message) => {
                let fields = Fields::new(message);
                push(&mut turns, key, &fields, options, notes)?;
                notes.add_unused(fields.unused().map(|name| format!("{key}: {name}")));
            }
            _ => return Err(format!("`{key}` holds something else than objects")),
        }
    }
    Ok(turns)
}

/// The turns of an object of the list `key`: one, or a question and its answer.
fn push(turns: &mut Vec<Turn>, key: &str, fields: &Fields<'_>, options: &Options, notes: &mut Notes) -> Result<()> {
    if let Some(key) = CALLS.into_iter().find(|key| fields.has(key)) {
        return Err(format!("has `{key}`, and calls of tools are not learnt"));
    }
    if fields.has("train_detail") {
        return Err("has `train_detail`, and parts of a message are not learnt apart".into());
    }
    // As Firefly has it: both in one object, whose mark is that of its answer.
    if fields.has("human") && fields.has("assistant") {
        turns.push(Turn::new(Role::User, fields.required("human")?));
        let answer = with_reasoning(fields, fields.required("assistant")?.to_owned(), options, notes)?;
        turns.push(marked(Turn::new(Role::Assistant, answer), is_learnt(fields)?));
        return Ok(());
    }
    let (who, what) = if fields.names("from") { ("from", "value") } else { ("role", "content") };
    let role = role(fields.required(who)?)?;
    if fields.has("refusal") && !fields.has(what) {
        return Err("has a `refusal` in place of an answer".into());
    }
    let content = content(key, what, fields, notes)?;
    let content = match role {
        Role::Assistant => with_reasoning(fields, content, options, notes)?,
        _ => content,
    };
    let mark = is_learnt(fields)?;
    if mark == Some(true) && role != Role::Assistant && !fields.names("weight") {
        return Err("a turn that is not the assistant's is marked to be learnt, and only answers are".into());
    }
    turns.push(marked(Turn::new(role, content), mark));
    Ok(())
}

/// A turn as its mark says. Only answers are learnt anyway.
fn marked(turn: Turn, is_learnt: Option<bool>) -> Turn {
    if turn.role == Role::Assistant && is_learnt == Some(false) { turn.not_learnt() } else { turn }
}

fn role(name: &str) -> Result<Role> {
    let lower = name.to_lowercase();
    if let Some((_, role)) = ROLES.iter().find(|(known, _)| *known == lower) {
        return Ok(*role);
    }
    match TOOL_ROLES.contains(&lower.as_str()) {
        true => Err(format!("has a turn of `{lower}`, and calls of tools are not learnt")),
        false => Err("a speaker other than system, user and assistant".into()),
    }
}

/// The text `what` of a message in the list `key`: as it is, or in parts that are all text.
fn content(key: &str, what: &'static str, fields: &Fields<'_>, notes: &mut Notes) -> Result<String> {
    let Some(Value::Array(parts)) = fields.get(what) else { return fields.required(what).map(str::to_owned) };
    let mut text = String::new();
    for part in parts {
        match part {
            Value::String(part) => text += part,
            Value::Object(part) => {
                let part = Fields::new(part);
                text += part_text(&part)?.ok_or_else(|| format!("`{what}` is not text"))?;
                notes.add_unused(part.unused().map(|name| format!("{key}: {what}: {name}")));
            }
            _ => return Err(format!("`{what}` is not text")),
        }
    }
    match is_blank(&text) {
        true => Err(format!("`{what}` is missing or empty")),
        false => Ok(text),
    }
}

/// The text of a part. Parquet has all kinds of parts in one, those that are not there as null.
fn part_text<'a>(part: &Fields<'a>) -> Result<Option<&'a str>> {
    let kind = part.get("type").and_then(Value::as_str).unwrap_or("text");
    if !matches!(kind, "text" | "input_text" | "output_text") {
        return Err(format!("a part of type `{kind}`, which is no text"));
    }
    if let Some(key) = LEARNT.into_iter().find(|key| part.has(key)) {
        return Err(format!("a part has `{key}`, and parts of a message are not learnt apart"));
    }
    Ok(part.get("text").and_then(Value::as_str))
}

/// An answer with what was thought before it, as the options say.
pub fn with_reasoning(fields: &Fields<'_>, answer: String, options: &Options, notes: &mut Notes) -> Result<String> {
    let is_there = |key: &&'static str| fields.has(key) && fields.text(key).map_or(true, |text| !is_blank(text));
    let Some(key) = REASONING.into_iter().find(is_there) else { return Ok(answer) };
    match options.reasoning {
        Reasoning::Refuse => Err(format!(
            "has `{key}`; options = {{ reasoning = \"drop\" }} leaves it out, \"think\" puts it before the answer"
        )),
        Reasoning::Drop => {
            fields.get(key);
            notes.add("what was thought before an answer was left out");
            Ok(answer)
        }
        Reasoning::Think => Ok(format!("<think>\n{}\n</think>\n\n{answer}", fields.required(key)?.trim())),
    }
}

/// What a message's own mark says: learnt or not.
fn is_learnt(fields: &Fields<'_>) -> Result<Option<bool>> {
    let mut found: Option<bool> = None;
    for key in LEARNT {
        let said = match fields.get(key) {
            None => continue,
            Some(Value::Bool(said)) => *said,
            Some(Value::Number(number)) if number.as_f64() == Some(0.0) => false,
            Some(Value::Number(number)) if number.as_f64() == Some(1.0) => true,
            Some(_) => {
                return Err(format!("`{key}` of a message is neither 0 nor 1, and a part of a weight is not known"));
            }
        };
        if found.is_some_and(|before| before != said) {
            return Err("two marks of a message say different things of whether it is learnt".into());
        }
        found = Some(said);
    }
    Ok(found)
}
