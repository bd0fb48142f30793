//! An adapter as a tuning of its base model: a plan with recorded graphs, so that one made elsewhere answers, is merged and
//! is trained on like one of our own.

use std::collections::BTreeMap;

use candle_core::Tensor;
use tunebench_model::Tuning;
use tunebench_model::tuning::param_name;
use tunebench_spec::graph::DType;
use tunebench_spec::plan::{RecordedPlan, SiteGraphs};
use tunebench_spec::shapes::{SiteShape, infer};
use tunebench_spec::{Decoder, Dim, Graph, Init, Node, Op, ParamSpec, VirtualKind, VirtualTokens, WeightPlan};

use crate::Error;
use crate::form::{Form, Ia3Site, Kind, LoraSite, VirtualForm};

/// PEFT's names of parameters.
pub(crate) const A: &str = "lora_A";
pub(crate) const B: &str = "lora_B";
pub(crate) const MAGNITUDE: &str = "lora_magnitude_vector";
pub(crate) const L: &str = "ia3_l";
/// Of virtual tokens, as the tuners have it.
const EMBEDDING: &str = "embedding";

impl Form {
    /// The adapter over a model of `shape`, and whole weights beside it.
    ///
    /// # Errors
    /// [`Error::Tensors`] where a shape does not fit; the model's errors.
    pub fn tuning(&self, shape: &Decoder, whole: BTreeMap<String, Tensor>) -> Result<Tuning, Error> {
        let mut recorded = RecordedPlan::default();
        let mut values = BTreeMap::new();
        match self {
            Self::Lora(sites) => {
                for (weight, site) in sites {
                    let tensors = [(A, Some(&site.a)), (B, Some(&site.b)), (MAGNITUDE, site.magnitude.as_ref())];
                    let params = put(&mut values, weight, &tensors);
                    adapt(shape, &mut recorded, weight, params, |linear, params| lora(linear, site, params))?;
                }
            }
            Self::Ia3(sites) => {
                for (weight, site) in sites {
                    let params = put(&mut values, weight, &[(L, Some(&site.shaped()?))]);
                    adapt(shape, &mut recorded, weight, params, |linear, params| ia3(linear, site, params))?;
                }
            }
            Self::Virtual(tokens) => {
                let params = put(&mut values, VirtualTokens::NAME, &[(EMBEDDING, Some(&tokens.value))]);
                behind(&mut recorded, tokens, params).map_err(Error::Tensors)?;
            }
        }
        for (name, value) in whole {
            recorded.plan.weights.insert(name.clone(), WeightPlan::Trainable { lr_scale: 1.0 });
            values.insert(name, value);
        }
        for weight in shape.weights() {
            recorded.plan.weights.entry(weight.name).or_insert(WeightPlan::Frozen);
        }
        Ok(Tuning::new(shape, recorded, values)?)
    }
}

impl Ia3Site {
    /// As PEFT keeps it: `[out, 1]`, or `[1, in]` where it scales the input.
    ///
    /// # Errors
    /// Never in practice.
    pub fn shaped(&self) -> Result<Tensor, Error> {
        let n = self.l.elem_count();
        Ok(self.l.reshape(if self.scales_input { (1, n) } else { (n, 1) })?)
    }
}

/// Notes the tensors that are there as values of `owner`'s parameters; their specs.
fn put(values: &mut BTreeMap<String, Tensor>, owner: &str, tensors: &[(&str, Option<&Tensor>)]) -> Vec<ParamSpec> {
    let present = tensors.iter().filter_map(|(name, tensor)| Some((*name, (*tensor)?)));
    let spec = |(name, tensor): (&str, &Tensor)| {
        values.insert(param_name(owner, name), tensor.clone());
        // Never begun: the values are there.
        let init = Init::Zeros;
        ParamSpec { name: name.to_owned(), shape: tensor.dims().to_vec(), dtype: DType::F32, init, lr_scale: 1.0 }
    };
    present.map(spec).collect()
}

fn adapt(
    shape: &Decoder,
    recorded: &mut RecordedPlan,
    weight: &str,
    params: Vec<ParamSpec>,
    record: impl FnOnce([usize; 2], &[ParamSpec]) -> Result<SiteGraphs, String>,
) -> Result<(), Error> {
    let linear = linear(shape, weight)
        .ok_or_else(|| Error::Tensors(format!("the model has no linear weight `{weight}`; is it another model's?")))?;
    let graphs = record(linear, &params).map_err(|fault| Error::Tensors(format!("`{weight}`: {fault}")))?;
    let index = recorded.graphs.iter().position(|known| *known == graphs).unwrap_or_else(|| {
        recorded.graphs.push(graphs);
        recorded.graphs.len() - 1
    });
    recorded.sites.insert(weight.to_owned(), index);
    recorded.plan.weights.insert(weight.to_owned(), WeightPlan::Adapted { params });
    Ok(())
}

