//! Rotary positions in a configuration: transformers 4's `rope_theta` and `rope_scaling`, 5's `rope_parameters`, and what 5.23
//! does where a file has both.

use serde_json::{Map, Value, json};
use tunebench_spec::Decoder;
use tunebench_spec::decoder::{ConfigError, Longrope, Positions, RopeScaling, Rotary, Yarn};

use super::config::{Config, number};

/// What a family calls them outside of `rope_parameters`, and what holds when it says nothing.
#[derive(Clone, Copy, Debug)]
pub struct RopeWords {
    pub theta: &'static str,
    pub default_theta: f64,
    /// The rotated share of a head, where the family knows one, and its default.
    pub partial: Option<(&'static str, f64)>,
    /// The names of scalings that mean LongRoPE (`su` and `yarn` of early Phi-3).
    pub longrope: &'static [&'static str],
}

impl RopeWords {
    /// Families that rotate whole heads.
    pub const WHOLE_HEADS: Self =
        Self { theta: "rope_theta", default_theta: 10000.0, partial: None, longrope: &["longrope"] };
}

/// Keys that say how frequencies change: where no kind of scaling is named, they would be silently without effect.
const OF_SCALING: [&str; 5] = ["factor", "short_factor", "long_factor", "low_freq_factor", "beta_fast"];

/// Rotary positions of a model with this context and width of heads.
///
/// # Errors
/// Names the key that is missing, of the wrong type, contradicted by another, or asks for a scaling that is not known.
pub fn read(config: &Config<'_>, words: &RopeWords, context: usize, head_dim: usize) -> Result<Rotary, ConfigError> {
    let given = parameters(config, words)?;
    let given = Config(&given);
    if ["full_attention", "sliding_attention"].iter().any(|kind| given.get(kind).is_some()) {
        return fault("`rope_parameters` by kind of layer are not supported in this family");
    }
    let theta =
        given.number_or_none("rope_theta")?.map_or_else(|| config.number_or(words.theta, words.default_theta), Ok)?;
    let stated = given.number_or_none("partial_rotary_factor")?;
    let share = match (words.partial, stated) {
        (Some(_), Some(share)) => share,
        (Some((key, default)), None) => config.number_or(key, default)?,
        (None, stated) => {
            let share = stated.map_or_else(|| config.number_or("partial_rotary_factor", 1.0), Ok)?;
            if share != 1.0 {
                return fault("`partial_rotary_factor` is not 1; this family rotates whole heads");
            }
            share
        }
    };
    if !(share > 0.0 && share <= 1.0) {
        return fault(&format!("the rotated share of a head ({share}) must be above 0 and at most 1"));
    }
    let width = (head_dim as f64 * share) as usize;
    let rotary_dim = (width != head_dim).then_some(width);
    Ok(Rotary { theta, scaling: scaling(&given, config, words, context)?, rotary_dim, local_theta: None })
}

fn fault<T>(why: &str) -> Result<T, ConfigError> {
    Err(ConfigError::Unsupported(why.into()))
}

/// What holds: `rope_scaling` where it says anything, else `rope_parameters`. transformers drops all of the latter then, base
/// included; that is refused where it would change the model.
fn parameters(config: &Config<'_>, words: &RopeWords) -> Result<Value, ConfigError> {
    let object = |key: &'static str| match config.get(key) {
        None => Ok(None),
        Some(Value::Object(map)) => Ok(Some(map).filter(|map| !map.is_empty())),
        Some(_) => Err(ConfigError::Key { key, expected: "an object" }),
    };
    let (old, new) = (object("rope_scaling")?, object("rope_parameters")?);
    let (Some(old), Some(new)) = (old, new) else {
        return Ok(Value::Object(old.or(new).cloned().unwrap_or_default()));
    };
    let outside = config.get(words.theta).and_then(Value::as_f64).unwrap_or(words.default_theta);
    let theta = |of: &Map<String, Value>| of.get("rope_theta").and_then(Value::as_f64);
    let lost = theta(new).filter(|lost| *lost != theta(old).unwrap_or(outside));
    if let Some(lost) = lost {
        return fault(&format!(
            "`rope_scaling` stands beside `rope_parameters`: transformers 5 then takes `rope_scaling` alone and loses \
             `rope_theta` {lost}; put the scaling into `rope_parameters`, or `rope_theta` into `rope_scaling`"
        ));
    }
    let kind = kind_of(&Value::Object(new.clone()), words)?;
    let differs = |(key, value): (&String, &Value)| {
        !matches!(key.as_str(), "rope_theta" | "rope_type" | "type") && old.get(key).is_some_and(|other| other != value)
    };
    if kind != "default" && (kind != kind_of(&Value::Object(old.clone()), words)? || new.iter().any(differs)) {
        return fault("`rope_scaling` and `rope_parameters` contradict each other; remove one of them");
    }
    if let Some((key, default)) = words.partial {
        let share = |of: &Map<String, Value>| of.get("partial_rotary_factor").and_then(Value::as_f64);
        let outside = config.get(key).and_then(Value::as_f64).unwrap_or(default);
        if let Some(lost) = share(new).filter(|lost| *lost != share(old).unwrap_or(outside)) {
            return fault(&format!(
                "`rope_scaling` stands beside `rope_parameters`: transformers 5 then takes `rope_scaling` alone and loses \
                 `partial_rotary_factor` {lost}; remove one of them"
            ));
        }
    }
    Ok(Value::Object(old.clone()))
}

