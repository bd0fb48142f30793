//! What makes a study's judges less sure than they look.

use std::collections::BTreeMap;

use tunebench_results::ServedJudgement;
use tunebench_statistics::calibration::LEAST_LABELS;

use crate::counts::counts;
use crate::error::Result;
use crate::evidence::{Evidence, Kind};
use crate::people::people;
use crate::probes::probed;
use crate::run::Run;

/// Something about one judge.
#[derive(Clone, Debug, PartialEq)]
pub struct JudgeFinding {
    pub judge: String,
    /// A few words, the same for all of its kind.
    pub what: &'static str,
    pub arms: Vec<String>,
    /// Why it matters, and what to do.
    pub why: String,
}

pub const UNCALIBRATED: &str = "judge not calibrated";
pub const FAMILY: &str = "judge of the same family";
pub const ONE_REPEAT: &str = "judged once";
pub const UNEVEN: &str = "uneven lack of scores";
pub const DRIFT: &str = "judge changed";
pub const ONE_ORDER: &str = "one order alone";
pub const PROBE: &str = "judge fails a probe";

/// Words in the names of models of one family.
const FAMILIES: [&[&str]; 16] = [
    &["gpt", "o1-", "o3-", "o4-"],
    &["claude"],
    &["gemini", "gemma"],
    &["llama", "vicuna", "alpaca", "belle"],
    &["qwen", "qwq"],
    &["deepseek"],
    &["mistral", "mixtral", "ministral"],
    &["glm"],
    &["yi-"],
    &["baichuan"],
    &["internlm"],
    &["phi-"],
    &["smollm"],
    &["bloom"],
    &["kimi", "moonshot"],
    &["grok"],
];

/// Largest difference of the share of answers without a score between two arms that is passed over.
const UNEVEN_SHARE: f64 = 0.02;

/// Of each judge of a run, in the order of judges.
///
/// # Errors
/// When a frame is damaged.
pub fn judge_findings(run: &Run, evidence: &Evidence) -> Result<Vec<JudgeFinding>> {
    let people = people(evidence);
    let asked: BTreeMap<String, Vec<String>> = asked_models(run)?;
    let mut findings = Vec::new();
    let is_single = evidence.marking().len() < 2;
    for judge in evidence.judge_names().into_iter().filter(|judge| !matches!(evidence.kind(judge), Kind::Panel { .. }))
    {
        let mut add = |what: &'static str, arms: Vec<String>, why: String| {
            findings.push(JudgeFinding { judge: judge.to_owned(), what, arms, why });
        };
        let arms = || evidence.arms.clone();
        let kind = evidence.kind(judge);
        if is_single && kind.is_marks() && people.marks.len() < LEAST_LABELS {
            add(
                UNCALIBRATED,
                arms(),
                format!(
                    "it judges alone, and {} answers have marks of people, fewer than {LEAST_LABELS}: nothing says how far it is from \
                     them; mark some with `tunebench judge calibrate`",
                    people.marks.len()
                ),
            );
        }
        let models = asked.get(judge).map_or(&[][..], Vec::as_slice);
        if let Some((arms, why)) = kin(run, models) {
            add(FAMILY, arms, why);
        }
        let verdicts = evidence.verdicts(judge).unwrap_or_default();
        if !models.is_empty() && verdicts.iter().all(|verdict| verdict.repeat == 0) {
            let why = "each answer has one judgement, so that nothing says how far it would repeat itself; set repeats = 2, with \
                       repeat_share = 0.1 if all is too dear";
            add(ONE_REPEAT, arms(), why.to_owned());
        }
        if let Some((arms, why)) = uneven(evidence, judge) {
            add(UNEVEN, arms, why);
        }
        if evidence.rows(judge).is_some_and(|rows| rows.services.len() > 1) {
            let why = "it was not one model throughout, so that its scale may have moved; judge again with one, or build a bridge";
            add(DRIFT, arms(), why.to_owned());
        }
        if let Kind::WinRates { incomplete, pairs, .. } = kind
            && *incomplete > 0
        {
            let why = format!(
                "{incomplete} of {pairs} pairs of answers lack a verdict in one order, and what the order does is large with most \
                 judges; judge again what has none"
            );
            add(ONE_ORDER, arms(), why);
        }
    }
    let failed = probed(run)?.into_iter().filter(|probe| probe.is_fault);
    findings.extend(failed.map(|probe| JudgeFinding {
        judge: probe.judge,
        what: PROBE,
        arms: evidence.arms.clone(),
        why: format!("{}: {}", probe.probe, probe.words),
    }));
    Ok(findings)
}

/// By judge, the models that it asked.
fn asked_models(run: &Run) -> Result<BTreeMap<String, Vec<String>>> {
    let mut models: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in run.so_far::<ServedJudgement>()? {
        let model = if row.asked_model.is_empty() { row.model } else { row.asked_model };
        let known = models.entry(row.judge).or_default();
        if !model.is_empty() && !known.contains(&model) {
            known.push(model);
        }
    }
    Ok(models)
}

/// Arms that go back to a model of the judge's own family, as far as names tell.
fn kin(run: &Run, models: &[String]) -> Option<(Vec<String>, String)> {
    let family = |name: &str| {
        let name = name.to_lowercase();
        FAMILIES.iter().position(|words| words.iter().any(|word| name.contains(word)))
    };
    let (model, of_judge) = models.iter().find_map(|model| Some((model, family(model)?)))?;
    let is_kin = |arm: &&crate::run::Arm| {
        let root = if arm.is_trained() { run.root(arm) } else { arm.name.as_str() };
        family(root) == Some(of_judge)
    };
    let arms: Vec<String> = run.arms.iter().filter(is_kin).map(|arm| arm.name.clone()).collect();
    let why = format!(
        "by its name, {model} is of the family of the model that these arms go back to, and judges prefer answers like their own; \
         add a judge of another family"
    );
    (!arms.is_empty()).then_some((arms, why))
}

/// That arms lack scores unequally.
fn uneven(evidence: &Evidence, judge: &str) -> Option<(Vec<String>, String)> {
    let judged = evidence.of(judge, &evidence.arm_names()).ok()?;
    let shares: Vec<(String, f64)> = counts(&judged)
        .into_iter()
        .map(|counts| (counts.arm, (counts.unscored + counts.failed) as f64 / counts.answers.max(1) as f64))
        .collect();
    let least = shares.iter().map(|(_, share)| *share).fold(f64::INFINITY, f64::min);
    let most = shares.iter().map(|(_, share)| *share).fold(0.0, f64::max);
    let words: Vec<String> = shares.iter().map(|(arm, share)| format!("{arm} {:.1} %", 100.0 * share)).collect();
    let why = format!(
        "the share of answers without a score differs between arms ({}), and such answers are seldom like the others; \
         `tunebench judge --again unscored` asks again",
        words.join(", ")
    );
    (most - least > UNEVEN_SHARE).then(|| (shares.into_iter().map(|(arm, _)| arm).collect(), why))
}
