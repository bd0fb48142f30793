//! A PEFT adapter folder as a tuning of its base model: configuration and tensors become a recorded plan, so that an
//! adapter made elsewhere answers, is merged and is trained on like one of our own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use candle_core::Tensor;
use serde_json::Value;
use tunebench_model::Tuning;
use tunebench_model::formats::safetensors::TensorFile;
use tunebench_model::tuning::param_name;
use tunebench_spec::graph::DType;
use tunebench_spec::plan::{RecordedPlan, SiteGraphs};
use tunebench_spec::shapes::{SiteShape, infer};
use tunebench_spec::{Decoder, Dim, Graph, Init, Node, Op, ParamSpec, WeightPlan};

use super::KNOWN;
use crate::Error;

/// Settings that change what an adapter computes in ways we do not; each must be absent or as given.
const UNSUPPORTED: [(&str, &str); 13] = [
    ("bias", "none"),
    ("fan_in_fan_out", "false"),
    ("lora_bias", "false"),
    ("use_qalora", "false"),
    ("use_bdlora", "null"),
    ("modules_to_save", "null"),
    ("layer_replication", "null"),
    ("target_parameters", "null"),
    ("trainable_token_indices", "null"),
    ("alora_invocation_tokens", "null"),
    ("arrow_config", "null"),
    ("kasa_config", "null"),
    ("monteclora_config", "null"),
];
/// Beginnings that leave the base weights alone; others (PiSSA, OLoRA, CorDA, LoftQ) replace them.
const HARMLESS_INITS: [&str; 5] = ["true", "false", "gaussian", "eva", "orthogonal"];

/// How the graph of one site goes.
struct SiteForm {
    scale: f64,
    dropout: f64,
    is_dora: bool,
}

/// Reads `adapter_config.json` and `adapter_model.safetensors` of a LoRA or DoRA for a model of `shape`.
///
/// # Errors
/// [`Error::NotPeft`] names the setting or the tensor that is not supported; the model's errors when file or tensors
/// do not fit.
pub fn load(dir: &Path, shape: &Decoder) -> Result<Tuning, Error> {
    let path = dir.join("adapter_config.json");
    let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
    let config: Value = serde_json::from_str(&text).map_err(|e| Error::damaged(&path, e))?;
    check(&config)?;
    let mut sites: BTreeMap<String, BTreeMap<&str, Tensor>> = BTreeMap::new();
    let mut file = TensorFile::open(&dir.join("adapter_model.safetensors"))?;
    for name in file.shapes().into_keys() {
        let (module, param) = site_of(&name).ok_or_else(|| not_peft(format!("tensor `{name}` is not a LoRA's")))?;
        let value = file.read(&name)?;
        if sites.entry(format!("{module}.weight")).or_default().insert(param, value).is_some() {
            return Err(not_peft(format!("`{module}.{param}` is there twice; only one adapter can be read")));
        }
    }
    let (mut recorded, mut values) = (RecordedPlan::default(), BTreeMap::new());
    for (weight, tensors) in sites {
        let Some([out, wide]) = linear(shape, &weight) else {
            return Err(not_peft(format!("the model has no linear weight `{weight}`")));
        };
        let (form, params) = site(&config, &weight, &tensors)?;
        let graphs = record([out, wide], &form, &params).map_err(|e| not_peft(format!("`{weight}`: {e}")))?;
        let index = recorded.graphs.iter().position(|g| *g == graphs).unwrap_or_else(|| {
            recorded.graphs.push(graphs);
            recorded.graphs.len() - 1
        });
        recorded.sites.insert(weight.clone(), index);
        values.extend(tensors.into_iter().map(|(param, value)| (param_name(&weight, param), value)));
        recorded.plan.weights.insert(weight, WeightPlan::Adapted { params });
    }
    for key in
        ["rank_pattern", "alpha_pattern"].iter().filter_map(|k| config.get(*k)?.as_object()).flat_map(|o| o.keys())
    {
        // PEFT reads these as regular expressions; only plain names, which mean the same to both, are taken.
        if !recorded.sites.keys().any(|weight| ends_with_module(weight.trim_end_matches(".weight"), key)) {
            return Err(not_peft(format!("the pattern {key:?} names no adapted module; only plain names are read")));
        }
    }
    for weight in shape.weights() {
        recorded.plan.weights.entry(weight.name).or_insert(WeightPlan::Frozen);
    }
    Ok(Tuning::new(shape, recorded, values)?)
}