/// `[out, in]` of a weight of this name.
pub(crate) fn linear(shape: &Decoder, weight: &str) -> Option<[usize; 2]> {
    let found = shape.weights().into_iter().find(|w| w.name == weight && w.role.is_linear())?;
    found.shape.try_into().ok()
}

fn behind(recorded: &mut RecordedPlan, tokens: &VirtualForm, params: Vec<ParamSpec>) -> Result<(), String> {
    let mut record = Recorder::new([0, 0], &params);
    let value = record.param(EMBEDDING)?;
    recorded.virtual_tokens = Some(record.graph(value));
    let kind = match tokens.kind {
        Kind::PrefixTuning => VirtualKind::KeysValues,
        _ => VirtualKind::Embeddings,
    };
    let count = tokens.value.dims().first().copied().unwrap_or(0);
    recorded.plan.virtual_tokens = Some(VirtualTokens { kind, count, params });
    Ok(())
}

/// `base(x) + s B A dropout(x)`, for DoRA times `magnitude / norm(W + s B A)` without a gradient through the norm.
fn lora(linear: [usize; 2], site: &LoraSite, params: &[ParamSpec]) -> Result<SiteGraphs, String> {
    let (out, is_dora) = (Dim::Fixed(linear[0]), site.magnitude.is_some());
    let mut forward = Recorder::new(linear, params);
    let x = forward.op(Op::Input, &[])?;
    let base = forward.op(Op::Base, &[x])?;
    let dropped = if site.dropout > 0.0 { forward.op(Op::Dropout { p: site.dropout }, &[x])? } else { x };
    let (a, b) = (forward.param(A)?, forward.param(B)?);
    let (a, b) = (forward.op(Op::Transpose, &[a])?, forward.op(Op::Transpose, &[b])?);
    let low = forward.op(Op::Matmul, &[dropped, a])?; // [t, r]
    let high = forward.op(Op::Matmul, &[low, b])?; // [t, out]
    let scaled = forward.op(Op::Scale { by: site.scale }, &[high])?;
    let mut y = forward.op(Op::Add, &[base, scaled])?;
    if is_dora {
        let (_, ratio) = forward.magnitudes(site.scale)?;
        let row = forward.op(Op::Reshape { shape: vec![out] }, &[ratio])?;
        y = forward.op(Op::Mul, &[y, row])?;
    }
    let mut merge = Recorder::new(linear, params);
    let merged = if is_dora {
        let (adapted, ratio) = merge.magnitudes(site.scale)?;
        merge.op(Op::Mul, &[adapted, ratio])?
    } else {
        merge.adapted(site.scale)?
    };
    Ok(SiteGraphs { forward: forward.graph(y), merge: Some(merge.graph(merged)), inits: BTreeMap::new() })
}

/// `base(x) ⊙ l`, or `base(x ⊙ l)`.
fn ia3(linear: [usize; 2], site: &Ia3Site, params: &[ParamSpec]) -> Result<SiteGraphs, String> {
    let mut forward = Recorder::new(linear, params);
    let x = forward.op(Op::Input, &[])?;
    let l = forward.param(L)?;
    let y = if site.scales_input {
        let scaled = forward.op(Op::Mul, &[x, l])?;
        forward.op(Op::Base, &[scaled])?
    } else {
        let base = forward.op(Op::Base, &[x])?;
        let row = forward.op(Op::Transpose, &[l])?;
        forward.op(Op::Mul, &[base, row])?
    };
    let mut merge = Recorder::new(linear, params);
    let (weight, l) = (merge.op(Op::Weight, &[])?, merge.param(L)?);
    let merged = merge.op(Op::Mul, &[weight, l])?;
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
        let (a, b) = (self.param(A)?, self.param(B)?);
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
        let magnitude = self.param(MAGNITUDE)?;
        let magnitude = self.op(Op::Reshape { shape: column }, &[magnitude])?;
        Ok((adapted, self.op(Op::Div, &[magnitude, norm])?))
    }

    fn graph(self, output: usize) -> Graph {
        Graph { nodes: self.nodes, output }
    }
}
