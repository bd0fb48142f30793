//! Every schema, broken rows, the evaluation set's rubrics, and continuing from every position.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use dataset_belle::{Belle, Options};
use tunebench_plugin_api::serde_json::{self, json};
use tunebench_plugin_api::testing::read_rows;
use tunebench_plugin_api::{Dataset, Position, Role, Row, Source};

fn open(files: &[(&str, &str)], options: &str) -> tunebench_plugin_api::Result<Belle> {
    let options: Options = serde_json::from_str(options).unwrap();
    Belle::open(Source::in_memory(files.iter().map(|(name, text)| (*name, text.as_bytes()))), options)
}

fn rows(dataset: &mut Belle) -> Vec<Row> {
    std::iter::from_fn(|| dataset.next().unwrap()).collect()
}

/// `U` question `A` answer …, or `!` and the reason of a skip.
fn show(row: &Row) -> String {
    match row {
        Row::Skip { reason, .. } => format!("! {reason}"),
        Row::Example(example) => {
            let turns = example.turns.iter().map(|turn| {
                let letter = match turn.role {
                    Role::System => 'S',
                    Role::User => 'U',
                    Role::Assistant => 'A',
                };
                format!("{letter}{} {}", if turn.is_learnt { "" } else { "-" }, turn.content)
            });
            turns.collect::<Vec<_>>().join(" | ")
        }
    }
}

fn check(row: &str, options: &str, want: &str) {
    let rows = rows(&mut open(&[("x.jsonl", row)], options).unwrap());
    assert_eq!(rows.iter().map(show).collect::<Vec<_>>(), [want], "{row}");
}

