//! A judge beside its plugin: one pure step at a time.

use abi_stable::std_types::RStr;
use serde_json::json;
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
        let operation = "judging";
        let input = json!({ "item": item, "answer": answer, "replies": replies }).to_string();
        let json = self.inner.step(RStr::from(input.as_str())).into_result();
        let json = json.map_err(|e| HostError::from_abi(&self.name, operation, &e))?;
        serde_json::from_slice(json.as_bytes()).map_err(|e| HostError::invalid(&self.name, operation, e))
    }
}
