//! People's marks, how they were drawn, and how they are used.

/// Labels that intervals are given from: with fewer, the spread of the judge's error is not known well enough for any
/// t.
pub const LEAST_LABELS: usize = 20;

/// What people gave an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Label {
    /// Index into the names of arms.
    pub arm: usize,
    pub seed: u64,
    pub item: usize,
    /// In the units of the judge's score; of several people, their mean.
    pub human: f64,
}

/// How the labelled answers were drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// Each answer with the same chance.
    Equal,
    /// Each answer of a category with the same chance; categories may have different ones. Each category of the average
    /// needs two labels.
    ByCategory,
}

/// How the judge's marks are turned into people's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tuning {
    /// mark + mean (human - judge): the difference estimator, prediction-powered inference with coefficient 1.
    Difference,
    /// A line through the labels. Of the answers that labels were drawn from, that of people's marks on the judge's:
    /// the regression estimator, whose slope is the coefficient that PPI++ tunes towards; a judge that says nothing
    /// gets a slope of 0, and labels alone decide. Of arms that share their labels, that of the judge's marks on
    /// people's, turned round.
    Regression,
}
