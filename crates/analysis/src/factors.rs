//! The effects of what a study varies, from pairs of arms that differ in that alone: the paper's four conclusions, on
//! method, data size, base size and rank, with their sizes and intervals.

use std::collections::BTreeMap;
use std::path::Path;

use tunebench_statistics::{
    Average, FactorContrast, Interval, Levels, Scope, Seeds, Verdict, holm, linear, matched_pairs, verdict,
};

use crate::error::Result;
use crate::estimates::{ALPHA, MARGIN, verdict_words};
use crate::evidence::Evidence;
use crate::method::{BASE, DATA, FACTORS, METHOD, RANK, levels};
use crate::run::{Arm, Run};
use crate::sample::Sample;
use crate::table::Table;

/// What a factor's change from one level to another does to the macro average.
#[derive(Clone, Debug, PartialEq)]
pub struct Effect {
    pub factor: &'static str,
    /// The effect is the score at `to` minus that at `from`: of sizes, the larger one minus the smaller.
    pub from: String,
    pub to: String,
    pub difference: f64,
    pub inference: std::result::Result<(Interval, Scope), String>,
    pub p: Option<f64>,
    /// Adjusted for the number of effects.
    pub p_holm: Option<f64>,
    pub verdict: Verdict,
    /// The arms that it is the mean over: at `to`, and at `from`.
    pub pairs: Vec<(String, String)>,
    /// Arms at either level without a partner.
    pub unmatched: Vec<String>,
}

/// For each judge the effects, and a note for each factor that no two arms differ in alone.
///
/// # Errors
/// When the frames cannot be read, nothing is judged, or the judgements cannot be compared.
pub fn factors(dir: &Path) -> Result<Vec<Table>> {
    let run = Run::open(dir)?;
    let evidence = Evidence::read(&run)?;
    let judges = evidence.judge_names();
    let mut tables = Vec::new();
    for judge in &judges {
        let (effects, notes) = effects(&run, &evidence, judge, MARGIN)?;
        tables.push(table(&effects, notes, evidence.title("Effects on the macro average", judge)));
    }
    Ok(tables)
}

/// The effects by one judge, and why there are no others.
///
/// # Errors
/// When the judgements cannot be compared.
pub fn effects(run: &Run, evidence: &Evidence, judge: &str, margin: f64) -> Result<(Vec<Effect>, Vec<String>)> {
    // An arm in another form is no level of a factor.
    let is_method = |name: &&str| run.arm(name).is_some_and(|arm| arm.is_trained() && !arm.is_variant());
    let names: Vec<&str> = evidence.arm_names().into_iter().filter(is_method).collect();
    let judged = evidence.of(judge, &names)?;
    let mut notes = judged.notes.clone();
    let Some(sample) = Sample::of(run, &judged)? else {
        return Ok((Vec::new(), vec!["No answer has a score.".into()]));
    };
    let average = match sample.macro_average() {
        Ok(average) => average,
        Err(why) => return Ok((Vec::new(), vec![format!("No macro average: {why}.")])),
    };
    let arms: Vec<&Arm> = sample.scores.arms().iter().filter_map(|name| run.arm(name)).collect();
    let all: Vec<Levels> = arms.iter().map(|arm| levels(run, arm)).collect();

    let mut effects = Vec::new();
    for factor in FACTORS {
        let steps = steps(factor, &arms, &all);
        if steps.is_empty() {
            notes.push(format!("{factor}: all arms that have it are alike, so there is no effect to see."));
        }
        let mut refused = Vec::new();
        for (from, to) in &steps {
            match matched_pairs(sample.scores.arms(), &compared(&all, factor), factor, to, from) {
                Ok(matched) => effects.push(effect(&sample, factor, (from, to), &matched, average, margin)?),
                Err(why) => refused.push(why.to_string()),
            }
        }
        // Where other levels have partners, those that have none are no news.
        if refused.len() == steps.len() {
            notes.extend(refused.into_iter().take(1).map(|why| format!("{factor}: {why}.")));
        }
    }
    let p_values: Vec<f64> = effects.iter().filter_map(|effect| effect.p).collect();
    let mut adjusted = holm(&p_values).into_iter();
    for effect in &mut effects {
        effect.p_holm = effect.p.and_then(|_| adjusted.next());
        if effect.p_holm.is_some_and(|p| p >= ALPHA) && matches!(effect.verdict, Verdict::Different { .. }) {
            effect.verdict = Verdict::CannotTell;
        }
    }
    Ok((effects, notes))
}

