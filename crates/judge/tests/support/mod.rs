//! Small studies' worth of tasks, judges that ask little, and a server that is in memory.

#![allow(dead_code)] // each test takes what it needs

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::json;
use tunebench_chat::{BatchServer, ChatError, ChatServer, Failure, NamedRequest, RawResponse};
use tunebench_judge::{Judge, Outcome, Price, Prices, Progress, Question, Server, Settings, Subjects, Task, judge};
use tunebench_spec::study::ChatSettings;
use tunebench_spec::{ChatMessage, ChatReply, ChatRequest, Example, Generation, JudgeStep, Role, Turn};

/// Asks once with the answer as the prompt, or with two of them, and reads the reply as a number.
pub struct AskOnce;

impl Judge for AskOnce {
    fn step(&self, question: &Question<'_>, replies: &[ChatReply]) -> Result<JudgeStep, String> {
        let Some(reply) = replies.first() else {
            let prompt =
                question.rival.map_or(question.answer.to_owned(), |rival| format!("{} or {rival}", question.answer));
            return Ok(JudgeStep::Ask { request: request(&prompt) });
        };
        Ok(match reply.content.parse() {
            Ok(score) => JudgeStep::Score { score, reason: format!("said {}", reply.content) },
            Err(_) => JudgeStep::Unscored { reason: format!("no number: {}", reply.content) },
        })
    }

    fn name(&self) -> &str {
        "ask-once"
    }
}

/// As [`AskOnce`], but what is no number is asked about once more.
pub struct AskTwice;

impl Judge for AskTwice {
    fn step(&self, question: &Question<'_>, replies: &[ChatReply]) -> Result<JudgeStep, String> {
        match replies {
            [first] if first.content.parse::<f64>().is_err() => {
                Ok(JudgeStep::Ask { request: request(&format!("a number for {}", question.answer)) })
            }
            _ => AskOnce.step(question, replies.get(replies.len().saturating_sub(1)..).unwrap_or_default()),
        }
    }

    fn name(&self) -> &str {
        "ask-twice"
    }
}

pub fn request(prompt: &str) -> ChatRequest {
    ChatRequest {
        model: "test-model".into(),
        messages: vec![ChatMessage { role: "user".into(), content: prompt.into() }],
        temperature: Some(0.0),
        max_tokens: Some(50),
        ..ChatRequest::default()
    }
}

/// Progress is nothing to this test.
pub fn go_on(_: &Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// The items, under one judge.
pub fn subjects(items: &[Example]) -> Subjects<'_> {
    Subjects::new(items, |_| "the judge".to_owned())
}

/// `n` items and one arm's answers to them: item `i` is answered `answer i`.
pub fn answers(n: usize) -> (Vec<Example>, Vec<Generation>) {
    let items = (0..n).map(|i| Example {
        id: format!("item {i}"),
        turns: vec![Turn::new(Role::User, format!("question {i}"))],
        category: Some("math".into()),
        reference: None,
        rubric: None,
    });
    let generations = (0..n).map(|i| Generation {
        arm: "arm".into(),
        seed: 7,
        item: format!("item {i}"),
        item_hash: format!("hash of {i}"),
        prompt_hash: String::new(),
        category: "math".into(),
        prompt: format!("question {i}"),
        answer: format!("answer {i}"),
        reference: None,
        prompt_tokens: 2,
        new_tokens: 2,
        finish: "stop".into(),
        seconds: 0.1,
    });
    (items.collect(), generations.collect())
}

/// A completion with 100 prompt and 10 completion tokens, as a body.
pub fn completion(content: &str, finish_reason: &str) -> String {
    let body = json!({
        "model": "test-model-0301",
        "choices": [{ "message": { "role": "assistant", "content": content }, "finish_reason": finish_reason }],
        "usage": { "prompt_tokens": 100, "completion_tokens": 10 },
    });
    body.to_string()
}

type Script = dyn Fn(usize, &ChatRequest) -> Result<String, Failure> + Send + Sync;

