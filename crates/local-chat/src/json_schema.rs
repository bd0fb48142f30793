//! JSON schemas to patterns: objects of numbers, texts, truths and choices, nested, as structured output has them. Every
//! property is written, in the order of `required` and behind those by name, because a JSON object has no order that every
//! reader keeps; white space is what models write, and bounded.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::pattern::Pattern;

/// Schemas in schemas.
const DEEPEST: usize = 16;
/// Of a pattern: what is in a list in a list is there four times.
const LARGEST: usize = 200_000;
/// Whole numbers that are listed one by one.
const MOST_NUMBERS: i64 = 1001;
/// Digits of a number before and behind its point: f64 has no more.
const MOST_DIGITS: usize = 17;
/// Spaces before a line's text.
const MOST_INDENT: usize = 8;

/// Keywords that say nothing of what may be written.
const NOTES: [&str; 13] = [
    "$schema",
    "$id",
    "$comment",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "additionalProperties", // none is written
    "required",             // all are written
    "strict",
];

/// What JSON of a schema may be.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub pattern: Pattern,
    /// Keywords that the pattern does not hold a reply to, such as `maxLength`.
    pub not_held: BTreeSet<String>,
}

/// # Errors
/// Names what no pattern is made of.
pub(crate) fn compile(schema: &Value) -> Result<Compiled, String> {
    let mut compiler = Compiler { not_held: BTreeSet::new() };
    let value = compiler.value(schema, 0)?;
    // A tokenizer may have no opening brace but one behind a space.
    let pattern = Pattern::Sequence(vec![Pattern::literal(" ").optional(), value]);
    Ok(Compiled { pattern, not_held: compiler.not_held })
}

struct Compiler {
    not_held: BTreeSet<String>,
}

impl Compiler {
    fn value(&mut self, schema: &Value, depth: usize) -> Result<Pattern, String> {
        let pattern = self.any_value(schema, depth)?;
        if pattern.size() > LARGEST { Err("it is too large".to_owned()) } else { Ok(pattern) }
    }

    fn any_value(&mut self, schema: &Value, depth: usize) -> Result<Pattern, String> {
        let Value::Object(schema) = schema else { return Err("it is no object".to_owned()) };
        if depth > DEEPEST {
            return Err(format!("it is deeper than {DEEPEST}"));
        }
        if let Some(constant) = schema.get("const") {
            return Ok(Pattern::literal(&constant.to_string()));
        }
        if let Some(choices) = schema.get("enum") {
            return match choices.as_array().map(Vec::as_slice) {
                Some(choices @ [_, ..]) => {
                    Ok(Pattern::Any(choices.iter().map(|choice| Pattern::literal(&choice.to_string())).collect()))
                }
                _ => Err("`enum` is not a list of choices".to_owned()),
            };
        }
        if let Some(schemas) = schema.get("anyOf") {
            return match schemas.as_array().map(Vec::as_slice) {
                Some(schemas @ [_, ..]) => {
                    let any = schemas.iter().map(|schema| self.value(schema, depth + 1)).collect::<Result<_, _>>()?;
                    Ok(Pattern::Any(any))
                }
                _ => Err("`anyOf` is not a list of schemas".to_owned()),
            };
        }
        match schema.get("type") {
            Some(Value::String(kind)) => self.kind(kind, schema, depth),
            Some(Value::Array(kinds)) if !kinds.is_empty() => {
                let kind = |kind: &Value| self.kind(kind.as_str().unwrap_or_default(), schema, depth);
                Ok(Pattern::Any(kinds.iter().map(kind).collect::<Result<_, _>>()?))
            }
            _ => Err("a schema in it has no `type`".to_owned()),
        }
    }

