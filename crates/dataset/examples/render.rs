//! Renders chat templates for `tests/golden/check_templates.py`, which compares them with transformers'.
//!
//! Reads a JSON object a line and writes one: `{"source", "names", "messages": [{"role", "content"}],
//! "add_generation_prompt"}` becomes `{"text", "generation": [[from, to]]}`, in bytes, or `{"fault"}`; with `"tokenizer"`, a
//! file, it becomes `{"tokens", "is_answer"}`; and `{"named"}`, the name of a template, becomes `{"source"}`.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};

use serde_json::{Value, json};
use tunebench_dataset::jinja::template::{Asked, JinjaTemplate, Message};
use tunebench_dataset::{Encoder, Template, Tokenizer};
use tunebench_spec::{Role, Turn};

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let asked: Value = serde_json::from_str(&line?)?;
        writeln!(out, "{}", answer(&asked).unwrap_or_else(|fault| json!({ "fault": fault })))?;
    }
    Ok(())
}

fn answer(asked: &Value) -> Result<Value, String> {
    if let Some(name) = asked["named"].as_str() {
        let template = Template::named(name).map_err(|e| e.to_string())?;
        return Ok(json!({ "source": template.as_jinja(false) }));
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let names: BTreeMap<String, String> =
        asked["names"].as_object().into_iter().flatten().map(|(name, token)| (name.clone(), text(token))).collect();
    let role = |message: &Value| ["system", "user", "assistant"].into_iter().find(|role| message["role"] == *role);
    let message =
        |message: &Value| Message { role: role(message).unwrap_or("tool"), content: text(&message["content"]) };
    let messages: Vec<Message> = asked["messages"].as_array().into_iter().flatten().map(message).collect();
    if let Some(file) = asked["tokenizer"].as_str() {
        return tokens(asked, file, names, &messages);
    }
    let template = JinjaTemplate::new(&text(&asked["source"]), names)?;
    let how = Asked { add_generation_prompt: asked["add_generation_prompt"] == true, reasoning_effort: None };
    let rendered = template.render(&messages, how)?;
    let generation: Vec<[usize; 2]> = rendered.generation.iter().map(|range| [range.start, range.end]).collect();
    Ok(json!({ "text": rendered.text, "generation": generation }))
}

/// What a study would train on, or ask.
fn tokens(asked: &Value, file: &str, names: BTreeMap<String, String>, messages: &[Message]) -> Result<Value, String> {
    let inner = tokenizers::Tokenizer::from_file(file).map_err(|e| e.to_string())?;
    let id = |name: &str| names.get(name).and_then(|token| inner.token_to_id(token));
    let (bos, eos) = (id("bos_token"), id("eos_token").into_iter().collect());
    let tokenizer = Tokenizer::new(inner, bos, eos).map_err(|e| e.to_string())?;
    let source = asked["source"].as_str().unwrap_or_default();
    let encoder = Encoder::own(source, names, tokenizer).map_err(|e| e.to_string())?;
    let role = |name: &str| match name {
        "system" => Role::System,
        "user" => Role::User,
        _ => Role::Assistant,
    };
    let turns: Vec<Turn> =
        messages.iter().map(|message| Turn::new(role(message.role), message.content.as_str())).collect();
    if asked["add_generation_prompt"] == true {
        let prompt = encoder.prompt(&turns).map_err(|e| e.to_string())?;
        return Ok(json!({ "tokens": prompt.tokens }));
    }
    let found = encoder.conversation(&turns).map_err(|e| e.to_string())?.tokens;
    let is_answer: Vec<bool> = found.iter().map(|token| token.is_answer).collect();
    Ok(json!({ "tokens": found.iter().map(|token| token.id).collect::<Vec<_>>(), "is_answer": is_answer }))
}
