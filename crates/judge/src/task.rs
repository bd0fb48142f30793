//! Which judgements are to be made: answers with their items, alone or against a rival's, all of them or a drawn share.

use std::collections::BTreeMap;

use tunebench_spec::random::Stream;
use tunebench_spec::{Example, Generation, Judgement};

use crate::error::JudgeError;
use crate::question::Question;

/// The places of this file in the key of a draw: what is judged at all, and what is judged more than once.
const JUDGED: u64 = 0x6a75_6467_6564;
const REPEATED: u64 = 0x7265_7065_6174;

/// An item as a judge judges it.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    pub item: &'a Example,
    /// As [`tunebench_spec::Judgement::judge_hash`].
    pub judge_hash: String,
    /// As [`tunebench_spec::Judgement::rubric_hash`].
    pub rubric_hash: String,
}

/// The items that may be judged, by their ids.
#[derive(Clone, Debug, Default)]
pub struct Subjects<'a> {
    by_id: BTreeMap<&'a str, Subject<'a>>,
}

impl<'a> Subjects<'a> {
    /// `judge_hash` names the judge with this item's rubric.
    pub fn new(items: &'a [Example], judge_hash: impl Fn(&Example) -> String) -> Self {
        let subject = |item: &'a Example| {
            let rubric_hash = item.rubric.as_deref().map_or_else(String::new, hash);
            (item.id.as_str(), Subject { item, judge_hash: judge_hash(item), rubric_hash })
        };
        Self { by_id: items.iter().map(subject).collect() }
    }

    fn of(&self, generation: &Generation) -> Result<&Subject<'a>, JudgeError> {
        self.by_id.get(generation.item.as_str()).ok_or_else(|| {
            let (arm, item) = (generation.arm.clone(), generation.item.clone());
            JudgeError::UnknownItem { arm, item }
        })
    }
}

fn hash(text: &str) -> String {
    tunebench_spec::hash::of_bytes(text.as_bytes())
}

/// How many judgements are made of what. Which items are drawn depends on the seed and on each item's content alone: they are
/// the same for every arm, every judge and every size of the evaluation set, and a larger share holds a smaller one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Draw {
    pub seed: u64,
    /// The share of the items that are judged at all, in 0..=1.
    pub share: f64,
    /// How often an answer is judged, of the items drawn for that; the others once.
    pub repeats: u32,
    /// The share of the judged items that are judged `repeats` times, in 0..=1.
    pub repeat_share: f64,
}

impl Default for Draw {
    /// Everything once.
    fn default() -> Self {
        Self { seed: 0, share: 1.0, repeats: 1, repeat_share: 1.0 }
    }
}

impl Draw {
    /// How often answers to this item are judged: not at all when it is not drawn. `item_hash` is that of its generations.
    pub fn repeats(&self, item_hash: &str) -> u32 {
        let is_in = |place, share: f64| {
            let words = std::iter::once(place).chain(item_hash.bytes().map(u64::from));
            share >= 1.0 || Stream::new(self.seed, &words.collect::<Vec<_>>()).uniform() < share
        };
        match (is_in(JUDGED, self.share), is_in(REPEATED, self.repeat_share)) {
            (false, _) => 0,
            (true, true) => self.repeats,
            (true, false) => self.repeats.min(1),
        }
    }
}

/// One judgement to make.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a> {
    pub item: &'a Example,
    /// Whose judgement it is.
    pub generation: &'a Generation,
    /// From 0.
    pub repeat: u32,
    pub rival: Option<Rival<'a>>,
    pub judge_hash: &'a str,
    pub rubric_hash: &'a str,
}

/// The answer that an answer is compared with.
#[derive(Clone, Copy, Debug)]
pub struct Rival<'a> {
    pub generation: &'a Generation,
    /// Whether the rival's answer is shown first. What a judge says is how much better the first one is.
    pub swapped: bool,
}

