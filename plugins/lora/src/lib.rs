//! Low-rank adaptation (Hu et al. 2021, arXiv 2106.09685), shared by the LoRA tuners, which differ in targets only.
//!
//! At an adapted weight `W0 [out, in]`: `h = W0 x + s B A dropout(x)` with `A [r, in]` random, `B [out, r]` zero and
//! `s = lora_alpha / r` (rank-stabilised: `lora_alpha / sqrt(r)`). Option names are PEFT's.

use std::collections::{BTreeMap, BTreeSet};

use tunebench_plugin_api::prelude::*;

/// A LoRA whose rank is above a weight's dimensions is larger than the weight; no model has weights this wide.
const LARGEST_RANK: usize = 1 << 16;

/// Options of a LoRA tuner.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoraOptions {
    /// Rank.
    pub r: usize,
    pub lora_alpha: f64,
    /// Applied to the input of the low-rank branch while training.
    pub lora_dropout: f64,
    /// Scale by `lora_alpha / sqrt(r)` (Kalajdzievski 2023).
    pub use_rslora: bool,
    pub init_lora_weights: InitLoraWeights,
    /// Which linear weights of the layers: `all`, `attention`, `paper` (all but attention's output), `peft` (what PEFT adapts
    /// where it is told nothing: queries and values, or the fused weight of both), or a list of a model's own names such as
    /// `["q_proj", "v_proj"]`. The others mean the same in every family, whatever it calls them.
    pub targets: Option<Targets>,
    /// Another rank for some targets, e.g. `{ q_proj = 16 }`.
    pub rank_pattern: BTreeMap<String, usize>,
    /// Another alpha for some targets.
    pub alpha_pattern: BTreeMap<String, f64>,
}

/// How `A` begins.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InitLoraWeights {
    /// PEFT's default: Kaiming uniform with a = √5.
    Kaiming,
    /// Normal with standard deviation 1/r.
    Gaussian,
}

/// A named choice of targets, or a list of them.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Targets {
    Named(String),
    List(Vec<String>),
}

impl Default for LoraOptions {
    fn default() -> Self {
        Self {
            r: 8,
            lora_alpha: 16.0,
            lora_dropout: 0.05,
            use_rslora: false,
            init_lora_weights: InitLoraWeights::Kaiming,
            targets: None,
            rank_pattern: BTreeMap::new(),
            alpha_pattern: BTreeMap::new(),
        }
    }
}

/// A choice of linear weights by what they are for, the same in every family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// All linear weights of a layer.
    All,
    /// Those of attention.
    Attention,
    /// All but attention's output: the only choice that gives the parameter counts which Sun et al. (2023) print.
    Paper,
    /// What PEFT adapts where it is told nothing: queries and values, or the weight in which both are fused.
    Peft,
}

impl Choice {
    const NAMES: [(&str, Self); 5] = [
        ("all", Self::All),
        ("all-linear", Self::All),
        ("paper", Self::Paper),
        ("attention", Self::Attention),
        ("peft", Self::Peft),
    ];

    /// Whether a linear weight of a layer is one of these.
    pub fn has(self, weight: &Weight) -> bool {
        match self {
            Self::All => true,
            Self::Attention => weight.is_attention(),
            Self::Paper => weight.role() != "output",
            Self::Peft => ["query", "value", "query_key_value"].contains(&weight.role()),
        }
    }
}

/// What no family calls a weight of attention.
const OF_MLP: [&str; 8] =
    ["gate_proj", "up_proj", "down_proj", "gate_up_proj", "fc1", "fc2", "dense_h_to_4h", "dense_4h_to_h"];

/// Where a LoRA stands.
enum Selection {
    Choice(Choice),
    /// A model's own names.
    Names(Vec<String>),
}

/// LoRA with checked options.
pub struct Lora {
    options: LoraOptions,
    targets: Selection,
    /// Nothing beyond these is taken.
    within: Choice,
}

impl Lora {
    /// LoRA on what `options.targets` says, `within` when it says nothing; nothing beyond `within` is taken.
    ///
    /// # Errors
    /// When a value is out of range or names no choice.
    pub fn new(options: LoraOptions, within: Choice) -> Result<Self> {
        let targets = match &options.targets {
            None => Selection::Choice(within),
            Some(Targets::List(list)) => Selection::Names(list.clone()),
            Some(Targets::Named(name)) => {
                let known = Choice::NAMES.iter().find(|(known, _)| known == name);
                let Some((_, choice)) = known else {
                    return Err(Error::new(format!(
                        "targets = {name:?}: use \"all\", \"paper\", \"attention\", \"peft\" or a list of a model's own names"
                    )));
                };
                if within == Choice::Attention && matches!(choice, Choice::All | Choice::Paper) {
                    return Err(Error::new(format!("targets = {name:?} are more than attention; use lora-all-linear")));
                }
                Selection::Choice(*choice)
            }
        };
        let lora = Self { options, targets, within };
        lora.check()?;
        Ok(lora)
    }

