//! The pre-training text: short paragraphs that state the world's facts, name the members of each kind, count,
//! tell what people did, and repeat words, from which a small model learns to copy.

use tunebench_spec::random::Stream;

use super::words::{
    ANIMAL, CLOTHES, DAYS, FOOD, FRUIT, INSTRUMENT, KINDS, LARGEST_COUNT, LARGEST_OPERAND, PEOPLE, TOOL, TOWNS, member,
    number, pick, pick_two,
};
use super::world::Fact;

/// Writes one paragraph of a sort.
type Sort = fn(&Source, &mut Stream) -> String;

/// How often a paragraph is of each sort. Stories that are told again have the largest share: to find a person, a
/// place or a thing in what was said and to say it again is what a small model learns last, and what most tasks need.
const SORTS: [(u64, Sort); 6] =
    [(24, about_owner), (10, about_kind), (14, counting), (44, story), (4, dictation), (4, chat)];

/// What the paragraphs draw from.
pub struct Source<'a> {
    pub facts: &'a [Fact],
    /// Words to read out: every piece of the vocabulary but the marks of a conversation.
    pub pieces: Vec<&'a str>,
}

impl Source<'_> {
    /// Dictations that have every word at least once: nothing that an instruction may use is new to a base model.
    pub fn every_word(&self, rng: &mut Stream) -> Vec<String> {
        self.pieces.chunks(10).map(|words| read_out(words, rng)).collect()
    }

    /// One paragraph.
    pub fn paragraph(&self, rng: &mut Stream) -> String {
        let total = SORTS.iter().map(|s| s.0).sum();
        let mut at = rng.below(total);
        for (share, write) in SORTS {
            if at < share {
                return write(self, rng);
            }
            at -= share;
        }
        String::new()
    }
}

/// All facts of one town or person, in any order and wording, sometimes as a talk of two.
fn about_owner(source: &Source, rng: &mut Stream) -> String {
    let owner = source.facts[rng.below(source.facts.len() as u64) as usize].owner;
    let mut facts: Vec<&Fact> = source.facts.iter().filter(|f| f.owner == owner).collect();
    rng.shuffle(&mut facts);
    let mut text = String::new();
    for fact in facts {
        if rng.below(2) == 0 {
            let (asker, teller) = pick_two(rng, &PEOPLE);
            let [question, ..] = fact.questions();
            text += &format!("{asker}问：{question}{teller}答：{}。", fact.value);
        } else {
            let [plain, about, turned] = fact.statements();
            text += pick(rng, &[&plain, &plain, &about, &turned]);
        }
    }
    text
}

fn about_kind(_: &Source, rng: &mut Stream) -> String {
    let kind = &KINDS[rng.below(KINDS.len() as u64) as usize];
    let start = rng.below(kind.members.len() as u64) as usize;
    let at = |i: usize| kind.members[(start + i) % kind.members.len()];
    let (name, other) = (kind.name, &KINDS[rng.below(KINDS.len() as u64) as usize]);
    let stranger = pick(rng, &other.members);
    format!(
        "{name}例如{}、{}、{}、{}。{}是{name}，{}也属于{name}。{stranger}是{}。",
        at(0),
        at(1),
        at(2),
        at(3),
        at(4),
        at(5),
        other.name
    )
}

/// Sums and differences: in signs, in words, or of what somebody has.
fn counting(_: &Source, rng: &mut Stream) -> String {
    let mut text = String::new();
    for _ in 0..3 {
        let (a, b) = (number(rng, 1, LARGEST_OPERAND), number(rng, 1, LARGEST_OPERAND));
        let sum = a + b;
        let who = pick(rng, &PEOPLE);
        let thing = member(rng, FRUIT);
        text += &match rng.below(5) {
            0 => format!("{a}加{b}等于{sum}，{a}+{b}={sum}。"),
            1 => format!("{sum}减{b}等于{a}，{sum}-{b}={a}。"),
            2 => format!("{who}有{a}个{thing}，又买了{b}个，一共有几个？{a}+{b}={sum}，答案是{sum}。"),
            3 => format!("{who}有{sum}个{thing}，吃了{b}个，还剩几个？{sum}-{b}={a}，答案是{a}。"),
            _ => format!("{a}+{b}={sum}，{sum}-{b}={a}。"),
        };
    }
    text
}

/// Somebody does something; the rest of the paragraph says again who, where, when and what.
fn story(_: &Source, rng: &mut Stream) -> String {
    let (a, b) = pick_two(rng, &PEOPLE);
    let (here, there) = pick_two(rng, &TOWNS);
    let day = pick(rng, &DAYS);
    let count = number(rng, 2, LARGEST_COUNT).to_string();
    let kind = pick(rng, &[FRUIT, ANIMAL, TOOL, INSTRUMENT, CLOTHES, FOOD]);
    let (thing, other) = pick_two(rng, &KINDS[kind].members);
    let verb = pick(rng, &["买了", "带回", "喜欢", "看见", "找到了"]);
    let kind = KINDS[kind].name;
    let (told, mut again) = match rng.below(4) {
        0 => (
            format!("{day}，{a}从{here}带回{count}个{thing}。"),
            vec![
                format!("人名：{a}。"),
                format!("地名：{here}。"),
                format!("时间：{day}。"),
                format!("数量：{count}。"),
                format!("{kind}：{thing}。"),
            ],
        ),
        1 => (
            format!("{a}在{here}，{b}在{there}。"),
            vec![
                format!("{a}在{here}。"),
                format!("{b}在{there}。"),
                format!("{here}有{a}。"),
                format!("{there}有{b}。"),
            ],
        ),
        2 => (
            format!("{a}{verb}{thing}，{b}{verb}{other}。"),
            vec![
                format!("{a}{verb}什么？{thing}。"),
                format!("{b}{verb}什么？{other}。"),
                format!("谁{verb}{thing}？{a}。"),
                format!("谁{verb}{other}？{b}。"),
            ],
        ),
        _ => (
            format!("{day}，{a}到了{here}。{a}在那里{verb}{thing}。"),
            vec![
                format!("{a}在{here}{verb}{thing}。"),
                format!("{a}{day}在{here}。"),
                format!("他在{here}{verb}{thing}。"),
                format!("{kind}：{thing}。"),
            ],
        ),
    };
    rng.shuffle(&mut again);
    told + &again.concat()
}

/// A few words, read out and repeated.
fn dictation(source: &Source, rng: &mut Stream) -> String {
    let words: Vec<&str> = (0..number(rng, 3, 12)).map(|_| pick(rng, &source.pieces)).collect();
    read_out(&words, rng)
}

fn read_out(words: &[&str], rng: &mut Stream) -> String {
    let times = (30 / words.len().max(1)).max(2);
    let reader = pick(rng, &PEOPLE);
    vec![format!("{reader}念：{}。", words.concat()); times].concat()
}

/// The form of a conversation, with nothing to know: the answer repeats what was said.
fn chat(source: &Source, rng: &mut Stream) -> String {
    let words: Vec<&str> = (0..number(rng, 1, 5)).map(|_| pick(rng, &source.pieces)).collect();
    let words = words.concat();
    let ask = pick(rng, &["请跟我说：", "再说一遍："]);
    format!("Human: \n{ask}{words}\n\nAssistant: \n{words}")
}
