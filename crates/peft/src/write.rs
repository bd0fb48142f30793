//! An adapter as the folder that PEFT loads: the keys of its configuration that readers of every version know.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use candle_core::Tensor;
use serde_json::{Map, Value, json};
use tunebench_files as files;
use tunebench_model::formats::safetensors;
use tunebench_spec::Decoder;

use crate::Error;
use crate::folder::{CONFIG, TENSORS};
use crate::form::{Form, Ia3Site, Kind, LoraSite, VirtualForm, module};
use crate::record::{A, B, L, MAGNITUDE};

/// Writes `form` to `dir`, for PEFT to load over the model `base_name`.
///
/// # Errors
/// When the folder cannot be written.
pub fn write(dir: &Path, shape: &Decoder, base_name: &str, form: &Form) -> Result<(), Error> {
    let mut values = BTreeMap::new();
    let own = match form {
        Form::Lora(sites) => {
            sites.iter().for_each(|(weight, site)| lora_tensors(&mut values, weight, site));
            lora_config(shape, sites)
        }
        Form::Ia3(sites) => {
            for (weight, site) in sites {
                values.insert(format!("base_model.model.{}.{L}", module(weight)), site.shaped()?);
            }
            ia3_config(shape, sites)
        }
        Form::Virtual(tokens) => {
            values.insert("prompt_embeddings".to_owned(), tokens.value.clone());
            virtual_config(shape, tokens)
        }
    };
    let mut config = json!({
        "base_model_name_or_path": base_name,
        "inference_mode": true,
        "modules_to_save": null,
        "peft_type": form.kind().peft_type(),
        "revision": null,
        "task_type": "CAUSAL_LM",
    });
    if let (Some(config), Value::Object(own)) = (config.as_object_mut(), own) {
        config.extend(own);
    }
    files::create_folder(dir)?;
    safetensors::write(&dir.join(TENSORS), values.iter().map(|(n, t)| (n.as_str(), t)))?;
    let path = dir.join(CONFIG);
    let mut text =
        serde_json::to_string_pretty(&config).map_err(|source| Error::Json { path: path.clone(), source })?;
    text.push('\n');
    Ok(files::write_file(&path, |out| out.write_all(text.as_bytes()))?)
}

/// PEFT keeps the matrices as modules with a `weight`, the magnitudes as a bare parameter.
fn lora_tensors(values: &mut BTreeMap<String, Tensor>, weight: &str, site: &LoraSite) {
    let tensors =
        [(A, ".weight", Some(&site.a)), (B, ".weight", Some(&site.b)), (MAGNITUDE, "", site.magnitude.as_ref())];
    for (param, suffix, tensor) in tensors {
        if let Some(tensor) = tensor {
            values.insert(format!("base_model.model.{}.{param}{suffix}", module(weight)), tensor.clone());
        }
    }
}

/// The most common rank and alpha, and patterns for the rest.
fn lora_config(shape: &Decoder, sites: &BTreeMap<String, LoraSite>) -> Value {
    let is_rank_stabilised = !sites.values().all(|s| is_whole(s.scale * s.rank() as f64))
        && sites.values().all(|s| is_whole(s.scale * (s.rank() as f64).sqrt()));
    let alpha = |site: &LoraSite| {
        let rank = site.rank() as f64;
        let alpha = site.scale * if is_rank_stabilised { rank.sqrt() } else { rank };
        if is_whole(alpha) { alpha.round() } else { alpha }
    };
    let mut counts: BTreeMap<(usize, u64), usize> = BTreeMap::new();
    for site in sites.values() {
        *counts.entry((site.rank(), alpha(site).to_bits())).or_default() += 1;
    }
    let (r, bits) = counts.iter().max_by_key(|(_, n)| **n).map_or((1, 0), |(key, _)| *key);
    let common = f64::from_bits(bits);
    let patterns = |f: &dyn Fn(&LoraSite) -> Option<Value>| -> Value {
        sites.iter().filter_map(|(weight, s)| Some((module(weight).to_owned(), f(s)?))).collect::<Map<_, _>>().into()
    };
    let dropout = sites.values().map(|s| s.dropout).fold(0.0, f64::max);
    json!({
        "alpha_pattern": patterns(&|s| (alpha(s) != common).then(|| number(alpha(s)))),
        "bias": "none",
        "fan_in_fan_out": false,
        "init_lora_weights": true,
        "layers_pattern": null,
        "layers_to_transform": null,
        "lora_alpha": number(common),
        "lora_dropout": dropout,
        "r": r,
        "rank_pattern": patterns(&|s| (s.rank() != r).then(|| s.rank().into())),
        "target_modules": targets(shape, sites.keys().map(String::as_str)),
        "use_dora": sites.values().any(|s| s.magnitude.is_some()),
        "use_rslora": is_rank_stabilised,
    })
}

