//! The page's own words, in English and Chinese.

use crate::data::Text;

/// A phrase of the page. `{0}`, `{1}` are places for numbers.
pub struct Word {
    pub en: &'static str,
    pub zh: &'static str,
}

const fn w(en: &'static str, zh: &'static str) -> Word {
    Word { en, zh }
}

impl Word {
    /// The phrase with its places filled.
    pub fn with(&self, values: &[&str]) -> Text {
        let fill = |phrase: &str| {
            let places = values.iter().enumerate();
            places.fold(phrase.to_owned(), |text, (place, value)| text.replace(&format!("{{{place}}}"), value))
        };
        Text::new(fill(self.en), fill(self.zh))
    }
}

pub const SKIP: Word = w("Skip to the scores", "跳到得分");
pub const SWITCH: Word = w("中文", "English");
pub const CONTENTS: Word = w("Contents", "目录");
pub const REPORT_OF: Word = w("Study", "研究");
pub const WARNINGS: Word = w("Before you rely on this", "采信之前请注意");
pub const NO_SCRIPT: Word = w(
    "Sorting, filtering and the answers need JavaScript, which this browser has switched off.",
    "排序、筛选和查看回答需要 JavaScript，而此浏览器已将其关闭。",
);

pub const SCORES: Word = w("Scores", "得分");
pub const SCORES_NOTE: Word = w(
    "Dots are mean scores, bars 95 % intervals. Arms that share a letter cannot be told apart.",
    "圆点为平均得分，横线为 95% 区间。字母相同的组无法区分高下。",
);
pub const BAR_BOTH: Word =
    w("Solid bars cover the chance of the items and of the training.", "实线区间同时包含题目与训练两种偶然性。");
pub const BAR_ITEMS: Word = w(
    "Dotted bars cover the chance of the items only: one training each, whose own luck is not in the bar.",
    "虚线区间只包含题目的偶然性：各只训练一次，训练本身的运气不在区间内。",
);
pub const MEAN_SCORE: Word = w("Mean score", "平均得分");
pub const ARMS_TABLE: Word = w("All arms", "全部组");
pub const RANK: Word = w("No.", "序号");
pub const ARM: Word = w("Arm", "组");
pub const BASE: Word = w("Base", "基座");
pub const TUNER: Word = w("Tuner", "调优方法");
pub const DATASET: Word = w("Data", "数据");
pub const SEEDS: Word = w("Seeds", "种子数");
pub const ITEMS: Word = w("Items", "题数");
pub const SCORE: Word = w("Score", "得分");
pub const INTERVAL: Word = w("95 % interval", "95% 区间");
pub const GROUP: Word = w("Group", "分组");
pub const SCOPE: Word = w("Interval over", "区间范围");
pub const SCOPE_BOTH: Word = w("items and trainings", "题目与训练");
pub const SCOPE_ITEMS: Word = w("items only", "仅题目");
pub const TRAINABLE: Word = w("Trained params", "训练参数");
pub const ADDITIONAL: Word = w("Added params", "新增参数");
pub const TIME: Word = w("Time", "用时");
pub const MEMORY: Word = w("Memory", "内存");
pub const COST: Word = w("Cost", "费用");
pub const HELD_OUT: Word = w("Held-out loss", "留出损失");
pub const BITS: Word = w("Bits per byte", "比特/字节");

pub const PAIRS: Word = w("Which differences are real", "哪些差异可信");
pub const PAIRS_NOTE: Word = w(
    "Each row is the first arm less the second; the one with the higher mean stands first. p is adjusted for the number of pairs.",
    "每行为前者减后者之差，均分较高者在前；p 值已按比较次数校正。",
);
pub const FIRST: Word = w("First", "前者");
pub const SECOND: Word = w("Second", "后者");
pub const DIFFERENCE: Word = w("Difference", "差值");
pub const ADJUSTED_P: Word = w("Adjusted p", "校正 p 值");
pub const VERDICT: Word = w("Verdict", "结论");
pub const FIRST_BETTER: Word = w("first is better", "前者更好");
pub const SECOND_BETTER: Word = w("second is better", "后者更好");
pub const FIRST_SLIGHTLY_BETTER: Word = w("first is better, by less than matters", "前者略好，差异无关紧要");
pub const SECOND_SLIGHTLY_BETTER: Word = w("second is better, by less than matters", "后者略好，差异无关紧要");
pub const EQUIVALENT: Word = w("equivalent", "等效");
pub const NOT_TOLD_APART: Word = w("cannot be told apart", "无法区分");

pub const PARETO: Word = w("What a score costs", "得分的代价");
pub const PARETO_NOTE: Word = w(
    "Up and left is better. The line joins the arms that no other beats in both; bars are 95 % intervals. \
     Numbers are those of the table above.",
    "越靠左上越好。折线连接在两方面都未被超过的组；竖线为 95% 区间。编号与上表一致。",
);
pub const SPENT: Word = w("What each arm took", "各组开销");
pub const AGAINST: Word = w("Score against", "横轴");
pub const BY_HOURS: Word = w("training time", "训练用时");
pub const BY_MEMORY: Word = w("peak memory", "峰值内存");
pub const BY_PARAMS: Word = w("trained parameters", "训练参数量");
pub const BY_COST: Word = w("cost", "费用");
pub const AXIS_HOURS: Word = w("Training time of one seed, in {0}", "单个种子的训练用时（{0}）");
pub const AXIS_MEMORY: Word = w("Peak memory, in GiB", "峰值内存（GiB）");
pub const AXIS_PARAMS: Word = w("Trained parameters, logarithmic", "训练参数量（对数）");
pub const AXIS_COST: Word = w("Cost, in US dollars", "费用（美元）");
pub const WITHOUT: Word = w("Not drawn for want of a value: {0}.", "因缺少数值未画出：{0}。");

