//! The instruction tasks: one generator per category, each with exactly one right answer or a rule that says
//! which answers are right. What the evaluation asks is put together from known words in unknown ways.

use tunebench_spec::random::Stream;

use super::sums;
use super::task::Task;
use super::words::{
    ANIMAL, CLOTHES, COLOUR, DAYS, FOOD, FRUIT, INSTRUMENT, JOB, KINDS, LARGEST_COUNT, PEOPLE, QUALITIES, TOOL, TOWNS,
    WEATHERS, member, number, pick, pick_two,
};
use super::world::{Fact, QUESTIONS};

/// Whether a task is to learn from or to be asked. What decides it beyond chance: one fact and one word in four
/// are only ever asked about in the evaluation, and so known from the pre-training text alone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Split {
    Train,
    Eval,
}

/// A category: BELLE's class name and its generator.
pub struct Class {
    pub name: &'static str,
    pub make: fn(&[Fact], Split, &mut Stream) -> Task,
}

pub const CLASSES: [Class; 10] = [
    Class { name: "math", make: |_, _, rng| sums::math(sums::Style::Plain, rng) },
    Class { name: "code", make: |_, _, rng| code(rng) },
    Class { name: "classification", make: |_, split, rng| classification(split, rng) },
    Class { name: "extract", make: |_, _, rng| extract(rng) },
    Class { name: "closed QA", make: |_, _, rng| closed_qa(rng) },
    Class { name: "open QA", make: open_qa },
    Class { name: "rewrite", make: |_, _, rng| rewrite(rng) },
    Class { name: "summarization", make: |_, _, rng| summarization(rng) },
    Class { name: "generation", make: |_, _, rng| generation(rng) },
    Class { name: "brainstorming", make: |_, _, rng| brainstorming(rng) },
];

fn held_out(index: u64) -> bool {
    index % 4 == 3
}

fn code(rng: &mut Stream) -> Task {
    let word = {
        let kind = rng.below(KINDS.len() as u64) as usize;
        member(rng, kind)
    };
    let name = pick(rng, &["a", "b", "c", "x", "y", "z"]);
    let (what, function) =
        pick(rng, &[("长度", "len"), ("最大值", "max"), ("最小值", "min"), ("总和", "sum"), ("排序", "sorted")]);
    let (ask, answer) = match rng.below(8) {
        0..3 => (format!("用Python打印“{word}”。"), format!("print(\"{word}\")")),
        3..5 => (format!("用Python把“{word}”加进列表{name}。"), format!("{name}.append(\"{word}\")")),
        5..7 => (format!("用Python把变量{name}设为“{word}”。"), format!("{name} = \"{word}\"")),
        _ => (format!("用Python写出列表{name}的{what}。"), format!("{function}({name})")),
    };
    Task::new(ask, "", answer)
}

fn classification(split: Split, rng: &mut Stream) -> Task {
    if rng.below(2) == 0 {
        return review(rng);
    }
    let (kind, index) = loop {
        let (kind, index) = (rng.below(KINDS.len() as u64), rng.below(6));
        if split == Split::Eval || !held_out(kind + index) {
            break (&KINDS[kind as usize], index as usize);
        }
    };
    let word = kind.members[index];
    let instruction = pick(rng, &["判断类别：", "把这个词分类：", "这个词属于哪一类？", "请问属于什么类别："]);
    Task::new(instruction, word, kind.name)
}

fn review(rng: &mut Stream) -> Task {
    let (quality, good) = pick(rng, &QUALITIES);
    let (degree, keeps) = pick(rng, &[("很", true), ("真", true), ("非常", true), ("一点也不", false)]);
    let kind = pick(rng, &[FRUIT, FOOD]);
    let thing = member(rng, kind);
    let town = pick(rng, &TOWNS);
    let instruction = pick(rng, &["判断好评还是差评：", "这是好评还是差评？"]);
    let label = if good == keeps { "好评" } else { "差评" };
    Task::new(instruction, format!("{town}的{thing}{degree}{quality}。"), label)
}

