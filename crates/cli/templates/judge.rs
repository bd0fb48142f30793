//! Whether an answer is the reference, word for word, as a tunebench judge: the start of one of your own.
//!
//! The front page of tunebench-plugin-api has one that asks a chat model.

use tunebench_plugin_api::prelude::*;

/// What a study may set: `judge_options = { ignore_case = false }`.
#[derive(Deserialize)]
#[serde(crate = "tunebench_plugin_api::serde", default, deny_unknown_fields)]
pub struct Options {
    ignore_case: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { ignore_case: true }
    }
}

/// The judge.
pub struct ExactMatch(Options);

impl ExactMatch {
    /// The words of a text, one space apart, without the full stop at its end.
    fn plain(&self, text: &str) -> String {
        let words: Vec<&str> = text
            .trim()
            .trim_end_matches('.')
            .split_whitespace()
            .collect();
        let text = words.join(" ");
        if self.0.ignore_case {
            text.to_lowercase()
        } else {
            text
        }
    }
}

impl Judge for ExactMatch {
    const NAME: &'static str = "my-plugin";
    const DESCRIPTION: &'static str = "1 when the answer is the reference, else 0";
    type Options = Options;

    fn new(options: Options) -> Result<Self> {
        Ok(Self(options))
    }

    fn step(&self, item: &Example, answer: &str, _replies: &[ChatReply]) -> Result<JudgeStep> {
        // In doubt no score: a guess would count as a measurement.
        let Some(reference) = &item.reference else {
            return Ok(JudgeStep::Unscored {
                reason: "the item has no reference".into(),
            });
        };
        let is_same = self.plain(answer) == self.plain(reference);
        let reason = if is_same {
            "the reference"
        } else {
            "not the reference"
        };
        Ok(JudgeStep::Verdict {
            score: f64::from(is_same),
            reason: reason.into(),
        })
    }
}

export_plugin!(judge: ExactMatch);

#[cfg(test)]
mod tests {
    use tunebench_plugin_api::serde_json::json;
    use tunebench_plugin_api::testing::judge;

    use super::*;

    fn item(reference: Option<&str>) -> Example {
        let turns = vec![Turn::new(Role::User, "The capital of France?")];
        let reference = reference.map(String::from);
        Example {
            id: "1".into(),
            turns,
            category: None,
            reference,
            rubric: None,
        }
    }

    #[test]
    fn answers_are_compared_word_for_word() {
        for (options, answer, expected) in [
            (json!({}), "Paris", 1.0),
            (json!({}), " paris.\n", 1.0),
            (json!({ "ignore_case": false }), "paris", 0.0),
            (json!({}), "Paris, of course", 0.0),
            (json!({}), "", 0.0),
        ] {
            let run = judge::<ExactMatch>(options, &item(Some("Paris")), answer, &[]).unwrap();
            let JudgeStep::Verdict { score, .. } = run.step else {
                panic!("{run:?}")
            };
            assert_eq!(score, expected, "{answer:?}");
        }
    }

    #[test]
    fn without_a_reference_there_is_no_score() {
        let run = judge::<ExactMatch>(json!({}), &item(None), "Paris", &[]).unwrap();
        assert!(matches!(run.step, JudgeStep::Unscored { .. }), "{run:?}");
    }
}
