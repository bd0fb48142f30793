//! Scores in long form, checked, and kept as one table of trainings and items per arm.

use std::collections::BTreeSet;

use crate::Error;
use crate::marks::is_mark;

/// One score that a judge gave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observation {
    /// Index into the names of arms.
    pub arm: usize,
    /// Names the training, within its arm.
    pub seed: u64,
    /// Names the item, in all arms alike.
    pub item: usize,
    /// Index into the names of categories.
    pub category: usize,
    /// Numbers the scores of one answer.
    pub repeat: u32,
    pub score: f64,
}

/// An item, and the category that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// As the observations name it.
    pub item: usize,
    pub category: usize,
}

/// All scores of one judge in one study.
#[derive(Clone, Debug)]
pub struct Scores {
    arms: Vec<String>,
    categories: Vec<String>,
    /// In the order of their names; the place here is the place in every table.
    items: Vec<Item>,
    tables: Vec<Table>,
    largest: f64,
}

/// An arm's scores: a row per training, in the order of seeds, and a column per item of the study.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    pub(crate) seeds: Vec<u64>,
    pub(crate) rows: Vec<Vec<Cell>>,
}

/// The repeats of one training's score of one item; none of them where it was not scored.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cell {
    pub(crate) repeats: u32,
    pub(crate) mean: f64,
    /// Sum of squared deviations of the repeats from their mean.
    pub(crate) squares: f64,
}

/// Items that a result rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItemCount {
    /// Items that every training of every arm concerned answered.
    pub used: usize,
    /// Items of the study, or of the one category asked for, that at least one of them lacks.
    pub left_out: usize,
}

impl Scores {
    /// Takes `observations` in any order. `arms` and `categories` are names, in the order of their indices; each must
    /// have an observation.
    ///
    /// # Errors
    /// An index without a name, a score that is no number, an item in two categories, a score given twice, a name
    /// given twice or without any score.
    pub fn new(arms: Vec<String>, categories: Vec<String>, mut observations: Vec<Observation>) -> Result<Self, Error> {
        if observations.is_empty() {
            return Err(Error::Empty);
        }
        check_names(&arms)?;
        for (row, observation) in observations.iter().enumerate() {
            check(row, observation, arms.len(), categories.len())?;
        }
        observations.sort_by_key(|o| (o.arm, o.seed, o.item, o.repeat));
        let items = items_of(&observations, &categories)?;
        let mut tables = vec![Table::default(); arms.len()];
        let mut place = 0;
        for (i, observation) in observations.iter().enumerate() {
            let before = if i == 0 { None } else { observations.get(i - 1) };
            let same_training = before.is_some_and(|b| b.arm == observation.arm && b.seed == observation.seed);
            let table = &mut tables[observation.arm];
            if !same_training {
                table.seeds.push(observation.seed);
                table.rows.push(vec![Cell::default(); items.len()]);
                place = 0;
            }
            if before.is_some_and(|b| same_training && b.item == observation.item && b.repeat == observation.repeat) {
                let Observation { seed, item, repeat, .. } = *observation;
                return Err(Error::Twice { arm: arms[observation.arm].clone(), seed, item, repeat });
            }
            while items[place].item != observation.item {
                place += 1;
            }
            if let Some(row) = table.rows.last_mut() {
                row[place].add(observation.score);
            }
        }
        if let Some(empty) = tables.iter().position(|table| table.seeds.is_empty()) {
            return Err(Error::EmptyArm { arm: arms[empty].clone() });
        }
        let largest = observations.iter().map(|o| o.score.abs()).fold(0.0, f64::max);
        Ok(Self { arms, categories, items, tables, largest })
    }

    /// Names, in the order of their indices.
    pub fn arms(&self) -> &[String] {
        &self.arms
    }

    /// Names, in the order of their indices.
    pub fn categories(&self) -> &[String] {
        &self.categories
    }

