//! Checked judgements as the statistics take them, and what a study's arms have in common.

use std::collections::{BTreeMap, BTreeSet};

use tunebench_statistics::{Average, Observation, Scores, Seeds};

use crate::error::{Error, Result};
use crate::evidence::Judged;
use crate::run::Run;

/// The scores that one judge gave some arms.
pub struct Sample {
    pub scores: Scores,
    /// The same with a base model's scores once, for what they vary by.
    pub as_given: Scores,
    /// Whether each arm, by its index in [`Sample::scores`], is a base model as it is.
    pub is_base: Vec<bool>,
    /// The trained arms that each arm goes back to, itself among them.
    ancestors: Vec<BTreeSet<String>>,
    /// Trainings of each arm; 1 of a base model.
    pub seeds: Vec<usize>,
    /// Categories in which the judge scored an arm of the run, but none of these.
    pub without: Vec<String>,
    /// Places of the items in [`Sample::scores`], by their content.
    items: BTreeMap<String, usize>,
}

impl Sample {
    /// The arms of `judged` that have a score; none when no arm has.
    ///
    /// A base model is no draw: nothing was trained, so there is no training's noise in it. Its scores are given twice, as of
    /// two trainings that came out the same, so that an interval about it and a trained arm holds that arm's noise.
    ///
    /// # Errors
    /// When the statistics refuse the scores.
    pub fn of(run: &Run, judged: &Judged) -> Result<Option<Self>> {
        let is_scored = |name: &&String| judged.verdicts.iter().any(|v| *v.arm == **name && v.score.is_some());
        let arms: Vec<String> = judged.arms.iter().filter(is_scored).cloned().collect();
        let has_score = |name: &&String| judged.verdicts.iter().any(|v| *v.category == **name && v.score.is_some());
        let (categories, without): (Vec<&String>, Vec<&String>) = judged.categories.iter().partition(has_score);
        if arms.is_empty() {
            return Ok(None);
        }
        let is_base: Vec<bool> = arms.iter().map(|name| run.arm(name).is_some_and(|arm| !arm.is_trained())).collect();
        let index_of_arm: BTreeMap<&str, usize> = arms.iter().enumerate().map(|(i, arm)| (arm.as_str(), i)).collect();
        let index_of_category: BTreeMap<&str, usize> =
            categories.iter().enumerate().map(|(i, name)| (name.as_str(), i)).collect();
        let mut items: BTreeMap<&str, usize> = BTreeMap::new();
        for verdict in &judged.verdicts {
            let next = items.len();
            items.entry(&verdict.item).or_insert(next);
        }

        let mut observations = Vec::new();
        let mut seeds: Vec<BTreeSet<u64>> = vec![BTreeSet::new(); arms.len()];
        for verdict in &judged.verdicts {
            let Some(score) = verdict.score else { continue };
            let (Some(arm), Some(category)) =
                (index_of_arm.get(&*verdict.arm), index_of_category.get(&*verdict.category))
            else {
                continue;
            };
            seeds[*arm].insert(verdict.seed);
            let (seed, item, repeat) = (verdict.seed, items[&*verdict.item], verdict.repeat);
            let observation = Observation { arm: *arm, seed, item, category: *category, repeat, score };
            observations.push(observation);
        }
        let categories: Vec<String> = categories.into_iter().cloned().collect();
        let as_given = Scores::new(arms.clone(), categories.clone(), observations.clone())?;
        let is_single = |arm: usize| is_base[arm] && seeds[arm].len() == 1;
        let twice: Vec<Observation> = observations.iter().filter(|o| is_single(o.arm)).copied().collect();
        observations.extend(twice.into_iter().map(|o| Observation { seed: o.seed.wrapping_add(1), ..o }));
        let ancestors = arms.iter().map(|name| run.ancestors(name)).collect();
        let without = without.into_iter().cloned().collect();
        let scores = Scores::new(arms, categories, observations)?;
        let seeds = seeds.iter().map(BTreeSet::len).collect();
        let items = items.into_iter().map(|(item, place)| (item.to_owned(), place)).collect();
        Ok(Some(Self { scores, as_given, is_base, ancestors, seeds, without, items }))
    }

    /// The place of an arm.
    ///
    /// # Errors
    /// When it has no score.
    pub fn index(&self, arm: &str) -> Result<usize> {
        let known = || self.scores.arms().join(", ");
        let place = self.scores.arms().iter().position(|name| name == arm);
        place.ok_or_else(|| Error::UnknownArm { arm: arm.to_owned(), known: known() })
    }

    /// The number of an item in the scores; none of one that there is not.
    pub fn item(&self, content: &str) -> Option<usize> {
        self.items.get(content).copied()
    }

    /// Trainings of one seed belong together where both arms go back to one trained arm, whose luck they share.
    pub fn seeds_of(&self, a: usize, b: usize) -> Seeds {
        let shares = !self.ancestors[a].is_disjoint(&self.ancestors[b]);
        let is_matched = self.scores.seeds(a) == self.scores.seeds(b);
        if shares && is_matched { Seeds::Crossed } else { Seeds::Nested }
    }

    /// The macro average, or why there is none for any arm: it is over the categories in which the judge scored any arm of
    /// the run, or over none.
    pub fn macro_average(&self) -> Result<Average, String> {
        match self.without.as_slice() {
            [] => Ok(Average::Macro),
            missing => Err(format!("no score in {}, where other arms of the run have some", missing.join(", "))),
        }
    }
}
