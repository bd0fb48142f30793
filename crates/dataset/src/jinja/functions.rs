//! What templates call beside Jinja itself, as transformers has it.

use std::io::{self, Write};

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Environment, ErrorKind};
use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter};

/// The day that templates are told when they ask for today's, so that a prompt is the same on any day: the one that LLaMA 3's
/// template falls back on.
pub const DAY: &str = "26 Jul 2024";

/// Widest indentation of JSON; nobody asks for more than 4.
const MOST_SPACES: usize = 16;

/// What [`DAY`] is in the words of strftime(3).
const STRFTIME: [(&str, &str); 24] = [
    ("%%", "%"),
    ("%A", "Friday"),
    ("%a", "Fri"),
    ("%B", "July"),
    ("%b", "Jul"),
    ("%D", "07/26/24"),
    ("%d", "26"),
    ("%-d", "26"),
    ("%e", "26"),
    ("%F", "2024-07-26"),
    ("%H", "00"),
    ("%-H", "0"),
    ("%I", "12"),
    ("%-I", "12"),
    ("%j", "208"),
    ("%M", "00"),
    ("%m", "07"),
    ("%-m", "7"),
    ("%p", "AM"),
    ("%S", "00"),
    ("%T", "00:00:00"),
    ("%w", "5"),
    ("%Y", "2024"),
    ("%y", "24"),
];

/// Adds them to an environment.
pub(crate) fn add_to(environment: &mut Environment<'static>) {
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", strftime_now);
    environment.add_filter("tojson", to_json);
    environment.add_filter("indent", indent);
    environment.add_test("iterable", is_iterable);
    environment.add_test("sequence", is_sequence);
}

/// As Python has it: nothing at all can be gone through, but `none` cannot.
fn is_iterable(value: &Value) -> bool {
    !value.is_none() && value.try_iter().is_ok()
}

/// As Python has it: whatever has a length and elements, so a text and a dictionary are.
fn is_sequence(value: &Value) -> bool {
    value.as_str().is_some() || matches!(value.kind(), ValueKind::Seq | ValueKind::Map)
}

/// As Jinja's own: line breaks at the end stay.
fn indent(
    text: &str,
    width: Option<usize>,
    first: Option<bool>,
    blank: Option<bool>,
    options: Kwargs,
) -> Result<String, minijinja::Error> {
    let width = options.get::<Option<usize>>("width")?.or(width).unwrap_or(4);
    let first = options.get::<Option<bool>>("first")?.or(first).unwrap_or(false);
    let blank = options.get::<Option<bool>>("blank")?.or(blank).unwrap_or(false);
    options.assert_all_used()?;
    if width > MOST_SPACES {
        let why = format!("indentation by {width} spaces; at most {MOST_SPACES}");
        return Err(minijinja::Error::new(ErrorKind::InvalidOperation, why));
    }
    let spaces = " ".repeat(width);
    let indented = |(index, line): (usize, &str)| {
        let is_bare = if index == 0 { !first } else { line.is_empty() && !blank };
        if is_bare { line.to_owned() } else { format!("{spaces}{line}") }
    };
    Ok(text.split('\n').enumerate().map(indented).collect::<Vec<_>>().join("\n"))
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

/// As transformers has it: nothing is escaped for HTML, `indent` is Python's, and so is the white space.
fn to_json(value: &Value, options: Kwargs) -> Result<String, minijinja::Error> {
    let indent: Option<usize> = options.get("indent")?;
    let mut out = Vec::new();
    let written = match indent {
        None => value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, OneLine)),
        Some(indent) => {
            let spaces = " ".repeat(indent.min(MOST_SPACES));
            let formatter = PrettyFormatter::with_indent(spaces.as_bytes());
            value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, formatter))
        }
    };
    let fault = |e: &dyn std::fmt::Display| minijinja::Error::new(ErrorKind::BadSerialization, e.to_string());
    written.map_err(|e| fault(&e))?;
    String::from_utf8(out).map_err(|e| fault(&e))
}

/// JSON on one line with a space behind each comma and colon, as Python's `json.dumps` writes it.
struct OneLine;

impl Formatter for OneLine {
    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        CompactFormatter.begin_object_value(writer)?;
        writer.write_all(b" ")
    }
}
