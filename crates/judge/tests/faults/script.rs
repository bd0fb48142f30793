//! A chat server's faults by script: what goes wrong with a request depends on its prompt and on how often it was asked, so that
//! two runs meet the same, and in the end there is one reply, or none that says anything.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::json;
use tunebench_scripted_server::{Framing, Response, Seen};
use tunebench_spec::random::Stream;

use super::secrets::Secret;

/// What becomes of an answer in the end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    Scored(f64),
    /// The reply is no mark; it holds the key, as a server may say it that is asked for its settings.
    Unscored,
    /// The reply is paid for and says nothing.
    Silent(&'static str),
}

/// The end of `answer K`.
pub fn end(k: usize) -> End {
    match k % 50 {
        7 => End::Silent("the reply has no content"),
        17 => End::Silent("the reply was filtered"),
        27 => End::Silent("the reply reached its limit of tokens"),
        37 => End::Silent("the model refused"),
        47 => End::Unscored,
        rest => End::Scored(rest as f64 / 100.0),
    }
}

/// Keeps count of what was asked, and of the replies that it gave.
pub struct Script {
    secret: Secret,
    asked: Mutex<BTreeMap<usize, usize>>,
    answered: Mutex<BTreeMap<usize, usize>>,
}

impl Script {
    pub fn new(secret: Secret) -> Self {
        Self { secret, asked: Mutex::default(), answered: Mutex::default() }
    }

    /// How often each answer's reply was given, whole and to be paid for.
    pub fn answered(&self) -> BTreeMap<usize, usize> {
        self.answered.lock().unwrap().clone()
    }

    pub fn respond(&self, seen: &Seen) -> Response {
        let k = number(seen);
        // What every model of today refuses; it is learnt at once, and no fault.
        if seen.body.get("temperature").is_some() {
            let body = json!({ "error": { "message": "Unsupported parameter: 'temperature' is not supported with this model.",
                "type": "invalid_request_error", "param": "temperature", "code": "unsupported_parameter" } });
            return Response::new(400, body.to_string());
        }
        let attempt = {
            let mut asked = self.asked.lock().unwrap();
            let count = asked.entry(k).or_default();
            *count += 1;
            *count - 1
        };
        let mut random = Stream::new(11, &[k as u64, attempt as u64]);
        let faults = [0, 0, 0, 0, 0, 1, 1, 1, 2, 3][Stream::new(12, &[k as u64]).below(10) as usize];
        let kind = random.below(FAULTS.len() as u64) as usize;
        let mut response = match attempt < faults {
            true => FAULTS[kind](&self.body(k), &self.secret),
            false => {
                *self.answered.lock().unwrap().entry(k).or_default() += 1;
                self.reply(k, &mut random)
            }
        };
        // Later ones are often faster, and every header may be copied from the request.
        response.delay += Duration::from_micros(random.below(3000));
        response.headers.push(("x-request-id".into(), format!("req_{k} for {}", self.secret.plain)));
        response
    }

    /// The final reply, in one of the forms in use.
    fn reply(&self, k: usize, random: &mut Stream) -> Response {
        let body = self.body(k);
        let whole = || Response::new(200, body.clone());
        match random.below(8) {
            0 => Response { is_gzip: true, ..whole() },
            1 => Response { framing: Framing::Chunked, trickle: Some((40, Duration::from_micros(200))), ..whole() },
            2 => Response::new(200, format!("\u{feff}{body}")),
            3 => Response::new(200, events(&body)).with_headers(&[("content-type", "text/event-stream")]),
            4 => Response { framing: Framing::Close, ..whole() },
            5 => Response { drops: true, ..whole() },
            _ => whole(),
        }
    }

