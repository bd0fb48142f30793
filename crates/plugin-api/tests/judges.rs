//! `testing::judge` and `testing::compare`: a conversation as it should be, and what each faulty judge is told. The judge
//! here asks as in API 1.0, in [`Asking`], and as since 1.2, in [`Letters`].

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use std::sync::atomic::{AtomicUsize, Ordering};

use tunebench_plugin_api::prelude::*;
use tunebench_plugin_api::serde_json::{from_value, json};
use tunebench_plugin_api::testing::{JudgeRun, compare, judge, judge_replies};

/// Asks for a score, and once more when the reply is no number. `scale` makes scores too large; `fault` is another
/// way to be wrong.
struct Asking {
    options: Options,
    calls: AtomicUsize,
}

#[derive(Deserialize)]
#[serde(crate = "tunebench_plugin_api::serde", default, deny_unknown_fields)]
struct Options {
    scale: f64,
    fault: String,
}

impl Default for Options {
    fn default() -> Self {
        Self { scale: 1.0, fault: String::new() }
    }
}

impl Judge for Asking {
    const NAME: &'static str = "asking";
    const DESCRIPTION: &'static str = "";
    type Options = Options;

    fn new(options: Options) -> Result<Self> {
        Ok(Self { options, calls: AtomicUsize::new(0) })
    }

    fn step(&self, item: &Example, answer: &str, replies: &[ChatReply]) -> Result<JudgeStep> {
        let calls = self.calls.fetch_add(1, Ordering::Relaxed);
        let fault = self.options.fault.as_str();
        if fault == "fails" {
            return Err("no rubric".into());
        }
        let score = replies.last().and_then(|reply| reply.content.parse::<f64>().ok());
        if let Some(score) = score.filter(|_| fault != "insatiable") {
            return Ok(JudgeStep::Verdict { score: score * self.options.scale, reason: "the reply".into() });
        }
        if replies.len() == 2 && fault != "insatiable" {
            return Ok(JudgeStep::Unscored { reason: "no number twice".into() });
        }
        let count = if fault == "counts" { calls.to_string() } else { String::new() };
        let content = format!("{} {answer}? {count}", item.question());
        Ok(JudgeStep::Ask {
            request: ChatRequest {
                model: "m".into(),
                messages: vec![ChatMessage { role: "user".into(), content }],
                temperature: 0.0,
                max_tokens: 9,
                seed: None,
            },
        })
    }
}

/// Reads a score from the probabilities of A and B, or from the letter; `fault` is a way to be wrong.
struct Letters<const COMPARES: bool>(Fault);

#[derive(Default, Deserialize)]
#[serde(crate = "tunebench_plugin_api::serde", default, deny_unknown_fields)]
struct Fault {
    fault: String,
}

impl<const COMPARES: bool> Letters<COMPARES> {
    fn next(&self, prompt: String, replies: &[ChatReply]) -> Result<JudgeStep> {
        let Some(reply) = replies.first().filter(|_| self.0.fault != "insatiable") else {
            let mut request = ChatCompletionRequest::new("m", vec![ChatMessage::new("user", prompt)]);
            request.top_logprobs = Some(2);
            return Ok(JudgeStep::Chat { request });
        };
        if reply.finish_reason == "length" {
            return Ok(JudgeStep::Unscored { reason: format!("cut off, having thought {}", reply.reasoning) });
        }
        let told = reply.logprobs.first().map_or(&[][..], |token| &token.top_logprobs);
        let a = told.iter().find(|top| top.token == "A").map(|top| top.logprob.exp());
        let score = a.unwrap_or(f64::from(reply.content == "A")) * if self.0.fault == "doubles" { 2.0 } else { 1.0 };
        Ok(JudgeStep::Verdict { score, reason: "the letter".into() })
    }
}

impl<const COMPARES: bool> Judge for Letters<COMPARES> {
    const NAME: &'static str = "letters";
    const DESCRIPTION: &'static str = "";
    const COMPARES: bool = COMPARES;
    type Options = Fault;

    fn new(options: Fault) -> Result<Self> {
        Ok(Self(options))
    }

    fn step(&self, item: &Example, answer: &str, replies: &[ChatReply]) -> Result<JudgeStep> {
        self.next(format!("{} {answer}", item.question()), replies)
    }

    fn compare(&self, item: &Example, [a, b]: [&str; 2], replies: &[ChatReply]) -> Result<JudgeStep> {
        self.next(format!("{} {a} or {b}", item.question()), replies)
    }
}

/// Says that it does what it does not write.
struct Unwritten<const COMPARES: bool>;

impl<const COMPARES: bool> Judge for Unwritten<COMPARES> {
    const NAME: &'static str = "unwritten";
    const DESCRIPTION: &'static str = "";
    const COMPARES: bool = COMPARES;
    type Options = Fault;

    fn new(_: Fault) -> Result<Self> {
        Ok(Self)
    }
}

fn item() -> Example {
    let turns = vec![Turn::new(Role::User, "2+1?")];
    Example { id: "1".into(), turns, category: None, reference: None, rubric: None }
}

fn run(options: tunebench_plugin_api::serde_json::Value, replies: &[&str]) -> Result<JudgeRun> {
    judge::<Asking>(options, &item(), "3", replies)
}

