//! Training: an arm's examples and recipe make its identity; what is trained under it is never trained again.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::json;
use tunebench_dataset::{Skips, TokenStats, Tokenized};
use tunebench_kernels::machine;
use tunebench_model::Tuning;
use tunebench_spec::plan::RecipePatch;
use tunebench_spec::{ArmRecord, Engine, Recipe, StepLog, hash};
use tunebench_train::batches::{Cut, Steps};

use super::folder::RunFolder;
use super::models::BaseModel;
use super::plan::{ArmPlan, BaseFailed};
use super::setup::Setup;
use super::trained::{self, ArmFile, Base};
use super::{data, memory};
use crate::progress::{Progress, say};

/// Raised when a change of the code changes what training yields.
const TRAINING_VERSION: u32 = 1;

/// Prepares and trains the arms of a study, in its order.
pub struct Trainer<'a> {
    setup: &'a Setup,
    root: PathBuf,
    /// Of the arms prepared so far, by name: what chained arms start from.
    identities: BTreeMap<&'a str, String>,
}

/// An arm, ready to be trained.
pub struct Prepared<'a> {
    pub plan: &'a ArmPlan<'a>,
    /// SHA-256 of all that its training depends on.
    pub identity: String,
    base: Base,
    seed: u64,
    examples: Vec<Tokenized>,
    stats: TokenStats,
    skips: Skips,
}

impl<'a> Trainer<'a> {
    pub fn new(setup: &'a Setup, root: &Path) -> Self {
        Self { setup, root: root.to_owned(), identities: BTreeMap::new() }
    }

    /// Reads and tokenizes an arm's examples, and names it by them, its base, its recorded maths and its recipe.
    pub fn prepare(&mut self, plan: &'a ArmPlan<'a>) -> Result<Prepared<'a>> {
        let name = plan.arm.name.as_str();
        let prepared = self.prepare_arm(plan).with_context(|| format!("arm `{name}`"))?;
        self.identities.insert(name, prepared.identity.clone());
        Ok(prepared)
    }

    fn prepare_arm(&self, plan: &'a ArmPlan<'a>) -> Result<Prepared<'a>> {
        let setup = self.setup;
        let model = BaseModel::open(setup, setup.study.root_model(plan.arm))?;
        let encoder = model.encoder(setup, plan.template(setup))?;
        let found = data::examples(setup, &plan.arm.dataset)?;
        let (examples, stats) = data::tokenize(&encoder, (&plan.recipe).into(), &found.examples);
        anyhow::ensure!(!examples.is_empty(), "no example can be trained on: {}", stats.skips);
        let base = match self.identities.get(plan.arm.base.as_str()) {
            Some(identity) => Base::Arm { identity: identity.clone() },
            None if setup.study.arm(&plan.arm.base).is_some() => {
                return Err(BaseFailed(plan.arm.base.clone()).into());
            }
            None => model.base(),
        };
        let seed = plan.seed(setup);
        let start = match &base {
            Base::Arm { identity } => identity,
            Base::Files { .. } | Base::Init { .. } => &model.identity,
        };
        let identity = identity(plan, setup.engine, start, seed, &examples)?;
        Ok(Prepared { plan, identity, base, seed, examples, stats, skips: found.skips })
    }

    /// Trains an arm, or goes on with its training, or does nothing when it is finished.
    pub fn train(&self, prepared: &Prepared<'_>, folder: &RunFolder) -> Result<()> {
        let name = &prepared.plan.arm.name;
        if let Some(file) = trained::finished(&self.root, &prepared.identity)? {
            say("  already trained");
            // The model's files may lie elsewhere by now; their content is the same.
            let base = prepared.base.clone();
            return trained::finish(&self.root, &ArmFile { base, ..file });
        }
        for skips in [&prepared.skips, &prepared.stats.skips].into_iter().filter(|s| s.total() > 0) {
            say(format!("  rows: {skips}"));
        }
        if prepared.stats.truncated > 0 {
            let TokenStats { truncated, lost_tokens, .. } = prepared.stats;
            let length = prepared.plan.recipe.max_length;
            say(format!("  {truncated} examples cut at max_length {length}, {lost_tokens} tokens lost"));
        }
        let steps = prepared.total_steps();
        let warmup = prepared.plan.recipe.warmup(steps);
        if warmup >= steps {
            say(format!("  {steps} steps in all, {warmup} of warm-up: the learning rate is never reached"));
        }
        prepared.train(self.setup, folder).with_context(|| format!("arm `{name}`"))
    }
}

