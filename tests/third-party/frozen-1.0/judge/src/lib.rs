//! Right is what contains the reference answer, as it was written for version 1.0.0 of the contract.

#![forbid(unsafe_code)]

use tunebench_plugin_api::prelude::*;

#[derive(Default, Deserialize)]
#[serde(crate = "tunebench_plugin_api::serde", default, deny_unknown_fields)]
struct Options {}

struct Contains;

impl Judge for Contains {
    const NAME: &'static str = "frozen-contains";
    const DESCRIPTION: &'static str = "containment of plugin-api 1.0.0";
    type Options = Options;

    fn new(_: Options) -> Result<Self> {
        Ok(Self)
    }

    fn step(&self, item: &Example, answer: &str, _: &[ChatReply]) -> Result<JudgeStep> {
        let is_right = item.reference.as_ref().is_some_and(|reference| answer.contains(reference));
        Ok(JudgeStep::Verdict { score: f64::from(is_right), reason: "containment".into() })
    }
}

export_plugin!(judge: Contains);
