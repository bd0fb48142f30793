//! Answers on their way into the page: a compressed block for each item, and an index small enough to filter at once.

use std::collections::BTreeMap;
use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use maud::{Markup, html};
use serde::Serialize;

use crate::check::{Names, check_item};
use crate::data::{Answer, ItemAnswers, Report};
use crate::error::Error;

/// Characters of a question that the index keeps.
const HEAD: usize = 200;

/// What the script filters by. Arms are in the order of the page.
#[derive(Serialize)]
pub struct Index<'a> {
    arms: Vec<&'a str>,
    judges: Vec<&'a str>,
    categories: Vec<String>,
    scale: (f64, f64),
    items: Vec<IndexItem>,
}

/// An item's identity, place of its category, head of the question, whether that is all of it, mean score of each
/// arm, and answers without any score.
#[derive(Serialize)]
struct IndexItem(String, usize, String, bool, Vec<Option<f64>>, usize);

/// An item's block: question, reference, answers.
#[derive(Serialize)]
struct Block<'a>(&'a str, Option<&'a str>, Vec<BlockAnswer<'a>>);

/// Place of the arm, seed (as text: JavaScript's numbers hold 53 bits), text, judgements.
#[derive(Serialize)]
struct BlockAnswer<'a>(usize, String, &'a str, Vec<BlockJudgement<'a>>);

/// Place of the judge, repeat, score, status, words.
#[derive(Serialize)]
struct BlockJudgement<'a>(usize, u32, Option<f64>, &'a str, &'a str);

/// How much went by.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub items: u64,
    pub answers: u64,
    pub judgements: u64,
}

/// Makes blocks and gathers the index.
pub struct Packer<'a> {
    index: Index<'a>,
    arms: Names,
    judges: Names,
    categories: BTreeMap<String, usize>,
    pub counts: Counts,
}

impl<'a> Packer<'a> {
    /// For a report whose arms the page shows in this order.
    pub fn new(report: &'a Report, arms: Vec<&'a str>) -> Self {
        let judges: Vec<&str> = report.judges.iter().map(String::as_str).collect();
        Self {
            arms: Names::new("arm", arms.iter().copied()),
            judges: Names::new("judge", judges.iter().copied()),
            index: Index {
                arms,
                judges,
                categories: Vec::new(),
                scale: (report.scale.low, report.scale.high),
                items: Vec::new(),
            },
            categories: BTreeMap::new(),
            counts: Counts::default(),
        }
    }

    /// The block of an item, which the index then knows.
    pub fn pack(&mut self, item: &ItemAnswers) -> Result<Markup, Error> {
        check_item(item)?;
        let mut answers = Vec::with_capacity(item.answers.len());
        let mut sums = vec![(0.0, 0_u32); self.index.arms.len()];
        let mut unscored = 0;
        let mut sorted: Vec<&Answer> = item.answers.iter().collect();
        sorted.sort_by_key(|answer| answer.seed);
        for answer in sorted {
            let arm = self.arms.find(&answer.arm, || format!("an answer to item {:?}", item.id))?;
            let scores = answer.judgements.iter().filter_map(|j| j.score);
            if let Some((sum, count)) = sums.get_mut(arm) {
                scores.clone().for_each(|score| (*sum, *count) = (*sum + score, *count + 1));
            }
            unscored += usize::from(scores.count() == 0);
            self.counts.judgements += answer.judgements.len() as u64;
            answers.push(self.answer(arm, answer, &item.id)?);
        }
        let block = Block(&item.question, item.reference.as_deref(), answers);
        let block = data(&format!("item-{}", self.counts.items), &block, &item.id)?;
        self.counts.items += 1;
        self.counts.answers += item.answers.len() as u64;
        let head: String = item.question.chars().take(HEAD).collect();
        let is_whole = head.len() == item.question.len();
        let category = self.category(&item.category);
        let rounded = |sum: f64, count: u32| (sum / f64::from(count) * 1e4).round() / 1e4;
        let means = sums.into_iter().map(|(sum, count)| (count > 0).then(|| rounded(sum, count))).collect();
        self.index.items.push(IndexItem(item.id.clone(), category, head, is_whole, means, unscored));
        Ok(block)
    }

    /// The index, when all items have gone by.
    pub fn index(&self) -> Result<Markup, Error> {
        data("index", &self.index, "index")
    }

    fn answer<'b>(&self, arm: usize, answer: &'b Answer, item: &str) -> Result<BlockAnswer<'b>, Error> {
        let judgements = answer.judgements.iter().map(|j| {
            let judge = self.judges.find(&j.judge, || format!("a judgement of item {item:?}"))?;
            Ok(BlockJudgement(judge, j.repeat, j.score, &j.status, &j.words))
        });
        Ok(BlockAnswer(arm, answer.seed.to_string(), &answer.text, judgements.collect::<Result<_, Error>>()?))
    }

    fn category(&mut self, name: &str) -> usize {
        if let Some(place) = self.categories.get(name) {
            return *place;
        }
        let place = self.index.categories.len();
        self.index.categories.push(name.to_owned());
        self.categories.insert(name.to_owned(), place);
        place
    }
}

/// A value as a block that is data to a browser: JSON, deflated, in base64, in which no markup can be.
fn data(id: &str, value: &impl Serialize, item: &str) -> Result<Markup, Error> {
    let json = serde_json::to_vec(value).map_err(|source| Error::Encode { item: item.to_owned(), source })?;
    let mut encoder = DeflateEncoder::new(Vec::with_capacity(json.len() / 3), Compression::new(5));
    encoder.write_all(&json)?;
    let text = STANDARD.encode(encoder.finish()?);
    Ok(html! { script type="application/octet-stream" id=(id) { (text) } })
}
