//! The datasets of a study through their plugins: each source is read once, and tokenized once for all arms that learn from
//! it alike.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};
use tunebench_dataset::holdout::{Apart, HoldOut, content_key};
use tunebench_dataset::overlap::Overlap;
use tunebench_dataset::{Settings, Skips, Wanted, skipped_share};
use tunebench_spec::study::Dataset;
use tunebench_spec::{Example, grid, hash};

use crate::context::StudyContext;
use crate::error::{Locate, StudyError};
use crate::losses::{LossSet, LossSets};
use crate::model_encoder::{ModelEncoder, check_embeddings};
use crate::observer::{Event, Observer};
use crate::source::SourceReader;
use crate::training_set::{Request, TrainingSet, training_set};

/// The datasets of a study. What is read is kept, on disk where it is much, as long as this, so it is dropped when all is
/// prepared.
pub struct Datasets<'a> {
    context: &'a StudyContext,
    /// The largest subset that the study takes of each source, by [`source_key`]: smaller ones are its beginning.
    wanted: BTreeMap<String, Wanted>,
    /// By [`source_key`] and what is kept apart.
    readers: BTreeMap<(String, Use), SourceReader<'a>>,
    /// By dataset, [`ModelEncoder::identity`] and the model's vocabulary, and whether prompts are masked and where examples
    /// are cut.
    tokenized: BTreeMap<(&'a str, String, bool, usize), Arc<TrainingSet>>,
    /// By dataset, [`ModelEncoder::identity`] and positions; and by the encoder of plain text and positions.
    held_out: BTreeMap<(&'a str, String, usize), Arc<LossSet>>,
    general: BTreeMap<(String, usize), Arc<LossSet>>,
    /// The evaluation items, which nothing else should be like, and what names them.
    items: (Overlap, String),
    /// The datasets that were compared with them.
    compared: BTreeSet<&'a str>,
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
            readers: BTreeMap::new(),
            tokenized: BTreeMap::new(),
            held_out: BTreeMap::new(),
            general: BTreeMap::new(),
            items: (Overlap::default(), String::new()),
            compared: BTreeSet::new(),
        }
    }

    /// The evaluation items: whatever is learnt from is compared with them, and none is measured on.
    ///
    /// # Errors
    /// Never in practice: items have a JSON form.
    pub fn set_apart_from(&mut self, items: &[Example]) -> Result<(), StudyError> {
        let asked: Vec<[&str; 2]> = items.iter().map(|item| [item.id.as_str(), item.question()]).collect();
        self.items = (Overlap::new(items), hash::of_json(&asked)?);
        Ok(())
    }

    /// The chosen examples of the dataset `id`, to be asked, and the rows of its source that are none.
    ///
    /// # Errors
    /// When there is no such dataset, or its source cannot be read.
    pub fn items(&mut self, id: &str, observer: &mut dyn Observer) -> Result<(Vec<Example>, Skips), StudyError> {
        let (count, reader) = self.counted(Use::Whole, id, observer)?;
        Ok((reader.examples(count, observer)?, reader.source(observer)?.skips.clone()))
    }

    /// How many examples of the dataset `id` are to be learnt from, whether or not that can be done with all of them.
    ///
    /// # Errors
    /// When there is no such dataset, its source cannot be read, or there are too few examples.
    pub fn count(&mut self, id: &str, observer: &mut dyn Observer) -> Result<u64, StudyError> {
        Ok(self.counted(Use::Training, id, observer)?.0)
    }

    /// The first of the examples that are to be learnt from.
    ///
    /// # Errors
    /// As [`Datasets::count`].
    pub fn first(&mut self, id: &str, count: u64, observer: &mut dyn Observer) -> Result<Vec<Example>, StudyError> {
        let (all, reader) = self.counted(Use::Training, id, observer)?;
        reader.examples(count.min(all), observer)
    }

    /// The tokens of the dataset `id`, all of which the model can read; examples that cannot be learnt from are counted in
    /// its stats.
    ///
    /// # Errors
    /// As [`Datasets::count`], and when a row has a token that the model has no embedding for.
    pub fn training_set(
        &mut self,
        id: &'a str,
        encoder: &ModelEncoder,
        settings: Settings,
        observer: &mut dyn Observer,
    ) -> Result<Arc<TrainingSet>, StudyError> {
        let set = self.tokens(id, encoder, settings, observer)?;
        let most = dataset(self.context, id)?.max_skipped_share();
        skipped_share::check(&set.stats.skips, set.stats.examples, most).at(format_args!("dataset `{id}`"))?;
        check_embeddings(&set.stats.text).at(format_args!("dataset `{id}`"))?;
        Ok(set)
    }

    /// As [`Datasets::training_set`], whether or not the model can read all of it.
    ///
    /// # Errors
    /// As [`Datasets::count`].
    pub fn tokens(
        &mut self,
        id: &'a str,
        encoder: &ModelEncoder,
        settings: Settings,
        observer: &mut dyn Observer,
    ) -> Result<Arc<TrainingSet>, StudyError> {
        let of = format!("{} {}", encoder.identity, encoder.encoder.vocab_size());
        let key = (id, of, settings.mask_prompt, settings.max_length);
        if let Some(set) = self.tokenized.get(&key) {
            return Ok(set.clone());
        }
        let place = || format!("dataset `{id}`");
        let (count, _) = self.counted(Use::Training, id, observer)?;
        let is_first = self.compared.insert(id);
        let items = is_first.then_some((&self.items.0, self.items.1.as_str()));
        let request = Request { id, count, encoder, settings, items };
        let reader = self.readers.get_mut(&(source_key(self.context, dataset(self.context, id)?), Use::Training));
        let reader = reader.ok_or_else(|| StudyError::Invalid("it was not opened".to_owned())).at(place())?;
        let (set, overlap) = training_set(reader, &request, observer).at(place())?;
        if let Some(overlap) = overlap.filter(|overlap| overlap.found() > 0) {
            observer.on_event(&Event::Overlap { dataset: id, overlap: &overlap });
        }
        if !set.stats.text.sentences().is_empty() {
            observer.on_event(&Event::TextChecked { of: id, check: &set.stats.text });
        }
        let set = Arc::new(set);
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
        selection: &'a grid::Selection,
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
        let most = selection.examples;
        let (examples, count, removed) = match &selection.dataset {
            Some(of) => {
                let mut examples = Vec::new();
                let count = self.each_item(of, observer, &mut |items, example| {
                    // An item among them would let the evaluation choose what is evaluated.
                    if examples.len() < most && items.find_in(example).is_none() {
                        examples.push(example.clone());
                    }
                })?;
                (examples, count, 0)
            }
            None => {
                let (_, reader) = self.opened(Use::Training, id, observer)?;
                let source = reader.source(observer)?;
                let (found, removed) = (source.held_out.clone(), source.held_out_total);
                let count = found.len() as u64;
                let is_no_item = |example: &Example| self.items.0.find_in(example).is_none();
                (found.into_iter().filter(is_no_item).take(most).collect(), count, removed)
            }
        };
        let set = Arc::new(LossSet::held_out(encoder, positions, &examples)?);
        let measured = set.examples.len() as u64;
        let left_out = count.min(most as u64) - measured;
        if measured == 0 {
            return Err(StudyError::Invalid(format!(
                "[selection]: of dataset `{of}` no example can be held out ({count} found); raise share, or name a dataset"
            )));
        }
        observer.on_event(&Event::HeldOut { dataset: of, removed, measured, left_out });
        self.held_out.insert(key, set.clone());
        Ok(set)
    }

    /// Shows each example of the dataset `id`, as a whole, with the evaluation items; how many there are.
    fn each_item(
        &mut self,
        id: &str,
        observer: &mut dyn Observer,
        take: &mut dyn FnMut(&Overlap, &Example),
    ) -> Result<u64, StudyError> {
        let (count, _) = self.counted(Use::Whole, id, observer)?;
        let items = std::mem::take(&mut self.items);
        let (_, reader) = self.opened(Use::Whole, id, observer)?;
        let shown = reader.each(count, observer, &mut |examples| {
            examples.iter().for_each(|example| take(&items.0, example));
            Ok(())
        });
        self.items = items;
        shown.at(format_args!("dataset `{id}`"))?;
        Ok(count)
    }

    /// As [`Datasets::opened`], with how many examples the study wants of it.
    fn counted(
        &mut self,
        what: Use,
        id: &str,
        observer: &mut dyn Observer,
    ) -> Result<(u64, &mut SourceReader<'a>), StudyError> {
        let place = || format!("dataset `{id}`");
        let (dataset, reader) = self.opened(what, id, observer)?;
        let source = reader.source(observer).at(place())?;
        let used = source.usable + source.held_out_total;
        skipped_share::check(&source.skips, used, dataset.max_skipped_share()).at(place())?;
        let count = source.count(dataset.examples.into()).at(place())?;
        Ok((count, reader))
    }

    /// The source of the dataset `id`, opened once for this use.
    fn opened(
        &mut self,
        what: Use,
        id: &str,
        observer: &mut dyn Observer,
    ) -> Result<(&'a Dataset, &mut SourceReader<'a>), StudyError> {
        let dataset = dataset(self.context, id)?;
        let key = (source_key(self.context, dataset), what);
        if !self.readers.contains_key(&key) {
            let (apart, apart_name) = self.apart(what, observer)?;
            let wanted = self.wanted.get(&key.0).copied().unwrap_or(dataset.examples.into());
            let reader = SourceReader::open(self.context, dataset, wanted, (apart, &apart_name), observer);
            self.readers.insert(key.clone(), reader.at(format_args!("dataset `{id}`"))?);
        }
        match self.readers.get_mut(&key) {
            Some(reader) => Ok((dataset, reader)),
            None => Err(StudyError::Invalid(format!("dataset `{id}` was not opened"))),
        }
    }

    /// What is kept apart from examples that are read for this, and what names that.
    fn apart(&mut self, what: Use, observer: &mut dyn Observer) -> Result<(Apart, Value), StudyError> {
        let study = &self.context.study;
        let (Some(selection), Use::Training) = (&study.selection, what) else {
            return Ok((Apart::Nothing, Value::Null));
        };
        if let Some(share) = selection.share {
            let (seed, most) = (study.study.seed, selection.examples);
            return Ok((Apart::Share(HoldOut::new(seed, share, most)?), json!([seed, share, most])));
        }
        let Some(id) = &selection.dataset else { return Ok((Apart::Nothing, Value::Null)) };
        let mut keys = BTreeSet::new();
        self.each_item(id, observer, &mut |_, example| _ = keys.insert(content_key(example)))?;
        let name = keys.iter().map(ToString::to_string).collect::<String>();
        Ok((Apart::Keys(keys), json!(hash::of_bytes(name.as_bytes()))))
    }
}

fn dataset<'a>(context: &'a StudyContext, id: &str) -> Result<&'a Dataset, StudyError> {
    context.study.dataset(id).ok_or_else(|| StudyError::Invalid(format!("no dataset `{id}`")))
}

/// Names what decides a source's examples and their order, but not how many are taken.
fn source_key(context: &StudyContext, dataset: &Dataset) -> String {
    let seed = dataset.seed.unwrap_or(context.study.study.seed);
    json!([dataset.plugin, dataset.source.paths(), dataset.options, dataset.columns, seed]).to_string()
}