    fn kind(&mut self, kind: &str, schema: &Map<String, Value>, depth: usize) -> Result<Pattern, String> {
        let (pattern, held): (Pattern, &[&str]) = match kind {
            "object" => (self.object(schema, depth)?, &["properties"]),
            "array" => (self.array(schema, depth)?, &["items"]),
            "string" => (string(), &[]),
            "integer" => integer(schema),
            "number" => number(schema),
            "boolean" => (Pattern::Any(["true", "false"].map(Pattern::literal).into()), &[]),
            "null" => (Pattern::literal("null"), &[]),
            other => return Err(format!("it has the type `{other}`")),
        };
        let says = |key: &&String| *key != "type" && !NOTES.contains(&key.as_str()) && !held.contains(&key.as_str());
        let rest = schema.keys().filter(says);
        for key in rest {
            // These decide what a value is, and are no bounds of it.
            if matches!(key.as_str(), "$ref" | "allOf" | "oneOf" | "not" | "if" | "patternProperties" | "prefixItems") {
                return Err(format!("it has `{key}`"));
            }
            self.not_held.insert(key.clone());
        }
        Ok(pattern)
    }

    fn object(&mut self, schema: &Map<String, Value>, depth: usize) -> Result<Pattern, String> {
        let Some(Value::Object(properties)) = schema.get("properties") else {
            return Err("an object in it has no `properties`".to_owned());
        };
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        let mut names: Vec<&str> = Vec::new();
        let mut rest: Vec<&str> = properties.keys().map(String::as_str).collect();
        rest.sort_unstable();
        for name in required.filter_map(Value::as_str).chain(rest) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let mut parts = vec![Pattern::literal("{"), space()];
        for (index, name) in names.into_iter().enumerate() {
            let Some(schema) = properties.get(name) else { return Err("`required` names no property".to_owned()) };
            if index > 0 {
                parts.extend([Pattern::literal(","), space()]);
            }
            let name = format!("{}:", Value::from(name));
            parts.extend([Pattern::literal(&name), space(), self.value(schema, depth + 1)?]);
        }
        parts.extend([space(), Pattern::literal("}")]);
        Ok(Pattern::Sequence(parts))
    }

    fn array(&mut self, schema: &Map<String, Value>, depth: usize) -> Result<Pattern, String> {
        let Some(items) = schema.get("items") else { return Err("an array in it has no `items`".to_owned()) };
        let item = self.value(items, depth + 1)?;
        let next = Pattern::Sequence(vec![Pattern::literal(","), space(), item.clone()]);
        let items = Pattern::Sequence(vec![item, next.repeat(), space()]).optional();
        Ok(Pattern::Sequence(vec![Pattern::literal("["), space(), items, Pattern::literal("]")]))
    }
}

/// Nothing, a space, or a new line with its indent.
fn space() -> Pattern {
    let line = Pattern::Sequence(vec![Pattern::literal("\n"), Pattern::literal(" ").at_most(MOST_INDENT)]);
    Pattern::Any(vec![Pattern::literal(" "), line]).optional()
}

fn byte(ranges: &[(u8, u8)]) -> Pattern {
    Pattern::Byte(ranges.to_vec())
}

/// A text in quotes: UTF-8 but for control characters, and JSON's escapes but for halves of surrogate pairs.
fn string() -> Pattern {
    const HEX: [(u8, u8); 3] = [(b'0', b'9'), (b'a', b'f'), (b'A', b'F')];
    const REST: [(u8, u8); 1] = [(0x80, 0xbf)];
    let sequence = |parts: &[&[(u8, u8)]]| Pattern::Sequence(parts.iter().map(|ranges| byte(ranges)).collect());
    let no_surrogate = [(b'0', b'9'), (b'a', b'c'), (b'e', b'f'), (b'A', b'C'), (b'E', b'F')];
    let character = Pattern::Any(vec![
        byte(&[(b' ', b'!'), (b'#', b'['), (b']', b'~')]),
        sequence(&[&[(0xc2, 0xdf)], &REST]),
        sequence(&[&[(0xe0, 0xe0)], &[(0xa0, 0xbf)], &REST]),
        sequence(&[&[(0xe1, 0xec), (0xee, 0xef)], &REST, &REST]),
        sequence(&[&[(0xed, 0xed)], &[(0x80, 0x9f)], &REST]),
        sequence(&[&[(0xf0, 0xf0)], &[(0x90, 0xbf)], &REST, &REST]),
        sequence(&[&[(0xf1, 0xf3)], &REST, &REST, &REST]),
        sequence(&[&[(0xf4, 0xf4)], &[(0x80, 0x8f)], &REST, &REST]),
        sequence(&[&[(b'\\', b'\\')], &b"\"\\/bfnrt".map(|b| (b, b))]),
        sequence(&[&[(b'\\', b'\\')], &[(b'u', b'u')], &no_surrogate, &HEX, &HEX, &HEX]),
        sequence(&[&[(b'\\', b'\\')], &[(b'u', b'u')], &[(b'd', b'd'), (b'D', b'D')], &[(b'0', b'7')], &HEX, &HEX]),
    ]);
    Pattern::Sequence(vec![Pattern::literal("\""), character.repeat(), Pattern::literal("\"")])
}

