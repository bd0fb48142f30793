//! Whether what a tuner recorded is an adapter that PEFT knows, by what its graphs compute and not by what it is called: each
//! graph is run over made-up numbers and compared with PEFT's formula.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{Device, Tensor};
use tunebench_model::Tuning;
use tunebench_model::graph::site;
use tunebench_model::tuning::param_name;
use tunebench_spec::plan::{RecordedPlan, SiteGraphs};
use tunebench_spec::random::Stream;
use tunebench_spec::{Decoder, Op, ParamSpec, VirtualKind, WeightPlan};

use crate::Error;
use crate::form::{Form, Ia3Site, Kind, LoraSite, VirtualForm};

/// Largest difference from PEFT's formula, relative to the largest value: f32 in another order, with a margin.
const TOLERANCE: f64 = 1e-4;
/// Inputs that a graph is tried on.
const TOKENS: usize = 3;
const SEED: u64 = 0x9EF7;

/// What a site computes, in the names of its parameters.
#[derive(Clone, Debug)]
enum Site {
    Lora(LoraParams),
    Ia3 { l: String, scales_input: bool },
}

#[derive(Clone, Debug)]
struct LoraParams {
    a: Matrix,
    b: Matrix,
    magnitude: Option<String>,
    scale: f64,
    dropout: f64,
}

/// A parameter, perhaps kept the other way round than PEFT does.
#[derive(Clone, Debug)]
struct Matrix {
    name: String,
    is_turned: bool,
}

/// The kind of adapter that a plan is.
///
/// # Errors
/// [`Error::NotPeft`] names the weight that PEFT could not compute, and what to do instead.
pub fn kind(shape: &Decoder, recorded: &RecordedPlan) -> Result<Kind, Error> {
    if let Some(kind) = virtual_kind(recorded)? {
        return Ok(kind);
    }
    let sites = sites(shape, recorded)?;
    let lora = |site: &Site| if let Site::Lora(params) = site { Some(params.magnitude.is_some()) } else { None };
    Ok(match sites.values().next().and_then(lora) {
        Some(true) => Kind::Dora,
        Some(false) => Kind::Lora,
        None => Kind::Ia3,
    })
}

impl Form {
    /// What was trained, in PEFT's terms.
    ///
    /// # Errors
    /// As [`kind`].
    pub fn of(shape: &Decoder, tuning: &Tuning) -> Result<Self, Error> {
        let recorded = tuning.recorded();
        if let Some(kind) = virtual_kind(recorded)? {
            let value = tuning.virtual_tokens()?.ok_or_else(|| not_peft("there are no virtual tokens"))?;
            return Ok(Self::Virtual(VirtualForm { kind, value }));
        }
        let (mut lora, mut ia3) = (BTreeMap::new(), BTreeMap::new());
        for (weight, site) in sites(shape, recorded)? {
            let value = |name: &str| value(tuning, &weight, name);
            match site {
                Site::Lora(LoraParams { a, b, magnitude, scale, dropout }) => {
                    let [a, b] = [a, b].map(|m| Ok::<_, Error>(turned(value(&m.name)?, m.is_turned)?));
                    let magnitude = magnitude.map(|name| Ok::<_, Error>(value(&name)?.flatten_all()?)).transpose()?;
                    lora.insert(weight, LoraSite { a: a?, b: b?, magnitude, scale, dropout });
                }
                Site::Ia3 { l, scales_input } => {
                    let l = value(&l)?.flatten_all()?;
                    ia3.insert(weight, Ia3Site { l, scales_input });
                }
            }
        }
        Ok(if lora.is_empty() { Self::Ia3(ia3) } else { Self::Lora(lora) })
    }
}

fn not_peft(why: impl Into<String>) -> Error {
    Error::NotPeft(why.into())
}

/// A trained value as graphs read it.
fn value(tuning: &Tuning, weight: &str, param: &str) -> Result<Tensor, Error> {
    let name = param_name(weight, param);
    let missing = || not_peft(format!("`{name}` is missing"));
    let value = tuning.values().get(&name).ok_or_else(missing)?;
    let spec = |plan: &WeightPlan| match plan {
        WeightPlan::Adapted { params } => params.iter().find(|spec| spec.name == param).map(|spec| spec.dtype),
        WeightPlan::Frozen | WeightPlan::Trainable { .. } => None,
    };
    let dtype = tuning.recorded().plan.weights.get(weight).and_then(spec).ok_or_else(missing)?;
    Ok(site::rounded(value, dtype)?)
}