fn not_peft(why: String) -> Error {
    Error::NotPeft(why)
}

fn check(config: &Value) -> Result<(), Error> {
    let word = |key: &str| match config.get(key) {
        None => "null".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    };
    if word("peft_type") != "LORA" {
        return Err(not_peft(format!("peft_type is {}; only LORA is read", word("peft_type"))));
    }
    for (key, allowed) in UNSUPPORTED {
        if !["null", "[]", "{}", allowed].contains(&word(key).as_str()) {
            return Err(not_peft(format!("`{key}` = {} is not supported", word(key))));
        }
    }
    let init = word("init_lora_weights");
    if init != "null" && !HARMLESS_INITS.contains(&init.as_str()) {
        return Err(not_peft(format!("init_lora_weights = {init} changes the base weights; convert it to plain LoRA")));
    }
    Ok(())
}

/// Module and parameter of `base_model.model.MODULE.lora_A.weight`; older files put the adapter's name after the
/// parameter's.
fn site_of(name: &str) -> Option<(&str, &'static str)> {
    let name = name.strip_prefix("base_model.model.")?;
    KNOWN.iter().find_map(|param| {
        let (module, rest) = name.split_once(&format!(".{param}"))?;
        ["", ".weight", ".default", ".default.weight"].contains(&rest).then_some((module, *param))
    })
}

fn linear(shape: &Decoder, weight: &str) -> Option<[usize; 2]> {
    let found = shape.weights().into_iter().find(|w| w.name == weight)?;
    found.shape.try_into().ok()
}

/// The graph of a site, and its parameters by the shapes of their tensors.
fn site(config: &Value, weight: &str, tensors: &BTreeMap<&str, Tensor>) -> Result<(SiteForm, Vec<ParamSpec>), Error> {
    let is_dora = flag(config, "use_dora");
    let expected: BTreeSet<&str> = KNOWN.iter().take(if is_dora { 3 } else { 2 }).copied().collect();
    let found: BTreeSet<&str> = tensors.keys().copied().collect();
    if found != expected {
        return Err(not_peft(format!("`{weight}` has {found:?}, expected {expected:?}")));
    }
    let module = weight.strip_suffix(".weight").unwrap_or(weight);
    let r = tensors[KNOWN[0]].dims().first().copied().unwrap_or(0);
    let alpha = pattern(config, "alpha_pattern", module).or_else(|| number(config, "lora_alpha")).unwrap_or(8.0);
    let said = pattern(config, "rank_pattern", module).or_else(|| number(config, "r"));
    if r == 0 || said.is_some_and(|said| said != r as f64) {
        return Err(not_peft(format!("`{weight}` has rank {r}, but the configuration says {said:?}")));
    }
    let by = if flag(config, "use_rslora") { (r as f64).sqrt() } else { r as f64 };
    let dropout = number(config, "lora_dropout").unwrap_or(0.0);
    let spec = |name: &&str| ParamSpec {
        name: (*name).to_owned(),
        shape: tensors[*name].dims().to_vec(),
        dtype: DType::F32,
        init: Init::Zeros, // never begun: the values are there
        lr_scale: 1.0,
    };
    let params = KNOWN.iter().filter(|name| tensors.contains_key(**name)).map(spec).collect();
    Ok((SiteForm { scale: alpha / by, dropout, is_dora }, params))
}

fn flag(config: &Value, key: &str) -> bool {
    config.get(key).and_then(Value::as_bool).unwrap_or(false)
}

fn number(config: &Value, key: &str) -> Option<f64> {
    config.get(key)?.as_f64()
}

/// The entry of a pattern whose key is the module's name or its last parts.
fn pattern(config: &Value, key: &str, module: &str) -> Option<f64> {
    config.get(key)?.as_object()?.iter().find(|(end, _)| ends_with_module(module, end)).and_then(|(_, v)| v.as_f64())
}

