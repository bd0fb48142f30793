//! Answers and judgements by item, out of the frames' columns: a row becomes a record when its item is asked for.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use polars::prelude::{Float64Chunked, StringChunked, UInt32Chunked, UInt64Chunked};
use tunebench_results::Frames;
use tunebench_spec::{Generation, Judgement};

use super::columns::Columns;
use super::template::Templates;
use crate::data::{self, Answer, ItemAnswers};
use crate::error::Error;

const ANSWER_COLUMNS: [&str; 8] = ["arm", "seed", "item", "item_hash", "category", "prompt", "answer", "reference"];
const JUDGEMENT_COLUMNS: [&str; 11] =
    ["arm", "seed", "item", "item_hash", "category", "judge", "repeat", "score", "status", "reason", "reply"];

/// Columns of the answers, of one length.
struct AnswerRows {
    arm: StringChunked,
    seed: UInt64Chunked,
    item: StringChunked,
    category: StringChunked,
    prompt: StringChunked,
    answer: StringChunked,
    reference: StringChunked,
}

/// Columns of the judgements, of one length.
struct JudgementRows {
    arm: StringChunked,
    seed: UInt64Chunked,
    item: StringChunked,
    category: StringChunked,
    judge: StringChunked,
    repeat: UInt32Chunked,
    score: Float64Chunked,
    status: StringChunked,
    reason: StringChunked,
    reply: StringChunked,
}

/// A row, after the number of its item.
type Place = (u32, u32);

/// Everything that was answered, item by item, in the order in which the items were answered first.
pub struct Answers {
    answers: AnswerRows,
    judgements: JudgementRows,
    templates: Templates,
    /// By item, then as in the frame.
    answer_places: Vec<Place>,
    judgement_places: Vec<Place>,
    n_items: u32,
    next: u32,
    /// Names of the judges, in order.
    pub judges: Vec<String>,
    /// Judgements of an answer that the frame does not hold.
    pub orphans: usize,
    /// Judgements whose score is not a number.
    pub broken_scores: usize,
}

impl Answers {
    /// # Errors
    /// When a frame is missing, damaged, or not as declared.
    pub fn read(frames: &Frames, dir: &Path) -> Result<Self, Error> {
        let columns = Columns::read::<Generation>(frames, dir, &ANSWER_COLUMNS)?;
        let answers = AnswerRows {
            arm: columns.texts("arm")?,
            seed: columns.u64s("seed")?,
            item: columns.texts("item")?,
            category: columns.texts("category")?,
            prompt: columns.texts("prompt")?,
            answer: columns.texts("answer")?,
            reference: columns.optional_texts("reference")?,
        };
        let (n_answers, answer_content) = (columns.len(), columns.texts("item_hash")?);
        let columns = Columns::read::<Judgement>(frames, dir, &JUDGEMENT_COLUMNS)?;
        let judgements = JudgementRows {
            arm: columns.texts("arm")?,
            seed: columns.u64s("seed")?,
            item: columns.texts("item")?,
            category: columns.texts("category")?,
            judge: columns.texts("judge")?,
            repeat: columns.u32s("repeat")?,
            score: columns.optional_f64s("score")?,
            status: columns.texts("status")?,
            reason: columns.texts("reason")?,
            reply: columns.texts("reply")?,
        };
        let (n_judgements, judgement_content) = (columns.len(), columns.texts("item_hash")?);
        drop(columns);

        let mut numbers: HashMap<&str, u32> = HashMap::new();
        let answer_places = places(&mut numbers, n_answers, &answer_content, &answers.item);
        let judgement_places = places(&mut numbers, n_judgements, &judgement_content, &judgements.item);
        let n_items = numbers.len() as u32;

        let judges: HashSet<&str> = judgements.judge.iter().flatten().collect();
        let mut judges: Vec<String> = judges.into_iter().map(str::to_owned).collect();
        judges.sort();
        let templates = Templates::of(answers.arm.iter().flatten().zip(answers.prompt.iter().flatten()));
        let broken_scores = judgements.score.iter().flatten().filter(|score| !score.is_finite()).count();
        let mut all = Self {
            answers,
            judgements,
            templates,
            answer_places,
            judgement_places,
            n_items,
            next: 0,
            judges,
            orphans: 0,
            broken_scores,
        };
        all.orphans = all.count_orphans();
        Ok(all)
    }

    fn count_orphans(&self) -> usize {
        let mut n_orphans = 0;
        for number in 0..self.n_items {
            let own = of_item(&self.answer_places, number);
            let answered: HashSet<(&str, u64, &str)> = own.iter().map(|place| self.answers.key(*place)).collect();
            let judged = of_item(&self.judgement_places, number).iter();
            n_orphans += judged.filter(|place| !answered.contains(&self.judgements.key(**place))).count();
        }
        n_orphans
    }

