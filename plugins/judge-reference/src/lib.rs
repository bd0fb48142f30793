//! `reference`: a judge that asks nobody. It compares the answer with the item's reference, or with what the
//! question itself demands, by a metric chosen per category. Pure, offline, and bounded whatever the answer's length.
//!
//! ```toml
//! [eval]
//! judge = "reference"
//! [eval.judge_options.metrics]           # over the defaults; a list is tried in order until one applies
//! "open qa" = "exact"
//! others = ["number", "exact"]
//! ```
//!
//! | metric | score | applies when there is |
//! |---|---|---|
//! | `number` | 1 when the final numbers are equal ([`numbers`]) | a number in the reference, which is no fenced code |
//! | `label` | 1 when the answer's label is the reference's ([`label`]) | a reference |
//! | `exact` | 1 when equal but for width, punctuation marks' style and white space ([`text`]) | a reference |
//! | `char_f1` | F1 over the bags of characters and words ([`overlap`]) | a reference |
//! | `rouge_l` | F1 of the longest common subsequence ([`overlap`]) | a reference |
//! | `members` | share of the wished-for number of items that are among the reference's ([`items`]) | a reference |
//! | `checks` | share of the question's checkable demands that are met ([`checks`]) | such a demand |
//!
//! An answer that no metric of its category applies to stays unscored, with the reasons.

pub mod checks;
pub mod items;
pub mod label;
pub mod overlap;
pub mod text;

use std::collections::BTreeMap;

use numbers::{equal, final_number};
use tunebench_plugin_api::prelude::*;

/// What a study may set.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Category, in any case, or `*` for all that are not named -> what scores it.
    pub metrics: BTreeMap<String, Choice>,
}

/// One metric, or several of which the first that applies counts.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Choice {
    One(Metric),
    Several(Vec<Metric>),
}

/// A way to score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    Number,
    Label,
    Exact,
    CharF1,
    RougeL,
    Members,
    Checks,
}

/// Categories by BELLE's names, in lower case. Maths and code are `others` once reported together.
const DEFAULTS: [(&str, &[Metric]); 12] = [
    ("math", &[Metric::Number]),
    ("code", &[Metric::RougeL]),
    ("others", &[Metric::Number, Metric::RougeL]),
    ("classification", &[Metric::Label]),
    ("extract", &[Metric::CharF1]),
    ("closed qa", &[Metric::CharF1]),
    ("open qa", &[Metric::CharF1]),
    ("rewrite", &[Metric::RougeL]),
    ("summarization", &[Metric::RougeL]),
    ("generation", &[Metric::Checks]),
    ("brainstorming", &[Metric::Checks]),
    (ANY, &[Metric::RougeL]),
];

/// The key of every category that has none of its own.
const ANY: &str = "*";

/// The judge.
pub struct Reference {
    metrics: BTreeMap<String, Vec<Metric>>,
}

/// What a metric makes of an answer.
enum Outcome {
    Score(f64, String),
    /// The item lacks what the metric compares with.
    Inapplicable(&'static str),
}

impl Judge for Reference {
    const NAME: &'static str = "reference";
    const DESCRIPTION: &'static str = "offline: compares with the reference or checks the question's own demands";
    type Options = Options;

    fn new(options: Options) -> Result<Self> {
        let mut metrics: BTreeMap<String, Vec<Metric>> =
            DEFAULTS.iter().map(|(category, list)| ((*category).into(), list.to_vec())).collect();
        for (category, choice) in options.metrics {
            let list = match choice {
                Choice::One(metric) => vec![metric],
                Choice::Several(list) => list,
            };
            metrics.insert(key(&category), list);
        }
        Ok(Self { metrics })
    }