/// Whole bounds of a number, where both are there and not far apart.
fn bounds(schema: &Map<String, Value>) -> Option<(i64, i64)> {
    let whole = |key: &str| {
        let value = schema.get(key)?;
        value.as_i64().or_else(|| value.as_f64().filter(|v| v.fract() == 0.0 && v.abs() < 1e9).map(|v| v as i64))
    };
    let (least, most) = (whole("minimum")?, whole("maximum")?);
    let count = most.checked_sub(least)?;
    (0..MOST_NUMBERS).contains(&count).then_some((least, most))
}

fn integer(schema: &Map<String, Value>) -> (Pattern, &'static [&'static str]) {
    match bounds(schema) {
        Some((least, most)) => {
            (Pattern::Any((least..=most).map(|n| Pattern::literal(&n.to_string())).collect()), &["minimum", "maximum"])
        }
        None => (Pattern::Sequence(vec![Pattern::literal("-").optional(), whole_part()]), &[]),
    }
}

fn number(schema: &Map<String, Value>) -> (Pattern, &'static [&'static str]) {
    let digits = |ranges: &[(u8, u8)]| {
        let more = byte(ranges).at_most(MOST_DIGITS - 1);
        Pattern::Sequence(vec![Pattern::literal("."), byte(ranges), more]).optional()
    };
    let fraction = digits(&[(b'0', b'9')]);
    match bounds(schema) {
        Some((least @ 0.., most)) => {
            let below = (least..most).map(|n| Pattern::literal(&n.to_string())).collect::<Vec<_>>();
            let at_most = Pattern::Sequence(vec![Pattern::literal(&most.to_string()), digits(&[(b'0', b'0')])]);
            let any = match below.is_empty() {
                true => at_most,
                false => Pattern::Any(vec![Pattern::Sequence(vec![Pattern::Any(below), fraction]), at_most]),
            };
            (any, &["minimum", "maximum"])
        }
        _ => (Pattern::Sequence(vec![Pattern::literal("-").optional(), whole_part(), fraction]), &[]),
    }
}