/// A server in memory, that answers one by one or in batches. Its script gives bodies, told how many requests came before.
pub struct Memory {
    script: Box<Script>,
    pub asked: Mutex<Vec<String>>,
    /// The sizes of its batches.
    pub batches: Mutex<Vec<usize>>,
    /// From this request on, counted from 0, it answers when it is stopped.
    waits_from: usize,
    stopped: Mutex<Option<ChatError>>,
}

/// Where it is.
pub const URL: &str = "memory:test";

impl Memory {
    pub fn new(script: impl Fn(usize, &ChatRequest) -> Result<String, Failure> + Send + Sync + 'static) -> Self {
        Self {
            script: Box::new(script),
            asked: Mutex::default(),
            batches: Mutex::default(),
            waits_from: usize::MAX,
            stopped: Mutex::default(),
        }
    }

    /// Says the same of everything.
    pub fn says(content: &'static str) -> Self {
        Self::new(move |_, _| Ok(completion(content, "stop")))
    }

    /// As it is, but from request `n` on, counted from 0, it answers when it is stopped.
    pub fn waits_from(self, n: usize) -> Self {
        Self { waits_from: n, ..self }
    }

    pub fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    fn answer_one(&self, request: &ChatRequest, batch: bool) -> Result<RawResponse, Failure> {
        let before = {
            let mut asked = self.asked.lock().unwrap();
            asked.push(request.messages[0].content.clone());
            asked.len() - 1
        };
        let start = Instant::now();
        while before >= self.waits_from && ChatServer::stopped(self).is_none() {
            assert!(start.elapsed() < Duration::from_secs(60), "nobody stops it");
            std::thread::sleep(Duration::from_millis(1));
        }
        let body = (self.script)(before, request)?;
        Ok(RawResponse { body, seconds: 0.25, batch, ..RawResponse::default() })
    }
}

impl ChatServer for Memory {
    fn url(&self) -> &str {
        URL
    }

    fn concurrency(&self) -> usize {
        1
    }

    fn send(&self, request: &ChatRequest, _: &str) -> Result<RawResponse, Failure> {
        self.answer_one(request, false)
    }

    fn stop(&self, reason: ChatError) {
        self.stopped.lock().unwrap().get_or_insert(reason);
    }

    fn stopped(&self) -> Option<ChatError> {
        self.stopped.lock().unwrap().clone()
    }
}

impl BatchServer for Memory {
    fn url(&self) -> &str {
        URL
    }

    fn answer(
        &self,
        requests: &[NamedRequest],
        _: &Path,
        each: &mut dyn FnMut(&str, Result<RawResponse, Failure>) -> bool,
    ) -> Result<(), ChatError> {
        self.batches.lock().unwrap().push(requests.len());
        // The last first: order is nothing to rely on.
        for named in requests.iter().rev() {
            if !each(&named.name, self.answer_one(&named.request, true)) {
                break;
            }
        }
        Ok(())
    }
}

/// As a study says by default: no prices, no limits.
pub fn settings() -> Settings {
    Settings::of(&ChatSettings { base_url: URL.into(), ..ChatSettings::default() }).unwrap()
}

/// A reply of 100 and 10 tokens costs 1.2 USD, and at most 1 USD for its completion.
pub fn dear(budget_usd: f64) -> Settings {
    let prices = Prices::stated(Price { prompt: 0.01, completion: 0.02 });
    Settings { prices, budget_usd: Some(budget_usd), ..settings() }
}

/// Judges into `replies.jsonl` of the folder.
pub fn run(by: &dyn Judge, tasks: &[Task<'_>], server: Server<'_>, settings: &Settings, folder: &Path) -> Outcome {
    let outcome = judge(by, tasks, server, settings, &folder.join("replies.jsonl"), &mut go_on).unwrap();
    assert_eq!(outcome.judgements.len(), tasks.len(), "one judgement per task, whatever happens");
    outcome
}
