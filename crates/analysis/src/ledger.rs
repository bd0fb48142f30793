//! Every hyper-parameter of every arm, with where its value comes from.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;

use crate::error::Result;
use crate::run::{Arm, Run};
use crate::settings::{self, Setting};
use crate::table::Table;

/// A setting of an arm.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub arm: String,
    pub setting: String,
    pub value: String,
    /// `default`, `tuner`, `fitted`, `study`, `arm` or `grid`; `machine` or `data` for what follows from those.
    pub origin: String,
}

/// The settings that all trained arms share, and those in which they differ.
///
/// # Errors
/// When `dir` is not a run folder, or its arms are missing or damaged.
pub fn ledger(dir: &Path) -> Result<Vec<Table>> {
    let run = Run::open(dir)?;
    let trained: Vec<&Arm> = run.arms.iter().filter(|arm| arm.is_trained() && !arm.is_variant()).collect();
    let mut by_setting: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
    for entry in trained.iter().flat_map(|arm| entries(arm)) {
        by_setting.entry(entry.setting.clone()).or_default().push(entry);
    }
    let is_shared = |entries: &Vec<Entry>| {
        let first = entries.first().map(|entry| (&entry.value, &entry.origin));
        entries.len() == trained.len() && entries.iter().all(|entry| Some((&entry.value, &entry.origin)) == first)
    };

    let mut shared = Table::new("Settings that all trained arms share", &[("setting", 0), ("value", 0), ("origin", 0)])
        .with_prose(&["value"]);
    let columns = [("setting", 0), ("arm", 0), ("value", 0), ("origin", 0)];
    let mut different = Table::new("Settings in which the arms differ", &columns).with_prose(&["value"]);
    for (setting, entries) in &by_setting {
        if is_shared(entries) {
            let row = |entry: &Entry| {
                vec![setting.as_str().into(), entry.value.as_str().into(), entry.origin.as_str().into()]
            };
            shared.rows.extend(entries.first().map(row));
            continue;
        }
        different.rows.extend(
            entries.iter().map(|entry| {
                [setting, &entry.arm, &entry.value, &entry.origin].map(|text| text.as_str().into()).to_vec()
            }),
        );
    }
    shared.notes.push(
        "origin: default (tunebench's), tuner (recommended by the tuner), fitted (to the size of the data), study, arm, grid \
         (chosen on held-out loss), data, machine."
            .into(),
    );
    shared.notes.extend(trained.iter().filter(|arm| settings::recipe(&arm.record).is_none()).map(|arm| {
        format!("{}: its record holds no recipe that can be read; run the study again to write it.", arm.name)
    }));
    Ok(vec![shared, different])
}

/// Every setting of an arm, in the order of their names.
pub fn entries(arm: &Arm) -> Vec<Entry> {
    let record = &arm.record;
    let seeds: Vec<String> = arm.trainings.iter().map(|training| training.seed.to_string()).collect();
    let of = |value: serde_json::Value, origin: &str| Setting { value, origin: origin.to_owned() };
    let mut all: BTreeMap<String, Setting> = BTreeMap::from([
        ("base".to_owned(), of(json!(record.base), "study")),
        ("tuner".to_owned(), of(json!(record.tuner), "study")),
        ("dataset".to_owned(), of(json!(record.dataset), "study")),
        ("examples".to_owned(), of(json!(record.examples), "data")),
        ("held_out_examples".to_owned(), of(json!(record.held_out_examples), "data")),
        ("template".to_owned(), of(json!(record.template), "study")),
        ("engine".to_owned(), of(json!(record.engine), "machine")),
        ("precision".to_owned(), of(json!(record.precision), "machine")),
        ("computed_by".to_owned(), of(json!(record.computed_by), "machine")),
        ("seeds".to_owned(), of(json!(seeds.join(" ")), "study")),
        ("candidates".to_owned(), of(json!(settings::candidates(arm)), "study")),
    ]);
    all.extend(settings::options(record).unwrap_or_default());
    all.extend(settings::recipe(record).unwrap_or_default());
    let entry = |(setting, found): (String, Setting)| Entry {
        arm: arm.name.clone(),
        value: found.shown(),
        setting,
        origin: found.origin,
    };
    all.into_iter().map(entry).collect()
}
