//! The row schemas, told apart by their keys:
//!
//! | keys | what |
//! |---|---|
//! | `question`, `class` (`std_answer` or an answer) | BELLE's evaluation set |
//! | `conversations` (`system`) | BELLE train_3.5M, ShareGPT: `[{from, value}]` |
//! | `messages` (`system`) | OpenAI: `[{role, content}]`, content as text or as parts of text |
//! | `conversation` | Firefly: `[{human, assistant}]`, or messages |
//! | `instruction`, `instances` | BELLE's seed tasks: one `{input, output}` |
//! | `instruction`, an answer (`input` or `context`, `system`, `history`) | BELLE 1M, 2M, multi-turn, school math; Alpaca; Dolly |
//! | `question`, an answer (`system`, `history`) | pairs |
//! | `query`, an answer (`system`, `history`) | pairs |
//! | `prompt`, an answer (`system`, `history`) | pairs, as OpenAI's completions; or both as messages |
//! | `input`, an answer | BELLE 0.5M |
//! | `data` | UltraChat: texts of user and assistant in turn |
//! | `text` | text to pre-train on: one turn of the assistant |
//!
//! An answer is the first of `output`, `target`, `response`, `answer`, `completion` that is there. All but the first kind
//! yield the whole conversation. Asked as an evaluation item, that is the question with what was said before, and the
//! host takes the last answer as the reference. A field that is null, or an empty list, counts as absent. Messages that
//! are marked not to be learnt (`weight`, `train`, `training`, `loss`) are not; rows marked so as a whole are refused, as
//! are tools and reasoning unless the options say what becomes of them.

use fields::{Fault, Fields, Notes, check_learnt, is_blank, tools};
use serde_json::Value;
use tunebench_plugin_api::prelude::*;

use crate::dialogue::{self, Dialogue};
use crate::message;
use crate::options::{Options, Tools};

type Result<T> = std::result::Result<T, Fault>;
type Read = fn(&mut Reading<'_, '_>) -> Result<Vec<Turn>>;

/// A row that is read.
struct Reading<'r, 'a> {
    fields: &'r Fields<'a>,
    options: &'r Options,
    notes: &'r mut Notes,
}

/// The keys of an evaluation item.
const ITEM: &[&str] = &["question", "class"];

/// Keys that a row must have, and how it is then read. The first match counts.
const SCHEMAS: [(&[&str], Read); 12] = [
    (ITEM, question),
    (&["conversations"], |row| said(row, "conversations")),
    (&["messages"], |row| said(row, "messages")),
    (&["conversation"], |row| said(row, "conversation")),
    (&["instruction", "instances"], seed_task),
    (&["instruction"], instruction),
    (&["question"], |row| pair(row, "question")),
    (&["query"], |row| pair(row, "query")),
    (&["prompt"], prompt_completion),
    (&["input"], input_target),
    (&["data"], |row| said(row, "data")),
    (&["text"], plain_text),
];

/// What an answer may be called; the first that a row has counts.
const ANSWERS: [&str; 5] = ["output", "target", "response", "answer", "completion"];

/// The conversation of a row. An evaluation item's category is its class name, not yet what the paper counts it as.
///
/// # Errors
/// The reason why the row cannot be used.
pub fn example(id: &str, row: &Value, options: &Options, notes: &mut Notes) -> Result<Example> {
    let Value::Object(map) = row else { return Err("not a JSON object".into()) };
    let fields = Fields::new(map);
    let fits = |keys: &[&str]| keys.iter().all(|key| is_named(&fields, key, keys));
    let Some((keys, read)) = SCHEMAS.iter().find(|(keys, _)| fits(keys)) else { return Err(unknown(&fields)) };
    let mut noted = Notes::default();
    check_whole(&fields, options, &mut noted)?;
    let turns = read(&mut Reading { fields: &fields, options, notes: &mut noted })?;
    let example = if *keys == ITEM {
        let answers = ["std_answer"].into_iter().chain(ANSWERS);
        let answers: Vec<&str> = answers.map(|key| fields.text(key)).collect::<Result<_>>()?;
        let reference = answers.into_iter().find(|answer| !is_blank(answer)).map(str::to_owned);
        let class = Some(class_name(fields.required("class")?));
        Example { id: id.into(), turns, category: class, reference, rubric: None }
    } else {
        Example { id: id.into(), turns, category: None, reference: None, rubric: None }
    };
    noted.add_unused(fields.unused());
    notes.add_row(&noted);
    Ok(example)
}