impl<'a> Task<'a> {
    /// What the judge is asked.
    pub fn question(&self) -> Question<'a> {
        let own = self.generation.answer.as_str();
        let (answer, rival) = match self.rival {
            None => (own, None),
            Some(Rival { generation, swapped: false }) => (own, Some(generation.answer.as_str())),
            Some(Rival { generation, swapped: true }) => (generation.answer.as_str(), Some(own)),
        };
        Question { item: self.item, answer, rival }
    }

    /// The judgement before anything is known of it: failed, with no score and no reason.
    pub fn begin(&self, judge: &str) -> Judgement {
        Judgement {
            judge_hash: self.judge_hash.to_owned(),
            rubric_hash: self.rubric_hash.to_owned(),
            rival: self.rival.map_or_else(String::new, |rival| rival.generation.arm.clone()),
            rival_seed: self.rival.map_or(0, |rival| rival.generation.seed),
            rival_answer_hash: self.rival.map_or_else(String::new, |rival| hash(&rival.generation.answer)),
            swapped: self.rival.is_some_and(|rival| rival.swapped),
            ..Judgement::begin(self.generation, judge, self.repeat)
        }
    }

    /// What the judge's score means for this arm's answer.
    pub(crate) fn own_score(&self, score: f64) -> f64 {
        if self.rival.is_some_and(|rival| rival.swapped) { 1.0 - score } else { score }
    }
}

/// Every answer by itself, as often as `draw` says, in the order of the answers.
///
/// # Errors
/// [`JudgeError::UnknownItem`] when a generation's item is not among the subjects.
pub fn tasks<'a>(
    generations: &'a [Generation],
    subjects: &'a Subjects<'_>,
    draw: &Draw,
) -> Result<Vec<Task<'a>>, JudgeError> {
    let mut tasks = Vec::new();
    for generation in generations {
        let first = task(generation, subjects.of(generation)?);
        tasks.extend((0..draw.repeats(content(generation))).map(|repeat| Task { repeat, ..first }));
    }
    Ok(tasks)
}

/// What [`pairs`] made.
#[derive(Clone, Debug, Default)]
pub struct Pairs<'a> {
    pub tasks: Vec<Task<'a>>,
    /// Answers of drawn items, counted once a rival, which that rival has no answer to hold against.
    pub without_rival: usize,
}

/// Every answer against each rival's answer to the same item, in both orders, as often as `draw` says. `rivals` holds the answers
/// of one model each.
///
/// # Errors
/// [`JudgeError::UnknownItem`] when a generation's item is not among the subjects.
pub fn pairs<'a>(
    generations: &'a [Generation],
    rivals: &[&'a [Generation]],
    subjects: &'a Subjects<'_>,
    draw: &Draw,
) -> Result<Pairs<'a>, JudgeError> {
    let by_item = |rival: &&'a [Generation]| -> BTreeMap<&'a str, &'a Generation> {
        rival.iter().map(|generation| (generation.item.as_str(), generation)).collect()
    };
    let rivals: Vec<_> = rivals.iter().map(by_item).collect();
    let mut pairs = Pairs::default();
    for generation in generations {
        let first = task(generation, subjects.of(generation)?);
        let repeats = draw.repeats(content(generation));
        for rival in rivals.iter().filter(|_| repeats > 0) {
            let Some(generation) = rival.get(generation.item.as_str()) else {
                pairs.without_rival += 1;
                continue;
            };
            pairs.tasks.extend((0..repeats).flat_map(|repeat| {
                [false, true].map(|swapped| Task { repeat, rival: Some(Rival { generation, swapped }), ..first })
            }));
        }
    }
    Ok(pairs)
}

/// What an item is drawn by. Generations of old runs know their items by ids alone.
fn content(generation: &Generation) -> &str {
    if generation.item_hash.is_empty() { &generation.item } else { &generation.item_hash }
}

fn task<'a>(generation: &'a Generation, subject: &'a Subject<'_>) -> Task<'a> {
    let Subject { item, judge_hash, rubric_hash } = subject;
    Task { item, generation, repeat: 0, rival: None, judge_hash, rubric_hash }
}
