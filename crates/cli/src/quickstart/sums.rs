//! The maths tasks: small sums and differences in words, one or two steps.

use tunebench_spec::random::Stream;

use super::task::Task;
use super::words::{FOOD, FRUIT, LARGEST_OPERAND, PEOPLE, member, number, pick, pick_two};

/// How an answer is written.
#[derive(Clone, Copy)]
pub enum Style {
    /// The result alone, as the general instruction data has it.
    Plain,
    /// Every step, then the result, as the maths data has it.
    Worked,
}

/// One problem. The sums are few and all stated by the pre-training text; the stories around them are new.
pub fn math(style: Style, rng: &mut Stream) -> Task {
    let (a, b) = (number(rng, 1, LARGEST_OPERAND), number(rng, 1, LARGEST_OPERAND));
    let sum = a + b;
    let (who, friend) = pick_two(rng, &PEOPLE);
    let kind = pick(rng, &[FRUIT, FOOD]);
    let thing = member(rng, kind);
    let (ask, steps, result) = match rng.below(4) {
        0 => (format!("{who}有{a}个{thing}，又买了{b}个，一共有几个？"), format!("{a}+{b}={sum}"), sum),
        1 => (format!("{who}有{a}个{thing}，{friend}有{b}个{thing}，一共有几个？"), format!("{a}+{b}={sum}"), sum),
        2 => (format!("{who}有{sum}个{thing}，吃了{b}个，还剩几个？"), format!("{sum}-{b}={a}"), a),
        _ => {
            let c = number(rng, 1, sum.min(LARGEST_OPERAND));
            let left = sum - c;
            let ask = format!("{who}有{a}个{thing}，又买了{b}个，又吃了{c}个，还剩几个？");
            (ask, format!("{a}+{b}={sum}，{sum}-{c}={left}"), left)
        }
    };
    let output = match style {
        Style::Plain => format!("答案是{result}。"),
        Style::Worked => format!("{steps}，答案是{result}。"),
    };
    let mut task = Task::new(ask, "", output);
    task.reference = result.to_string();
    task
}