fn extract(rng: &mut Stream) -> Task {
    let (person, town, day) = (pick(rng, &PEOPLE), pick(rng, &TOWNS), pick(rng, &DAYS));
    let (n, fruit) = (number(rng, 2, LARGEST_COUNT), member(rng, FRUIT));
    let sentence = match rng.below(3) {
        0 => format!("{day}，{person}从{town}带回{n}个{fruit}。"),
        1 => format!("{person}{day}在{town}买了{n}个{fruit}。"),
        _ => format!("{person}把{n}个{fruit}送到{town}，那是{day}。"),
    };
    let n = n.to_string();
    let (field, value) =
        pick(rng, &[("人名", person), ("地名", town), ("水果", fruit), ("数量", n.as_str()), ("时间", day)]);
    let verb = pick(rng, &["提取句子里的", "找出句子里的"]);
    Task::new(format!("{verb}{field}："), sentence, value)
}

fn closed_qa(rng: &mut Stream) -> Task {
    let (a, b) = pick_two(rng, &PEOPLE);
    // Who is asked about is as often the first as the second.
    let second = rng.below(2) == 1;
    let asked = if second { b } else { a };
    let choose = |first: &'static str, other: &'static str| if second { other } else { first };
    let (material, question, answer) = match rng.below(4) {
        0 => {
            let (x, y) = pick_two(rng, &TOWNS);
            (format!("{a}在{x}，{b}在{y}。"), format!("{asked}在哪里？"), choose(x, y))
        }
        1 => {
            let kind = pick(rng, &[FRUIT, FOOD, CLOTHES, TOOL]);
            let (x, y) = pick_two(rng, &KINDS[kind].members);
            (format!("{a}买了{x}，{b}买了{y}。"), format!("{asked}买了什么？"), choose(x, y))
        }
        2 => {
            let (x, y) = pick_two(rng, &KINDS[INSTRUMENT].members);
            (format!("{a}喜欢{x}，{b}喜欢{y}。"), format!("谁喜欢{}？", choose(x, y)), asked)
        }
        _ => {
            let ((x, y), clothes) = (pick_two(rng, &KINDS[COLOUR].members), member(rng, CLOTHES));
            let material = format!("{a}穿着{x}的{clothes}，{b}穿着{y}的{clothes}。");
            (material, format!("{asked}的{clothes}是什么颜色？"), choose(x, y))
        }
    };
    Task::new("根据材料回答：", format!("{material}问题：{question}"), answer)
}

fn open_qa(facts: &[Fact], split: Split, rng: &mut Stream) -> Task {
    loop {
        let index = rng.below(facts.len() as u64);
        let wording = rng.below(QUESTIONS as u64);
        // A fact asked in training keeps one wording back for the evaluation.
        let kept_back = held_out(index) || wording == index % QUESTIONS as u64;
        if kept_back == (split == Split::Eval) {
            let fact = &facts[index as usize];
            return Task::new(fact.questions()[wording as usize].clone(), "", fact.value);
        }
    }
}

fn rewrite(rng: &mut Stream) -> Task {
    let (person, town) = (pick(rng, &PEOPLE), pick(rng, &TOWNS));
    let (fruit, job, tool) = (member(rng, FRUIT), member(rng, JOB), member(rng, TOOL));
    let n = number(rng, 2, LARGEST_COUNT);
    let form = rng.below(2);
    match rng.below(4) {
        0 => {
            let tail = match form {
                0 => format!("在{town}买了{fruit}。"),
                _ => format!("和{person}去{town}找{job}。"),
            };
            Task::new("把“我”改成“他”：", format!("我{tail}"), format!("他{tail}"))
        }
        1 => {
            let tail = match form {
                0 => format!("喜欢{town}的{fruit}。"),
                _ => format!("想去{town}当{job}。"),
            };
            Task::new("改成否定句：", format!("{person}{tail}"), format!("{person}不{tail}"))
        }
        2 => {
            let wish = match form {
                0 => format!("给我{n}个{fruit}"),
                _ => format!("帮我拿{town}的{tool}"),
            };
            Task::new("改成礼貌的话：", format!("{wish}。"), format!("请{wish}，谢谢。"))
        }
        _ => {
            let claim = match form {
                0 => format!("{person}今天在{town}"),
                _ => format!("{person}是{town}的{job}"),
            };
            Task::new("改成疑问句：", format!("{claim}。"), format!("{claim}吗？"))
        }
    }
}

