//! A study whose every text would be markup or script, if it were let.

use tunebench_report::data::*;

use crate::fixture::study;

/// Texts that would do something if they were taken for markup or script.
pub const TEXTS: [&str; 4] = [
    "<script>window.ran = 1</script><img src=x onerror='window.ran = 2'>",
    "</script></style></title><svg onload=\"window.ran = 3\"><!-- --!> <![CDATA[",
    "\"' onmouseover=window.ran=4 x='\" &lt;b&gt; &amp; {{7*7}} ${window.ran = 5} \\u003cb>",
    "line\u{2028}end\u{2029} nul\0 rtl \u{202e}abc\u{202c} \u{2066}iso\u{2069} \u{7f} 😀 \u{feff}中文",
];

/// A study in which every text is this one.
pub fn study_of(text: &str) -> (Report, Vec<ItemAnswers>) {
    let (mut report, mut items) = study(3);
    let both = |number: usize| format!("{text}{number}");
    let names: Vec<String> = report.arms.iter().map(|arm| arm.name.clone()).collect();
    let renamed = |name: &str| names.iter().position(|n| n == name).map(both).unwrap();
    for item in &mut items {
        let name_of = &renamed;
        (item.category, item.question, item.reference) = (text.into(), text.into(), Some(text.into()));
        for answer in &mut item.answers {
            (answer.arm, answer.text) = (name_of(&answer.arm), text.into());
            for judgement in &mut answer.judgements {
                (judgement.judge, judgement.status, judgement.words) = (text.into(), text.into(), text.into());
            }
        }
    }
    for (i, item) in items.iter_mut().enumerate() {
        item.id = both(i);
    }
    (report.study, report.made, report.machine) = (text.into(), text.into(), text.into());
    report.judges = vec![text.into()];
    report.commands = vec![text.into()];
    report.cost_notes = vec![text.into()];
    (report.score_notes, report.curve_notes, report.answer_notes) =
        (vec![text.into()], vec![text.into()], vec![text.into()]);
    report.decision = Decision { headline: text.into(), certainty: text.into(), reasons: vec![text.into()] };
    report.warnings = vec![text.into(), Text::new(text, format!("{text} "))];
    for pair in &mut report.pairs {
        (pair.first, pair.second) = (renamed(&pair.first), renamed(&pair.second));
    }
    for score in &mut report.categories {
        (score.arm, score.category) = (renamed(&score.arm), text.into());
    }
    report.curves.iter_mut().for_each(|curve| curve.arm = renamed(&curve.arm));
    for candidate in &mut report.candidates {
        candidate.arm = renamed(&candidate.arm);
        (candidate.candidate, candidate.at_edge) = (text.into(), text.into());
    }
    for table in &mut report.tables {
        (table.title, table.notes) = (text.into(), vec![text.into()]);
        table.columns.iter_mut().for_each(|column| *column = text.into());
        table.rows.iter_mut().flatten().for_each(|cell| cell.shown = text.into());
    }
    for (i, arm) in report.arms.iter_mut().enumerate() {
        // The first is the best, so that it is found.
        let score = arm.score.as_mut().unwrap();
        let shift = if i == 0 { 0.3 } else { 0.0 };
        score.mean += shift;
        score.interval = score.interval.map(|ends| Interval { low: ends.low + shift, high: ends.high + shift });
        arm.name = both(i);
        (arm.base, arm.dataset, arm.letters) = (text.into(), text.into(), text.into());
        arm.tuner = format!("{text}{}", i % 3);
    }
    (report, items)
}