/// Whether a schema's key is there: null and an empty list say that it is not. Where nothing else is, it says what is wrong.
fn is_named(fields: &Fields<'_>, key: &str, keys: &[&str]) -> bool {
    const PROMPTS: [&str; 6] = ["instruction", "question", "query", "prompt", "input", "text"];
    let has_other = || PROMPTS.iter().any(|other| !keys.contains(other) && fields.has(other));
    // A class that is null says that a row is no evaluation item.
    fields.has(key) || (key != "class" && fields.names(key) && !has_other())
}

/// Why no schema fits.
fn unknown(fields: &Fields<'_>) -> Fault {
    let keys = fields.keys();
    if fields.names("role") && fields.names("content") || fields.names("from") && fields.names("value") {
        return "a single message; put those of a conversation together as {\"messages\": […]}".into();
    }
    if fields.names("chosen") {
        return "an answer that was chosen, without a prompt beside it; name the prompt with `columns` of the [[dataset]]".into();
    }
    format!(
        "no known schema has the keys: {keys}; say what they are by columns = {{ instruction = \"…\", output = \"…\" }} in the \
         [[dataset]]"
    )
}

/// What a row says of itself as a whole.
fn check_whole(fields: &Fields<'_>, options: &Options, notes: &mut Notes) -> Result<()> {
    match (tools(fields), options.tools) {
        (None, _) => {}
        (Some(key), Tools::Refuse) => {
            return Err(format!(
                "has `{key}`, which no template writes; options = {{ tools = \"drop\" }} leaves them out"
            ));
        }
        (Some(key), Tools::Drop) => {
            fields.get(key);
            notes.add("the tools were left out");
        }
    }
    check_learnt(fields)
}

/// Whether a row is the rubric of a class.
pub fn is_rubric(row: &Value) -> bool {
    row.get("class").is_some() && row.get("prompt").is_some() && row.get("question").is_none()
}