#[test]
fn schemas() {
    let cases = [
        (r#"{"input":"问","target":"答"}"#, "U 问 | A 答"),
        (r#"{"input":"问","output":"答"}"#, "U 问 | A 答"),
        (r#"{"instruction":"译：","input":"早","output":"Morning"}"#, "U 译：早 | A Morning"),
        (r#"{"instruction":"问","input":"","output":" 答\n"}"#, "U 问 | A  答\n"),
        (r#"{"instruction":"问","input":null,"output":"答"}"#, "U 问 | A 答"),
        (r#"{"instruction":"","input":"问","output":"答"}"#, "U 问 | A 答"),
        (r#"{"instruction":"q","output":"a","system":"s","history":[["q1","a1"]]}"#, "S s | U q1 | A a1 | U q | A a"),
        (r#"{"instruction":"q","output":"a","system":"","history":null}"#, "U q | A a"),
        (r#"{"id":"1","conversations":[{"from":"human","value":"q"},{"from":"assistant","value":"a"}]}"#, "U q | A a"),
        (
            r#"{"conversations":[{"from":"human","value":"q"},{"from":"gpt","value":"a"},{"from":"human","value":"r"}],"system":"s"}"#,
            "S s | U q | A a | U r",
        ),
        (
            r#"{"messages":[{"role":"system","content":"s"},{"role":"user","content":"q"},{"role":"assistant","content":"a"}]}"#,
            "S s | U q | A a",
        ),
        (r#"{"instruction":"写诗：","instances":[{"input":"夏","output":"诗"}],"name":"x"}"#, "U 写诗：夏 | A 诗"),
        (r#"{"instruction":"q","context":"c","response":"a","category":"closed_qa"}"#, "U qc | A a"),
        (r#"{"instruction":"q","input":"i","context":"c","target":"a"}"#, "U qi | A a"),
        (r#"{"question":"q","answer":"a"}"#, "U q | A a"),
        (r#"{"question":"r","answer":"b","system":"s","history":[["q","a"]]}"#, "S s | U q | A a | U r | A b"),
        (r#"{"prompt":"q","completion":"a"}"#, "U q | A a"),
        (r#"{"prompt":"Human: q\nAssistant: a\nHuman: r\nAssistant:","response":"b"}"#, "U q | A a | U r | A b"),
        (r#"{"input":"q","target":"a","output":"b"}"#, "U q | A a"),
        (r#"{"instruction":"q","output":"a","response":"b"}"#, "U q | A a"),
        (r#"{"text":"从前"}"#, "A 从前"),
        (r#"{"query":"q","response":"a"}"#, "U q | A a"),
        (r#"{"conversation":[{"human":"q","assistant":"a"},{"human":"r","assistant":"b"}]}"#, "U q | A a | U r | A b"),
        (r#"{"id":"1","data":["q","a","r","b"]}"#, "U q | A a | U r | A b"),
        (
            r#"{"prompt":[{"role":"user","content":"q"}],"completion":[{"role":"assistant","content":"a"}]}"#,
            "U q | A a",
        ),
        (
            r#"{"messages":[{"role":"User","content":[{"type":"text","text":"q"},{"type":"text","text":"r"}]},{"role":"Assistant","content":"a"}]}"#,
            "U qr | A a",
        ),
        // What is null or an empty list is not there, as where many schemas are one table.
        (r#"{"messages":[],"conversations":null,"instruction":"q","output":"a","response":null}"#, "U q | A a"),
        (r#"{"output":null,"response":"a","instruction":"q","input":""}"#, "U q | A a"),
        (r#"{"question":"q","class":null,"answer":"a"}"#, "U q | A a"),
        (r#"{"conversations":[{"from":"human","value":"q"},{"from":"gpt","value":"a"}],"tools":"[]"}"#, "U q | A a"),
        (
            r#"{"messages":[{"role":"user","content":"q","tool_calls":null},{"role":"assistant","content":"a","reasoning_content":""}]}"#,
            "U q | A a",
        ),
        (r#"{"conversations":[{"from":"human","value":"q"},{"from":"bing","value":"a"}]}"#, "U q | A a"),
        (r#"{"question":"q","class":"open QA","std_answer":"a"}"#, "U q"),
    ];
    for (row, want) in cases {
        check(row, "{}", want);
    }
}

#[test]
fn the_separator_stands_between_two_texts_only() {
    let options = r#"{"separator":"\n"}"#;
    check(r#"{"instruction":"i","input":"j","output":"a"}"#, options, "U i\nj | A a");
    check(r#"{"instruction":"i","input":"","output":"a"}"#, options, "U i | A a");
    check(r#"{"instruction":"i","instances":[{"input":"j","output":"a"}]}"#, options, "U i\nj | A a");
    assert!(serde_json::from_str::<Options>(r#"{"seperator":""}"#).is_err());
}

#[test]
fn dialogues_in_one_field() {
    let cases = [
        ("Human:一\\nAssistant:二\\nHuman:三\\nAssistant:", "U 一 | A 二 | U 三 | A 答"),
        ("Human: 一\\nAssistant：二\\n二\\n\\nHuman ：三", "U 一 | A 二\n二 | U 三 | A 答"),
        ("\\n Human： 一 \\n Assistant：\\n", "U 一 | A 答"),
        // No dialogue, but text about one.
        ("Human: 只有一人", "U Human: 只有一人 | A 答"),
        ("解释 Human: 和\\nAssistant:", "U 解释 Human: 和\nAssistant: | A 答"),
        ("Humanity: x\\nAssistant:", "U Humanity: x\nAssistant: | A 答"),
        // What ends with an answer asks for no turn.
        ("Human: 一\\nAssistant: 二", "U Human: 一\nAssistant: 二 | A 答"),
        ("Human: 一\\nAssistant: 二\\n改写这段对话", "U Human: 一\nAssistant: 二\n改写这段对话 | A 答"),
        // Broken dialogues.
        ("Human: 一\\nHuman: 二\\nAssistant:", "! turns do not alternate between user and assistant, the user first"),
        ("Human: 一\\nAssistant:\\nHuman: 二", "! a turn is empty"),
    ];
    for (instruction, want) in cases {
        check(&format!(r#"{{"instruction":"{instruction}","input":"","output":"答"}}"#), "{}", want);
        check(&format!(r#"{{"input":"{instruction}","target":"答"}}"#), "{}", want);
    }
}

#[test]
fn marks_of_what_is_learnt_are_kept() {
    let row = |first: &str, last: &str| {
        format!(
            r#"{{"messages":[{{"role":"user","content":"q"}},{{"role":"assistant","content":"a"{first}}},
               {{"role":"user","content":"r","weight":0}},{{"role":"assistant","content":"b"{last}}}]}}"#
        )
        .replace('\n', " ")
    };
    let fraction = "! `weight` of a message is neither 0 nor 1, and a part of a weight is not known";
    for (first, last, want) in [
        (r#","weight":0"#, r#","weight":1"#, "U q | A- a | U r | A b"),
        (r#","weight":0.0"#, "", "U q | A- a | U r | A b"),
        (r#","train":false"#, r#","train":true"#, "U q | A- a | U r | A b"),
        (r#","training":false"#, "", "U q | A- a | U r | A b"),
        ("", r#","loss":false"#, "U q | A a | U r | A- b"),
        (r#","weight":null"#, "", "U q | A a | U r | A b"),
        (r#","weight":0.5"#, "", fraction),
        (r#","weight":"0""#, "", fraction),
        (r#","weight":1,"loss":false"#, "", "! two marks of a message say different things of whether it is learnt"),
    ] {
        check(&row(first, last), "{}", want);
    }
    let user = r#"{"conversations":[{"from":"human","value":"q","train":true},{"from":"gpt","value":"a"}]}"#;
    check(user, "{}", "! a turn that is not the assistant's is marked to be learnt, and only answers are");
    check(r#"{"prompt":"q","completion":"a","weight":1}"#, "{}", "U q | A a");
    let weighed = "! has `weight`, and a row's weight other than 1 is not known; take it out, or the row";
    check(r#"{"prompt":"q","completion":"a","weight":0.5}"#, "{}", weighed);
}

#[test]
fn a_pair_is_marked_and_thought_over_like_a_message() {
    let thought =
        "! has `reasoning`; options = { reasoning = \"drop\" } leaves it out, \"think\" puts it before the answer";
    let think = r#"{"reasoning":"think"}"#;
    for (more, options, want) in [
        (r#""weight":0"#, "{}", "U q | A- a | U r | A b"),
        (r#""weight":1"#, "{}", "U q | A a | U r | A b"),
        (r#""train":false"#, "{}", "U q | A- a | U r | A b"),
        (r#""train":true"#, "{}", "U q | A a | U r | A b"),
        (r#""loss":0"#, "{}", "U q | A- a | U r | A b"),
        (r#""weight":0.5"#, "{}", "! `weight` of a message is neither 0 nor 1, and a part of a weight is not known"),
        (r#""reasoning":"R""#, "{}", thought),
        (r#""reasoning":"R""#, r#"{"reasoning":"drop"}"#, "U q | A a | U r | A b"),
        (r#""reasoning":"R","weight":0"#, think, "U q | A- <think>\nR\n</think>\n\na | U r | A b"),
        (r#""tool_calls":[{}]"#, "{}", "! has `tool_calls`, and calls of tools are not learnt"),
        (r#""train_detail":[{}]"#, "{}", "! has `train_detail`, and parts of a message are not learnt apart"),
    ] {
        let row =
            format!(r#"{{"conversation":[{{"human":"q","assistant":"a",{more}}},{{"human":"r","assistant":"b"}}]}}"#);
        check(&row, options, want);
    }
}

#[test]
fn parts_of_a_message_are_not_learnt_apart() {
    for (more, want) in [
        (r#""weight":0"#, "! a part has `weight`, and parts of a message are not learnt apart"),
        (r#""weight":1"#, "! a part has `weight`, and parts of a message are not learnt apart"),
        (r#""train":false"#, "! a part has `train`, and parts of a message are not learnt apart"),
        (r#""training":false"#, "! a part has `training`, and parts of a message are not learnt apart"),
        (r#""loss":0"#, "! a part has `loss`, and parts of a message are not learnt apart"),
        (r#""weight":null,"image_url":null"#, "U q | A ab"),
        (r#""cache_control":{"type":"ephemeral"}"#, "U q | A ab"),
    ] {
        let row = format!(
            r#"{{"messages":[{{"role":"user","content":"q"}},{{"role":"assistant","content":["a",{{"type":"text","text":"b",{more}}}]}}]}}"#
        );
        check(&row, "{}", want);
    }
}

#[test]
fn rows_that_are_marked_as_a_whole() {
    let weighed =
        |key: &str| format!("! has `{key}`, and a row's weight other than 1 is not known; take it out, or the row");
    let unwanted = "! has `label` false, and an answer that is not wanted is not learnt; take the row out";
    // What is told of the row when it is learnt.
    let used: &[&str] = &[];
    for (key, mark, told) in [
        ("weight", "1", Some(used)),
        ("weight", "0", None),
        ("weight", r#""0""#, None),
        ("weight", r#""much""#, None),
        ("sample_weight", "0.5", None),
        ("loss_weight", "2", None),
        ("train", "true", Some(used)),
        ("train", "false", None),
        ("train", r#""False""#, None),
        ("train", r#""True""#, Some(used)),
        ("train", r#""a train""#, Some(&["field `train` in 1 of 1 rows is not used"])),
        ("train", "[true]", None),
        ("training", "false", None),
        ("training", "null", Some(used)),
        ("loss", "1", Some(used)),
        ("loss", "1.0", Some(used)),
        ("loss", "0", None),
        ("loss", "0.5", None),
        ("loss", r#""""#, Some(used)),
        ("label", "true", Some(used)),
        ("label", "0", Some(&["field `label` in 1 of 1 rows is not used"])),
        ("label", r#""false""#, Some(&["field `label` in 1 of 1 rows is not used"])),
    ] {
        let row = format!(r#"{{"prompt":"q","completion":"a","{key}":{mark}}}"#);
        match told {
            None => check(&row, "{}", &weighed(key)),
            Some(told) => {
                let mut dataset = open(&[("x.jsonl", &row)], "{}").unwrap();
                assert_eq!(rows(&mut dataset).iter().map(show).collect::<Vec<_>>(), ["U q | A a"], "{row}");
                assert_eq!(dataset.remarks(), told, "{row}");
            }
        }
    }
    check(r#"{"prompt":"q","completion":"a","label":false}"#, "{}", unwanted);
    let instance = r#"{"instruction":"q","instances":[{"input":"","output":"a","weight":0}]}"#;
    check(instance, "{}", &weighed("weight"));
}

#[test]
fn tools_and_reasoning_are_refused_unless_asked_for() {
    let tools =
        r#"{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}],"tools":[{"name":"f"}]}"#;
    let tools_refused = "! has `tools`, which no template writes; options = { tools = \"drop\" } leaves them out";
    let thought = r#"{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a","reasoning_content":"because"}]}"#;
    let refused = |key: &str| {
        format!(
            "! has `{key}`; options = {{ reasoning = \"drop\" }} leaves it out, \"think\" puts it before the answer"
        )
    };
    let calls =
        r#"{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":null,"tool_calls":[{"id":"1"}]}]}"#;
    let pair = r#"{"question":"q","reasoning":"because","answer":"a"}"#;
    for (row, options, want) in [
        (tools, "{}", tools_refused),
        (tools, r#"{"tools":"drop"}"#, "U q | A a"),
        (&tools.replace("tools", "functions"), "{}", &tools_refused.replace("`tools`", "`functions`")),
        (calls, r#"{"tools":"drop"}"#, "! has `tool_calls`, and calls of tools are not learnt"),
        (thought, "{}", &refused("reasoning_content")),
        (thought, r#"{"reasoning":"drop"}"#, "U q | A a"),
        (thought, r#"{"reasoning":"think"}"#, "U q | A <think>\nbecause\n</think>\n\na"),
        (&thought.replace("reasoning_content", "thinking"), "{}", &refused("thinking")),
        (pair, "{}", &refused("reasoning")),
        (pair, r#"{"reasoning":"drop"}"#, "U q | A a"),
        (
            r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{}}]},{"role":"assistant","content":"a"}]}"#,
            "{}",
            "! a part of type `image_url`, which is no text",
        ),
    ] {
        check(row, options, want);
    }
}

#[test]
fn what_is_not_used_is_told() {
    let text = r#"{"id":"1","instruction":"q","output":"a","score":5,"text":"q a","note":""}
{"instruction":"q","output":"a","response":"b","score":null}
{"messages":[{"role":"user","content":"q","mood":"x"},{"role":"assistant","content":"a","mood":"y"}],"score":1}
{"instruction":"Human: q\nAssistant: a","output":"b"}
{"messages":[{"role":"user","content":[{"text":"q","lang":"x","note":1}]},{"role":"assistant","content":"a"}]}
{"conversation":[{"human":"q","assistant":"a","score":1}]}
{"instruction":"q","instances":[{"input":"","output":"a","score":1,"id":1}]}
17
"#;
    let mut dataset = open(&[("x.jsonl", text)], "{}").unwrap();
    let want = [
        "field `conversation: score` in 1 of 7 rows is not used",
        "field `instances: score` in 1 of 7 rows is not used",
        "field `messages: content: note` in 1 of 7 rows is not used",
        "field `messages: mood` in 1 of 7 rows is not used",
        "field `response` in 1 of 7 rows is not used",
        "field `score` in 2 of 7 rows is not used",
        "field `text` in 1 of 7 rows is not used",
        "in 1 of 7 rows the prompt quotes a dialogue of Human and Assistant and was read as one prompt",
    ];
    for _ in 0..2 {
        assert_eq!(rows(&mut dataset).len(), 8);
        assert_eq!(dataset.remarks(), want);
        dataset.seek(&Position::default()).unwrap();
    }
}

#[test]
fn rows_that_cannot_be_used() {
    let cases = [
        ("17", "! not a JSON object"),
        ("{\"instruction\":", "! not valid JSON: EOF while parsing a value"),
        (
            r#"{"q":"x","a":1}"#,
            "! no known schema has the keys: a, q; say what they are by columns = { instruction = \"…\", output = \"…\" } in the [[dataset]]",
        ),
        (r#"{"question":"x","solution":"y"}"#, "! `output` is missing or empty"),
        (r#"{"prompt":"x","answer":" "}"#, "! `answer` is missing or empty"),
        (
            r#"{"role":"user","content":"x"}"#,
            "! a single message; put those of a conversation together as {\"messages\": […]}",
        ),
        (
            r#"{"prompt":"x","chosen":"y","rejected":"z"}"#,
            "! `chosen` and `rejected` answers of preference data; columns = { output = \"chosen\" } learns the chosen one",
        ),
        (r#"{"instruction":"i","input":"j"}"#, "! `output` is missing or empty"),
        (r#"{"instruction":"i","input":"j","output":" \n"}"#, "! `output` is missing or empty"),
        (r#"{"instruction":" ","input":"","output":"a"}"#, "! a turn is empty"),
        (r#"{"instruction":7,"input":"","output":"a"}"#, "! `instruction` is not text"),
        (r#"{"instruction":"i","input":[],"output":"a"}"#, "! `input` is not text"),
        (r#"{"instruction":"i","output":"a","history":[["q"]]}"#, "! `history` is not a list of [question, answer]"),
        (r#"{"instruction":"i","output":"a","history":"q"}"#, "! `history` is not a list of [question, answer]"),
        (r#"{"instruction":"i","instances":[]}"#, "! `instances` does not hold exactly one object"),
        (r#"{"input":"i","target":null}"#, "! `target` is missing or empty"),
        (r#"{"conversations":"x"}"#, "! `conversations` is not a list"),
        (r#"{"conversations":["x"]}"#, "! `conversations` holds something else than objects"),
        (r#"{"conversations":[]}"#, "! no answer of the assistant"),
        (r#"{"conversations":[{"from":"human","value":"q"}]}"#, "! no answer of the assistant"),
        (
            r#"{"conversations":[{"from":"gpt","value":"q"}]}"#,
            "! turns do not alternate between user and assistant, the user first",
        ),
        (
            r#"{"conversations":[{"from":"observation","value":"q"}]}"#,
            "! has a turn of `observation`, and calls of tools are not learnt",
        ),
        (r#"{"messages":[{"role":"user","content":[{"type":"text"}]}]}"#, "! `content` is not text"),
        (r#"{"messages":[{"role":"user"}]}"#, "! `content` is missing or empty"),
        (r#"{"text":""}"#, "! `text` is missing or empty"),
        (r#"{"question":"","class":"math"}"#, "! `question` is missing or empty"),
        (r#"{"question":"q","class":"math","std_answer":3}"#, "! `std_answer` is not text"),
        (r#"{"question":"q","class":1}"#, "! `class` is not text"),
        (r#"{"question":"q","class":"math","output":3}"#, "! `output` is not text"),
    ];
    for (row, want) in cases {
        check(row, "{}", want);
    }
    let place = rows(&mut open(&[("x.jsonl", "\n\n17\n")], "{}").unwrap());
    assert!(matches!(&place[..], [Row::Skip { place, .. }] if place == "x.jsonl:3"), "{place:?}");
}

const ITEMS: &str = "{\"question\":\"1+1\",\"std_answer\":\"2\",\"class\":\"math\"}\n\
    {\"question\":\"q\",\"std_answer\":\" \",\"class\":\"closed\u{a0}qa\"}\n\
    {\"question\":\"写程序\",\"std_answer\":\"x\",\"class\":\"Code\"}";
const RUBRICS: &str = "{\"class\":\"math\",\"prompt\":\"老师\"}\n{\"class\":\"closed QA\",\"prompt\":\"参考\"}\n\n\
    {\"class\":\"code\",\"prompt\":\"程序\"}";

#[test]
fn evaluation_items_get_the_rubric_of_their_class() {
    let want = [
        ("set.json:1", "others", Some("2"), Some("老师")),
        ("set.json:2", "closed qa", None, Some("参考")),
        ("set.json:3", "others", Some("x"), Some("程序")),
    ];
    let orders: [&[(&str, &str)]; 2] =
        [&[("set.json", ITEMS), ("prompt.json", RUBRICS)], &[("prompt.json", RUBRICS), ("set.json", ITEMS)]];
    for files in orders {
        let rows = rows(&mut open(files, "{}").unwrap());
        let items: Vec<_> = rows
            .iter()
            .map(|row| {
                let Row::Example(e) = row else { panic!("{row:?}") };
                (e.id.as_str(), e.category.as_deref().unwrap(), e.reference.as_deref(), e.rubric.as_deref())
            })
            .collect();
        assert_eq!(items, want);
    }
    let Some(Row::Example(alone)) = open(&[("set.json", ITEMS)], "{}").unwrap().next().unwrap() else { panic!() };
    assert_eq!((alone.category.as_deref(), alone.rubric), (Some("others"), None));
}

#[test]
fn an_item_without_a_standard_answer_takes_its_other_one() {
    let cases = [
        (r#"{"question":"q","class":"x","std_answer":"s","output":"o"}"#, Some("s")),
        (r#"{"question":"q","class":"x","std_answer":" ","output":"o"}"#, Some("o")),
        (r#"{"question":"q","class":"x","std_answer":null,"output":"","response":"r"}"#, Some("r")),
        (r#"{"question":"q","class":"x","answer":"a"}"#, Some("a")),
        (r#"{"question":"q","class":"x"}"#, None),
    ];
    for (row, want) in cases {
        let rows = rows(&mut open(&[("set.json", row)], "{}").unwrap());
        let [Row::Example(item)] = &rows[..] else { panic!("{rows:?}") };
        assert_eq!((item.reference.as_deref(), item.category.as_deref()), (want, Some("x")), "{row}");
        assert_eq!((item.turns.len(), item.question()), (1, "q"), "{row}");
    }
}

/// Rows to learn from end with their answer, so that the host can ask what stands before it and hold that against it.
#[test]
fn rows_of_any_instruction_form_end_with_their_answer() {
    let forms = [
        r#"{"instruction":"问","input":"","output":"答"}"#,
        r#"{"instruction":"问","input":"","target":"答"}"#,
        r#"{"instruction":"问","response":"答"}"#,
        r#"{"input":"问","target":"答"}"#,
        r#"{"question":"问","answer":"答"}"#,
        r#"{"prompt":"问","completion":"答"}"#,
        r#"{"instruction":"问","instances":[{"input":"","output":"答"}]}"#,
        r#"{"messages":[{"role":"user","content":"问"},{"role":"assistant","content":"答"}]}"#,
        r#"{"conversations":[{"from":"human","value":"问"},{"from":"gpt","value":"答"}]}"#,
        r#"{"instruction":"问","output":"答","history":[["早","你好"]]}"#,
    ];
    for row in forms {
        let rows = rows(&mut open(&[("x.jsonl", row)], "{}").unwrap());
        let [Row::Example(example)] = &rows[..] else { panic!("{row}: {rows:?}") };
        assert_eq!(example.question(), "问", "{row}");
        let last = example.turns.last().unwrap();
        assert_eq!((last.role, last.content.as_str()), (Role::Assistant, "答"), "{row}");
    }
}

#[test]
fn rubrics_must_be_whole() {
    let no_code = RUBRICS.rsplit_once('\n').unwrap().0;
    let mut dataset = open(&[("set.json", ITEMS), ("prompt.json", no_code)], "{}").unwrap();
    dataset.next().unwrap();
    dataset.next().unwrap();
    let message = dataset.next().unwrap_err().to_string();
    assert_eq!(message, "set.json:3: class `code` has no rubric; there are: closed qa, math");

    let refused = |text: &str| open(&[("prompt.json", text)], "{}").err().unwrap().to_string();
    let twice = [RUBRICS, "\n{\"class\":\"MATH\",\"prompt\":\"x\"}"].concat();
    assert_eq!(refused(&twice), "prompt.json:5: class `math` has a second rubric; remove one");
    let broken = [RUBRICS, "\n{\"class\":\"x\"}"].concat();
    assert!(refused(&broken).starts_with("prompt.json:5: `prompt` is missing or empty; a rubric is"));
}

#[test]
fn every_position_continues_exactly() {
    let train = "{\"input\":\"a\",\"target\":\"b\"}\nbroken\n\n{\"text\":\"x\"}\n";
    let array = "[{\"input\":\"a\",\"target\":\"b\"}, 7, {\"text\":\"x\"}]";
    let files = [("train.jsonl", train), ("prompt.json", RUBRICS), ("set.json", ITEMS), ("train.json", array)];
    assert_eq!(read_rows::<Belle>(&files, json!({})).unwrap().len(), 9);
    let mut dataset = open(&files, "{}").unwrap();
    let absent = tunebench_plugin_api::Position { file: 9, offset: 0, row: 0 };
    assert!(dataset.seek(&absent).is_err());
}
