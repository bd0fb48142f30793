//! What a `tokenizer.json` must not say, because the library that reads it would panic, never end, take all memory, or
//! draw tokens at random.

use std::collections::BTreeSet;

use serde_json::Value;

/// Largest number of a token; those of the largest vocabularies are a few hundred thousand.
const LARGEST_ID: u64 = 1 << 24;

/// Bytes of the longest token; real ones have some hundred.
const LONGEST_TOKEN: usize = 1 << 14;

/// By how much the steps that replace text may lengthen it, all together.
const MOST_GROWTH: f64 = 64.0;

/// Parts that hold parts, deepest.
const DEEPEST: usize = 16;

/// Checks the whole file.
///
/// # Errors
/// Says what of it cannot be used.
pub(super) fn check(json: &Value) -> Result<(), String> {
    let Some(model) = json.get("model") else { return Err("`model` is missing".into()) };
    check_vocabulary(model)?;
    check_merges(model)?;
    for name in ["dropout", "alpha"] {
        if model.get(name).and_then(Value::as_f64).is_some_and(|share| share != 0.0) {
            return Err(format!("`model.{name}` draws tokens at random; set it to null"));
        }
    }
    check_added(json)?;
    let mut growth = 1.0;
    for name in ["normalizer", "pre_tokenizer", "decoder", "post_processor"] {
        for part in parts(json.get(name), 0).map_err(|fault| format!("`{name}`: {fault}"))? {
            check_part(part).map_err(|fault| format!("`{name}`: {fault}"))?;
            growth *= lengthening(part);
        }
        if growth > MOST_GROWTH {
            return Err(format!("`{name}`: its steps make text more than {MOST_GROWTH} times as long"));
        }
        growth = 1.0;
    }
    Ok(())
}

/// Tokens and numbers, as an object or as a list of tokens with scores.
fn check_vocabulary(model: &Value) -> Result<(), String> {
    let is_long = |token: &str| token.len() > LONGEST_TOKEN;
    match model.get("vocab") {
        Some(Value::Object(vocabulary)) => {
            let mut ids = BTreeSet::new();
            for (token, id) in vocabulary {
                let Some(id) = id.as_u64().filter(|id| *id <= LARGEST_ID) else {
                    return Err(format!("`model.vocab`: the number of `{}` is {id}", short(token)));
                };
                if !ids.insert(id) {
                    return Err(format!(
                        "`model.vocab`: two tokens have the number {id}, one of them `{}`",
                        short(token)
                    ));
                }
                if is_long(token) {
                    return Err(format!("`model.vocab`: token {id} has {} bytes", token.len()));
                }
            }
        }
        Some(Value::Array(pieces)) => {
            for (id, piece) in pieces.iter().enumerate() {
                let token = piece.get(0).and_then(Value::as_str);
                let score = piece.get(1).and_then(Value::as_f64);
                match (token, score) {
                    (Some(token), Some(score)) if !is_long(token) && score.is_finite() => {}
                    _ => return Err(format!("`model.vocab`: piece {id} is no pair of a token and a score")),
                }
            }
            let unknown = model.get("unk_id").filter(|id| !id.is_null());
            if unknown.is_some_and(|id| id.as_u64().is_none_or(|id| id >= pieces.len() as u64)) {
                return Err("`model.unk_id` is no number of the vocabulary".into());
            }
        }
        Some(_) => return Err("`model.vocab` is neither an object nor a list".into()),
        None => return Err("`model.vocab` is missing".into()),
    }
    Ok(())
}

/// The library panics on a merge whose result is longer than every token, so each must make a token.
fn check_merges(model: &Value) -> Result<(), String> {
    let (Some(vocab), Some(merges)) =
        (model.get("vocab").and_then(Value::as_object), model.get("merges").and_then(Value::as_array))
    else {
        return Ok(());
    };
    let prefix = model.get("continuing_subword_prefix").and_then(Value::as_str).unwrap_or_default();
    for merge in merges {
        let pair = match merge {
            Value::Array(pair) => match pair.as_slice() {
                [a, b] => a.as_str().zip(b.as_str()),
                _ => None,
            },
            other => other.as_str().and_then(|text| text.split_once(' ')),
        };
        let merged = pair.and_then(|(a, b)| Some(format!("{a}{}", b.strip_prefix(prefix)?)));
        if !merged.is_some_and(|token| vocab.contains_key(&token)) {
            return Err(format!("merge {} makes no token of the vocabulary", short(&merge.to_string())));
        }
    }
    Ok(())
}