/// Class and text of a rubric.
///
/// # Errors
/// The reason why the row is no rubric.
pub fn rubric(row: &Value) -> Result<(String, String)> {
    let Value::Object(map) = row else { return Err("not a JSON object".into()) };
    let fields = Fields::new(map);
    Ok((class_name(fields.required("class")?), fields.required("prompt")?.to_owned()))
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

fn question(row: &mut Reading<'_, '_>) -> Result<Vec<Turn>> {
    Ok(vec![Turn::new(Role::User, row.fields.required("question")?)])
}

fn plain_text(row: &mut Reading<'_, '_>) -> Result<Vec<Turn>> {
    Ok(vec![Turn::new(Role::Assistant, row.fields.required("text")?)])
}

fn input_target(row: &mut Reading<'_, '_>) -> Result<Vec<Turn>> {
    let prompt = row.fields.required("input")?;
    // BELLE's own name for it, where a row has both.
    let answer = if row.fields.has("target") { row.fields.required("target")? } else { answer(row.fields)? };
    let turns = prompt_turns(row, prompt)?;
    with_answer(row, turns, answer)
}

fn pair(row: &mut Reading<'_, '_>, prompt: &'static str) -> Result<Vec<Turn>> {
    let prompt = row.fields.required(prompt)?;
    after_history(row, prompt)
}

/// Texts, or messages in both fields as TRL has them.
fn prompt_completion(row: &mut Reading<'_, '_>) -> Result<Vec<Turn>> {
    let Some(Value::Array(_)) = row.fields.get("prompt") else {
        if !has_answer(row.fields) && row.fields.has("chosen") {
            return Err("`chosen` and `rejected` answers of preference data; columns = { output = \"chosen\" } learns the chosen one".into());
        }
        return pair(row, "prompt");
    };
    let mut turns = said_in(row, "prompt")?;
    turns.extend(said_in(row, "completion")?);
    let system = system(row.fields)?;
    checked(system.into_iter().chain(turns).collect())
}

fn seed_task(row: &mut Reading<'_, '_>) -> Result<Vec<Turn>> {
    let Some([Value::Object(instance)]) = row.fields.get("instances").and_then(Value::as_array).map(Vec::as_slice)
    else {
        return Err("`instances` does not hold exactly one object".into());
    };
    let instance = Fields::new(instance);
    check_learnt(&instance)?;
    let prompt = join(row.fields.text("instruction")?, instance.text("input")?, &row.options.separator);
    let answer = instance.required("output")?;
    let answer = message::with_reasoning(&instance, answer.to_owned(), row.options, row.notes)?;
    row.notes.add_unused(instance.unused().map(|name| format!("instances: {name}")));
    let turns = prompt_turns(row, &prompt)?;
    with_answer(row, turns, &answer)
}

fn instruction(row: &mut Reading<'_, '_>) -> Result<Vec<Turn>> {
    let input = if is_blank(row.fields.text("input")?) && row.fields.names("context") { "context" } else { "input" };
    let prompt = join(row.fields.text("instruction")?, row.fields.text(input)?, &row.options.separator);
    after_history(row, &prompt)
}

/// The conversation of a row with this prompt: what was said before it, and the answer behind it.
fn after_history(row: &mut Reading<'_, '_>, prompt: &str) -> Result<Vec<Turn>> {
    let mut turns = system(row.fields)?;
    match row.fields.get("history") {
        None => {}
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
    turns.extend(prompt_turns(row, prompt)?);
    let answer = answer(row.fields)?;
    with_answer(row, turns, answer)
}

/// The messages of a row, with its system text before them.
fn said(row: &mut Reading<'_, '_>, key: &'static str) -> Result<Vec<Turn>> {
    let mut turns = system(row.fields)?;
    turns.extend(said_in(row, key)?);
    checked(turns)
}

fn said_in(row: &mut Reading<'_, '_>, key: &'static str) -> Result<Vec<Turn>> {
    let empty = Value::Array(Vec::new());
    message::turns(key, row.fields.get(key).unwrap_or(&empty), row.options, row.notes)
}

fn system(fields: &Fields<'_>) -> Result<Vec<Turn>> {
    // A prompt of the system is called so beside messages, too.
    let key = if fields.has("system") { "system" } else { "system_prompt" };
    let content = fields.text(key)?;
    Ok(if is_blank(content) { vec![] } else { vec![Turn::new(Role::System, content)] })
}

fn join(instruction: &str, input: &str, separator: &str) -> String {
    let separator = if is_blank(instruction) || is_blank(input) { "" } else { separator };
    [instruction, separator, input].concat()
}

/// The turns of a prompt: those of the dialogue it holds, or one of the user.
fn prompt_turns(row: &mut Reading<'_, '_>, prompt: &str) -> Result<Vec<Turn>> {
    match dialogue::read(prompt) {
        Dialogue::Turns(turns) => Ok(turns),
        Dialogue::None => Ok(vec![Turn::new(Role::User, prompt)]),
        Dialogue::Quoted => {
            row.notes.add("the prompt quotes a dialogue of Human and Assistant and was read as one prompt");
            Ok(vec![Turn::new(Role::User, prompt)])
        }
    }
}

fn with_answer(row: &mut Reading<'_, '_>, mut turns: Vec<Turn>, answer: &str) -> Result<Vec<Turn>> {
    let answer = message::with_reasoning(row.fields, answer.to_owned(), row.options, row.notes)?;
    turns.push(Turn::new(Role::Assistant, answer));
    checked(turns)
}

/// Refuses what no template can write sensibly or nothing can be learnt from.
fn checked(turns: Vec<Turn>) -> Result<Vec<Turn>> {
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

fn has_answer(fields: &Fields<'_>) -> bool {
    ANSWERS.iter().any(|key| fields.has(key))
}

/// The answer of a row, whatever it is called.
fn answer<'a>(fields: &Fields<'a>) -> Result<&'a str> {
    let is_there = |key: &&'static str| fields.has(key);
    let found = ANSWERS.into_iter().find(is_there).or_else(|| ANSWERS.into_iter().find(|key| fields.names(key)));
    fields.required(found.unwrap_or(ANSWERS[0]))
}
