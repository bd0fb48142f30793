//! Several models that are LoRA over one base answer in one batch: the base is read once for all of them, and where one has
//! fewer rows left than there are places, the next has the others. Each row has the bytes that it has alone, and each answer goes
//! into the file of its own model, so that whoever goes on finds what was answered, together or not.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tunebench_generate::{Prompt, Settings, answer_each, groups};
use tunebench_model::backend::{Backend, Generator};
use tunebench_model::{MemoryNeed, Tuning};
use tunebench_spec::plan::RecordedPlan;

use crate::base::{Base, SharedBase};
use crate::error::StudyError;
use crate::evaluated_model::EvaluatedModel;
use crate::evaluation::Evaluation;
use crate::generations::{AnswerFile, AskedItems, GenerationRequest};
use crate::memory::kept_beside_answers;
use crate::model_key::ModelKey;
use crate::observer::{Event, Observer, Stop};
use crate::trained_arm;

/// One of the models that answer together.
pub struct Member<'a> {
    pub request: GenerationRequest<'a>,
    /// The file of its answers.
    pub path: PathBuf,
}

/// Whether two models can answer in one batch: they are adapters that the engine takes side by side, over the same weights,
/// and ask alike. A base model as it came is an adapter that adds nothing.
pub fn is_possible(model: &EvaluatedModel<'_>, other: &EvaluatedModel<'_>, backend: &dyn Backend) -> bool {
    let is_arm = |model: &EvaluatedModel<'_>| matches!(model, EvaluatedModel::Arm(_));
    let (Some(base), Some(of_other)) = (base(model, backend), base(other, backend)) else { return false };
    base == of_other && std::ptr::eq(model.encoder(), other.encoder()) && (is_arm(model) || is_arm(other))
}

/// What a model is an adapter over, where it is one that can stand beside others.
fn base(model: &EvaluatedModel<'_>, backend: &dyn Backend) -> Option<Base> {
    let nothing = RecordedPlan::default();
    let (base, recorded) = match model {
        EvaluatedModel::Base { model, .. } => (model.base(), &nothing),
        EvaluatedModel::Arm(arm) => (arm.base.clone(), &arm.data.plan.recorded),
        EvaluatedModel::Variant(_) => return None,
    };
    backend.grouping_refusal(recorded).is_none().then_some(base)
}

