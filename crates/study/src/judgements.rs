//! Judging: a model's generations through the study's judge.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use serde_json::json;
use tunebench_host::{HostError, JudgePlugin};
use tunebench_judge::{Judge, Outcome, judge, tasks};
use tunebench_spec::study::Eval;
use tunebench_spec::{ChatReply, Example, Generation, JudgeStep, Judgement, JudgementStatus, hash};

use crate::error::StudyError;
use crate::generations::SKIPPED;
use crate::model_key::ModelKey;
use crate::observer::{Event, Observer, Stop};

/// Raised when a change of the code changes what is judged.
const JUDGING_VERSION: u32 = 1;

/// What came of judging.
pub struct Judgements {
    pub judgements: Vec<Judgement>,
    /// Why not all answers could be judged; the others have the status failed, and a later run judges them.
    pub stopped: Option<String>,
}

/// Names the judgements of these generations by the judge plugin whose file has this SHA-256.
///
/// # Errors
/// When an option has no JSON form.
pub fn identity(eval: &Eval, plugin_sha256: &str, items: &[Example], generations: &str) -> Result<String, StudyError> {
    Ok(hash::of_json(&json!({
        "judging": JUDGING_VERSION,
        "generations": generations,
        "items": items,
        "judge": [eval.judge, plugin_sha256],
        "options": eval.judge_options,
        "repeats": eval.repeats,
        "server": eval.chat.base_url,
    }))?)
}

/// What generations are judged by, and whose they are.
pub struct Judging<'a> {
    pub plugin: &'a JudgePlugin,
    /// SHA-256 of its file.
    pub plugin_sha256: &'a str,
    pub eval: &'a Eval,
    pub items: &'a [Example],
    pub model: &'a ModelKey,
}

impl Judging<'_> {
    /// Judges generations. Replies that were paid for before, kept in the file `replies`, are read again, never paid twice.
    ///
    /// # Errors
    /// When nothing can begin: a key is missing, the file of replies cannot be read, a generation's item is unknown.
    pub fn judge(
        &self,
        replies: &Path,
        generations: &[Generation],
        observer: &mut dyn Observer,
    ) -> Result<Judgements, StudyError> {
        let Self { plugin, eval, items, model, .. } = self;
        let (answered, skipped): (Vec<Generation>, Vec<Generation>) =
            generations.iter().cloned().partition(|generation| generation.finish != SKIPPED);
        let tasks = tasks(&answered, items, eval.repeats)?;
        observer.on_event(&Event::JudgingStarted { model, judgements: tasks.len() });
        let steps = PluginSteps { plugin, errors: Mutex::default(), is_stopped: AtomicBool::new(false) };
        let outcome = judge(&steps, &tasks, &eval.chat, replies, &mut |progress| {
            observer.on_event(&Event::Judged(progress));
            if observer.stop() != Stop::No {
                steps.is_stopped.store(true, Ordering::Relaxed);
            }
        })?;
        let broken = steps.broken();
        if steps.is_stopped.into_inner() {
            return Err(StudyError::Stopped);
        }
        let Outcome { mut judgements, stopped, notes, .. } = outcome;
        notes.iter().for_each(|note| observer.on_event(&Event::JudgingNote(note)));
        for generation in &skipped {
            judgements.extend((0..eval.repeats).map(|repeat| unscored(generation, plugin.name(), repeat)));
        }
        let hashes = self.hashes();
        for judgement in &mut judgements {
            judgement.judge_hash = hashes.get(judgement.item.as_str()).cloned().unwrap_or_default();
        }
        observer.on_event(&Event::JudgingFinished { model, judgements: &judgements });
        let stopped = stopped.map(|error| error.to_string()).or(broken);
        Ok(Judgements { judgements, stopped })
    }

    /// Of each item's id, the SHA-256 of the judge with the item's rubric.
    fn hashes(&self) -> BTreeMap<&str, String> {
        let Eval { judge, judge_options, chat, .. } = self.eval;
        let of = |item: &Example| {
            let named = json!([JUDGING_VERSION, judge, self.plugin_sha256, judge_options, chat.base_url, item.rubric]);
            hash::of_bytes(named.to_string().as_bytes())
        };
        self.items.iter().map(|item| (item.id.as_str(), of(item))).collect()
    }
}

/// The judgement on an item that the model could not be asked: no score, and why.
fn unscored(generation: &Generation, judge: &str, repeat: u32) -> Judgement {
    let (status, reason) = (JudgementStatus::Unscored, generation.prompt.clone());
    Judgement { status, reason, ..Judgement::begin(generation, judge, repeat) }
}

/// A judge plugin as the judge crate sees it.
struct PluginSteps<'a> {
    plugin: &'a JudgePlugin,
    errors: Mutex<Vec<HostError>>,
    /// Whether nothing more is to be asked; what was asked is kept.
    is_stopped: AtomicBool,
}

impl PluginSteps<'_> {
    /// What to say of a plugin that broke over some answers.
    fn broken(&self) -> Option<String> {
        let errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        let first = errors.first()?;
        Some(match errors.len() {
            1 => first.to_string(),
            n => format!("{first} (and so {n} times)"),
        })
    }
}

impl Judge for PluginSteps<'_> {
    fn step(&self, item: &Example, answer: &str, replies: &[ChatReply]) -> Result<JudgeStep, String> {
        if self.is_stopped.load(Ordering::Relaxed) {
            return Err(StudyError::Stopped.to_string());
        }
        self.plugin.step(item, answer, replies).map_err(|error| {
            let text = error.to_string();
            if error.is_fault() {
                self.errors.lock().unwrap_or_else(PoisonError::into_inner).push(error);
            }
            text
        })
    }

    fn name(&self) -> &str {
        self.plugin.name()
    }
}
