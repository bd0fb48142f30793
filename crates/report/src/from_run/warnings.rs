//! What a reader must know before trusting the numbers, from what lint found and from what has no score.

use std::collections::BTreeMap;

use tunebench_analysis::estimates::JudgeScores;
use tunebench_analysis::judge_findings;
use tunebench_analysis::lint::Finding;

use crate::data::Text;

/// Findings with a sentence of their own; `{arms}` stands for their arms, `{details}` for arms with values.
struct Named {
    what: &'static str,
    en: &'static str,
    zh: &'static str,
}

const NAMED: [Named; 12] = [
    Named {
        what: "one seed",
        en: "Trained once: {arms}. One training is one draw: their intervals are over items only, and the luck of the \
             training is not in them. Give the study `seeds = 3` or more.",
        zh: "只训练了一次：{arms}。一次训练只是一次抽样：其区间只涉及题目，不含训练本身的偶然性。请在研究中设置 `seeds = 3` 或更多。",
    },
    Named {
        what: "grid's edge",
        en: "Chosen at the edge of a grid, beyond which a better value may lie: {details}. Widen the grid on that side.",
        zh: "选中的值位于网格边缘，更好的值可能在其外：{details}。请向该侧扩大网格。",
    },
    Named {
        what: "warm-up",
        en: "The training ended before it reached its learning rate: {details}. Lower warmup_steps.",
        zh: "训练在达到其学习率之前就结束了：{details}。请减小 warmup_steps。",
    },
    Named {
        what: "not judged",
        en: "Not judged by {values}: {arms}. Run the study to its end.",
        zh: "未经 {values} 评判：{arms}。请把研究运行完毕。",
    },
    Named {
        what: judge_findings::UNCALIBRATED,
        en: "Nothing says how far the judge {values} is from people: {why}. The intervals leave its own error out.",
        zh: "不知道评判 {values} 与人工有多大差距（人工评分不足，且没有第二个评判），区间不含其自身误差。可用 `tunebench judge calibrate` 录入人工评分。",
    },
    Named {
        what: judge_findings::PROBE,
        en: "The judge {values} fails a probe. {why}.",
        zh: "评判 {values} 未通过探测（{why}）。",
    },
    Named {
        what: judge_findings::FAMILY,
        en: "The judge {values} and {arms}: {why}.",
        zh: "评判 {values} 与 {arms} 同属一个模型家族（按名称判断），评判往往偏爱与自己相似的回答；请增加另一家族的评判。",
    },
    Named {
        what: judge_findings::DRIFT,
        en: "The judge {values} changed: {why}.",
        zh: "评判 {values} 前后并非同一模型，评分尺度可能已移动。",
    },
    Named {
        what: judge_findings::UNEVEN,
        en: "By the judge {values}, {why}.",
        zh: "评判 {values}：各组没有得分的回答所占比例不同（{why}）。",
    },
    Named {
        what: judge_findings::ONE_ORDER,
        en: "By the judge {values}, {why}.",
        zh: "评判 {values}：有的回答对缺少某一顺序的判定（{why}）。",
    },
    Named {
        what: judge_findings::ONE_REPEAT,
        en: "The judge {values} judged once: {why}.",
        zh: "评判 {values} 对每条回答只评一次，无从得知其重复性；请设置 repeats = 2。",
    },
    Named { what: "items", en: "By the judge {values}: {why}", zh: "评判 {values}：{why}" },
];

/// Sentences, the gravest first; findings without one of their own are counted and named in the last.
pub fn warnings(findings: &[Finding], scores: &JudgeScores) -> Vec<Text> {
    let mut warnings: Vec<Text> = without_score(scores).into_iter().collect();
    for named in &NAMED {
        let of_kind: Vec<&Finding> = findings.iter().filter(|finding| finding.what == named.what).collect();
        // Those that say the same are one sentence about all their arms.
        let is_one = named.en.contains("{details}") || !named.en.contains("{values}");
        match is_one {
            true if !of_kind.is_empty() => warnings.push(sentence(named, &of_kind)),
            true => {}
            false => warnings.extend(of_kind.iter().map(|finding| sentence(named, &[*finding]))),
        }
    }
    warnings.extend(others(findings));
    warnings
}