    fn check(&self) -> Result<()> {
        let o = &self.options;
        let mut ranks = o.rank_pattern.values().chain([&o.r]);
        if let Some(r) = ranks.find(|r| !(1..=LARGEST_RANK).contains(*r)) {
            return Err(Error::new(format!("r = {r} must be at least 1 and at most {LARGEST_RANK}")));
        }
        if !(0.0..1.0).contains(&o.lora_dropout) {
            return Err(Error::new(format!("lora_dropout = {} must be at least 0 and below 1", o.lora_dropout)));
        }
        if !o.lora_alpha.is_finite() || o.alpha_pattern.values().any(|a| !a.is_finite()) {
            return Err(Error::new("lora_alpha must be a number"));
        }
        let Selection::Names(names) = &self.targets else { return Ok(()) };
        if names.is_empty() {
            return Err(Error::new("targets is empty; nothing would be trained"));
        }
        let beyond = names.iter().find(|name| self.within == Choice::Attention && OF_MLP.contains(&name.as_str()));
        match beyond {
            Some(name) => Err(Error::new(format!("target {name:?} is no weight of attention; use lora-all-linear"))),
            None => Ok(()),
        }
    }

    fn is_target(&self, weight: &Weight) -> bool {
        let is_chosen = match &self.targets {
            Selection::Choice(choice) => choice.has(weight),
            Selection::Names(names) => names.iter().any(|name| name == weight.target()),
        };
        is_chosen && self.within.has(weight)
    }

    /// LoRA parameters on every target of every layer, the rest frozen, with the paper's recipe (its table 3).
    ///
    /// # Errors
    /// When the model has none of the targets, or lacks one that is named.
    pub fn plan(&self, model: &Model) -> Result<TunePlan> {
        let mut plan = TunePlan::frozen(model);
        let targets: Vec<&Weight> = model.linears().filter(|weight| self.is_target(weight)).collect();
        let names: BTreeSet<&str> = targets.iter().map(|weight| weight.target()).collect();
        let listed = |names: &BTreeSet<&str>| names.iter().copied().collect::<Vec<_>>().join(", ");
        if let Selection::Names(wanted) = &self.targets
            && let Some(name) = wanted.iter().find(|name| !names.contains(name.as_str()))
        {
            let there = model.linears().filter(|weight| self.within.has(weight)).map(Weight::target).collect();
            return Err(Error::new(format!("the model has no target {name:?}; there are: {}", listed(&there))));
        }
        let mut patterns = self.options.rank_pattern.keys().chain(self.options.alpha_pattern.keys());
        if let Some(name) = patterns.find(|name| !names.contains(name.as_str())) {
            let there = listed(&names);
            return Err(Error::new(format!("a pattern names {name:?}, which is no target here; there are: {there}")));
        }
        if targets.is_empty() {
            return Err(Error::new("the model has no linear weight of the kind that is to be adapted"));
        }
        for weight in targets {
            let r = self.rank(weight);
            let init = match self.options.init_lora_weights {
                InitLoraWeights::Kaiming => Init::KaimingUniform { a: 5f64.sqrt() },
                InitLoraWeights::Gaussian => Init::Normal { mean: 0.0, std: 1.0 / r as f64 },
            };
            let a = Param::new("lora_A", [r, weight.in_features()], init);
            let b = Param::new("lora_B", [weight.out_features(), r], Init::Zeros);
            plan.adapt(weight, vec![a, b]);
        }
        plan.recipe = Recipe {
            learning_rate: Some(2e-4),
            epochs: Some(4.0),
            batch_size: Some(128),
            schedule: Some(Schedule::Cosine),
            warmup_steps: Some(100),
            max_length: Some(1024),
            ..Recipe::default()
        };
        Ok(plan)
    }

    /// `x [t, in] -> [t, out]`.
    pub fn forward<'o>(&self, ops: &'o Ops<'o>, site: &Site, x: Tensor<'o>) -> Tensor<'o> {
        let (a, b) = (ops.param("lora_A"), ops.param("lora_B")); // [r, in], [out, r]
        let low = x.dropout(self.options.lora_dropout).matmul(a.t()); // [t, r]
        ops.base(x) + low.matmul(b.t()) * self.scale(&site.weight)
    }

    /// `W0 + s B A`, `[out, in]`.
    pub fn merge<'o>(&self, ops: &'o Ops<'o>, site: &Site) -> Tensor<'o> {
        ops.weight() + ops.param("lora_B").matmul(ops.param("lora_A")) * self.scale(&site.weight)
    }

    fn rank(&self, weight: &Weight) -> usize {
        self.options.rank_pattern.get(weight.target()).copied().unwrap_or(self.options.r)
    }

    fn scale(&self, weight: &Weight) -> f64 {
        let r = self.rank(weight) as f64;
        let alpha = self.options.alpha_pattern.get(weight.target()).copied().unwrap_or(self.options.lora_alpha);
        if self.options.use_rslora { alpha / r.sqrt() } else { alpha / r }
    }
}

/// A tuner plugin that is LoRA on other targets.
#[macro_export]
macro_rules! lora_tuner {
    ($type:ident, $name:literal, $description:literal, $within:expr) => {
        /// The tuner of this plugin.
        pub struct $type($crate::Lora);

        impl Tuner for $type {
            const NAME: &'static str = $name;
            const DESCRIPTION: &'static str = $description;
            type Options = $crate::LoraOptions;

            fn new(options: Self::Options) -> Result<Self> {
                $crate::Lora::new(options, $within).map(Self)
            }

            fn plan(&self, model: &Model) -> Result<TunePlan> {
                self.0.plan(model)
            }

            fn forward<'o>(&self, ops: &'o Ops<'o>, site: &Site, x: Tensor<'o>) -> Result<Tensor<'o>> {
                Ok(self.0.forward(ops, site, x))
            }

            fn merge<'o>(&self, ops: &'o Ops<'o>, site: &Site) -> Result<Option<Tensor<'o>>> {
                Ok(Some(self.0.merge(ops, site)))
            }
        }

        export_plugin!(tuner: $type);
    };
}
