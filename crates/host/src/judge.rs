//! A loaded judge: one pure step at a time.

use abi_stable::std_types::RStr;
use serde_json::json;
use tunebench_plugin_api::abi::JudgeBox;
use tunebench_spec::{ChatReply, Example, JudgeStep};

use crate::{HostError, Options, Plugin, options_json};

/// A judge with its options.
pub struct JudgePlugin {
    name: String,
    inner: JudgeBox,
}

impl JudgePlugin {
    pub(crate) fn new(plugin: &Plugin, options: &Options) -> Result<Self, HostError> {
        let name = plugin.manifest.name.clone();
        let options = options_json(options);
        let inner = plugin.root.new_judge()(RStr::from(options.as_str()))
            .into_result()
            .map_err(|e| HostError::from_abi(&name, "taking its options", &e))?;
        Ok(Self { name, inner })
    }

    /// The plugin's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The next step for an answer, given the replies so far.
    ///
    /// # Errors
    /// When the plugin fails or returns something else than a step.
    pub fn step(&self, item: &Example, answer: &str, replies: &[ChatReply]) -> Result<JudgeStep, HostError> {
        let doing = "judging";
        let input = json!({ "item": item, "answer": answer, "replies": replies }).to_string();
        let json = self.inner.step(RStr::from(input.as_str())).into_result();
        let json = json.map_err(|e| HostError::from_abi(&self.name, doing, &e))?;
        serde_json::from_str(&json).map_err(|e| HostError::invalid(&self.name, doing, e))
    }
}
