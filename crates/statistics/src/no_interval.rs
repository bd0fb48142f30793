//! Why an estimate has no interval.

/// Said instead of an interval of no width.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoInterval {
    /// A category, or all there is (null), has one item, which tells nothing about the spread of items.
    OneItem { category: Option<String> },
    /// Items and trainings all say the same.
    NoVariance { items: usize },
    /// All points lie on the line.
    PerfectLine,
    /// All values are the same.
    NoSpread { values: usize },
    /// Fewer values than the approximation needs.
    TooFew { values: usize, least: usize },
    /// Too many draws of a bootstrap have no estimate.
    BootstrapUndefined { undefined: usize, draws: usize },
    /// Fewer human marks than the method was shown to hold with.
    FewLabels { labels: usize, least: usize },
    /// The labels say the same of the judge everywhere.
    JudgeNeverWrong { labels: usize },
    /// People gave all labelled answers the same mark.
    PeopleAllTheSame { labels: usize },
    /// One label decides the slope of the correction alone.
    OneLabelDecides { labels: usize },
    /// People marked every answer.
    AllLabelled { labels: usize },
    /// The labels do not show that the judge tells right from wrong.
    JudgeLikeChance { labels: usize },
}

impl std::fmt::Display for NoInterval {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OneItem { category: Some(category) } => {
                write!(
                    f,
                    "no interval: category `{}` has one item, which tells nothing about the spread of items",
                    category.escape_debug()
                )
            }
            Self::OneItem { category: None } => {
                f.write_str("no interval: there is one item, which tells nothing about the spread of items")
            }
            Self::NoVariance { items } => {
                write!(
                    f,
                    "no interval: all {items} items and trainings give the same number, so nothing is known of their spread"
                )
            }
            Self::PerfectLine => {
                f.write_str("no interval: all points lie on the line, so nothing is known of their spread")
            }
            Self::NoSpread { values } => {
                write!(f, "no interval: all {values} values are the same, so nothing is known of their spread")
            }
            Self::TooFew { values, least } => write!(f, "no interval: {values} values, and it takes {least}"),
            Self::BootstrapUndefined { undefined, draws } => {
                write!(f, "no interval: in {undefined} of {draws} samples drawn from the items there is no estimate")
            }
            Self::FewLabels { labels, least } => {
                write!(f, "no interval: {labels} human marks, and it takes {least}: label more answers")
            }
            Self::JudgeNeverWrong { labels } => write!(
                f,
                "no interval: the judge is off by the same in all {labels} labels, so nothing is known of how far its error varies: label more answers"
            ),
            Self::PeopleAllTheSame { labels } => write!(
                f,
                "no interval: people gave all {labels} labelled answers the same mark, so nothing is known of how far theirs vary: label more answers"
            ),
            Self::OneLabelDecides { labels } => write!(
                f,
                "no interval: of {labels} labels, one alone decides how the judge's marks are stretched: label answers with other marks"
            ),
            Self::AllLabelled { labels } => {
                write!(f, "no interval: people marked all {labels} answers, so their mean is known and not estimated")
            }
            Self::JudgeLikeChance { labels } => write!(
                f,
                "no interval: {labels} labels do not show that the judge tells right from wrong: label more answers, or take another judge"
            ),
        }
    }
}
