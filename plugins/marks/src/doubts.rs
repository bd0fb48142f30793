//! Words of a reply that replace its mark, take it back, or throw doubt on it, in tables. All are folded: plain signs, lower
//! case.

/// Words that say that what follows replaces what stood before.
pub const CORRECTIONS: &[&str] = &[
    "更正",
    "纠正一下",
    "修正",
    "重新评分",
    "重新打分",
    "重新评估",
    "重新考虑",
    "改为",
    "改正",
    "等等",
    "等一下",
    "重新审视",
    "抱歉",
    "correction",
    "corrected",
    "wait",
    "actually",
    "on reflection",
    "on second thought",
    "revised",
    "revising",
    "reconsider",
    "reconsidering",
    "sorry",
    "scratch that",
    "let me correct",
    "updated",
];

/// Behind the best mark these make it doubtful that it is the best.
pub const BAD: &[&str] =
    &["差", "错误", "不合格", "poor", "bad", "worst", "wrong", "incorrect", "terrible", "lowest", "最低"];

/// And these take that doubt away.
pub const NOT_BAD: &[&str] = &["没有错误", "无错误", "没有任何错误", "nothing wrong"];

/// Behind the worst mark these make it doubtful that it is the worst.
pub const GOOD: &[&str] = &["优秀", "最好", "完美", "excellent", "perfect", "best", "highest", "最高"];

/// In brackets behind a mark they say that it is not sure.
pub const DOUBTS: &[&str] = &[
    "约",
    "大约",
    "大概",
    "左右",
    "暂定",
    "待定",
    "估计",
    "存疑",
    "approximately",
    "about",
    "roughly",
    "estimated",
    "tentative",
    "provisional",
    "unsure",
    "最多",
    "至多",
    "至少",
    "最少",
    "上限",
    "再扣",
    "还要扣",
    "需扣",
    "应扣",
    "before",
    "at most",
    "at least",
    "up to",
    "maximum",
    "minimum",
];

/// Behind a mark, in its sentence, they say that it is somebody else's.
pub const CLAIMED: &[&str] = &[
    "it says",
    "it claims",
    "answer says",
    "answer claims",
    "response says",
    "response claims",
    "according to",
    "as claimed",
    "self-reported",
    "自称",
    "声称",
    "它说",
    "模型说",
    "回答说",
    "自己写",
    "自己给",
    "自己声",
    "自评",
    "如是说",
    "自报",
];

/// What takes points off; a number follows.
pub const DEDUCTIONS: &[&str] =
    &["扣分", "扣除", "扣了", "扣掉", "扣", "deducted", "deducting", "deduct", "deduction of", "subtract"];

/// Words of a reply that gives no mark, whatever number stands in it.
pub const REFUSALS: &[&str] = &[
    "无法评分",
    "无法给出评分",
    "无法给出得分",
    "无法打分",
    "不予评分",
    "不评分",
    "拒绝评分",
    "refuse to score",
    "cannot score",
    "can't score",
    "unable to score",
    "cannot be scored",
    "not able to score",
    "cannot give a score",
    "decline to score",
    "cannot rate",
    "unable to rate",
];

/// Words that offer another mark.
pub const ALTERNATIVES: &[&str] = &[
    "或者",
    "或",
    "也可以",
    "也可",
    "or",
    "maybe",
    "perhaps",
    "possibly",
    "可能",
    "alternatively",
    "could be",
    "might be",
    "可以是",
    "可以给",
];
