//! Low-rank adaptation (Hu et al. 2021, arXiv 2106.09685), shared by the LoRA tuners, which differ in targets only.
//!
//! At an adapted weight `W0 [out, in]`: `h = W0 x + s B A dropout(x)` with `A [r, in]` random, `B [out, r]` zero and
//! `s = lora_alpha / r` (rank-stabilised: `lora_alpha / sqrt(r)`). Option names are PEFT's.

use std::collections::BTreeMap;

use tunebench_plugin_api::prelude::*;

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
    /// Which linear weights: `all`, `paper` (all but o_proj), or a list such as `["q_proj", "v_proj"]`.
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

/// All linear weights of a layer.
pub const ALL: &[&str] = &["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];
/// The only choice that gives the parameter counts which Sun et al. (2023) print.
pub const PAPER: &[&str] = &["q_proj", "k_proj", "v_proj", "gate_proj", "up_proj", "down_proj"];
/// The attention projections.
pub const ATTENTION: &[&str] = &["q_proj", "k_proj", "v_proj", "o_proj"];

/// LoRA with checked options.
pub struct Lora {
    options: LoraOptions,
    targets: Vec<String>,
}

impl Lora {
    /// LoRA on what `options.targets` says, `default` when it says nothing; only targets in `allowed` are taken.
    ///
    /// # Errors
    /// When a value is out of range or names no target.
    pub fn new(options: LoraOptions, default: &[&str], allowed: &[&str]) -> Result<Self> {
        let named = |list: &[&str]| list.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
        let targets = match &options.targets {
            None => named(default),
            Some(Targets::Named(name)) => match name.as_str() {
                "all" | "all-linear" => named(ALL),
                "paper" => named(PAPER),
                "attention" => named(ATTENTION),
                _ => {
                    return Err(Error::new(format!(
                        "targets = {name:?}: use \"all\", \"paper\", \"attention\" or a list"
                    )));
                }
            },
            Some(Targets::List(list)) => list.clone(),
        };
        let lora = Self { options, targets };
        lora.check(allowed)?;
        Ok(lora)
    }

    fn check(&self, allowed: &[&str]) -> Result<()> {
        let o = &self.options;
        if o.r == 0 || o.rank_pattern.values().any(|&r| r == 0) {
            return Err(Error::new("r must be at least 1"));
        }
        if !(0.0..1.0).contains(&o.lora_dropout) {
            return Err(Error::new(format!("lora_dropout = {} must be at least 0 and below 1", o.lora_dropout)));
        }
        if !o.lora_alpha.is_finite() || o.alpha_pattern.values().any(|a| !a.is_finite()) {
            return Err(Error::new("lora_alpha must be a number"));
        }
        if self.targets.is_empty() {
            return Err(Error::new("targets is empty; nothing would be trained"));
        }
        let mut patterns = o.rank_pattern.keys().chain(o.alpha_pattern.keys());
        if let Some(name) = patterns.find(|name| !self.targets.contains(name)) {
            let targets = self.targets.join(", ");
            return Err(Error::new(format!("a pattern names {name:?}, which is no target here; there are: {targets}")));
        }
        match self.targets.iter().find(|name| !allowed.contains(&name.as_str())) {
            Some(name) => Err(Error::new(format!("no target {name:?}; there are: {}", allowed.join(", ")))),
            None => Ok(()),
        }
    }

    /// LoRA parameters on every target of every layer, the rest frozen, with the paper's recipe (its table 3).
    ///
    /// # Errors
    /// When the model has none of the targets.
    pub fn plan(&self, model: &Model) -> Result<TunePlan> {
        let mut plan = TunePlan::frozen(model);
        for weight in model.linears().filter(|w| self.targets.iter().any(|t| t == w.target())) {
            let r = self.rank(weight);
            let init = match self.options.init_lora_weights {
                InitLoraWeights::Kaiming => Init::KaimingUniform { a: 5f64.sqrt() },
                InitLoraWeights::Gaussian => Init::Normal { mean: 0.0, std: 1.0 / r as f64 },
            };
            let a = Param::new("lora_A", [r, weight.in_features()], init);
            let b = Param::new("lora_B", [weight.out_features(), r], Init::Zeros);
            plan.adapt(weight, vec![a, b]);
        }
        if plan == TunePlan::frozen(model) {
            return Err(Error::new(format!("the model has none of the targets {}", self.targets.join(", "))));
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
    ($type:ident, $name:literal, $description:literal, $default:expr, $allowed:expr) => {
        /// The tuner of this plugin.
        pub struct $type($crate::Lora);

        impl Tuner for $type {
            const NAME: &'static str = $name;
            const DESCRIPTION: &'static str = $description;
            type Options = $crate::LoraOptions;

            fn new(options: Self::Options) -> Result<Self> {
                $crate::Lora::new(options, $default, $allowed).map(Self)
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
