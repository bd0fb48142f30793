//! Judging: a model's generations through the study's judge.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde_json::json;
use tunebench_chat::{Chat, ChatError};
use tunebench_host::{HostError, JudgePlugin};
use tunebench_judge::{Draw, Judge, JudgeError, Outcome, Question, Server, Settings, Subjects, judge, tasks};
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
        let subjects = Subjects::new(items, |item| self.hash(item));
        let draw = Draw { repeats: eval.repeats, ..Draw::default() };
        let tasks = tasks(&answered, &subjects, &draw)?;
        observer.on_event(&Event::JudgingStarted { model, judgements: tasks.len() });
        let steps = PluginSteps { plugin, errors: Mutex::default() };
        let chat = Chat::new(&eval.chat);
        let server = match &chat {
            Ok(chat) => Server::Each(chat),
            // A judge that asks nobody needs no key.
            Err(ChatError::MissingKey { .. }) => Server::None,
            Err(error) => return Err(JudgeError::from(error.clone()).into()),
        };
        let settings = Settings::of(&eval.chat)?;
        let outcome = judge(&steps, &tasks, server, &settings, replies, &mut |progress| {
            observer.on_event(&Event::Judged(progress));
            if observer.stop() == Stop::No { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        let broken = steps.broken();
        let Outcome { mut judgements, stopped, notes, .. } = outcome;
        if stopped == Some(JudgeError::Interrupted) {
            return Err(StudyError::Stopped);
        }
        notes.iter().for_each(|note| observer.on_event(&Event::JudgingNote(note)));
        for generation in &skipped {
            let unscored = |repeat| Judgement {
                judge_hash: items
                    .iter()
                    .find(|item| item.id == generation.item)
                    .map(|item| self.hash(item))
                    .unwrap_or_default(),
                ..unscored(generation, plugin.name(), repeat)
            };
            judgements.extend((0..eval.repeats).map(unscored));
        }
        observer.on_event(&Event::JudgingFinished { model, judgements: &judgements });
        let was_asked = judgements.iter().any(|judgement| judgement.status == JudgementStatus::Failed);
        let keyless = chat.err().filter(|_| was_asked).map(|error| error.to_string());
        let stopped = stopped.map(|error| error.to_string()).or(broken).or(keyless);
        Ok(Judgements { judgements, stopped })
    }

    /// The SHA-256 of the judge with the item's rubric.
    fn hash(&self, item: &Example) -> String {
        let Eval { judge, judge_options, chat, .. } = self.eval;
        let named = json!([JUDGING_VERSION, judge, self.plugin_sha256, judge_options, chat.base_url, item.rubric]);
        hash::of_bytes(named.to_string().as_bytes())
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
    fn step(&self, question: &Question<'_>, replies: &[ChatReply]) -> Result<JudgeStep, String> {
        let Question { item, answer, rival } = question;
        let step = match rival {
            None => self.plugin.step(item, answer, replies),
            Some(rival) => self.plugin.compare(item, [answer, rival], replies),
        };
        step.map_err(|error| {
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
