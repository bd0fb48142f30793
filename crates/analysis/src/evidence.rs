//! The one way from judgements and answers to numbers that may be compared: same judge, same prompt, same items, or refused
//! by name.
//!
//! An item is its content, not the line it stands in. What is left out, is counted.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use tunebench_results::{BriefGeneration, BriefJudgement};
use tunebench_spec::{Judgement, JudgementStatus};

use crate::error::{Error, Result};
use crate::run::{self, Run, ordered_categories};

/// A judgement without its words.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    pub arm: Arc<str>,
    /// Of the training whose model answered.
    pub seed: u64,
    /// The content of the item.
    pub item: Arc<str>,
    pub category: Arc<str>,
    pub judge: Arc<str>,
    pub judge_hash: Arc<str>,
    pub repeat: u32,
    pub score: Option<f64>,
    pub status: JudgementStatus,
    pub cost_usd: Option<f64>,
}

/// An answer without its words.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub arm: Arc<str>,
    pub seed: u64,
    /// The content of the item.
    pub item: Arc<str>,
    pub category: Arc<str>,
    pub prompt_hash: Arc<str>,
    pub new_tokens: u64,
    /// Cut at the limit of new tokens.
    pub truncated: bool,
    /// Whether the model could be asked; if not, there is no prompt, and no answer.
    pub was_asked: bool,
}

/// Everything that was answered and judged in a run, not yet checked.
pub struct Evidence {
    verdicts: Vec<Verdict>,
    answers: Vec<Answer>,
    /// The arms that have judgements, in the study's order.
    pub arms: Vec<String>,
    pub judges: Vec<String>,
    /// Template of each arm: a prompt under another one differs because the study says so.
    templates: BTreeMap<String, String>,
}

/// What one judge said of some arms, about items that each of their trainings was judged on.
#[derive(Clone, Debug)]
pub struct Judged {
    pub judge: String,
    /// In the study's order.
    pub arms: Vec<String>,
    /// The categories in which this judge gave any arm of the run a score: a macro average is over these or there is none.
    pub categories: Vec<String>,
    /// Those in which it gave none.
    pub unjudged: Vec<String>,
    pub verdicts: Vec<Verdict>,
    /// What was left out, a sentence each.
    pub notes: Vec<String>,
}

impl Judged {
    /// With the items alone that every training has a score for, and how many others there were.
    pub fn complete(&self) -> (Self, usize) {
        let mut scored: BTreeMap<(&str, u64), BTreeSet<&str>> = BTreeMap::new();
        for verdict in &self.verdicts {
            let items = scored.entry((&verdict.arm, verdict.seed)).or_default();
            if verdict.score.is_some() {
                items.insert(&verdict.item);
            }
        }
        let mut trainings_of: BTreeMap<&str, usize> = BTreeMap::new();
        for item in scored.values().flatten() {
            *trainings_of.entry(item).or_default() += 1;
        }
        let is_complete = |verdict: &&Verdict| trainings_of.get(&*verdict.item) == Some(&scored.len());
        let verdicts: Vec<Verdict> = self.verdicts.iter().filter(is_complete).cloned().collect();
        let count = |verdicts: &[Verdict]| verdicts.iter().map(|v| v.item.clone()).collect::<BTreeSet<_>>().len();
        let n_left_out = count(&self.verdicts) - count(&verdicts);
        (Self { verdicts, ..self.clone() }, n_left_out)
    }

    /// Judgements of each answer, the most of any.
    pub fn repeats(&self) -> usize {
        self.verdicts.iter().map(|verdict| verdict.repeat as usize + 1).max().unwrap_or(1)
    }
}

/// Keeps a text that many rows hold once.
#[derive(Default)]
struct Texts(HashSet<Arc<str>>);

impl Texts {
    fn one(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.0.get(text) {
            return known.clone();
        }
        let text: Arc<str> = text.into();
        self.0.insert(text.clone());
        text
    }

