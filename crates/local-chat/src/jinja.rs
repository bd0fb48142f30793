//! A model's own chat template: Jinja as Hugging Face's `apply_chat_template` runs it, without a clock.

use std::collections::BTreeSet;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, ErrorKind, context};
use serde::Serialize;
use tunebench_spec::escape;

const NAME: &str = "chat_template";

/// Work and memory that a conversation may take, by minijinja's count: seconds and some hundred megabytes.
const FUEL: u64 = 10_000_000;

/// The day that templates are told when they ask for today's, so that a prompt is the same on any day: the one that LLaMA 3's
/// template falls back on.
pub(crate) const DAY: &str = "26 Jul 2024";

/// What [`DAY`] is in the words of strftime(3).
const STRFTIME: [(&str, &str); 20] = [
    ("%%", "%"),
    ("%A", "Friday"),
    ("%a", "Fri"),
    ("%B", "July"),
    ("%b", "Jul"),
    ("%D", "07/26/24"),
    ("%d", "26"),
    ("%e", "26"),
    ("%-d", "26"),
    ("%F", "2024-07-26"),
    ("%H", "00"),
    ("%I", "12"),
    ("%j", "208"),
    ("%M", "00"),
    ("%m", "07"),
    ("%-m", "7"),
    ("%p", "AM"),
    ("%S", "00"),
    ("%Y", "2024"),
    ("%y", "24"),
];

/// A message as templates see it.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub role: String,
    pub content: String,
}

/// What a conversation is written with beside its messages.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked<'a> {
    /// Whether the head of the assistant's next turn is written behind it.
    pub add_generation_prompt: bool,
    /// `reasoning_effort`, for templates that look at it.
    pub reasoning_effort: Option<&'a str>,
}

/// A template, ready to write conversations.
#[derive(Debug)]
pub(crate) struct JinjaTemplate {
    environment: Environment<'static>,
    bos_token: Option<String>,
    eos_token: Option<String>,
    /// Names that it asks for.
    asks_for: BTreeSet<String>,
}

impl JinjaTemplate {
    /// # Errors
    /// Says at which line it is no template.
    pub(crate) fn new(source: &str, bos_token: Option<String>, eos_token: Option<String>) -> Result<Self, String> {
        let mut environment = Environment::new();
        let mut syntax = SyntaxConfig::builder();
        environment.set_syntax(syntax.trim_blocks(true).lstrip_blocks(true).build().map_err(shown)?);
        environment.set_fuel(Some(FUEL));
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", raise_exception);
        environment.add_function("strftime_now", strftime_now);
        environment.add_filter("tojson", to_json);
        environment.add_template_owned(NAME, without_generation_marks(source)).map_err(shown)?;
        let asks_for = environment.get_template(NAME).map_err(shown)?.undeclared_variables(false).into_iter().collect();
        Ok(Self { environment, bos_token, eos_token, asks_for })
    }

    /// Whether the template looks at this name.
    pub(crate) fn asks_for(&self, name: &str) -> bool {
        self.asks_for.contains(name)
    }

    /// The conversation as text.
    ///
    /// # Errors
    /// What the template refuses it with, or why it fails.
    pub(crate) fn render(&self, messages: &[Message], asked: &Asked<'_>) -> Result<String, String> {
        let template = self.environment.get_template(NAME).map_err(shown)?;
        let none = Value::from(());
        let undefined = Value::UNDEFINED;
        let text = |text: Option<&str>| text.map_or(undefined.clone(), Value::from);
        // Qwen's switch, in OpenAI's words.
        let enable_thinking = match asked.reasoning_effort {
            Some("none" | "minimal") => Value::from(false),
            Some(_) => Value::from(true),
            None => undefined.clone(),
        };
        template
            .render(context! {
                messages => messages.iter().map(|m| context! { role => &m.role, content => &m.content }).collect::<Vec<_>>(),
                add_generation_prompt => asked.add_generation_prompt,
                bos_token => text(self.bos_token.as_deref()),
                eos_token => text(self.eos_token.as_deref()),
                reasoning_effort => text(asked.reasoning_effort),
                enable_thinking,
                tools => none.clone(),
                documents => none.clone(),
            })
            .map_err(shown)
    }
}

fn raise_exception(message: &str) -> Result<Value, minijinja::Error> {
    Err(minijinja::Error::new(ErrorKind::InvalidOperation, format!("it says: {message}")))
}

fn strftime_now(format: &str) -> String {
    let mut out = String::new();
    let mut rest = format;
    while let Some(first) = rest.chars().next() {
        match STRFTIME.iter().find(|(field, _)| rest.starts_with(field)) {
            Some((field, text)) => {
                out.push_str(text);
                rest = &rest[field.len()..];
            }
            None => {
                out.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    out
}

/// As transformers has it: nothing is escaped for HTML, and `indent` is Python's.
fn to_json(value: &Value, options: Kwargs) -> Result<String, minijinja::Error> {
    let indent: Option<usize> = options.get("indent")?;
    let fault = |e: serde_json::Error| minijinja::Error::new(ErrorKind::BadSerialization, e.to_string());
    let Some(indent) = indent else { return serde_json::to_string(value).map_err(fault) };
    let spaces = " ".repeat(indent.min(16));
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(spaces.as_bytes());
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, formatter)).map_err(fault)?;
    String::from_utf8(out).map_err(|e| minijinja::Error::new(ErrorKind::BadSerialization, e.to_string()))
}

/// Takes out `{% generation %}` and its end, which mark what training learns and are no Jinja.
fn without_generation_marks(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let Some(end) = rest[start..].find("%}").map(|end| start + end + 2) else { break };
        let inside = &rest[start + 2..end - 2];
        let (before, after) = (inside.starts_with('-'), inside.ends_with('-'));
        out.push_str(&rest[..start]);
        let mark = |replacement: &str| {
            let dash = |yes: bool| if yes { "-" } else { "" };
            format!("{{%{} {replacement} {}%}}", dash(before), dash(after))
        };
        match inside.trim_matches(|c: char| c == '-' || c == '+' || c.is_whitespace()) {
            "generation" => out.push_str(&mark("if true")),
            "endgeneration" => out.push_str(&mark("endif")),
            _ => out.push_str(&rest[start..end]),
        }
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

/// A template's fault in one line, safe to show.
fn shown(error: minijinja::Error) -> String {
    const MOST: usize = 300;
    let place = error.line().map(|line| format!("line {line}: ")).unwrap_or_default();
    let what = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    let short: String = what.chars().take(MOST).collect();
    format!("{place}{}", escape::line(&short))
}
