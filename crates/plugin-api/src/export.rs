//! `export_plugin!` and what it expands to: the C probe, the `abi_stable` header, and guarded constructors.

use abi_stable::library::{__call_root_module_loader, CheckTypeLayout, LibHeader, RootModuleResult};
use abi_stable::prefix_type::PrefixTypeTrait;
use abi_stable::sabi_trait::TD_Opaque;
use abi_stable::std_types::{RErr, RNone, ROption, RSome, RStr, RString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::abi::{
    API_MAJOR, API_MINOR, AbiDataset, AbiDataset_TO, AbiError, AbiJudge, AbiJudge_TO, AbiResult, AbiTuner, AbiTuner_TO,
    DatasetBox, Handle, JudgeBox, MAGIC, Manifest, OpsRef, PluginRoot, PluginRoot_Ref, Probe, SourceBox, TunerBox,
    code,
};
use crate::guard::{self, Guarded};
use crate::{
    ChatReply, Dataset, Error, Example, Judge, Model, Ops, Position, Result, Row, Site, Source, Tensor, Tuner,
    VirtualTokens,
};

/// Makes the crate a plugin: `export_plugin!(tuner: MyTuner);`, or `dataset:` or `judge:`.
///
/// The crate must be a `cdylib` (add `rlib` to unit-test it) and holds one plugin.
#[macro_export]
macro_rules! export_plugin {
    (tuner: $type:ty) => {
        $crate::export_plugin!(@ $crate::abi_export::tuner_root::<$type>, $type, Tuner, "tuner", <$type as $crate::Tuner>::REQUIRES, false, false);
    };
    (dataset: $type:ty) => {
        $crate::export_plugin!(@ $crate::abi_export::dataset_root::<$type>, $type, Dataset, "dataset", &[], false, <$type as $crate::Dataset>::READS_BYTES);
    };
    (judge: $type:ty) => {
        $crate::export_plugin!(@ $crate::abi_export::judge_root::<$type>, $type, Judge, "judge", &[], <$type as $crate::Judge>::COMPARES, false);
    };
    (@ $root:expr, $type:ty, $trait:ident, $kind:literal, $requires:expr, $compares:expr, $reads_bytes:expr) => {
        const _: () = {
            extern "C" fn manifest() -> $crate::abi_stable::std_types::RString {
                $crate::abi_export::manifest(
                    $kind,
                    <$type as $crate::$trait>::NAME,
                    env!("CARGO_PKG_VERSION"),
                    <$type as $crate::$trait>::DESCRIPTION,
                    $requires,
                    $compares,
                    $reads_bytes,
                )
            }

            extern "C" fn load() -> $crate::abi_stable::library::RootModuleResult {
                fn root() -> $crate::abi::PluginRoot_Ref {
                    $root(manifest)
                }
                $crate::abi_export::load(root)
            }

            #[unsafe(no_mangle)]
            #[allow(non_upper_case_globals)]
            pub static _1as_0lib_1header_0root_bmodule_bloader: $crate::abi_export::Header = $crate::abi_export::header(load);

            #[unsafe(no_mangle)]
            pub extern "C" fn tunebench_probe_v1(out: *mut $crate::abi::Probe) -> i32 {
                $crate::abi_export::probe(out, cfg!(panic = "abort"))
            }
        };
    };
}

pub use abi_stable::library::LibHeader as Header;

/// The header that the host's loader reads first.
pub const fn header(load: extern "C" fn() -> RootModuleResult) -> LibHeader {
    // SAFETY: `load` is written by `export_plugin!` and yields a `PluginRoot_Ref`.
    unsafe { LibHeader::from_constructor::<PluginRoot_Ref>(load, CheckTypeLayout::Yes) }
}

/// Runs the root constructor, its panics guarded.
pub fn load(root: fn() -> PluginRoot_Ref) -> RootModuleResult {
    guard::install_hook();
    __call_root_module_loader(root)
}

/// Fills in a [`Probe`]; 0 on success.
#[expect(clippy::not_unsafe_ptr_arg_deref, reason = "authors who forbid unsafe code call it through the macro")]
pub fn probe(out: *mut Probe, aborts: bool) -> i32 {
    let probe = Probe {
        magic: MAGIC,
        api_major: API_MAJOR,
        api_minor: API_MINOR,
        panic_strategy: u32::from(aborts),
        pointer_bytes: size_of::<usize>() as u32,
        rustc: padded(env!("TUNEBENCH_RUSTC")),
        target: padded(env!("TUNEBENCH_TARGET")),
    };
    if out.is_null() {
        return 1;
    }
    // SAFETY: the host passes a valid, aligned place for one `Probe`; null was refused above.
    unsafe { out.write(probe) };
    0
}

/// The first 63 bytes of `text`, and zeros behind them.
fn padded(text: &str) -> [u8; 64] {
    let mut bytes = [0; 64];
    bytes.iter_mut().take(63).zip(text.bytes()).for_each(|(to, from)| *to = from);
    bytes
}

/// The manifest as JSON.
pub fn manifest(
    kind: &str,
    name: &str,
    version: &str,
    description: &str,
    requires: &[(&str, u32)],
    compares: bool,
    reads_bytes: bool,
) -> RString {
    let manifest = Manifest {
        kind: kind.into(),
        name: name.into(),
        version: version.into(),
        description: description.into(),
        api: env!("CARGO_PKG_VERSION").into(),
        requires: requires.iter().map(|(name, version)| ((*name).to_owned(), *version)).collect(),
        compares,
        reads_bytes,
    };
    serde_json::to_string(&manifest).unwrap_or_default().into()
}

type ManifestFn = extern "C" fn() -> RString;

/// A root whose constructors all refuse; each kind of plugin puts its own in place of one.
fn root(manifest: ManifestFn) -> PluginRoot {
    let (new_tuner, new_dataset, new_judge) = (no_tuner as _, no_dataset as _, no_judge as _);
    PluginRoot { manifest, new_tuner, new_dataset, new_judge, take_fault: guard::take_fault }
}

/// The root of a tuner plugin.
pub fn tuner_root<T: Tuner>(manifest: ManifestFn) -> PluginRoot_Ref {
    PluginRoot { new_tuner: new_tuner::<T>, ..root(manifest) }.leak_into_prefix()
}

/// The root of a dataset plugin.
pub fn dataset_root<D: Dataset>(manifest: ManifestFn) -> PluginRoot_Ref {
    PluginRoot { new_dataset: new_dataset::<D>, ..root(manifest) }.leak_into_prefix()
}

/// The root of a judge plugin.
pub fn judge_root<J: Judge>(manifest: ManifestFn) -> PluginRoot_Ref {
    PluginRoot { new_judge: new_judge::<J>, ..root(manifest) }.leak_into_prefix()
}

fn other_kind<T>(kind: &str) -> AbiResult<T> {
    RErr(AbiError::new(code::UNSUPPORTED, &format!("this plugin is not a {kind}")))
}

extern "C" fn no_tuner(_: RStr<'_>) -> AbiResult<TunerBox> {
    other_kind("tuner")
}

extern "C" fn no_dataset(_: SourceBox, _: RStr<'_>) -> AbiResult<DatasetBox> {
    other_kind("dataset")
}

extern "C" fn no_judge(_: RStr<'_>) -> AbiResult<JudgeBox> {
    other_kind("judge")
}

extern "C" fn new_tuner<T: Tuner>(options: RStr<'_>) -> AbiResult<TunerBox> {
    guard::call(|| {
        let tuner = TunerAdapter(Guarded::new(T::new(parse_options(&options)?)?));
        Ok(AbiTuner_TO::from_value(tuner, TD_Opaque))
    })
}

extern "C" fn new_dataset<D: Dataset>(source: SourceBox, options: RStr<'_>) -> AbiResult<DatasetBox> {
    guard::call(|| {
        let source = Source::new(source);
        let host_minor = source.host_minor();
        let inner = Guarded::new(D::open(source, parse_options(&options)?)?);
        let dataset = DatasetAdapter { inner, host_minor };
        Ok(AbiDataset_TO::from_value(dataset, TD_Opaque))
    })
}

extern "C" fn new_judge<J: Judge>(options: RStr<'_>) -> AbiResult<JudgeBox> {
    guard::call(|| {
        let judge = JudgeAdapter(Guarded::new(J::new(parse_options(&options)?)?));
        Ok(AbiJudge_TO::from_value(judge, TD_Opaque))
    })
}

fn parse_options<T: DeserializeOwned>(json: &RStr<'_>) -> Result<T> {
    serde_json::from_str(json).map_err(|e| Error::new(format!("options: {}", plain(&e))))
}

fn parse<T: DeserializeOwned>(what: &str, json: &RStr<'_>) -> Result<T> {
    serde_json::from_str(json).map_err(|e| Error::new(format!("{what} from the host: {e}")))
}

fn to_json<T: Serialize>(value: &T) -> Result<RString> {
    serde_json::to_string(value).map(Into::into).map_err(|e| Error::new(e.to_string()))
}

/// serde's message without the place in a JSON text that the user never wrote.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_owned()
}

