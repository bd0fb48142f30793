//! Small studies' worth of tasks, and a judge that asks once.

use std::ops::ControlFlow;

use tunebench_judge::{Progress, Question, Subjects};
use tunebench_spec::{ChatMessage, ChatReply, ChatRequest, Example, Generation, JudgeStep, Role, Turn};

/// Asks once with the answer as the prompt and reads the reply as a number.
pub struct AskOnce;

impl tunebench_judge::Judge for AskOnce {
    fn step(&self, question: &Question<'_>, replies: &[ChatReply]) -> Result<JudgeStep, String> {
        let Some(reply) = replies.first() else { return Ok(JudgeStep::Ask { request: request(question.answer) }) };
        Ok(match reply.content.parse() {
            Ok(score) => JudgeStep::Score { score, reason: format!("said {}", reply.content) },
            Err(_) => JudgeStep::Unscored { reason: format!("no number: {}", reply.content) },
        })
    }

    fn name(&self) -> &str {
        "ask-once"
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
        turns: vec![Turn { role: Role::User, content: format!("question {i}") }],
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
