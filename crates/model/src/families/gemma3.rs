//! Gemma 3 (Kamath et al. 2025), its text models: Gemma 2 with norms of queries and keys, a base of rotary positions of its own
//! in the layers with a window, five of six, and no soft caps.

use serde_json::{Value, json};
use tunebench_spec::Decoder;
use tunebench_spec::decoder::{Attention, ConfigError, Positions, Rotary};

use super::config::Config;
use super::{Family, Gguf, GgufWindow, RopeWords, gemma2, rope};

pub const FAMILY: Family = Family {
    name: "gemma3_text",
    architectures: &["Gemma3ForCausalLM"],
    gguf: Some(Gguf { architecture: "gemma3", has_rotary_pairs: false, window: GgufWindow::Computed }),
    read,
    write,
};

fn read(config: &Config<'_>) -> Result<Decoder, ConfigError> {
    let context = config.dim_or("max_position_embeddings", 131_072)?;
    let rotary = rotary(config, context)?;
    // The rest knows nothing of rotary positions by kind of layer.
    let mut rest = config.0.clone();
    if let Some(rest) = rest.as_object_mut() {
        rest.retain(|key, _| !["rope_parameters", "rope_scaling", "rope_theta"].contains(&key.as_str()));
    }
    if config.get("attn_logit_softcapping").is_some_and(|cap| !cap.is_null()) {
        let why = "`attn_logit_softcapping` has no effect on this family in transformers; set it to null";
        return Err(ConfigError::Unsupported(why.into()));
    }
    let decoder = gemma2::common(&Config(&rest))?;
    let window = gemma2::window(config, decoder.num_hidden_layers, config.dim_or("sliding_window_pattern", 6)?)?;
    Ok(Decoder {
        max_position_embeddings: context,
        positions: Positions::Rotary(rotary),
        attention: Attention { qk_norm: true, window, ..decoder.attention },
        logit_softcap: config.number_or_none("final_logit_softcapping")?,
        ..decoder
    })
}

/// `rope_parameters` by kind of layer; before that `rope_theta` and `rope_scaling` for layers that see everything, and
/// `rope_local_base_freq`.
fn rotary(config: &Config<'_>, context: usize) -> Result<Rotary, ConfigError> {
    let fault = |why: String| Err(ConfigError::Unsupported(why));
    let nothing = json!({});
    let new = config.get("rope_parameters").unwrap_or(&nothing);
    let kinds = ["full_attention", "sliding_attention"];
    let Some(map) = new.as_object() else {
        return Err(ConfigError::Key { key: "rope_parameters", expected: "an object" });
    };
    if let Some(key) = map.keys().find(|key| !kinds.contains(&key.as_str())) {
        let why = "of this family are by kind of layer, `full_attention` and `sliding_attention`; outside of these, ";
        return fault(format!("`rope_parameters` {why}`{key}` has no effect"));
    }
    let [full, sliding] = kinds.map(|kind| Config(new.get(kind).filter(|v| !v.is_null()).unwrap_or(&nothing)));
    let words = RopeWords { default_theta: 1_000_000.0, ..RopeWords::WHOLE_HEADS };
    let sliding_scaling = rope::scaling(&sliding, config, &words, context)?;
    if sliding_scaling.is_some() {
        return fault("rope scaling of layers with a window is not supported".into());
    }
    for given in [&full, &sliding, config] {
        if given.number_or("partial_rotary_factor", 1.0)? != 1.0 {
            return fault("`partial_rotary_factor` is not 1; this family rotates whole heads".into());
        }
    }
    // transformers lays the old key over the new ones.
    let mut both = full.0.clone();
    if let (Some(both), Some(old)) = (both.as_object_mut(), config.get("rope_scaling").and_then(Value::as_object)) {
        let contradicts = |(key, value): (&String, &Value)| {
            let found = both.get(key).filter(|found| *found != value);
            found.is_some_and(|found| !(key == "rope_type" && *found == "default"))
        };
        if old.iter().any(contradicts) {
            return fault("`rope_scaling` and `rope_parameters` contradict each other; remove one of them".into());
        }
        let says = |key| old.get(key).is_some_and(|value| !value.is_null());
        if says("type") && !says("rope_type") {
            let why = "`rope_scaling` has a `type` and no `rope_type`, and transformers 5 has a `rope_type` of its own in this";
            return fault(format!("{why} family, which outranks it: name the scaling by `rope_type`"));
        }
        both.extend(old.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
    let full = Config(&both);
    let theta = |given: &Config<'_>, key, default| match given.number_or_none("rope_theta")? {
        Some(theta) => Ok(theta),
        None => config.number_or(key, default),
    };
    Ok(Rotary {
        theta: theta(&full, "rope_theta", words.default_theta)?,
        scaling: rope::scaling(&full, config, &words, context)?,
        rotary_dim: None,
        local_theta: Some(theta(&sliding, "rope_local_base_freq", 10_000.0)?),
    })
}

fn write(decoder: &Decoder) -> Value {
    let mut config = gemma2::write(decoder);
    if let Positions::Rotary(Rotary { local_theta, .. }) = &decoder.positions {
        config["rope_local_base_freq"] = json!(local_theta);
    }
    let full = decoder.attention.window.as_ref().and_then(|window| window.full_layers.first());
    if let Some(first) = full {
        config["sliding_window_pattern"] = json!(first + 1); // what transformers before layer_types reads
    }
    config
}
