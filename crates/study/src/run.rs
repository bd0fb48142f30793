//! A study from beginning to end, resuming by itself: each arm is trained, answers, is judged, and the frames are
//! written; what is already there under the same identity is not done again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use tunebench_dataset::Encoder;
use tunebench_generate::Model;
use tunebench_host::JudgePlugin;
use tunebench_model::files::write_atomically;
use tunebench_model::{Tuning, Weights};
use tunebench_spec::study::Eval;
use tunebench_spec::{ArmRecord, Engine, Example, Judgement, JudgementStatus, ModelShape};

use super::answers::Questions;
use super::arms::Trainer;
use super::folder::RunFolder;
use super::models::BaseModel;
use super::plan::{ArmPlan, Plans, is_fault};
use super::records::{Done, Part, Records};
use super::setup::Setup;
use super::verdicts::{self, Verdicts};
use super::{data, plan, trained};
use crate::progress::say;

/// What of a study to run.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// These arms and what they start from; all when empty.
    pub only: Vec<String>,
    /// Check everything and say what would be done.
    pub dry_run: bool,
}

/// Where a run writes, and the seed of its answers.
struct Run<'a> {
    folder: &'a RunFolder,
    seed: u64,
    engine: Engine,
}

/// What the evaluation needs.
struct Evaluation<'a> {
    eval: &'a Eval,
    items: Vec<Example>,
    judge: JudgePlugin,
}

/// Runs a study into a folder. An arm that fails is said and passed over, with what starts from it, and is an error
/// at the end.
pub fn run(setup: &Setup, out: &Path, choice: &Choice) -> Result<()> {
    let Plans { arms: plans, broken } = plan::plan(setup)?;
    let chosen = chosen(setup, &choice.only)?;
    let evaluation = setup.study.eval.as_ref().map(|eval| evaluation(setup, eval)).transpose()?;
    let mut trainer = Trainer::new(setup, out);
    // Every arm is prepared before the first is trained: what is wrong with a later one is better said now, and an
    // arm that is not to be run stays in the frames if it is there as the study describes it.
    let mut identities = BTreeMap::new();
    let mut failures = Vec::new();
    let broken = broken.into_iter().filter(|(name, _)| chosen.contains(name));
    broken.for_each(|(_, error)| fail(&mut failures, &error));
    for plan in &plans {
        let name = plan.arm.name.as_str();
        match trainer.prepare(plan) {
            Ok(prepared) => {
                if choice.dry_run && chosen.contains(name) {
                    say(prepared.describe(out)?);
                }
                identities.insert(name.to_owned(), prepared.identity);
            }
            Err(error) if chosen.contains(name) && is_fault(&error) => fail(&mut failures, &error),
            Err(error) if chosen.contains(name) => return Err(error),
            Err(error) => say(format!("{error:#}; it is left out")),
        }
    }
    if choice.dry_run {
        return end(&failures);
    }
    let bases: Vec<&str> = evaluation.iter().flat_map(|e| &e.eval.bases).map(String::as_str).collect();
    for id in &bases {
        identities.insert((*id).to_owned(), BaseModel::open(setup, id)?.identity);
    }

    let folder = RunFolder::open(out)?;
    let run = Run { folder: &folder, seed: setup.study.study.seed, engine: setup.engine };
    let text = setup.study.to_toml()?;
    write_atomically(&out.join("study.toml"), |file| file.write_all(text.as_bytes()))?;
    let order = bases.iter().copied().chain(plans.iter().map(|p| p.arm.name.as_str()));
    let mut records = Records::open(out, order, &identities);
    if let Some(evaluation) = evaluation.as_ref().filter(|_| choice.only.is_empty()) {
        for id in bases {
            say(format!("{id} as it is"));
            let done = base(setup, &run, evaluation, id);
            records.add(&folder, id, done, &mut failures)?;
        }
    }
    let is_ready = |p: &&ArmPlan<'_>| chosen.contains(p.arm.name.as_str()) && identities.contains_key(&p.arm.name);
    let chosen_plans: Vec<&ArmPlan<'_>> = plans.iter().filter(is_ready).collect();
    for (i, plan) in chosen_plans.iter().enumerate() {
        let name = &plan.arm.name;
        say(format!("[{}/{}] {name}", i + 1, chosen_plans.len()));
        let done = arm(setup, &run, evaluation.as_ref(), &mut trainer, plan);
        records.add(&folder, name, done, &mut failures)?;
    }
    end(&failures)
}

/// Says and notes what a plugin broke.
fn fail(failures: &mut Vec<String>, error: &anyhow::Error) {
    say(format!("failed: {error:#}"));
    failures.push(format!("{error:#}"));
}

fn end(failures: &[String]) -> Result<()> {
    if failures.is_empty() {
        return Ok(());
    }
    bail!("{} failed; what is done is kept, run the study again to go on: {}", failures.len(), failures.join("; "))
}

/// The names of the arms to run: those asked for, and what they start from.
fn chosen<'a>(setup: &'a Setup, only: &[String]) -> Result<BTreeSet<&'a str>> {
    let study = &setup.study;
    if only.is_empty() {
        return Ok(study.arms.iter().map(|a| a.name.as_str()).collect());
    }
    let mut chosen = BTreeSet::new();
    for name in only {
        let Some(mut arm) = study.arm(name) else {
            let known: Vec<&str> = study.arms.iter().map(|a| a.name.as_str()).collect();
            bail!("--only {name}: no such arm; there are: {}", known.join(", "));
        };
        while chosen.insert(arm.name.as_str()) {
            let Some(parent) = study.arm(&arm.base) else { break };
            arm = parent;
        }
    }
    Ok(chosen)
}

