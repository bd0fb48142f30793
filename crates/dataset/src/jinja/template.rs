//! A chat template, compiled: messages to text.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{Environment, context};
use tunebench_spec::escape;

use crate::jinja::{functions, generation};

const NAME: &str = "chat_template";

/// Work and memory that a conversation may take, by minijinja's count: seconds and some hundred megabytes.
const FUEL: u64 = 10_000_000;

/// Bytes of the longest template; those of the largest models have some ten thousand.
const LONGEST: usize = 1 << 20;

/// Bytes of the longest conversation that a template may write.
const LONGEST_TEXT: usize = 1 << 28;

/// What the template writes before and behind what is the assistant's, for whoever looks for it: the last characters of the
/// last private plane.
const SIGNS: (char, char) = ('\u{10fffc}', '\u{10fffd}');

/// A message as templates see it.
#[derive(Clone, Debug)]
pub struct Message {
    pub role: &'static str,
    pub content: String,
}

/// What a conversation is written with beside its messages.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    /// Whether the head of the assistant's next turn is written behind it.
    pub add_generation_prompt: bool,
    /// `reasoning_effort`, for templates that look at it.
    pub reasoning_effort: Option<&'a str>,
}

/// A conversation as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    pub text: String,
    /// What stands between `{% generation %}` and its end, in bytes of the text.
    pub generation: Vec<Range<usize>>,
}

/// A template, ready to write conversations.
#[derive(Debug)]
pub struct JinjaTemplate {
    environment: Environment<'static>,
    /// Special tokens by the names that templates have for them, such as `bos_token`.
    names: BTreeMap<String, String>,
    /// Names that it asks for.
    asks_for: BTreeSet<String>,
    marks_generation: bool,
}

impl JinjaTemplate {
    /// # Errors
    /// Says at which line it is no template.
    pub fn new(source: &str, names: BTreeMap<String, String>) -> Result<Self, String> {
        if source.len() > LONGEST {
            return Err(format!("it has {} bytes; {LONGEST} are the most that are read", source.len()));
        }
        let mut environment = Environment::new();
        let mut syntax = SyntaxConfig::builder();
        environment.set_syntax(syntax.trim_blocks(true).lstrip_blocks(true).build().map_err(shown)?);
        environment.set_fuel(Some(FUEL));
        functions::add_to(&mut environment);
        let (with_signs, marks_generation) = generation::with_signs(source);
        environment.add_template_owned(NAME, with_signs).map_err(shown)?;
        let asks_for = environment.get_template(NAME).map_err(shown)?.undeclared_variables(false).into_iter().collect();
        let signs = [SIGNS.0, SIGNS.1];
        if signs.iter().any(|sign| source.contains(*sign)) {
            return Err(format!("it holds U+{:X} or U+{:X}, which mark answers here", SIGNS.0 as u32, SIGNS.1 as u32));
        }
        for (name, sign) in [generation::START, generation::END].into_iter().zip(signs) {
            environment.add_global(name, sign.to_string());
        }
        Ok(Self { environment, names, asks_for, marks_generation })
    }

    /// Whether the template looks at this name.
    pub fn asks_for(&self, name: &str) -> bool {
        self.asks_for.contains(name)
    }

    /// Whether it marks what is the assistant's.
    pub fn marks_generation(&self) -> bool {
        self.marks_generation
    }

    /// The conversation as text.
    ///
    /// # Errors
    /// What the template refuses it with, or why it fails.
    pub fn render(&self, messages: &[Message], asked: Asked<'_>) -> Result<Rendered, String> {
        if messages.iter().any(|message| message.content.contains([SIGNS.0, SIGNS.1])) {
            return Err(format!(
                "a message holds U+{:X} or U+{:X}, which mark answers here",
                SIGNS.0 as u32, SIGNS.1 as u32
            ));
        }
        let template = self.environment.get_template(NAME).map_err(shown)?;
        let none = Value::from(());
        // Qwen's switch, in OpenAI's words.
        let enable_thinking = match asked.reasoning_effort {
            Some("none" | "minimal") => Value::from(false),
            Some(_) => Value::from(true),
            None => Value::UNDEFINED,
        };
        let mut all: BTreeMap<&str, Value> =
            self.names.iter().map(|(name, text)| (name.as_str(), Value::from(text.as_str()))).collect();
        let messages = messages.iter().map(|m| context! { role => m.role, content => &m.content }).collect::<Vec<_>>();
        all.extend([
            ("messages", Value::from(messages)),
            ("add_generation_prompt", Value::from(asked.add_generation_prompt)),
            ("reasoning_effort", asked.reasoning_effort.map_or(Value::UNDEFINED, Value::from)),
            ("enable_thinking", enable_thinking),
            ("tools", none.clone()),
            ("documents", none),
        ]);
        let text = template.render(all).map_err(shown)?;
        if text.len() > LONGEST_TEXT {
            return Err(format!("it writes {} bytes; {LONGEST_TEXT} are the most", text.len()));
        }
        let (text, generation) = generation::without_signs(&text, SIGNS.0, SIGNS.1);
        Ok(Rendered { text, generation })
    }
}

/// A template's fault in one line, safe to show.
fn shown(error: minijinja::Error) -> String {
    const MOST: usize = 300;
    let place = error.line().map(|line| format!("line {line}: ")).unwrap_or_default();
    let what = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    let short: String = what.chars().take(MOST).collect();
    format!("{place}{}", escape::line(&short))
}
