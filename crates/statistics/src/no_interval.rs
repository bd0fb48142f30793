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
        }
    }
}