    fn step(&self, item: &Example, answer: &str, _replies: &[ChatReply]) -> Result<JudgeStep> {
        let category = key(item.category.as_deref().unwrap_or(ANY));
        let metrics = self.metrics.get(&category).or_else(|| self.metrics.get(ANY));
        let mut reasons = Vec::new();
        for metric in metrics.into_iter().flatten() {
            match metric.outcome(item, answer) {
                Outcome::Score(score, why) => {
                    return Ok(JudgeStep::Verdict { score, reason: format!("{}: {why}", metric.name()) });
                }
                Outcome::Inapplicable(why) => reasons.push(format!("{}: {why}", metric.name())),
            }
        }
        if reasons.is_empty() {
            reasons.push(format!("no metric for category `{category}`"));
        }
        Ok(JudgeStep::Unscored { reason: reasons.join("; ") })
    }
}

export_plugin!(judge: Reference);

fn key(category: &str) -> String {
    category.trim().to_lowercase()
}

impl Metric {
    /// As written in a study.
    fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Label => "label",
            Self::Exact => "exact",
            Self::CharF1 => "char_f1",
            Self::RougeL => "rouge_l",
            Self::Members => "members",
            Self::Checks => "checks",
        }
    }

    fn outcome(self, item: &Example, answer: &str) -> Outcome {
        if self == Self::Checks {
            return checks_met(question(item), answer);
        }
        let Some(reference) = item.reference.as_deref().filter(|r| !r.trim().is_empty()) else {
            return Outcome::Inapplicable("the item has no reference answer");
        };
        match self {
            Self::Number => numbers_agree(reference, answer),
            Self::Label => right_or_wrong(label::agrees(answer, reference), reference, answer),
            Self::Exact => right_or_wrong(text::normalised(answer) == text::normalised(reference), reference, answer),
            Self::CharF1 => Outcome::Score(overlap::char_f1(answer, reference), "overlap with the reference".into()),
            Self::RougeL => Outcome::Score(overlap::rouge_l(answer, reference), "overlap with the reference".into()),
            Self::Members | Self::Checks => listed_members(question(item), reference, answer),
        }
    }
}

/// The text of the last user turn.
fn question(item: &Example) -> &str {
    item.turns.iter().rev().find(|t| t.role == Role::User).map_or("", |t| t.content.as_str())
}

fn right_or_wrong(right: bool, reference: &str, answer: &str) -> Outcome {
    if right {
        return Outcome::Score(1.0, "as the reference".into());
    }
    let why = format!("`{}` where the reference has `{}`", text::excerpt(answer), text::excerpt(reference));
    Outcome::Score(0.0, why)
}

fn numbers_agree(reference: &str, answer: &str) -> Outcome {
    if reference.contains("```") {
        return Outcome::Inapplicable("the reference is code");
    }
    let Some(wanted) = final_number(reference).map(|number| number.value) else {
        return Outcome::Inapplicable("the reference has no number");
    };
    match final_number(answer).map(|number| number.value) {
        None => Outcome::Score(0.0, format!("no number where the reference has {wanted}")),
        Some(found) if equal(found, wanted) => Outcome::Score(1.0, format!("{found}")),
        Some(found) => Outcome::Score(0.0, format!("{found} where the reference has {wanted}")),
    }
}

fn listed_members(question: &str, reference: &str, answer: &str) -> Outcome {
    let allowed = items::items(reference);
    let wanted = checks::item_count(question).unwrap_or(allowed.len());
    let (right, listed) = items::members(answer, &allowed);
    let score = right.min(wanted) as f64 / wanted.max(listed).max(1) as f64;
    Outcome::Score(score, format!("{right} of {listed} listed are right, {wanted} wanted"))
}

fn checks_met(question: &str, answer: &str) -> Outcome {
    let demands = checks::demands(question);
    if demands.is_empty() {
        return Outcome::Inapplicable("the question demands nothing that can be checked");
    }
    let missed: Vec<String> = demands.iter().filter(|d| !d.is_met(answer)).map(ToString::to_string).collect();
    let met = demands.len() - missed.len();
    let why = match missed.is_empty() {
        true => format!("{met} of {met} demands met"),
        false => format!("{met} of {} demands met; not {}", demands.len(), missed.join(", ")),
    };
    Outcome::Score(met as f64 / demands.len() as f64, why)
}
