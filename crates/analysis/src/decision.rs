//! What a study says, in a sentence or two, and how sure that is.

use std::path::Path;

use tunebench_statistics::{Average, Design, Enough, Scope, Verdict, components};

use crate::arm_cost::{ArmCost, arm_costs};
use crate::compare::what_shows;
use crate::error::Result;
use crate::estimates::{ArmScore, JudgeScores, MARGIN, PairScore, judge_scores, verdict_words};
use crate::evidence::Evidence;
use crate::run::{Run, judged_title};
use crate::sample::Sample;
use crate::table::Table;

/// What one judge's scores and the costs come to.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    pub judge: String,
    /// One sentence: what was found among the arms that share model and data.
    pub headline: String,
    /// How sure that is.
    pub certainty: String,
    /// Why, and what else there is to know, a sentence each.
    pub reasons: Vec<String>,
    /// Whether the headline says what to do, or only that nothing can be said yet.
    pub is_settled: bool,
}

/// For each judge the decision, over a table of all pairs of arms.
///
/// # Errors
/// When the frames cannot be read, nothing is judged, or the judgements cannot be compared.
pub fn decision(dir: &Path) -> Result<Vec<Table>> {
    let run = Run::open(dir)?;
    let evidence = Evidence::read(&run)?;
    let judges = evidence.judge_names();
    let mut tables = Vec::new();
    for judge in &judges {
        let scores = judge_scores(&run, &evidence, judge, MARGIN)?;
        let found = of_scores(&run, &evidence, &scores, MARGIN)?;
        tables.push(table(&found, &scores, judged_title("What this study says", judge, &judges)));
    }
    Ok(tables)
}

/// The decision that the scores of one judge allow.
///
/// # Errors
/// When the judgements cannot be compared.
pub fn of_scores(run: &Run, evidence: &Evidence, scores: &JudgeScores, margin: f64) -> Result<Decision> {
    let costs = arm_costs(run, evidence, &scores.judge)?;
    let groups = groups(run, scores);
    let mut found = match groups.first() {
        Some(group) if group.len() > 1 => {
            let study = Study {
                scores,
                costs: &costs,
                margin,
                enough: what_would_settle(run, evidence, scores, group, margin)?,
            };
            study.of_group(group)
        }
        _ => without_rivals(run, scores, margin),
    };
    let others = groups.iter().skip(1).filter(|group| group.len() > 1).count();
    if others > 0 {
        found.reasons.push(format!(
            "{others} more groups of arms share model and data; the sentence above is about the largest. The table has every pair."
        ));
    }
    found.reasons.extend(overall(scores, groups.first()));
    Ok(found)
}

/// Trained arms with a macro average that share model and data, best first; the largest group first.
fn groups<'a>(run: &Run, scores: &'a JudgeScores) -> Vec<Vec<&'a ArmScore>> {
    let mut groups: Vec<((&str, &str), Vec<&ArmScore>)> = Vec::new();
    let trained = scores.arms.iter().filter(|arm| !arm.is_base && arm.macro_average.is_ok());
    for (arm, record) in trained.filter_map(|arm| Some((arm, &run.arm(&arm.arm)?.record))) {
        let key = (record.base.as_str(), record.dataset.as_str());
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, arms)) => arms.push(arm),
            None => groups.push((key, vec![arm])),
        }
    }
    let mut groups: Vec<Vec<&ArmScore>> = groups.into_iter().map(|(_, arms)| arms).collect();
    groups.iter_mut().for_each(|arms| arms.sort_by(|a, b| score(b).total_cmp(&score(a))));
    groups.sort_by_key(|arms| std::cmp::Reverse(arms.len()));
    groups
}

fn score(arm: &ArmScore) -> f64 {
    arm.macro_average.as_ref().map_or(f64::NEG_INFINITY, |mean| mean.mean)
}

/// From the variances of the group's own scores, what would show the margin.
fn what_would_settle(
    run: &Run,
    evidence: &Evidence,
    scores: &JudgeScores,
    group: &[&ArmScore],
    margin: f64,
) -> Result<Option<Enough>> {
    let names: Vec<&str> = group.iter().map(|arm| arm.arm.as_str()).collect();
    let (judged, _) = evidence.of(&scores.judge, &names)?.complete();
    let Some(sample) = Sample::of(run, &judged)? else { return Ok(None) };
    let Ok(parts) = components(&sample.as_given, Average::Macro) else { return Ok(None) };
    let categories = sample.scores.categories().len();
    let design = Design { items: parts.items.used, categories, seeds: 1, repeats: judged.repeats() };
    let designs = what_shows(&parts, &design, margin).unwrap_or_default();
    // The fewest answers to generate and judge.
    Ok(designs.into_iter().filter(|design| design.items.is_some()).min_by_key(|d| d.items.map(|items| items * d.seeds)))
}

