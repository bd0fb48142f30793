//! A GGUF file's tokenizer metadata, put into the form of a `tokenizer.json`: byte-level BPE (`gpt2`) with the
//! pre-tokenizers of several families, and LLaMA's SentencePiece BPE (`llama`).

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use crate::Error;
use crate::formats::gguf::{GgufFile, Value};

/// A longer token is damage; real ones have some hundred bytes.
const LONGEST_TOKEN: usize = 4096;
/// SentencePiece's stand-in for a space.
pub(super) const SPACE: &str = "\u{2581}";

const LLAMA3_SPLIT: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2_SPLIT: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// The special tokens of a file.
pub(super) struct Special {
    pub(super) bos: Option<u32>,
    pub(super) eos: Vec<u32>,
}

/// How a byte-level family splits text before merging.
pub(super) struct Family {
    /// Values of `tokenizer.ggml.pre`; the first is written.
    pub(super) names: &'static [&'static str],
    pub(super) split: Split,
    normalizer: Option<&'static str>,
    /// Whether a word that is a token is taken whole, without looking at merges.
    pub(super) ignore_merges: bool,
    /// Whether a file that does not say wants the beginning-of-text token.
    adds_bos: bool,
}

pub(super) enum Split {
    /// GPT-2's words.
    Words,
    /// Each digit apart, then GPT-2's words.
    Digits,
    Pattern(&'static str),
}

impl Split {
    /// As `tokenizer.json` has it.
    pub(super) fn pre_tokenizer(&self) -> Json {
        match self {
            Self::Words => byte_level(true),
            Self::Digits => {
                sequence("pretokenizers", json!({ "type": "Digits", "individual_digits": true }), byte_level(true))
            }
            Self::Pattern(pattern) => {
                let split = json!({ "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated", "invert": false });
                sequence("pretokenizers", split, byte_level(false))
            }
        }
    }
}

fn byte_level(regex: bool) -> Json {
    json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": regex })
}

pub(super) const FAMILIES: [Family; 4] = [
    Family {
        names: &["gpt-2", "default"],
        split: Split::Words,
        normalizer: None,
        ignore_merges: false,
        adds_bos: false,
    },
    Family { names: &["smollm"], split: Split::Digits, normalizer: None, ignore_merges: false, adds_bos: false },
    Family {
        names: &["llama-bpe", "llama3", "llama-v3"],
        split: Split::Pattern(LLAMA3_SPLIT),
        normalizer: None,
        ignore_merges: true,
        adds_bos: true,
    },
    Family {
        names: &["qwen2"],
        split: Split::Pattern(QWEN2_SPLIT),
        normalizer: Some("NFC"),
        ignore_merges: false,
        adds_bos: false,
    },
];

/// Kinds of token, `tokenizer.ggml.token_type`.
pub(super) const NORMAL: i64 = 1;
pub(super) const UNKNOWN: i64 = 2;
pub(super) const CONTROL: i64 = 3;
pub(super) const USER_DEFINED: i64 = 4;

/// The vocabulary's metadata, checked.
struct Vocabulary<'a> {
    file: &'a GgufFile,
    tokens: &'a [String],
    /// Empty when the file does not say.
    kinds: &'a [i64],
    special: Special,
}

/// The file's tokenizer as `tokenizer.json`, and its special tokens.
pub(super) fn describe(file: &GgufFile) -> Result<(Json, Special), Error> {
    let vocabulary = Vocabulary::read(file)?;
    let json = match vocabulary.text("tokenizer.ggml.model")? {
        Some("gpt2") => vocabulary.byte_level()?,
        Some("llama") => vocabulary.sentence_piece()?,
        other => {
            let found = other.unwrap_or("(none)");
            return Err(vocabulary.fault(format!("tokenizer model `{found}` is not supported; gpt2 or llama")));
        }
    };
    Ok((json, vocabulary.special))
}

