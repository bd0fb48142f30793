//! Judgements and answers of a run without their words, each text once, and judgements of answers that are there no more
//! apart.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use tunebench_results::win_rates::Duel;
use tunebench_results::{BriefGeneration, BriefJudgement, Frame};
use tunebench_spec::{Generation, JudgementStatus, hash};

use crate::error::{Error, Result};
use crate::run::Run;

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
}

/// A judgement of two answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    pub duel: Duel<Arc<str>>,
    pub category: Arc<str>,
    pub judge: Arc<str>,
    pub judge_hash: Arc<str>,
}

/// An answer without its words.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub arm: Arc<str>,
    pub seed: u64,
    /// Its id in the evaluation set.
    pub id: Arc<str>,
    /// The content of the item.
    pub item: Arc<str>,
    pub category: Arc<str>,
    pub prompt_hash: Arc<str>,
    /// SHA-256 of its text.
    pub answer_hash: Arc<str>,
    pub new_tokens: u64,
    /// Cut at the limit of new tokens.
    pub truncated: bool,
    /// Whether the model could be asked; if not, there is no prompt, and no answer.
    pub was_asked: bool,
}

/// Whom a judge asked, and who answered: the model of the request, the one its server named, and the server's fingerprint.
pub type Service = (Arc<str>, Arc<str>, Arc<str>);

/// What a judge's rows hold besides verdicts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JudgeRows {
    /// How many judgements each of them gave; those that asked no model apart.
    pub services: BTreeMap<Service, usize>,
    /// By arm, judgements of an answer that has changed since, which are left out.
    pub outdated: BTreeMap<Arc<str>, usize>,
    /// Judgements without a rival by a judge that compares, which are left out.
    pub without_rival: usize,
    /// By arm, the price of each judgement; none where it has none. What is left out was paid for, too.
    pub prices: BTreeMap<Arc<str>, Vec<Option<f64>>>,
}

/// The rows of a run.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    pub verdicts: Vec<Verdict>,
    pub compared: Vec<Compared>,
    pub answers: Vec<Answer>,
    pub judges: BTreeMap<Arc<str>, JudgeRows>,
}

/// Keeps a text that many rows hold once.
#[derive(Default)]
pub struct Texts(HashSet<Arc<str>>);

impl Texts {
    pub fn one(&mut self, text: &str) -> Arc<str> {
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
        }
    }

    fn compared(&mut self, row: &BriefJudgement) -> Compared {
        Compared {
            duel: Duel {
                arm: self.one(&row.arm),
                seed: row.seed,
                rival: self.one(&row.rival),
                rival_seed: row.rival_seed,
                item: self.one(&row.item_hash),
                swapped: row.swapped,
                repeat: row.repeat,
                score: row.score.filter(|score| score.is_finite()),
                status: row.status,
            },
            category: self.one(&row.category),
            judge: self.one(&row.judge),
            judge_hash: self.one(&row.judge_hash),
        }
    }

    fn answer(&mut self, row: &BriefGeneration, answer_hash: &str) -> Answer {
        Answer {
            arm: self.one(&row.arm),
            seed: row.seed,
            id: self.one(&row.item),
            item: self.one(&row.item_hash),
            category: self.one(&row.category),
            prompt_hash: self.one(&row.prompt_hash),
            answer_hash: self.one(answer_hash),
            new_tokens: row.new_tokens,
            truncated: row.finish == "length",
            was_asked: row.finish != "not_asked",
        }
    }
}

/// All rows that are there so far.
///
/// A judgement says by a hash which answer it is of. Where the answers that are there now are others, because a run was
/// stopped between the writing of two frames, it is left out and counted.
///
/// # Errors
/// When a frame is damaged.
pub fn read(run: &Run) -> Result<Rows> {
    let mut texts = Texts::default();
    let hashes = answer_hashes(run)?;
    let answers: Vec<BriefGeneration> = run.so_far()?;
    let answers: Vec<Answer> = answers.iter().zip(&hashes).map(|(row, hash)| texts.answer(row, hash)).collect();
    let mut now: BTreeMap<(&str, u64, &str), BTreeSet<&str>> = BTreeMap::new();
    for answer in &answers {
        now.entry((&answer.arm, answer.seed, &answer.item)).or_default().insert(&answer.answer_hash);
    }

    let judgements: Vec<BriefJudgement> = run.so_far()?;
    let comparing: BTreeSet<&str> =
        judgements.iter().filter(|row| !row.rival.is_empty()).map(|row| row.judge.as_str()).collect();
    let mut rows = Rows::default();
    for row in &judgements {
        let judge = rows.judges.entry(texts.one(&row.judge)).or_default();
        judge.prices.entry(texts.one(&row.arm)).or_default().push(row.cost_usd);
        if !row.asked_model.is_empty() || !row.model.is_empty() {
            let service = (texts.one(&row.asked_model), texts.one(&row.model), texts.one(&row.fingerprint));
            *judge.services.entry(service).or_default() += 1;
        }
        let is_other = |arm: &str, seed: u64, hash: &str| {
            let there = now.get(&(arm, seed, row.item_hash.as_str()));
            !hash.is_empty() && there.is_some_and(|hashes| !hashes.contains(hash))
        };
        if is_other(&row.arm, row.seed, &row.answer_hash)
            || is_other(&row.rival, row.rival_seed, &row.rival_answer_hash)
        {
            *judge.outdated.entry(texts.one(&row.arm)).or_default() += 1;
            continue;
        }
        match (comparing.contains(row.judge.as_str()), row.rival.is_empty()) {
            (false, _) => rows.verdicts.push(texts.verdict(row)),
            (true, false) => rows.compared.push(texts.compared(row)),
            (true, true) => judge.without_rival += 1,
        }
    }
    rows.answers = answers;
    Ok(rows)
}

/// The hash of each answer, in the order of the frame. The answers' texts are not kept.
fn answer_hashes(run: &Run) -> Result<Vec<String>> {
    if !run.has::<Generation>() {
        return Ok(Vec::new());
    }
    let frame = run.frames.columns(Frame::of::<Generation>(), &["answer"])?;
    let bad = |why: String| {
        Error::from(tunebench_results::Error::BadColumn {
            path: run.frames.dir().join("generations.parquet"),
            column: "answer",
            why,
        })
    };
    let column = frame.column("answer").map_err(|why| bad(why.to_string()))?;
    let texts = column.str().map_err(|why| bad(why.to_string()))?;
    Ok(texts.iter().map(|text| hash::of_bytes(text.unwrap_or_default().as_bytes())).collect())
}
