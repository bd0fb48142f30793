//! What a report is made of: plain data, in the units that the names say. Who has frames fills it.

use serde::{Deserialize, Serialize};

/// Everything on the page but the answers, which come item by item ([`ItemAnswers`]).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Name of the study.
    pub study: String,
    /// When the results were made, e.g. `2026-11-25 20:14 UTC`. Text, so that the page is the same each time.
    pub made: String,
    /// What computed them, in a line.
    pub machine: String,
    /// Language the page opens in; a button switches to the other.
    pub language: Language,
    /// What all this says.
    pub decision: Decision,
    /// Where scores begin and end.
    pub scale: Scale,
    /// The methods compared, in any order; names are unique.
    pub arms: Vec<Arm>,
    /// Differences between two arms.
    pub pairs: Vec<Pair>,
    /// Mean scores by category; a pair of category and arm may be missing.
    pub categories: Vec<CategoryScore>,
    /// What must be known of the scores, a sentence each.
    pub score_notes: Vec<Text>,
    /// What must be known of the costs.
    pub cost_notes: Vec<Text>,
    /// Losses by step.
    pub curves: Vec<Curve>,
    /// What must be known of the curves.
    pub curve_notes: Vec<Text>,
    /// What the grids tried.
    pub candidates: Vec<Candidate>,
    /// Anything else that is a table: ledger, lint, cost, lengths, factors.
    pub tables: Vec<Table>,
    /// How good the judges are: agreement, repeats, probes, calibration, cost.
    pub judge_tables: Vec<Table>,
    /// What judges that compare two answers say of every two arms.
    pub pair_tables: Vec<Table>,
    /// What the reader must know before trusting the numbers.
    pub warnings: Vec<Text>,
    /// Command lines that make these results again, in order.
    pub commands: Vec<String>,
    /// Names of the judges, unique.
    pub judges: Vec<String>,
    /// What must be known of the answers.
    pub answer_notes: Vec<Text>,
}

/// A text of the study in both languages of the page; an empty one is replaced by the other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Text {
    /// English.
    pub en: String,
    /// Chinese, in simplified characters.
    pub zh: String,
}

impl Text {
    /// A text in both languages.
    pub fn new(en: impl Into<String>, zh: impl Into<String>) -> Self {
        Self { en: en.into(), zh: zh.into() }
    }

    /// The text in a language, or in the other where it has none.
    pub fn in_language(&self, language: Language) -> &str {
        let (first, second) = match language {
            Language::En => (&self.en, &self.zh),
            Language::Zh => (&self.zh, &self.en),
        };
        if first.is_empty() { second } else { first }
    }
}

/// The same in both: names, numbers, or a text that nobody translated.
impl<T: Into<String>> From<T> for Text {
    fn from(both: T) -> Self {
        Self { en: both.into(), zh: String::new() }
    }
}

/// Language of the page's own words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    #[default]
    En,
    /// Chinese.
    Zh,
}

/// What the study says, for who reads nothing else.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Decision {
    /// One sentence: what to do.
    pub headline: Text,
    /// One sentence: how sure that is.
    pub certainty: Text,
    /// Why, a sentence each.
    pub reasons: Vec<Text>,
}

/// Lowest and highest score that a judge can give.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scale {
    /// Lowest.
    pub low: f64,
    /// Highest.
    pub high: f64,
}

impl Default for Scale {
    fn default() -> Self {
        Self { low: 0.0, high: 1.0 }
    }
}

/// A method on a base and data: one line of the comparison.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Arm {
    /// Its name in the study.
    pub name: String,
    /// Model or arm it started from.
    pub base: String,
    /// Its tuner; arms of one tuner have one color and mark.
    pub tuner: String,
    /// Data it learned from.
    pub dataset: String,
    /// Trainings with a score.
    pub seeds: u32,
    /// Items with a score.
    pub items: u32,
    /// Its score; none where nothing was scored.
    pub score: Option<Score>,
    /// Compact letters: arms that share one cannot be told apart. Empty where no groups were computed.
    pub letters: String,
    /// Parameters beside the base's own.
    pub additional_params: Option<u64>,
    /// Parameters that were trained.
    pub trainable_params: Option<u64>,
    /// Training time of one seed, in hours.
    pub train_hours: Option<f64>,
    /// Peak memory of the training, in bytes.
    pub peak_memory_bytes: Option<u64>,
    /// Money for machine and judge, in US dollars.
    pub cost_usd: Option<f64>,
    /// Loss on held-out rows at the end, in nats per token, mean over seeds.
    pub held_out_nats_per_token: Option<f64>,
    /// The same loss in bits per byte, which can be compared over tokenizers.
    pub held_out_bits_per_byte: Option<f64>,
    /// Loss on general language before and after the training, in bits per byte.
    pub forgetting: Option<Forgetting>,
}

