//! How far a piece of work is, by the log that it writes.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::tail::{Change, Tail};

/// Of a line of `steps.jsonl`, what is shown; the whole of it is `StepLog`. Logs of other versions may lack some.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct Step {
    /// From 1.
    pub step: u64,
    /// Nats per label token; a loss that is no number is null in JSON.
    #[serde(default)]
    pub loss: Option<f64>,
    #[serde(default)]
    pub tokens: u64,
    #[serde(default)]
    pub seconds: f64,
}

/// A line of `losses.jsonl`: a loss on data that is not learned from.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Loss {
    #[serde(default)]
    pub step: u64,
    /// Of which data.
    #[serde(default)]
    pub set: String,
    #[serde(default)]
    pub loss: Option<f64>,
    #[serde(default)]
    pub bits_per_byte: Option<f64>,
    #[serde(default)]
    pub seconds: f64,
}

/// The log of a training: its steps, and the losses measured between them.
#[derive(Debug)]
pub struct TrainingLog {
    steps: Lines<Step>,
    losses: Lines<Loss>,
}

/// A growing file of JSON, a value a line, and what is known of it.
#[derive(Debug)]
struct Lines<T> {
    file: Tail,
    values: Vec<T>,
    /// Whole lines that are not what they should be, and are left out.
    unreadable: u64,
}

/// A log with a line an item.
#[derive(Debug)]
pub struct ItemLog {
    file: Tail,
    pub done: u64,
    /// How many there were at the first look, and when that was, seconds on the watcher's clock.
    first: Option<(u64, f64)>,
    last_seconds: f64,
}

/// How many of the last steps tell the speed.
const WINDOW: usize = 50;
/// Less than so many items, watched for less than this, tells no speed.
const LEAST_ITEMS: u64 = 3;
const LEAST_SECONDS: f64 = 5.0;
/// The share of the past in a smoothed loss.
const SMOOTHING: f64 = 0.9;
/// What the held-out rows of the training data may be called as a set.
const HELD_OUT: [&str; 4] = ["", "eval", "held_out", "held-out"];

impl TrainingLog {
    /// By its `steps.jsonl`; losses are in `losses.jsonl` beside it. Neither need be there yet.
    pub fn new(steps: &Path) -> Self {
        Self { steps: Lines::new(steps), losses: Lines::new(&steps.with_file_name("losses.jsonl")) }
    }

    /// Takes in what was written since. A training that goes on from an earlier checkpoint cuts its log back; whatever
    /// was read behind that point is forgotten.
    ///
    /// # Errors
    /// When a file is there and cannot be read.
    pub fn refresh(&mut self) -> io::Result<()> {
        self.steps.refresh(|old, new| old.step < new.step)?;
        self.losses.refresh(|old, new| old.step <= new.step)
    }

    /// Whole lines that are not what they should be, and are left out.
    pub fn unreadable(&self) -> u64 {
        self.steps.unreadable + self.losses.unreadable
    }

    /// The last step that was logged; 0 before the first.
    pub fn done(&self) -> u64 {
        self.steps.values.last().map_or(0, |step| step.step)
    }

    /// The loss of each step that has one: (step, as it is, smoothed), in nats per token.
    pub fn curve(&self) -> Vec<(f64, f64, f64)> {
        smoothed(&self.steps.values)
    }

    /// The smoothed loss now.
    pub fn loss(&self) -> Option<f64> {
        // What is further back than this weighs less than a millionth.
        let last = self.steps.values.len().saturating_sub(150);
        smoothed(self.steps.values.get(last..).unwrap_or_default()).last().map(|point| point.2)
    }

    /// Tokens per second over the last steps.
    pub fn tokens_per_second(&self) -> Option<f64> {
        let last = self.last_steps();
        let (tokens, seconds) = last.iter().fold((0, 0.0), |(t, s), step| (t + step.tokens, s + step.seconds));
        (seconds > 0.0).then(|| tokens as f64 / seconds)
    }

    /// How long one step takes now, the losses measured between steps shared out over all of them.
    pub fn seconds_per_step(&self) -> Option<f64> {
        let last = self.last_steps();
        let seconds: f64 = last.iter().map(|step| step.seconds).sum();
        let done = self.done();
        (seconds > 0.0 && done > 0).then(|| seconds / last.len() as f64 + self.loss_seconds() / done as f64)
    }