struct TunerAdapter<T>(Guarded<T>);

impl<T: Tuner> TunerAdapter<T> {
    /// Runs one recording and reports the first fault of an operation, whatever the tuner made of it.
    fn record<'o>(
        ops: &'o Ops<'o>,
        f: impl FnOnce(&'o Ops<'o>) -> Result<Option<Tensor<'o>>>,
    ) -> Result<Option<Handle>> {
        let result = f(ops);
        if let Some(fault) = ops.fault() {
            return Err(fault);
        }
        Ok(result?.map(Tensor::handle))
    }
}

impl<T: Tuner> AbiTuner for TunerAdapter<T> {
    fn plan(&self, model: RStr<'_>) -> AbiResult<RString> {
        guard::call(|| to_json(&self.0.plan(&parse::<Model>("model", &model)?)?))
    }

    fn forward(&self, ops: OpsRef<'_>, site: RStr<'_>, x: Handle) -> AbiResult<Handle> {
        guard::call(|| {
            let (ops, site) = (Ops::new(&ops), parse::<Site>("site", &site)?);
            let handle = Self::record(&ops, |ops| self.0.forward(ops, &site, ops.wrap(x)).map(Some))?;
            handle.ok_or_else(|| Error::new("forward yielded nothing"))
        })
    }

