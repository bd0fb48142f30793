//! What can go wrong between rows and tokens.

use crate::skips::Skips;

/// Why a dataset, template or tokenizer cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the dataset has no usable row ({skips}); check its source and plugin")]
    Empty { skips: Skips },
    #[error(
        "{} of {total} rows cannot be used, more than max_skipped_share = {most} allows: {}; mend the rows or say by columns \
         what they are, or raise max_skipped_share of the [[dataset]]",
        .skips.total(), .skips.largest()
    )]
    TooManySkipped { total: u64, most: f64, skips: Skips },
    #[error("`examples` must be at least 1")]
    NoneWanted,
    #[error("{wanted} examples are asked for but the dataset has {usable} ({skips}); lower `examples` or add data")]
    TooFew { wanted: u64, usable: u64, skips: Skips },
    #[error(
        "{wanted} examples are asked for but {usable} are left to learn from, since {apart} are held out ({skips}); lower \
         `examples`, hold out fewer, or add data"
    )]
    TooFewLeft { wanted: u64, usable: u64, apart: u64, skips: Skips },
    #[error(
        "all {apart} examples of the dataset are held out, so none is left to learn from; hold out fewer or add data"
    )]
    AllApart { apart: u64 },
    #[error("a share of {share} cannot be held out; it must be above 0 and below 1, e.g. 0.02")]
    Share { share: f64 },
    #[error("at least 1 held-out example must be kept to measure by")]
    NoneKept,
    #[error("{wanted} examples are asked for, but only the first {kept} were kept when the source was read")]
    NotKept { wanted: u64, kept: usize },
    #[error("unknown template `{name}`; there are: {known}")]
    UnknownTemplate { name: String, known: String },
    #[error("template `{template}` needs the token `{token}`, which this tokenizer lacks; choose another template")]
    NoMarker { template: &'static str, token: &'static str },
    #[error("template `{template}` ends answers with the end-of-sequence token, but the tokenizer names none")]
    NoEos { template: &'static str },
    #[error("template `{template}` begins with the beginning-of-sequence token, but the tokenizer names none")]
    NoBos { template: &'static str },
    #[error("`add_bos_token` asks for a beginning-of-sequence token, but the tokenizer names none; leave it out")]
    NoBosToAdd,
    #[error(
        "the model brings no chat template, so `template = \"model\"` cannot be followed; name the template that it was tuned \
         with, one of: {known}"
    )]
    NoOwnTemplate { known: String },
    #[error("the model's own chat template cannot be used: {fault}; name another template")]
    OwnTemplate { fault: String },
    #[error(
        "template `{template}` writes the token {id} `{token}`, and the model has embeddings for {vocab_size} tokens only; this \
         tokenizer belongs to another model, or the model's embeddings were not resized"
    )]
    NoEmbedding { template: &'static str, token: String, id: u32, vocab_size: usize },
    #[error("the tokenizer has no token {id}, which it is said to use as {role}")]
    NoSuchToken { id: u32, role: &'static str },
    #[error("tokenizer: {0}")]
    Tokenizer(String),
    #[error("there is no example {index}, only {count}")]
    NoExample { index: usize, count: usize },
    #[error("{place}: damaged: {fault}; delete it, and it is made again")]
    TokensDamaged { place: String, fault: String },
    #[error("examples that were set aside on disk cannot be read again: {0}")]
    Spool(#[source] serde_json::Error),
    #[error(transparent)]
    Files(#[from] tunebench_files::Error),
}

/// Why one example cannot be used. Counted and reported; equal defects have equal reasons.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unusable(pub String);
