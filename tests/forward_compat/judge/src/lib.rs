//! A judge of a later version of the contract, which uses nothing that this one lacks.

#![forbid(unsafe_code)]

use tunebench_plugin_api::prelude::*;

#[derive(Default, Deserialize)]
#[serde(crate = "tunebench_plugin_api::serde", default, deny_unknown_fields)]
struct Options {}

struct Length;

impl Judge for Length {
    const NAME: &'static str = "newer-length";
    const DESCRIPTION: &'static str = "a long answer is a good answer";
    type Options = Options;

    fn new(_: Options) -> Result<Self> {
        Ok(Self)
    }

    fn step(&self, _: &Example, answer: &str, _: &[ChatReply]) -> Result<JudgeStep> {
        Ok(JudgeStep::Verdict { score: f64::from(answer.len() > 3), reason: "length".into() })
    }
}

export_plugin!(judge: Length);
