//! Both schemas, both purposes, broken rows, positions.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use dataset_math::{MathProblems, Options};
use numbers::final_number;
use tunebench_plugin_api::serde_json::{self, json};
use tunebench_plugin_api::testing::read_rows;
use tunebench_plugin_api::{Dataset, Position, Role, Row, Source};

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

/// Gold answers as they are written, and the reference that each makes.
#[test]
fn the_reference_says_what_the_answer_says() {
    let answers = [
        ("所以答案是3/4。", "3/4"),
        ("一共占25%", "25%"),
        ("一共占２５％。", "25%"),
        ("占百分之25。", "百分之25"),
        ("一共5万元", "5万"),
        ("一共1,250万元。", "1250万"),
        ("温度是−5度", "-5"),
        ("x = -5", "-5"),
        ("x = .5", ".5"),
        ("一共 1 000 个", "1000"),
        ("一共 1\u{202f}234\u{202f}567 个", "1234567"),
        ("12平方米(m^2)", "12"),
        ("12 cm2", "12"),
        ("#### 3/4", "3/4"),
        ("一共１２个", "12"),
        ("吃了四分之三", "四分之三"),
        ("还剩三百二十个", "三百二十"),
        ("负三度", "负三"),
        ("答案是8个，因为昨天来了2个客人。", "8"),
        ("2,520,000.50元", "2520000.50"),
        ("7 and 1,080.", "1080"),
        ("48-24", "24"),
        ("$-3.", "-3"),
        ("3千克", "3"),
    ];
    for (answer, reference) in answers {
        let school = json!({"instruction": "q", "output": answer});
        let gsm8k = json!({"question": "q", "answer": format!("so 2*3=<<2*3=6>>6 #### {answer}")});
        for (row, options) in
            [&school, &gsm8k].into_iter().flat_map(|row| [(row, "{}"), (row, r#"{"purpose":"eval"}"#)])
        {
            let rows = rows(&mut open(&row.to_string(), options));
            let [Row::Example(example)] = &rows[..] else { panic!("{row}: {rows:?}") };
            let found = example.reference.as_deref().unwrap();
            let value = |text: &str| final_number(text).unwrap().value;
            assert_eq!(value(found), value(answer), "{row}");
            assert!(row == &gsm8k || found == reference, "{row}: {found}");
        }
    }
}

#[test]
fn what_a_problem_is_not_is_refused() {
    let weight = "a row's weight other than 1 is not known; take it out, or the row";
    let label = "an answer that is not wanted is not learnt; take the row out";
    let tools = "problems are learnt without tools; the dataset `belle` can leave them out";
    let context = "a problem is one question; the dataset `belle` learns conversations";
    let refused = [
        (json!({"weight": 0}), format!("has `weight`, and {weight}")),
        (json!({"weight": "0.5"}), format!("has `weight`, and {weight}")),
        (json!({"sample_weight": 2}), format!("has `sample_weight`, and {weight}")),
        (json!({"train": false}), format!("has `train`, and {weight}")),
        (json!({"loss": 0}), format!("has `loss`, and {weight}")),
        (json!({"label": false}), format!("has `label` false, and {label}")),
        (json!({"tools": [{"x": 1}]}), format!("has `tools`, and {tools}")),
        (json!({"functions": "[{}]"}), format!("has `functions`, and {tools}")),
        (json!({"system": "SYS"}), format!("has `system`, and {context}")),
        (json!({"system_prompt": "SYS"}), format!("has `system_prompt`, and {context}")),
        (json!({"history": [["a", "b"]]}), format!("has `history`, and {context}")),
    ];
    let learnt = json!({
        "weight": 1, "loss_weight": "1.0", "train": true, "label": true, "tools": "[]", "functions": [], "system": " ",
        "history": null, "id": 7,
    });
    for base in [json!({"question": "1+1", "answer": "two #### 2"}), json!({"instruction": "1+1", "output": "2"})] {
        let with = |more: &serde_json::Value| {
            let mut row = base.clone();
            row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            row.to_string()
        };
        for (more, want) in &refused {
            for options in ["{}", r#"{"purpose":"eval"}"#] {
                let rows = rows(&mut open(&with(more), options));
                assert!(matches!(&rows[..], [Row::Skip { reason, .. }] if reason == want), "{more}: {rows:?}");
            }
        }
        let mut dataset = open(&with(&learnt), "{}");
        let rows = rows(&mut dataset);
        assert!(matches!(&rows[..], [Row::Example(_)]), "{rows:?}");
        assert_eq!(dataset.remarks(), Vec::<String>::new());
    }
}

#[test]
fn what_is_not_used_is_told() {
    let text = [
        r#"{"question":"q","answer":"7 #### 7","context":"CTX","input":"i","id":1,"note":""}"#,
        r#"{"instruction":"q","input":"","output":"7","answer":"8","label":"easy","train":"split"}"#,
        r#"{"instruction":"q","output":"7","context":"CTX","reasoning":null}"#,
        "broken",
    ];
    let want = [
        "field `answer` in 1 of 3 rows is not used",
        "field `context` in 2 of 3 rows is not used",
        "field `input` in 1 of 3 rows is not used",
        "field `label` in 1 of 3 rows is not used",
        "field `train` in 1 of 3 rows is not used",
    ];
    let mut dataset = open(&text.join("\n"), "{}");
    for _ in 0..2 {
        assert_eq!(rows(&mut dataset).len(), 4);
        assert_eq!(dataset.remarks(), want);
        dataset.seek(&Position::default()).unwrap();
    }
}

#[test]
fn every_position_continues_exactly() {
    let text = [GSM8K, "broken", "", SCHOOL, GSM8K].join("\n");
    assert_eq!(read_rows::<MathProblems>(&[("m.jsonl", &text)], json!({})).unwrap().len(), 4);
}
