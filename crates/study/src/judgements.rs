//! Judging: an arm's answers through the study's judge.

use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use tunebench_host::{HostError, JudgePlugin};
use tunebench_judge::{Steps, judge, tasks};
use tunebench_spec::study::Eval;
use tunebench_spec::{ChatReply, Example, Generation, JudgeStep, Judgement, JudgementStatus};

use super::answers::NOT_ASKED;
use super::folder::RunFolder;
use crate::progress::{Progress, say};

/// What came of judging.
pub struct Verdicts {
    pub judgements: Vec<Judgement>,
    /// Why not all answers could be judged; the others have the status failed, and a later run judges them.
    pub stopped: Option<String>,
}

/// Judges answers. Replies that were paid for before are read again, never paid twice.
pub fn verdicts(
    plugin: &JudgePlugin,
    eval: &Eval,
    folder: &RunFolder,
    items: &[Example],
    answers: &[Generation],
) -> Result<Verdicts> {
    let (asked, not_asked): (Vec<Generation>, Vec<Generation>) =
        answers.iter().cloned().partition(|answer| answer.finish != NOT_ASKED);
    let tasks = tasks(&asked, items, eval.repeats)?;
    let mut progress = Progress::new("judging", tasks.len() as u64);
    let steps = PluginSteps { plugin, faults: Mutex::default() };
    let outcome = judge(&steps, &tasks, &eval.chat, &folder.replies(), &mut |state| {
        let spent = state.spent_usd.map_or_else(String::new, |usd| format!(", {usd:.2} USD"));
        progress.set(state.done as u64, &format!("{} scored, {} unscored{spent}", state.scored, state.unscored));
    })?;
    drop(progress);
    outcome.notes.iter().for_each(say);
    let mut judgements = outcome.judgements;
    for answer in &not_asked {
        judgements.extend((0..eval.repeats).map(|repeat| unscored(answer, plugin.name(), repeat)));
    }
    let stopped = outcome.stopped.map(|error| error.to_string()).or_else(|| steps.broken());
    Ok(Verdicts { judgements, stopped })
}

/// The verdict on an item that the model could not be asked: none, and why.
fn unscored(answer: &Generation, judge: &str, repeat: u32) -> Judgement {
    Judgement {
        arm: answer.arm.clone(),
        item: answer.item.clone(),
        category: answer.category.clone(),
        judge: judge.to_owned(),
        repeat,
        score: None,
        status: JudgementStatus::Unscored,
        reason: answer.prompt.clone(),
        reply: String::new(),
        request_hash: String::new(),
        model: String::new(),
        cost_usd: None,
        seconds: 0.0,
    }
}

/// A judge plugin as the judge crate sees it.
struct PluginSteps<'a> {
    plugin: &'a JudgePlugin,
    faults: Mutex<Vec<HostError>>,
}

impl PluginSteps<'_> {
    /// What to say of a plugin that broke over some answers.
    fn broken(&self) -> Option<String> {
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let first = faults.first()?;
        Some(match faults.len() {
            1 => first.to_string(),
            n => format!("{first} (and so {n} times)"),
        })
    }
}

impl Steps for PluginSteps<'_> {
    fn step(&self, item: &Example, answer: &str, replies: &[ChatReply]) -> Result<JudgeStep, String> {
        self.plugin.step(item, answer, replies).map_err(|error| {
            let text = error.to_string();
            if error.is_fault() {
                self.faults.lock().unwrap_or_else(PoisonError::into_inner).push(error);
            }
            text
        })
    }

    fn name(&self) -> &str {
        self.plugin.name()
    }
}
