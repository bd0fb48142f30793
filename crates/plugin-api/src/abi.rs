//! The binary boundary: what crosses between host and plugin, laid out by `abi_stable`.
//!
//! Never change a type or signature here; append below `last_prefix_field`, with a default body. Growth by
//! operations needs no change at all: they are called by name and version. Authors use the traits at the crate's
//! root; only the host uses this module.

#![allow(non_local_definitions, non_camel_case_types, missing_docs, clippy::missing_errors_doc)]
// `#[sabi_trait]` writes these.
#![allow(clippy::all, mismatched_lifetime_syntaxes)]

use abi_stable::library::RootModule;
use abi_stable::package_version_strings;
use abi_stable::sabi_types::VersionStrings;
use abi_stable::std_types::{RBox, ROption, RResult, RSlice, RStr, RString, RVec};
use abi_stable::{StableAbi, sabi_trait};

/// Names a value of the recording in progress; meaningless outside the call it was made in.
#[repr(transparent)]
#[derive(StableAbi, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handle(pub u64);

/// What went wrong on the other side.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct AbiError {
    /// One of [`code`]; unknown codes are treated as `REFUSED`.
    pub code: u32,
    pub message: RString,
}

/// The kinds of [`AbiError`], numbers rather than variants so that they can grow.
pub mod code {
    /// The other side said no; the message says why.
    pub const REFUSED: u32 = 1;
    /// The other side panicked.
    pub const PANIC: u32 = 2;
    /// The other side does not know this method or operation.
    pub const UNSUPPORTED: u32 = 3;
}

impl AbiError {
    pub fn new(code: u32, message: &str) -> Self {
        Self { code, message: message.into() }
    }
}

pub type AbiResult<T> = RResult<T, AbiError>;

