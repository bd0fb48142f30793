//! A tokenizer that reads plain text as plain text: control tokens come from the template alone.

use crate::error::{Error, Unusable};

/// A `tokenizer.json` with the ids that its model was trained to begin and end with.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    bos: Option<u32>,
    eos: Vec<u32>,
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
        Ok(Self { inner, bos, eos })
    }

    /// The token that begins a sequence, if the tokenizer names one.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// The tokens that end a sequence.
    pub fn eos(&self) -> &[u32] {
        &self.eos
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
