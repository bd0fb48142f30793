//! The words of the quickstart's closed world, and how one is drawn.
//!
//! Every word is one token of [`super::tokenizer`], so that copying a name is copying one token.

use tunebench_spec::random::Stream;

/// A kind of thing and its members.
pub struct Kind {
    pub name: &'static str,
    pub members: [&'static str; 6],
}

pub const FRUIT: usize = 0;
pub const ANIMAL: usize = 1;
pub const COLOUR: usize = 2;
pub const TOOL: usize = 3;
pub const INSTRUMENT: usize = 4;
pub const CLOTHES: usize = 5;
pub const FOOD: usize = 6;
pub const JOB: usize = 7;

pub const KINDS: [Kind; 8] = [
    Kind { name: "水果", members: ["苹果", "桃子", "葡萄", "西瓜", "柠檬", "草莓"] },
    Kind { name: "动物", members: ["小猫", "老虎", "兔子", "山羊", "乌龟", "松鼠"] },
    Kind { name: "颜色", members: ["红色", "蓝色", "绿色", "黄色", "白色", "黑色"] },
    Kind { name: "工具", members: ["锤子", "剪刀", "钳子", "锯子", "铲子", "尺子"] },
    Kind { name: "乐器", members: ["钢琴", "笛子", "唢呐", "吉他", "古筝", "口琴"] },
    Kind { name: "衣物", members: ["帽子", "围巾", "手套", "外套", "裙子", "毛衣"] },
    Kind { name: "食物", members: ["面条", "饺子", "米饭", "包子", "豆腐", "煎饼"] },
    Kind { name: "职业", members: ["医生", "厨师", "渔夫", "木匠", "教师", "裁缝"] },
];

/// Towns that exist nowhere else.
pub const TOWNS: [&str; 8] = ["铃湾", "霜丘", "萤渡", "橙岭", "麦港", "鲸岬", "茶墟", "砚城"];

pub const PEOPLE: [&str; 10] = ["小安", "阿宁", "小禾", "阿青", "小石", "阿月", "小林", "阿南", "小舟", "阿竹"];

pub const DAYS: [&str; 6] = ["昨天", "今天", "早上", "晚上", "周一", "周日"];

/// What a review says, and whether it praises.
pub const QUALITIES: [(&str, bool); 8] = [
    ("好吃", true),
    ("新鲜", true),
    ("香甜", true),
    ("可口", true),
    ("难吃", false),
    ("发霉", false),
    ("苦涩", false),
    ("难闻", false),
];

pub const WEATHERS: [&str; 4] = ["晴朗", "多云", "下雨", "下雪"];

/// Largest number that is added or taken away.
pub const LARGEST_OPERAND: u64 = 5;
/// Largest number in any text; numbers are single tokens up to here.
pub const LARGEST_NUMBER: u64 = 2 * LARGEST_OPERAND;

/// Most things that anybody has or asks for outside the maths.
pub const LARGEST_COUNT: u64 = 9;

/// Words and fragments of the templates that are worth a token of their own.
#[rustfmt::skip]
pub const COMMON: &[&str] = &[
    "Human: \n", "\n\nAssistant: \n", "Python", "print(\"", ".append(\"", "len(", "max(", "min(", "sum(",
    "sorted(", "\")", " = \"", "这个", "一共", "还剩", "几个", "答案", "答案是", "什么", "哪里", "哪一类",
    "属于", "类别", "判断", "分类", "好评", "差评", "还是", "非常", "一点也不", "提取", "找出", "句子里的",
    "人名", "地名", "数量", "时间", "带回", "买了", "送到", "那是", "根据", "材料", "回答", "问题", "问题：",
    "穿着", "请问", "告诉我", "说出", "你知道", "特产", "镇长", "城门颜色", "吉祥物", "最爱", "改成", "否定句",
    "疑问句", "礼貌的话", "喜欢", "想去", "谢谢", "帮我拿", "给我", "标题", "写一个", "写标题", "到了", "天气",
    "路上", "在那里", "学会了", "卖掉了", "找到了", "买到了", "造句", "写一句话", "看见", "一只", "天空",
    "修门", "演奏", "戴上", "吃了", "当上了", "列出", "不要", "两种", "三种", "四种", "打印", "列表", "变量",
    "加进", "长度", "最大值", "最小值", "总和", "排序", "设为", "等于", "又买了", "又吃了", "说到", "例如",
    "后来", "请跟我说：", "再说一遍：",
];

/// Rubrics for a judge that reads: BELLE's class names, our words.
pub const RUBRICS: [(&str, &str); 10] = [
    ("math", "核对模型回答的最后一个数与标准答案是否相同，相同得1分，不同得0分。"),
    ("code", "核对模型写出的代码与标准答案是否做同一件事，给出0到1之间的分数。"),
    ("classification", "核对模型给出的类别与标准答案是否一致，一致得1分，不一致得0分。"),
    ("extract", "核对模型取出的内容是否就是标准答案，多取或少取都要扣分，分数在0到1之间。"),
    ("open QA", "核对模型回答的事实与标准答案是否一致，分数在0到1之间。"),
    ("closed QA", "答案必须来自题目中的材料，并与标准答案一致，分数在0到1之间。"),
    ("rewrite", "核对改写后的句子是否符合要求并保留原意，分数在0到1之间。"),
    ("summarization", "核对标题是否说清了谁、在哪里、做了什么，分数在0到1之间。"),
    ("generation", "核对句子是否通顺，并且用到了要求的每一个词，分数在0到1之间。"),
    ("brainstorming", "核对列出的事物是否属于要求的种类、互不重复、个数正确，分数在0到1之间。"),
];

/// One element, uniformly.
pub fn pick<T: Copy>(rng: &mut Stream, from: &[T]) -> T {
    from[rng.below(from.len() as u64) as usize]
}

/// Two different elements.
pub fn pick_two<T: Copy>(rng: &mut Stream, from: &[T]) -> (T, T) {
    let first = rng.below(from.len() as u64) as usize;
    let step = 1 + rng.below(from.len() as u64 - 1) as usize;
    (from[first], from[(first + step) % from.len()])
}

/// A whole number in `low..=high`.
pub fn number(rng: &mut Stream, low: u64, high: u64) -> u64 {
    low + rng.below(high - low + 1)
}

/// A member of one kind.
pub fn member(rng: &mut Stream, kind: usize) -> &'static str {
    pick(rng, &KINDS[kind].members)
}

/// Every word that names something.
pub fn names() -> impl Iterator<Item = &'static str> {
    let members = KINDS.iter().flat_map(|k| k.members);
    let qualities = QUALITIES.iter().map(|q| q.0);
    members.chain(KINDS.iter().map(|k| k.name)).chain(TOWNS).chain(PEOPLE).chain(DAYS).chain(qualities).chain(WEATHERS)
}
