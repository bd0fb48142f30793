//! Datasets through their plugins: each source is read once, and tokenized once for all arms that learn from it alike.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;
use tunebench_dataset::holdout::{Apart, HoldOut, content_key};
use tunebench_dataset::overlap::{Overlap, OverlapReport};
use tunebench_dataset::{
    Selection, Settings, Skips, TokenStats, Tokenization, Tokenized, Wanted, select::select_apart,
};
use tunebench_host::{DatasetPlugin, SourceFiles};
use tunebench_spec::study::Dataset;
use tunebench_spec::{Example, Row, hash};

use crate::context::StudyContext;
use crate::error::{Locate, StudyError};
use crate::losses::{LossSet, LossSets};
use crate::model_encoder::{ModelEncoder, check_embeddings};
use crate::observer::{Event, Observer};

/// The tokens that arms learn from.
pub struct TrainingSet {
    pub examples: Vec<Tokenized>,
    pub stats: TokenStats,
    /// Rows of the source that are no examples, with reasons.
    pub row_skips: Skips,
    /// SHA-256 over all tokens and labels.
    pub identity: String,
    /// Examples of the source that are kept from training.
    pub held_out: u64,
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
    /// By [`source_key`] and what is kept apart.
    selections: BTreeMap<(String, Use), Arc<Selection>>,
    /// By dataset, [`ModelEncoder::identity`], and whether prompts are masked and where examples are cut.
    tokenized: BTreeMap<(&'a str, String, bool, usize), Arc<TrainingSet>>,
    /// By dataset, [`ModelEncoder::identity`] and positions; and by the encoder of plain text and positions.
    held_out: BTreeMap<(&'a str, String, usize), Arc<LossSet>>,
    general: BTreeMap<(String, usize), Arc<LossSet>>,
    /// The evaluation items, which nothing else should be like.
    items: Overlap,
}

/// What examples are read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Use {
    /// To learn from: what `[selection]` holds out is kept apart.
    Training,
    /// To be asked, or measured: all of them.
    Whole,
}

impl<'a> Datasets<'a> {
    /// Nothing is read yet.
    pub fn new(context: &'a StudyContext) -> Self {
        let mut wanted: BTreeMap<String, Wanted> = BTreeMap::new();
        for dataset in &context.study.datasets {
            let most = wanted.entry(source_key(context, dataset)).or_insert(Wanted::First(0));
            *most = (*most).max(dataset.examples.into());
        }
        Self {
            context,
            wanted,
            selections: BTreeMap::new(),
            tokenized: BTreeMap::new(),
            held_out: BTreeMap::new(),
            general: BTreeMap::new(),
            items: Overlap::default(),
        }
    }

    /// The evaluation items: whatever is learnt from is compared with them, and none is measured on.
    pub fn set_apart_from(&mut self, items: &[Example]) {
        self.items = Overlap::new(items);
    }

    /// The chosen examples of the dataset `id`, to be asked.
    ///
    /// # Errors
    /// When there is no such dataset, or its source cannot be read.
    pub fn items(&mut self, id: &str, observer: &mut dyn Observer) -> Result<Examples, StudyError> {
        self.examples_for(Use::Whole, id, observer)
    }

    /// The chosen examples of the dataset `id`, to learn from.
    ///
    /// # Errors
    /// When there is no such dataset, or its source cannot be read.
    pub fn examples(&mut self, id: &str, observer: &mut dyn Observer) -> Result<Examples, StudyError> {
        self.examples_for(Use::Training, id, observer)
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
        if !self.tokenized.keys().any(|key| key.0 == id) {
            self.compare_with_items(id, examples, observer);
        }
        let examples: Vec<Tokenized> = examples.iter().filter_map(|e| tokenization.add(e)).collect();
        let most = dataset(self.context, id)?.max_skipped_share();
        let TokenStats { examples: learnt, skips, .. } = tokenization.stats();
        skips.check(*learnt, most).at(format_args!("dataset `{id}`"))?;
        let (stats, row_skips) = (tokenization.stats().clone(), found.skips().clone());
        if !stats.text.sentences().is_empty() {
            observer.on_event(&Event::TextChecked { of: id, check: &stats.text });
        }
        check_embeddings(&stats.text).at(format_args!("dataset `{id}`"))?;
        let (identity, held_out) = (identity(&examples), found.selection.held_out_total);
        let set = Arc::new(TrainingSet { identity, examples, stats, row_skips, held_out });
        observer.on_event(&Event::Tokenized { dataset: id, stats: &set.stats });
        self.tokenized.insert(key, set.clone());
        Ok(set)
    }

    /// What the losses of a model are measured on that learns from the dataset `id`: what `[selection]` holds out, and the
    /// text of general language, by its encoder of plain text. `positions` are those that the model has.
    ///
    /// # Errors
    /// When a source cannot be read.
    pub fn loss_sets(
        &mut self,
        id: &'a str,
        encoder: &ModelEncoder,
        plain: &ModelEncoder,
        positions: usize,
        observer: &mut dyn Observer,
    ) -> Result<LossSets, StudyError> {
        let mut sets = Vec::new();
        if let Some(selection) = &self.context.study.selection {
            sets.push(self.held_out(id, selection, encoder, positions, observer)?);
        }
        let key = (plain.identity.clone(), positions);
        let general = match self.general.get(&key) {
            Some(set) => set.clone(),
            None => Arc::new(LossSet::general(plain, positions)?),
        };
        self.general.insert(key, general.clone());
        sets.push(general);
        sets.retain(|set| !set.examples.is_empty());
        Ok(LossSets(sets))
    }