    fn verdict(&mut self, row: &BriefJudgement) -> Verdict {
        Verdict {
            arm: self.one(&row.arm),
            seed: row.seed,
            item: self.one(&row.item_hash),
            category: self.one(&row.category),
            judge: self.one(&row.judge),
            judge_hash: self.one(&row.judge_hash),
            repeat: row.repeat,
            score: row.score.filter(|score| score.is_finite()),
            status: row.status,
            cost_usd: row.cost_usd,
        }
    }

    fn answer(&mut self, row: &BriefGeneration) -> Answer {
        Answer {
            arm: self.one(&row.arm),
            seed: row.seed,
            item: self.one(&row.item_hash),
            category: self.one(&row.category),
            prompt_hash: self.one(&row.prompt_hash),
            new_tokens: row.new_tokens,
            truncated: row.finish == "length",
            was_asked: row.finish != "not_asked",
        }
    }
}

impl Evidence {
    /// What was judged so far, be it nothing.
    ///
    /// # Errors
    /// When a frame is damaged.
    pub fn so_far(run: &Run) -> Result<Self> {
        let mut texts = Texts::default();
        let judgements: Vec<BriefJudgement> = run.so_far()?;
        let verdicts: Vec<Verdict> = judgements.iter().map(|row| texts.verdict(row)).collect();
        drop(judgements);
        let answers = run.so_far::<BriefGeneration>()?.iter().map(|row| texts.answer(row)).collect();
        let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
        let arms = owned(run.in_order(verdicts.iter().map(|verdict| &*verdict.arm)));
        let judges = owned(run::judges(verdicts.iter().map(|verdict| &*verdict.judge)));
        let templates = run.arms.iter().map(|arm| (arm.name.clone(), arm.record.template.clone())).collect();
        Ok(Self { verdicts, answers, arms, judges, templates })
    }

    /// # Errors
    /// When a frame is damaged, or nothing is judged.
    pub fn read(run: &Run) -> Result<Self> {
        // A file that is not there is named.
        if !run.has::<Judgement>() {
            run.frames.read::<Judgement>()?;
        }
        match Self::so_far(run)? {
            evidence if evidence.verdicts.is_empty() => Err(Error::NothingJudged),
            evidence => Ok(evidence),
        }
    }

    /// # Errors
    /// When an arm has no judgements.
    pub fn check_known(&self, arms: &[&str]) -> Result<()> {
        let unknown = arms.iter().find(|name| !self.arms.iter().any(|arm| arm == *name));
        match unknown {
            Some(arm) => Err(Error::UnknownArm { arm: (*arm).to_owned(), known: self.arms.join(", ") }),
            None => Ok(()),
        }
    }

    /// The price of each judgement of an arm, none where it has none.
    pub fn prices(&self, judge: &str, arm: &str) -> Vec<Option<f64>> {
        let own = self.verdicts.iter().filter(|verdict| &*verdict.judge == judge && &*verdict.arm == arm);
        own.map(|verdict| verdict.cost_usd).collect()
    }

    /// Whether the judge judged anything of the arm.
    pub fn has(&self, judge: &str, arm: &str) -> bool {
        self.verdicts.iter().any(|verdict| &*verdict.judge == judge && &*verdict.arm == arm)
    }

    /// The names of the judges, as [`crate::run::judged_title`] takes them.
    pub fn judge_names(&self) -> Vec<&str> {
        self.judges.iter().map(String::as_str).collect()
    }

    pub fn arm_names(&self) -> Vec<&str> {
        self.arms.iter().map(String::as_str).collect()
    }