/// What else must be equal: of methods, not the rank, which full fine-tuning does not have; of data, not its name.
fn compared(all: &[Levels], factor: &str) -> Vec<Levels> {
    let without_rank = |levels: &Levels| {
        levels.iter().filter(|(name, _)| *name != RANK).map(|(name, level)| (name.clone(), level.clone())).collect()
    };
    if factor == METHOD { all.iter().map(without_rank).collect() } else { all.to_vec() }
}

/// The pairs of levels to compare: methods each with each, sizes each with the next.
fn steps(factor: &'static str, arms: &[&Arm], all: &[Levels]) -> Vec<(String, String)> {
    let size = |arm: &Arm, level: &str| match factor {
        DATA => arm.record.examples as f64,
        BASE => arm.record.model_params as f64,
        RANK => level.parse().unwrap_or(0.0),
        _ => 0.0,
    };
    let mut sizes: BTreeMap<&str, f64> = BTreeMap::new();
    for (arm, levels) in arms.iter().zip(all) {
        if let Some(level) = levels.get(factor) {
            sizes.insert(level, size(arm, level));
        }
    }
    let mut order: Vec<(&str, f64)> = sizes.into_iter().collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1));
    let pairs = order.iter().enumerate().flat_map(|(i, from)| order.iter().skip(i + 1).map(move |to| (*from, *to)));
    // All of them: a level in between may have no partner where its neighbours have.
    let is_step = |(from, to): &((&str, f64), (&str, f64))| factor == METHOD || to.1 > from.1;
    pairs.filter(is_step).map(|(from, to)| (from.0.to_owned(), to.0.to_owned())).collect()
}

fn effect(
    sample: &Sample,
    factor: &'static str,
    (from, to): (&str, &str),
    matched: &FactorContrast,
    average: Average,
    margin: f64,
) -> Result<Effect> {
    let seeds = match matched.pairs.as_slice() {
        [(a, b)] => sample.seeds_of(*a, *b),
        _ => Seeds::Nested,
    };
    let found = linear(&sample.scores, &matched.weights, average, seeds)?;
    let p = found.test.map(|test| test.p);
    let name = |arm: &usize| sample.scores.arms().get(*arm).cloned().unwrap_or_default();
    Ok(Effect {
        factor,
        from: from.to_owned(),
        to: to.to_owned(),
        difference: found.difference,
        verdict: verdict(&found, p, margin, ALPHA)?,
        inference: found.inference.map(|known| (known.interval, known.scope)).map_err(|why| why.to_string()),
        p,
        p_holm: None,
        pairs: matched.pairs.iter().map(|(a, b)| (name(a), name(b))).collect(),
        unmatched: matched.unmatched.iter().map(name).collect(),
    })
}

fn table(effects: &[Effect], notes: Vec<String>, title: String) -> Table {
    let columns = [
        ("factor", 0),
        ("from", 0),
        ("to", 0),
        ("difference", 3),
        ("ci_low", 3),
        ("ci_high", 3),
        ("interval_over", 0),
        ("p", 4),
        ("p_holm", 4),
        ("verdict", 0),
        ("left_out", 0),
        ("arms", 0),
    ];
    let mut table = Table::new(title, &columns).with_prose(&["arms"]);
    for effect in effects {
        let known = effect.inference.as_ref().ok();
        let pairs: Vec<String> = effect.pairs.iter().map(|(to, from)| format!("{to} - {from}")).collect();
        table.rows.push(vec![
            effect.factor.into(),
            effect.from.as_str().into(),
            effect.to.as_str().into(),
            effect.difference.into(),
            known.map(|(interval, _)| interval.low).into(),
            known.map(|(interval, _)| interval.high).into(),
            known.map(|(_, scope)| scope.to_string()).into(),
            effect.p.into(),
            effect.p_holm.into(),
            verdict_words(effect.verdict, "to", "from", MARGIN).into(),
            effect.unmatched.len().into(),
            pairs.join("; ").into(),
        ]);
        if let Err(why) = &effect.inference {
            table.notes.push(format!("{} to {}: {why}.", effect.from, effect.to));
        }
    }
    table.notes.push(
        "difference: macro average at `to` minus at `from`, the mean over the pairs under arms, which differ in the factor alone \
         as far as method, data, base and rank go; `lint` lists what else they differ in. Methods are compared whatever their rank; data sets are told apart by id and number of examples, whatever is in them. left_out: arms at either level without a partner."
            .into(),
    );
    table.notes.extend(notes);
    table
}
