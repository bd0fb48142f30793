//! Takes the trainings of each arm of a run apart into two halves, in every way, and compares them as if they were two
//! methods: they are one, so at 0.05 they may be told apart in one comparison of twenty.
//!
//! `cargo run -p tunebench-analysis --example halves -- runs/six-seeds`

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use tunebench_analysis::evidence::{Evidence, Judged};
use tunebench_analysis::run::Run;
use tunebench_statistics::{Average, Observation, Scores, Seeds, contrast};

const ALPHA: f64 = 0.05;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::args().nth(1).ok_or("give a run folder whose arms have four trainings or more")?;
    let run = Run::open(Path::new(&dir))?;
    let evidence = Evidence::read(&run)?;
    println!("| judge | arm | trainings | comparisons | told apart |\n|---|---|---:|---:|---:|");
    let (mut all, mut apart) = (0, 0);
    for judge in &evidence.judges {
        for arm in &evidence.arms {
            let (judged, _) = evidence.of(judge, &[arm])?.complete();
            let seeds: Vec<u64> = {
                let mut seeds: Vec<u64> = judged.verdicts.iter().map(|verdict| verdict.seed).collect();
                seeds.sort_unstable();
                seeds.dedup();
                seeds
            };
            if seeds.len() < 4 {
                continue;
            }
            let (mut count, mut rejected) = (0, 0);
            for half in halves(&seeds) {
                let found = contrast(&scores(&judged, &half)?, 0, 1, Average::Macro, Seeds::Nested)?;
                count += 1;
                rejected += usize::from(found.test.is_some_and(|test| test.p < ALPHA));
            }
            println!("| {judge} | {arm} | {} | {count} | {rejected} |", seeds.len());
            (all, apart) = (all + count, apart + rejected);
        }
    }
    println!("\n{apart} of {all} comparisons tell halves of one arm apart at {ALPHA}.");
    Ok(())
}

/// Every half of the seeds that holds the first, so that no split comes twice.
fn halves(seeds: &[u64]) -> Vec<Vec<u64>> {
    let size = seeds.len() / 2;
    let chosen =
        |mask: usize| (0..seeds.len()).filter(move |i| mask >> i & 1 == 1).map(|i| seeds[i]).collect::<Vec<_>>();
    (0..1_usize << seeds.len()).filter(|mask| mask & 1 == 1 && mask.count_ones() as usize == size).map(chosen).collect()
}

/// One arm's scores as those of two arms.
fn scores(judged: &Judged, half: &[u64]) -> Result<Scores, Box<dyn Error>> {
    let mut items: BTreeMap<&str, usize> = BTreeMap::new();
    let mut observations = Vec::new();
    for verdict in &judged.verdicts {
        let next = items.len();
        let item = *items.entry(&verdict.item).or_insert(next);
        let Some(category) = judged.categories.iter().position(|name| **name == *verdict.category) else { continue };
        let Some(score) = verdict.score else { continue };
        let arm = usize::from(!half.contains(&verdict.seed));
        observations.push(Observation { arm, seed: verdict.seed, item, category, repeat: verdict.repeat, score });
    }
    Ok(Scores::new(vec!["first half".into(), "second half".into()], judged.categories.clone(), observations)?)
}
