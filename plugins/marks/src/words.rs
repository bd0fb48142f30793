//! The words by which marks are recognised, in tables. All are folded: plain signs, lower case.

/// How much a heading says that its mark is the one of the whole answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// `给0.8分`, `I give it 8/10`.
    Verb,
    /// `得分`, `score`.
    Plain,
    /// `最终得分`, `overall score`.
    Final,
}

/// Words that a mark stands behind; longer ones before what they begin with.
pub const HEADINGS: &[(&str, Rank)] = &[
    ("得分", Rank::Plain),
    ("评分", Rank::Plain),
    ("打分", Rank::Plain),
    ("给分", Rank::Plain),
    ("分数", Rank::Plain),
    ("成绩", Rank::Plain),
    ("总分", Rank::Final),
    ("score", Rank::Plain),
    ("rating", Rank::Plain),
    ("grade", Rank::Plain),
    ("mark", Rank::Plain),
    ("overall", Rank::Final),
    ("total", Rank::Final),
    ("final", Rank::Final),
];

/// Headings that are other words, too, and need a colon or an equals sign.
pub const NEED_COLON: &[&str] = &["overall", "total", "final", "成绩"];
/// Headings that may as well name the full mark: `得分 0.8，总分 1`. The best mark behind one proves nothing.
pub const TOTALS: &[&str] = &["总分", "total"];

/// Verbs that a mark stands behind, when a unit or a full mark follows it.
pub const VERBS: &[&str] = &[
    "给出",
    "给予",
    "打出",
    "评为",
    "给了",
    "打了",
    "给",
    "打",
    "评",
    "得",
    "give",
    "giving",
    "award",
    "assign",
    "rate",
    "assigning",
    "giving it",
];
/// What English verbs take before the mark.
pub const OBJECTS: &[&str] = &["this", "the", "it", "answer", "response", "a", "an", "model's", "model", "at", "as"];

/// What stands between a heading and its mark.
pub const COPULAS: &[&str] = &[
    "应更正为",
    "应修正为",
    "应改为",
    "更正为",
    "修正为",
    "调整为",
    "改为",
    "应该为",
    "应该是",
    "应当为",
    "应为",
    "应是",
    "定为",
    "评定为",
    "可评为",
    "记为",
    "为",
    "是",
    "is",
    "of",
    "equals",
    "should be",
    "will be",
];
/// LaTeX commands that only decorate.
pub const LATEX: &[&str] = &["boxed", "text", "textbf", "mathbf", "mathrm", "bf", "fbox"];
/// Those that hold a fraction.
pub const FRACTIONS: &[&str] = &["frac", "dfrac", "tfrac"];

/// What names a full mark behind a number.
pub const FULL_BEHIND: &[&str] = &["/", "满分", "out of", "of", "full marks", "full mark", "max", "maximum"];
/// What names a full mark by itself.
pub const FULL: &[&str] = &["满分", "最高分", "full marks", "full mark", "maximum score", "max score", "out of"];
/// The full mark of scales with a name.
pub const NAMED_SCALES: &[(&str, f64)] = &[("百分制", 100.0), ("十分制", 10.0), ("五分制", 5.0), ("一分制", 1.0)];
/// What stands before a range that is a scale.
pub const SCALE_WORDS: &[&str] =
    &["范围", "区间", "满分", "分值", "on a scale of", "on a scale from", "scale of", "scale", "from", "range"];
/// What joins a range's ends.
pub const RANGE: &[&str] = &["-", "~", "–", "—", "到", "至", "to"];

/// Units that say no more than that it is a mark.
pub const UNITS: &[&str] = &["分", "points", "point", "pts", "marks"];

/// Whole marks in words, and their share of any scale.
pub const WORD_MARKS: &[(&str, f64)] = &[("满分", 1.0), ("零分", 0.0), ("full marks", 1.0), ("zero", 0.0)];

/// Chinese that may stand directly behind a mark.
pub const HAN_BEHIND: &[&str] = &["理由", "原因", "因为", "解释", "说明", "评语", "由于", "评分理由", "分析"];
/// English that may stand behind a mark on its line.
pub const ENGLISH_BEHIND: &[&str] = &[
    "because",
    "since",
    "as",
    "due",
    "the",
    "this",
    "it",
    "reason",
    "reasons",
    "reasoning",
    "explanation",
    "rationale",
    "justification",
    "for",
    "with",
    "given",
    "comment",
    "comments",
    "feedback",
    "on this",
];
/// What begins the reason behind a mark without a heading.
pub const REASONS: &[&str] = &[
    "理由",
    "原因",
    "解释",
    "说明",
    "评语",
    "分析",
    "评价",
    "reason",
    "reasons",
    "reasoning",
    "explanation",
    "rationale",
    "justification",
];
