//! A tokenizer that reads plain text as plain text: control tokens come from the template alone.

use tokenizers::{Model, ModelWrapper};

use crate::error::{Error, Unusable};

/// SentencePiece's stand-in for a space.
const SPACE: char = '\u{2581}';

/// A `tokenizer.json` with the ids that its model was trained to begin and end with.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    bos: Option<u32>,
    eos: Vec<u32>,
    unknown: Option<u32>,
    prepends_space: bool,
    prepends_bos: bool,
}

impl Tokenizer {
    /// `eos` lists every token that ends a text; the first is the one that training appends.
    ///
    /// The tokenizer's own truncation, padding and added tokens are switched off: whatever is cut or added here is
    /// counted and shown.
    ///
    /// # Errors
    /// When an id is not in the vocabulary.
    pub fn new(mut inner: tokenizers::Tokenizer, bos: Option<u32>, eos: Vec<u32>) -> Result<Self, Error> {
        let named = bos.iter().map(|id| (*id, "beginning of sequence")).chain(eos.iter().map(|id| (*id, "its end")));
        for (id, role) in named {
            if inner.id_to_token(id).is_none() {
                return Err(Error::NoSuchToken { id, role });
            }
        }
        inner.with_truncation(None).map_err(|e| Error::Tokenizer(e.to_string()))?;
        inner.with_padding(None);
        inner.set_encode_special_tokens(true); // `</s>` in a text is four characters, not the end
        let unknown = unknown(&inner);
        let first = |text: &str, special| Some(*inner.encode(text, special).ok()?.get_ids().first()?);
        let prepends_space =
            first("a", false).and_then(|id| inner.id_to_token(id)).is_some_and(|t| t.starts_with(SPACE));
        let prepends_bos = bos.is_some() && first("", true) == bos;
        Ok(Self { inner, bos, eos, unknown, prepends_space, prepends_bos })
    }

    /// The same, of a model that expects its BOS before a text although `tokenizer.json` does not say so.
    #[must_use]
    pub fn that_prepends_bos(mut self) -> Self {
        self.prepends_bos = self.bos.is_some();
        self
    }

    /// The token that begins a sequence, if the tokenizer names one.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// The tokens that end a sequence.
    pub fn eos(&self) -> &[u32] {
        &self.eos
    }

    /// The token that stands for whatever the vocabulary has no token for.
    pub fn unknown(&self) -> Option<u32> {
        self.unknown
    }

    /// Whether it puts a space before any text, as SentencePiece's do.
    pub fn prepends_space(&self) -> bool {
        self.prepends_space
    }

    /// Whether it puts [`Tokenizer::bos`] before a text when it is asked for special tokens: what its model expects.
    pub fn prepends_bos(&self) -> bool {
        self.prepends_bos
    }

    /// One more than the largest number of a token.
    pub fn size(&self) -> usize {
        let vocabulary = self.inner.get_vocab(true);
        vocabulary.values().max().map_or(0, |id| *id as usize + 1)
    }

    /// The id of a token by its exact text.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// A token as the vocabulary spells it.
    pub fn piece(&self, id: u32) -> String {
        self.inner.id_to_token(id).unwrap_or_else(|| format!("[{id}]"))
    }

    /// The ids of a plain text, without anything added.
    ///
    /// # Errors
    /// When the tokenizer has no tokens for it.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, Unusable> {
        let encoding = self.inner.encode_fast(text, false).map_err(|e| Unusable(format!("tokenizer: {e}")))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of ids, control tokens left out.
    ///
    /// # Errors
    /// When the tokenizer's decoder refuses.
    pub fn decode(&self, ids: &[u32]) -> Result<String, Error> {
        self.inner.decode(ids, true).map_err(|e| Error::Tokenizer(e.to_string()))
    }

    /// What each token adds to the text, control tokens included. A character made of several tokens stands at its
    /// last one, and the others are empty.
    pub fn texts(&self, ids: &[u32]) -> Vec<String> {
        let mut stream = self.inner.decode_stream(false);
        let mut texts = Vec::with_capacity(ids.len());
        for id in ids {
            match stream.step(*id) {
                Ok(text) => texts.push(text.unwrap_or_default()),
                // A decoder whose text depends on what follows: show the token as spelt and begin anew behind it.
                Err(_) => {
                    texts.push(self.piece(*id));
                    stream = self.inner.decode_stream(false);
                }
            }
        }
        texts
    }

    /// The tokenizer itself.
    pub fn inner(&self) -> &tokenizers::Tokenizer {
        &self.inner
    }
}

/// Letters of scripts that nobody writes any more, and none: what a vocabulary does not know, if there is anything.
const RARE: [&str; 3] = ["\u{13000}", "\u{12000}", "\u{f8ff}"];

/// The token that stands for whatever the vocabulary has no token for.
pub(crate) fn unknown(inner: &tokenizers::Tokenizer) -> Option<u32> {
    match inner.get_model() {
        ModelWrapper::BPE(bpe) => bpe.unk_token.as_deref().and_then(|token| bpe.token_to_id(token)),
        ModelWrapper::WordPiece(pieces) => pieces.token_to_id(&pieces.unk_token),
        ModelWrapper::WordLevel(words) => words.token_to_id(&words.unk_token),
        // It keeps its number to itself.
        ModelWrapper::Unigram(unigram) => RARE.into_iter().find_map(|rare| {
            let tokens = unigram.tokenize(rare).ok()?;
            let is_unknown = |id: &u32| unigram.id_to_token(*id).is_some_and(|piece| piece != rare);
            let [token] = tokens.as_slice() else { return None };
            Some(token.id).filter(is_unknown)
        }),
    }
}
