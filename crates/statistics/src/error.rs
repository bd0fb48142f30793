//! What can be wrong with scores, and with what is asked of them.

use thiserror::Error;

/// Why there is no answer. A missing interval is none of these: it is a [`crate::NoInterval`] beside the estimate.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum Error {
    #[error("no scores: give at least one observation")]
    Empty,
    #[error(
        "observation {row} is of arm {arm}, but only {arms} arms are named: name them all, in the order of their index"
    )]
    UnknownArm { row: usize, arm: usize, arms: usize },
    #[error(
        "observation {row} is of category {category}, but only {categories} are named: name them all, in the order of their index"
    )]
    UnknownCategory { row: usize, category: usize, categories: usize },
    #[error("two arms are named `{}`: give each a name of its own", .name.escape_debug())]
    SameName { name: String },
    #[error("observation {row} has the score {score}: leave out what could not be scored, and say how much that was")]
    NotFinite { row: usize, score: f64 },
    #[error("item {item} is in category `{first}` and in `{second}`: an item has one category", first = .first.escape_debug(), second = .second.escape_debug())]
    TwoCategories { item: usize, first: String, second: String },
    #[error("arm `{arm}` has two scores of seed {seed}, item {item}, repeat {repeat}: number the repeats", arm = .arm.escape_debug())]
    Twice { arm: String, seed: u64, item: usize, repeat: u32 },
    #[error("arm `{}` has no score: leave it out", .arm.escape_debug())]
    EmptyArm { arm: String },
    #[error("category `{}` has no item: leave it out", .category.escape_debug())]
    EmptyCategory { category: String },
    #[error("there is no arm {arm}: the study has {arms}, counted from 0")]
    NoSuchArm { arm: usize, arms: usize },
    #[error("there is no category {category}: the study has {categories}, counted from 0")]
    NoSuchCategory { category: usize, categories: usize },
    #[error("category `{category}` has no item that all trainings of {arms} answered: score what is missing, or leave the category out of the study", category = .category.escape_debug())]
    NothingShared { category: String, arms: String },
    #[error("{given} weights for {arms} arms: give one per arm, 0 for those that take no part")]
    WeightCount { given: usize, arms: usize },
    #[error("the weights of a contrast must be finite, not all 0, and sum to 0; these sum to {sum}")]
    Weights { sum: f64 },
    #[error("an arm cannot be compared with itself: `{}`", .arm.escape_debug())]
    SameArm { arm: String },
    #[error("crossed seeds need as many trainings in each arm: `{first}` has {first_seeds}, `{second}` has {second_seeds}; take them as nested", first = .first.escape_debug(), second = .second.escape_debug())]
    UnequalSeeds { first: String, first_seeds: usize, second: String, second_seeds: usize },
    #[error("{what} is {value}: it must be {rule}")]
    OutOfRange { what: &'static str, value: f64, rule: &'static str },
    #[error("{what} was not estimated: {remedy}")]
    NotEstimated { what: &'static str, remedy: &'static str },
    #[error("{given} tables of factor levels for {arms} arms: give one per arm")]
    LevelCount { given: usize, arms: usize },
    #[error("an effect needs two levels of `{factor}`, and `{level}` was given twice", factor = .factor.escape_debug(), level = .level.escape_debug())]
    SameLevel { factor: String, level: String },
    #[error("no arm has the factor `{factor}` at level `{level}`; there are: {levels}", factor = .factor.escape_debug(), level = .level.escape_debug())]
    NoSuchLevel { factor: String, level: String, levels: String },
    #[error("no two arms differ in `{factor}` alone, {levels}; the nearest two, {nearest}, also differ in {others}", factor = .factor.escape_debug())]
    NoMatchedPair { factor: String, levels: String, nearest: String, others: String },
    #[error("{xs} values of x and {ys} of y: a line needs pairs")]
    Unpaired { xs: usize, ys: usize },
    #[error("x is {x} in every pair: nothing can be said about a slope against a constant")]
    ConstantX { x: f64 },
    #[error("only {distinct} distinct values of x: a line with uncertainty needs 3")]
    TooFewX { distinct: usize },
    #[error("{what} is not defined: {why}")]
    Undefined { what: &'static str, why: &'static str },
    #[error("rater {rater} of item {item} gave {value}: leave out what could not be read, and say how much that was")]
    MarkNotFinite { item: usize, rater: usize, value: f64 },
    #[error("edge {place} of the bins is {edge}: edges must be finite, and each above the one before it")]
    Bins { place: usize, edge: f64 },
    #[error("{what} {place} is {value}: it must be {rule}")]
    BadValue { what: &'static str, place: usize, value: f64, rule: &'static str },
    #[error("arm `{arm}`, seed {seed}, item {item} has two labels: give one mark per answer, such as the mean of several people's", arm = .arm.escape_debug())]
    LabelledTwice { arm: String, seed: u64, item: usize },
    #[error(
        "{labels} labels of {of}, and a correction takes {least}: label more answers, or pool the labels of all arms"
    )]
    FewLabels { of: String, labels: usize, least: usize },
    #[error(
        "{who} gave all {labels} labelled answers of {of} the mark {mark}, so that no line can be drawn between the judge's marks and people's: label answers with other marks, or correct by the mean difference alone"
    )]
    OneMark { who: &'static str, of: String, labels: usize, mark: f64 },
    #[error(
        "arms {groups} were never compared with each other, directly or by way of others: compare them, or rank each group by itself"
    )]
    Disconnected { groups: String },
    #[error(
        "{arms} won everything against all others, so that their strength has no bound: compare more items, or state a prior (ridge above 0)"
    )]
    Unbounded { arms: String },
    #[error("the fit did not converge: {what}")]
    NotConverged { what: &'static str },
    #[error("the judges scored different studies: {what} differ; give both the same names in the same order")]
    DifferentStudies { what: &'static str },
    #[error("the judges have no answer in common: let both score the same answers")]
    NoSharedAnswer,
}