fn virtual_kind(recorded: &RecordedPlan) -> Result<Option<Kind>, Error> {
    let Some(tokens) = &recorded.plan.virtual_tokens else { return Ok(None) };
    if let Some((weight, _)) = recorded.plan.weights.iter().find(|(_, plan)| **plan != WeightPlan::Frozen) {
        return Err(not_peft(format!(
            "virtual tokens are trained and `{weight}` too; PEFT has no adapter that does both, so only tunebench opens it"
        )));
    }
    let is_bare =
        recorded.virtual_tokens.as_ref().is_some_and(|graph| matches!(graph.nodes[graph.output].op, Op::Param { .. }));
    Ok(Some(match tokens.kind {
        VirtualKind::KeysValues => Kind::PrefixTuning,
        VirtualKind::Embeddings if is_bare => Kind::PromptTuning,
        VirtualKind::Embeddings => Kind::PTuning,
    }))
}

/// What each adapted weight computes; all of one kind, and at least one.
fn sites(shape: &Decoder, recorded: &RecordedPlan) -> Result<BTreeMap<String, Site>, Error> {
    let weights: BTreeMap<String, Vec<usize>> = shape.weights().into_iter().map(|w| (w.name, w.shape)).collect();
    let biased: BTreeSet<String> =
        weights.keys().filter_map(|name| name.strip_suffix(".bias")).map(str::to_owned).collect();
    let mut known: BTreeMap<(usize, [usize; 2]), Site> = BTreeMap::new();
    let mut sites = BTreeMap::new();
    for (weight, plan) in &recorded.plan.weights {
        let params = match plan {
            WeightPlan::Frozen => continue,
            WeightPlan::Trainable { .. } => {
                let remedy = "export merged instead, if its tuner merges";
                return Err(not_peft(format!("`{weight}` is trained as a whole; {remedy}")));
            }
            WeightPlan::Adapted { params } => params,
        };
        let linear = weights.get(weight).and_then(|shape| <[usize; 2]>::try_from(shape.as_slice()).ok());
        let (Some(&index), Some(linear)) = (recorded.sites.get(weight), linear) else {
            return Err(not_peft(format!("`{weight}` has no recorded maths, or is no matrix")));
        };
        let graphs = recorded.graphs_of(weight).ok_or_else(|| not_peft(format!("`{weight}` has no recorded maths")))?;
        let found = match known.get(&(index, linear)) {
            Some(site) => site.clone(),
            None => {
                let site = site_of(weight, linear, params, graphs)?;
                known.insert((index, linear), site.clone());
                site
            }
        };
        let scales_output = matches!(found, Site::Ia3 { scales_input: false, .. });
        if scales_output && biased.contains(crate::form::module(weight)) {
            return Err(not_peft(format!(
                "`{weight}` has a bias, which PEFT's (IA)³ would scale and this arm does not; export merged instead"
            )));
        }
        sites.insert(weight.clone(), found);
    }
    check_kinds(&sites)?;
    Ok(sites)
}

fn check_kinds(sites: &BTreeMap<String, Site>) -> Result<(), Error> {
    let of = |site: &Site| match site {
        Site::Ia3 { .. } => Kind::Ia3,
        Site::Lora(LoraParams { magnitude: Some(_), .. }) => Kind::Dora,
        Site::Lora(_) => Kind::Lora,
    };
    let mut first: Option<(&String, Kind)> = None;
    for (weight, site) in sites {
        match first {
            None => first = Some((weight, of(site))),
            Some((other, kind)) if kind != of(site) => {
                let found = of(site);
                return Err(not_peft(format!(
                    "`{other}` has {kind} and `{weight}` has {found}; a PEFT folder holds one kind, so export merged instead"
                )));
            }
            Some(_) => {}
        }
    }
    if first.is_some() { Ok(()) } else { Err(not_peft("no weight is adapted")) }
}

/// Made-up numbers for one site, and what its graph makes of them.
struct Trial<'a> {
    /// `[t, in]`, `[out, in]`, `[t, out]`.
    x: Tensor,
    weight: Tensor,
    y: Tensor,
    values: BTreeMap<String, Tensor>,
    params: &'a [ParamSpec],
    linear: [usize; 2],
}

