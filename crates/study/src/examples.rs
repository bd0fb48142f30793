//! Datasets through their plugins: each source is read once, and tokenized once for all arms that learn from it alike.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;
use tunebench_dataset::{Selection, Settings, Skips, TokenStats, Tokenization, Tokenized, Wanted, select::select};
use tunebench_host::DatasetPlugin;
use tunebench_spec::study::Dataset;
use tunebench_spec::{Example, Row, hash};

use crate::context::StudyContext;
use crate::error::{Locate, StudyError};
use crate::model_encoder::ModelEncoder;
use crate::observer::{Event, Observer};

/// The tokens that arms learn from.
pub struct TrainingSet {
    pub examples: Vec<Tokenized>,
    pub stats: TokenStats,
    /// Rows of the source that are no examples, with reasons.
    pub row_skips: Skips,
    /// SHA-256 over all tokens and labels.
    pub identity: String,
}

impl TrainingSet {
    /// Rows and examples that are not learnt from.
    pub fn skipped(&self) -> u64 {
        self.row_skips.total() + self.stats.skips.total()
    }
}

/// The examples of one dataset in their seeded order, out of what was read.
pub struct Examples {
    selection: Arc<Selection>,
    wanted: Wanted,
}

impl Examples {
    /// As many as the study wants.
    ///
    /// # Errors
    /// When the source has none or too few.
    pub fn all(&self) -> Result<&[Example], StudyError> {
        Ok(self.selection.first(self.wanted)?)
    }

    /// Rows of the source that are no examples, with reasons.
    pub fn skips(&self) -> &Skips {
        &self.selection.skips
    }
}

/// The datasets of a study. What is read or tokenized is kept as long as this, so it is dropped when all is prepared.
pub struct Datasets<'a> {
    context: &'a StudyContext,
    /// The largest subset that the study takes of each source, by [`source_key`]: smaller ones are its beginning.
    wanted: BTreeMap<String, Wanted>,
    /// By [`source_key`].
    selections: BTreeMap<String, Arc<Selection>>,
    /// By dataset, [`ModelEncoder::identity`], and whether prompts are masked and where examples are cut.
    tokenized: BTreeMap<(&'a str, String, bool, usize), Arc<TrainingSet>>,
}

impl<'a> Datasets<'a> {
    /// Nothing is read yet.
    pub fn new(context: &'a StudyContext) -> Self {
        let mut wanted: BTreeMap<String, Wanted> = BTreeMap::new();
        for dataset in &context.study.datasets {
            let most = wanted.entry(source_key(context, dataset)).or_insert(Wanted::First(0));
            *most = (*most).max(dataset.examples.into());
        }
        Self { context, wanted, selections: BTreeMap::new(), tokenized: BTreeMap::new() }
    }

    /// The chosen examples of the dataset `id`.
    ///
    /// # Errors
    /// When there is no such dataset, or its source cannot be read.
    pub fn examples(&mut self, id: &str, observer: &mut dyn Observer) -> Result<Examples, StudyError> {
        let dataset = dataset(self.context, id)?;
        let selection = self.selection(dataset, observer).at(format_args!("dataset `{id}`"))?;
        Ok(Examples { selection, wanted: dataset.examples.into() })
    }

    /// The tokens of the dataset `id`; examples that cannot be learnt from are counted in its stats.
    ///
    /// # Errors
    /// As [`Datasets::examples`], and when there are too few examples.
    pub fn training_set(
        &mut self,
        id: &'a str,
        encoder: &ModelEncoder,
        settings: Settings,
        observer: &mut dyn Observer,
    ) -> Result<Arc<TrainingSet>, StudyError> {
        let key = (id, encoder.identity.clone(), settings.mask_prompt, settings.max_length);
        if let Some(set) = self.tokenized.get(&key) {
            return Ok(set.clone());
        }
        let found = self.examples(id, observer)?;
        let mut tokenization = Tokenization::new(&encoder.encoder, settings);
        let examples = found.all().at(format_args!("dataset `{id}`"))?;
        let examples: Vec<Tokenized> = examples.iter().filter_map(|e| tokenization.add(e)).collect();
        let (stats, row_skips) = (tokenization.stats().clone(), found.skips().clone());
        let set = Arc::new(TrainingSet { identity: identity(&examples), examples, stats, row_skips });
        observer.on_event(&Event::Tokenized { dataset: id, stats: &set.stats });
        self.tokenized.insert(key, set.clone());
        Ok(set)
    }

    fn selection(&mut self, dataset: &Dataset, observer: &mut dyn Observer) -> Result<Arc<Selection>, StudyError> {
        let key = source_key(self.context, dataset);
        if let Some(selection) = self.selections.get(&key) {
            return Ok(selection.clone());
        }
        let rows = PluginRows(open(self.context, dataset)?);
        let wanted = self.wanted.get(&key).copied().unwrap_or(dataset.examples.into());
        let selection = Arc::new(select(rows, seed(self.context, dataset), wanted)?);
        let Selection { usable, skips, .. } = &*selection;
        observer.on_event(&Event::SourceRead { dataset: &dataset.id, usable: *usable, skips });
        self.selections.insert(key, selection.clone());
        Ok(selection)
    }
}

fn dataset<'a>(context: &'a StudyContext, id: &str) -> Result<&'a Dataset, StudyError> {
    context.study.dataset(id).ok_or_else(|| StudyError::Invalid(format!("no dataset `{id}`")))
}

/// The seed of a dataset's order.
fn seed(context: &StudyContext, dataset: &Dataset) -> u64 {
    dataset.seed.unwrap_or(context.study.study.seed)
}

/// Names what decides a source's examples and their order, but not how many are taken.
fn source_key(context: &StudyContext, dataset: &Dataset) -> String {
    json!([dataset.plugin, dataset.source.paths(), dataset.options, seed(context, dataset)]).to_string()
}

fn open(context: &StudyContext, dataset: &Dataset) -> Result<DatasetPlugin, StudyError> {
    let paths = dataset.source.paths();
    if paths.is_empty() {
        return Err(StudyError::Invalid("it has no `source`; this study can be planned but not run".to_owned()));
    }
    let hint = dataset.hint.as_deref();
    let files: Vec<PathBuf> = paths.iter().map(|p| context.path(p, hint)).collect::<Result<_, _>>()?;
    Ok(context.plugins.dataset(&dataset.plugin, &files, &dataset.options)?)
}

/// The rows of a source, from its start.
struct PluginRows(DatasetPlugin);

impl Iterator for PluginRows {
    type Item = Result<Row, StudyError>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.0.next().at("reading the dataset").transpose()?;
        Some(row.map(|(_, row)| row))
    }
}

/// SHA-256 over the tokens of examples and which of them are labels.
fn identity(examples: &[Tokenized]) -> String {
    let mut bytes = Vec::new();
    for example in examples {
        bytes.extend((example.tokens.len() as u64).to_le_bytes());
        bytes.extend(example.tokens.iter().flat_map(|t| t.to_le_bytes()));
        bytes.extend(example.is_label.iter().map(|&l| u8::from(l)));
    }
    hash::of_bytes(&bytes)
}
