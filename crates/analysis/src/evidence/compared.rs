//! Win rates of judges that compare two answers, as verdicts like any others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tunebench_results::win_rates;

use super::kind::Kind;
use super::rows::{Compared, Texts, Verdict};

/// An answer: arm, seed, item.
type Key = (Arc<str>, u64, Arc<str>);

/// Of each judge, by name, its verdicts and what they are.
pub fn win_rates(compared: &[Compared]) -> Vec<(String, Vec<Verdict>, Kind)> {
    let mut by_judge: BTreeMap<Arc<str>, Vec<&Compared>> = BTreeMap::new();
    for row in compared {
        by_judge.entry(row.judge.clone()).or_default().push(row);
    }
    by_judge.into_iter().filter_map(|(judge, rows)| of_judge(&judge, &rows)).collect()
}

fn of_judge(judge: &Arc<str>, rows: &[&Compared]) -> Option<(String, Vec<Verdict>, Kind)> {
    let duels: Vec<_> = rows.iter().map(|row| row.duel.clone()).collect();
    let found = win_rates::win_rates(&duels)?;
    let mut categories: BTreeMap<&str, &Arc<str>> = BTreeMap::new();
    let mut hashes: BTreeMap<Key, BTreeSet<&str>> = BTreeMap::new();
    for row in rows {
        categories.entry(&row.duel.item).or_insert(&row.category);
        if row.duel.score.is_some() {
            let duel = &row.duel;
            for (arm, seed) in [(&duel.arm, duel.seed), (&duel.rival, duel.rival_seed)] {
                hashes.entry((arm.clone(), seed, duel.item.clone())).or_default().insert(&row.judge_hash);
            }
        }
    }
    let mut texts = Texts::default();
    let mut verdict = |rate: &win_rates::WinRate<Arc<str>>| {
        let key = (rate.arm.clone(), rate.seed, rate.item.clone());
        let of_answer = hashes.get(&key).map(|hashes| hashes.iter().copied().collect::<Vec<_>>().join("+"));
        let category = categories.get(&*rate.item).map_or_else(|| texts.one(""), |category| (*category).clone());
        Verdict {
            arm: rate.arm.clone(),
            seed: rate.seed,
            item: rate.item.clone(),
            category,
            judge: judge.clone(),
            judge_hash: texts.one(&of_answer.unwrap_or_default()),
            repeat: rate.repeat,
            score: rate.score,
            status: rate.status,
        }
    };
    let verdicts = found.rates.iter().map(&mut verdict).collect();
    let kind = Kind::WinRates { rivals: found.rivals, pairs: found.pairs, incomplete: found.incomplete };
    Some((judge.to_string(), verdicts, kind))
}