fn site_of(weight: &str, linear: [usize; 2], params: &[ParamSpec], graphs: &SiteGraphs) -> Result<Site, Error> {
    let trial = Trial::new(linear, params, graphs)?;
    let scales = scales(graphs);
    let dropout = dropout(graphs);
    let found = trial.ia3()?.map_or_else(|| trial.lora(&scales, dropout), |site| Ok(Some(site)))?;
    let Some(site) = found else {
        let names: Vec<&str> = params.iter().map(|param| param.name.as_str()).collect();
        let remedy = match graphs.merge {
            Some(_) => "export merged instead",
            None => "its tuner cannot fold it into the weight either, so only tunebench opens it",
        };
        return Err(not_peft(format!(
            "what `{weight}` computes with {} is none of LoRA, DoRA and (IA)³; {remedy}",
            names.join(", ")
        )));
    };
    if let Some(merge) = &graphs.merge {
        let merged = site::compute(weight, linear, merge, None, Some(&trial.weight), params, &trial.values)?;
        let expected = trial.merged(&site)?;
        if !is_close(&merged, &expected)? {
            return Err(not_peft(format!(
                "at `{weight}` PEFT's formula differs from the tuner's own merge, and so does what the arm computes: its tuner \
                 is at fault"
            )));
        }
    }
    Ok(site)
}

/// The factors that a graph may scale by: each of its own, and all of them together.
fn scales(graphs: &SiteGraphs) -> Vec<f64> {
    let all: Vec<f64> =
        graphs.forward.nodes.iter().filter_map(|n| if let Op::Scale { by } = n.op { Some(by) } else { None }).collect();
    let product = all.iter().product();
    all.into_iter().chain([1.0, product]).collect()
}

fn dropout(graphs: &SiteGraphs) -> f64 {
    let all = graphs.forward.nodes.iter().filter_map(|n| if let Op::Dropout { p } = n.op { Some(p) } else { None });
    all.fold(0.0, f64::max)
}

impl<'a> Trial<'a> {
    fn new(linear: [usize; 2], params: &'a [ParamSpec], graphs: &SiteGraphs) -> Result<Self, Error> {
        let [out, width] = linear;
        let mut values = BTreeMap::new();
        for param in params {
            values.insert(param.name.clone(), site::rounded(&made_up(&param.name, &param.shape)?, param.dtype)?);
        }
        let (x, weight) = (made_up("input", &[TOKENS, width])?, made_up("weight", &[out, width])?);
        let y = site::compute("a site", linear, &graphs.forward, Some(&x), Some(&weight), params, &values)?;
        Ok(Self { x, weight, y, values, params, linear })
    }

    /// `x Wᵀ`.
    fn base(&self, x: &Tensor) -> Result<Tensor, Error> {
        Ok(x.matmul(&self.weight.t()?)?)
    }

    fn ia3(&self) -> Result<Option<Site>, Error> {
        let [param] = self.params else { return Ok(None) };
        let n = self.values[&param.name].elem_count();
        let l = self.values[&param.name].flatten_all()?;
        let [out, width] = self.linear;
        let is_output = n == out && is_close(&self.y, &self.base(&self.x)?.broadcast_mul(&l)?)?;
        let is_input = !is_output && n == width && is_close(&self.y, &self.base(&self.x.broadcast_mul(&l)?)?)?;
        let site = || Site::Ia3 { l: param.name.clone(), scales_input: is_input };
        Ok((is_output || is_input).then(site))
    }

    fn lora(&self, scales: &[f64], dropout: f64) -> Result<Option<Site>, Error> {
        let matrices = || self.params.iter().filter(|param| param.shape.len() == 2);
        for (a, b) in matrices().flat_map(|a| matrices().map(move |b| (a, b))).filter(|(a, b)| a.name != b.name) {
            for (a_is_turned, b_is_turned) in [(false, false), (false, true), (true, false), (true, true)] {
                let (mut a_dims, mut b_dims) = ([a.shape[0], a.shape[1]], [b.shape[0], b.shape[1]]);
                [(&mut a_dims, a_is_turned), (&mut b_dims, b_is_turned)]
                    .into_iter()
                    .filter(|(_, is_turned)| *is_turned)
                    .for_each(|(dims, _)| dims.reverse());
                if a_dims[1] != self.linear[1] || b_dims[0] != self.linear[0] || a_dims[0] != b_dims[1] {
                    continue;
                }
                let a = Matrix { name: a.name.clone(), is_turned: a_is_turned };
                let b = Matrix { name: b.name.clone(), is_turned: b_is_turned };
                if let Some((scale, magnitude)) = self.scale_of(&a, &b, scales)? {
                    return Ok(Some(Site::Lora(LoraParams { a, b, magnitude, scale, dropout })));
                }
            }
        }
        Ok(None)
    }