/// The host's operations while a site is recorded.
#[sabi_trait]
pub trait AbiOps {
    fn has_op(&self, name: RStr<'_>, version: u32) -> bool;
    /// Applies an operation; `attributes` is a JSON object.
    #[sabi(last_prefix_field)]
    fn call(&self, name: RStr<'_>, version: u32, inputs: RSlice<'_, Handle>, attributes: RStr<'_>)
    -> AbiResult<Handle>;
}

/// A borrowed [`AbiOps`], as passed to a tuner.
pub type OpsRef<'a> = AbiOps_TO<'a, abi_stable::sabi_types::RRef<'a, ()>>;

#[sabi_trait]
pub trait AbiTuner: Send + Sync {
    /// [`crate::Model`] as JSON -> [`crate::TunePlan`] as JSON.
    fn plan(&self, model: RStr<'_>) -> AbiResult<RString>;
    /// `site` is a [`crate::Site`] as JSON.
    fn forward(&self, ops: OpsRef<'_>, site: RStr<'_>, x: Handle) -> AbiResult<Handle>;
    fn merge(&self, ops: OpsRef<'_>, site: RStr<'_>) -> AbiResult<ROption<Handle>>;
    #[sabi(last_prefix_field)]
    fn init(&self, ops: OpsRef<'_>, site: RStr<'_>, param: RStr<'_>) -> AbiResult<Handle>;
    /// `tokens` is a [`crate::VirtualTokens`] as JSON. Since 1.1; this body stands in for it in plugins built before.
    fn virtual_tokens(&self, ops: OpsRef<'_>, tokens: RStr<'_>) -> AbiResult<Handle> {
        let _ = (ops, tokens);
        RResult::RErr(AbiError::new(code::UNSUPPORTED, "built with a plugin-api that knows no virtual tokens"))
    }
}

/// The files of a dataset, held by the host.
#[sabi_trait]
pub trait AbiSource: Send {
    fn files(&self) -> RVec<RString>;
    /// At most `max` bytes from `offset`; empty at the end.
    #[sabi(last_prefix_field)]
    fn read(&self, file: u32, offset: u64, max: u64) -> AbiResult<RVec<u8>>;
    /// The host's [`API_MINOR`]. Since 1.3; this body stands in for it in hosts built before.
    fn api_minor(&self) -> u32 {
        2
    }
}

#[sabi_trait]
pub trait AbiDataset: Send {
    /// At most `max` rows as a JSON list of `{"position": …, "row": …}`; an empty list is the end.
    fn next_batch(&mut self, max: u64) -> AbiResult<RString>;
    /// Continue from a position of an earlier batch.
    #[sabi(last_prefix_field)]
    fn seek(&mut self, position: RStr<'_>) -> AbiResult<()>;
    /// A JSON list of remarks on the rows read so far. Since 1.3; this body stands in for it in plugins built before.
    fn remarks(&self) -> AbiResult<RString> {
        RResult::ROk(RString::from("[]"))
    }
}

#[sabi_trait]
pub trait AbiJudge: Send + Sync {
    /// `{"item": …, "answer": …, "replies": […]}` -> [`crate::JudgeStep`] as JSON. Since 1.2 a judge that compares also
    /// gets `"rival"`, the second answer; no other is given one, since a plugin built before would pass over it.
    #[sabi(last_prefix_field)]
    fn step(&self, input: RStr<'_>) -> AbiResult<RString>;
}

pub type TunerBox = AbiTuner_TO<'static, RBox<()>>;
pub type SourceBox = AbiSource_TO<'static, RBox<()>>;
pub type DatasetBox = AbiDataset_TO<'static, RBox<()>>;
pub type JudgeBox = AbiJudge_TO<'static, RBox<()>>;

/// What a plugin library exports. One plugin a library; the constructors of the other kinds refuse.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = PluginRoot_Ref)))]
#[sabi(missing_field(panic))]
pub struct PluginRoot {
    /// [`Manifest`] as JSON.
    pub manifest: extern "C" fn() -> RString,
    /// Options as a JSON object.
    pub new_tuner: extern "C" fn(options: RStr<'_>) -> AbiResult<TunerBox>,
    pub new_dataset: extern "C" fn(source: SourceBox, options: RStr<'_>) -> AbiResult<DatasetBox>,
    pub new_judge: extern "C" fn(options: RStr<'_>) -> AbiResult<JudgeBox>,
    /// What went wrong, since it was last asked, where no result could say it: a panic while a value was dropped.
    #[sabi(last_prefix_field)]
    pub take_fault: extern "C" fn() -> ROption<RString>,
}

impl RootModule for PluginRoot_Ref {
    abi_stable::declare_root_module_statics! {PluginRoot_Ref}
    const BASE_NAME: &'static str = "tunebench_plugin";
    const NAME: &'static str = "tunebench_plugin";
    const VERSION_STRINGS: VersionStrings = package_version_strings!();
}

/// What a plugin says of itself.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Manifest {
    /// `tuner`, `dataset` or `judge`.
    pub kind: String,
    pub name: String,
    pub version: String,
    pub description: String,
    /// Version of this crate it was built with.
    pub api: String,
    /// Operations without which it cannot work, each with its version.
    #[serde(default)]
    pub requires: Vec<(String, u32)>,
    /// Of a judge: whether it compares two answers. Since 1.2.
    #[serde(default)]
    pub compares: bool,
    /// Of a dataset: whether it reads its files' own bytes, where others read the rows that the host makes of them.
    /// Since 1.3; a plugin built before gets the bytes.
    #[serde(default = "yes")]
    pub reads_bytes: bool,
}

fn yes() -> bool {
    true
}

/// Read before anything else of the library runs: whether host and plugin can understand each other at all.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    pub magic: [u8; 16],
    pub api_major: u32,
    pub api_minor: u32,
    /// 0 unwinds, 1 aborts.
    pub panic_strategy: u32,
    pub pointer_bytes: u32,
    /// Version of the compiler, NUL-padded.
    pub rustc: [u8; 64],
    /// What it was built for, as in `x86_64-unknown-linux-gnu`, NUL-padded.
    pub target: [u8; 64],
}

/// The first bytes of every [`Probe`].
pub const MAGIC: [u8; 16] = *b"tunebench-plugin";
/// Name of the exported probe function, `extern "C" fn(*mut Probe) -> i32`.
pub const PROBE_SYMBOL: &str = "tunebench_probe_v1";
/// The major version of this contract.
pub const API_MAJOR: u32 = 1;
/// The minor version of this contract.
pub const API_MINOR: u32 = 3;