fn ends_with_module(module: &str, end: &str) -> bool {
    module.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// `base(x) + s B A dropout(x)`, for DoRA times `magnitude / norm(W + s B A)` without a gradient through the norm.
fn record(linear: [usize; 2], form: &SiteForm, params: &[ParamSpec]) -> Result<SiteGraphs, String> {
    let out = Dim::Fixed(linear[0]);
    let mut forward = Recorder::new(linear, params);
    let x = forward.op(Op::Input, &[])?;
    let base = forward.op(Op::Base, &[x])?;
    let dropped = if form.dropout > 0.0 { forward.op(Op::Dropout { p: form.dropout }, &[x])? } else { x };
    let (a, b) = (forward.param(KNOWN[0])?, forward.param(KNOWN[1])?);
    let (a, b) = (forward.op(Op::Transpose, &[a])?, forward.op(Op::Transpose, &[b])?);
    let low = forward.op(Op::Matmul, &[dropped, a])?; // [t, r]
    let high = forward.op(Op::Matmul, &[low, b])?; // [t, out]
    let scaled = forward.op(Op::Scale { by: form.scale }, &[high])?;
    let mut y = forward.op(Op::Add, &[base, scaled])?;
    if form.is_dora {
        let (_, ratio) = forward.magnitudes(form.scale)?;
        let row = forward.op(Op::Reshape { shape: vec![out] }, &[ratio])?;
        y = forward.op(Op::Mul, &[y, row])?;
    }
    let mut merge = Recorder::new(linear, params);
    let merged = if form.is_dora {
        let (adapted, ratio) = merge.magnitudes(form.scale)?;
        merge.op(Op::Mul, &[adapted, ratio])?
    } else {
        merge.adapted(form.scale)?
    };
    Ok(SiteGraphs { forward: forward.graph(y), merge: Some(merge.graph(merged)), inits: BTreeMap::new() })
}

/// Notes operations with the shapes they yield.
struct Recorder<'a> {
    site: SiteShape<'a>,
    nodes: Vec<Node>,
}

impl<'a> Recorder<'a> {
    fn new([out_features, in_features]: [usize; 2], params: &'a [ParamSpec]) -> Self {
        let params = params.iter().map(|p| (p.name.as_str(), p.shape.as_slice())).collect();
        Self { site: SiteShape { out_features, in_features, params }, nodes: Vec::new() }
    }

    fn op(&mut self, op: Op, inputs: &[usize]) -> Result<usize, String> {
        let shapes: Vec<&[Dim]> = inputs.iter().map(|&i| self.nodes[i].shape.as_slice()).collect();
        let shape = infer(&op, &shapes, &self.site)?;
        self.nodes.push(Node { op, inputs: inputs.to_vec(), shape });
        Ok(self.nodes.len() - 1)
    }

    fn param(&mut self, name: &str) -> Result<usize, String> {
        self.op(Op::Param { name: name.to_owned() }, &[])
    }

    /// `W + s B A`, `[out, in]`.
    fn adapted(&mut self, scale: f64) -> Result<usize, String> {
        let (a, b) = (self.param(KNOWN[0])?, self.param(KNOWN[1])?);
        let product = self.op(Op::Matmul, &[b, a])?;
        let delta = self.op(Op::Scale { by: scale }, &[product])?;
        let weight = self.op(Op::Weight, &[])?;
        self.op(Op::Add, &[weight, delta])
    }

    /// `W + s B A` and its magnitudes over its row norms, `[out, 1]`.
    fn magnitudes(&mut self, scale: f64) -> Result<(usize, usize), String> {
        let column = vec![Dim::Fixed(self.site.out_features), Dim::Fixed(1)];
        let adapted = self.adapted(scale)?;
        let norm = self.op(Op::Norm { axis: 1 }, &[adapted])?;
        let norm = self.op(Op::Detach, &[norm])?;
        let magnitude = self.param(KNOWN[2])?;
        let magnitude = self.op(Op::Reshape { shape: column }, &[magnitude])?;
        Ok((adapted, self.op(Op::Div, &[magnitude, norm])?))
    }

    fn graph(self, output: usize) -> Graph {
        Graph { nodes: self.nodes, output }
    }
}
