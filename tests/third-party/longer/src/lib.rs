//! The longer of two answers is the better one: a judge that compares and asks nobody, to see what length alone would
//! win.

#![forbid(unsafe_code)]

use tunebench_plugin_api::prelude::*;

#[derive(Default, Deserialize)]
#[serde(crate = "tunebench_plugin_api::serde", default, deny_unknown_fields)]
struct Options {
    /// Answers whose lengths differ by at most so many characters are alike.
    tie: usize,
}

struct Longer(Options);

impl Judge for Longer {
    const NAME: &'static str = "longer";
    const DESCRIPTION: &'static str = "the longer of two answers wins";
    const COMPARES: bool = true;
    type Options = Options;

    fn new(options: Options) -> Result<Self> {
        Ok(Self(options))
    }

    fn compare(&self, _: &Example, answers: [&str; 2], _: &[ChatReply]) -> Result<JudgeStep> {
        let [first, second] = answers.map(|answer| answer.chars().count());
        if first == 0 && second == 0 {
            return Ok(JudgeStep::Unscored { reason: "both answers are empty".into() });
        }
        let score = match first.abs_diff(second) <= self.0.tie {
            true => 0.5,
            false => f64::from(first > second),
        };
        Ok(JudgeStep::Verdict { score, reason: format!("{first} characters against {second}") })
    }
}

export_plugin!(judge: Longer);
