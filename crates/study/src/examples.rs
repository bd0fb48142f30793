//! Datasets: a plugin's rows as the examples a study chose, and as the tokens an arm learns from.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use tunebench_dataset::{Encoder, Rows, RowsError, Settings, TokenStats, Tokenization, Tokenized, select};
use tunebench_host::DatasetPlugin;
use tunebench_spec::study::Dataset;
use tunebench_spec::{Example, Row};

use super::setup::Setup;

/// The examples of a dataset, in their seeded order.
pub struct Examples {
    pub examples: Vec<Example>,
    /// Rows of the source that are no examples, with reasons.
    pub skips: tunebench_dataset::Skips,
}

/// Reads the chosen examples of the dataset `id`.
pub fn examples(setup: &Setup, id: &str) -> Result<Examples> {
    let dataset = setup.study.dataset(id).with_context(|| format!("no dataset `{id}`"))?;
    read(setup, dataset).with_context(|| format!("dataset `{id}`"))
}

fn read(setup: &Setup, dataset: &Dataset) -> Result<Examples> {
    let mut rows = open(setup, dataset)?;
    let seed = dataset.seed.unwrap_or(setup.study.study.seed);
    let selection = select::select(&mut rows, seed, dataset.examples.into())?;
    let examples = selection.load(&mut rows)?;
    Ok(Examples { examples, skips: selection.skips })
}

fn open(setup: &Setup, dataset: &Dataset) -> Result<PluginRows> {
    let paths = dataset.source.paths();
    anyhow::ensure!(!paths.is_empty(), "it has no `source`; this study can be planned but not run");
    let files: Vec<PathBuf> = paths.iter().map(|p| setup.path(p, dataset.hint.as_deref())).collect::<Result<_>>()?;
    PluginRows::new(setup.plugins.dataset(&dataset.plugin, &files, &dataset.options)?)
}

/// Turns examples into tokens; what cannot be learnt from is counted in the second value.
pub fn tokenize(encoder: &Encoder, settings: Settings, examples: &[Example]) -> (Vec<Tokenized>, TokenStats) {
    let mut tokenization = Tokenization::new(encoder, settings);
    let tokenized = examples.iter().filter_map(|e| tokenization.add(e)).collect();
    (tokenized, tokenization.stats().clone())
}

/// A dataset plugin as the stream that selection reads: one row ahead, so that its position is known.
struct PluginRows {
    plugin: DatasetPlugin,
    ahead: Option<(String, Row)>,
}

impl PluginRows {
    fn new(mut plugin: DatasetPlugin) -> Result<Self> {
        let ahead = plugin.next()?;
        Ok(Self { plugin, ahead })
    }
}

impl Rows for PluginRows {
    fn next(&mut self) -> Result<Option<Row>, RowsError> {
        let Some((_, row)) = self.ahead.take() else { return Ok(None) };
        self.ahead = self.plugin.next()?;
        Ok(Some(row))
    }

    fn position(&self) -> Vec<u8> {
        self.ahead.as_ref().map(|(position, _)| position.clone().into_bytes()).unwrap_or_default()
    }

    fn seek(&mut self, position: &[u8]) -> Result<(), RowsError> {
        self.plugin.seek(&String::from_utf8_lossy(position))?;
        self.ahead = self.plugin.next()?;
        Ok(())
    }
}
