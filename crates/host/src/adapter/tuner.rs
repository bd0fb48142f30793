//! A tuner beside its plugin: its plan for a model, checked, and the graphs that it records for each adapted weight.

use std::collections::BTreeMap;

use abi_stable::sabi_trait::TD_Opaque;
use abi_stable::std_types::{ROption, RStr};
use serde::Serialize;
use tunebench_plugin_api::abi::{AbiOps_TO, AbiResult, Handle, OpsRef, PluginRoot_Ref, TunerBox};
use tunebench_plugin_api::{Model, Weight};
use tunebench_spec::plan::{RecordedPlan, SiteGraphs};
use tunebench_spec::shapes::SiteShape;
use tunebench_spec::{Decoder, Dim, Graph, Init, ParamSpec, TunePlan, VirtualTokens};

use super::recorder::Recorder;
use crate::error::HostError;

/// A plugin's tuner with its options.
pub(crate) struct Tuner {
    name: String,
    inner: TunerBox,
}

impl Tuner {
    pub fn new(name: &str, root: PluginRoot_Ref, options: &str) -> Result<Self, HostError> {
        let inner = root.new_tuner()(RStr::from(options)).into_result();
        let inner = inner.map_err(|e| HostError::from_abi(name, "taking its options", &e))?;
        Ok(Self { name: name.to_owned(), inner })
    }

    /// What is trained of `shape`, and the graphs recorded for every adapted weight. Equal graphs are kept once.
    ///
    /// # Errors
    /// When the plugin refuses, panics, plans for weights that do not exist or forgets some, or records graphs whose
    /// shapes do not fit.
    pub fn record(&self, shape: &Decoder) -> Result<RecordedPlan, HostError> {
        let model = describe(shape);
        let plan = self.plan(&model, shape)?;
        let virtual_tokens =
            plan.virtual_tokens.as_ref().map(|tokens| self.record_virtual(tokens, shape)).transpose()?;
        let mut recorded = RecordedPlan { plan, virtual_tokens, ..RecordedPlan::default() };
        let weights: BTreeMap<&str, &Weight> = model.weights.iter().map(|w| (w.name.as_str(), w)).collect();
        for (name, params) in recorded.plan.adapted() {
            let graphs = self.record_site(weights[name], params)?;
            let known = recorded.graphs.iter().position(|g| *g == graphs);
            let index = known.unwrap_or(recorded.graphs.len());
            if known.is_none() {
                recorded.graphs.push(graphs);
            }
            recorded.sites.insert(name.to_owned(), index);
        }
        Ok(recorded)
    }

    fn plan(&self, model: &Model, shape: &Decoder) -> Result<TunePlan, HostError> {
        let operation = "planning";
        let json = to_json(model);
        let answer = self.inner.plan(RStr::from(json.as_str())).into_result();
        let answer = answer.map_err(|e| HostError::from_abi(&self.name, operation, &e))?;
        let invalid = |e: serde_json::Error| HostError::invalid(&self.name, operation, e);
        // First as the contract reads it, which passes over fields of a newer one.
        let read: tunebench_plugin_api::TunePlan = serde_json::from_slice(answer.as_bytes()).map_err(invalid)?;
        let plan: TunePlan = serde_json::from_str(&to_json(&read)).map_err(invalid)?;
        let count = plan.virtual_tokens.as_ref().map_or(Ok(()), |tokens| tokens.check(shape));
        let checked = count.and_then(|()| read.check(model).map_err(|e| e.message().to_owned()));
        checked.map_err(|error| HostError::invalid(&self.name, operation, error))?;
        Ok(plan)
    }

