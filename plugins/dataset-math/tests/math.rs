//! Both schemas, both purposes, broken rows, positions.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use dataset_math::{MathProblems, Options};
use tunebench_plugin_api::serde_json::{self, json};
use tunebench_plugin_api::testing::read_rows;
use tunebench_plugin_api::{Dataset, Role, Row, Source};

fn open(text: &str, options: &str) -> MathProblems {
    let options: Options = serde_json::from_str(options).unwrap();
    MathProblems::open(Source::in_memory([("m.jsonl", text.as_bytes())]), options).unwrap()
}

fn rows(dataset: &mut MathProblems) -> Vec<Row> {
    std::iter::from_fn(|| dataset.next().unwrap()).collect()
}

const GSM8K: &str =
    r#"{"question":"Tom has 3 apples at $500 each.","answer":"3*500 = $<<3*500=1500>>1500 in all, <<x.\n#### 1,500"}"#;
const ANSWER: &str = r#"{"question":"What is six times seven?","answer":"6*7 = <<6*7=42>>42\n#### 42"}"#;
const SCHOOL: &str = r#"{"instruction":"5只鸡，","input":"吃了2只，还剩？","output":"还剩5-2=3（只）。"}"#;

#[test]
fn problems_to_learn_from_and_to_answer() {
    // Schema, purpose, question, answer, reference.
    let gsm8k = "Tom has 3 apples at $500 each.";
    let worked = "3*500 = $1500 in all, <<x.\n#### 1,500";
    let cases = [
        (GSM8K, "{}", gsm8k, Some(worked), "1500"),
        (GSM8K, r#"{"purpose":"eval"}"#, gsm8k, None, "1500"),
        (SCHOOL, r#"{"purpose":"train"}"#, "5只鸡，吃了2只，还剩？", Some("还剩5-2=3（只）。"), "3"),
        (ANSWER, "{}", "What is six times seven?", Some("6*7 = 42\n#### 42"), "42"),
        (ANSWER, r#"{"purpose":"eval"}"#, "What is six times seven?", None, "42"),
        (SCHOOL, r#"{"purpose":"eval"}"#, "5只鸡，吃了2只，还剩？", None, "3"),
    ];
    for (row, options, question, answer, reference) in cases {
        let rows = rows(&mut open(row, options));
        let [Row::Example(example)] = &rows[..] else { panic!("{rows:?}") };
        assert_eq!(example.id, "m.jsonl:1");
        assert_eq!(example.question(), question);
        let learnt = example.turns.iter().find(|t| t.role == Role::Assistant).map(|t| t.content.as_str());
        assert_eq!(learnt, answer);
        assert_eq!((example.reference.as_deref(), example.category.as_deref()), (Some(reference), Some("math")));
        assert_eq!(example.rubric, None);
    }
    assert!(serde_json::from_str::<Options>(r#"{"purpose":"test"}"#).is_err());
    assert!(serde_json::from_str::<Options>(r#"{"porpose":"eval"}"#).is_err());
}

#[test]
fn rows_that_cannot_be_used() {
    let wordy = r#"{"instruction":"q","output":"没有"}"#;
    assert!(matches!(&rows(&mut open(wordy, "{}"))[..], [Row::Example(e)] if e.reference.is_none()));
    let cases = [
        (wordy, "no number in the answer to compare with"),
        ("[", "the file ends inside its JSON array"),
        ("nothing", "not valid JSON: expected ident"),
        ("7", "not a JSON object"),
        (r#"{"question":"q","answer":"72"}"#, "no `####` before a final number"),
        (r#"{"question":"q","answer":"7 #### none"}"#, "no number behind `####`"),
        (r#"{"question":" ","answer":"7 #### 7"}"#, "`question` is missing or empty"),
        (r#"{"question":"q","answer":7}"#, "`answer` is not text"),
        (r#"{"instruction":"q","output":""}"#, "`output` is missing or empty"),
        (r#"{"instruction":"q","input":1,"output":"7"}"#, "`input` is not text"),
        (r#"{"text":"q"}"#, "neither `question` nor `instruction`"),
    ];
    for (row, want) in cases {
        let rows = rows(&mut open(row, r#"{"purpose":"eval"}"#));
        assert!(matches!(&rows[..], [Row::Skip { reason, .. }] if reason == want), "{row}: {rows:?}");
    }
}

#[test]
fn every_position_continues_exactly() {
    let text = [GSM8K, "broken", "", SCHOOL, GSM8K].join("\n");
    assert_eq!(read_rows::<MathProblems>(&[("m.jsonl", &text)], json!({})).unwrap().len(), 4);
}
