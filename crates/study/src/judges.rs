//! The judges of a study, opened: the plugin of each, what it is named by, and what it is asked.

use serde_json::json;
use tunebench_host::{JudgePlugin, Registry};
use tunebench_spec::study::{ChatSettings, JudgeSettings};
use tunebench_spec::{ChatReply, ChatRequest, Example, JudgeStep, hash};

use crate::error::{Locate, StudyError};

/// Raised when a change of the code changes what is judged.
const JUDGING_VERSION: u32 = 2;

/// What stands before the name of a model that our own engine runs.
pub const LOCAL: &str = "local:";

/// A judge: its settings, and the plugin that knows what to ask.
pub struct OpenJudge {
    pub settings: JudgeSettings,
    pub plugin: JudgePlugin,
    /// SHA-256 of the plugin's file.
    plugin_sha256: String,
}

impl OpenJudge {
    /// Opens the plugin with the judge's options.
    ///
    /// # Errors
    /// When there is no such plugin, it refuses the options, or the settings do not fit it.
    pub fn open(plugins: &Registry, settings: JudgeSettings) -> Result<Self, StudyError> {
        let place = format!("judge `{}`", settings.name());
        settings.check().map_err(|fault| StudyError::Invalid(format!("{place}: {fault}")))?;
        let plugin = plugins.judge(&settings.judge, &settings.judge_options).at(&place)?;
        let plugin_sha256 = plugins.find("judge", &settings.judge)?.sha256.clone();
        if settings.baseline.is_some() && !plugin.compares() {
            let fault = "it marks each answer by itself, so a baseline means nothing to it; leave `baseline` out, or name a \
                         judge that compares";
            return Err(StudyError::Invalid(format!("{place}: {fault}")));
        }
        Ok(Self { settings, plugin, plugin_sha256 })
    }

    /// What frames call it.
    pub fn name(&self) -> &str {
        self.settings.name()
    }

    /// Whether it compares two answers, instead of marking one.
    pub fn compares(&self) -> bool {
        self.plugin.compares()
    }

    /// Whether it waits until all models have answered: it compares their answers, asks in batches that may take a day each, or
    /// has a model in memory that nothing should be trained beside.
    pub fn waits(&self) -> bool {
        let chat = self.chat();
        self.compares() || chat.batch || chat.base_url.starts_with(LOCAL)
    }

    /// Whom it asks.
    pub fn chat(&self) -> ChatSettings {
        self.settings.chat.clone().unwrap_or_default()
    }

    /// Its first step for an answer; of a judge that compares, for the answer beside one that hardly differs: it may know of equal
    /// ones what they are without asking.
    ///
    /// # Errors
    /// When the plugin fails.
    pub fn first_step(&self, item: &Example, answer: &str) -> Result<JudgeStep, StudyError> {
        let replies: &[ChatReply] = &[];
        Ok(match self.compares() {
            true => self.plugin.compare(item, [answer, &format!("{answer}?")], replies)?,
            false => self.plugin.step(item, answer, replies)?,
        })
    }

    /// What it asks first about these items, each with its reference as the answer; none of a judge that asks nobody, or when
    /// it broke, which is told when it judges.
    pub fn first_request(&self, items: &[Example]) -> Option<ChatRequest> {
        items.iter().find_map(|item| match self.first_step(item, item.reference.as_deref().unwrap_or("?")) {
            Ok(JudgeStep::Ask { request }) => Some(request),
            _ => None,
        })
    }

    /// SHA-256 of the judge with an item's rubric: judgements under different ones do not measure the same. `server` names who
    /// is asked.
    pub fn hash(&self, item: &Example, server: &str) -> String {
        let JudgeSettings { judge, judge_options, .. } = &self.settings;
        let named = json!([JUDGING_VERSION, judge, self.plugin_sha256, judge_options, server, item.rubric]);
        hash::of_bytes(named.to_string().as_bytes())
    }

    /// Names what it says of these generations.
    ///
    /// # Errors
    /// When an option has no JSON form.
    pub fn identity(&self, items: &[Example], generations: &str) -> Result<String, StudyError> {
        let JudgeSettings { judge, judge_options, repeats, repeat_share, share, baseline, .. } = &self.settings;
        Ok(hash::of_json(&json!({
            "judging": JUDGING_VERSION,
            "generations": generations,
            "items": items,
            "judge": [judge, &self.plugin_sha256],
            "name": self.name(),
            "options": judge_options,
            "repeats": repeats,
            "shares": [share, repeat_share],
            "baseline": baseline,
            "server": tunebench_chat::server_name(&self.chat().base_url),
        }))?)
    }
}
