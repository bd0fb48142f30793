//! From rows to training data: choose a nested subset, put a conversation into a template, tokenize it, and mark the
//! tokens that are learnt.
//!
//! - [`select`](mod@select): the first N examples of a seeded order, in one reading; [`spool`]: where millions of them wait
//! - [`holdout`]: what of a source is kept apart to measure by, decided by content
//! - [`overlap`]: whether a row is nearly an evaluation item
//! - [`template`]: how a conversation is written, by name; [`jinja`]: by the model's own chat template
//! - [`encoder`]: how that becomes tokens
//! - [`tokenizer`]: a tokenizer that reads control tokens only where the template puts them
//! - [`tokenize`]: token ids and label mask, truncation, counts; [`token_set`]: those of millions, in a file
//! - [`text_check`]: text that does not survive the tokenizer, and tokens that the model does not have
//! - [`labels`]: what exactly is learnt from one example, and warnings, for people to read
//! - [`general`]: a fixed text of general language, to measure what is forgotten
//! - [`skips`]: rows that cannot be used, counted by reason; [`skipped_share`]: how many may be
//!
//! Nothing here knows a plugin: rows come as an iterator. What does not stay in memory is kept by `files`.

pub mod encoder;
pub mod error;
pub mod general;
pub mod holdout;
pub mod jinja;
pub mod labels;
pub mod overlap;
pub mod select;
pub mod skipped_share;
pub mod skips;
pub mod spool;
pub mod template;
pub mod text_check;
pub mod token_set;
pub mod tokenize;
pub mod tokenizer;

pub use encoder::{Encoder, MODEL_TEMPLATE, Prompt};
pub use error::{Error, Unusable};
pub use general::GeneralText;
pub use holdout::{Apart, ContentKey, HoldOut, content_key};
pub use labels::{LabelDump, LabelGroup, LabelledToken, Warning};
pub use overlap::{Likeness, Match, Overlap, OverlapReport};
pub use select::{Selection, Source, Wanted, select, select_apart};
pub use skips::Skips;
pub use spool::Spool;
pub use template::Template;
pub use text_check::TextCheck;
pub use token_set::{Examples, TokenFacts, TokenSet, TokenWriter};
pub use tokenize::{Settings, TokenStats, Tokenization, Tokenized};
pub use tokenizer::Tokenizer;
