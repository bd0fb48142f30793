//! A tokenizer as GGUF's metadata: what [`super::from_gguf`] reads, the other way round.

use serde_json::Value as Json;

use super::Tokenizer;
use super::from_gguf::{CONTROL, FAMILIES, NORMAL, SPACE, UNKNOWN, USER_DEFINED};
use crate::Error;
use crate::formats::gguf::Meta;

/// Kinds of token that only files name.
const UNUSED: i32 = 5;
const BYTE: i32 = 6;
/// The score of tokens that no merge makes; any that one makes is better.
const LEAST_SCORE: f32 = -1e6;

type Entries = Vec<(String, Meta)>;

/// The vocabulary and rules of a tokenizer for a model with so many embeddings; and what of them llama.cpp cannot follow, a
/// sentence each.
///
/// # Errors
/// [`Error::Tokenizer`] when llama.cpp has no such tokenizer.
pub(crate) fn entries(tokenizer: &Tokenizer, vocab_size: usize) -> Result<(Entries, Vec<String>), Error> {
    let fault = |why: String| Error::tokenizer("the tokenizer, written as GGUF".as_ref(), why);
    let text = tokenizer.inner.to_string(false).map_err(|e| fault(e.to_string()))?;
    let json: Json = serde_json::from_str(&text).map_err(|e| fault(e.to_string()))?;
    let vocabulary = Vocabulary::read(&json, vocab_size).map_err(&fault)?;
    let (mut entries, notes) = match vocabulary.is_byte_level {
        true => vocabulary.byte_level().map_err(&fault)?,
        false => (vocabulary.sentence_piece().map_err(&fault)?, vec![]),
    };
    entries.extend(special(tokenizer));
    Ok((entries, notes))
}

/// The tokens that begin and end a text, and whether they are put there.
fn special(tokenizer: &Tokenizer) -> Entries {
    let letter = tokenizer.letter();
    let ends = letter.len() > 1 && letter.last().is_some_and(|id| tokenizer.eos.contains(id));
    let mut all = vec![
        ("tokenizer.ggml.add_bos_token".into(), Meta::Bool(tokenizer.prepends_bos())),
        ("tokenizer.ggml.add_eos_token".into(), Meta::Bool(ends)),
    ];
    let id = |name: &str, id: u32| (format!("tokenizer.ggml.{name}_token_id"), Meta::U32(id));
    all.extend(tokenizer.bos.map(|bos| id("bos", bos)));
    all.extend(["eos", "eot", "eom"].into_iter().zip(&tokenizer.eos).map(|(name, eos)| id(name, *eos)));
    all
}

struct Vocabulary<'a> {
    json: &'a Json,
    tokens: Vec<String>,
    kinds: Vec<i32>,
    is_byte_level: bool,
}

impl<'a> Vocabulary<'a> {
    fn read(json: &'a Json, vocab_size: usize) -> Result<Self, String> {
        let model = &json["model"];
        let kind = model["type"].as_str().unwrap_or("(none)");
        if kind != "BPE" {
            return Err(format!(
                "a tokenizer of the kind `{kind}` is not written; BPE is, over bytes or with fallback"
            ));
        }
        let has_fallback = model["byte_fallback"].as_bool() == Some(true);
        let is_byte_level = has_kind(&json["decoder"], "ByteLevel");
        if has_fallback == is_byte_level {
            return Err("a BPE for llama.cpp is either over bytes (ByteLevel) or has byte_fallback".into());
        }
        // Places that no token has are there in the model's embeddings all the same.
        let mut tokens: Vec<String> = (0..vocab_size).map(|id| format!("[PAD{id}]")).collect();
        let mut kinds = vec![UNUSED; vocab_size];
        let unknown = model["unk_token"].as_str();
        let mut put = |token: &str, id: u64, kind: i32| {
            let place = usize::try_from(id).ok().filter(|id| *id < vocab_size);
            let place =
                place.ok_or_else(|| format!("token `{token}` has the number {id}, the model has {vocab_size}"))?;
            (tokens[place], kinds[place]) = (token.to_owned(), kind);
            Ok::<(), String>(())
        };
        for (token, id) in model["vocab"].as_object().into_iter().flatten() {
            let kind = match token {
                token if Some(token.as_str()) == unknown => UNKNOWN as i32,
                token if has_fallback && is_byte(token) => BYTE,
                _ => NORMAL as i32,
            };
            put(token, id.as_u64().unwrap_or(u64::MAX), kind)?;
        }
        for added in json["added_tokens"].as_array().into_iter().flatten() {
            let (content, id) = (added["content"].as_str().unwrap_or_default(), added["id"].as_u64());
            let kind = match added["special"].as_bool() {
                Some(true) if Some(content) == unknown => UNKNOWN,
                Some(true) => CONTROL,
                _ => USER_DEFINED,
            };
            put(content, id.unwrap_or(u64::MAX), kind as i32)?;
        }
        Ok(Self { json, tokens, kinds, is_byte_level })
    }

