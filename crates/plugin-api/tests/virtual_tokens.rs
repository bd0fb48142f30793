//! `testing::check_tuner` for virtual tokens and required operations: sound tuners pass, each fault gets its message.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use tunebench_plugin_api::prelude::*;
use tunebench_plugin_api::serde_json::json;
use tunebench_plugin_api::testing::check_tuner;
use tunebench_plugin_api::{VirtualKind, VirtualTokens};

/// Prefix tuning through a projection, or prompt tuning; `fault` says what it does wrong.
struct Prefix {
    kind: VirtualKind,
    fault: String,
}

#[derive(Deserialize)]
#[serde(crate = "tunebench_plugin_api::serde", deny_unknown_fields)]
struct Options {
    kind: VirtualKind,
    #[serde(default)]
    fault: String,
}

const COUNT: usize = 3;
const BOTTLENECK: usize = 5;

impl Tuner for Prefix {
    const NAME: &'static str = "prefix";
    const DESCRIPTION: &'static str = "";
    const REQUIRES: &'static [(&'static str, u32)] = &[("tanh", 1)];
    type Options = Options;

    fn new(Options { kind, fault }: Options) -> Result<Self> {
        Ok(Self { kind, fault })
    }

    fn plan(&self, model: &Model) -> Result<TunePlan> {
        let width = match self.kind {
            VirtualKind::Embeddings => model.hidden_size,
            VirtualKind::KeysValues => model.layers * 2 * model.kv_width,
        };
        let init = Init::Normal { mean: 0.0, std: 0.02 };
        let first = if self.fault == "computed" { Init::Computed } else { init.clone() };
        let params = vec![Param::new("low", [COUNT, BOTTLENECK], first), Param::new("up", [BOTTLENECK, width], init)];
        let count = if self.fault == "none" { 0 } else { COUNT };
        let virtual_tokens = Some(VirtualTokens { kind: self.kind, count, params });
        Ok(TunePlan { virtual_tokens, ..TunePlan::frozen(model) })
    }

    fn virtual_tokens<'o>(&self, ops: &'o Ops<'o>, _: &VirtualTokens) -> Result<Tensor<'o>> {
        let (low, up) = (ops.param("low"), ops.param("up"));
        Ok(match self.fault.as_str() {
            "narrow" => low.tanh(),
            "weight" => ops.weight(),
            "base" => ops.base(low),
            "unused" => low.detach().tanh().matmul(up),
            "infinite" => (low * 1e9).exp().matmul(up),
            _ => low.tanh().matmul(up),
        })
    }
}

#[test]
fn sound_virtual_tokens_pass() {
    // Embeddings are as wide as the model, keys and values 2 (k and v) x 8 in each of two layers.
    for (kind, width) in [("embeddings", 16), ("keys_values", 32)] {
        let report = check_tuner::<Prefix>(json!({ "kind": kind })).unwrap();
        assert_eq!((report.sites.len(), report.virtual_tokens), (0, COUNT), "{kind}");
        assert_eq!(report.trainable_params as usize, BOTTLENECK * (COUNT + width), "{kind}");
        assert!(!report.starts_at_base && !report.merges, "{kind}");
    }
}

#[test]
fn each_fault_has_its_message() {
    for (fault, message) in [
        ("none", "plan: 0 virtual tokens; there can be from 1 to 4096"),
        ("computed", "plan: `virtual_tokens`: `low` cannot be computed; give it an init"),
        ("narrow", "`virtual_tokens`: the result is [3, 5], expected [3, 16]"),
        ("weight", "`virtual_tokens`: `weight`: there is no input and no weight here; only parameters and"),
        ("base", "`virtual_tokens`: `base`: there is no input and no weight here"),
        ("unused", "parameter `low` has a gradient of zero: `virtual_tokens` does not use it, or only behind `detach`"),
        ("infinite", "`virtual_tokens` is not finite at the parameters' initial values"),
    ] {
        let error = check_tuner::<Prefix>(json!({ "kind": "embeddings", "fault": fault })).expect_err(fault);
        assert!(error.message().contains(message), "{fault}: expected {message}\n   found {error}");
    }
}

/// A tuner that needs what there is not.
struct Early;

#[derive(Deserialize)]
#[serde(crate = "tunebench_plugin_api::serde")]
struct Nothing {}

impl Tuner for Early {
    const NAME: &'static str = "early";
    const DESCRIPTION: &'static str = "";
    const REQUIRES: &'static [(&'static str, u32)] = &[("tanh", 1), ("tanh", 2)];
    type Options = Nothing;

    fn new(_: Nothing) -> Result<Self> {
        Ok(Self)
    }

    fn plan(&self, model: &Model) -> Result<TunePlan> {
        let params = vec![Param::new("p", [1], Init::Ones)];
        let virtual_tokens = Some(VirtualTokens { kind: VirtualKind::Embeddings, count: 1, params });
        Ok(TunePlan { virtual_tokens, ..TunePlan::frozen(model) })
    }
}

#[test]
fn a_required_operation_must_be_there() {
    let error = check_tuner::<Early>(json!({})).unwrap_err();
    assert_eq!(error.message(), "it requires operation `tanh` in version 2, which is not there");
}
