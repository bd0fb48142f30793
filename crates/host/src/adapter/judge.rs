//! A judge beside its plugin: one pure step at a time.

use abi_stable::std_types::RStr;
use serde_json::{Value, json};
use tunebench_plugin_api::abi::{JudgeBox, PluginRoot_Ref};
use tunebench_spec::{ChatReply, Example, JudgeStep};

use crate::error::HostError;

/// A plugin's judge with its options.
pub(crate) struct Judge {
    name: String,
    inner: JudgeBox,
}

impl Judge {
    pub fn new(name: &str, root: PluginRoot_Ref, options: &str) -> Result<Self, HostError> {
        let inner = root.new_judge()(RStr::from(options)).into_result();
        let inner = inner.map_err(|e| HostError::from_abi(name, "taking its options", &e))?;
        Ok(Self { name: name.to_owned(), inner })
    }

    /// The next step for an answer, given the replies so far.
    pub fn step(&self, item: &Example, answer: &str, replies: &[ChatReply]) -> Result<JudgeStep, HostError> {
        self.ask(&json!({ "item": item, "answer": answer, "replies": replies }))
    }

    /// The next step of comparing two answers; for a judge alone whose manifest says that it compares.
    pub fn compare(
        &self,
        item: &Example,
        [answer, rival]: [&str; 2],
        replies: &[ChatReply],
    ) -> Result<JudgeStep, HostError> {
        self.ask(&json!({ "item": item, "answer": answer, "rival": rival, "replies": replies }))
    }

    fn ask(&self, input: &Value) -> Result<JudgeStep, HostError> {
        let operation = "judging";
        let input = input.to_string();
        let json = self.inner.step(RStr::from(input.as_str())).into_result();
        let json = json.map_err(|e| HostError::from_abi(&self.name, operation, &e))?;
        serde_json::from_slice(json.as_bytes()).map_err(|e| HostError::invalid(&self.name, operation, e))
    }
}

#[cfg(test)]
mod tests {
    use abi_stable::std_types::RString;
    use serde::Deserialize;
    use tunebench_plugin_api::abi_export::judge_root;
    use tunebench_plugin_api::{self as api, ChatCompletionRequest, JudgeStep as Step};

    use super::*;

    #[derive(Deserialize)]
    struct Options {}

    /// Asks about its answer, or both, then gives the probability of the first token of the reply.
    struct Odds<const COMPARES: bool>;

    fn next(prompt: String, replies: &[api::ChatReply]) -> api::Result<Step> {
        let Some(reply) = replies.first() else {
            let mut request = ChatCompletionRequest::new("m", vec![api::ChatMessage::new("user", prompt)]);
            request.temperature = Some(0.0);
            request.top_logprobs = Some(5);
            request.response_format = Some(json!({ "type": "json_object" }));
            return Ok(Step::Chat { request });
        };
        let first = reply.logprobs.first().ok_or_else(|| api::Error::new("no log-probabilities"))?;
        Ok(Step::Verdict {
            score: first.logprob.exp(),
            reason: format!("{}{}", reply.reasoning, first.top_logprobs.len()),
        })
    }

    impl<const COMPARES: bool> api::Judge for Odds<COMPARES> {
        const NAME: &'static str = "odds";
        const DESCRIPTION: &'static str = "";
        const COMPARES: bool = COMPARES;
        type Options = Options;

        fn new(_: Options) -> api::Result<Self> {
            Ok(Self)
        }

        fn step(&self, _: &api::Example, answer: &str, replies: &[api::ChatReply]) -> api::Result<Step> {
            next(answer.to_owned(), replies)
        }

        fn compare(&self, _: &api::Example, [a, b]: [&str; 2], replies: &[api::ChatReply]) -> api::Result<Step> {
            next(format!("{a} or {b}"), replies)
        }
    }

    extern "C" fn manifest() -> RString {
        RString::new()
    }

    fn open<J: api::Judge>() -> Judge {
        Judge::new("odds", judge_root::<J>(manifest), "{}").unwrap()
    }

    fn item() -> Example {
        serde_json::from_value(json!({ "id": "1", "turns": [{ "role": "user", "content": "2+1?" }] })).unwrap()
    }

    #[test]
    fn requests_and_replies_cross_whole() {
        let (one, two) = (open::<Odds<false>>(), open::<Odds<true>>());
        let reply: ChatReply = serde_json::from_value(json!({
            "content": "A", "finish_reason": "stop", "reasoning": "hm",
            "logprobs": [{ "token": "A", "logprob": 0.75f64.ln(), "top_logprobs": [{ "token": "B", "logprob": -2.0 }] }],
        }))
        .unwrap();
        let replies = [reply];
        for (prompt, asked, said) in [
            ("3", one.step(&item(), "3", &[]), one.step(&item(), "3", &replies)),
            ("3 or 4", two.compare(&item(), ["3", "4"], &[]), two.compare(&item(), ["3", "4"], &replies)),
        ] {
            let JudgeStep::Ask { request } = asked.unwrap() else { panic!("it asks first") };
            assert_eq!((request.messages[0].content.as_str(), request.temperature), (prompt, Some(0.0)));
            assert_eq!((request.max_tokens, request.top_logprobs), (None, Some(5)));
            assert_eq!(request.response_format, Some(json!({ "type": "json_object" })));
            let JudgeStep::Score { score, reason } = said.unwrap() else { panic!("it has a score") };
            assert!((score - 0.75).abs() < 1e-12 && reason == "hm1", "{score} {reason}");
        }
    }

    /// What a host that asks for the wrong thing hears from the plugin; [`crate::JudgePlugin`] says it before that.
    #[test]
    fn a_judge_takes_as_many_answers_as_it_says() {
        for (error, want) in [
            (open::<Odds<true>>().step(&item(), "3", &[]), "compares two answers and was given one; update tunebench"),
            (open::<Odds<false>>().compare(&item(), ["3", "4"], &[]), "one answer at a time and was given two"),
        ] {
            let error = error.unwrap_err().to_string();
            assert!(error.contains(want) && error.contains("plugin `odds`: judging"), "{error}");
        }
    }
}