/// Digits that begin with no 0 too many.
fn whole_part() -> Pattern {
    let more = byte(&[(b'0', b'9')]).at_most(MOST_DIGITS - 1);
    Pattern::Any(vec![Pattern::literal("0"), Pattern::Sequence(vec![byte(&[(b'1', b'9')]), more])])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::automaton::Automaton;

    fn reads(schema: &Value, text: &[u8]) -> bool {
        let automaton = Automaton::new(&compile(schema).unwrap().pattern).unwrap();
        automaton.read(0, text).is_some_and(|state| automaton.is_accepting(state))
    }

    #[test]
    fn what_may_be_written_is_json_of_the_schema() {
        let score = json!({ "type": "object", "properties": { "score": { "type": "integer", "minimum": 0, "maximum": 10 },
            "reason": { "type": "string" } }, "required": ["score", "reason"] });
        let tenth = json!({ "type": "number", "minimum": 0, "maximum": 1 });
        let text = json!({ "type": "string" });
        let list = json!({ "type": "array", "items": { "type": "boolean" } });
        let number = json!({ "type": "number" });
        let choice = json!({ "anyOf": [{ "const": "a\"b" }, { "enum": [1, null] }] });
        let empty = json!({ "type": "object", "properties": {} });
        for (schema, texts, others) in [
            (
                &score,
                &[
                    r#"{"score":10,"reason":""}"#,
                    "{\n  \"score\": 0,\n  \"reason\": \"是\"\n}",
                    r#" {"score":7, "reason":"\u00e9"}"#,
                ][..],
                &[
                    r#"{"score":11,"reason":""}"#,
                    r#"{"reason":"","score":1}"#,
                    r#"{"score":01,"reason":""}"#,
                    r#"{"score":1}"#,
                    r#"{"score":1,"reason":"","b":1}"#,
                    r#"{"score":1,"reason":""} "#,
                    "",
                    "{",
                ][..],
            ),
            (&tenth, &["0", "1", "0.5", "1.00", "0.999"], &["1.01", "2", "-0", "0.", ".5", "1e0", "00"]),
            (
                &text,
                &[r#""""#, r#""\n\\\/\"""#, "\"\u{10ffff}\u{800}\u{7ff}\"", r#""\ud7ff\uE000""#],
                &[r#"""#, "\"\n\"", r#""\ud800""#, r#""\x""#, r#""a"b"#, "'a'"],
            ),
            (&list, &["[]", "[true]", "[ true, false\n]"], &["[true,]", "[,]", "true", "[true false]"]),
            (&number, &["0", "-12.50", "100"], &["01", "+1", "1.", "--1", "NaN"]),
            (&choice, &[r#""a\"b""#, "1", "null"], &["2", "11", "\"a\"", "nul"]),
            (&empty, &["{}", "{ }", "{\n}"], &["{", "{\"a\":1}"]),
        ] {
            for text in texts {
                assert!(reads(schema, text.as_bytes()), "{schema}: {text}");
                serde_json::from_str::<Value>(text).unwrap();
            }
            for other in others {
                assert!(!reads(schema, other.as_bytes()), "{schema}: {other}");
            }
        }
        assert!(!reads(&text, b"\"\xff\"") && !reads(&text, b"\"\xed\xa0\x80\""), "no text but UTF-8");
    }

    /// Walks at random, and always comes to an end that is JSON.
    #[test]
    fn whatever_is_written_byte_by_byte_is_json() {
        let schema = json!({ "type": "object", "properties": {
            "a": { "type": "string" }, "b": { "type": "array", "items": { "type": "number" } },
            "c": { "type": ["null", "boolean", "integer"] }, "d": { "type": "number", "minimum": 3, "maximum": 5 },
        } });
        let automaton = Automaton::new(&compile(&schema).unwrap().pattern).unwrap();
        for key in 0..300 {
            let mut stream = tunebench_spec::random::Stream::new(key, &[1]);
            let (mut state, mut text) = (0, Vec::new());
            while !automaton.is_accepting(state) {
                let next: Vec<(u8, usize)> =
                    (0..=u8::MAX).filter_map(|byte| Some((byte, automaton.read(state, &[byte])?))).collect();
                assert!(!next.is_empty(), "no way on from {}", String::from_utf8_lossy(&text));
                // An end of a text is as likely as any other letter together.
                let quote = next.iter().find(|(byte, _)| *byte == b'"').filter(|_| stream.below(2) == 0);
                let (byte, to) = *quote.unwrap_or(&next[stream.below(next.len() as u64) as usize]);
                text.push(byte);
                state = to;
            }
            let value: Value = serde_json::from_slice(&text).unwrap();
            assert!((3.0..=5.0).contains(&value["d"].as_f64().unwrap()));
        }
    }

    #[test]
    fn a_schema_too_large_or_too_deep_is_refused() {
        let mut deep = json!({ "type": "null" });
        for _ in 0..20 {
            deep = json!({ "type": "array", "items": deep });
        }
        assert!(compile(&deep).unwrap_err().contains("deeper than 16"));
        let mut wide = json!({ "type": "integer", "minimum": 0, "maximum": 1000 });
        for _ in 0..14 {
            wide = json!({ "type": "array", "items": wide });
        }
        assert_eq!(compile(&wide).unwrap_err(), "it is too large");
        let choices: Vec<String> = (0..4000).map(|i| format!("{i:>09}{}", i * 7919)).collect();
        let large = compile(&json!({ "enum": choices })).unwrap();
        assert_eq!(Automaton::new(&large.pattern).unwrap_err(), "it is too large");
    }
}
