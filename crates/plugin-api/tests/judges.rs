//! `testing::judge`: a conversation as it should be, and what each faulty judge is told.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use std::sync::atomic::{AtomicUsize, Ordering};

use tunebench_plugin_api::prelude::*;
use tunebench_plugin_api::serde_json::json;
use tunebench_plugin_api::testing::{JudgeRun, judge};

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

fn run(options: tunebench_plugin_api::serde_json::Value, replies: &[&str]) -> Result<JudgeRun> {
    let turns = vec![Turn::new(Role::User, "2+1?")];
    let item = Example { id: "1".into(), turns, category: None, reference: None, rubric: None };
    judge::<Asking>(options, &item, "3", replies)
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