    fn item(&self, number: u32) -> ItemAnswers {
        let (answered, judged) = (of_item(&self.answer_places, number), of_item(&self.judgement_places, number));
        let mut item = ItemAnswers::default();
        let mut places: HashMap<(&str, u64, &str), usize> = HashMap::new();
        for place in answered {
            places.insert(self.answers.key(*place), item.answers.len());
            item.answers.push(self.answers.answer(*place));
        }
        for place in judged {
            let key = self.judgements.key(*place);
            let at = *places.entry(key).or_insert_with(|| {
                item.answers.push(Answer { arm: key.0.to_owned(), seed: key.1, ..Answer::default() });
                item.answers.len() - 1
            });
            if let Some(answer) = item.answers.get_mut(at) {
                answer.judgements.push(self.judgements.judgement(*place));
            }
        }
        if let Some((_, row)) = answered.first() {
            let row = *row as usize;
            let rows = &self.answers;
            item.id = text(&rows.item, row).to_owned();
            item.category = text(&rows.category, row).to_owned();
            item.question = self.templates.question(text(&rows.arm, row), text(&rows.prompt, row)).to_owned();
        } else if let Some((_, row)) = judged.first() {
            item.id = text(&self.judgements.item, *row as usize).to_owned();
            item.category = text(&self.judgements.category, *row as usize).to_owned();
        }
        item.reference =
            answered.iter().find_map(|(_, row)| self.answers.reference.get(*row as usize)).map(str::to_owned);
        item
    }
}

impl Iterator for Answers {
    type Item = ItemAnswers;

    fn next(&mut self) -> Option<ItemAnswers> {
        let number = self.next;
        self.next += 1;
        (number < self.n_items).then(|| self.item(number))
    }
}

impl AnswerRows {
    /// Whose answer it is: arm, seed, and the item as the arm was asked it.
    fn key(&self, (_, row): Place) -> (&str, u64, &str) {
        key((&self.arm, &self.seed, &self.item), row)
    }

    fn answer(&self, place: Place) -> Answer {
        let (arm, seed, _) = self.key(place);
        let text = text(&self.answer, place.1 as usize).to_owned();
        Answer { arm: arm.to_owned(), seed, text, judgements: Vec::new() }
    }
}

impl JudgementRows {
    fn key(&self, (_, row): Place) -> (&str, u64, &str) {
        key((&self.arm, &self.seed, &self.item), row)
    }

    fn judgement(&self, (_, row): Place) -> data::Judgement {
        let row = row as usize;
        data::Judgement {
            judge: text(&self.judge, row).to_owned(),
            repeat: self.repeat.get(row).unwrap_or_default(),
            score: self.score.get(row).filter(|score| score.is_finite()),
            status: text(&self.status, row).to_owned(),
            words: words(text(&self.reason, row), text(&self.reply, row)),
        }
    }
}

/// The reply as it came, after the reason where that says something else.
fn words(reason: &str, reply: &str) -> String {
    match (reason.trim(), reply) {
        ("", reply) => reply.to_owned(),
        (reason, "") => reason.to_owned(),
        (reason, reply) if reply.contains(reason) => reply.to_owned(),
        (reason, reply) => format!("{reason}\n\n{reply}"),
    }
}

fn key<'a>(columns: (&'a StringChunked, &UInt64Chunked, &'a StringChunked), row: u32) -> (&'a str, u64, &'a str) {
    let row = row as usize;
    (text(columns.0, row), columns.1.get(row).unwrap_or_default(), text(columns.2, row))
}

/// Of a column without nulls, at a row that it has.
fn text(column: &StringChunked, row: usize) -> &str {
    column.get(row).unwrap_or_default()
}

/// Rows by the number of their item, which is its content, or its id where that is not known.
fn places<'a>(
    numbers: &mut HashMap<&'a str, u32>,
    n_rows: usize,
    content: &'a StringChunked,
    ids: &'a StringChunked,
) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::with_capacity(n_rows);
    for (row, (content, id)) in content.iter().zip(ids.iter()).enumerate() {
        let name = content.filter(|content| !content.is_empty()).or(id).unwrap_or_default();
        let next = numbers.len() as u32;
        places.push((*numbers.entry(name).or_insert(next), row as u32));
    }
    places.sort_unstable();
    places
}

fn of_item(places: &[Place], number: u32) -> &[Place] {
    let begin = places.partition_point(|place| place.0 < number);
    let end = places.partition_point(|place| place.0 <= number);
    places.get(begin..end).unwrap_or_default()
}
