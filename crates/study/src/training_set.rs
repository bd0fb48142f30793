//! The tokens that arms learn from: made once of a source's examples, or found as an earlier run made them.

use std::io;
use std::path::Path;

use serde_json::json;
use tunebench_dataset::overlap::{Overlap, OverlapReport};
use tunebench_dataset::{Examples, Settings, Skips, TokenFacts, TokenSet, TokenStats, TokenWriter, Tokenization};
use tunebench_files as files;
use tunebench_spec::Example;

use crate::error::StudyError;
use crate::model_encoder::ModelEncoder;
use crate::observer::{Event, Observer};
use crate::source::SourceReader;
use crate::token_cache::{self, TokenCache};

/// The tokens that arms learn from.
pub struct TrainingSet {
    pub examples: TokenSet,
    pub stats: TokenStats,
    /// Rows of the source that are no examples, with reasons.
    pub row_skips: Skips,
    /// SHA-256 over all tokens and labels.
    pub identity: String,
    /// Examples of the source that are kept from training.
    pub held_out: u64,
}

impl TrainingSet {
    /// Examples to learn from.
    pub fn count(&self) -> u64 {
        self.examples.count() as u64
    }

    /// Rows and examples that are not learnt from.
    pub fn skipped(&self) -> u64 {
        self.row_skips.total() + self.stats.skips.total()
    }
}

/// What of a source is asked for.
pub(crate) struct Request<'r> {
    /// The dataset.
    pub id: &'r str,
    /// The first so many examples.
    pub count: u64,
    pub encoder: &'r ModelEncoder,
    pub settings: Settings,
    /// Evaluation items that nothing learnt should be like, and what names them; none where that was told.
    pub items: Option<(&'r Overlap, &'r str)>,
}

/// The tokens of the first examples of a source, and what of them is like the items that are asked about.
///
/// # Errors
/// When the source cannot be read, tokens cannot be kept, or the user stops that.
pub(crate) fn training_set(
    reader: &mut SourceReader<'_>,
    request: &Request<'_>,
    observer: &mut dyn Observer,
) -> Result<(TrainingSet, Option<OverlapReport>), StudyError> {
    let source = reader.source(observer)?;
    let (row_skips, held_out) = (source.skips.clone(), source.held_out_total);
    let Request { count, encoder, settings, .. } = *request;
    // Settings are spelt out by their fields, so one that is added is part of the name.
    let of = json!(["tokens", count, encoder.identity, encoder.encoder.vocab_size(), format!("{settings:?}")]);
    let kept = reader.cache().zip(reader.name_of(&of)?);
    let mut overlap = Compared::find(reader, request)?;
    let examples = match kept {
        Some((cache, name)) => kept_set(reader, request, cache, &cache.tokens(&name), &mut overlap, observer)?,
        None => {
            let mut bytes = Vec::new();
            tokenize(reader, request, &mut bytes, &mut overlap, observer)?;
            TokenSet::from_bytes(bytes)?
        }
    };
    if let Some(overlap) = overlap.as_mut().filter(|overlap| !overlap.is_known) {
        // The tokens were there, and what they are like was not.
        if overlap.report.rows == 0 {
            reader.each(count, observer, &mut |examples| overlap.add(examples))?;
        }
        overlap.keep(reader)?;
    }
    let TokenFacts { identity, stats } = examples.facts.clone();
    let set = TrainingSet { examples, stats, row_skips, identity, held_out };
    Ok((set, overlap.map(|overlap| overlap.report)))
}

/// The set of this file, made if it is not there or not whole.
fn kept_set(
    reader: &mut SourceReader<'_>,
    request: &Request<'_>,
    cache: &TokenCache,
    path: &Path,
    overlap: &mut Option<Compared<'_>>,
    observer: &mut dyn Observer,
) -> Result<TokenSet, StudyError> {
    let dataset = request.id;
    if path.exists() {
        match TokenSet::open(path) {
            Ok(set) => {
                token_cache::mark_used(path);
                observer.on_event(&Event::TokensFound { dataset, path, bytes: set.n_bytes() });
                return Ok(set);
            }
            Err(error) => observer.on_event(&Event::TokensLost { dataset, error: &error }),
        }
    }
    files::create_folder(&cache.folder)?;
    let mut failure = None;
    let is_there = || TokenSet::open(path).is_ok();
    let written = files::write_file_unless(path, is_there, |out| {
        tokenize(reader, request, out, overlap, observer).map_err(|error| {
            failure = Some(error);
            io::Error::other("not all could be tokenized")
        })
    });
    if let Some(error) = failure {
        return Err(error);
    }
    written?;
    let set = TokenSet::open(path)?;
    observer.on_event(&Event::TokensKept { dataset, path, bytes: set.n_bytes() });
    let deleted = cache.trim(path)?;
    if deleted.files > 0 {
        observer.on_event(&Event::TokensDeleted { deleted, limit: cache.most_bytes });
    }
    Ok(set)
}

/// Writes the tokens of the examples, and compares the examples if that is asked for.
fn tokenize(
    reader: &mut SourceReader<'_>,
    request: &Request<'_>,
    out: &mut dyn io::Write,
    overlap: &mut Option<Compared<'_>>,
    observer: &mut dyn Observer,
) -> Result<(), StudyError> {
    let encoder = &request.encoder.encoder;
    let mut tokenization = Tokenization::new(encoder, request.settings);
    let mut writer = TokenWriter::new(out, encoder.tokenizer().size())?;
    let mut overlap = overlap.as_mut().filter(|overlap| !overlap.is_known);
    reader.each(request.count, observer, &mut |examples| {
        if let Some(overlap) = &mut overlap {
            overlap.add(examples)?;
        }
        tokenization.add_all(examples).flatten().try_for_each(|tokenized| Ok(writer.push(&tokenized)?))
    })?;
    writer.finish(tokenization.stats())?;
    Ok(())
}

/// What of the examples is like an evaluation item.
struct Compared<'r> {
    items: &'r Overlap,
    name: Option<String>,
    report: OverlapReport,
    /// Whether it is from an earlier run.
    is_known: bool,
}

impl<'r> Compared<'r> {
    /// What is known of it, if it is asked for.
    fn find(reader: &SourceReader<'_>, request: &Request<'r>) -> Result<Option<Self>, StudyError> {
        let Some((items, items_name)) = request.items.filter(|(items, _)| !items.is_empty()) else { return Ok(None) };
        let name = reader.name_of(&json!(["overlap", request.count, items_name]))?;
        let kept = reader.cache().zip(name.as_deref());
        let known: Option<OverlapReport> = kept.and_then(|(cache, name)| cache.read(name, "overlap"));
        let is_known = known.is_some();
        Ok(Some(Self { items, name, report: known.unwrap_or_default(), is_known }))
    }

    fn add(&mut self, examples: &[Example]) -> Result<(), StudyError> {
        self.report.add_all(self.items, examples);
        Ok(())
    }

    fn keep(&self, reader: &SourceReader<'_>) -> Result<(), StudyError> {
        match reader.cache().zip(self.name.as_deref()) {
            Some((cache, name)) => cache.write(name, "overlap", &self.report),
            None => Ok(()),
        }
    }
}