    /// The scale and the magnitudes by which the graph is LoRA or DoRA over these two matrices.
    fn scale_of(&self, a: &Matrix, b: &Matrix, scales: &[f64]) -> Result<Option<(f64, Option<String>)>, Error> {
        let matrices = [&a.name, &b.name];
        let (a, b) = (self.matrix(a)?, self.matrix(b)?);
        let term = self.x.matmul(&a.t()?)?.matmul(&b.t()?)?;
        let base = self.base(&self.x)?;
        match self.params {
            [_, _] => {
                // What the graph says exactly, else what it amounts to.
                let amounts = dot(&(&self.y - &base)?, &term)? / dot(&term, &term)?;
                for scale in scales.iter().copied().chain([amounts]) {
                    if scale != 0.0 && is_close(&self.y, &(&base + (&term * scale)?)?)? {
                        return Ok(Some((scale, None)));
                    }
                }
            }
            [..] if self.params.len() == 3 => {
                let Some(magnitude) =
                    self.params.iter().find(|p| !matrices.contains(&&p.name) && p.len() == self.linear[0] as u64)
                else {
                    return Ok(None);
                };
                let row = self.values[&magnitude.name].flatten_all()?;
                for scale in scales.iter().copied().filter(|scale| *scale != 0.0) {
                    let adapted = (&self.weight + (b.matmul(&a)? * scale)?)?;
                    let ratio = (&row / adapted.sqr()?.sum(1)?.sqrt()?)?;
                    if is_close(&self.y, &(&base + (&term * scale)?)?.broadcast_mul(&ratio)?)? {
                        return Ok(Some((scale, Some(magnitude.name.clone()))));
                    }
                }
            }
            _ => {}
        }
        Ok(None)
    }

    fn matrix(&self, of: &Matrix) -> Result<Tensor, Error> {
        Ok(turned(self.values[&of.name].clone(), of.is_turned)?)
    }

    /// PEFT's merge.
    fn merged(&self, site: &Site) -> Result<Tensor, Error> {
        match site {
            Site::Ia3 { l, scales_input } => {
                let l = self.values[l].flatten_all()?;
                let l = if *scales_input { l.unsqueeze(0)? } else { l.unsqueeze(1)? };
                Ok(self.weight.broadcast_mul(&l)?)
            }
            Site::Lora(LoraParams { a, b, magnitude, scale, .. }) => {
                let adapted = (&self.weight + (self.matrix(b)?.matmul(&self.matrix(a)?)? * *scale)?)?;
                let Some(magnitude) = magnitude else { return Ok(adapted) };
                let norm = adapted.sqr()?.sum_keepdim(1)?.sqrt()?;
                let row = self.values[magnitude].flatten_all()?.unsqueeze(1)?;
                Ok(adapted.broadcast_mul(&(row / norm)?)?)
            }
        }
    }
}

fn turned(tensor: Tensor, is_turned: bool) -> candle_core::Result<Tensor> {
    if is_turned { tensor.t()?.contiguous() } else { Ok(tensor) }
}

/// Numbers in ±1, the same for the same name and shape.
fn made_up(name: &str, dims: &[usize]) -> Result<Tensor, Error> {
    let mut stream = Stream::named(SEED, name);
    let values: Vec<f32> = (0..dims.iter().product()).map(|_| (2.0 * stream.uniform() - 1.0) as f32).collect();
    Ok(Tensor::from_vec(values, dims, &Device::Cpu)?)
}

fn dot(a: &Tensor, b: &Tensor) -> Result<f64, Error> {
    Ok(f64::from((a * b)?.sum_all()?.to_scalar::<f32>()?))
}

fn is_close(found: &Tensor, expected: &Tensor) -> Result<bool, Error> {
    let largest = |t: &Tensor| Ok::<_, Error>(f64::from(t.abs()?.max_all()?.to_scalar::<f32>()?));
    let difference = largest(&(found - expected)?)?;
    Ok(difference.is_finite() && difference <= TOLERANCE * largest(expected)?)
}
