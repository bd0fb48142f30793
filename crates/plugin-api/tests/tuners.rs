//! `testing::check_tuner`: sound tuners pass with the right report, and each fault gets its message.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use std::sync::atomic::{AtomicUsize, Ordering};

use tunebench_plugin_api::prelude::*;
use tunebench_plugin_api::serde_json::json;
use tunebench_plugin_api::testing::{TunerReport, check_tuner, check_tuner_on, tiny_model};

/// One way to tune, by functions, so that a table can hold many.
trait Method: Send + Sync + 'static {
    fn plan(model: &Model) -> TunePlan {
        adapt(model, |w| vec![Param::new("lora_A", [4, w.in_features()], Init::Ones), lora_b(w)])
    }
    fn forward<'o>(ops: &'o Ops<'o>, site: &Site, x: Tensor<'o>) -> Tensor<'o>;
    fn merge<'o>(_: &'o Ops<'o>, _: &Site) -> Option<Tensor<'o>> {
        None
    }
    fn init<'o>(ops: &'o Ops<'o>, _: &Site) -> Tensor<'o> {
        ops.weight()
    }
}

struct Tuned<M>(std::marker::PhantomData<M>);

#[derive(Deserialize)]
#[serde(crate = "tunebench_plugin_api::serde", deny_unknown_fields)]
struct Options {}

impl<M: Method> Tuner for Tuned<M> {
    const NAME: &'static str = "tuned";
    const DESCRIPTION: &'static str = "";
    type Options = Options;

    fn new(_: Options) -> Result<Self> {
        Ok(Self(std::marker::PhantomData))
    }

    fn plan(&self, model: &Model) -> Result<TunePlan> {
        Ok(M::plan(model))
    }

    fn forward<'o>(&self, ops: &'o Ops<'o>, site: &Site, x: Tensor<'o>) -> Result<Tensor<'o>> {
        Ok(M::forward(ops, site, x))
    }

    fn merge<'o>(&self, ops: &'o Ops<'o>, site: &Site) -> Result<Option<Tensor<'o>>> {
        Ok(M::merge(ops, site))
    }

    fn init<'o>(&self, ops: &'o Ops<'o>, site: &Site, _: &str) -> Result<Tensor<'o>> {
        Ok(M::init(ops, site))
    }
}

fn adapt(model: &Model, params: impl Fn(&Weight) -> Vec<Param>) -> TunePlan {
    let mut plan = TunePlan::frozen(model);
    model.linears().for_each(|w| plan.adapt(w, params(w)));
    plan
}

fn lora_b(w: &Weight) -> Param {
    Param::new("lora_B", [w.out_features(), 4], Init::Zeros)
}

fn lora<'o>(ops: &'o Ops<'o>, x: Tensor<'o>) -> Tensor<'o> {
    ops.base(x) + 2.0 * x.dropout(0.1).matmul(ops.param("lora_A").t()).matmul(ops.param("lora_B").t())
}

fn merged<'o>(ops: &'o Ops<'o>) -> Tensor<'o> {
    ops.weight() + 2.0 * ops.param("lora_B").matmul(ops.param("lora_A"))
}

type Check = fn() -> Result<TunerReport>;

fn check<M: Method>() -> Result<TunerReport> {
    check_tuner::<Tuned<M>>(json!({}))
}

/// Declares tuners in a line each: what differs from LoRA.
macro_rules! methods {
    ($($name:ident { $($method:item)* })*) => {
        $(struct $name; impl Method for $name { $($method)* })*
    };
}