    /// The judgements of these arms by one judge. Arms without any are not among the result's.
    ///
    /// # Errors
    /// When they do not say what they are of, when the judge or the prompt of an item was not the same for all, or when no
    /// item was judged for every training.
    pub fn of(&self, judge: &str, arms: &[&str]) -> Result<Judged> {
        let by_judge = || self.verdicts.iter().filter(move |verdict| &*verdict.judge == judge);
        let chosen: Vec<&Verdict> = by_judge().filter(|verdict| arms.contains(&&*verdict.arm)).collect();
        let has_rows = |arm: &&&str| chosen.iter().any(|verdict| &*verdict.arm == **arm);
        let arms: Vec<String> = arms.iter().filter(has_rows).map(|arm| (*arm).to_owned()).collect();
        check_judges(judge, &chosen)?;
        let names: Vec<&str> = arms.iter().map(String::as_str).collect();
        self.check_prompts(judge, &names)?;

        let (common, mut notes) = common_items(&chosen, &names)?;
        let verdicts: Vec<Verdict> =
            chosen.into_iter().filter(|verdict| common.contains(&*verdict.item)).cloned().collect();
        let (verdicts, n_repeated) = numbered(verdicts);
        if n_repeated > 0 {
            notes.push(format!(
                "{n_repeated} judgements are of a question that the evaluation set holds more than once; they count as \
                 repeats of one item."
            ));
        }

        let all = ordered_categories(by_judge().map(|verdict| &*verdict.category));
        let is_scored = |name: &&str| by_judge().any(|verdict| &*verdict.category == *name && verdict.score.is_some());
        let (categories, unjudged): (Vec<&str>, Vec<&str>) = all.into_iter().partition(is_scored);
        let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
        let (categories, unjudged) = (owned(categories), owned(unjudged));
        Ok(Judged { judge: judge.to_owned(), arms, categories, unjudged, verdicts, notes })
    }

    /// The arms that have answers.
    pub fn answered(&self) -> BTreeSet<&str> {
        self.answers.iter().map(|answer| &*answer.arm).collect()
    }

    /// The answers of these arms, as asked: under one prompt an item and template.
    ///
    /// # Errors
    /// When the prompt of an item was not the same for all that have one template.
    pub fn answers(&self, arms: &[&str]) -> Result<Vec<&Answer>> {
        self.check_prompts("", arms)?;
        Ok(self.answers.iter().filter(|answer| arms.contains(&&*answer.arm)).collect())
    }

    fn check_prompts(&self, judge: &str, arms: &[&str]) -> Result<()> {
        let is_chosen = |answer: &&Answer| answer.was_asked && arms.contains(&&*answer.arm);
        let chosen: Vec<&Answer> = self.answers.iter().filter(is_chosen).collect();
        let unidentified = |answer: &&&Answer| answer.item.is_empty() || answer.prompt_hash.is_empty();
        refuse_unidentified(judge, "item or prompt", chosen.iter().filter(unidentified).map(|answer| &*answer.arm))?;
        let rows = chosen.iter().map(|answer| {
            let template = self.templates.get(&*answer.arm).map_or("", String::as_str);
            Row { arm: &answer.arm, of: (&answer.item, template), hash: &answer.prompt_hash }
        });
        match outliers(&rows.collect::<Vec<_>>()) {
            Some(rows) => Err(Error::MixedPrompts { rows }),
            None => Ok(()),
        }
    }
}

fn check_judges(judge: &str, verdicts: &[&Verdict]) -> Result<()> {
    let no_item = verdicts.iter().filter(|verdict| verdict.item.is_empty());
    refuse_unidentified(judge, "item", no_item.map(|verdict| &*verdict.arm))?;
    // A judge that could not be asked may not be known.
    let scored = || verdicts.iter().filter(|verdict| verdict.status == JudgementStatus::Scored);
    let no_judge = scored().filter(|verdict| verdict.judge_hash.is_empty());
    refuse_unidentified(judge, "judge", no_judge.map(|verdict| &*verdict.arm))?;
    let rows = scored().map(|verdict| Row { arm: &verdict.arm, of: (&verdict.item, ""), hash: &verdict.judge_hash });
    match outliers(&rows.collect::<Vec<_>>()) {
        Some(rows) => Err(Error::MixedJudges { judge: judge.to_owned(), rows }),
        None => Ok(()),
    }
}

