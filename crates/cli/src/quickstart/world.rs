//! The facts of the closed world: who is mayor where, who plays what. Drawn once from the seed, stated by the
//! pre-training text, asked by open QA.

use tunebench_spec::random::Stream;

use super::words::{ANIMAL, COLOUR, FOOD, FRUIT, INSTRUMENT, JOB, PEOPLE, TOWNS, member, pick};

/// `{owner}的{attribute}是{value}`.
#[derive(Clone, Copy, Debug)]
pub struct Fact {
    pub owner: &'static str,
    pub attribute: &'static str,
    pub value: &'static str,
}

impl Fact {
    /// The question word that asks for the value.
    fn asks(&self) -> &'static str {
        if self.attribute == MAYOR { "谁" } else { "什么" }
    }

    /// The ways of stating the fact.
    pub fn statements(&self) -> [String; 3] {
        let Self { owner, attribute, value } = self;
        [
            format!("{owner}的{attribute}是{value}。"),
            format!("说到{owner}，{attribute}是{value}。"),
            format!("{value}是{owner}的{attribute}。"),
        ]
    }

    /// The ways of asking for the value.
    pub fn questions(&self) -> [String; QUESTIONS] {
        let Self { owner, attribute, .. } = self;
        let what = self.asks();
        [
            format!("{owner}的{attribute}是{what}？"),
            format!("请问{owner}的{attribute}是{what}？"),
            format!("说出{owner}的{attribute}。"),
            format!("告诉我{owner}的{attribute}是{what}。"),
            format!("你知道{owner}的{attribute}是{what}？"),
            format!("{owner}的{attribute}呢？"),
            format!("问题：{owner}的{attribute}是{what}？"),
            format!("请说出{owner}的{attribute}。"),
        ]
    }
}

/// Ways of asking for a fact.
pub const QUESTIONS: usize = 8;
const MAYOR: &str = "镇长";

/// All facts, town by town, then person by person.
pub fn facts(seed: u64) -> Vec<Fact> {
    let mut rng = Stream::named(seed, "world");
    let mut facts = Vec::new();
    for owner in TOWNS {
        let mut add = |attribute, value| facts.push(Fact { owner, attribute, value });
        add("特产", member(&mut rng, FRUIT));
        add(MAYOR, pick(&mut rng, &PEOPLE));
        add("城门颜色", member(&mut rng, COLOUR));
        add("吉祥物", member(&mut rng, ANIMAL));
    }
    for owner in PEOPLE {
        let mut add = |attribute, value| facts.push(Fact { owner, attribute, value });
        add("职业", member(&mut rng, JOB));
        add("最爱", member(&mut rng, FOOD));
        add("乐器", member(&mut rng, INSTRUMENT));
    }
    facts
}