fn sentence(named: &Named, findings: &[&Finding]) -> Text {
    let mut arms: Vec<&str> = Vec::new();
    for arm in findings.iter().flat_map(|finding| &finding.arms) {
        if !arms.contains(&arm.as_str()) {
            arms.push(arm);
        }
    }
    let details: Vec<String> =
        findings.iter().map(|finding| format!("{} ({})", finding.arms.join(", "), finding.values)).collect();
    let first = findings.first();
    let fill = |phrase: &str| {
        // The study's own texts go in last, so that nothing in them is taken for a place.
        let places = [
            ("{arms}", arms.join(", ")),
            ("{details}", details.join("; ")),
            ("{values}", first.map(|finding| finding.values.clone()).unwrap_or_default()),
            ("{why}", first.map(|finding| finding.why.clone()).unwrap_or_default()),
        ];
        filled(phrase, &places)
    };
    Text::new(fill(named.en), fill(named.zh))
}

/// The phrase with each place filled once, whatever the values hold.
fn filled(phrase: &str, places: &[(&str, String)]) -> String {
    let mut text = String::new();
    let mut rest = phrase;
    while let Some(begin) = rest.find('{') {
        let (before, after) = rest.split_at(begin);
        text.push_str(before);
        match places.iter().find(|(name, _)| after.starts_with(name)) {
            Some((name, value)) => {
                text.push_str(value);
                rest = after.strip_prefix(name).unwrap_or_default();
            }
            None => {
                text.push('{');
                rest = after.strip_prefix('{').unwrap_or_default();
            }
        }
    }
    text + rest
}

fn without_score(scores: &JudgeScores) -> Option<Text> {
    let lacking = scores.arms.iter().filter_map(|arm| {
        let (counts, without) = (&arm.counts, arm.counts.unscored + arm.counts.failed);
        let en = || {
            let (arm, of, unscored, failed) = (&arm.arm, counts.answers, counts.unscored, counts.failed);
            format!("{arm} {without} of {of} ({unscored} the judge could not tell, {failed} it could not be asked)")
        };
        let zh = || {
            let (arm, of, unscored, failed) = (&arm.arm, counts.answers, counts.unscored, counts.failed);
            format!("{arm} {of} 条中 {without} 条（{unscored} 条评判无法给分，{failed} 条未能提交评判）")
        };
        (without > 0).then(|| (en(), zh()))
    });
    let (en, zh): (Vec<String>, Vec<String>) = lacking.unzip();
    let text = || {
        Text::new(
            format!("Answers without a score, which no mean contains: {}.", en.join("; ")),
            format!("没有得分的回答，不计入任何均值：{}。", zh.join("；")),
        )
    };
    (!en.is_empty()).then(text)
}

fn others(findings: &[Finding]) -> Option<Text> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for finding in findings.iter().filter(|finding| NAMED.iter().all(|named| named.what != finding.what)) {
        *counts.entry(&finding.what).or_default() += 1;
    }
    let names: Vec<&str> = counts.keys().copied().collect();
    let names = names.join(", ");
    let text = || {
        Text::new(
            format!(
                "Arms of one base and data set differ in more than the method: {names}. The table of findings under \"More numbers\" says who and why it matters."
            ),
            format!("同一基座和数据的组之间，不只方法不同，还有：{names}。详见“更多数据”中的检查结果。"),
        )
    };
    (!counts.is_empty()).then(text)
}

/// About rows of the frames that do not belong together.
pub fn of_rows(orphans: usize, broken_scores: usize) -> Vec<Text> {
    let mut warnings = Vec::new();
    if orphans > 0 {
        warnings.push(Text::new(
            format!(
                "{orphans} judgements are of answers that the frames do not hold; they are shown without the answer."
            ),
            format!("有 {orphans} 条评判所评的回答不在结果表中，显示时没有回答。"),
        ));
    }
    if broken_scores > 0 {
        warnings.push(Text::new(
            format!("{broken_scores} scores are not finite numbers and count as none."),
            format!("有 {broken_scores} 个得分不是有限数，视为没有得分。"),
        ));
    }
    warnings
}
