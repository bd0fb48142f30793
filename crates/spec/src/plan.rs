//! What a tuner does with each weight, and the recipe it is trained by.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::graph::{DType, Graph};
use crate::model::ModelShape;
use crate::virtual_tokens::VirtualTokens;

/// A tuner's decision about every weight of a model, by name, what it puts in front of examples, and its recipe.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TunePlan {
    pub weights: BTreeMap<String, WeightPlan>,
    /// What stands in front of every example, if anything does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtual_tokens: Option<VirtualTokens>,
    /// What the tuner recommends; a study may override each value.
    #[serde(default)]
    pub recipe: RecipePatch,
}

/// What happens to one weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum WeightPlan {
    Frozen,
    Trainable {
        /// Multiplies the learning rate.
        #[serde(default = "one")]
        lr_scale: f64,
    },
    /// Stays frozen, and its product is replaced by the tuner's recorded maths over new parameters.
    Adapted {
        params: Vec<ParamSpec>,
    },
}

/// One new parameter of an adapted weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParamSpec {
    /// Unique within the site, e.g. `lora_A`.
    pub name: String,
    pub shape: Vec<usize>,
    #[serde(default = "f32_dtype")]
    pub dtype: DType,
    pub init: Init,
    #[serde(default = "one")]
    pub lr_scale: f64,
}

/// How a new parameter begins. `fan_in` is the length of the last axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Init {
    Zeros,
    Ones,
    /// Uniform in ±sqrt(6 / ((1 + a²) fan_in)): PyTorch's `kaiming_uniform_`; PEFT uses a = √5.
    KaimingUniform {
        a: f64,
    },
    Normal {
        mean: f64,
        std: f64,
    },
    Uniform {
        low: f64,
        high: f64,
    },
    /// By the tuner's own recorded maths over the base weight and the parameters listed before it.
    Computed,
}

fn one() -> f64 {
    1.0
}

fn f32_dtype() -> DType {
    DType::F32
}

impl TunePlan {
    /// Parameters that an optimiser updates: trainable weights, and the parameters of adapted ones and virtual tokens.
    pub fn trainable_params(&self, model: &ModelShape) -> u64 {
        let sizes: BTreeMap<String, u64> = model.weights().into_iter().map(|w| (w.name.clone(), w.len())).collect();
        let count = |(name, plan): (&String, &WeightPlan)| match plan {
            WeightPlan::Frozen => 0,
            WeightPlan::Trainable { .. } => sizes.get(name).copied().unwrap_or(0),
            WeightPlan::Adapted { params } => params.iter().map(ParamSpec::len).sum(),
        };
        self.weights.iter().map(count).sum::<u64>() + self.virtual_params()
    }

    /// Parameters beyond the base model's own: those of adapted weights and of virtual tokens.
    pub fn additional_params(&self) -> u64 {
        self.adapted().flat_map(|(_, params)| params).map(ParamSpec::len).sum::<u64>() + self.virtual_params()
    }

    /// Number of virtual tokens in front of each example.
    pub fn virtual_count(&self) -> usize {
        self.virtual_tokens.as_ref().map_or(0, |tokens| tokens.count)
    }

    fn virtual_params(&self) -> u64 {
        self.virtual_tokens.iter().flat_map(|tokens| &tokens.params).map(ParamSpec::len).sum()
    }

    /// The adapted weights, in order of their names.
    pub fn adapted(&self) -> impl Iterator<Item = (&str, &[ParamSpec])> {
        self.weights.iter().filter_map(|(name, plan)| match plan {
            WeightPlan::Adapted { params } => Some((name.as_str(), params.as_slice())),
            _ => None,
        })
    }
}

impl ParamSpec {
    /// Number of elements.
    pub fn len(&self) -> u64 {
        self.shape.iter().map(|&d| d as u64).product()
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The recorded maths of one adapted weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SiteGraphs {
    /// `x [t, in] -> [t, out]`.
    pub forward: Graph,
    /// The weight with the adaptation folded in, `[out, in]`; none when the tuner cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge: Option<Graph>,
    /// Initial values of the parameters whose init is [`Init::Computed`], by parameter name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inits: BTreeMap<String, Graph>,
}

/// A plan with the maths of all its sites: all that is needed to build, train and reopen a tuned model.
/// Equal graphs are stored once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    pub plan: TunePlan,
    pub graphs: Vec<SiteGraphs>,
    /// Adapted weight name -> index into `graphs`.
    pub sites: BTreeMap<String, usize>,
    /// The virtual tokens of the plan, as [`VirtualTokens::shape`] says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtual_tokens: Option<Graph>,
}

impl Recorded {
    /// The graphs of an adapted weight.
    pub fn graphs_of(&self, weight: &str) -> Option<&SiteGraphs> {
        self.graphs.get(*self.sites.get(weight)?)
    }
}

/// How the learning rate falls after warm-up. All reach 0 at the last step but `Constant`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    Cosine,
    Linear,
    Constant,
}