/// A mean score and how sure it is.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Score {
    /// Mean score, on the report's [`Scale`].
    pub mean: f64,
    /// None where none can be given, of a single item for example.
    pub interval: Option<Interval>,
    /// What the interval is over.
    pub scope: Scope,
}

/// A 95 % interval.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Which chance an interval covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Other items and other trainings of the same kind.
    ItemsAndTrainings,
    /// Other items only: one training, whose own luck is not in it.
    ItemsOnly,
}

/// Loss on a fixed text of general language, in bits per byte.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Forgetting {
    /// Of the plain base.
    pub before_bits_per_byte: f64,
    /// Of the trained model, mean over seeds.
    pub after_bits_per_byte: f64,
}

/// The difference of two arms' scores, first less second.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pair {
    /// Name of the first arm.
    pub first: String,
    /// Name of the second arm.
    pub second: String,
    /// Mean difference.
    pub difference: f64,
    /// Its interval; none where none can be given.
    pub interval: Option<Interval>,
    /// p value, adjusted for the number of pairs; none where there is no test.
    pub adjusted_p: Option<f64>,
    /// What follows.
    pub verdict: Verdict,
    /// Whether the difference, if there is one, is surely below the margin.
    pub within_margin: bool,
}

/// What a comparison says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The first is better.
    FirstBetter,
    /// The second is better.
    SecondBetter,
    /// They differ by less than the margin that the study states.
    Equivalent,
    /// Neither a difference nor equivalence could be shown.
    NotToldApart,
}

/// Mean score of an arm over the items of a category.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CategoryScore {
    /// Category.
    pub category: String,
    /// Name of the arm.
    pub arm: String,
    /// Mean score.
    pub mean: f64,
    /// Its interval; none where none can be given.
    pub interval: Option<Interval>,
    /// Items in it.
    pub items: u32,
}

/// Losses of one training.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Curve {
    /// Name of the arm.
    pub arm: String,
    /// Seed of the training.
    pub seed: u64,
    /// Training loss by step, in nats per token.
    pub training: Vec<LossPoint>,
    /// Held-out loss by step, in nats per token.
    pub held_out: Vec<LossPoint>,
}

/// A loss at a step.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct LossPoint {
    /// Optimizer step.
    pub step: u64,
    /// Loss, in nats per token.
    pub loss: f64,
}

/// One point of an arm's grid.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Candidate {
    /// Name of the arm.
    pub arm: String,
    /// What it sets, e.g. `learning_rate = 2e-4`.
    pub candidate: String,
    /// Steps that it was trained for: fewer where it was given up early.
    pub steps: u64,
    /// Held-out loss in nats per token; none where it was not trained to a loss.
    pub held_out_nats_per_token: Option<f64>,
    /// Whether it was taken.
    pub selected: bool,
    /// The edges of the grid it lies at, e.g. `learning_rate` (highest); empty inside the grid.
    pub at_edge: String,
}

/// Any table.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Table {
    /// Title.
    pub title: Text,
    /// Headings.
    pub columns: Vec<Text>,
    /// Rows, each as long as `columns`; the first cell names the row.
    pub rows: Vec<Vec<Cell>>,
    /// Sentences under it.
    pub notes: Vec<Text>,
}

/// A table's cell.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Cell {
    /// What stands in it.
    pub shown: Text,
    /// What it is sorted by, and aligned as a number then.
    pub value: Option<f64>,
}

impl Cell {
    /// A cell of words.
    pub fn text(shown: impl Into<Text>) -> Self {
        Self { shown: shown.into(), value: None }
    }

    /// A number as it is to be read, and its value.
    pub fn number(shown: impl Into<Text>, value: f64) -> Self {
        Self { shown: shown.into(), value: Some(value) }
    }
}

/// One item of the evaluation set, and all that was answered to it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ItemAnswers {
    /// Identity of the item.
    pub id: String,
    /// Its category; may be empty.
    pub category: String,
    /// What was asked.
    pub question: String,
    /// The answer that the item itself holds.
    pub reference: Option<String>,
    /// One for each arm and seed, in any order.
    pub answers: Vec<Answer>,
}

/// What one training of an arm answered.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Answer {
    /// Name of the arm.
    pub arm: String,
    /// Seed of the training.
    pub seed: u64,
    /// The answer.
    pub text: String,
    /// What the judges said of it.
    pub judgements: Vec<Judgement>,
}

/// What a judge said of an answer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Judgement {
    /// Name of the judge.
    pub judge: String,
    /// Which repeat, from 0.
    pub repeat: u32,
    /// The score, on the report's scale; none where it gave none.
    pub score: Option<f64>,
    /// How it ended, in the frames' word, e.g. `scored`.
    pub status: String,
    /// The judge's own words.
    pub words: String,
}