/// What answering takes at most, by models over one base, their adapters beside each other.
///
/// # Errors
/// When the files of a base model cannot be read.
pub fn memory(
    models: &[&EvaluatedModel<'_>],
    evaluation: &Evaluation<'_>,
    backend: &dyn Backend,
) -> Result<MemoryNeed, StudyError> {
    let Some(first) = models.first() else { return Ok(MemoryNeed::default()) };
    let (held, request) = (first.held()?, evaluation.request(first.encoder(), first.key()));
    let tokens = request.longest(held.shape.context());
    let mut need = backend.answering_memory(held.shape, &held.quantised, evaluation.batch_size(), tokens);
    for model in models {
        need = need + model.held()?.adapter;
    }
    Ok(need)
}

/// Whether the base of these models, which is one, stays when they have answered.
///
/// # Errors
/// As [`memory`].
pub fn keeps_base(
    models: &[&EvaluatedModel<'_>],
    evaluation: &Evaluation<'_>,
    backend: &'static dyn Backend,
) -> Result<bool, StudyError> {
    for model in models {
        if !model.keeps_base(backend)? {
            return Ok(false);
        }
    }
    let Some(first) = models.first() else { return Ok(false) };
    let (need, held) = (memory(models, evaluation, backend)?, first.held()?);
    Ok(kept_beside_answers(need, held.shape, (&held.quantised, held.plain), backend).is_some())
}

/// Opens the models of one group, numbered in their order; at least one is an arm. `shared` may have their base.
///
/// # Errors
/// When a file of one is missing or damaged.
pub fn open(
    models: &[&EvaluatedModel<'_>],
    backend: &dyn Backend,
    root: &Path,
    shared: &mut SharedBase,
) -> Result<Box<dyn Generator>, StudyError> {
    let (mut tunings, mut first) = (Vec::new(), None);
    for model in models {
        let EvaluatedModel::Arm(arm) = model else {
            tunings.push(Tuning::none());
            continue;
        };
        let (file, tuning) = trained_arm::tuned(root, &arm.identity)?;
        tunings.push(tuning);
        first.get_or_insert(file);
    }
    let Some(file) = first else {
        return Err(StudyError::Invalid("models without an arm among them answer one by one".to_owned()));
    };
    let weights = trained_arm::base_weights(root, &file.base, &file.shape, shared)?;
    Ok(backend.grouped_generator(&file.shape, weights, tunings)?)
}

/// Answers what is not answered yet of each, model after model as far as there are places; `model` has an adapter for each.
///
/// # Errors
/// When the model fails, for whichever of them, or a file is damaged or cannot be written.
pub fn generate(model: &dyn Generator, members: &[Member<'_>], observer: &mut dyn Observer) -> Result<(), StudyError> {
    let (mut files, mut all): (Vec<AnswerFile>, Vec<AskedItems<'_>>) = (Vec::new(), Vec::new());
    let known: Vec<_> = members.iter().map(|member| member.request.known_prompts(model.positions())).collect();
    for ((adapter, Member { request, path }), known) in members.iter().enumerate().zip(&known) {
        let mut prompts = request.asked_items(known);
        prompts.prompts.iter_mut().for_each(|prompt| prompt.adapter = adapter);
        files.push(request.open(path, &prompts)?);
        all.push(prompts);
    }
    // Of each prompt, whose it is and its number there.
    let mut asked: Vec<(usize, usize)> = Vec::new();
    for (member, (prompts, file)) in all.iter().zip(&files).enumerate() {
        let own = groups(&prompts.prompts, usize::MAX).into_iter().flatten();
        asked.extend(own.filter(|i| !file.done.contains(&prompts.items[*i].0.id)).map(|i| (member, i)));
    }
    let settings: Vec<Arc<Settings>> = members.iter().map(|member| Arc::new(member.request.settings())).collect();
    let prompts: Vec<(&Prompt, Arc<Settings>)> =
        asked.iter().map(|&(member, i)| (&all[member].prompts[i], settings[member].clone())).collect();
    let items: usize = all.iter().map(|prompts| prompts.prompts.len()).sum();
    let mut done = items - asked.len();
    let models: Vec<&ModelKey> = members.iter().map(|member| member.request.model).collect();
    observer.on_event(&Event::AnsweringTogether { models: &models, items, done });
    let places = members.iter().map(|member| member.request.settings.batch_size).min().unwrap_or(1);
    let mut shares = Shares::new(members.len(), asked.iter().map(|(member, _)| *member).collect(), places);
    let mut last = Instant::now();
    answer_each(model, &prompts, places, &mut |number, found| -> Result<(), StudyError> {
        let passed = std::mem::replace(&mut last, Instant::now()).elapsed().as_secs_f64();
        let (member, i) = asked[number];
        let seconds = shares.answered(number, passed);
        let generation = members[member].request.answered(&all[member], i, &found, seconds)?;
        files[member].append(&generation)?;
        done += 1;
        observer.on_event(&Event::Generated { done, generation: &generation });
        if observer.stop() == Stop::No { Ok(()) } else { Err(StudyError::Stopped) }
    })
}

/// Divides the time of a batch among the models that have rows in it, by how many they have: what a model is owed, its next
/// answer has. So the answers of all take as long as the batch.
struct Shares {
    /// Of each prompt, in their order, whose it is.
    of: Vec<usize>,
    /// Of each model: its rows in the batch, and the seconds that no answer has yet.
    rows: Vec<usize>,
    owed: Vec<f64>,
    /// Prompts that have, or had, a row.
    begun: usize,
}

impl Shares {
    fn new(members: usize, of: Vec<usize>, places: usize) -> Self {
        let begun = places.max(1).min(of.len());
        let mut rows = vec![0; members];
        of[..begun].iter().for_each(|member| rows[*member] += 1);
        Self { of, rows, owed: vec![0.0; members], begun }
    }

    /// A prompt was answered, so many seconds after the one before: what its answer took.
    fn answered(&mut self, prompt: usize, seconds: f64) -> f64 {
        let all = self.rows.iter().sum::<usize>().max(1) as f64;
        for (owed, rows) in self.owed.iter_mut().zip(&self.rows) {
            *owed += seconds * *rows as f64 / all;
        }
        let member = self.of[prompt];
        self.rows[member] = self.rows[member].saturating_sub(1);
        if let Some(next) = self.of.get(self.begun) {
            self.rows[*next] += 1;
            self.begun += 1;
        }
        std::mem::take(&mut self.owed[member])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_batch_is_divided_by_rows() {
        // Two places: both of the first, then one of each, then the second alone.
        let mut shares = Shares::new(2, vec![0, 0, 1, 1], 2);
        let found = [(0, 4.0), (1, 2.0), (3, 6.0), (2, 1.0)].map(|(prompt, seconds)| shares.answered(prompt, seconds));
        assert_eq!(found, [4.0, 1.0, 7.0, 1.0]);
        assert_eq!(shares.owed, [0.0, 0.0], "all that passed is told");
    }
}