    fn merge(&self, ops: OpsRef<'_>, site: RStr<'_>) -> AbiResult<ROption<Handle>> {
        guard::call(|| {
            let (ops, site) = (Ops::new(&ops), parse::<Site>("site", &site)?);
            Ok(Self::record(&ops, |ops| self.0.merge(ops, &site))?.map_or(RNone, RSome))
        })
    }

    fn init(&self, ops: OpsRef<'_>, site: RStr<'_>, param: RStr<'_>) -> AbiResult<Handle> {
        guard::call(|| {
            let (ops, site) = (Ops::new(&ops), parse::<Site>("site", &site)?);
            let handle = Self::record(&ops, |ops| self.0.init(ops, &site, &param).map(Some))?;
            handle.ok_or_else(|| Error::new("init yielded nothing"))
        })
    }

    fn virtual_tokens(&self, ops: OpsRef<'_>, tokens: RStr<'_>) -> AbiResult<Handle> {
        guard::call(|| {
            let (ops, tokens) = (Ops::new(&ops), parse::<VirtualTokens>("virtual tokens", &tokens)?);
            let handle = Self::record(&ops, |ops| self.0.virtual_tokens(ops, &tokens).map(Some))?;
            handle.ok_or_else(|| Error::new("virtual_tokens yielded nothing"))
        })
    }
}

/// A row and where it begins, as it crosses.
#[derive(Serialize)]
struct Placed {
    position: Position,
    row: Row,
}

struct DatasetAdapter<D> {
    inner: Guarded<D>,
    /// The minor version of the host's contract.
    host_minor: u32,
}

/// The first minor version whose hosts leave out of learning what a row says is not to be learnt.
const KNOWS_NOT_LEARNT: u32 = 3;

impl<D: Dataset> DatasetAdapter<D> {
    /// Refuses a row that an older host would misunderstand in silence.
    fn check(&self, row: &Row) -> Result<()> {
        let Row::Example(example) = row else { return Ok(()) };
        if self.host_minor < KNOWS_NOT_LEARNT && example.turns.iter().any(|turn| !turn.is_learnt) {
            let id = &example.id;
            return Err(Error::new(format!(
                "{id}: it holds a turn that is not to be learnt, and this tunebench would learn it; update tunebench"
            )));
        }
        Ok(())
    }
}

impl<D: Dataset> AbiDataset for DatasetAdapter<D> {
    fn next_batch(&mut self, max: u64) -> AbiResult<RString> {
        guard::call(|| {
            let mut rows = Vec::new();
            for _ in 0..max {
                let position = self.inner.position();
                let Some(row) = self.inner.next()? else { break };
                self.check(&row)?;
                rows.push(Placed { position, row });
            }
            to_json(&rows)
        })
    }

    fn seek(&mut self, position: RStr<'_>) -> AbiResult<()> {
        guard::call(|| self.inner.seek(&parse("position", &position)?))
    }

    fn remarks(&self) -> AbiResult<RString> {
        guard::call(|| to_json(&self.inner.remarks()))
    }
}

#[derive(Deserialize)]
struct JudgeInput {
    item: Example,
    answer: String,
    /// The second of two answers.
    #[serde(default)]
    rival: Option<String>,
    replies: Vec<ChatReply>,
}

struct JudgeAdapter<J>(Guarded<J>);

impl<J: Judge> AbiJudge for JudgeAdapter<J> {
    fn step(&self, input: RStr<'_>) -> AbiResult<RString> {
        guard::call(|| {
            let JudgeInput { item, answer, rival, replies } = parse("item", &input)?;
            to_json(&match (J::COMPARES, rival) {
                (false, None) => self.0.step(&item, &answer, &replies),
                (true, Some(rival)) => self.0.compare(&item, [&answer, &rival], &replies),
                (true, None) => Err(Error::new("this judge compares two answers and was given one; update tunebench")),
                (false, Some(_)) => Err(Error::new("this judge scores one answer at a time and was given two")),
            }?)
        })
    }
}