fn evaluation<'a>(setup: &'a Setup, eval: &'a Eval) -> Result<Evaluation<'a>> {
    let judge = setup.plugins.judge(&eval.judge, &eval.judge_options)?;
    let found = data::examples(setup, &eval.items)?;
    if found.skips.total() > 0 {
        say(format!("evaluation items: {}", found.skips));
    }
    let mut seen = BTreeSet::new();
    if let Some(item) = found.examples.iter().find(|item| !seen.insert(&item.id)) {
        bail!("dataset `{}`: two items have the id `{}`", eval.items, item.id);
    }
    Ok(Evaluation { eval, items: found.examples, judge })
}

/// A model as it came, evaluated for comparison.
fn base(setup: &Setup, run: &Run<'_>, evaluation: &Evaluation<'_>, id: &str) -> Result<Done> {
    let model = BaseModel::open(setup, id)?;
    let template = &setup.study.study.template;
    let candidate =
        Candidate { name: id, identity: &model.identity, encoder: model.encoder(setup, template)?, template };
    let open = || Ok((model.shape.clone(), model.weights()?, Tuning::none()));
    let mut done = evaluate(run, evaluation, &candidate, open)?;
    done.part.arms.push(base_record(setup, &model, id));
    Ok(done)
}

/// An arm, trained if it is not yet, and evaluated unless only others start from it.
fn arm<'a>(
    setup: &Setup,
    run: &Run<'_>,
    evaluation: Option<&Evaluation<'_>>,
    trainer: &mut Trainer<'a>,
    plan: &'a ArmPlan<'a>,
) -> Result<Done> {
    let prepared = trainer.prepare(plan)?;
    trainer.train(&prepared, run.folder)?;
    let root = run.folder.root();
    let (record, steps) = prepared.record(root)?;
    let mut done = match evaluation.filter(|_| plan.arm.evaluate) {
        None => Done::default(),
        Some(evaluation) => {
            let model = BaseModel::open(setup, setup.study.root_model(plan.arm))?;
            let template = plan.template(setup);
            let encoder = model.encoder(setup, template)?;
            let candidate = Candidate { name: &plan.arm.name, identity: &prepared.identity, encoder, template };
            let open = || {
                let trained = trained::open(root, &prepared.identity)?;
                Ok((trained.file.shape, trained.weights, trained.tuning))
            };
            evaluate(run, evaluation, &candidate, open)?
        }
    };
    done.part.arms.push(record);
    done.part.steps = steps;
    Ok(done)
}

/// A model under the name it has in the frames.
struct Candidate<'a> {
    name: &'a str,
    identity: &'a str,
    encoder: Encoder,
    template: &'a str,
}

/// Answers and verdicts of one candidate, which is opened only when answers are missing.
fn evaluate(
    run: &Run<'_>,
    evaluation: &Evaluation<'_>,
    candidate: &Candidate<'_>,
    open: impl FnOnce() -> Result<(ModelShape, Weights, Tuning)>,
) -> Result<Done> {
    let Evaluation { eval, items, judge } = evaluation;
    let &Candidate { name, identity, ref encoder, template } = candidate;
    let questions = Questions { items, settings: &eval.generation, template, seed: run.seed, engine: run.engine };
    let id = questions.identity(identity, encoder)?;
    let path = run.folder.answers(&id);
    let mut answers = questions.finished(&path, name)?;
    if answers.is_none() {
        let (shape, weights, tuning) = open()?;
        let model = Model::new(run.engine, &shape, weights, tuning)?;
        questions.ask(&model, encoder, &path, name)?;
        answers = questions.finished(&path, name)?;
    }
    let answers = answers.with_context(|| format!("{}: answers are missing after answering", path.display()))?;
    let Verdicts { judgements, stopped } = verdicts::verdicts(judge, eval, run.folder, items, &answers)?;
    say(format!("  {}", summary(&judgements)));
    let part = Part { generations: answers, judgements, ..Part::default() };
    Ok(Done { part, stopped })
}

/// One line on what came of the judging.
fn summary(judgements: &[Judgement]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for judgement in judgements {
        let status = match judgement.status {
            JudgementStatus::Scored => "scored",
            JudgementStatus::Unscored => "unscored",
            JudgementStatus::Failed => "failed",
        };
        *counts.entry(status).or_default() += 1;
    }
    let scores: Vec<f64> = judgements.iter().filter_map(|j| j.score).collect();
    let counts: Vec<String> = counts.iter().map(|(status, n)| format!("{n} {status}")).collect();
    let mean = match scores.len() {
        0 => String::new(),
        n => format!(", mean score {:.3}", scores.iter().sum::<f64>() / n as f64),
    };
    format!("{} answers judged: {}{mean}", judgements.len(), counts.join(", "))
}

fn base_record(setup: &Setup, model: &BaseModel<'_>, id: &str) -> ArmRecord {
    ArmRecord {
        arm: id.to_owned(),
        base: String::new(),
        tuner: "none".to_owned(),
        dataset: String::new(),
        examples: 0,
        skipped_examples: 0,
        seed: setup.study.study.seed,
        engine: setup.engine.name().to_owned(),
        model_params: model.shape.params(),
        trainable_params: 0,
        additional_params: 0,
        epochs: 0.0,
        steps: 0,
        tokens: 0,
        train_seconds: 0.0,
        hours_per_epoch: 0.0,
        tokens_per_second: 0.0,
        peak_rss_bytes: 0,
        final_loss: None,
        identity: model.identity.clone(),
        evaluated: true,
    }
}
