//! Judging: a model's generations through the study's judge.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde_json::json;
use tunebench_host::{HostError, JudgePlugin};
use tunebench_judge::{Judge, Outcome, judge, tasks};
use tunebench_spec::study::Eval;
use tunebench_spec::{ChatReply, Example, Generation, JudgeStep, Judgement, JudgementStatus, hash};

use crate::error::StudyError;
use crate::generations::SKIPPED;
use crate::observer::{Event, Observer};

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

/// Judges generations. Replies that were paid for before, kept in the file `replies`, are read again, never paid twice.
///
/// # Errors
/// When nothing can begin: a key is missing, the file of replies cannot be read, a generation's item is unknown.
pub fn judge_generations(
    plugin: &JudgePlugin,
    eval: &Eval,
    replies: &Path,
    items: &[Example],
    generations: &[Generation],
    observer: &mut dyn Observer,
) -> Result<Judgements, StudyError> {
    let (answered, skipped): (Vec<Generation>, Vec<Generation>) =
        generations.iter().cloned().partition(|generation| generation.finish != SKIPPED);
    let tasks = tasks(&answered, items, eval.repeats)?;
    let model = generations.first().map_or("", |generation| &generation.arm);
    observer.on_event(&Event::JudgingStarted { model, judgements: tasks.len() });
    let steps = PluginSteps { plugin, errors: Mutex::default() };
    let Outcome { mut judgements, stopped, notes, .. } =
        judge(&steps, &tasks, &eval.chat, replies, &mut |progress| observer.on_event(&Event::Judged(progress)))?;
    notes.iter().for_each(|note| observer.on_event(&Event::JudgingNote(note)));
    for generation in &skipped {
        judgements.extend((0..eval.repeats).map(|repeat| unscored(generation, plugin.name(), repeat)));
    }
    observer.on_event(&Event::JudgingFinished { model, judgements: &judgements });
    let stopped = stopped.map(|error| error.to_string()).or_else(|| steps.broken());
    Ok(Judgements { judgements, stopped })
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
