//! What a judge that compares two answers said, as the statistics take it.

use std::collections::BTreeMap;

use tunebench_results::win_rates::distinct;
use tunebench_statistics::preference::Comparison;

use crate::error::Result;
use crate::evidence::Evidence;

/// The comparisons of one judge.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparisons {
    /// Names of the arms that were compared, by their index; in the study's order as far as it lists them.
    pub arms: Vec<String>,
    /// Contents of the items, by their index.
    pub items: Vec<String>,
    pub rows: Vec<Comparison>,
    /// Comparisons without a verdict, which are left out.
    pub without_score: usize,
}

/// Each verdict once, as of the answer that was shown first. Answers of one arm's trainings are that arm's.
///
/// # Errors
/// When its judgements do not measure the same.
pub fn comparisons(evidence: &Evidence, judge: &str) -> Result<Comparisons> {
    let duels: Vec<_> = evidence.compared(judge)?.into_iter().map(|compared| compared.duel.clone()).collect();
    let duels = distinct(&duels);
    let mut names: Vec<String> = evidence.arms.clone();
    for name in duels.iter().flat_map(|duel| [&duel.arm, &duel.rival]) {
        if !names.iter().any(|known| **known == **name) {
            names.push(name.to_string());
        }
    }
    names.retain(|name| duels.iter().any(|duel| *duel.arm == **name || *duel.rival == **name));
    let arms: BTreeMap<&str, usize> = names.iter().enumerate().map(|(i, name)| (name.as_str(), i)).collect();
    let mut items: BTreeMap<&str, usize> = duels.iter().map(|duel| (&*duel.item, 0)).collect();
    items.values_mut().enumerate().for_each(|(number, place)| *place = number);
    let row = |duel: &tunebench_results::win_rates::Duel<std::sync::Arc<str>>| {
        let score = duel.score?;
        let (arm, rival) = (*arms.get(&*duel.arm)?, *arms.get(&*duel.rival)?);
        let (shown_first, shown_second, preference) =
            if duel.swapped { (rival, arm, 1.0 - score) } else { (arm, rival, score) };
        // Two trainings of one arm say nothing of arms.
        (arm != rival).then_some(Comparison { item: *items.get(&*duel.item)?, shown_first, shown_second, preference })
    };
    let rows: Vec<Comparison> = duels.iter().filter_map(row).collect();
    let without_score = duels.iter().filter(|duel| duel.score.is_none()).count();
    let items = items.into_keys().map(str::to_owned).collect();
    Ok(Comparisons { arms: names.clone(), items, rows, without_score })
}