fn refuse_unidentified<'a>(judge: &str, what: &'static str, arms: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for arm in arms {
        *counts.entry(arm).or_default() += 1;
    }
    if counts.is_empty() {
        return Ok(());
    }
    let rows = counts.iter().map(|(arm, n)| format!("`{arm}`: {n} rows")).collect::<Vec<_>>().join(", ");
    Err(Error::Unidentified { judge: judge.to_owned(), what, rows })
}

/// A row whose `hash` must be that of every other row of the same thing.
struct Row<'a> {
    arm: &'a str,
    of: (&'a str, &'a str),
    hash: &'a str,
}

/// The arms whose rows have another hash than most rows of the same thing, with their numbers; where as many have one as
/// have the other, the rows of both.
fn outliers(rows: &[Row]) -> Option<String> {
    let mut hashes: BTreeMap<(&str, &str), BTreeMap<&str, usize>> = BTreeMap::new();
    for row in rows {
        *hashes.entry(row.of).or_default().entry(row.hash).or_default() += 1;
    }
    let is_outlier = |row: &&Row| {
        let counts = &hashes[&row.of];
        let most = counts.values().copied().max().unwrap_or(0);
        let is_tie = counts.values().filter(|n| **n == most).count() > 1;
        counts.len() > 1 && (is_tie || counts[row.hash] < most)
    };
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for row in rows.iter().filter(is_outlier) {
        *counts.entry(row.arm).or_default() += 1;
    }
    let total = |arm| rows.iter().filter(|row| row.arm == arm).count();
    let words: Vec<String> = counts.iter().map(|(arm, n)| format!("`{arm}`: {n} of {} rows", total(*arm))).collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// The items that every training was judged on, and what is said of the others.
fn common_items<'a>(verdicts: &[&'a Verdict], arms: &[&str]) -> Result<(BTreeSet<&'a str>, Vec<String>)> {
    let mut trainings: BTreeMap<(&str, u64), BTreeSet<&str>> = BTreeMap::new();
    for verdict in verdicts {
        trainings.entry((&verdict.arm, verdict.seed)).or_default().insert(&verdict.item);
    }
    let all: BTreeSet<&str> = trainings.values().flatten().copied().collect();
    let is_common = |item: &&str| trainings.values().all(|items| items.contains(item));
    let common: BTreeSet<&str> = all.iter().copied().filter(is_common).collect();
    if common.is_empty() {
        return Err(Error::NothingInCommon(arms.join(", ")));
    }
    let n_left_out = all.len() - common.len();
    if n_left_out == 0 {
        return Ok((common, Vec::new()));
    }
    let lacks = trainings.iter().filter(|(_, items)| items.len() < all.len());
    let lacking = lacks.map(|((arm, seed), items)| format!("{arm} (seed {seed}) lacks {}", all.len() - items.len()));
    let note = format!(
        "{n_left_out} of {} items were not judged for every training and are left out for all: {}.",
        all.len(),
        lacking.collect::<Vec<_>>().join(", ")
    );
    Ok((common, vec![note]))
}

/// The judgements of an answer numbered from 0, and how many had a number that another one had.
fn numbered(mut verdicts: Vec<Verdict>) -> (Vec<Verdict>, usize) {
    let mut seen: BTreeMap<(Arc<str>, u64, Arc<str>), BTreeSet<u32>> = BTreeMap::new();
    let mut n_repeated = 0;
    for verdict in &mut verdicts {
        let numbers = seen.entry((verdict.arm.clone(), verdict.seed, verdict.item.clone())).or_default();
        if numbers.contains(&verdict.repeat) {
            n_repeated += 1;
            verdict.repeat = numbers.last().map_or(0, |last| last + 1);
        }
        numbers.insert(verdict.repeat);
    }
    (verdicts, n_repeated)
}
