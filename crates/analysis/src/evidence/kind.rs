//! What a judge's scores are: marks, win rates, or what a panel of judges comes to.

use std::sync::Arc;

use tunebench_results::win_rates::Rivals;

use super::notes::Note;

/// What the scores of a judge are.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// A mark of each answer by itself.
    Marks,
    /// Of a judge that compares two answers.
    WinRates {
        rivals: Rivals<Arc<str>>,
        /// Pairs of answers, repeats apart, and those of them without a verdict in both orders.
        pairs: usize,
        incomplete: usize,
    },
    /// The median of several judges' marks.
    Panel {
        judges: Vec<String>,
        /// Answers that any of them was asked about, and those that all of them scored.
        answers: usize,
        complete: usize,
    },
}

impl Kind {
    pub fn is_marks(&self) -> bool {
        *self == Self::Marks
    }

    pub fn is_win_rates(&self) -> bool {
        matches!(self, Self::WinRates { .. })
    }

    /// The arm that all others are compared with, which has no score.
    pub fn baseline(&self) -> Option<&str> {
        match self {
            Self::WinRates { rivals: Rivals::Baseline(name), .. } => Some(name),
            _ => None,
        }
    }

    /// For a title, behind the judge's name: `win rates against small`; none of marks.
    pub fn title(&self) -> Option<String> {
        match self {
            Self::Marks | Self::Panel { .. } => None,
            Self::WinRates { rivals: Rivals::Baseline(name), .. } => Some(format!("win rates against {name}")),
            Self::WinRates { rivals: Rivals::All, .. } => Some("win rates against all others".to_owned()),
        }
    }

    /// What a reader of the scores must know, a sentence each.
    pub fn notes(&self, judge: &str) -> Vec<Note> {
        match self {
            Self::Marks => Vec::new(),
            Self::Panel { judges, answers, complete } => vec![Note::new(
                format!(
                    "{judge} is the median of what {} gave each answer; of {answers} answers all of them scored {complete}, \
                     and the others have no score here. Of marks that are 0 or 1 the median is the majority.",
                    judges.join(", ")
                ),
                format!(
                    "{judge} 是 {} 对每条回答所给分数的中位数；{answers} 条回答中有 {complete} 条得到全部评判的分数，\
                     其余在此没有得分。分数只有 0 和 1 时，中位数即多数意见。",
                    judges.join("、")
                ),
            )],
            Self::WinRates { rivals, pairs, incomplete } => {
                let (whom, whom_zh) = match rivals {
                    Rivals::Baseline(name) => (name.to_string(), name.to_string()),
                    Rivals::All => ("all the others".to_owned(), "所有其他组".to_owned()),
                };
                let mut notes = vec![Note::new(
                    format!(
                        "{judge} compares two answers: a score is the win rate against {whom}, 1 for a win, 0.5 for a tie and 0 \
                         for a loss; both orders of a pair are averaged first."
                    ),
                    format!(
                        "{judge} 比较两条回答：得分是对 {whom_zh} 的胜率，胜为 1、平为 0.5、负为 0；同一对回答的两种顺序先取平均。"
                    ),
                )];
                if *incomplete > 0 {
                    notes.push(Note::new(
                        format!(
                            "{incomplete} of {pairs} pairs of answers have no verdict in one of the two orders; their answers \
                             have no win rate."
                        ),
                        format!("{pairs} 对回答中有 {incomplete} 对缺少某一顺序的判定，其回答没有胜率。"),
                    ));
                }
                notes
            }
        }
    }
}
