//! The settings of a training as its record holds them: recipe and options from their JSON, candidates from their text.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;
use tunebench_spec::ArmRecord;

use crate::run::Arm;

/// A value and where it comes from.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Setting {
    pub value: Value,
    /// `default`, `tuner`, `fitted`, `study`, `arm` or `grid`.
    pub origin: String,
}

impl Setting {
    /// The value without the quotes of a text.
    pub fn shown(&self) -> String {
        shown(&self.value)
    }
}

/// The value without the quotes of a text.
pub fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The recipe by field; none when the record holds none that can be read.
pub fn recipe(record: &ArmRecord) -> Option<BTreeMap<String, Setting>> {
    serde_json::from_str(&record.recipe).ok()
}

/// The tuner's options by name, as `options.r`; none when the record holds none that can be read.
pub fn options(record: &ArmRecord) -> Option<BTreeMap<String, Setting>> {
    let options: BTreeMap<String, Value> = serde_json::from_str(&record.options).ok()?;
    let by_grid = candidate(&record.candidate);
    let named = options.into_iter().map(|(name, value)| {
        let name = format!("options.{name}");
        let origin = if by_grid.contains_key(&name) { "grid" } else { "study" };
        (name, Setting { value, origin: origin.to_owned() })
    });
    Some(named.collect())
}

/// A number among the settings: `learning_rate`, or `options.r`.
pub fn number(record: &ArmRecord, name: &str) -> Option<f64> {
    let found = if name.starts_with("options.") { options(record) } else { recipe(record) };
    found?.get(name)?.value.as_f64()
}

/// `learning_rate=0.0002 options.r=8` by name. A value with spaces in it goes on to the next name.
pub fn candidate(text: &str) -> BTreeMap<String, String> {
    let mut values: Vec<(String, String)> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        match (word.split_once('='), values.last_mut()) {
            (Some((name, value)), _) => values.push((name.to_owned(), value.to_owned())),
            (None, Some((_, value))) => {
                value.push(' ');
                value.push_str(word);
            }
            (None, None) => {}
        }
    }
    values.into_iter().collect()
}

/// How many candidates the grid of an arm had; 1 without a grid.
pub fn candidates(arm: &Arm) -> usize {
    let trainings = arm.trainings.iter().chain(&arm.losing);
    trainings.map(|training| training.candidate.as_str()).collect::<BTreeSet<_>>().len()
}

/// The edge of a grid at which a candidate lies.
#[derive(Clone, Debug, PartialEq)]
pub struct Edge {
    pub name: String,
    pub value: f64,
    pub is_highest: bool,
    /// Different values of the grid.
    pub values: usize,
}

impl Edge {
    /// `learning_rate = 0.0005 is the highest of 3`.
    pub fn words(&self) -> String {
        let side = if self.is_highest { "highest" } else { "lowest" };
        format!("{} = {} is the {side} of {}", self.name, self.value, self.values)
    }
}

/// The edges at which the chosen candidate lies: beyond them may be a better one.
pub fn edges(arm: &Arm) -> Vec<Edge> {
    arm.trainings.first().map_or_else(Vec::new, |training| edges_of(arm, &training.candidate))
}

/// The edges of the arm's grid at which `chosen` lies.
pub fn edges_of(arm: &Arm, chosen: &str) -> Vec<Edge> {
    let all: Vec<BTreeMap<String, String>> =
        arm.trainings.iter().chain(&arm.losing).map(|training| candidate(&training.candidate)).collect();
    let edge = |(name, value): (String, String)| {
        let value: f64 = value.parse().ok()?;
        let mut values: Vec<f64> = all.iter().filter_map(|c| c.get(&name)?.parse().ok()).collect();
        values.sort_by(f64::total_cmp);
        values.dedup();
        let (lowest, highest) = (*values.first()?, *values.last()?);
        let is_edge = values.len() > 1 && (value <= lowest || value >= highest);
        is_edge.then_some(Edge { name, value, is_highest: value >= highest, values: values.len() })
    };
    candidate(chosen).into_iter().filter_map(edge).collect()
}
