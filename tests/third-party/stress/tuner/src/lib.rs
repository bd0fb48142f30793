//! A tuner that trains a scale of every linear weight's output, and misbehaves as it is told.

mod raw;

use tunebench_plugin_api::abi::PluginRoot_Ref;
use tunebench_plugin_api::prelude::*;

/// What to do wrong, and where.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(crate = "tunebench_plugin_api::serde", rename_all = "kebab-case")]
enum Misdeed {
    PanicInOptions,
    PanicInNew,
    PanicInPlan,
    PanicInForward,
    PanicInMerge,
    PanicInInit,
    PanicInVirtualTokens,
    PanicInDrop,
    /// A panic whose payload panics when it is dropped.
    PanicTwice,
    EndlessPlan,
    EndlessForward,
    EndlessDrop,
    ManyOperations,
    WrongShape,
    WrongResult,
    UnknownOperation,
    UnknownParam,
    UnknownWeight,
    ForgottenWeight,
    GiantParam,
    ManyParams,
    NotANumber,
    StaleHandle,
    ForeignHandle,
    NotUtf8,
    NotJson,
    Exit,
    Abort,
    DeepRecursion,
}

#[derive(Default, Deserialize)]
#[serde(crate = "tunebench_plugin_api::serde", default, deny_unknown_fields)]
struct Options {
    #[serde(deserialize_with = "checked")]
    misdeed: Option<Misdeed>,
}

fn checked<'de, D: tunebench_plugin_api::serde::Deserializer<'de>>(
    from: D,
) -> std::result::Result<Option<Misdeed>, D::Error> {
    let misdeed = Option::deserialize(from)?;
    assert!(misdeed != Some(Misdeed::PanicInOptions), "asked to panic in options");
    Ok(misdeed)
}

struct Stress(Option<Misdeed>);

impl Stress {
    fn does(&self, misdeed: Misdeed) -> bool {
        self.0 == Some(misdeed)
    }

    fn panic_if(&self, misdeed: Misdeed, place: &str) {
        assert!(!self.does(misdeed), "asked to panic in {place}");
    }
}

impl Drop for Stress {
    fn drop(&mut self) {
        self.panic_if(Misdeed::PanicInDrop, "drop");
        if self.does(Misdeed::EndlessDrop) {
            forever();
        }
    }
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a payload that panics when it is dropped");
    }
}

fn forever() -> ! {
    loop {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

fn deeper(n: u64) -> u64 {
    let local = std::hint::black_box([n; 64]);
    if n == u64::MAX { 0 } else { deeper(n + 1) + local[3] }
}

impl Tuner for Stress {
    const NAME: &'static str = "stress";
    const DESCRIPTION: &'static str = "misbehaves on request";
    type Options = Options;

    fn new(options: Options) -> Result<Self> {
        let this = Self(options.misdeed);
        this.panic_if(Misdeed::PanicInNew, "new");
        Ok(this)
    }

    fn plan(&self, model: &Model) -> Result<TunePlan> {
        match self.0 {
            Some(Misdeed::PanicInPlan) => panic!("asked to panic in plan"),
            Some(Misdeed::PanicTwice) => std::panic::panic_any(Bomb),
            Some(Misdeed::EndlessPlan) => forever(),
            Some(Misdeed::Exit) => std::process::exit(0),
            Some(Misdeed::Abort) => std::process::abort(),
            Some(Misdeed::DeepRecursion) => drop(deeper(0)),
            _ => {}
        }
        let mut plan = TunePlan::frozen(model);
        let many = if self.does(Misdeed::ManyParams) { 10_000 } else { 0 };
        for w in model.linears() {
            let shape = match self.0 {
                Some(Misdeed::GiantParam) => vec![usize::MAX, 2],
                _ => vec![w.out_features()],
            };
            let init = match self.0 {
                Some(Misdeed::PanicInInit) => Init::Computed,
                Some(Misdeed::NotANumber) => Init::Normal { mean: f64::NAN, std: 1.0 },
                _ => Init::Ones,
            };
            let mut params = vec![Param::new("scale", shape, init)];
            params.extend((0..many).map(|i| Param::new(&format!("p{i}"), [1], Init::Zeros)));
            plan.adapt(w, params);
        }
        if self.does(Misdeed::PanicInVirtualTokens) {
            let params = vec![Param::new("embedding", [2, model.hidden_size], Init::Zeros)];
            plan.virtual_tokens = Some(VirtualTokens { kind: VirtualKind::Embeddings, count: 2, params });
        }
        if self.does(Misdeed::UnknownWeight) {
            plan.weights.insert("model.layers.9999.weight".into(), WeightPlan::Frozen);
        }
        if self.does(Misdeed::ForgottenWeight) {
            plan.weights.pop_first();
        }
        Ok(plan)
    }

    fn forward<'o>(&self, ops: &'o Ops<'o>, site: &Site, x: Tensor<'o>) -> Result<Tensor<'o>> {
        let y = ops.base(x);
        match self.0 {
            Some(Misdeed::PanicInForward) => panic!("asked to panic in forward"),
            Some(Misdeed::EndlessForward) => loop {
                let _ = x + 1.0;
            },
            Some(Misdeed::ManyOperations) => Ok((0..100_000).fold(y, |y, _| y + 1.0)),
            Some(Misdeed::WrongShape) => Ok(y.matmul(y)),
            Some(Misdeed::WrongResult) => Ok(y.sum(1)),
            Some(Misdeed::UnknownOperation) => Ok(ops.call("conv", 7, &[y], &Default::default())),
            Some(Misdeed::UnknownParam) => Ok(y * ops.param("no such")),
            _ => Ok(y * ops.param(&site.params[0].name)),
        }
    }

    fn merge<'o>(&self, ops: &'o Ops<'o>, site: &Site) -> Result<Option<Tensor<'o>>> {
        self.panic_if(Misdeed::PanicInMerge, "merge");
        let out = Dim::Fixed(site.weight.out_features());
        Ok(Some(ops.weight() * ops.param("scale").reshape(&[out, Dim::Fixed(1)])))
    }

    fn init<'o>(&self, ops: &'o Ops<'o>, _: &Site, _: &str) -> Result<Tensor<'o>> {
        self.panic_if(Misdeed::PanicInInit, "init");
        Ok(ops.weight())
    }

    fn virtual_tokens<'o>(&self, ops: &'o Ops<'o>, _: &VirtualTokens) -> Result<Tensor<'o>> {
        self.panic_if(Misdeed::PanicInVirtualTokens, "virtual tokens");
        Ok(ops.param("embedding"))
    }
}

/// The root of an honest tuner, but for the misdeeds that need the binary boundary itself.
fn with_misdeeds(manifest: extern "C" fn() -> tunebench_plugin_api::abi_stable::std_types::RString) -> PluginRoot_Ref {
    raw::root(manifest)
}

export_plugin!(@ with_misdeeds, Stress, Tuner, "tuner", &[], false, false);