impl Prepared<'_> {
    /// Optimiser steps altogether; how an engine cuts them does not change their number.
    fn total_steps(&self) -> u64 {
        Steps::new(&self.examples, &self.plan.recipe, self.seed, Cut::Padded).total
    }

    fn train(&self, setup: &Setup, folder: &RunFolder) -> Result<()> {
        let dir = folder.training(&self.identity);
        let ArmPlan { arm, shape, recorded, recipe } = self.plan;
        if let (Some(needed), Some(total)) = (self.plan.memory(setup.engine), machine::memory::total())
            && needed > total
        {
            let [needed, total] = [needed, total].map(memory::shown);
            bail!("training takes {needed} at its peak, and this machine has {total}. {}", memory::REMEDY);
        }
        machine::memory::reset_peak();
        let weights = trained::base_weights(folder.root(), &self.base, shape)?;
        let tuning = Tuning::init(shape, &weights, recorded.clone(), self.seed)?;
        let mut progress = Progress::new("training", self.total_steps());
        tunebench_train::train(
            tunebench_train::Job {
                arm: &arm.name,
                shape,
                weights,
                tuning,
                examples: &self.examples,
                recipe,
                seed: self.seed,
                engine: setup.engine,
                dir: &dir,
            },
            &mut |step| {
                let rate = step.tokens as f64 / step.seconds.max(1e-9);
                progress.set(step.step, &format!("loss {:.3}, {rate:.0} tokens/s", step.loss));
                ControlFlow::Continue(())
            },
        )?;
        drop(progress);
        let model = BaseModel::open(setup, setup.study.root_model(arm))?;
        model.tokenizer(setup)?.save(&dir)?;
        let steps = tunebench_train::steps(&dir)?;
        let file = ArmFile {
            record: self.new_record(&steps, setup.engine),
            shape: shape.clone(),
            template: self.plan.template(setup).to_owned(),
            base: self.base.clone(),
        };
        let r = &file.record;
        say(format!(
            "  trained {} of {} parameters in {:.0} s, {:.0} tokens/s, loss {:.3}",
            r.trainable_params,
            r.model_params,
            r.train_seconds,
            r.tokens_per_second,
            r.final_loss.unwrap_or(f64::NAN)
        ));
        trained::finish(folder.root(), &file)
    }

    /// The record and the steps of a finished training, under the arm's present name.
    pub fn record(&self, root: &Path) -> Result<(ArmRecord, Vec<StepLog>)> {
        let ArmPlan { arm, .. } = self.plan;
        let file = trained::finished(root, &self.identity)?;
        let file = file.with_context(|| format!("arm `{}`: its training is not finished", arm.name))?;
        let steps = tunebench_train::steps(&super::folder::training(root, &self.identity))?;
        let steps = steps.into_iter().map(|s| StepLog { arm: arm.name.clone(), ..s }).collect();
        // Names may have changed since; what they stand for has not.
        let record = ArmRecord {
            arm: arm.name.clone(),
            base: arm.base.clone(),
            tuner: arm.tuner.clone(),
            dataset: arm.dataset.clone(),
            skipped_examples: self.skips.total() + self.stats.skips.total(),
            evaluated: arm.evaluate,
            ..file.record
        };
        Ok((record, steps))
    }

    /// What a dry run says.
    pub fn describe(&self, root: &Path) -> Result<String> {
        let ArmPlan { arm, shape, recorded, .. } = self.plan;
        let state = match trained::finished(root, &self.identity)? {
            Some(_) => "already trained",
            None => "to be trained",
        };
        let TokenStats { examples, tokens, label_tokens, .. } = self.stats;
        Ok(format!(
            "{}: {state}; {examples} examples, {tokens} tokens, {label_tokens} labels, {} steps, {} trainable parameters",
            arm.name,
            self.total_steps(),
            recorded.plan.trainable_params(shape)
        ))
    }

    fn new_record(&self, steps: &[StepLog], engine: Engine) -> ArmRecord {
        let ArmPlan { arm, shape, recorded, .. } = self.plan;
        let train_seconds: f64 = steps.iter().map(|s| s.seconds).sum();
        let tokens: u64 = steps.iter().map(|s| s.tokens).sum();
        let epochs = steps.last().map_or(0.0, |s| s.epoch);
        let last = &steps[steps.len() - steps.len().div_ceil(10)..];
        let mean = last.iter().map(|s| s.loss).sum::<f64>() / last.len() as f64;
        ArmRecord {
            arm: arm.name.clone(),
            base: arm.base.clone(),
            tuner: arm.tuner.clone(),
            dataset: arm.dataset.clone(),
            examples: self.examples.len() as u64,
            skipped_examples: self.skips.total() + self.stats.skips.total(),
            seed: self.seed,
            engine: engine.name().to_owned(),
            model_params: shape.params(),
            trainable_params: recorded.plan.trainable_params(shape),
            additional_params: recorded.plan.additional_params(),
            epochs,
            steps: steps.len() as u64,
            tokens,
            train_seconds,
            hours_per_epoch: train_seconds / 3600.0 / epochs.max(f64::MIN_POSITIVE),
            tokens_per_second: tokens as f64 / train_seconds.max(f64::MIN_POSITIVE),
            peak_rss_bytes: machine::memory::peak().unwrap_or(0),
            final_loss: (!last.is_empty()).then_some(mean),
            identity: self.identity.clone(),
            evaluated: arm.evaluate,
        }
    }
}

