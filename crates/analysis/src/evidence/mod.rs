//! The one way from judgements and answers to numbers that may be compared: same judge, same prompt, same items, or refused
//! by name.
//!
//! An item is its content, not the line it stands in. What is left out, is counted.

mod checks;
mod compared;
mod kind;
mod notes;
mod panel;
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use checks::{Row, check_judges, common_items, numbered, outliers, refuse_unidentified};
use tunebench_spec::{Judgement, Label};

use crate::error::{Error, Result};
use crate::run::{self, Run, ordered_categories};

pub use kind::Kind;
pub use notes::{Note, service_name};
pub use panel::PANEL;
pub use rows::{Answer, Compared, JudgeRows, Service, Verdict};

/// Everything that was answered and judged in a run, not yet checked.
pub struct Evidence {
    verdicts: Vec<Verdict>,
    compared: Vec<Compared>,
    answers: Vec<Answer>,
    rows: BTreeMap<Arc<str>, JudgeRows>,
    /// People's marks, as the file has them.
    labels: Vec<Label>,
    /// The arms that have judgements, in the study's order.
    pub arms: Vec<String>,
    /// Those that mark answers by name, then those that compare two, then the panel.
    pub judges: Vec<String>,
    kinds: BTreeMap<String, Kind>,
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

impl Evidence {
    /// What was judged so far, be it nothing.
    ///
    /// # Errors
    /// When a frame is damaged.
    pub fn so_far(run: &Run) -> Result<Self> {
        let rows::Rows { mut verdicts, compared, answers, judges: rows } = rows::read(run)?;
        let labels = tunebench_results::read_labels(run.frames.dir())?;
        let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect::<Vec<String>>();
        let mut judges = owned(run::judges(verdicts.iter().map(|verdict| &*verdict.judge)));
        let mut kinds: BTreeMap<String, Kind> = judges.iter().map(|judge| (judge.clone(), Kind::Marks)).collect();
        let panel = panel::panel(&verdicts);
        for (judge, of_judge, kind) in compared::win_rates(&compared) {
            verdicts.extend(of_judge);
            judges.push(judge.clone());
            kinds.insert(judge, kind);
        }
        if let Some((of_panel, kind)) = panel {
            verdicts.extend(of_panel);
            judges.push(PANEL.to_owned());
            kinds.insert(PANEL.to_owned(), kind);
        }
        let arms = owned(run.in_order(verdicts.iter().map(|verdict| &*verdict.arm)));
        let templates = run.arms.iter().map(|arm| (arm.name.clone(), arm.record.template.clone())).collect();
        Ok(Self { verdicts, compared, answers, rows, labels, arms, judges, kinds, templates })
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

    /// The price of each judgement of an arm, none where it has none. The panel asked nobody itself.
    pub fn prices(&self, judge: &str, arm: &str) -> &[Option<f64>] {
        self.rows.get(judge).and_then(|rows| rows.prices.get(arm)).map_or(&[], Vec::as_slice)
    }

    /// Whether the judge judged anything of the arm.
    pub fn has(&self, judge: &str, arm: &str) -> bool {
        self.verdicts.iter().any(|verdict| &*verdict.judge == judge && &*verdict.arm == arm)
    }

    pub fn judge_names(&self) -> Vec<&str> {
        self.judges.iter().map(String::as_str).collect()
    }

    /// What the judge's scores are; marks of a judge that there is not.
    pub fn kind(&self, judge: &str) -> &Kind {
        self.kinds.get(judge).unwrap_or(&Kind::Marks)
    }

    /// The judges that mark each answer by itself, the panel not among them.
    pub fn marking(&self) -> Vec<&str> {
        self.judges.iter().map(String::as_str).filter(|judge| self.kind(judge).is_marks()).collect()
    }

    /// The judges that compare two answers.
    pub fn comparing(&self) -> Vec<&str> {
        self.judges.iter().map(String::as_str).filter(|judge| self.kind(judge).is_win_rates()).collect()
    }

    /// `title`, with the judge where there are several, and what its scores are where they are no marks.
    pub fn title(&self, title: &str, judge: &str) -> String {
        let kind = self.kind(judge).title();
        match (self.judges.len() > 1, kind) {
            (_, Some(kind)) => format!("{title}, judged by {judge} ({kind})"),
            (true, None) => format!("{title}, judged by {judge}"),
            (false, None) => title.to_owned(),
        }
    }

    /// What a reader of the judge's scores must know of it, whatever they are of.
    pub fn about(&self, judge: &str) -> Vec<Note> {
        let mut notes = self.kind(judge).notes(judge);
        notes.extend(self.left_out(judge));
        notes.extend(self.rows.get(judge).and_then(|rows| notes::drift(judge, rows)));
        notes
    }

    /// What was left out of everything that the judge said, a sentence each.
    pub fn left_out(&self, judge: &str) -> Vec<Note> {
        self.rows.get(judge).map_or_else(Vec::new, |rows| notes::left_out(judge, rows))
    }

    /// What a judge's rows hold besides verdicts; none of the panel.
    pub fn rows(&self, judge: &str) -> Option<&JudgeRows> {
        self.rows.get(judge)
    }

    /// Everything that the judges gave for these arms, repeats and all.
    ///
    /// # Errors
    /// When they do not say what they are of, or the judge of an item was not the same for all.
    pub fn verdicts(&self, judge: &str) -> Result<Vec<&Verdict>> {
        let found: Vec<&Verdict> = self.verdicts.iter().filter(|verdict| &*verdict.judge == judge).collect();
        check_judges(judge, &found)?;
        Ok(found)
    }

    /// The comparisons by a judge that compares two answers.
    ///
    /// # Errors
    /// As [`Evidence::verdicts`].
    pub fn compared(&self, judge: &str) -> Result<Vec<&Compared>> {
        self.verdicts(judge)?;
        Ok(self.compared.iter().filter(|compared| &*compared.judge == judge).collect())
    }

    /// Every answer, whatever it was asked with: for what is of answers one by one.
    pub fn all_answers(&self) -> &[Answer] {
        &self.answers
    }

    /// People's marks, as the file has them.
    pub fn labels(&self) -> &[Label] {
        &self.labels
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

        let (common, left_out) = common_items(&chosen, &names)?;
        let mut notes: Vec<String> = self.about(judge).into_iter().map(|note| note.english).chain(left_out).collect();
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