    fn record_site(&self, weight: &Weight, params: &[ParamSpec]) -> Result<SiteGraphs, HostError> {
        let site = to_json(&SiteRef { weight, params });
        let site = RStr::from(site.as_str());
        let shape = SiteShape {
            out_features: weight.out_features(),
            in_features: weight.in_features(),
            params: params.iter().map(|p| (p.name.as_str(), p.shape.as_slice())).collect(),
        };
        let (out, width) = (Dim::Fixed(weight.out_features()), Dim::Fixed(weight.in_features()));
        let label = weight.name.trim_end_matches(".weight");

        let forward = self.trace("forward", label, shape.clone(), &[Dim::TOKENS, out], true, |ops, x| {
            self.inner.forward(ops, site, x).map(ROption::RSome)
        })?;
        let forward = forward.ok_or_else(|| HostError::invalid(&self.name, "forward", "nothing recorded"))?;
        let merge =
            self.trace("merge", label, shape.clone(), &[out, width], false, |ops, _| self.inner.merge(ops, site))?;
        let mut inits = BTreeMap::new();
        for (i, param) in params.iter().enumerate().filter(|(_, p)| p.init == Init::Computed) {
            let expected: Vec<Dim> = param.shape.iter().copied().map(Dim::Fixed).collect();
            let before = SiteShape { params: shape.params[..i].to_vec(), ..shape.clone() };
            let graph = self.trace("init", label, before, &expected, false, |ops, _| {
                self.inner.init(ops, site, RStr::from(param.name.as_str())).map(ROption::RSome)
            })?;
            inits.extend(graph.map(|g| (param.name.clone(), g)));
        }
        Ok(SiteGraphs { forward, merge, inits })
    }

    fn record_virtual(&self, tokens: &VirtualTokens, model: &Decoder) -> Result<Graph, HostError> {
        let json = to_json(tokens);
        let params = tokens.params.iter().map(|p| (p.name.as_str(), p.shape.as_slice())).collect();
        let (site, label) = (SiteShape::without_weight(params), "the plan");
        let graph = self.trace("virtual_tokens", label, site, &tokens.shape(model), false, |ops, _| {
            self.inner.virtual_tokens(ops, RStr::from(json.as_str())).map(ROption::RSome)
        })?;
        graph.ok_or_else(|| HostError::invalid(&self.name, "virtual_tokens", "nothing recorded"))
    }

    fn trace(
        &self,
        method: &str,
        label: &str,
        site: SiteShape<'_>,
        expected: &[Dim],
        has_input: bool,
        call: impl FnOnce(OpsRef<'_>, Handle) -> AbiResult<ROption<Handle>>,
    ) -> Result<Option<Graph>, HostError> {
        let operation = format!("recording `{method}` of {label}");
        let recorder = Recorder::new(label, site);
        // The other methods see no input; a handle they invent is refused.
        let x = match has_input {
            true => recorder.input().map_err(|e| HostError::invalid(&self.name, &operation, e))?,
            false => Handle(u64::MAX),
        };
        let output = {
            let ops: OpsRef<'_> = AbiOps_TO::from_ptr(abi_stable::sabi_types::RRef::new(&recorder), TD_Opaque);
            call(ops, x).into_result().map_err(|e| HostError::from_abi(&self.name, &operation, &e))?
        };
        let ROption::RSome(output) = output else { return Ok(None) };
        recorder.finish(output, expected).map(Some).map_err(|e| HostError::invalid(&self.name, &operation, e))
    }
}

/// [`tunebench_plugin_api::Site`], borrowed.
#[derive(Serialize)]
struct SiteRef<'a> {
    weight: &'a Weight,
    params: &'a [ParamSpec],
}