/// The hyper-parameters of a training run, complete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    pub learning_rate: f64,
    pub epochs: f64,
    /// Examples per optimiser step; rows of them with `packing`.
    pub batch_size: usize,
    /// Whether examples are put together into rows of at most `max_length` tokens, whole ones only. An example still
    /// sees nothing but itself, so this decides which examples share a step and nothing else.
    // Absent at its default, here and below, so that arms trained before the field was there keep their names.
    #[serde(default, skip_serializing_if = "is_off")]
    pub packing: bool,
    /// Tokens per optimiser step: it takes whole examples, or rows with `packing`, for as long as they fit, instead of
    /// `batch_size` of them; 0 for no such budget.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub batch_tokens: usize,
    pub schedule: Schedule,
    pub warmup_steps: usize,
    /// Of all steps; used when `warmup_steps` is 0. The count is rounded up, as transformers does.
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
    /// Stop after this many optimiser steps, whatever `epochs` says; 0 for no limit.
    pub max_steps: usize,
    /// Most tokens, padding included where there is any, in a piece of a step. Each thread computes a piece at a time,
    /// so smaller ones take less memory and occupy more threads; the result differs by rounding only.
    pub micro_batch_tokens: usize,
    /// Optimiser steps between checkpoints.
    pub checkpoint_steps: usize,
    /// Whether the fast engine keeps only each layer's input and computes the layer again on the way back: less memory,
    /// about a third more time, the same numbers.
    #[serde(default, skip_serializing_if = "is_off")]
    pub gradient_checkpointing: bool,
}

fn is_off(value: &bool) -> bool {
    !value
}

fn is_zero(value: &usize) -> bool {
    *value == 0
}

macro_rules! recipe_patch {
    ($($field:ident: $type:ty),* $(,)?) => {
        /// A partial [`Recipe`]: what a tuner recommends or a study overrides.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct RecipePatch {
            $(#[serde(default, skip_serializing_if = "Option::is_none")] pub $field: Option<$type>,)*
        }

        impl Recipe {
            /// This recipe with every value that `patch` gives.
            #[must_use]
            pub fn patched(mut self, patch: &RecipePatch) -> Self {
                $(if let Some(value) = patch.$field.clone() { self.$field = value; })*
                self
            }
        }
    };
}

recipe_patch! {
    learning_rate: f64, epochs: f64, batch_size: usize, packing: bool, batch_tokens: usize, schedule: Schedule,
    warmup_steps: usize, warmup_ratio: f64, weight_decay: f64, beta1: f64, beta2: f64, epsilon: f64,
    max_grad_norm: f64, max_length: usize, mask_prompt: bool, max_steps: usize, micro_batch_tokens: usize,
    checkpoint_steps: usize, gradient_checkpointing: bool,
}

impl Recipe {
    /// What holds when neither tuner nor study says otherwise: transformers' defaults for the optimiser.
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
            checkpoint_steps: 100,
            gradient_checkpointing: false,
        }
    }

    /// Whether training by these values can mean anything.
    ///
    /// # Errors
    /// A sentence with the value that cannot.
    pub fn check(&self) -> Result<(), String> {
        let positive = [("learning_rate", self.learning_rate), ("epochs", self.epochs), ("epsilon", self.epsilon)];
        let from_zero = [("weight_decay", self.weight_decay), ("max_grad_norm", self.max_grad_norm)];
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
        if self.batch_size == 0 {
            return Err("batch_size must be at least 1".into());
        }
        if self.max_length < 2 {
            return Err(format!("max_length must be at least 2, not {}", self.max_length));
        }
        if (1..self.max_length).contains(&self.batch_tokens) {
            let (tokens, length) = (self.batch_tokens, self.max_length);
            return Err(format!(
                "batch_tokens = {tokens} is less than max_length = {length}, so that one example could exceed it; \
                 raise it to {length} or more, or lower max_length"
            ));
        }
        Ok(())
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
