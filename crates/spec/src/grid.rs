//! What of an arm is chosen by held-out loss: grids of recipe and option values, their candidates, and how one is chosen.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::recipe::RecipeOverrides;

/// More would be a search that takes another method than trying everything.
const MOST_CANDIDATES: usize = 1000;

/// What stands in front of the name of a tuner's option.
const OPTION: &str = "options.";

/// `[grid.NAME]` or `[arm.grid]`: values by the name of a recipe's field, or of a tuner's option as `options.NAME`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Grid(pub BTreeMap<String, Vec<Value>>);

/// An arm's grid: its own, or one of the study by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ArmGrid {
    Named(String),
    Own(Grid),
}

/// One combination of a grid's values; the default is an arm without a grid.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Candidate {
    /// The values by name, in the grid's order.
    pub values: BTreeMap<String, Value>,
    /// Those that are of the recipe.
    pub recipe: RecipeOverrides,
    /// Those that are options of the tuner.
    pub options: BTreeMap<String, Value>,
}

impl Candidate {
    /// As frames and messages name it: `learning_rate=0.0002 options.r=8`; empty without a grid.
    pub fn name(&self) -> String {
        let values: Vec<String> = self.values.iter().map(|(name, value)| format!("{name}={}", shown(value))).collect();
        values.join(" ")
    }
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl Grid {
    /// Every combination, the last name's values changing fastest.
    ///
    /// # Errors
    /// A sentence: a name that is no field of a recipe, a value that cannot be its, a name without values or with one of
    /// them twice, or more combinations than anybody can mean.
    pub fn candidates(&self) -> Result<Vec<Candidate>, String> {
        if self.0.is_empty() {
            return Err("it has no values; leave it away, or give it some: learning_rate = [1e-4, 2e-4]".into());
        }
        let mut combinations: Vec<BTreeMap<String, Value>> = vec![BTreeMap::new()];
        for (name, values) in &self.0 {
            check_axis(name, values)?;
            let count = combinations.len().saturating_mul(values.len());
            if count > MOST_CANDIDATES {
                return Err(format!("it has more than {MOST_CANDIDATES} combinations; give it fewer values"));
            }
            let with = |of: &BTreeMap<String, Value>, value: &Value| {
                of.iter().map(|(n, v)| (n.clone(), v.clone())).chain([(name.clone(), value.clone())]).collect()
            };
            combinations = combinations.iter().flat_map(|of| values.iter().map(move |value| with(of, value))).collect();
        }
        combinations.into_iter().map(candidate).collect()
    }

    /// Of a chosen candidate, each numeric value at an end of its axis: the best may lie beyond. `learning_rate = 0.0005 is
    /// the largest of its grid`.
    pub fn edges(&self, chosen: &Candidate) -> Vec<String> {
        let edge = |(name, value): (&String, &Value)| {
            let values: Option<Vec<f64>> = self.0.get(name)?.iter().map(Value::as_f64).collect();
            let (values, value) = (values.filter(|values| values.len() > 1)?, value.as_f64()?);
            let end = match value {
                v if values.iter().all(|other| *other <= v) => "largest",
                v if values.iter().all(|other| *other >= v) => "smallest",
                _ => return None,
            };
            Some(format!("{name} = {value} is the {end} of its grid"))
        };
        chosen.values.iter().filter_map(edge).collect()
    }
}

fn check_axis(name: &str, values: &[Value]) -> Result<(), String> {
    if values.is_empty() {
        return Err(format!("`{name}` has no values"));
    }
    let twice = values.iter().enumerate().find(|(i, value)| values[..*i].iter().any(|before| is_same(before, value)));
    twice.map_or(Ok(()), |(_, value)| Err(format!("`{name}` has the value {value} twice")))
}

/// 1 and 1.0 are one value.
fn is_same(a: &Value, b: &Value) -> bool {
    a == b || a.as_f64().is_some_and(|a| Some(a) == b.as_f64())
}

fn candidate(values: BTreeMap<String, Value>) -> Result<Candidate, String> {
    let (mut recipe, mut options) = (Map::new(), BTreeMap::new());
    for (name, value) in &values {
        match name.strip_prefix(OPTION) {
            Some(option) => drop(options.insert(option.to_owned(), value.clone())),
            None => drop(recipe.insert(name.clone(), value.clone())),
        }
    }
    let recipe = serde_json::from_value(Value::Object(recipe)).map_err(|error| {
        format!("{error}; a grid has fields of a recipe, such as learning_rate, and options of the tuner, such as \"options.r\"")
    })?;
    Ok(Candidate { values, recipe, options })
}

/// `[selection]`: what held-out loss is measured on, and how candidates of a grid are chosen by it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    /// This share of every training source is kept from training, chosen by the rows' content: the same rows for every
    /// arm that shares the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// Or the examples of this dataset, which are taken out of the training sets wherever they occur.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// At most so many of them are measured.
    #[serde(default = "five_hundred")]
    pub examples: usize,
    #[serde(default)]
    pub schedule: SelectionSchedule,
    /// With `halving`: of the candidates of a rung one in so many goes on, and each rung is so many times as long.
    #[serde(default = "three")]
    pub reduction_factor: usize,
    /// With `halving`: the least share of a training's steps after which a candidate may be dropped.
    #[serde(default = "tenth")]
    pub least_steps: f64,
}