    fn held_out(
        &mut self,
        id: &'a str,
        selection: &'a tunebench_spec::grid::Selection,
        encoder: &ModelEncoder,
        positions: usize,
        observer: &mut dyn Observer,
    ) -> Result<Arc<LossSet>, StudyError> {
        // One dataset for all arms, or of each arm's source what is kept from it.
        let of = selection.dataset.as_deref().unwrap_or(id);
        let key = (of, encoder.identity.clone(), positions);
        if let Some(set) = self.held_out.get(&key) {
            return Ok(set.clone());
        }
        let (examples, removed) = match &selection.dataset {
            Some(of) => (self.items(of, observer)?.all().at(format_args!("dataset `{of}`"))?.to_vec(), 0),
            None => {
                let found = self.examples(id, observer)?.selection;
                (found.held_out.clone(), found.held_out_total)
            }
        };
        let count = examples.len();
        // An item among them would let the evaluation choose what is evaluated.
        let is_no_item = |example: &Example| self.items.find_in(example).is_none();
        let examples: Vec<Example> = examples.into_iter().filter(is_no_item).take(selection.examples).collect();
        let set = Arc::new(LossSet::held_out(encoder, positions, &examples)?);
        let measured = set.examples.len() as u64;
        let left_out = count.min(selection.examples) as u64 - measured;
        if measured == 0 {
            return Err(StudyError::Invalid(format!(
                "[selection]: of dataset `{of}` no example can be held out ({count} found); raise share, or name a dataset"
            )));
        }
        observer.on_event(&Event::HeldOut { dataset: of, removed, measured, left_out });
        self.held_out.insert(key, set.clone());
        Ok(set)
    }

    fn compare_with_items(&self, id: &str, examples: &[Example], observer: &mut dyn Observer) {
        let mut overlap = OverlapReport::default();
        for example in examples {
            overlap.add(&self.items, example);
        }
        if overlap.found() > 0 {
            observer.on_event(&Event::Overlap { dataset: id, overlap: &overlap });
        }
    }

    fn examples_for(&mut self, what: Use, id: &str, observer: &mut dyn Observer) -> Result<Examples, StudyError> {
        let dataset = dataset(self.context, id)?;
        let selection = self.selection(what, dataset, observer).at(format_args!("dataset `{id}`"))?;
        let Selection { usable, held_out_total, skips, .. } = &*selection;
        skips.check(usable + held_out_total, dataset.max_skipped_share()).at(format_args!("dataset `{id}`"))?;
        Ok(Examples { selection, wanted: dataset.examples.into() })
    }

    fn selection(
        &mut self,
        what: Use,
        dataset: &Dataset,
        observer: &mut dyn Observer,
    ) -> Result<Arc<Selection>, StudyError> {
        let key = (source_key(self.context, dataset), what);
        if let Some(selection) = self.selections.get(&key) {
            return Ok(selection.clone());
        }
        let apart = self.apart(what, observer)?;
        let mut rows = PluginRows(open(self.context, dataset, observer)?);
        let wanted = self.wanted.get(&key.0).copied().unwrap_or(dataset.examples.into());
        let selection = Arc::new(select_apart(&mut rows, seed(self.context, dataset), wanted, &apart)?);
        let Selection { usable, skips, .. } = &*selection;
        observer.on_event(&Event::SourceRead { dataset: &dataset.id, usable: *usable, skips });
        for remark in rows.0.remarks()? {
            observer.on_event(&Event::SourceRemark { dataset: &dataset.id, remark: &remark });
        }
        self.selections.insert(key, selection.clone());
        Ok(selection)
    }

    /// What is kept apart from examples that are read for this.
    fn apart(&mut self, what: Use, observer: &mut dyn Observer) -> Result<Apart, StudyError> {
        let study = &self.context.study;
        let (Some(selection), Use::Training) = (&study.selection, what) else { return Ok(Apart::Nothing) };
        if let Some(share) = selection.share {
            return Ok(Apart::Share(HoldOut::new(study.study.seed, share, selection.examples)?));
        }
        let Some(id) = &selection.dataset else { return Ok(Apart::Nothing) };
        let held_out = self.items(id, observer)?;
        Ok(Apart::Keys(held_out.all().at(format_args!("dataset `{id}`"))?.iter().map(content_key).collect()))
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
    json!([dataset.plugin, dataset.source.paths(), dataset.options, dataset.columns, seed(context, dataset)])
        .to_string()
}

fn open(context: &StudyContext, dataset: &Dataset, observer: &mut dyn Observer) -> Result<DatasetPlugin, StudyError> {
    let paths = dataset.source.paths();
    if paths.is_empty() {
        return Err(StudyError::Invalid("it has no `source`; this study can be planned but not run".to_owned()));
    }
    let hint = dataset.hint.as_deref();
    let mut source = SourceFiles { columns: dataset.columns.clone(), ..SourceFiles::default() };
    for path in paths {
        let found = context.files(path, hint)?;
        if let Some(remark) = &found.remark {
            observer.on_event(&Event::SourceRemark { dataset: &dataset.id, remark: &format!("{path}: {remark}") });
        }
        source.paths.extend(found.files);
    }
    Ok(context.plugins.dataset_of(&dataset.plugin, &source, &dataset.options)?)
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