fn ia3_config(shape: &Decoder, sites: &BTreeMap<String, Ia3Site>) -> Value {
    let all: BTreeSet<String> = targets(shape, sites.keys().map(String::as_str));
    let scaling_input =
        || sites.iter().filter(|(_, site)| site.scales_input).map(|(weight, _)| module(weight).to_owned());
    let last: BTreeSet<String> = scaling_input().filter_map(|m| m.rsplit('.').next().map(str::to_owned)).collect();
    // PEFT takes a module as feed-forward whose name ends so.
    let suffices = last.is_subset(&all)
        && sites
            .iter()
            .all(|(weight, site)| site.scales_input == last.iter().any(|end| module(weight).ends_with(end.as_str())));
    let (all, feedforward) = match suffices {
        true => (all, last),
        false => (sites.keys().map(|weight| module(weight).to_owned()).collect(), scaling_input().collect()),
    };
    json!({
        "fan_in_fan_out": false,
        "feedforward_modules": feedforward,
        "init_ia3_weights": true,
        "target_modules": all,
    })
}

fn virtual_config(shape: &Decoder, tokens: &VirtualForm) -> Value {
    let count = tokens.value.dims().first().copied().unwrap_or(0);
    let attention = &shape.attention;
    let mut config = json!({
        "num_attention_heads": attention.heads,
        "num_layers": shape.num_hidden_layers,
        "num_transformer_submodules": 1,
        "num_virtual_tokens": count,
        "token_dim": shape.hidden_size,
    });
    let own = match tokens.kind {
        Kind::PrefixTuning => json!({
            "encoder_hidden_size": attention.kv_width(),
            "num_attention_heads": attention.kv_heads,
            // Whatever made them, the tensors are the keys and values themselves.
            "prefix_projection": false,
            "token_dim": attention.kv_width(),
        }),
        Kind::PTuning => json!({
            "encoder_dropout": 0.0,
            "encoder_hidden_size": shape.hidden_size,
            "encoder_num_layers": 2,
            "encoder_reparameterization_type": "MLP",
        }),
        _ => json!({
            "prompt_tuning_init": "RANDOM",
            "prompt_tuning_init_text": null,
            "tokenizer_kwargs": null,
            "tokenizer_name_or_path": null,
        }),
    };
    if let (Some(config), Value::Object(own)) = (config.as_object_mut(), own) {
        config.extend(own);
    }
    config
}

/// The last parts of the modules' names where they name no other module; else the whole names.
fn targets<'a>(shape: &Decoder, weights: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    let weights: BTreeSet<&str> = weights.collect();
    let last = |weight: &str| module(weight).rsplit('.').next().unwrap_or_default().to_owned();
    let suffixes: BTreeSet<String> = weights.iter().map(|weight| last(weight)).collect();
    let names_another =
        |weight: &str| weight.ends_with(".weight") && suffixes.contains(&last(weight)) && !weights.contains(weight);
    match shape.weights().iter().any(|w| names_another(&w.name)) {
        true => weights.iter().map(|weight| module(weight).to_owned()).collect(),
        false => suffixes,
    }
}

/// Up to rounding of a scale that was a quotient.
fn is_whole(x: f64) -> bool {
    (x - x.round()).abs() <= 1e-9 * x.abs().max(1.0)
}

/// Whole numbers as such: 16, not 16.0.
fn number(x: f64) -> Value {
    if x.fract() == 0.0 && x.abs() < 1e15 { json!(x as i64) } else { json!(x) }
}