#[test]
fn a_sound_judge_comes_to_its_end() {
    let verdict = |score| JudgeStep::Verdict { score, reason: "the reply".into() };
    let unscored = JudgeStep::Unscored { reason: "no number twice".into() };
    for (replies, asked, step) in [
        (&["0.5"][..], 1, verdict(0.5)),
        (&["0.5", "not asked for"], 1, verdict(0.5)),
        (&["hm", "1"], 2, verdict(1.0)),
        (&["hm", "hm"], 2, unscored),
    ] {
        let run = run(json!({}), replies).unwrap();
        assert_eq!((run.requests.len(), &run.step), (asked, &step), "{replies:?}");
        assert!(run.requests.iter().all(|request| request.messages[0].content == "2+1? 3? "), "{run:?}");
        // The same in the words of today.
        let limits: Vec<_> = run.chats.iter().map(|chat| (chat.temperature, chat.max_tokens, chat.top_p)).collect();
        assert_eq!(limits, vec![(Some(0.0), Some(9), None); asked]);
    }
}

#[test]
fn each_fault_has_its_message() {
    for (options, replies, message) in [
        (json!({ "scale": 3 }), &["0.5"], "the score is 1.5, which is not from 0 to 1: the reply"),
        (json!({ "scale": -1 }), &["0.5"], "the score is -0.5, which is not from 0 to 1"),
        (json!({}), &["NaN"], "the score is NaN, which is not from 0 to 1"),
        (json!({}), &["hm"], "request 2 has no reply, only 1 given; it asks ChatRequest { model: \"m\""),
        (json!({ "fault": "insatiable" }), &["0.5"], "request 2 has no reply, only 1 given"),
        (json!({ "fault": "counts" }), &["0.5"], "step 1 was Ask { "),
        (json!({ "fault": "fails" }), &["0.5"], "no rubric"),
        (json!({ "scales": 1 }), &["0.5"], "options: unknown field `scales`"),
    ] {
        let error = run(options, replies).expect_err(message);
        assert!(error.message().contains(message), "expected {message}\n   found {error}");
    }
}

#[test]
fn a_judge_reads_whole_replies_of_one_answer_or_two() {
    let mut likely = ChatReply::new("A");
    likely.logprobs = vec![TokenLogprob::new("A", 0.75f64.ln(), &[("A", 0.75f64.ln()), ("B", 0.25f64.ln())])];
    let mut cut = ChatReply::new("");
    cut.finish_reason = "length".into();
    cut.reasoning = "long".into();
    let verdict = |score| JudgeStep::Verdict { score, reason: "the letter".into() };
    let unscored = JudgeStep::Unscored { reason: "cut off, having thought long".into() };
    for (reply, expected) in [
        (ChatReply::new("A"), verdict(1.0)),
        (ChatReply::new("B"), verdict(0.0)),
        (likely, verdict(0.75)),
        (cut, unscored),
    ] {
        let replies = [reply];
        let alone = judge_replies::<Letters<false>>(json!({}), &item(), "3", &replies).unwrap();
        let pair = compare::<Letters<true>>(json!({}), &item(), ["3", "4"], &replies).unwrap();
        for (run, prompt) in [(alone, "2+1? 3"), (pair, "2+1? 3 or 4")] {
            assert_eq!((&run.step, run.requests.len()), (&expected, 0), "{replies:?}");
            let [chat] = run.chats.as_slice() else { panic!("{run:?}") };
            assert_eq!((chat.messages[0].content.as_str(), chat.top_logprobs), (prompt, Some(2)));
        }
    }
}

#[test]
fn a_judge_of_two_answers_is_told_its_faults() {
    let reply = [ChatReply::new("A")];
    let pair = |fault: &str| compare::<Letters<true>>(json!({ "fault": fault }), &item(), ["3", "4"], &reply);
    let (one, two) = ("this judge does not write `step`", "this judge does not write `compare`");
    for (result, message) in [
        (pair("doubles"), "the score is 2, which is not from 0 to 1"),
        (pair("insatiable"), "request 2 has no reply, only 1 given; it asks ChatCompletionRequest { model: \"m\""),
        (judge_replies::<Letters<true>>(json!({}), &item(), "3", &reply), "says that it compares"),
        (compare::<Letters<false>>(json!({}), &item(), ["3", "4"], &reply), "scores one answer at a time"),
        (judge::<Unwritten<false>>(json!({}), &item(), "3", &[]), one),
        (compare::<Unwritten<true>>(json!({}), &item(), ["3", "4"], &[]), two),
    ] {
        let error = result.expect_err(message);
        assert!(error.message().contains(message), "expected {message}\n   found {error}");
    }
}

/// What crosses to the host and back: OpenAI's words, and nothing that was not stated.
#[test]
fn requests_and_replies_have_their_form_on_the_wire() {
    let mut request = ChatCompletionRequest::new("m", vec![ChatMessage::new("user", "Hi")]);
    let plain =
        json!({ "step": "chat", "request": { "model": "m", "messages": [{ "role": "user", "content": "Hi" }] } });
    let wire = |request: &ChatCompletionRequest| json!(JudgeStep::Chat { request: request.clone() });
    assert_eq!(wire(&request), plain);
    request.reasoning_effort = Some("low".into());
    request.response_format = Some(json!({ "type": "json_object" }));
    let mut full = plain;
    full["request"]["reasoning_effort"] = json!("low");
    full["request"]["response_format"] = json!({ "type": "json_object" });
    assert_eq!(wire(&request), full);

    // From a host of 1.1, and from one that tells of more than this version knows.
    let older: ChatReply = from_value(json!({ "content": "A", "finish_reason": "stop" })).unwrap();
    assert_eq!(older, ChatReply::new("A"));
    let newer = json!({ "content": "A", "finish_reason": "stop", "mood": "good",
        "logprobs": [{ "token": "A", "logprob": -0.5, "bytes": [65] }] });
    let newer: ChatReply = from_value(newer).unwrap();
    assert_eq!(newer.logprobs, [TokenLogprob::new("A", -0.5, &[])]);
}
