//! How a training run goes: its hyper-parameters, complete or in part, and what follows from them.
//!
//! A recipe is put together in layers, each more specific than the one before: [`Recipe::base`], the tuner's
//! recommendation, the study's `[recipe]`, the arm's own. A layer replaces what it names. Two pairs of fields say one
//! thing in two ways, and a layer that names either replaces both:
//!
//! - `warmup_steps` and `warmup_ratio`: how long the warm-up is;
//! - `batch_size` and `batch_tokens`: what an optimizer step takes.
//!
//! A layer that gives both of a pair contradicts itself and is refused. `epochs` and `max_steps` are no such pair:
//! `max_steps` is a limit on top of any number of epochs.

use serde::{Deserialize, Serialize};

/// How the learning rate falls after warm-up. All reach 0 at the last step but `Constant`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    Cosine,
    Linear,
    Constant,
}

/// More ranks than anybody gives to one training whose lanes are all its parallelism.
pub const MOST_LANES: usize = 1024;

/// The hyper-parameters of a training run, complete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    pub learning_rate: f64,
    pub epochs: f64,
    /// Examples per optimizer step; rows of them with `packing`.
    pub batch_size: usize,
    /// Whether examples are put together into rows of at most `max_length` tokens, whole ones only. An example still
    /// sees nothing but itself, so this decides which examples share a step and nothing else.
    // Absent at its default, here and below, so that arms trained before the field was there keep their names.
    #[serde(default, skip_serializing_if = "is_off")]
    pub packing: bool,
    /// Tokens per optimizer step: it takes whole examples, or rows with `packing`, for as long as they fit, instead of
    /// `batch_size` of them; 0 for no such budget.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub batch_tokens: usize,
    pub schedule: Schedule,
    pub warmup_steps: usize,
    /// Of all steps, instead of `warmup_steps`, which is then 0. The count is rounded up, as transformers does.
    pub warmup_ratio: f64,
    pub weight_decay: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub epsilon: f64,
    /// Gradients are scaled down to this global norm; 0 for no limit.
    pub max_grad_norm: f64,
    /// Longest example in tokens; the rest is cut.
    pub max_length: usize,
    /// Whether prompt tokens are left out of the loss.
    pub mask_prompt: bool,
    /// Stop after this many optimizer steps, whatever `epochs` says; 0 for no limit.
    pub max_steps: usize,
    /// Most tokens, padding included where there is any, in a piece of a step. Each thread computes a piece at a time,
    /// so smaller ones take less memory and occupy more threads; the result differs by rounding only.
    pub micro_batch_tokens: usize,
    /// Runs into which the pieces of a step are cut, one after the other; the gradients of each are added up by themselves,
    /// and the sums then in the order of the runs. So many ranks can compute a step at once, one run each, and any number
    /// of them comes to the same bytes; another number of lanes differs by rounding only.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub lanes: usize,
    /// Optimiser steps between checkpoints.
    pub checkpoint_steps: usize,
    /// Whether the fast engine keeps only each layer's input and computes the layer again on the way back: less memory,
    /// about a third more time, the same numbers.
    #[serde(default, skip_serializing_if = "is_off")]
    pub gradient_checkpointing: bool,
    /// Optimizer steps between measurements of the held-out loss; 0 for one at the end only.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub eval_steps: usize,
    /// Stop after so many measurements in a row without improvement; 0 to go on to the end.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub early_stopping_patience: usize,
    /// By how much a held-out loss must be below the least one before it, in nats per token, to count as improvement.
    #[serde(default, skip_serializing_if = "is_nought")]
    pub early_stopping_threshold: f64,
    /// Whether the result is the state with the least held-out loss, not the last one.
    #[serde(default, skip_serializing_if = "is_off")]
    pub load_best_model_at_end: bool,
}

fn is_off(value: &bool) -> bool {
    !value
}

fn is_zero(value: &usize) -> bool {
    *value == 0
}

fn one() -> usize {
    1
}

fn is_one(value: &usize) -> bool {
    *value == 1
}

fn is_nought(value: &f64) -> bool {
    *value == 0.0
}