/// What the sentences about one group are made of.
struct Study<'a> {
    scores: &'a JudgeScores,
    costs: &'a [ArmCost],
    margin: f64,
    enough: Option<Enough>,
}

impl Study<'_> {
    fn of_group(&self, group: &[&ArmScore]) -> Decision {
        let Some((best, others)) = group.split_first() else { return nothing(self.scores, "no arm has a score") };
        let verdicts: Vec<(&ArmScore, Option<&PairScore>)> =
            others.iter().map(|other| (*other, pair(self.scores, &best.arm, &other.arm))).collect();
        let is_unclear = |pair: &Option<&PairScore>| pair.is_none_or(|pair| pair.verdict == Verdict::CannotTell);
        let unclear: Vec<&ArmScore> =
            verdicts.iter().filter(|(_, pair)| is_unclear(pair)).map(|(arm, _)| *arm).collect();
        let alike: Vec<&ArmScore> = verdicts
            .iter()
            .filter(|(_, pair)| pair.is_some_and(|pair| is_within_margin(pair.verdict)))
            .map(|(arm, _)| *arm)
            .collect();

        let mut found = match (unclear.first(), alike.is_empty()) {
            (Some(rival), _) => self.undecided(best, rival),
            (None, true) => self.clear_winner(best, others),
            (None, false) => self.tie(best, &alike),
        };
        let single: Vec<&str> =
            group.iter().filter(|arm| arm.scope == Scope::ItemsOnly).map(|arm| arm.arm.as_str()).collect();
        found.certainty = match single.is_empty() {
            true => "The intervals are over items and trainings: they hold for new questions of these kinds and for new seeds.".into(),
            false => format!(
                "The intervals are over items only: {} {} trained once, and how much another training would move that is not \
                 known; give the study `seeds = 3` or more.",
                listed(&single),
                if single.len() == 1 { "was" } else { "were" }
            ),
        };
        let rest = verdicts.iter().filter_map(|(_, pair)| *pair).map(|pair| self.pair_sentence(pair));
        found.reasons.extend(rest);
        found
    }

    fn decision(&self, headline: String, is_settled: bool) -> Decision {
        let judge = self.scores.judge.clone();
        Decision { judge, headline, certainty: String::new(), reasons: Vec::new(), is_settled }
    }

    fn clear_winner(&self, best: &ArmScore, others: &[&ArmScore]) -> Decision {
        let next = others.first().and_then(|next| pair(self.scores, &best.arm, &next.arm).map(|pair| (next, pair)));
        let Some((next, pair)) = next else { return nothing(self.scores, "the arms could not be compared") };
        let among =
            if others.len() > 1 { format!(", the next best of {} arms", others.len() + 1) } else { String::new() };
        let cost = self.time_words(&best.arm, &next.arm).map_or_else(String::new, |words| format!(" and {words}"));
        let is_single = pair.scope == Some(Scope::ItemsOnly);
        self.decision(
            format!(
                "On your data{} {} scores {:.3} higher than {}{among} ({}){cost}.",
                so_far(is_single),
                best.arm,
                pair.difference.abs(),
                next.arm,
                interval_words(pair)
            ),
            !is_single,
        )
    }

    /// The best and those that are as good: the one that takes least is the one to have.
    fn tie(&self, best: &ArmScore, alike: &[&ArmScore]) -> Decision {
        let all: Vec<&ArmScore> = std::iter::once(best).chain(alike.iter().copied()).collect();
        let names: Vec<&str> = all.iter().map(|arm| arm.arm.as_str()).collect();
        let seconds = |arm: &ArmScore| self.seconds(&arm.arm).unwrap_or(f64::INFINITY);
        let cheapest = all.iter().min_by(|a, b| seconds(a).total_cmp(&seconds(b)));
        let dearest = all.iter().max_by(|a, b| seconds(a).total_cmp(&seconds(b)));
        let cost = cheapest.zip(dearest).and_then(|(cheap, dear)| {
            let ratio = seconds(cheap) / seconds(dear);
            let of_whom = if all.len() > 2 { format!(" of {}", dear.arm) } else { String::new() };
            let words = format!("; {} costs {} the time{of_whom}", cheap.arm, part_words(ratio));
            (ratio.is_finite() && cheap.arm != dear.arm).then_some(if ratio > 0.9 {
                "; they take about as long".to_owned()
            } else {
                words
            })
        });
        let is_single = all.iter().any(|arm| arm.scope == Scope::ItemsOnly);
        let is_different = alike
            .iter()
            .filter_map(|arm| pair(self.scores, &best.arm, &arm.arm))
            .any(|pair| matches!(pair.verdict, Verdict::Different { .. }));
        let headline = format!(
            "On your data{} {} {} {}{}.",
            so_far(is_single),
            listed(&names),
            if is_different { "differ by less than" } else { "cannot be told apart within" },
            self.margin,
            cost.unwrap_or_default()
        );
        self.decision(headline, !is_single)
    }

    fn undecided(&self, best: &ArmScore, rival: &ArmScore) -> Decision {
        let Some(pair) = pair(self.scores, &best.arm, &rival.arm) else {
            return nothing(self.scores, &format!("{} and {} could not be compared", best.arm, rival.arm));
        };
        let settle = match &self.enough {
            Some(Enough { seeds, items: Some(items), scope: Scope::ItemsAndTrainings }) => {
                format!(" {seeds} seeds and {items} items would show a difference of {}.", self.margin)
            }
            Some(Enough { items: Some(items), .. }) => {
                format!(
                    " It takes more than one seed, and at least {items} items, to show a difference of {}.",
                    self.margin
                )
            }
            _ => " More seeds and more items would settle it; how many cannot be said from these scores.".to_owned(),
        };
        let what = match pair.interval {
            Some(_) => format!(
                "{} scores {:.3} higher than {} ({}), which is neither surely a difference nor surely within {}.",
                best.arm,
                pair.difference.abs(),
                rival.arm,
                interval_words(pair),
                self.margin
            ),
            None => format!("how far {} and {} would differ on other items is not known.", best.arm, rival.arm),
        };
        self.decision(format!("Nothing can be said yet: {what}{settle}"), false)
    }

    fn pair_sentence(&self, pair: &PairScore) -> String {
        let words = verdict_words(pair.verdict, &pair.first, &pair.second, self.margin);
        let (higher, lower) = by_height(pair);
        let time = self.time_words(higher, lower).map_or_else(String::new, |words| format!("; {higher} {words}"));
        format!("{higher} minus {lower}: {:+.3} ({}): {words}{time}.", pair.difference.abs(), interval_words(pair))
    }

    fn seconds(&self, arm: &str) -> Option<f64> {
        self.costs.iter().find(|cost| cost.arm == arm)?.train_seconds.filter(|seconds| *seconds > 0.0)
    }

    /// `takes 2.9 times as long`.
    fn time_words(&self, arm: &str, than: &str) -> Option<String> {
        let ratio = self.seconds(arm)? / self.seconds(than)?;
        Some(match ratio {
            ratio if (0.9..=1.1).contains(&ratio) => "takes about as long".to_owned(),
            ratio if ratio > 1.0 => format!("takes {ratio:.1} times as long"),
            ratio => format!("takes {} the time", part_words(ratio)),
        })
    }
}

