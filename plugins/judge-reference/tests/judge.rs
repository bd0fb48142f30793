//! The judge as a study meets it: an item, an answer, a verdict.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use judge_reference::Reference;
use serde_json::{Value, json};
use tunebench_plugin_api::{Example, Judge, JudgeStep, Role, Turn, testing};

fn item(category: &str, question: &str, reference: &str) -> Example {
    Example {
        id: "1".into(),
        turns: vec![Turn::new(Role::User, question)],
        category: Some(category.into()),
        reference: (!reference.is_empty()).then(|| reference.into()),
        rubric: None,
    }
}

fn judge(options: Value) -> Reference {
    Reference::new(serde_json::from_value(options).unwrap()).unwrap()
}

/// The score under one metric for every category, or none.
fn score(metric: &str, question: &str, reference: &str, answer: &str) -> Option<f64> {
    let options = json!({"metrics": {"*": metric}});
    match testing::judge::<Reference>(options, &item("anything", question, reference), answer, &[]).unwrap().step {
        JudgeStep::Verdict { score, reason } => {
            assert!(!reason.is_empty(), "{score}");
            Some(score)
        }
        JudgeStep::Unscored { reason } => {
            assert!(reason.starts_with(metric), "{reason}");
            None
        }
        JudgeStep::Ask { .. } | JudgeStep::Chat { .. } => panic!("it asked"),
    }
}

#[track_caller]
fn check(metric: &str, cases: &[(&str, &str, f64)]) {
    for (reference, answer, expected) in cases {
        let found = score(metric, "", reference, answer).unwrap();
        assert!((found - expected).abs() < 1e-9, "{metric}: {reference:?} / {answer:?} gave {found}, not {expected}");
    }
}

#[test]
fn number_compares_final_numbers() {
    check(
        "number",
        &[
            ("8", "3+5=8，答案是8。", 1.0),
            ("8", "3+5=9", 0.0),
            ("8", "答案是8个，因为昨天有2个客人", 1.0),
            ("8", "步骤1：先加。步骤2：再减。\n#### 8", 1.0),
            ("#### 1,234", "一共１，２３４元", 1.0),
            ("1234", "1,234", 1.0),
            ("12", "12,5", 0.0),
            ("3.5", "等于３．５米。", 1.0),
            ("3/4", "0.75", 1.0),
            ("四分之三", "3/4", 1.0),
            ("25%", "百分之二十五", 1.0),
            ("25%", "占百分之25", 1.0),
            ("0.25", "25%", 1.0),
            ("25%", "25", 0.0),
            ("30000", "3万元", 1.0),
            ("2.5亿", "250000000", 1.0),
            ("3", "3千克", 1.0),
            ("320", "三百二十", 1.0),
            ("10005", "一万零五", 1.0),
            ("2023", "二〇二三", 1.0),
            ("6", "一共还剩六个", 1.0),
            ("3.14", "三点一四", 1.0),
            ("-3", "温度是 -3 度", 1.0),
            ("-3", "负三", 1.0),
            ("6", "8 - 2 = 6", 1.0),
            ("2", "8-2", 1.0),
            ("8", "", 0.0),
            ("8", "我不知道", 0.0),
            ("3.3333333", "3.33333333", 1.0),
            ("12", "面积是12平方米(m^2)", 1.0),
            ("12", "面积是12m2", 1.0),
            ("12 m2", "12", 1.0),
            ("0.5", "x = .5", 1.0),
            ("8", "答案是8个.5个人分。", 1.0),
            ("1000", "1 000 元", 1.0),
            ("1234", "1\u{202f}234", 1.0),
            ("234", "1 234", 1.0),
        ],
    );
    assert_eq!(score("number", "", "没有数", "8"), None);
    assert_eq!(score("number", "", "```python\nprint(8)\n```", "8"), None);
}

#[test]
fn label_is_the_answers_label_not_part_of_another() {
    check(
        "label",
        &[
            ("好评", "好评", 1.0),
            ("好评", "好评。", 1.0),
            ("好评", "“好评”", 1.0),
            ("好评", "这是好评。", 1.0),
            ("好评", "类别：好评", 1.0),
            ("好评", "好评，因为味道香甜。", 1.0),
            ("好评", "差评", 0.0),
            ("好评", "非常好评", 0.0),
            ("好评", "不是好评", 0.0),
            ("好评", "差评，不是好评", 0.0),
            ("好评", "差评、好评", 0.0),
            ("水果", "水果类", 1.0),
            ("水果", "水果店", 0.0),
            ("水果", "苹果属于水果。", 1.0),
            ("积极", "这句话的情感是积极的", 1.0),
            ("Spam", "spam", 1.0),
            ("体育、娱乐", "娱乐，体育", 1.0),
            ("体育、娱乐", "体育", 0.0),
            ("好评", "", 0.0),
        ],
    );
}