pub const CURVES: Word = w("Loss while training", "训练过程中的损失");
pub const CURVES_NOTE: Word = w(
    "Thin: training loss, means of neighbouring steps. Thick, or rings where it was measured seldom: loss on held-out rows. \
     A line for each seed, in nats per token by optimizer step; the axes are the same everywhere.",
    "细线：训练损失（相邻步的均值）。粗线（测量次数少时为圆环）：留出数据上的损失。每个种子一条；横轴为优化步，纵轴单位为 nat/词元，各图坐标一致。",
);
pub const CURVES_CUT: Word = w(
    "{0} points above {1} are not drawn; all are in the frames.",
    "有 {0} 个点高于 {1}，未画出；完整数据在结果表中。",
);

pub const FORGETTING: Word = w("What was forgotten", "遗忘");
pub const FORGETTING_NOTE: Word = w(
    "Loss on a fixed text of general language, in bits per byte: ring before the training, dot after it. \
     To the right is worse.",
    "在固定通用文本上的损失（比特/字节）：圆环为训练前，实心点为训练后。越靠右越差。",
);
pub const FORGETTING_AXIS: Word = w("Bits per byte", "比特/字节");

pub const CATEGORIES: Word = w("By category", "分类得分");
pub const CATEGORIES_NOTE: Word = w(
    "Mean score; below it the 95 % interval and the number of items. Stronger color is higher.",
    "平均得分，其下为 95% 区间与题数。颜色越浓得分越高。",
);
pub const CATEGORY: Word = w("Category", "类别");

pub const CANDIDATES: Word = w("How settings were chosen", "超参数如何选定");
pub const CANDIDATES_NOTE: Word = w(
    "Candidates are compared on held-out loss only, never on the items that arms are judged on.",
    "候选设置只按留出损失比较，绝不使用评测题目。",
);
pub const STEPS: Word = w("Steps", "步数");
pub const CANDIDATE: Word = w("Candidate", "候选");
pub const SELECTED: Word = w("Selected", "是否选中");
pub const YES: Word = w("selected", "选中");
pub const EDGE: Word = w("At the grid's edge", "位于网格边缘");

pub const ANSWERS: Word = w("Answers", "回答");
pub const ANSWERS_NOTE: Word = w(
    "{0} items, {1} answers, {2} judgements. Open an item to see the arms side by side with the judge's words.",
    "共 {0} 道题、{1} 个回答、{2} 条评判。打开一道题即可并排查看各组回答和评判原话。",
);
pub const PRINT_NOTE: Word = w("The answers are in this page on a screen.", "回答请在屏幕上打开本页查看。");
pub const SEARCH: Word = w("Search questions, answers and judges' words", "搜索题目、回答和评判原话");
pub const SCORE_OF: Word = w("Score of", "得分所属");
pub const FROM: Word = w("From", "从");
pub const TO: Word = w("To", "到");
pub const DISAGREE: Word = w("Arms disagree", "各组分歧大");
pub const UNSCORED: Word = w("Has an answer without a score", "含未评分的回答");
pub const CLEAR: Word = w("Clear", "清除");
pub const ITEM: Word = w("Item", "题目");
pub const QUESTION: Word = w("Question", "问题");
pub const SPREAD: Word = w("Spread of arms", "组间差距");
pub const PREVIOUS: Word = w("Previous", "上一页");
pub const NEXT: Word = w("Next", "下一页");

pub const JUDGES: Word = w("How good the judge is", "评判有多可靠");
pub const JUDGES_NOTE: Word = w(
    "How far judges agree with each other, with themselves and with people, what they cost, and what they should not mind but do.",
    "评判之间、评判与自身、评判与人工的一致程度，费用，以及评判不应在意却在意之处。",
);
pub const COMPARED: Word = w("Answers compared two by two", "两两比较");
pub const COMPARED_NOTE: Word =
    w("By judges that see two answers at once, in both orders.", "由同时看到两条回答的评判给出，两种顺序都比较。");
pub const AGAIN: Word = w("How to run it again", "如何重新运行");
pub const NUMBERS: Word = w("More numbers", "更多数据");

/// What the page's script says, by the key it uses.
pub const SCRIPT: &[(&str, Word)] = &[
    ("all_categories", w("All categories", "全部类别")),
    ("no_category", w("(no category)", "（无类别）")),
    ("all_arms", w("all arms (mean)", "全部组（平均）")),
    ("found", w("{0} of {1} items", "{1} 道题中的 {0} 道")),
    ("searching", w("{0} found, {1} of {2} searched …", "已找到 {0} 道，已搜索 {1}/{2} …")),
    ("page", w("{0} to {1}", "第 {0}–{1} 道")),
    ("open", w("Open item {0}", "打开题目 {0}")),
    ("disagree", w("arms disagree", "分歧大")),
    ("unscored", w("{0} without a score", "{0} 个未评分")),
    ("previous", w("Previous item", "上一题")),
    ("next", w("Next item", "下一题")),
    ("close", w("Close", "关闭")),
    ("question", w("Question", "问题")),
    ("reference", w("Reference answer", "参考答案")),
    ("seed", w("Seed", "种子")),
    ("all_seeds", w("all seeds", "全部种子")),
    ("arms_shown", w("Arms shown: {0} of {1}", "显示的组：{0}/{1}")),
    ("every", w("All", "全选")),
    ("few", w("First three", "前三个")),
    ("no_answer", w("no answer", "没有回答")),
    ("empty", w("(empty answer)", "（空回答）")),
    ("no_score", w("no score", "未评分")),
    ("repeat", w("repeat {0}", "第 {0} 次")),
    ("failed", w("The answers could not be read: {0}", "无法读取回答：{0}")),
];