/// Tokens that are found in a text before anything else.
fn check_added(json: &Value) -> Result<(), String> {
    let added = match json.get("added_tokens") {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Array(added)) => added,
        Some(_) => return Err("`added_tokens` is not a list".into()),
    };
    let mut ids = BTreeSet::new();
    for (place, token) in added.iter().enumerate() {
        let fault = |what: &str| Err(format!("`added_tokens`: entry {place} {what}"));
        match token.get("id").and_then(Value::as_u64) {
            Some(id) if id <= LARGEST_ID => {
                if !ids.insert(id) {
                    return fault(&format!("has the number {id} that another has"));
                }
            }
            _ => return fault("has no number"),
        }
        match token.get("content").and_then(Value::as_str) {
            // The library passes over one without a letter.
            Some(content) if content.len() <= LONGEST_TOKEN => {}
            _ => return fault("has no text, or a long one"),
        }
    }
    Ok(())
}

/// The parts of a step, those within it included.
fn parts(step: Option<&Value>, depth: usize) -> Result<Vec<&Value>, String> {
    let Some(step) = step.filter(|step| !step.is_null()) else { return Ok(Vec::new()) };
    if depth > DEEPEST {
        return Err("parts within parts within parts".into());
    }
    if !step.is_object() {
        return Err(format!("{} is no part", short(&step.to_string())));
    }
    let mut all = vec![step];
    for key in ["normalizers", "pretokenizers", "decoders", "processors"] {
        for part in step.get(key).and_then(Value::as_array).into_iter().flatten() {
            all.extend(parts(Some(part), depth + 1)?);
        }
    }
    Ok(all)
}

fn check_part(part: &Value) -> Result<(), String> {
    let number = |name: &str| part.get(name).and_then(Value::as_u64);
    match part.get("type").and_then(Value::as_str) {
        Some("FixedLength") if part.get("length").is_some() && number("length") == Some(0) => {
            Err("FixedLength cuts text into pieces of no length".into())
        }
        // The library subtracts from the length of shorter tokens.
        Some("Strip") if number("stop").is_some_and(|stop| stop > 0) => {
            Err("Strip that takes letters from the end of tokens is not supported".into())
        }
        Some("Precompiled") => super::charsmap::check(part.get("precompiled_charsmap")),
        Some("Replace") if pattern(part).is_some_and(str::is_empty) => Err("Replace looks for nothing".into()),
        Some("TemplateProcessing") => check_template(part),
        _ => Ok(()),
    }
}

/// The special tokens that a template puts must be among those it lists, and a text alone must not have a second one in it.
fn check_template(part: &Value) -> Result<(), String> {
    let listed = part.get("special_tokens").and_then(Value::as_object);
    for (name, sequences) in [("single", &["A"][..]), ("pair", &["A", "B"])] {
        for piece in part.get(name).and_then(Value::as_array).into_iter().flatten() {
            let id = |kind: &str| piece.get(kind).and_then(|piece| piece.get("id")).and_then(Value::as_str);
            if let Some(token) =
                id("SpecialToken").filter(|token| !listed.is_some_and(|listed| listed.contains_key(*token)))
            {
                return Err(format!("TemplateProcessing puts `{}`, which it does not list", short(token)));
            }
            if id("Sequence").is_some_and(|sequence| !sequences.contains(&sequence)) {
                return Err(format!("TemplateProcessing: `{name}` names a text that there is not"));
            }
        }
    }
    for (name, token) in listed.into_iter().flatten() {
        let count = |key: &str| token.get(key).and_then(Value::as_array).map(Vec::len);
        if count("ids").is_none_or(|ids| ids == 0) || count("ids") != count("tokens") {
            return Err(format!("TemplateProcessing: `{}` has no token for each number", short(name)));
        }
    }
    Ok(())
}

fn pattern(part: &Value) -> Option<&str> {
    part.get("pattern")?.get("String")?.as_str()
}

/// By how much a part can lengthen text.
fn lengthening(part: &Value) -> f64 {
    if part.get("type").and_then(Value::as_str) != Some("Replace") {
        return 1.0;
    }
    let letters = |text: &str| text.chars().count() as f64;
    let content = part.get("content").and_then(Value::as_str).map_or(0.0, letters);
    // A pattern may match a single letter, or the place between two.
    pattern(part).map_or(content + 1.0, |pattern| content / letters(pattern).max(1.0)).max(1.0)
}

fn short(text: &str) -> String {
    text.chars().take(60).collect()
}