macro_rules! recipe_overrides {
    ($($field:ident: $type:ty),* $(,)?) => {
        /// A partial [`Recipe`], one layer of it: what a tuner recommends or a study overrides.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(try_from = "Given")]
        pub struct RecipeOverrides {
            $(#[serde(skip_serializing_if = "Option::is_none")] pub $field: Option<$type>,)*
        }

        /// A layer as written, not yet checked.
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Given {
            $($field: Option<$type>,)*
        }

        impl TryFrom<Given> for RecipeOverrides {
            type Error = String;

            fn try_from(given: Given) -> Result<Self, String> {
                let layer = Self { $($field: given.$field,)* };
                layer.check()?;
                Ok(layer)
            }
        }

        impl Recipe {
            /// This recipe with every value that `overrides` gives; of two fields that say one thing in two ways, the
            /// one that it gives replaces both.
            #[must_use]
            pub fn with(mut self, overrides: &RecipeOverrides) -> Self {
                self.forget_what_is_said_anew(overrides);
                $(if let Some(value) = overrides.$field.clone() { self.$field = value; })*
                self
            }
        }

        impl Recipe {
            /// Every value of it, as a layer: also those that are not written where they have their defaults.
            pub fn stated(&self) -> RecipeOverrides {
                RecipeOverrides { $($field: Some(self.$field.clone()),)* }
            }
        }

        impl RecipeOverrides {
            /// Both layers as one, `over` the more specific.
            #[must_use]
            pub fn with(mut self, over: &Self) -> Self {
                self.forget_what_is_said_anew(over);
                $(if over.$field.is_some() { self.$field = over.$field.clone(); })*
                self
            }
        }
    };
}

recipe_overrides! {
    learning_rate: f64, epochs: f64, batch_size: usize, packing: bool, batch_tokens: usize, schedule: Schedule,
    warmup_steps: usize, warmup_ratio: f64, weight_decay: f64, beta1: f64, beta2: f64, epsilon: f64,
    max_grad_norm: f64, max_length: usize, mask_prompt: bool, max_steps: usize, micro_batch_tokens: usize,
    lanes: usize, checkpoint_steps: usize, gradient_checkpointing: bool, eval_steps: usize,
    early_stopping_patience: usize, early_stopping_threshold: f64, load_best_model_at_end: bool,
}

impl RecipeOverrides {
    /// Whether this layer says each thing in one way only.
    ///
    /// # Errors
    /// A sentence with the two values that contradict each other.
    pub fn check(&self) -> Result<(), String> {
        let warmup = (self.warmup_steps.unwrap_or(0), self.warmup_ratio.unwrap_or(0.0));
        check_warmup(warmup.0, warmup.1)?;
        match (self.batch_size, self.batch_tokens) {
            (Some(size), Some(tokens)) if tokens > 0 => Err(format!(
                "batch_size = {size} and batch_tokens = {tokens} are given together, but a step takes either so many \
                 examples or so many tokens; remove one of them"
            )),
            _ => Ok(()),
        }
    }

    /// Whether this layer says how long the warm-up is, in either way.
    pub fn gives_warmup(&self) -> bool {
        self.warmup_steps.is_some() || self.warmup_ratio.is_some()
    }

    /// Whether this layer says what an optimizer step takes, in either way.
    pub fn gives_batch(&self) -> bool {
        self.batch_size.is_some() || self.batch_tokens.is_some()
    }

    fn forget_what_is_said_anew(&mut self, over: &Self) {
        if over.gives_warmup() {
            (self.warmup_steps, self.warmup_ratio) = (None, None);
        }
        // No budget of tokens leaves the number of examples what it was.
        if over.batch_size.is_some() {
            self.batch_tokens = None;
        } else if over.batch_tokens.is_some_and(|tokens| tokens > 0) {
            self.batch_size = None;
        }
    }
}

fn check_warmup(steps: usize, ratio: f64) -> Result<(), String> {
    if steps > 0 && ratio != 0.0 {
        return Err(format!(
            "warmup_steps = {steps} and warmup_ratio = {ratio} are given together, but both say how long the warm-up \
             is; remove one of them"
        ));
    }
    Ok(())
}

impl Recipe {
    /// What holds when neither tuner nor study says otherwise: transformers' defaults for the optimizer.
    pub fn base() -> Self {
        Self {
            learning_rate: 5e-5,
            epochs: 3.0,
            batch_size: 32,
            packing: false,
            batch_tokens: 0,
            schedule: Schedule::Cosine,
            warmup_steps: 0,
            warmup_ratio: 0.0,
            weight_decay: 0.0,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            max_grad_norm: 1.0,
            max_length: 1024,
            mask_prompt: true,
            max_steps: 0,
            micro_batch_tokens: 4096,
            lanes: 1,
            checkpoint_steps: 100,
            gradient_checkpointing: false,
            eval_steps: 0,
            early_stopping_patience: 0,
            early_stopping_threshold: 0.0,
            load_best_model_at_end: false,
        }
    }

    /// Whether training by these values can mean anything.
    ///
    /// # Errors
    /// A sentence with the value that cannot.
    pub fn check(&self) -> Result<(), String> {
        let positive = [("learning_rate", self.learning_rate), ("epochs", self.epochs), ("epsilon", self.epsilon)];
        let from_zero = [
            ("weight_decay", self.weight_decay),
            ("max_grad_norm", self.max_grad_norm),
            ("early_stopping_threshold", self.early_stopping_threshold),
        ];
        let below_one = [("beta1", self.beta1), ("beta2", self.beta2)];
        let bad = |ok: fn(f64) -> bool| move |(_, value): &&(&str, f64)| !(value.is_finite() && ok(*value));
        if let Some((name, value)) = positive.iter().find(bad(|v| v > 0.0)) {
            return Err(format!("{name} must be positive, not {value}"));
        }
        if let Some((name, value)) = from_zero.iter().find(bad(|v| v >= 0.0)) {
            return Err(format!("{name} must be at least 0, not {value}"));
        }
        if let Some((name, value)) = below_one.iter().find(bad(|v| (0.0..1.0).contains(&v))) {
            return Err(format!("{name} must be at least 0 and below 1, not {value}"));
        }
        if !(0.0..=1.0).contains(&self.warmup_ratio) {
            return Err(format!("warmup_ratio must be from 0 to 1, not {}", self.warmup_ratio));
        }
        check_warmup(self.warmup_steps, self.warmup_ratio)?;
        if self.batch_size == 0 {
            return Err("batch_size must be at least 1".into());
        }
        if self.max_length < 2 {
            return Err(format!("max_length must be at least 2, not {}", self.max_length));
        }
        if !(1..=MOST_LANES).contains(&self.lanes) {
            return Err(format!("lanes must be from 1 to {MOST_LANES}, not {}", self.lanes));
        }
        if (1..self.max_length).contains(&self.batch_tokens) {
            let (tokens, length) = (self.batch_tokens, self.max_length);
            return Err(format!(
                "batch_tokens = {tokens} is less than max_length = {length}, so that one example could exceed it; \
                 raise it to {length} or more, or lower max_length"
            ));
        }
        if self.goes_by_held_out() && self.eval_steps == 0 {
            return Err(
                "early_stopping_patience and load_best_model_at_end go by losses measured during training, and \
                        there is none: set eval_steps to the optimizer steps between them"
                    .into(),
            );
        }
        if self.early_stopping_threshold > 0.0 && self.early_stopping_patience == 0 {
            return Err(
                "early_stopping_threshold means nothing without early_stopping_patience: set both or none".into()
            );
        }
        Ok(())
    }

    fn forget_what_is_said_anew(&mut self, over: &RecipeOverrides) {
        if over.gives_warmup() {
            (self.warmup_steps, self.warmup_ratio) = (0, 0.0);
        }
        if over.batch_size.is_some() {
            self.batch_tokens = 0;
        }
    }

    /// Whether the held-out loss decides when training ends or which state is its result.
    pub fn goes_by_held_out(&self) -> bool {
        self.early_stopping_patience > 0 || self.load_best_model_at_end
    }

    /// Optimiser steps of one epoch of `examples` examples: whole batches, the last one possibly smaller. None when
    /// that depends on how long each example is.
    pub fn steps_per_epoch(&self, examples: u64) -> Option<u64> {
        let is_counted = !self.packing && self.batch_tokens == 0;
        is_counted.then(|| examples.div_ceil(self.batch_size.max(1) as u64))
    }

    /// Optimiser steps for `examples` examples, where their number alone decides it.
    pub fn total_steps(&self, examples: u64) -> Option<u64> {
        Some(self.at_most_max_steps(self.steps_in_epochs(self.steps_per_epoch(examples)?)))
    }

    /// Optimiser steps in all epochs when each has `per_epoch` of them, whatever `max_steps` says.
    pub fn steps_in_epochs(&self, per_epoch: u64) -> u64 {
        (self.epochs * per_epoch as f64).ceil().max(0.0) as u64
    }

    /// `steps`, or `max_steps` when that is less.
    pub fn at_most_max_steps(&self, steps: u64) -> u64 {
        if self.max_steps > 0 { steps.min(self.max_steps as u64) } else { steps }
    }

    /// Steps of linear warm-up out of `total`.
    pub fn warmup(&self, total: u64) -> u64 {
        if self.warmup_steps > 0 {
            return self.warmup_steps as u64;
        }
        (self.warmup_ratio * total as f64).ceil() as u64
    }

    /// The learning rate of step `step` (from 0) out of `total`: transformers' schedules.
    pub fn learning_rate_at(&self, step: u64, total: u64) -> f64 {
        let warmup = self.warmup(total);
        if step < warmup {
            return self.learning_rate * step as f64 / warmup.max(1) as f64;
        }
        let left = total.saturating_sub(warmup).max(1) as f64;
        let progress = ((step - warmup) as f64 / left).min(1.0);
        self.learning_rate
            * match self.schedule {
                Schedule::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()),
                Schedule::Linear => 1.0 - progress,
                Schedule::Constant => 1.0,
            }
    }
}