methods! {
    Lora {
        fn forward<'o>(ops: &'o Ops<'o>, _: &Site, x: Tensor<'o>) -> Tensor<'o> { lora(ops, x) }
        fn merge<'o>(ops: &'o Ops<'o>, _: &Site) -> Option<Tensor<'o>> { Some(merged(ops)) }
    }
    // (IA)3 (Liu et al. 2022), outputs scaled: by 1, written in every operator, by value and by reference.
    Scaled {
        fn plan(model: &Model) -> TunePlan {
            adapt(model, |w| vec![Param::new("l", [w.out_features()], Init::Ones)])
        }
        fn forward<'o>(ops: &'o Ops<'o>, _: &Site, x: Tensor<'o>) -> Tensor<'o> {
            let (value, l, m) = (ops.param("l"), &ops.param("l"), &ops.param("l"));
            let zeros = (l - m) + (value - l) + (l - value) + (value + l) - (l + value) + (l + m - 2.0 * l);
            let ones = (l / m) * (value / l) * (l / value) * (l * value) / (value * l) * (-l / -value);
            let numbers = (1.0 - (1.0 - l)) + (2.0 - (2.0 + value)) + ((l + 1.0) - 1.0) + ((l - 1.0) + 1.0) - l;
            ops.base(x) * (zeros + ones * numbers * (l * 3.0 / 3.0) / (l / 2.0 * 2.0) * (1.0 / l) / (1.0 / value))
        }
        fn merge<'o>(ops: &'o Ops<'o>, site: &Site) -> Option<Tensor<'o>> {
            let l = ops.param("l").reshape(&[Dim::Fixed(site.weight.out_features()), Dim::Fixed(1)]);
            // Divided twice, so that a number over a value is tried too.
            Some(ops.weight() / (1.0 / l))
        }
    }
    // Magnitudes that begin as row norms, those behind `detach` as PEFT's DoRA has them.
    Magnitudes {
        fn plan(model: &Model) -> TunePlan {
            adapt(model, |w| {
                vec![Param::new("lora_A", [4, w.in_features()], Init::Ones), lora_b(w),
                    Param::new("m", [w.out_features(), 1], Init::Computed)]
            })
        }
        fn init<'o>(ops: &'o Ops<'o>, _: &Site) -> Tensor<'o> { merged(ops).norm(1) }
        fn forward<'o>(ops: &'o Ops<'o>, _: &Site, x: Tensor<'o>) -> Tensor<'o> {
            lora(ops, x) * (ops.param("m") / merged(ops).norm(1).detach()).t()
        }
        fn merge<'o>(ops: &'o Ops<'o>, _: &Site) -> Option<Tensor<'o>> {
            Some(ops.param("m") / merged(ops).norm(1) * merged(ops))
        }
    }
    // What is not trained needs no gradient (VeRA's shared matrices).
    FrozenPart {
        fn plan(model: &Model) -> TunePlan {
            let still = |p: Param| Param { lr_scale: 0.0, ..p };
            adapt(model, |w| vec![still(Param::new("lora_A", [4, w.in_features()], Init::Ones)), lora_b(w)])
        }
        fn forward<'o>(ops: &'o Ops<'o>, _: &Site, x: Tensor<'o>) -> Tensor<'o> {
            ops.base(x) + x.matmul(ops.param("lora_A").detach().t()).gelu().matmul(ops.param("lora_B").t()) + 1.0
        }
    }
    Whole {
        fn plan(model: &Model) -> TunePlan { TunePlan::trainable(model) }
        fn forward<'o>(_: &'o Ops<'o>, _: &Site, x: Tensor<'o>) -> Tensor<'o> { x }
    }
}

#[test]
fn sound_tuners_pass() {
    // Parameters of all linear weights: 4 (in + out) for LoRA, out for scales and magnitudes.
    let (widths, outs) = (2 * (40 + 24 + 24 + 40 + 56 + 56 + 56), 2 * (24 + 8 + 8 + 16 + 40 + 40 + 16));
    let model: usize = tiny_model().weights.iter().map(|w| w.shape.iter().product::<usize>()).sum();
    let cases: [(&str, Check, usize, usize, bool, bool); 5] = [
        ("lora", check::<Lora>, 14, 4 * widths, true, true),
        ("scaled", check::<Scaled>, 14, outs, true, true),
        ("magnitudes", check::<Magnitudes>, 14, 4 * widths + outs, true, true),
        ("frozen part", check::<FrozenPart>, 14, 4 * widths, false, false),
        ("whole", check::<Whole>, 0, model, true, true),
    ];
    for (name, check, sites, params, starts_at_base, merges) in cases {
        let report = check().unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(report.sites.len(), sites, "{name}");
        assert_eq!(report.trainable_params, params as u64, "{name}");
        assert_eq!((report.starts_at_base, report.merges), (starts_at_base, merges), "{name}");
    }
}

#[test]
fn authors_may_bring_their_own_model() {
    let mut model = tiny_model();
    model.weights.retain(|w| w.layer != Some(1));
    assert_eq!(check_tuner_on::<Tuned<Lora>>(&model, json!({})).unwrap().sites.len(), 7);
    let error = check_tuner_on::<Tuned<Lora>>(&model, json!({ "rank": 4 })).unwrap_err();
    assert!(error.message().starts_with("options: unknown field `rank`"), "{error}");
}