    /// What all of it took so far.
    pub fn seconds(&self) -> f64 {
        self.steps.values.iter().map(|step| step.seconds).sum::<f64>() + self.loss_seconds()
    }

    /// Losses on the rows held out of the training data, in order.
    pub fn held_out(&self) -> impl Iterator<Item = &Loss> {
        self.losses.values.iter().filter(|loss| HELD_OUT.contains(&loss.set.as_str()))
    }

    /// The last loss on each other set of data, by its name.
    pub fn other_sets(&self) -> BTreeMap<&str, &Loss> {
        let other = self.losses.values.iter().filter(|loss| !HELD_OUT.contains(&loss.set.as_str()));
        other.map(|loss| (loss.set.as_str(), loss)).collect()
    }

    fn last_steps(&self) -> &[Step] {
        let steps = &self.steps.values;
        steps.get(steps.len().saturating_sub(WINDOW)..).unwrap_or_default()
    }

    fn loss_seconds(&self) -> f64 {
        self.losses.values.iter().map(|loss| loss.seconds).sum()
    }
}

fn smoothed(steps: &[Step]) -> Vec<(f64, f64, f64)> {
    let finite = steps.iter().filter_map(|step| Some((step.step as f64, step.loss.filter(|loss| loss.is_finite())?)));
    let (mut mean, mut weight) = (0.0, 0.0);
    let point = |(step, loss): (f64, f64)| {
        // A mean whose weights fall towards the past; divided by their sum, it does not begin at zero.
        mean = SMOOTHING * mean + (1.0 - SMOOTHING) * loss;
        weight = SMOOTHING * weight + (1.0 - SMOOTHING);
        (step, loss, mean / weight)
    };
    finite.map(point).collect()
}

impl<T: DeserializeOwned> Lines<T> {
    fn new(path: &Path) -> Self {
        Self { file: Tail::new(path.to_owned()), values: Vec::new(), unreadable: 0 }
    }

    /// Appends what is new. What `comes_before` does not put before a new value is taken away.
    fn refresh(&mut self, comes_before: impl Fn(&T, &T) -> bool) -> io::Result<()> {
        let is_first_look = self.values.is_empty();
        let (change, bad) = self.take(&comes_before)?;
        self.unreadable += bad;
        // After a bad line too: a file that was cut and has grown again since was read from the middle of a line.
        if change == Change::Cut || (bad > 0 && !is_first_look) {
            self.file.forget();
            self.values.clear();
            self.unreadable = self.take(&comes_before)?.1;
        }
        Ok(())
    }

    /// One look at the file: how it changed, and how many new lines are bad.
    fn take(&mut self, comes_before: impl Fn(&T, &T) -> bool) -> io::Result<(Change, u64)> {
        let Self { file, values, .. } = self;
        let mut bad = 0;
        let change = file.read(|line| match serde_json::from_slice::<T>(line) {
            Err(_) => bad += 1,
            Ok(value) => {
                let kept = values.iter().rposition(|old| comes_before(old, &value)).map_or(0, |last| last + 1);
                values.truncate(kept);
                values.push(value);
            }
        })?;
        Ok((change, bad))
    }
}

impl ItemLog {
    /// A file that need not be there yet.
    pub fn new(path: &Path) -> Self {
        Self { file: Tail::new(path.to_owned()), done: 0, first: None, last_seconds: 0.0 }
    }

    /// Counts what was written since; `now_seconds` is the time on the watcher's clock.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn refresh(&mut self, now_seconds: f64) -> io::Result<()> {
        let mut change = self.file.read(|_| ())?;
        if change == Change::Cut {
            (self.done, self.first) = (0, None);
            change = self.file.read(|_| ())?;
        }
        if let Change::Grown(lines) = change {
            self.done += lines;
        }
        self.first.get_or_insert((self.done, now_seconds));
        self.last_seconds = now_seconds;
        Ok(())
    }

    /// How long an item took while it was watched; none before that says something.
    pub fn seconds_per_item(&self) -> Option<f64> {
        let (first, since) = self.first?;
        let (new, seconds) = (self.done.saturating_sub(first), self.last_seconds - since);
        (new >= LEAST_ITEMS && seconds >= LEAST_SECONDS).then(|| seconds / new as f64)
    }
}
