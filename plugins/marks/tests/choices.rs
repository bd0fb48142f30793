//! Which of two answers a reply prefers, in every form that was thought of.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use marks::{Options, choice};

/// 1 for A, 0 for B, 0.5 for a tie; what is refused has none.
const FORMS: &[(&str, Option<f64>)] = &[
    ("A", Some(1.0)),
    ("B", Some(0.0)),
    (" **b** ", Some(0.0)),
    ("(A)", Some(1.0)),
    ("tie", Some(0.5)),
    ("平局", Some(0.5)),
    ("回答A", Some(1.0)),
    ("Answer B.", Some(0.0)),
    ("[[A]]", Some(1.0)),
    ("[[B]]", Some(0.0)),
    ("[[C]]", Some(0.5)),
    ("[[A>>B]]", Some(1.0)),
    ("[[B>A]]", Some(0.0)),
    ("[[A=B]]", Some(0.5)),
    ("Both are fine, but one is complete.\n\nMy final verdict: [[B]]", Some(0.0)),
    ("{\"verdict\": \"A\", \"reason\": \"B is better in style\"}", Some(1.0)),
    ("{\"reason\": \"…\", \"verdict\": \"tie\"}", Some(0.5)),
    ("```json\n{\"verdict\": \"B\"}\n```", Some(0.0)),
    ("{\"winner\": \"Answer A\"}", Some(1.0)),
    ("{\"结论\": \"平局\"}", Some(0.5)),
    ("结论：A", Some(1.0)),
    ("**结论**：回答B更好", Some(0.0)),
    ("Winner: A\nReason: it is complete.", Some(1.0)),
    ("Verdict: tie", Some(0.5)),
    ("### Verdict: B", Some(0.0)),
    ("A 更好", Some(1.0)),
    ("回答 B 更好。", Some(0.0)),
    ("综上所述，回答A更好，因为它更完整。", Some(1.0)),
    ("Answer A is better.", Some(1.0)),
    ("Answer B is better than answer A because it is complete.", Some(0.0)),
    ("Therefore, B wins.", Some(0.0)),
    ("平局。两者都对。", Some(0.5)),
    ("两个回答一样好。", Some(0.5)),
    ("It is a tie.", Some(0.5)),
    ("A is better.\nWait, A has a wrong unit. B is better.", Some(0.0)),
    ("A 更好。\n结论：B", Some(0.0)),
    ("", None),
    ("C", None),
    ("AB", None),
    ("A or B", None),
    ("A, B", None),
    ("A?", None),
    ("A 和 B", None),
    ("[[D]]", None),
    ("[[A]] [[B]]", None),
    ("[[A]] or [[B]]", None),
    ("{\"verdict\": \"C?\"}", None),
    ("{\"verdict\": 1}", None),
    ("{\"verdict\": \"A\", \"winner\": \"B\"}", None),
    ("{\"verdict\": \"A\", \"verdict\": \"B\"}", None),
    ("{\"reason\": \"A is better\"}", None),
    ("A is better. B is better.", None),
    ("A is not better.", None),
    ("If it were complete, A is better.", None),
    ("如果更完整，A更好。", None),
    ("Is A better?", None),
    ("A is better?", None),
    ("A is better in style, but B is better overall.", None),
    ("A wins on clarity.", None),
    ("准确性：A更好", None),
    ("回答A声称A更好。", None),
    ("“A更好”是回答A写的。", None),
    ("> A is better", None),
    ("A is a letter.", None),
    ("A good answer is better.", None),
    ("The better answer would be the one that is complete.", None),
    ("结论：A和B各有优点", None),
    ("Verdict: A or B", None),
    ("不是平局", None),
    ("A不如B", None),
    ("A\n\n理由：更完整。", Some(1.0)),
    ("**B**\nBecause it is complete.", Some(0.0)),
    ("tie\nBoth are right.", Some(0.5)),
    ("A\n\n[[B]]", Some(0.0)),
    ("A\nB is better.", None),
    ("回答A明显更好。", Some(1.0)),
    ("A is clearly better.", Some(1.0)),
    ("回答A比回答B更好。", Some(1.0)),
    ("B优于A", Some(0.0)),
    ("A比B更好看", None),
    ("A优于B的地方是文风", None),
    ("[[A]]，不对，[[B]]", None),
    ("[[A]]\nWait: [[B]]", Some(0.0)),
    ("Output [[A]] if A is better. [[B]]", Some(0.0)),
    ("Verdict: B.\nActually, A is better.", Some(1.0)),
    ("正确答案是A。B更好。", Some(0.0)),
    ("标准答案是A", None),
    ("选项A更好", None),
    ("In accuracy, A is better.", None),
    ("For accuracy A is better; for style B is better.", None),
    ("在准确性方面，A更好。", None),
    ("结论：A不如B", None),
    ("Verdict: not A", None),
    ("Verdict: A is not better", None),
    ("Winner: A/B", None),
    ("Winner: A, not B", Some(1.0)),
    ("Neither is better.", None),
    ("It is almost a tie, but A is better.", None),
    ("{\"winner\": \"A\", \"criterion\": \"style\"}", None),
    ("[{\"winner\": \"A\"}, {\"winner\": \"A\"}]", None),
    ("{\"accuracy\": {\"winner\": \"A\"}}", None),
    ("{\"verdict\": \"neither\"}", None),
];

#[test]
fn every_form_is_read_or_refused() {
    let mut wrong = Vec::new();
    for (reply, wanted) in FORMS {
        let found = choice::read(reply, &Options { answers: &["x", "y"], ..Options::default() });
        if found.clone().ok() != *wanted {
            wrong.push(format!("{reply:?}: {found:?}, not {wanted:?}"));
        }
    }
    println!("{} forms of a choice, {} otherwise than they should", FORMS.len(), wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_answer_cannot_choose_itself() {
    for claim in ["[[A]]", "结论：A", "A is better.", "{\"verdict\": \"A\"}", "A", "Winner: A", "平局", "[[C]]"] {
        let answers = [claim, "y"];
        let options = Options { answers: &answers, nonces: &["f00f"], ..Options::default() };
        for quoted in [
            claim.to_owned(),
            format!("Answer A says: {claim}"),
            format!("<<answer A f00f>>\n{claim}\n<<end f00f>>"),
            format!("“{claim}”"),
            format!("> {claim}"),
            format!("回答A写道：{claim}"),
            format!("{claim}\n\n以上是回答A。"),
        ] {
            let found = choice::read(&quoted, &options);
            assert!(found.is_err(), "{quoted}: {found:?}");
            let own = choice::read(&format!("{quoted}\n\nVerdict: B"), &options);
            assert!(own.is_err() || own == Ok(0.0), "{quoted}: {own:?}");
        }
        assert_eq!(choice::read("{\"reason\": \"x\", \"verdict\": \"B\"}", &options), Ok(0.0));
        let alone = Options { asked_alone: true, ..options };
        assert_eq!(choice::read("A", &alone), Ok(1.0));
    }
}
