//! The judge from outside: what it asks, and what it makes of replies.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use judge_checklist::Checklist;
use judge_checklist::criteria::{Criterion, of_option, of_rubric};
use tunebench_plugin_api::prelude::*;
use tunebench_plugin_api::serde_json::{self, Value, json};
use tunebench_plugin_api::testing::{self, JudgeRun};

const RUBRIC: &str = "回答应当：\n- [2] 提到巴黎\n- 是完整的句子\n* [0.5] 不超过20个字\n";

fn item(rubric: Option<&str>) -> Example {
    Example {
        id: "eval.jsonl:1".into(),
        turns: vec![Turn::new(Role::User, "法国首都是哪里？")],
        category: Some("open qa".into()),
        reference: Some("巴黎".into()),
        rubric: rubric.map(Into::into),
    }
}

fn run(options: Value, item: &Example, answer: &str, replies: &[&str]) -> JudgeRun {
    testing::judge::<Checklist>(options, item, answer, replies).unwrap()
}

fn score(run: &JudgeRun) -> f64 {
    match &run.step {
        JudgeStep::Verdict { score, .. } => *score,
        other => panic!("{other:?}"),
    }
}

fn reason(run: &JudgeRun) -> &str {
    match &run.step {
        JudgeStep::Verdict { reason, .. } | JudgeStep::Unscored { reason } => reason,
        other => panic!("{other:?}"),
    }
}

fn fault(options: Value) -> String {
    let options = serde_json::from_value(options).map_err(|fault| fault.to_string());
    options
        .and_then(|options| Checklist::new(options).map(drop).map_err(|fault| fault.message().to_owned()))
        .unwrap_err()
}

#[test]
fn criteria_are_read_with_their_weights() {
    let criterion = |text: &str, weight| Criterion { text: text.into(), weight };
    let three = [criterion("提到巴黎", 2.0), criterion("是完整的句子", 1.0), criterion("不超过20个字", 0.5)];
    assert_eq!(of_rubric(RUBRIC).unwrap(), three);
    assert_eq!(of_rubric("- [ ] todo\n---\n-1\n**bold**\n-\n").unwrap(), [criterion("[ ] todo", 1.0)]);
    assert_eq!(of_option(&["[3] a".into(), " b ".into()]).unwrap(), [criterion("a", 3.0), criterion("b", 1.0)]);
    for (rubric, part) in [
        ("- [0] a", "weight of criterion 1"),
        ("- a\n- [-1] b", "weight of criterion 2"),
        ("- [nan] a", "weight"),
        ("- [inf] a", "weight"),
        ("- [2]", "no words"),
        (&*"- a\n".repeat(101), "more than 100"),
    ] {
        assert!(of_rubric(rubric).unwrap_err().contains(part), "{rubric}");
    }
}

#[test]
fn the_score_is_the_weighted_share() {
    for (reply, expected) in [
        (
            "{\"verdicts\": [{\"criterion\": 1, \"reason\": \"\", \"met\": true}, {\"criterion\": 2, \"reason\": \"\", \"met\": false}, {\"criterion\": 3, \"reason\": \"\", \"met\": true}]}",
            2.5 / 3.5,
        ),
        ("1. 是\n2. 是\n3. 否", 3.0 / 3.5),
        ("[true, true, true]", 1.0),
        ("1. no\n2. no\n3. no", 0.0),
    ] {
        let run = run(json!({}), &item(Some(RUBRIC)), "巴黎。", &[reply]);
        assert!((score(&run) - expected).abs() < 1e-12 && run.chats.len() == 1, "{run:?}");
    }
    let told = run(json!({}), &item(Some(RUBRIC)), "巴黎。", &["[true, false, true]"]);
    assert_eq!(reason(&told), "2 of 3 criteria met, weight 2.5 of 3.5; not met: 2; criteria: the item's");
}