/// What a headline about arms that were trained once begins with.
fn so_far(is_single: bool) -> &'static str {
    if is_single { ", as far as single trainings tell," } else { "" }
}

fn is_within_margin(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Equivalent | Verdict::Different { within_margin: true, .. })
}

/// With the better arm's name first, whichever way round the pair is.
fn pair<'a>(scores: &'a JudgeScores, a: &str, b: &str) -> Option<&'a PairScore> {
    scores.pairs.iter().find(|pair| (pair.first == a && pair.second == b) || (pair.first == b && pair.second == a))
}

/// The arm that scores higher, and the other.
fn by_height(pair: &PairScore) -> (&str, &str) {
    if pair.difference < 0.0 { (&pair.second, &pair.first) } else { (&pair.first, &pair.second) }
}

/// The interval of the difference, as of the better arm minus the other.
fn interval_words(pair: &PairScore) -> String {
    let Some((interval, scope)) = pair.interval.zip(pair.scope) else { return "no interval".to_owned() };
    let (low, high) = match pair.difference < 0.0 {
        true => (-interval.high, -interval.low),
        false => (interval.low, interval.high),
    };
    format!("95 % interval {low:.3} to {high:.3}, {scope}")
}

/// `half`, `a third of`, `12 % of`.
fn part_words(ratio: f64) -> String {
    const PARTS: [(f64, f64, &str); 4] =
        [(0.46, 0.54, "half"), (0.30, 0.37, "a third of"), (0.23, 0.27, "a quarter of"), (0.18, 0.22, "a fifth of")];
    let known = PARTS.iter().find(|(low, high, _)| (*low..=*high).contains(&ratio));
    known.map_or_else(|| format!("{:.0} % of", 100.0 * ratio), |(_, _, words)| (*words).to_owned())
}

