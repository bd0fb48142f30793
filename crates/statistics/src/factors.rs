//! Effects of a factor, such as the method or the data size, from pairs of arms that differ in it alone.

use std::collections::{BTreeMap, BTreeSet};

use crate::Error;

/// A factor's name, and what it is in an arm.
pub type Levels = BTreeMap<String, String>;

/// Weights of a contrast for [`crate::linear`], and where they come from.
#[derive(Clone, Debug, PartialEq)]
pub struct FactorContrast {
    /// By arm; they sum to zero.
    pub weights: Vec<f64>,
    /// Arms at the first level, each with one at the second that differs from it in nothing else.
    pub pairs: Vec<(usize, usize)>,
    /// Arms at either level that found no partner, and are not in the effect.
    pub unmatched: Vec<usize>,
}

/// The effect of `factor` at level `first` against level `second`: the mean over all matched pairs of arms of the one minus
/// the other. `levels` has one table per arm; a factor that an arm does not have is a level of its own.
///
/// # Errors
/// No arm at a level; the same level twice; no two arms that differ in this factor alone: the message names the nearest.
pub fn matched_pairs(
    arms: &[String],
    levels: &[Levels],
    factor: &str,
    first: &str,
    second: &str,
) -> Result<FactorContrast, Error> {
    if arms.len() != levels.len() {
        return Err(Error::LevelCount { given: levels.len(), arms: arms.len() });
    }
    if first == second {
        return Err(Error::SameLevel { factor: factor.to_owned(), level: first.to_owned() });
    }
    let at = |level: &str| arms_at(levels, factor, level);
    let (firsts, seconds) = (at(first)?, at(second)?);
    let all = || firsts.iter().flat_map(|a| seconds.iter().map(|b| (*a, *b)));
    let others = |(a, b): (usize, usize)| other_differences(&levels[a], &levels[b], factor);
    let pairs: Vec<(usize, usize)> = all().filter(|pair| others(*pair).is_empty()).collect();
    if pairs.is_empty() {
        let nearest = all().min_by_key(|pair| others(*pair).len());
        let (a, b) = nearest.unwrap_or_default();
        let others: Vec<String> = others((a, b)).into_iter().map(|name| format!("`{}`", name.escape_debug())).collect();
        return Err(Error::NoMatchedPair {
            factor: factor.to_owned(),
            levels: format!("`{}` in one and `{}` in the other", first.escape_debug(), second.escape_debug()),
            nearest: format!("`{}` and `{}`", arms[a].escape_debug(), arms[b].escape_debug()),
            others: others.join(", "),
        });
    }
    let mut weights = vec![0.0; arms.len()];
    for (a, b) in &pairs {
        weights[*a] += 1.0 / pairs.len() as f64;
        weights[*b] -= 1.0 / pairs.len() as f64;
    }
    let unmatched = firsts.iter().chain(&seconds).copied().filter(|arm| weights[*arm] == 0.0).collect();
    Ok(FactorContrast { weights, pairs, unmatched })
}

/// The levels of a factor that arms have, in alphabetical order.
pub fn levels_of<'a>(levels: &'a [Levels], factor: &str) -> BTreeSet<&'a str> {
    levels.iter().filter_map(|arm| arm.get(factor)).map(String::as_str).collect()
}

fn arms_at(levels: &[Levels], factor: &str, level: &str) -> Result<Vec<usize>, Error> {
    let has = |arm: &usize| levels[*arm].get(factor).is_some_and(|value| value == level);
    let found: Vec<usize> = (0..levels.len()).filter(has).collect();
    if found.is_empty() {
        let known: Vec<String> =
            levels_of(levels, factor).into_iter().map(|level| format!("`{}`", level.escape_debug())).collect();
        let levels = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(Error::NoSuchLevel { factor: factor.to_owned(), level: level.to_owned(), levels });
    }
    Ok(found)
}

/// Factors other than `factor` in which two arms differ.
fn other_differences<'a>(a: &'a Levels, b: &'a Levels, factor: &str) -> Vec<&'a str> {
    let names: BTreeSet<&str> = a.keys().chain(b.keys()).map(String::as_str).collect();
    names.into_iter().filter(|name| *name != factor && a.get(*name) != b.get(*name)).collect()
}