#[test]
fn exact_forgives_width_punctuation_style_and_white_space() {
    check(
        "exact",
        &[
            ("他在铃湾。", "他在铃湾", 1.0),
            ("他在铃湾,买了3个。", " 他在铃湾，买了３个.\n", 1.0),
            ("他 在", "他在", 1.0),
            ("print(\"苹果\")", "print(“苹果”)", 1.0),
            ("a b", "a  b", 1.0),
            ("a b", "ab", 0.0),
            ("x+y", "xy", 0.0),
            ("他在吗？", "他在。", 0.0),
            ("苹果", "“苹果”", 1.0),
            ("苹果", "", 0.0),
        ],
    );
}

#[test]
fn overlap_scores_are_f1() {
    check(
        "char_f1",
        &[
            ("铃湾", "铃湾", 1.0),
            ("铃湾", "湾铃！", 1.0),
            ("铃湾", "铃湾铃湾", 2.0 / 3.0),
            ("Rust language", "rust", 2.0 / 3.0),
            ("铃湾", "霜丘", 0.0),
            ("铃湾", "", 0.0),
        ],
    );
    check(
        "rouge_l",
        &[
            ("甲乙丙丁", "甲乙丙丁", 1.0),
            ("甲乙丙丁", "丁丙乙甲", 0.25),
            ("甲乙丙丁", "甲丙", 2.0 * 2.0 / 6.0),
            ("the cat sat", "The cat", 0.8),
            ("甲", "", 0.0),
            ("甲", "，。", 0.0),
        ],
    );
}

#[test]
fn members_counts_different_items_of_the_reference() {
    let cases = [
        ("列出三种水果。", "苹果、桃子、葡萄", 1.0),
        ("列出三种水果。", "1. 苹果\n2. 桃子\n3. 葡萄", 1.0),
        ("列出三种水果。", "三种水果：苹果，桃子和葡萄。", 1.0),
        ("列出三种水果。", "苹果、苹果、桃子", 2.0 / 3.0),
        ("列出三种水果。", "苹果、老虎、桃子", 2.0 / 3.0),
        ("列出三种水果。", "苹果、桃子、葡萄、西瓜、老虎、兔子", 0.5),
        ("列出两种水果。", "苹果、桃子、葡萄", 2.0 / 3.0),
        ("列出三种水果。", "苹果", 1.0 / 3.0),
        ("列出三种水果。", "", 0.0),
        ("水果有哪些？", "苹果、桃子、葡萄、西瓜", 1.0),
    ];
    for (question, answer, expected) in cases {
        let found = score("members", question, "苹果、桃子、葡萄、西瓜", answer).unwrap();
        assert!((found - expected).abs() < 1e-9, "{question} {answer:?} gave {found}, not {expected}");
    }
}

#[test]
fn checks_follow_the_questions_own_demands() {
    let cases = [
        ("用“苹果”造句。", "小安吃了苹果。", Some(1.0)),
        ("用“苹果”造句。", "小安吃了桃子。", Some(0.0)),
        ("用“小安”“铃湾”“苹果”造句。", "小安在铃湾。", Some(2.0 / 3.0)),
        ("用“苹果”和“铃湾”写一句话。", "铃湾有苹果。", Some(1.0)),
        ("写一首诗，包含词语“春天”、“花”。", "春天的花", Some(1.0)),
        ("写一段话，不要出现“我”。", "我来了", Some(0.0)),
        ("写一段话，不要出现“我”。", "他来了", Some(1.0)),
        ("写一句以“今天”开头的话。", "今天很好。", Some(1.0)),
        ("写一句以“今天”为结尾的话。", "最好的是今天。", Some(1.0)),
        ("写一句以“今天”开头的话。", "昨天很好。", Some(0.0)),
        ("请列出5个优点。", "1、快\n2、好\n3、省\n4、稳\n5、美", Some(1.0)),
        ("请列出5个优点。", "- 快\n- 好", Some(0.0)),
        ("给出至少两条建议。", "多喝水；早睡；运动", Some(1.0)),
        ("列出十二个月份", "一月", Some(0.0)),
        ("写一个故事，不超过５个字。", "从前有座山", Some(1.0)),
        ("写一个故事，不超过5个字。", "从前有座大山", Some(0.0)),
        ("写一个故事，少于5个字。", "从前有座山", Some(0.0)),
        ("写个介绍，10字以内，包含“茶”。", "茶很香", Some(1.0)),
        ("写个介绍，至少3个字。", "茶香", Some(0.0)),
        ("请以JSON格式输出姓名。", "{\"姓名\": \"小安\"}", Some(1.0)),
        ("请以JSON格式输出姓名。", "```json\n{\"姓名\": 1}\n```", Some(1.0)),
        ("请以JSON格式输出姓名。", "姓名：小安", Some(0.0)),
        ("用“苹果”造句。", "", Some(0.0)),
        ("写一首关于春天的诗。", "春天", None),
        ("他说“你好”，请回答。", "你好", None),
        ("什么是JSON？", "一种格式", None),
        ("第三个故事讲了什么？", "山", None),
    ];
    for (question, answer, expected) in cases {
        let found = score("checks", question, "", answer);
        let same = match (found, expected) {
            (Some(a), Some(b)) => f64::abs(a - b) < 1e-9,
            (a, b) => a == b,
        };
        assert!(same, "{question} {answer:?} gave {found:?}, not {expected:?}");
    }
}

