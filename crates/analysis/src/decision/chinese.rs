//! A decision in Chinese, in simplified characters.

use tunebench_statistics::{Enough, Scope, Side, Verdict};

use super::facts::{Facts, Ratio, by_height, interval_by_height};
use super::outcome::Outcome;
use crate::estimates::PairScore;

/// One sentence, or two where something would settle it.
pub fn headline(outcome: &Outcome, facts: &Facts) -> String {
    match outcome {
        Outcome::Winner { best, next, among, pair } => {
            let among = if *among > 2 { format!("（{among} 个方案中的第二名）") } else { " ".to_owned() };
            let cost = time(facts, best, next).map_or_else(String::new, |words| format!("，{words}"));
            format!(
                "在您的数据上{}，{best} 的得分比 {next}{among}高 {:.3}（{}）{cost}。",
                so_far(pair.scope == Some(Scope::ItemsOnly)),
                pair.difference.abs(),
                interval(pair)
            )
        }
        Outcome::Alike { arms, is_different } => alike(facts, arms, *is_different),
        Outcome::Undecided { best, rival, pair, enough } => {
            format!("目前还不能下结论：{}{}", undecided(facts, best, rival, pair.as_ref()), settles(facts, *enough))
        }
        Outcome::NoRivals { best, trained, .. } => {
            let alone = match trained {
                1 => format!("{best} 是唯一有得分的已训练方案"),
                _ => "没有两个方案使用相同的模型和数据".to_owned(),
            };
            format!("目前还不能下结论：{alone}，无法比较方法；请增加一个使用相同 base 和 dataset 的方案。")
        }
        Outcome::NoScores => "目前还不能下结论：没有已训练的方案在每个类别都有得分；请把研究运行到底。".to_owned(),
    }
}

/// How sure the headline is.
pub fn certainty(outcome: &Outcome, facts: &Facts) -> String {
    match outcome {
        Outcome::NoScores | Outcome::NoRivals { against_base: None, .. } => String::new(),
        Outcome::NoRivals { against_base: Some(found), .. } => format!("与它的基础模型相比：{}", pair(found, facts)),
        _ if facts.single.is_empty() => "区间涵盖题目和训练：对同类的新题目和新的随机种子都成立。".to_owned(),
        _ => format!(
            "区间只涵盖题目：{} 只训练了一次，再训练一次结果会变动多少尚不可知；请在研究中设置 `seeds = 3` 或更多。",
            listed(facts.single)
        ),
    }
}

/// A difference with its verdict and what it costs.
pub fn pair(pair: &PairScore, facts: &Facts) -> String {
    let words = match pair.verdict {
        Verdict::Different { higher, within_margin } => {
            let name = if higher == Side::First { &pair.first } else { &pair.second };
            let small = if within_margin { format!("，但差别小于 {}", facts.margin) } else { String::new() };
            format!("{name} 更高{small}")
        }
        Verdict::Equivalent => format!("在 {} 之内等同", facts.margin),
        Verdict::CannotTell => "无法判断".to_owned(),
    };
    let (higher, lower) = by_height(pair);
    let time = time(facts, higher, lower).map_or_else(String::new, |words| format!("；{higher} {words}"));
    format!("{higher} 减 {lower}：{:+.3}（{}）：{words}{time}。", pair.difference.abs(), interval(pair))
}

/// That there are more groups of arms than the one that the headline is about.
pub fn more_groups(n: usize) -> String {
    format!("另有 {n} 组方案使用相同的模型和数据；结论针对最大的一组，表中列出了所有两两比较。")
}

/// That an arm of another group has the highest score of all.
pub fn best_of_all(best: &str, score: f64, in_group: &str, is_told_apart: bool) -> String {
    let words = match is_told_apart {
        true => format!("高于 {in_group}"),
        false => format!("但与 {in_group} 无法区分"),
    };
    format!("在所有方案中 {best} 得分最高（{score:.3}），{words}。")
}

/// Of arms that are as good, the one that takes least is the one to have.
fn alike(facts: &Facts, arms: &[String], is_different: bool) -> String {
    let is_single = arms.iter().any(|arm| facts.single.contains(arm));
    let what = if is_different {
        format!("的差别小于 {}", facts.margin)
    } else {
        format!("在 {} 之内无法区分", facts.margin)
    };
    let cost = facts.extremes(arms).and_then(|(least, most)| {
        Some(match facts.ratio(least, most)? {
            Ratio::Part(ratio) => format!("；{least} 的训练时间是 {most} 的{}", part(ratio)),
            _ => "；训练时间相近".to_owned(),
        })
    });
    format!("在您的数据上{}，{} {what}{}。", so_far(is_single), listed(arms), cost.unwrap_or_default())
}

fn undecided(facts: &Facts, best: &str, rival: &str, pair: Option<&PairScore>) -> String {
    match pair.filter(|pair| pair.interval.is_some()) {
        Some(pair) => format!(
            "{best} 的得分比 {rival} 高 {:.3}（{}），既不能确定有差别，也不能确定差别在 {} 之内。",
            pair.difference.abs(),
            interval(pair),
            facts.margin
        ),
        None => format!("{best} 与 {rival} 在其他题目上会相差多少尚不可知。"),
    }
}

fn settles(facts: &Facts, enough: Option<Enough>) -> String {
    match enough {
        Some(Enough { seeds, items: Some(items), scope: Scope::ItemsAndTrainings }) => {
            format!("{seeds} 个种子和 {items} 道题可以显示 {} 的差别。", facts.margin)
        }
        Some(Enough { items: Some(items), .. }) => {
            format!("要显示 {} 的差别，需要不止一个种子和至少 {items} 道题。", facts.margin)
        }
        _ => "需要更多的种子和题目；具体多少无法由现有得分得知。".to_owned(),
    }
}

fn time(facts: &Facts, arm: &str, than: &str) -> Option<String> {
    Some(match facts.ratio(arm, than)? {
        Ratio::Alike => "训练时间相近".to_owned(),
        Ratio::Times(ratio) => format!("训练时间是后者的 {ratio:.1} 倍"),
        Ratio::Part(ratio) => format!("训练时间是后者的{}", part(ratio)),
    })
}

/// What a headline about arms that were trained once begins with.
fn so_far(is_single: bool) -> &'static str {
    if is_single { "，就单次训练而言" } else { "" }
}

fn interval(pair: &PairScore) -> String {
    let Some((interval, scope)) = interval_by_height(pair).zip(pair.scope) else { return "无区间".to_owned() };
    let scope = match scope {
        Scope::ItemsAndTrainings => "涵盖题目和训练",
        Scope::ItemsOnly => "只涵盖题目",
    };
    format!("95 % 区间 {:.3} 至 {:.3}，{scope}", interval.low, interval.high)
}

fn part(ratio: f64) -> String {
    const PARTS: [(f64, f64, &str); 4] =
        [(0.46, 0.54, "一半"), (0.30, 0.37, "三分之一"), (0.23, 0.27, "四分之一"), (0.18, 0.22, "五分之一")];
    let known = PARTS.iter().find(|(low, high, _)| (*low..=*high).contains(&ratio));
    known.map_or_else(|| format!(" {:.0} %", 100.0 * ratio), |(_, _, words)| (*words).to_owned())
}

/// `A、B 和 C`.
fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [name] => name.clone(),
        [first @ .., last] => format!("{} 和 {last}", first.join("、")),
    }
}
