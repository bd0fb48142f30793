//! A study from beginning to end, resuming by itself: each arm is trained, answers, is judged, and the frames are
//! written; what is already there under the same identity is not done again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use candle_core::Device;
use tunebench_dataset::Encoder;
use tunebench_host::JudgePlugin;
use tunebench_judge::JudgeError;
use tunebench_llama::{Llama, Tuning, Weights};
use tunebench_results as results;
use tunebench_spec::study::Eval;
use tunebench_spec::{ArmRecord, Example, Generation, Judgement, JudgementStatus, ModelShape, StepLog};

use super::answers::Questions;
use super::arms::{Prepared, Trainer};
use super::folder::{RunFolder, write_whole};
use super::models::BaseModel;
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

/// All records of the arms done so far.
#[derive(Default)]
struct Records {
    arms: Vec<ArmRecord>,
    steps: Vec<StepLog>,
    generations: Vec<Generation>,
    judgements: Vec<Judgement>,
    /// Why judging broke off.
    stopped: Option<JudgeError>,
}

/// Where a run writes, and the seed of its answers.
struct Run<'a> {
    folder: &'a RunFolder,
    seed: u64,
}

/// What the evaluation needs.
struct Evaluation<'a> {
    eval: &'a Eval,
    items: Vec<Example>,
    judge: JudgePlugin,
}

/// Runs a study into a folder.
pub fn run(setup: &Setup, out: &Path, choice: &Choice) -> Result<()> {
    let plans = plan::plan(setup)?;
    let chosen = chosen(setup, &choice.only)?;
    // Whatever is wrong with a later arm is better said before the first is trained.
    for plan in plans.iter().filter(|p| chosen.contains(p.arm.name.as_str())) {
        let check = || {
            let model = BaseModel::open(setup, setup.study.root_model(plan.arm))?;
            model.encoder(setup, plan.template(setup))?;
            data::check(setup, &plan.arm.dataset)
        };
        check().with_context(|| format!("arm `{}`", plan.arm.name))?;
    }
    let evaluation = setup.study.eval.as_ref().map(|eval| evaluation(setup, eval)).transpose()?;
    let mut trainer = Trainer::new(setup, out);
    if choice.dry_run {
        for plan in plans.iter().filter(|p| chosen.contains(p.arm.name.as_str())) {
            let prepared = trainer.prepare(plan)?;
            say(prepared.describe(out)?);
        }
        return Ok(());
    }

    let folder = RunFolder::open(out)?;
    let run = Run { folder: &folder, seed: setup.study.study.seed };
    write_whole(&out.join("study.toml"), setup.study.to_toml()?.as_bytes())?;
    let mut records = Records::default();
    let bases = evaluation.iter().flat_map(|e| &e.eval.bases);
    for id in bases {
        let evaluation = evaluation.as_ref().context("bases without [eval]")?;
        say(format!("{id} as it is"));
        base(setup, &run, evaluation, id, &mut records)?;
        write(&folder, &mut records)?;
    }
    for (i, plan) in plans.iter().enumerate() {
        let name = &plan.arm.name;
        let prepared = match chosen.contains(name.as_str()) {
            true => {
                say(format!("[{}/{}] {name}", i + 1, plans.len()));
                let prepared = trainer.prepare(plan)?;
                trainer.train(&prepared, &folder)?;
                prepared
            }
            // An arm that was not asked for stays in the frames if it is there as the study now describes it.
            false => match trainer.prepare_if_trained(plan)? {
                Some(prepared) => prepared,
                None => continue,
            },
        };
        arm(setup, &run, evaluation.as_ref(), &prepared, &mut records)?;
        write(&folder, &mut records)?;
    }
    Ok(())
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
fn base(setup: &Setup, run: &Run<'_>, evaluation: &Evaluation<'_>, id: &str, records: &mut Records) -> Result<()> {
    let model = BaseModel::open(setup, id)?;
    let template = &setup.study.study.template;
    let candidate =
        Candidate { name: id, identity: &model.identity, encoder: model.encoder(setup, template)?, template };
    let open = || Ok((model.shape.clone(), model.weights()?, Tuning::none()));
    records.arms.push(base_record(setup, &model, id));
    evaluate(run, evaluation, &candidate, open, records)
}

/// A trained arm: its record and, unless only others start from it, its evaluation.
fn arm(
    setup: &Setup,
    run: &Run<'_>,
    evaluation: Option<&Evaluation<'_>>,
    prepared: &Prepared<'_>,
    records: &mut Records,
) -> Result<()> {
    let arm = prepared.plan.arm;
    let root = run.folder.root();
    let (record, steps) = prepared.record(root)?;
    records.arms.push(record);
    records.steps.extend(steps);
    let Some(evaluation) = evaluation.filter(|_| arm.evaluate) else { return Ok(()) };
    let model = BaseModel::open(setup, setup.study.root_model(arm))?;
    let template = prepared.plan.template(setup);
    let encoder = model.encoder(setup, template)?;
    let candidate = Candidate { name: &arm.name, identity: &prepared.identity, encoder, template };
    let open = || {
        let trained = trained::open(root, &prepared.identity)?;
        Ok((trained.file.shape, trained.weights, trained.tuning))
    };
    evaluate(run, evaluation, &candidate, open, records)
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
    records: &mut Records,
) -> Result<()> {
    let Evaluation { eval, items, judge } = evaluation;
    let &Candidate { name, identity, ref encoder, template } = candidate;
    let questions = Questions { items, settings: &eval.generation, template, seed: run.seed };
    let id = questions.identity(identity)?;
    let path = run.folder.answers(&id);
    let mut answers = questions.finished(&path, name)?;
    if answers.is_none() {
        let (shape, weights, tuning) = open()?;
        let model = Llama::new(&shape, &weights, &tuning, &Device::Cpu)?;
        drop((weights, tuning));
        questions.ask(&model, encoder, &path, name)?;
        answers = questions.finished(&path, name)?;
    }
    let answers = answers.with_context(|| format!("{}: answers are missing after answering", path.display()))?;
    let Verdicts { judgements, stopped } = verdicts::verdicts(judge, eval, run.folder, items, &answers)?;
    say(format!("  {}", summary(&judgements)));
    records.generations.extend(answers);
    records.judgements.extend(judgements);
    records.stopped = stopped;
    Ok(())
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
        engine: "reference".to_owned(),
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

/// Writes the frames as they are so far; what was judged is kept even when judging then turns out to have stopped.
fn write(folder: &RunFolder, records: &mut Records) -> Result<()> {
    let root = folder.root();
    results::write_arms(root, &records.arms)?;
    results::write_steps(root, &records.steps)?;
    results::write_generations(root, &records.generations)?;
    results::write_judgements(root, &records.judgements)?;
    match records.stopped.take() {
        Some(reason) => Err(reason).context("judging stopped; what is done is kept, run the study again to go on"),
        None => Ok(()),
    }
}
