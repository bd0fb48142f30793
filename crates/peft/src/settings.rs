//! What `adapter_config.json` may say: settings that change what an adapter computes in ways we do not are refused by name,
//! each with why and what to do.

use serde_json::{Map, Value};

use crate::Error;

/// What to do with an adapter that only PEFT computes.
pub(crate) const MERGE: &str = "merge it in Python, PeftModel.from_pretrained(base, FOLDER).merge_and_unload()\
                                .save_pretrained(OTHER), and give OTHER as the model's `source`";

/// What is read, as `peft_type` spells it.
pub(crate) const KINDS: [&str; 5] = ["LORA", "IA3", "PROMPT_TUNING", "PREFIX_TUNING", "P_TUNING"];

/// A setting that must be absent, empty, or as given; and why.
type Rule = (&'static str, &'static [&'static str], &'static str);

/// Of every kind.
const COMMON: &[Rule] = &[
    ("task_type", &["CAUSAL_LM"], "only adapters of models that continue a text are read, of task type CAUSAL_LM"),
    (
        "fan_in_fan_out",
        &["false"],
        "no model here keeps its weights so; PEFT itself ignores it for them, so set it to false",
    ),
];

const LORA: &[Rule] = &[
    ("lora_bias", &["false"], "biases of `lora_B` are not read"),
    ("use_qalora", &["false"], "QALoRA pools its input by groups, which is not computed here"),
    ("use_bdlora", &["false"], "block-diagonal LoRA is not computed here"),
    ("layer_replication", &[], "it builds another model than the base, with layers repeated"),
    ("target_parameters", &[], "adapters of bare parameters are not read"),
    ("trainable_token_indices", &[], "retrained rows of the embeddings are not read"),
    ("alora_invocation_tokens", &[], "an adapter that waits for a phrase is not computed here"),
    ("arrow_config", &[], "routing among adapters is not computed here"),
    ("kasa_config", &[], "KaSA changes the base weights"),
    ("monteclora_config", &[], "MonteCLoRA samples its weights"),
    ("megatron_config", &[], "its tensors are cut up for Megatron's parallel layers"),
    ("ensure_weight_tying", &["false"], "adapters of tied embeddings and heads are not read"),
];

const VIRTUAL: &[Rule] = &[("num_transformer_submodules", &["1"], "models with an encoder and a decoder are not read")];

/// Beginnings that leave the base weights alone; others (PiSSA, OLoRA, CorDA, LoftQ, LoRA-GA) replace them.
const HARMLESS_INITS: [&str; 5] = ["true", "false", "gaussian", "eva", "orthogonal"];

/// Keys that are read, or that change nothing of what a trained adapter computes.
const KNOWN: &[&str] = &[
    "alpha_pattern",
    "auto_mapping",
    "base_model_name_or_path",
    "bias",
    "corda_config",
    "encoder_dropout",
    "encoder_hidden_size",
    "encoder_num_layers",
    "encoder_reparameterization_type",
    "eva_config",
    "exclude_modules",
    "feedforward_modules",
    "inference_mode",
    "init_ia3_weights",
    "init_lora_weights",
    "init_weights",
    "layers_pattern",
    "layers_to_transform",
    "loftq_config",
    "lora_alpha",
    "lora_dropout",
    "lora_ga_config",
    "megatron_core",
    "modules_to_save",
    "num_attention_heads",
    "num_layers",
    "num_virtual_tokens",
    "peft_type",
    "peft_version",
    "prefix_projection",
    "prompt_tuning_init",
    "prompt_tuning_init_text",
    "qalora_group_size",
    "r",
    "rank_pattern",
    "revision",
    "runtime_config",
    "target_modules",
    "token_dim",
    "tokenizer_kwargs",
    "tokenizer_name_or_path",
    "use_dora",
    "use_rslora",
    "velora_config",
];

/// A configuration that was checked.
pub(crate) struct Settings {
    values: Map<String, Value>,
}

impl Settings {
    /// Takes what says nothing that is not supported.
    ///
    /// # Errors
    /// [`Error::Setting`] names the first setting that is not.
    pub fn new(values: Map<String, Value>) -> Result<Self, Error> {
        let this = Self { values };
        let kind = this.peft_type();
        if !KINDS.contains(&kind) {
            let known = KINDS.join(", ");
            return Err(
                this.fault("peft_type", format!("only {known} are read; where it has weights to merge into, {MERGE}"))
            );
        }
        let own = if kind == "LORA" {
            LORA
        } else if kind == "IA3" {
            &[]
        } else {
            VIRTUAL
        };
        for (key, allowed, why) in COMMON.iter().chain(own) {
            if this.is_said(key) && !allowed.contains(&this.word(key).as_str()) {
                return Err(this.fault(key, format!("{why}{}", remedy(key, kind))));
            }
        }
        let init = this.word("init_lora_weights");
        if kind == "LORA" && this.is_said("init_lora_weights") && !HARMLESS_INITS.contains(&init.as_str()) {
            let why = "it replaces the base weights, and what it put there is not in the folder; convert it to plain LoRA when \
                       saving (PEFT: path_initial_model_for_weight_conversion)";
            return Err(this.fault("init_lora_weights", why));
        }
        Ok(this)
    }

    pub fn peft_type(&self) -> &str {
        self.values.get("peft_type").and_then(Value::as_str).unwrap_or_default()
    }

    pub fn get(&self, key: &str) -> &Value {
        self.values.get(key).unwrap_or(&Value::Null)
    }

    /// Whether it says something: not null, and not empty.
    pub fn is_said(&self, key: &str) -> bool {
        match self.get(key) {
            Value::Null => false,
            Value::Array(items) => !items.is_empty(),
            Value::Object(items) => !items.is_empty(),
            Value::String(text) => !text.is_empty(),
            Value::Bool(_) | Value::Number(_) => true,
        }
    }

    pub fn flag(&self, key: &str) -> bool {
        self.get(key).as_bool().unwrap_or(false)
    }

    /// A number; `otherwise` where it is not said.
    ///
    /// # Errors
    /// When it is something else, or not finite.
    pub fn number(&self, key: &str, otherwise: f64) -> Result<f64, Error> {
        match self.get(key) {
            Value::Null => Ok(otherwise),
            value => value.as_f64().filter(|x| x.is_finite()).ok_or_else(|| self.fault(key, "a number is expected")),
        }
    }

    /// A count that may be left out.
    ///
    /// # Errors
    /// When it is something else.
    pub fn count(&self, key: &str) -> Result<Option<usize>, Error> {
        match self.get(key) {
            Value::Null => Ok(None),
            value => {
                value.as_u64().map(|n| Some(n as usize)).ok_or_else(|| self.fault(key, "a whole number is expected"))
            }
        }
    }

    /// A list of names; empty where it is not said.
    ///
    /// # Errors
    /// When it is something else.
    pub fn names(&self, key: &str) -> Result<Vec<String>, Error> {
        let Some(items) = self.get(key).as_array() else {
            return if self.is_said(key) {
                Err(self.fault(key, "a list of names is expected"))
            } else {
                Ok(Vec::new())
            };
        };
        let name = |item: &Value| {
            item.as_str().map(str::to_owned).ok_or_else(|| self.fault(key, "a list of names is expected"))
        };
        items.iter().map(name).collect()
    }

    /// What is to be said of it: keys that nobody here knows, as PEFT warns of those that it does not.
    pub fn remarks(&self) -> Vec<String> {
        let rules = || COMMON.iter().chain(LORA).chain(VIRTUAL).map(|rule| rule.0);
        let is_known = |key: &str| KNOWN.contains(&key) || rules().any(|known| known == key);
        let unknown = self
            .values
            .keys()
            .filter(|key| self.is_said(key) && !is_known(key) && *self.get(key) != Value::Bool(false));
        let words: Vec<String> = unknown.map(|key| format!("`{key}` = {}", self.get(key))).collect();
        match words.is_empty() {
            true => Vec::new(),
            false => vec![format!(
                "its configuration says {}, which tunebench does not know and passes over, as PEFT would",
                words.join(", ")
            )],
        }
    }

    pub fn fault(&self, key: &str, why: impl Into<String>) -> Error {
        Error::setting(key, self.get(key), why)
    }

    fn word(&self, key: &str) -> String {
        match self.get(key) {
            Value::String(text) => text.clone(),
            value => value.to_string(),
        }
    }
}

/// What to do about a setting that is not supported.
fn remedy(key: &str, kind: &str) -> String {
    let is_merged =
        (kind == "LORA" || kind == "IA3") && !["task_type", "fan_in_fan_out", "layer_replication"].contains(&key);
    if is_merged { format!("; {MERGE}") } else { String::new() }
}