impl<'a> Vocabulary<'a> {
    fn read(file: &'a GgufFile) -> Result<Self, Error> {
        let fault = |text: String| Error::tokenizer(file.path(), text);
        let Some(Value::Texts(tokens)) = file.metadata("tokenizer.ggml.tokens") else {
            return Err(fault("metadata `tokenizer.ggml.tokens` is missing or not a list of texts".into()));
        };
        if let Some(id) = tokens.iter().position(|t| t.len() > LONGEST_TOKEN) {
            return Err(fault(format!("token {id} has {} bytes", tokens[id].len())));
        }
        let kinds: &[i64] = match file.metadata("tokenizer.ggml.token_type") {
            Some(Value::Ints(kinds)) if kinds.len() == tokens.len() => kinds,
            None => &[],
            Some(_) => {
                return Err(fault("metadata `tokenizer.ggml.token_type` is not one number for each token".into()));
            }
        };
        let mut found = Self { file, tokens, kinds, special: Special { bos: None, eos: vec![] } };
        found.special.bos = found.id("bos")?;
        // End of text, of a turn, of a message: generation stops at each.
        for name in ["eos", "eot", "eom"] {
            let id = found.id(name)?;
            found.special.eos.extend(id);
        }
        Ok(found)
    }

    fn fault(&self, text: impl Into<String>) -> Error {
        Error::tokenizer(self.file.path(), text)
    }

    fn id(&self, name: &str) -> Result<Option<u32>, Error> {
        match self.file.metadata(&format!("tokenizer.ggml.{name}_token_id")) {
            None => Ok(None),
            Some(Value::Int(id)) if (0..self.tokens.len() as i64).contains(id) => Ok(Some(*id as u32)),
            Some(other) => Err(self.fault(format!("the {name} token is {other:?}, outside the vocabulary"))),
        }
    }