#[test]
fn categories_choose_their_metric_and_lists_are_tried_in_order() {
    let verdict = |options: Value, category: &str, question: &str, reference: &str, answer: &str| match judge(options)
        .step(&item(category, question, reference), answer, &[])
        .unwrap()
    {
        JudgeStep::Verdict { score, reason } => format!("{} {score}", reason.split(':').next().unwrap()),
        JudgeStep::Unscored { reason } => format!("unscored {reason}"),
        JudgeStep::Ask { .. } | JudgeStep::Chat { .. } => panic!("it asked"),
    };
    let none = || json!({});
    assert_eq!(verdict(none(), "math", "", "8", "8"), "number 1");
    assert_eq!(verdict(none(), "others", "", "8", "8"), "number 1");
    assert_eq!(verdict(none(), "others", "", "甲乙", "甲乙"), "rouge_l 1");
    assert_eq!(verdict(none(), "classification", "", "好评", "好评"), "label 1");
    assert_eq!(verdict(none(), " Open QA ", "", "铃湾", "铃湾"), "char_f1 1");
    assert_eq!(verdict(none(), "generation", "用“苹果”造句。", "", "苹果"), "checks 1");
    assert_eq!(verdict(none(), "something new", "", "甲", "甲"), "rouge_l 1");
    let exact = || json!({"metrics": {"Open QA": "exact", "others": ["number", "exact"], "silent": []}});
    assert_eq!(verdict(exact(), "open qa", "", "铃湾", "湾铃"), "exact 0");
    assert_eq!(verdict(exact(), "others", "", "len(a)", "len(a)"), "exact 1");
    assert_eq!(verdict(exact(), "others", "", "", "8"), {
        "unscored number: the item has no reference answer; exact: the item has no reference answer"
    });
    assert_eq!(verdict(exact(), "silent", "", "甲", "甲"), "unscored no metric for category `silent`");
    assert_eq!(verdict(none(), "generation", "写诗", "", "诗"), {
        "unscored checks: the question demands nothing that can be checked"
    });
}

#[test]
fn options_with_unknown_names_are_refused() {
    for options in
        [json!({"metrics": {"math": "bleu"}}), json!({"metric": {}}), json!({"metrics": {"math": ["number", 3]}})]
    {
        assert!(serde_json::from_value::<judge_reference::Options>(options.clone()).is_err(), "{options}");
    }
}

#[test]
fn giant_and_strange_answers_are_scored_in_bounded_time() {
    let metrics = ["number", "label", "exact", "char_f1", "rouge_l", "members", "checks"];
    let giants = [
        "铃".repeat(60_000),
        "9".repeat(60_000),
        "1,".repeat(30_000),
        "一二三百".repeat(20_000),
        "\n- a".repeat(20_000),
        "[".repeat(60_000),
        "不是、".repeat(20_000),
        "答案".repeat(20_000),
        "\u{0}\u{202e}\u{ffff}🙂1/0分之百%".into(),
        "1分之".into(),
        "点".repeat(20_000),
        "第九".repeat(20_000),
        "九".repeat(60_000),
        "1/".repeat(20_000),
        "“铃”".repeat(20_000),
        "负".into(),
        "铃.".repeat(20_000),
        ".5".repeat(30_000),
        "{(-".repeat(20_000) + "1",
        "1 000".repeat(20_000),
        "1\u{a0}000".repeat(20_000),
        "m2^".repeat(20_000),
    ];
    let start = std::time::Instant::now();
    for metric in metrics {
        for giant in &giants {
            score(metric, "用“铃”造句，列出3个，以JSON格式输出", "铃8", giant);
            score(metric, giant, giant, "铃8");
        }
    }
    score("rouge_l", "", &giants[0], &giants[0]);
    assert!(start.elapsed().as_secs() < 60, "quadratic: {:?}", start.elapsed());
}