    /// All items that any arm was scored on.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Seeds of an arm's trainings, ascending; none for an arm that there is not.
    pub fn seeds(&self, arm: usize) -> &[u64] {
        self.tables.get(arm).map_or(&[], |table| &table.seeds)
    }

    /// Items that each training of `arms` answered, and how many one of them lacks.
    ///
    /// # Errors
    /// An arm that there is not.
    pub fn count(&self, arms: &[usize]) -> Result<ItemCount, Error> {
        let used = self.complete(arms)?.len();
        Ok(ItemCount { used, left_out: self.items.len() - used })
    }

    /// Places of the items that each training of `arms` answered.
    pub(crate) fn complete(&self, arms: &[usize]) -> Result<Vec<usize>, Error> {
        let mut answered = vec![true; self.items.len()];
        for arm in arms {
            for row in &self.table(*arm)?.rows {
                answered.iter_mut().zip(row).for_each(|(answered, cell)| *answered &= cell.repeats > 0);
            }
        }
        Ok((0..self.items.len()).filter(|place| answered[*place]).collect())
    }

    pub(crate) fn table(&self, arm: usize) -> Result<&Table, Error> {
        self.tables.get(arm).ok_or(Error::NoSuchArm { arm, arms: self.arms.len() })
    }

    pub(crate) fn name(&self, arm: usize) -> &str {
        self.arms.get(arm).map_or("", String::as_str)
    }

    /// Variances up to this are rounding: scores have 15 digits.
    pub(crate) fn rounding(&self) -> f64 {
        (self.largest * 1e-13).powi(2)
    }
}

impl Table {
    /// Answers that have a score.
    pub(crate) fn answers(&self) -> usize {
        self.rows.iter().flatten().filter(|cell| cell.repeats > 0).count()
    }
}

impl Cell {
    /// One more repeat (Welford 1962).
    fn add(&mut self, score: f64) {
        self.repeats += 1;
        let before = score - self.mean;
        self.mean += before / f64::from(self.repeats);
        self.squares += before * (score - self.mean);
    }
}

fn check_names(arms: &[String]) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    match arms.iter().find(|name| !seen.insert(name.as_str())) {
        Some(name) => Err(Error::SameName { name: name.clone() }),
        None => Ok(()),
    }
}

fn check(row: usize, observation: &Observation, arms: usize, categories: usize) -> Result<(), Error> {
    let Observation { arm, category, score, .. } = *observation;
    if arm >= arms {
        return Err(Error::UnknownArm { row, arm, arms });
    }
    if category >= categories {
        return Err(Error::UnknownCategory { row, category, categories });
    }
    if !is_mark(score) {
        return Err(Error::NotFinite { row, score });
    }
    Ok(())
}

/// Items of observations in the order of trainings and items. Most trainings have all items, so they are walked along.
fn items_of(observations: &[Observation], categories: &[String]) -> Result<Vec<Item>, Error> {
    let mut items: Vec<Item> = Vec::new();
    for training in observations.chunk_by(|a, b| a.arm == b.arm && a.seed == b.seed) {
        let mut place = 0;
        let mut new = Vec::new();
        for observation in training {
            let item = Item { item: observation.item, category: observation.category };
            while items.get(place).is_some_and(|known| known.item < item.item) {
                place += 1;
            }
            if items.get(place) != Some(&item) {
                new.push(item);
            }
        }
        if !new.is_empty() {
            items.append(&mut new);
            items.sort_by_key(|item| (item.item, item.category));
            items.dedup();
        }
    }
    if let Some([a, b]) = items.array_windows().find(|[a, b]| a.item == b.item) {
        let name = |item: &Item| categories[item.category].clone();
        return Err(Error::TwoCategories { item: a.item, first: name(a), second: name(b) });
    }
    let seen: BTreeSet<usize> = items.iter().map(|item| item.category).collect();
    match (0..categories.len()).find(|category| !seen.contains(category)) {
        Some(empty) => Err(Error::EmptyCategory { category: categories[empty].clone() }),
        None => Ok(items),
    }
}