/// `A, B and C`.
fn listed(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [name] => (*name).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn nothing(scores: &JudgeScores, why: &str) -> Decision {
    Decision {
        judge: scores.judge.clone(),
        headline: format!("Nothing can be said yet: {why}."),
        certainty: String::new(),
        reasons: Vec::new(),
        is_settled: false,
    }
}

/// No two arms share model and data: the best one beside the model that it comes from.
fn without_rivals(run: &Run, scores: &JudgeScores, margin: f64) -> Decision {
    let mut trained: Vec<&ArmScore> =
        scores.arms.iter().filter(|arm| !arm.is_base && arm.macro_average.is_ok()).collect();
    trained.sort_by(|a, b| score(b).total_cmp(&score(a)));
    let Some(best) = trained.first() else {
        return nothing(scores, "no trained arm has a score in every category; run the study to its end");
    };
    let alone = match trained.len() {
        1 => format!("{} is the only trained arm with a score", best.arm),
        _ => "no two arms share model and data".to_owned(),
    };
    let mut found =
        nothing(scores, &format!("{alone}, so no methods can be compared; add an arm with the same base and dataset"));
    let root = run.arm(&best.arm).map(|arm| run.root(arm)).unwrap_or_default();
    if let Some(pair) = pair(scores, &best.arm, root) {
        let words = verdict_words(pair.verdict, &pair.first, &pair.second, margin);
        let (higher, lower) = by_height(pair);
        found.certainty = format!(
            "Against the model it comes from: {higher} minus {lower}: {:+.3} ({}): {words}.",
            pair.difference.abs(),
            interval_words(pair)
        );
    }
    found
}

/// Where the best of all arms is none of the group's.
fn overall(scores: &JudgeScores, group: Option<&Vec<&ArmScore>>) -> Option<String> {
    let whole = scores.arms.iter().filter(|arm| arm.macro_average.is_ok());
    let best = whole.max_by(|a, b| score(a).total_cmp(&score(b)))?;
    let group = group?;
    let in_group = group.first()?;
    let is_in_group = group.iter().any(|arm| arm.arm == best.arm);
    let told =
        pair(scores, &best.arm, &in_group.arm).is_some_and(|pair| matches!(pair.verdict, Verdict::Different { .. }));
    let words = if told { "higher than" } else { "not told apart from" };
    (!is_in_group).then(|| {
        format!("Of all arms {} has the highest score ({:.3}), {words} {}.", best.arm, score(best), in_group.arm)
    })
}

fn table(found: &Decision, scores: &JudgeScores, title: String) -> Table {
    let columns = [
        ("first", 0),
        ("second", 0),
        ("difference", 3),
        ("ci_low", 3),
        ("ci_high", 3),
        ("interval_over", 0),
        ("p_adjusted", 4),
        ("verdict", 0),
    ];
    let mut table = Table::new(title, &columns).with_prose(&["verdict"]);
    table.rows = scores
        .pairs
        .iter()
        .map(|pair| {
            vec![
                pair.first.as_str().into(),
                pair.second.as_str().into(),
                pair.difference.into(),
                pair.interval.map(|interval| interval.low).into(),
                pair.interval.map(|interval| interval.high).into(),
                pair.scope.map(|scope| scope.to_string()).into(),
                pair.p_adjusted.into(),
                verdict_words(pair.verdict, &pair.first, &pair.second, MARGIN).into(),
            ]
        })
        .collect();
    let sentences = [&found.headline, &found.certainty].into_iter().chain(&found.reasons);
    table.notes = sentences.filter(|sentence| !sentence.is_empty()).cloned().collect();
    table
}
