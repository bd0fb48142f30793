//! JSON objects in a reply, wherever they stand.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

/// Openings of objects that are tried.
const MOST: usize = 64;

/// The keys and values of an object in order, a repeated key as often as it stands there.
pub struct Fields(pub Vec<(String, Value)>);

/// Keys that make an object's mark a part's.
const PART_KEYS: &[&str] = &[
    "criterion",
    "name",
    "aspect",
    "dimension",
    "metric",
    "weight",
    "part",
    "step",
    "标准",
    "维度",
    "指标",
    "权重",
    "项目",
    "方面",
];

impl Fields {
    /// Whether it says something of a part of what is judged.
    pub fn is_of_part(&self) -> bool {
        self.0.iter().any(|(key, _)| PART_KEYS.contains(&key.trim()))
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keep;
        impl<'de> Visitor<'de> for Keep {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Keep)
    }
}

/// The outermost objects that parse, and where they stand.
pub fn objects(text: &[char]) -> Vec<(Range<usize>, Fields)> {
    let (mut objects, mut at, mut tried) = (Vec::new(), 0, 0);
    while let Some(open) = (at..text.len()).find(|i| text.get(*i) == Some(&'{')) {
        at = open + 1;
        tried += 1;
        if tried > MOST {
            break;
        }
        let Some((end, source)) = balanced(text, open) else { continue };
        if let Ok(fields) = serde_json::from_str::<Fields>(&source) {
            objects.push((open..end, fields));
            at = end;
        }
    }
    objects
}

/// The object that opens at `open`: its end and its source. Line ends within strings, which models forget to escape,
/// become spaces.
fn balanced(text: &[char], open: usize) -> Option<(usize, String)> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    let close = text.iter().skip(open).position(|c| {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            '{' if !in_string => depth += 1,
            '}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0
    })?;
    let end = open + close + 1;
    let source = text.get(open..end)?.iter();
    // Line ends between fields are spaces, too.
    Some((end, source.map(|c| if c.is_control() { ' ' } else { *c }).collect()))
}

/// Whether a reply is one object and no more.
pub fn are_all(text: &[char], objects: &[(Range<usize>, Fields)]) -> bool {
    let is_outside = |at: &usize| !objects.iter().any(|(range, _)| range.contains(at));
    objects.len() == 1 && (0..text.len()).filter(is_outside).all(|at| text.get(at).is_some_and(|c| c.is_whitespace()))
}