/// The hash of all that decides the bytes of a trained arm.
fn identity(plan: &ArmPlan<'_>, engine: Engine, start: &str, seed: u64, examples: &[Tokenized]) -> Result<String> {
    let mut bytes = Vec::new();
    for example in examples {
        bytes.extend((example.tokens.len() as u64).to_le_bytes());
        bytes.extend(example.tokens.iter().flat_map(|t| t.to_le_bytes()));
        bytes.extend(example.is_label.iter().map(|&l| u8::from(l)));
    }
    // What the tuner would have recommended had the study not decided is no part of the name.
    let mut recorded = plan.recorded.clone();
    recorded.plan.recipe = RecipePatch::default();
    Ok(hash::of_json(&json!({
        "training": [engine.name(), TRAINING_VERSION.to_string()],
        "start": start,
        "shape": plan.shape,
        "recorded": recorded,
        "recipe": decisive(&plan.recipe),
        "seed": seed,
        "examples": hash::of_bytes(&bytes),
    }))?)
}

/// A recipe without what its tokens say already and what changes nothing: that is no part of an arm's name.
fn decisive(recipe: &Recipe) -> Recipe {
    Recipe {
        checkpoint_steps: 0,
        // Tokens show where an example was cut, but not how long a packed row may be.
        max_length: if recipe.packing { recipe.max_length } else { 0 },
        batch_size: if recipe.batch_tokens > 0 { 0 } else { recipe.batch_size },
        mask_prompt: false,
        gradient_checkpointing: false,
        ..recipe.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arm_is_named_by_what_decides_its_steps() {
        let base = Recipe::base();
        let changed = |by: &dyn Fn(&Recipe) -> Recipe, recipe: &Recipe| decisive(&by(recipe)) != decisive(recipe);
        let length = |r: &Recipe| Recipe { max_length: 512, ..r.clone() };
        let size = |r: &Recipe| Recipe { batch_size: 4, ..r.clone() };
        let packed = Recipe { packing: true, ..base.clone() };
        let budget = Recipe { batch_tokens: 4096, ..base.clone() };
        assert!(decisive(&packed) != decisive(&base) && decisive(&budget) != decisive(&base));
        assert_eq!([&base, &packed, &budget].map(|r| changed(&length, r)), [false, true, false]);
        assert_eq!([&base, &packed, &budget].map(|r| changed(&size, r)), [true, true, false]);
        // The names of arms from before both settings stay what they were.
        let json = serde_json::to_value(decisive(&base)).unwrap();
        assert_eq!(json.as_object().unwrap().len(), 16, "{json}");
    }
}