fn summarization(rng: &mut Stream) -> Task {
    let (person, town, day) = (pick(rng, &PEOPLE), pick(rng, &TOWNS), pick(rng, &DAYS));
    let (verb, kind) = pick(rng, &[("学会了", INSTRUMENT), ("卖掉了", FRUIT), ("找到了", ANIMAL), ("买到了", CLOTHES)]);
    let (thing, weather) = (member(rng, kind), pick(rng, &WEATHERS));
    let crowd = pick(rng, &["多", "少"]);
    let report = match rng.below(3) {
        0 => format!("{day}，{person}到了{town}。天气{weather}，路上人很{crowd}。{person}在那里{verb}{thing}。"),
        1 => format!("{town}天气{weather}，路上人很{crowd}。{day}，{person}在那里{verb}{thing}。"),
        _ => format!("{person}到了{town}。那是{day}，天气{weather}。后来，{person}在那里{verb}{thing}。"),
    };
    let instruction = pick(rng, &["写标题：", "写一个标题："]);
    Task::new(instruction, report, format!("{person}在{town}{verb}{thing}"))
}

fn generation(rng: &mut Stream) -> Task {
    let kind = rng.below(KINDS.len() as u64) as usize;
    let (word, person, town) = (member(rng, kind), pick(rng, &PEOPLE), pick(rng, &TOWNS));
    let sentence = match kind {
        ANIMAL => format!("{person}在{town}看见一只{word}。"),
        COLOUR => format!("{person}看见{town}的天空是{word}。"),
        TOOL => format!("{person}在{town}用{word}修门。"),
        INSTRUMENT => format!("{person}在{town}演奏{word}。"),
        CLOTHES => format!("{person}在{town}戴上{word}。"),
        FOOD => format!("{person}在{town}吃了{word}。"),
        JOB => format!("{person}在{town}当上了{word}。"),
        _ => format!("{person}在{town}买了{word}。"),
    };
    let ask = match rng.below(4) {
        0 => format!("用“{word}”造句。"),
        1 => format!("用“{person}”和“{word}”写一句话。"),
        2 => format!("用“{word}”和“{town}”写一句话。"),
        _ => format!("用“{person}”“{town}”“{word}”造句。"),
    };
    Task { instruction: ask, input: String::new(), output: sentence, reference: String::new() }
}

fn brainstorming(rng: &mut Stream) -> Task {
    let kind = &KINDS[rng.below(KINDS.len() as u64) as usize];
    let (count, word) = pick(rng, &[(2, "两种"), (3, "三种"), (4, "四种")]);
    let verb = pick(rng, &["列出", "说出", "请列出", "请说出"]);
    let start = rng.below(kind.members.len() as u64) as usize;
    // The excluded word, when there is one, would come first or second: it must be stepped over.
    let (ask, excluded) = match rng.below(4) {
        0 => (format!("{verb}{word}{}。", kind.name), None),
        _ => {
            let excluded = kind.members[(start + rng.below(2) as usize) % kind.members.len()];
            (format!("{verb}{word}{}，不要{excluded}。", kind.name), Some(excluded))
        }
    };
    let rotated = kind.members.iter().cycle().skip(start).take(kind.members.len()).copied();
    let allowed: Vec<&str> = rotated.filter(|m| Some(*m) != excluded).collect();
    let reference = allowed.join("、");
    Task { instruction: ask, input: String::new(), output: allowed[..count].join("、"), reference }
}