    fn body(&self, k: usize) -> String {
        let (content, finish) = match end(k) {
            End::Scored(score) => (json!(score.to_string()), "stop"),
            End::Unscored => (json!(format!("I was asked by {}", self.secret.plain)), "stop"),
            End::Silent(why) if why.contains("filtered") => (json!("half a"), "content_filter"),
            End::Silent(why) if why.contains("limit") => (json!(""), "length"),
            End::Silent(why) if why.contains("refused") => (json!(null), "stop"),
            End::Silent(_) => (json!(""), "stop"),
        };
        let refusal =
            if matches!(end(k), End::Silent(why) if why.contains("refused")) { json!("No.") } else { json!(null) };
        let echo = &self.secret.forms()[k % 5];
        json!({
            "model": "test-model-0301",
            "system_fingerprint": "fp_1",
            "choices": [{ "index": 0, "finish_reason": finish,
                "message": { "role": "assistant", "content": content, "refusal": refusal } }],
            "usage": { "prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110 },
            "debug": { "authorization": format!("Bearer {}", self.secret.plain), "again": echo },
        })
        .to_string()
    }
}

/// The number that the prompt `answer K` holds.
pub fn number(seen: &Seen) -> usize {
    seen.prompt().rsplit(' ').next().unwrap().parse().unwrap()
}

/// A whole body as server-sent events, in two pieces.
fn events(body: &str) -> String {
    let mut value: serde_json::Value = serde_json::from_str(body).unwrap();
    let choice = value["choices"][0].take();
    let (message, finish) = (choice["message"].clone(), choice["finish_reason"].clone());
    value["choices"] = json!([{ "index": 0, "delta": message, "finish_reason": null }]);
    let usage = value["usage"].take();
    let mut last = value.clone();
    last["choices"] = json!([{ "index": 0, "delta": {}, "finish_reason": finish }]);
    last["usage"] = usage;
    format!(": hello\n\ndata: {value}\n\ndata: {last}\n\ndata: [DONE]\n\n")
}

type Fault = fn(&str, &Secret) -> Response;

/// Everything that a request may meet, and that another attempt cures. The body is the one that would have come.
const FAULTS: &[Fault] = &[
    // Limits, in all words: milliseconds, seconds, durations, dates, states, sentences.
    |_, _| limited(&[("retry-after-ms", "700"), ("retry-after", "60")], "slow down"),
    |_, _| limited(&[("retry-after", "1.5")], "slow down"),
    |_, _| limited(&[("retry-after", "2s")], "slow down"),
    |_, _| {
        let (date, then) = ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:39 GMT"); // its clock is wrong
        limited(&[("date", date), ("retry-after", then)], "slow down")
    },
    |_, _| {
        let state = [
            ("x-ratelimit-limit-requests", "600000"),
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "1s"),
        ];
        limited(&state, "Rate limit reached")
    },
    |_, _| limited(&[], "Rate limit reached for test-model. Please try again in 900ms. Visit the site to learn more."),
    |_, _| limited(&[("x-should-retry", "true")], "Please retry after 1 second."),
    // The server itself.
    |_, secret| {
        Response::new(500, json!({ "error": { "message": format!("no route for {}", secret.plain) } }).to_string())
    },
    |_, _| Response::new(502, "<html><h1>Bad gateway</h1></html>"),
    |_, _| Response::error(503, "overloaded", "overloaded_error").with_headers(&[("retry-after", "1")]),
    |_, _| Response::error(529, "Overloaded", "overloaded_error"),
    |_, _| Response::error(408, "timed out", ""),
    |_, secret| {
        let echo = &secret.forms()[2];
        Response::new(
            200,
            json!({ "error": { "message": format!("upstream is down: {echo}"), "code": 502 } }).to_string(),
        )
    },
    |_, _| Response::new(200, "data: {\"error\":{\"message\":\"overloaded\",\"code\":529}}\n\n"),
    // The way between.
    |_, _| Response { hangs_up: true, ..Response::new(200, "") },
    |body, _| Response { cut_after: Some(body.len() / 2), ..Response::new(200, body) },
    |body, _| Response { framing: Framing::Chunked, cut_after: Some(body.len() / 3), ..Response::new(200, body) },
    |body, _| Response { framing: Framing::WrongLength(9), ..Response::new(200, body) },
    |body, _| Response { is_gzip: true, cut_after: Some(60), ..Response::new(200, body) },
];

fn limited(headers: &[(&str, &str)], message: &str) -> Response {
    Response::error(429, message, "rate_limit_exceeded").with_headers(headers)
}
