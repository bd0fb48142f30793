//! LoRA and DoRA as PEFT adapter folders, `adapter_config.json` and `adapter_model.safetensors`: written here, read
//! by [`load`].

mod read;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use candle_core::Tensor;
use serde_json::{Value, json};
use tunebench_files as files;
use tunebench_model::formats::safetensors;
use tunebench_model::tuning::param_name;
use tunebench_model::{Tuning, Weights};
use tunebench_spec::{Decoder, Op, WeightPlan};

use crate::Error;
pub use read::load;

/// The parameters that PEFT's LoRA knows.
const KNOWN: [&str; 3] = ["lora_A", "lora_B", "lora_magnitude_vector"];
/// Largest difference, relative to the largest weight, between our merge and PEFT's formula.
const TOLERANCE: f64 = 1e-4;

/// One adapted weight in PEFT's terms.
struct Site {
    module: String,
    r: usize,
    /// `alpha / r`.
    scale: f64,
    dropout: f64,
    is_dora: bool,
}

/// Writes `tuning` to `dir`. The graph is checked: at every site `W + scale·B·A` (for DoRA with its magnitudes) must
/// be what the tuner's own merge yields, so that PEFT computes what was trained.
///
/// # Errors
/// [`Error::NotPeft`] when something else was trained, e.g. whole weights, or another computation.
pub fn save(dir: &Path, shape: &Decoder, base: &Weights, base_name: &str, tuning: &Tuning) -> Result<(), Error> {
    let sites = sites(tuning)?;
    check(shape, base, tuning, &sites)?;
    let mut values = BTreeMap::new();
    for (weight, site) in &sites {
        for param in KNOWN.iter().take(if site.is_dora { 3 } else { 2 }) {
            // PEFT keeps the matrices as modules with a `weight`, the magnitudes as a bare parameter.
            let suffix = if *param == "lora_magnitude_vector" { "" } else { ".weight" };
            let name = format!("base_model.model.{}.{param}{suffix}", site.module);
            values.insert(name, value(tuning, weight, param)?);
        }
    }
    files::create_folder(dir)?;
    safetensors::write(&dir.join("adapter_model.safetensors"), values.iter().map(|(n, t)| (n.as_str(), t)))?;
    let path = dir.join("adapter_config.json");
    let mut text =
        serde_json::to_string_pretty(&config(shape, &sites, base_name)).map_err(|e| Error::damaged(&path, e))?;
    text.push('\n');
    Ok(files::write_file(&path, |out| out.write_all(text.as_bytes()))?)
}

fn sites(tuning: &Tuning) -> Result<BTreeMap<String, Site>, Error> {
    let recorded = tuning.recorded();
    if recorded.plan.virtual_tokens.is_some() {
        return Err(Error::NotPeft("virtual tokens are trained; only LoRA and DoRA are written as adapters".into()));
    }
    let mut sites = BTreeMap::new();
    for (weight, plan) in &recorded.plan.weights {
        let params = match plan {
            WeightPlan::Frozen => continue,
            WeightPlan::Trainable { .. } => {
                let remedy = "export merged instead, if its tuner merges";
                return Err(Error::NotPeft(format!("`{weight}` is trained as a whole; {remedy}")));
            }
            WeightPlan::Adapted { params } => params,
        };
        let names: BTreeSet<&str> = params.iter().map(|p| p.name.as_str()).collect();
        let is_dora = names.contains(KNOWN[2]);
        if names != KNOWN.iter().take(if is_dora { 3 } else { 2 }).copied().collect() {
            return Err(Error::NotPeft(format!("`{weight}` has the parameters {names:?}, not {KNOWN:?}")));
        }
        let graph = recorded.graphs_of(weight).map(|g| &g.forward);
        let ops = || graph.iter().flat_map(|g| &g.nodes).map(|n| &n.op);
        let scales: BTreeSet<u64> =
            ops().filter_map(|op| if let Op::Scale { by } = op { Some(by.to_bits()) } else { None }).collect();
        let dropout = ops().find_map(|op| if let Op::Dropout { p } = op { Some(*p) } else { None }).unwrap_or(0.0);
        if scales.len() > 1 {
            return Err(Error::NotPeft(format!("`{weight}` is scaled in {} ways", scales.len())));
        }
        let scale = scales.first().map_or(1.0, |bits| f64::from_bits(*bits));
        let module = weight.trim_end_matches(".weight").to_owned();
        let r = value(tuning, weight, "lora_A")?.dim(0)?;
        sites.insert(weight.clone(), Site { module, r, scale, dropout, is_dora });
    }
    let doras = sites.values().filter(|site| site.is_dora).count();
    if doras > 0 && doras < sites.len() {
        return Err(Error::NotPeft("some weights have magnitudes and some have none".into()));
    }
    if sites.is_empty() {
        return Err(Error::NotPeft("no weight is adapted".into()));
    }
    Ok(sites)
}