/// How far candidates are trained before one is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SelectionSchedule {
    /// All to their end.
    #[default]
    All,
    /// Successive halving (Jamieson and Talwalkar 2016), in order and without asynchrony, so that it decides alike however
    /// it is interrupted: the worse are dropped at each rung, the others go on from where they are.
    Halving,
}

fn five_hundred() -> usize {
    500
}

fn three() -> usize {
    3
}

fn tenth() -> f64 {
    0.1
}

impl Selection {
    /// # Errors
    /// A sentence with what cannot be.
    pub fn check(&self) -> Result<(), String> {
        match (self.share, &self.dataset) {
            (None, None) => return Err("it needs share = 0.05, or dataset = \"ID\"".into()),
            (Some(_), Some(_)) => return Err("share and dataset are two ways to say one thing; give one".into()),
            (Some(share), None) if !(share > 0.0 && share <= 0.5) => {
                return Err(format!("share must be above 0 and at most 0.5, not {share}"));
            }
            _ => {}
        }
        if self.examples == 0 {
            return Err("examples must be at least 1".into());
        }
        if self.reduction_factor < 2 {
            return Err(format!("reduction_factor must be at least 2, not {}", self.reduction_factor));
        }
        if !(self.least_steps > 0.0 && self.least_steps <= 1.0) {
            return Err(format!(
                "least_steps is a share of the steps, above 0 and at most 1, not {}",
                self.least_steps
            ));
        }
        Ok(())
    }

    /// Of `candidates` candidates, the rungs after which some are dropped: the share of a training's steps at each, and how
    /// many go on from it. None with the schedule `all`.
    pub fn rungs(&self, candidates: usize) -> Vec<Rung> {
        let mut rungs = Vec::new();
        if self.schedule == SelectionSchedule::All {
            return rungs;
        }
        let factor = self.reduction_factor;
        let (mut left, mut share) = (candidates, self.least_steps);
        while left > 1 && share < 1.0 {
            left = left.div_ceil(factor);
            rungs.push(Rung { share, survivors: left });
            share *= factor as f64;
        }
        rungs
    }
}

/// A point at which candidates are compared, and the worse dropped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rung {
    /// Of a training's steps.
    pub share: f64,
    /// How many candidates go on.
    pub survivors: usize,
}

impl Rung {
    /// The step of this rung in a training of `total` steps: rounded up, at least one.
    pub fn step(&self, total: u64) -> u64 {
        // A share such as 3 times 0.1 lies a little above what is meant, which must not make a step.
        let steps = self.share * total as f64 * (1.0 - 1e-12);
        (steps.ceil() as u64).clamp(1, total.max(1))
    }
}