fn kind_of(given: &Value, words: &RopeWords) -> Result<String, ConfigError> {
    let name = |key: &'static str| match given.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(kind)) if words.longrope.contains(&kind.as_str()) => Ok(Some("longrope")),
        Some(Value::String(kind)) => Ok(Some(kind.as_str())),
        Some(_) => Err(ConfigError::Key { key, expected: "a text" }),
    };
    match (name("rope_type")?, name("type")?) {
        (Some(new), Some(old)) if new != old => {
            fault(&format!("rope scaling has `rope_type` {new} and `type` {old}; remove one of them"))
        }
        (Some(kind), _) | (None, Some(kind)) => Ok(kind.to_owned()),
        (None, None) => Ok("default".to_owned()),
    }
}

/// The scaling that `given` asks for; `outside`: the configuration around it.
///
/// # Errors
/// As [`read`].
pub fn scaling(
    given: &Config<'_>,
    outside: &Config<'_>,
    words: &RopeWords,
    context: usize,
) -> Result<Option<RopeScaling>, ConfigError> {
    let kind = kind_of(given.0, words)?;
    let need = |key: &'static str| number(given.0.get(key).unwrap_or(&Value::Null), key);
    // What the models were pre-trained with stands beside, in some families; else it is the whole context.
    let original = || match outside.get("original_max_position_embeddings") {
        Some(_) => outside.dim("original_max_position_embeddings"),
        None => given.dim_or("original_max_position_embeddings", context),
    };
    Ok(Some(match kind.as_str() {
        "default" => {
            let has_effect = |key: &&&str| given.get(key).is_some_and(|value| value.as_f64() != Some(1.0));
            return match OF_SCALING.iter().find(has_effect) {
                Some(key) => fault(&format!("rope scaling has `{key}` but names no `rope_type`, or `default`")),
                None => Ok(None),
            };
        }
        "linear" => RopeScaling::Linear { factor: need("factor")? },
        "dynamic" => RopeScaling::Dynamic { factor: need("factor")? },
        "llama3" => RopeScaling::Llama3 {
            factor: need("factor")?,
            low_freq_factor: need("low_freq_factor")?,
            high_freq_factor: need("high_freq_factor")?,
            original_max_position_embeddings: original()?,
        },
        "yarn" => {
            let original = original()?;
            // Zero means not given.
            let optional = |key| Ok::<_, ConfigError>(given.number_or_none(key)?.filter(|value| *value != 0.0));
            RopeScaling::Yarn(Yarn {
                factor: given.number_or("factor", context as f64 / original as f64)?,
                original_max_position_embeddings: original,
                beta_fast: optional("beta_fast")?,
                beta_slow: optional("beta_slow")?,
                attention_factor: given.number_or_none("attention_factor")?,
                mscale: optional("mscale")?,
                mscale_all_dim: optional("mscale_all_dim")?,
                truncate: given.get("truncate").map(|_| given.is_on("truncate")).transpose()?,
            })
        }
        "longrope" => {
            let factors = |key: &'static str| {
                let list = given.get(key).and_then(Value::as_array);
                let list = list.ok_or(ConfigError::Key { key, expected: "a list of numbers" })?;
                list.iter().map(|value| number(value, key)).collect::<Result<Vec<f64>, _>>()
            };
            RopeScaling::Longrope(Longrope {
                short_factor: factors("short_factor")?,
                long_factor: factors("long_factor")?,
                original_max_position_embeddings: original()?,
                factor: given.number_or_none("factor")?,
                attention_factor: given.number_or_none("attention_factor")?,
            })
        }
        other => {
            let why =
                format!("rope scaling `{other}` is not supported; default, linear, dynamic, llama3, yarn or longrope");
            return Err(ConfigError::Unsupported(why));
        }
    }))
}

/// Writes them to `config`, in the words that transformers 4 and 5 both read.
pub fn write(decoder: &Decoder, words: &RopeWords, config: &mut Value) {
    let Positions::Rotary(rotary) = &decoder.positions else { return };
    config[words.theta] = rotary.theta.into();
    if let Some((key, _)) = words.partial {
        config[key] = share(decoder.rotary_dim(), decoder.attention.head_dim).into();
    }
    if let Some(scaling) = &rotary.scaling {
        config["rope_scaling"] = json!(scaling);
    }
}

/// The share of a head that comes to `width`, rounded down as transformers does.
fn share(width: usize, head_dim: usize) -> f64 {
    let exact = width as f64 / head_dim as f64;
    let is_exact = (head_dim as f64 * exact) as usize == width;
    if is_exact { exact } else { (width as f64 + 0.5) / head_dim as f64 }
}