fn check(shape: &Decoder, base: &Weights, tuning: &Tuning, sites: &BTreeMap<String, Site>) -> Result<(), Error> {
    let merged = tuning.merge(shape, base.clone())?;
    for (weight, site) in sites {
        let (a, b) = (value(tuning, weight, "lora_A")?, value(tuning, weight, "lora_B")?);
        let mut expected = (base.get(weight)? + (b.matmul(&a)? * site.scale)?)?; // [out, in]
        if site.is_dora {
            let norm = expected.sqr()?.sum_keepdim(1)?.sqrt()?; // [out, 1]
            let magnitude = value(tuning, weight, "lora_magnitude_vector")?.unsqueeze(1)?;
            expected = expected.broadcast_mul(&(magnitude / norm)?)?;
        }
        let largest = f64::from(expected.abs()?.max_all()?.to_scalar::<f32>()?);
        let difference = f64::from((expected - merged.get(weight)?)?.abs()?.max_all()?.to_scalar::<f32>()?);
        if difference > TOLERANCE * largest || !difference.is_finite() {
            return Err(Error::NotPeft(format!(
                "at `{weight}` PEFT's formula differs from the tuner's own merge by {difference}; export merged instead"
            )));
        }
    }
    Ok(())
}

fn value(tuning: &Tuning, weight: &str, param: &str) -> Result<Tensor, Error> {
    let name = param_name(weight, param);
    let found = tuning.values().get(&name).cloned();
    found.ok_or_else(|| Error::NotPeft(format!("`{name}` is missing")))
}

/// The keys that readers of every PEFT version know; the most common rank and alpha, and patterns for the rest.
fn config(shape: &Decoder, sites: &BTreeMap<String, Site>, base_name: &str) -> Value {
    let mut counts: BTreeMap<(usize, u64), usize> = BTreeMap::new();
    for site in sites.values() {
        *counts.entry((site.r, alpha(site).to_bits())).or_default() += 1;
    }
    let (r, bits) = counts.iter().max_by_key(|(_, n)| **n).map_or((1, 0), |(key, _)| *key);
    let common = f64::from_bits(bits);
    let patterns = |f: &dyn Fn(&Site) -> Option<Value>| -> Value {
        sites.values().filter_map(|s| Some((s.module.clone(), f(s)?))).collect::<serde_json::Map<_, _>>().into()
    };
    let targets: BTreeSet<&str> = sites.values().filter_map(|s| s.module.rsplit('.').next()).collect();
    // A suffix names every module that ends so.
    let is_named = |weight: &str| {
        let target = weight.strip_suffix(".weight").and_then(|module| module.rsplit('.').next());
        target.is_some_and(|target| targets.contains(target))
    };
    let suffixes_suffice = shape.weights().iter().all(|w| !is_named(&w.name) || sites.contains_key(&w.name));
    let modules: BTreeSet<&str> = sites.values().map(|s| s.module.as_str()).collect();
    json!({
        "alpha_pattern": patterns(&|s| (alpha(s) != common).then(|| number(alpha(s)))),
        "base_model_name_or_path": base_name,
        "bias": "none",
        "fan_in_fan_out": false,
        "inference_mode": true,
        "init_lora_weights": true,
        "layers_pattern": null,
        "layers_to_transform": null,
        "lora_alpha": number(common),
        "lora_dropout": sites.values().map(|s| s.dropout).fold(0.0, f64::max),
        "modules_to_save": null,
        "peft_type": "LORA",
        "r": r,
        "rank_pattern": patterns(&|s| (s.r != r).then(|| s.r.into())),
        "revision": null,
        "target_modules": if suffixes_suffice { targets } else { modules },
        "task_type": "CAUSAL_LM",
        "use_dora": sites.values().any(|s| s.is_dora),
        "use_rslora": false,
    })
}

/// PEFT scales by `alpha / r`, whatever the tuner called it.
fn alpha(site: &Site) -> f64 {
    site.scale * site.r as f64
}

/// Whole numbers as such: 16, not 16.0.
fn number(x: f64) -> Value {
    if x.fract() == 0.0 && x.abs() < 1e15 { json!(x as i64) } else { json!(x) }
}