/// How often something was recorded: what a pure tuner has not.
static CALLS: AtomicUsize = AtomicUsize::new(0);

fn call() -> usize {
    CALLS.fetch_add(1, Ordering::Relaxed)
}

methods! {
    Undecided {
        fn plan(model: &Model) -> TunePlan {
            let mut plan = TunePlan::frozen(model);
            plan.weights.remove("lm_head.weight");
            plan
        }
        fn forward<'o>(_: &'o Ops<'o>, _: &Site, x: Tensor<'o>) -> Tensor<'o> { x }
    }
    Invented {
        fn plan(model: &Model) -> TunePlan {
            let mut plan = TunePlan::frozen(model);
            plan.weights.insert("model.layers.9.mlp.up_proj.weight".into(), WeightPlan::Frozen);
            plan
        }
        fn forward<'o>(_: &'o Ops<'o>, _: &Site, x: Tensor<'o>) -> Tensor<'o> { x }
    }
    AdaptsNorm {
        fn plan(model: &Model) -> TunePlan {
            let mut plan = TunePlan::frozen(model);
            plan.adapt(model.weights.iter().find(|w| w.module == "norm").unwrap(), vec![]);
            plan
        }
        fn forward<'o>(_: &'o Ops<'o>, _: &Site, x: Tensor<'o>) -> Tensor<'o> { x }
    }
    NameOfParam {
        fn plan(model: &Model) -> TunePlan { adapt(model, |_| vec![Param::new("lora.A", [1], Init::Ones)]) }
        fn forward<'o>(_: &'o Ops<'o>, _: &Site, x: Tensor<'o>) -> Tensor<'o> { x }
    }
    NameTwice {
        fn plan(model: &Model) -> TunePlan { adapt(model, |w| vec![lora_b(w), lora_b(w)]) }
        fn forward<'o>(_: &'o Ops<'o>, _: &Site, x: Tensor<'o>) -> Tensor<'o> { x }
    }
    NoElements {
        fn plan(model: &Model) -> TunePlan { adapt(model, |_| vec![Param::new("a", [0, 4], Init::Ones)]) }
        fn forward<'o>(_: &'o Ops<'o>, _: &Site, x: Tensor<'o>) -> Tensor<'o> { x }
    }
    NotANumber {
        fn plan(model: &Model) -> TunePlan {
            adapt(model, |_| vec![Param::new("a", [4], Init::Normal { mean: 0.0, std: f64::NAN })])
        }
        fn forward<'o>(_: &'o Ops<'o>, _: &Site, x: Tensor<'o>) -> Tensor<'o> { x }
    }
    OtherPlan {
        fn plan(model: &Model) -> TunePlan { adapt(model, |_| vec![Param::new("a", [1 + call()], Init::Ones)]) }
        fn forward<'o>(_: &'o Ops<'o>, _: &Site, x: Tensor<'o>) -> Tensor<'o> { x }
    }
    Untransposed {
        fn forward<'o>(ops: &'o Ops<'o>, _: &Site, x: Tensor<'o>) -> Tensor<'o> { x.matmul(ops.param("lora_A")) }
    }
    Unbroadcast {
        fn forward<'o>(ops: &'o Ops<'o>, _: &Site, x: Tensor<'o>) -> Tensor<'o> { ops.base(x) + ops.param("lora_B") }
    }
    OtherWidth {
        fn forward<'o>(ops: &'o Ops<'o>, _: &Site, x: Tensor<'o>) -> Tensor<'o> {
            ops.base(x.matmul(ops.param("lora_A").t()))
        }
    }
    Low {
        fn forward<'o>(ops: &'o Ops<'o>, _: &Site, x: Tensor<'o>) -> Tensor<'o> { x.matmul(ops.param("lora_A").t()) }
    }
    Misspelt {
        fn forward<'o>(ops: &'o Ops<'o>, _: &Site, _: Tensor<'o>) -> Tensor<'o> { ops.param("lora_a") }
    }
    MixesTokens {
        fn forward<'o>(ops: &'o Ops<'o>, _: &Site, x: Tensor<'o>) -> Tensor<'o> { ops.base(x) - ops.base(x.mean(0)) }
    }
    ContractsTokens {
        fn forward<'o>(ops: &'o Ops<'o>, _: &Site, x: Tensor<'o>) -> Tensor<'o> { ops.base(x.t().matmul(x)) }
    }
    MovesTokens {
        fn forward<'o>(ops: &'o Ops<'o>, _: &Site, x: Tensor<'o>) -> Tensor<'o> {
            ops.base(x.t().reshape(&[Dim::Tokens, Dim::Fixed(16)]))
        }
    }
    OtherCount {
        fn forward<'o>(_: &'o Ops<'o>, _: &Site, x: Tensor<'o>) -> Tensor<'o> { x.reshape(&[Dim::Tokens]) }
    }
    Vector {
        fn forward<'o>(ops: &'o Ops<'o>, _: &Site, x: Tensor<'o>) -> Tensor<'o> {
            ops.base(x).reshape(&[Dim::Tokens, Dim::Fixed(1), Dim::Fixed(24)]).t()
        }
    }
    NoAxis {
        fn forward<'o>(ops: &'o Ops<'o>, _: &Site, x: Tensor<'o>) -> Tensor<'o> { ops.base(x).norm(2) }
    }
    Unknown {
        fn forward<'o>(ops: &'o Ops<'o>, _: &Site, x: Tensor<'o>) -> Tensor<'o> {
            let known = [("silu", 1), ("conv", 1), ("silu", 2), ("input", 1)].map(|(name, v)| ops.has_op(name, v));
            assert_eq!(known, [true, false, false, false]);
            ops.call("conv", 1, &[x], &json!({}))
        }
    }
    DropsAll {
        fn forward<'o>(ops: &'o Ops<'o>, _: &Site, x: Tensor<'o>) -> Tensor<'o> { ops.base(x.dropout(1.0)) }
    }
    Endless {
        fn forward<'o>(_: &'o Ops<'o>, _: &Site, x: Tensor<'o>) -> Tensor<'o> { (0..5000).fold(x, |x, _| x + 1.0) }
    }
    Impure {
        fn forward<'o>(ops: &'o Ops<'o>, _: &Site, x: Tensor<'o>) -> Tensor<'o> { lora(ops, x) * (call() as f64) }
    }
    SometimesMerges {
        fn forward<'o>(ops: &'o Ops<'o>, _: &Site, x: Tensor<'o>) -> Tensor<'o> { lora(ops, x) }
        fn merge<'o>(ops: &'o Ops<'o>, _: &Site) -> Option<Tensor<'o>> { call().is_multiple_of(2).then(|| merged(ops)) }
    }
    Overflows {
        fn forward<'o>(ops: &'o Ops<'o>, _: &Site, x: Tensor<'o>) -> Tensor<'o> {
            lora(ops, x) + (ops.base(x) * 1e6).exp()
        }
    }
    RootOfNegative {
        fn forward<'o>(ops: &'o Ops<'o>, _: &Site, x: Tensor<'o>) -> Tensor<'o> {
            lora(ops, x) + ops.param("lora_B").sqrt().sum(0).sum(1)
        }
    }
    Unused {
        fn forward<'o>(ops: &'o Ops<'o>, _: &Site, x: Tensor<'o>) -> Tensor<'o> {
            ops.base(x) + ops.param("lora_B").sum(1).t()
        }
    }
    Detached {
        fn forward<'o>(ops: &'o Ops<'o>, _: &Site, x: Tensor<'o>) -> Tensor<'o> {
            let b = ops.param("lora_B");
            lora(ops, x) - x.matmul(ops.param("lora_A").t()).matmul(b.t()) * 2.0 + lora(ops, x).detach()
        }
    }
    Kink {
        fn forward<'o>(ops: &'o Ops<'o>, _: &Site, x: Tensor<'o>) -> Tensor<'o> {
            let b = ops.param("lora_B");
            lora(ops, x) + (b - b.detach()).relu().sum(1).t()
        }
    }
    MergesOtherwise {
        fn forward<'o>(ops: &'o Ops<'o>, _: &Site, x: Tensor<'o>) -> Tensor<'o> { lora(ops, x) }
        fn merge<'o>(ops: &'o Ops<'o>, _: &Site) -> Option<Tensor<'o>> {
            Some(ops.weight() + ops.param("lora_B").matmul(ops.param("lora_A")))
        }
    }
    MergesTurned {
        fn forward<'o>(ops: &'o Ops<'o>, _: &Site, x: Tensor<'o>) -> Tensor<'o> { lora(ops, x) }
        fn merge<'o>(ops: &'o Ops<'o>, _: &Site) -> Option<Tensor<'o>> { Some(merged(ops).t()) }
    }
    BeginsWrong {
        fn plan(model: &Model) -> TunePlan {
            adapt(model, |w| vec![Param::new("m", [w.out_features()], Init::Computed)])
        }
        fn init<'o>(ops: &'o Ops<'o>, _: &Site) -> Tensor<'o> { ops.weight().norm(1) }
        fn forward<'o>(ops: &'o Ops<'o>, _: &Site, x: Tensor<'o>) -> Tensor<'o> { ops.base(x) * ops.param("m") }
    }
    BeginsWithItself {
        fn plan(model: &Model) -> TunePlan {
            adapt(model, |w| vec![Param::new("m", [w.out_features()], Init::Computed)])
        }
        fn init<'o>(ops: &'o Ops<'o>, _: &Site) -> Tensor<'o> { ops.param("m") }
        fn forward<'o>(ops: &'o Ops<'o>, _: &Site, x: Tensor<'o>) -> Tensor<'o> { ops.base(x) * ops.param("m") }
    }
}