/// Plain data as JSON, which cannot fail.
fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// The model as plugins see it.
fn describe(shape: &Decoder) -> Model {
    let weights = shape.weights().into_iter().map(|w| {
        let module = shape.names.module(w.role).trim_start_matches("model.").to_owned();
        let role = serde_json::to_value(w.role).ok().and_then(|role| role.as_str().map(str::to_owned));
        let role = role.unwrap_or_default();
        Weight { layer: w.layer, module, linear: w.is_adaptable(), role, name: w.name, shape: w.shape }
    });
    Model {
        layers: shape.num_hidden_layers,
        hidden_size: shape.hidden_size,
        kv_width: shape.kv_width(),
        family: shape.family.clone(),
        weights: weights.collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use tunebench_plugin_api::abi_export::tuner_root;
    use tunebench_plugin_api::prelude::{Error, Ops, Result as PluginResult, Tensor, Tuner};
    use tunebench_plugin_api::{self as api, VirtualKind};

    use serde_json::json;

    use super::*;

    /// What a plan of virtual tokens says, and what is recorded of them.
    #[derive(Clone, Deserialize)]
    struct Plan {
        count: usize,
        init: api::Init,
        records: String,
    }

    struct Virtual(Plan);

    fn planned(plan: &Plan, model: &Model) -> api::TunePlan {
        let params = vec![api::Param::new("p", [plan.count.max(1), model.hidden_size], plan.init.clone())];
        let tokens = api::VirtualTokens { kind: VirtualKind::Embeddings, count: plan.count, params };
        api::TunePlan { virtual_tokens: Some(tokens), ..api::TunePlan::frozen(model) }
    }

    impl Tuner for Virtual {
        const NAME: &'static str = "virtual";
        const DESCRIPTION: &'static str = "";
        type Options = Plan;

        fn new(plan: Plan) -> PluginResult<Self> {
            Ok(Self(plan))
        }

        fn plan(&self, model: &Model) -> PluginResult<api::TunePlan> {
            Ok(planned(&self.0, model))
        }

        fn virtual_tokens<'o>(&self, ops: &'o Ops<'o>, _: &api::VirtualTokens) -> PluginResult<Tensor<'o>> {
            match self.0.records.as_str() {
                "the parameter" => Ok(ops.param("p")),
                "it turned" => Ok(ops.param("p").t()),
                "a product with the base" => Ok(ops.base(ops.param("p"))),
                "the base" => Ok(ops.weight()),
                "another parameter" => Ok(ops.param("q")),
                other => Err(Error::new(format!("no {other}"))),
            }
        }
    }

    /// Plans them and forgets the rest.
    struct Forgetful(Plan);

    impl Tuner for Forgetful {
        const NAME: &'static str = "forgetful";
        const DESCRIPTION: &'static str = "";
        type Options = Plan;

        fn new(plan: Plan) -> PluginResult<Self> {
            Ok(Self(plan))
        }

        fn plan(&self, model: &Model) -> PluginResult<api::TunePlan> {
            Ok(planned(&self.0, model))
        }
    }

    extern "C" fn manifest() -> abi_stable::std_types::RString {
        abi_stable::std_types::RString::new()
    }

    fn record<T: Tuner>(count: usize, init: &api::Init, records: &str) -> Result<RecordedPlan, HostError> {
        let options = json!({ "count": count, "init": init, "records": records }).to_string();
        let inner = tuner_root::<T>(manifest).new_tuner()(RStr::from(options.as_str())).unwrap();
        let shape = Decoder { max_position_embeddings: 64, ..Decoder::preset("llama-7b").unwrap() };
        super::Tuner { name: T::NAME.into(), inner }.record(&shape)
    }

    #[test]
    fn virtual_tokens_are_recorded_or_refused_with_the_reason() {
        let recorded = record::<Virtual>(3, &api::Init::Zeros, "the parameter").unwrap();
        assert_eq!((recorded.plan.virtual_count(), recorded.virtual_tokens.unwrap().nodes.len()), (3, 1));

        let zeros = &api::Init::Zeros;
        for (count, init, records, want) in [
            (0, zeros, "the parameter", "0 virtual tokens; this model can have from 1 to 62"),
            (63, zeros, "the parameter", "63 virtual tokens"),
            (3, &api::Init::Computed, "the parameter", "cannot be computed"),
            (3, zeros, "it turned", "the result is [4096, 3], expected [3, 4096]"),
            (3, zeros, "a product with the base", "`base`: there is no input and no weight here"),
            (3, zeros, "the base", "`weight`: there is no input and no weight here"),
            (3, zeros, "another parameter", "no parameter `q`"),
            (3, zeros, "such", "no such"),
        ] {
            let error = record::<Virtual>(count, init, records).err().unwrap().to_string();
            assert!(error.contains(want) && error.contains("plugin `virtual`"), "{records}: {error}");
        }
        let error = record::<Forgetful>(3, zeros, "").err().unwrap().to_string();
        assert!(error.contains("plans 3 virtual tokens but does not implement `virtual_tokens`"), "{error}");
    }
}