    /// Both parts of each merge, in the order in which they are tried.
    fn merges(&self) -> Result<Vec<(&'a str, &'a str)>, String> {
        let pair = |merge: &'a Json| match merge {
            Json::Array(parts) => Some((parts.first()?.as_str()?, parts.get(1)?.as_str()?)),
            other => other.as_str()?.split_once(' '),
        };
        let all = self.json["model"]["merges"].as_array().map(Vec::as_slice).unwrap_or_default();
        all.iter().map(|merge| pair(merge).ok_or_else(|| format!("merge {merge} is no pair"))).collect()
    }

    fn of_model(self, model: &str, pre: &str) -> Entries {
        vec![
            ("tokenizer.ggml.model".into(), Meta::Text(model.into())),
            ("tokenizer.ggml.pre".into(), Meta::Text(pre.into())),
            ("tokenizer.ggml.tokens".into(), Meta::Texts(self.tokens)),
            ("tokenizer.ggml.token_type".into(), Meta::I32s(self.kinds)),
        ]
    }

    fn byte_level(self) -> Result<(Entries, Vec<String>), String> {
        let (normalizer, pre) = (&self.json["normalizer"], &self.json["pre_tokenizer"]);
        let mut notes = vec![];
        match normalizer["type"].as_str() {
            None => {}
            Some("NFC") => notes.push(
                "llama.cpp does not compose letters with their accents (NFC), as the tokenizer does; text that is not composed already becomes other tokens".into(),
            ),
            Some(other) => return Err(format!("llama.cpp does not change text as the normalizer `{other}` does")),
        }
        let ignores = self.json["model"]["ignore_merges"].as_bool() == Some(true);
        let is_it = |family: &&super::from_gguf::Family| {
            family.ignore_merges == ignores && same_rules(&family.split.pre_tokenizer(), pre)
        };
        let Some(family) = FAMILIES.iter().find(is_it) else {
            let known: Vec<&str> = FAMILIES.iter().map(|family| family.names[0]).collect();
            return Err(format!(
                "its pre-tokenizer is none of those that llama.cpp is known to have ({}), and another one would cut text into other tokens",
                known.join(", ")
            ));
        };
        let merges = self.merges()?.into_iter().map(|(a, b)| format!("{a} {b}")).collect();
        let mut entries = self.of_model("gpt2", family.names[0]);
        entries.push(("tokenizer.ggml.merges".into(), Meta::Texts(merges)));
        Ok((entries, notes))
    }

    /// llama.cpp joins whichever neighbours make the token of the highest score, so a token is as good as the first merge that
    /// makes it.
    fn sentence_piece(self) -> Result<Entries, String> {
        let prefix = self.has_space_prefix()?;
        let ids: std::collections::BTreeMap<&str, usize> =
            self.tokens.iter().enumerate().map(|(id, token)| (token.as_str(), id)).collect();
        let mut scores = vec![LEAST_SCORE; self.tokens.len()];
        for (rank, (a, b)) in self.merges()?.into_iter().enumerate() {
            if let Some(id) = ids.get(format!("{a}{b}").as_str())
                && scores[*id] == LEAST_SCORE
            {
                scores[*id] = -(rank as f32);
            }
        }
        for (score, kind) in scores.iter_mut().zip(&self.kinds) {
            if *kind != NORMAL as i32 {
                *score = 0.0;
            }
        }
        let unknown = self.json["model"]["unk_token"].as_str().and_then(|token| ids.get(token).copied());
        let mut entries = self.of_model("llama", "default");
        entries.push(("tokenizer.ggml.scores".into(), Meta::F32s(scores)));
        entries.push(("tokenizer.ggml.add_space_prefix".into(), Meta::Bool(prefix)));
        entries.extend(unknown.map(|id| ("tokenizer.ggml.unknown_token_id".into(), Meta::U32(id as u32))));
        Ok(entries)
    }

    /// Whether a space is put in front of a text.
    fn has_space_prefix(&self) -> Result<bool, String> {
        let (normalizer, pre) = (&self.json["normalizer"], &self.json["pre_tokenizer"]);
        let scheme = match find(pre, "Metaspace") {
            Some(metaspace) => metaspace["prepend_scheme"].as_str() != Some("never"),
            None => false,
        };
        let replaces = find(normalizer, "Replace").is_some_and(|replace| replace["content"].as_str() == Some(SPACE));
        if !replaces && find(pre, "Metaspace").is_none() {
            return Err(format!("llama.cpp writes spaces as `{SPACE}`, and this tokenizer does not"));
        }
        Ok(scheme || has_kind(normalizer, "Prepend"))
    }
}

/// `<0x0A>`, the stand-in for a byte.
fn is_byte(token: &str) -> bool {
    let digits = token.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'));
    digits.is_some_and(|digits| digits.len() == 2 && u8::from_str_radix(digits, 16).is_ok())
}

fn has_kind(step: &Json, kind: &str) -> bool {
    find(step, kind).is_some()
}

/// The step of this kind: this one, or one of a sequence.
fn find<'a>(step: &'a Json, kind: &str) -> Option<&'a Json> {
    if step["type"].as_str() == Some(kind) {
        return Some(step);
    }
    let inner = ["pretokenizers", "normalizers", "decoders"].into_iter().filter_map(|key| step[key].as_array());
    inner.flatten().find_map(|step| find(step, kind))
}

/// Whether two pre-tokenizers cut alike: what only moves offsets does not count.
fn same_rules(a: &Json, b: &Json) -> bool {
    let plain = |step: &Json| -> Vec<Json> {
        let steps = step["pretokenizers"].as_array().cloned().unwrap_or_else(|| vec![step.clone()]);
        steps.into_iter().map(without_offsets).collect()
    };
    plain(a) == plain(b)
}

fn without_offsets(mut step: Json) -> Json {
    if let Some(step) = step.as_object_mut() {
        step.remove("trim_offsets");
    }
    step
}
