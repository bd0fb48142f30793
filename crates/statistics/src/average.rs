//! Which average is estimated, and the strata of items that it is made of.

use std::ops::Range;

use crate::scores::{ItemCount, Scores};
use crate::{Error, NoInterval};

/// What is averaged over items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Average {
    /// The unweighted mean of the categories' means; items are a sample within each category.
    Macro,
    /// The mean over items, which are one sample whatever their category.
    Micro,
    /// The mean over the items of one category, by its index.
    Category(usize),
}

/// Items in an order in which each stratum lies in one piece.
#[derive(Clone, Debug)]
pub(crate) struct Strata {
    /// Places of items in the tables.
    pub(crate) items: Vec<usize>,
    pub(crate) pieces: Vec<Piece>,
    pub(crate) count: ItemCount,
}

/// Items that are a sample of one population, and what their mean weighs in the average.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) weight: f64,
    pub(crate) range: Range<usize>,
    /// Null where it is all items.
    pub(crate) category: Option<usize>,
}

impl Piece {
    pub(crate) fn n(&self) -> f64 {
        self.range.len() as f64
    }
}

/// Strata of the items that each training of `arms` answered.
pub(crate) fn strata(scores: &Scores, average: Average, arms: &[usize]) -> Result<Strata, Error> {
    let complete = scores.complete(arms)?;
    let categories = scores.categories().len();
    let wanted: Vec<Option<usize>> = match average {
        Average::Macro => (0..categories).map(Some).collect(),
        Average::Micro => vec![None],
        Average::Category(category) if category < categories => vec![Some(category)],
        Average::Category(category) => return Err(Error::NoSuchCategory { category, categories }),
    };
    let weight = 1.0 / wanted.len() as f64;
    let all = match average {
        Average::Category(category) => scores.items().iter().filter(|item| item.category == category).count(),
        Average::Macro | Average::Micro => scores.items().len(),
    };
    let mut items = Vec::with_capacity(complete.len());
    let mut pieces = Vec::with_capacity(wanted.len());
    for category in wanted {
        let start = items.len();
        let is_in = |place: &&usize| category.is_none_or(|category| scores.items()[**place].category == category);
        items.extend(complete.iter().filter(is_in));
        let range = start..items.len();
        if range.is_empty() {
            let names: Vec<String> = arms.iter().map(|arm| format!("`{}`", scores.name(*arm).escape_debug())).collect();
            let category = category.map_or("(all)".to_owned(), |category| scores.categories()[category].clone());
            return Err(Error::NothingShared { category, arms: names.join(", ") });
        }
        pieces.push(Piece { weight, range, category });
    }
    let count = ItemCount { used: items.len(), left_out: all - items.len() };
    Ok(Strata { items, pieces, count })
}

impl Strata {
    /// Why the spread of items cannot be estimated: a stratum has one item only.
    pub(crate) fn single(&self, scores: &Scores) -> Option<NoInterval> {
        let single = self.pieces.iter().find(|piece| piece.range.len() < 2)?;
        Some(NoInterval::OneItem { category: single.category.map(|category| scores.categories()[category].clone()) })
    }
}