    fn text(&self, key: &str) -> Result<Option<&'a str>, Error> {
        match self.file.metadata(key) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(_) => Err(self.fault(format!("metadata `{key}` is no text"))),
        }
    }

    fn flag(&self, key: &str, default: bool) -> Result<bool, Error> {
        match self.file.metadata(key) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(self.fault(format!("metadata `{key}` is neither true nor false"))),
        }
    }

    fn is(&self, id: usize, kinds: &[i64]) -> bool {
        self.kinds.get(id).is_some_and(|kind| kinds.contains(kind))
    }

    fn byte_level(&self) -> Result<Json, Error> {
        let Some(name) = self.text("tokenizer.ggml.pre")? else {
            return Err(
                self.fault("metadata `tokenizer.ggml.pre`, how texts are split, is missing; convert the model again")
            );
        };
        let Some(family) = FAMILIES.iter().find(|f| f.names.contains(&name)) else {
            let known: Vec<&str> = FAMILIES.iter().flat_map(|f| f.names).copied().collect();
            let known = known.join(", ");
            return Err(self.fault(format!("pre-tokenizer `{name}` is not supported; known are {known}")));
        };
        let Some(Value::Texts(merges)) = self.file.metadata("tokenizer.ggml.merges") else {
            return Err(self.fault("metadata `tokenizer.ggml.merges` is missing or not a list of texts"));
        };
        let model = json!({
            "type": "BPE",
            "vocab": self.ids()?,
            "merges": merges,
            "ignore_merges": family.ignore_merges,
        });
        Ok(json!({
            "version": "1.0",
            "added_tokens": self.added(),
            "normalizer": family.normalizer.map(|kind| json!({ "type": kind })),
            "pre_tokenizer": family.split.pre_tokenizer(),
            "post_processor": self.post_processor(family.adds_bos)?,
            "decoder": byte_level(true),
            "model": model,
        }))
    }

    fn sentence_piece(&self) -> Result<Json, Error> {
        let scores = match self.file.metadata("tokenizer.ggml.scores") {
            Some(Value::Floats(scores)) if scores.len() == self.tokens.len() => scores,
            _ => return Err(self.fault("metadata `tokenizer.ggml.scores` is not one number for each token")),
        };
        let ids = self.ids()?;
        let prefix = self.flag("tokenizer.ggml.add_space_prefix", true)?;
        let of_kind = || (0..self.tokens.len()).find(|id| self.is(*id, &[UNKNOWN]));
        let unknown = self.id("unknown")?.map(|id| id as usize).or_else(of_kind).map(|id| &self.tokens[id]);
        let replace = |from: &str, to: &str| json!({ "type": "Replace", "pattern": { "String": from }, "content": to });
        let mut normalizers = vec![replace(" ", SPACE)];
        let mut decoders = vec![replace(SPACE, " "), json!({ "type": "ByteFallback" }), json!({ "type": "Fuse" })];
        if prefix {
            normalizers.insert(0, json!({ "type": "Prepend", "prepend": SPACE }));
            decoders.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
        }
        let model = json!({
            "type": "BPE",
            "vocab": ids,
            "merges": self.merges(scores),
            "unk_token": unknown,
            "fuse_unk": true,
            "byte_fallback": true,
        });
        Ok(json!({
            "version": "1.0",
            "added_tokens": self.added(),
            "normalizer": { "type": "Sequence", "normalizers": normalizers },
            "pre_tokenizer": null,
            "post_processor": self.post_processor(true)?,
            "decoder": { "type": "Sequence", "decoders": decoders },
            "model": model,
        }))
    }

    /// SentencePiece keeps no merges: it joins whichever neighbours make the token of the highest score. So each
    /// way to cut a token into two is a merge, in the order of scores.
    fn merges(&self, scores: &[f64]) -> Vec<[&'a str; 2]> {
        let normal = |id: usize| self.kinds.is_empty() || self.is(id, &[NORMAL]);
        let usable: BTreeMap<&str, usize> =
            self.tokens.iter().enumerate().filter(|(id, _)| normal(*id)).map(|(id, t)| (t.as_str(), id)).collect();
        let mut order: Vec<usize> = usable.values().copied().collect();
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b)));
        let mut merges = vec![];
        for id in order {
            let token = self.tokens[id].as_str();
            let cuts = token.char_indices().skip(1).map(|(at, _)| token.split_at(at));
            let mut cuts: Vec<_> = cuts.filter(|(a, b)| usable.contains_key(a) && usable.contains_key(b)).collect();
            cuts.sort_by_key(|(a, _)| Reverse(a.len()));
            merges.extend(cuts.into_iter().map(|(a, b)| [a, b]));
        }
        merges
    }

    /// Token to number; tokens must differ.
    fn ids(&self) -> Result<Map<String, Json>, Error> {
        let mut ids = Map::new();
        for (id, token) in self.tokens.iter().enumerate() {
            if let Some(first) = ids.insert(token.clone(), id.into()) {
                return Err(self.fault(format!("tokens {first} and {id} are both `{token}`")));
            }
        }
        Ok(ids)
    }

    /// Tokens that are found in a text before anything else happens to it.
    fn added(&self) -> Vec<Json> {
        let named: Vec<usize> = self.special.eos.iter().chain(&self.special.bos).map(|id| *id as usize).collect();
        let mut added = vec![];
        for (id, token) in self.tokens.iter().enumerate() {
            let special = named.contains(&id) || self.is(id, &[UNKNOWN, CONTROL]);
            if special || self.is(id, &[USER_DEFINED]) {
                added.push(json!({
                    "id": id, "content": token, "special": special,
                    "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
                }));
            }
        }
        added
    }

    /// Puts the beginning and end of text where the file wants them.
    fn post_processor(&self, adds_bos: bool) -> Result<Json, Error> {
        let wanted = |key: &str, default: bool, id: Option<&u32>| match (self.flag(key, default)?, id) {
            (true, Some(id)) => Ok(Some(*id)),
            (true, None) if self.file.metadata(key).is_some() => {
                Err(self.fault(format!("`{key}` without such a token")))
            }
            _ => Ok(None),
        };
        let bos = wanted("tokenizer.ggml.add_bos_token", adds_bos, self.special.bos.as_ref())?;
        let eos = wanted("tokenizer.ggml.add_eos_token", false, self.special.eos.first())?;
        if bos.is_none() && eos.is_none() {
            return Ok(Json::Null);
        }
        let token = |id: u32| &self.tokens[id as usize];
        let piece = |id: u32, part: u32| json!({ "SpecialToken": { "id": token(id), "type_id": part } });
        let part = |name: &str, part: u32| {
            let text = json!({ "Sequence": { "id": name, "type_id": part } });
            bos.map(|id| piece(id, part)).into_iter().chain([text]).chain(eos.map(|id| piece(id, part)))
        };
        let mut tokens = Map::new();
        for id in bos.into_iter().chain(eos) {
            tokens.insert(token(id).clone(), json!({ "id": token(id), "ids": [id], "tokens": [token(id)] }));
        }
        Ok(json!({
            "type": "TemplateProcessing",
            "single": part("A", 0).collect::<Vec<_>>(),
            "pair": part("A", 0).chain(part("B", 1)).collect::<Vec<_>>(),
            "special_tokens": tokens,
        }))
    }
}

/// Two steps, one after the other.
fn sequence(key: &str, first: Json, second: Json) -> Json {
    json!({ "type": "Sequence", key: [first, second] })
}