#[test]
fn each_fault_has_its_message() {
    let cases: [(Check, &str); 33] = [
        (check::<Undecided>, "plan: the plan does not say what happens to `lm_head.weight`"),
        (check::<Invented>, "plan: the model has no weight `model.layers.9.mlp.up_proj.weight`"),
        (check::<AdaptsNorm>, "plan: `model.norm.weight` is no linear weight of a layer and cannot be adapted"),
        (check::<NameOfParam>, "parameter names are letters, digits and _, and not `weight`; this one is \"lora.A\""),
        (check::<NameTwice>, "two parameters `lora_B`"),
        (check::<NoElements>, "parameter `a` has an impossible shape [0, 4]"),
        (check::<NotANumber>, "is a number infinite or NaN?"),
        (check::<OtherPlan>, "plan: the second plan for the same model differs from the first"),
        (check::<Untransposed>, "q_proj: `forward`: `matmul` takes [m, k] and [k, n], given [t, 16] and [4, 16]"),
        (check::<Unbroadcast>, "q_proj: `forward`: `add` cannot broadcast [t, 24] with [24, 4]"),
        (check::<OtherWidth>, "q_proj: `forward`: `base` takes [.., 16], given [t, 4]"),
        (check::<Low>, "q_proj: `forward`: the result is [t, 4], expected [t, 24]"),
        (check::<Misspelt>, "the plan gives this site no parameter `lora_a`; it has: lora_A, lora_B"),
        (check::<MixesTokens>, "`mean` along the token axis of [t, 16] would mix tokens"),
        (check::<ContractsTokens>, "`matmul` takes [m, k] and [k, n], given [16, t] and [t, 16]"),
        (check::<MovesTokens>, "`reshape` needs the token axis first; transpose before"),
        (check::<OtherCount>, "`reshape` of [t, 16] to [t] changes the number of elements"),
        (check::<Vector>, "`transpose` takes two axes, given [t, 1, 24]"),
        (check::<NoAxis>, "`norm` along axis 2 of [t, 24]: no such axis"),
        (check::<Unknown>, "there is no operation `conv` in version 1"),
        (check::<DropsAll>, "`dropout` needs 0 <= p < 1, given 1"),
        (check::<Endless>, "more than 4096 operations at one site"),
        (check::<Impure>, "`forward`: recorded again it is not the same: operation 12 was Scale"),
        (check::<SometimesMerges>, "`merge`: recorded again it is not the same"),
        (check::<Overflows>, "`forward` is not finite at the parameters' initial values"),
        (check::<RootOfNegative>, "`forward` is not finite with parameters a little off their initial values"),
        (check::<Unused>, "parameter `lora_A` has a gradient of zero: `forward` does not use it"),
        (check::<Detached>, "parameter `lora_A` has a gradient of zero: `forward` does not use it, or only behind"),
        (check::<Kink>, "the maths has a jump or a kink there"),
        (
            check::<MergesOtherwise>,
            "q_proj: `merge` is another map than `forward`: with the merged weight an output is",
        ),
        (check::<MergesTurned>, "q_proj: `merge`: the result is [16, 24], expected [24, 16]"),
        (check::<BeginsWrong>, "q_proj: `init` of `m`: the result is [24, 1], expected [24]"),
        (check::<BeginsWithItself>, "q_proj: `init` of `m`: the plan gives this site no parameter `m`; it has: "),
    ];
    for (check, message) in cases {
        let error = check().expect_err(message);
        assert!(error.message().contains(message), "expected {message}\n   found {error}");
    }
}