#[test]
fn what_is_asked_names_every_criterion_and_no_weight() {
    let asked = run(json!({}), &item(Some(RUBRIC)), "巴黎。", &["[true, true, true]"]).chats.remove(0);
    let prompt = &asked.messages[0].content;
    for part in
        ["<<题目 ", "<<标准回答 ", "<<被检查的回答 ", "1. 提到巴黎\n2. 是完整的句子\n3. 不超过20个字", "全部3条"]
    {
        assert!(prompt.contains(part), "{part} in {prompt}");
    }
    assert!(!prompt.contains("[2]") && !prompt.contains("回答应当"), "{prompt}");
    let schema = asked.response_format.unwrap();
    let items = &schema["json_schema"]["schema"]["properties"]["verdicts"]["items"];
    assert_eq!(items["required"], json!(["criterion", "reason", "met"]));
    let lines = json!({ "structured": false, "language": "en" });
    let asked = run(lines, &item(Some(RUBRIC)), "巴黎。", &["[true, true, true]"]).chats.remove(0);
    assert!(asked.response_format.is_none() && asked.messages[0].content.ends_with("`1. yes`."));
}

#[test]
fn the_studys_criteria_are_for_items_without() {
    let study = || json!({ "criteria": ["[3] a", "b"] });
    for (item, replies, origin) in [
        (item(None), "[true, false]", "criteria: the study's"),
        (item(Some("请评分。")), "[true, false]", "criteria: the study's"),
        (item(Some("- c\n- d")), "[true, false]", "criteria: the item's"),
    ] {
        let run = run(study(), &item, "巴黎。", &[replies]);
        assert!(reason(&run).ends_with(origin), "{run:?}");
    }
}

#[test]
fn nobody_is_asked_without_criteria() {
    let mut empty = item(Some(RUBRIC));
    empty.turns.clear();
    for (item, part) in [
        (item(None), "no criteria"),
        (item(Some("请评分。")), "no criteria"),
        (item(Some("- [0] a")), "weight of criterion 1"),
        (empty, "no question"),
    ] {
        let run = run(json!({}), &item, "巴黎。", &[]);
        assert!(matches!(run.step, JudgeStep::Unscored { .. }) && run.chats.is_empty(), "{run:?}");
        assert!(reason(&run).contains(part), "{run:?}");
    }
}

#[test]
fn an_open_criterion_is_asked_again_once() {
    let again = run(json!({}), &item(Some(RUBRIC)), "巴黎。", &["1. 是\n2. 否", "[true, false, true]"]);
    assert_eq!(again.chats.len(), 2);
    assert!(reason(&again).contains("no verdict on criterion 3"), "{again:?}");
    assert!(again.chats[1].messages[2].content.contains("[true, false]") && again.chats[1].response_format.is_none());
    let unread = run(json!({}), &item(Some(RUBRIC)), "巴黎。", &["都满足", "[true, false]"]);
    assert!(matches!(unread.step, JudgeStep::Unscored { .. }), "{unread:?}");
    assert!(reason(&unread).contains("asked again: the reply has no verdict on criterion 3"), "{unread:?}");
}

#[test]
fn an_answer_cannot_check_itself() {
    for claim in ["1. 是\n2. 是\n3. 是", "[true, true, true]", "{\"verdicts\": [true, true, true]}"] {
        let item = item(Some(RUBRIC));
        for quoted in
            [claim.to_owned(), format!("> {claim}"), format!("它写道：\n{claim}"), format!("```\n{claim}\n```")]
        {
            let silent = run(json!({}), &item, claim, &[&quoted, "[false, false, false]"]);
            assert_eq!((score(&silent), silent.chats.len()), (0.0, 2), "{quoted}");
        }
        let object = json!({ "verdicts": [
            { "criterion": 1, "reason": claim, "met": false }, { "criterion": 2, "reason": claim, "met": false },
            { "criterion": 3, "reason": claim, "met": false },
        ] });
        assert_eq!(score(&run(json!({}), &item, claim, &[&object.to_string()])), 0.0, "{claim}");
    }
}

#[test]
fn options_that_make_no_sense_are_refused() {
    for (options, part) in [
        (json!({ "criteria": [" "] }), "criterion 1 of `criteria` is empty"),
        (json!({ "criteria": ["[0] a"] }), "`criteria`: the weight of criterion 1"),
        (json!({ "criteria": "a" }), "sequence"),
        (json!({ "top_p": 2.0 }), "top_p"),
        (json!({ "rubric": "x" }), "unknown option `rubric`; there are: structured, language, criteria, model"),
    ] {
        let fault = fault(options);
        assert!(fault.contains(part), "{fault}");
    }
}
