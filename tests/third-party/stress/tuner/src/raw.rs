//! Misdeeds that safe code of the contract cannot commit: wrong handles, and text that is no text.

use std::sync::atomic::{AtomicU64, Ordering};

use tunebench_plugin_api::abi::{
    AbiResult, AbiTuner, AbiTuner_TO, Handle, OpsRef, PluginRoot, PluginRoot_Ref, TunerBox,
};
use tunebench_plugin_api::abi_export::tuner_root;
use tunebench_plugin_api::abi_stable::prefix_type::PrefixTypeTrait as _;
use tunebench_plugin_api::abi_stable::sabi_trait::TD_Opaque;
use tunebench_plugin_api::abi_stable::std_types::{RNone, ROk, ROption, RStr, RString};
use tunebench_plugin_api::serde_json::{Value, from_str};

use crate::Stress;

/// As the macro's own root, with another constructor.
pub fn root(manifest: extern "C" fn() -> RString) -> PluginRoot_Ref {
    let honest = tuner_root::<Stress>(manifest);
    PluginRoot {
        manifest,
        new_tuner,
        new_dataset: honest.new_dataset(),
        new_judge: honest.new_judge(),
        take_fault: honest.take_fault(),
    }
    .leak_into_prefix()
}

extern "C" fn new_tuner(options: RStr<'_>) -> AbiResult<TunerBox> {
    let named: Value = from_str(&options).unwrap_or_default();
    let honest = (tuner_root::<Stress>(no_manifest).new_tuner())(options);
    let Some(misdeed) = named["misdeed"].as_str() else { return honest };
    if !["stale-handle", "foreign-handle", "not-utf8", "not-json"].contains(&misdeed) {
        return honest;
    }
    let misdeed = misdeed.to_owned();
    honest.map(|honest| AbiTuner_TO::from_value(Raw { honest, misdeed, kept: AtomicU64::new(u64::MAX) }, TD_Opaque))
}

extern "C" fn no_manifest() -> RString {
    RString::new()
}

struct Raw {
    honest: TunerBox,
    misdeed: String,
    /// A handle of the first recording.
    kept: AtomicU64,
}

impl AbiTuner for Raw {
    fn plan(&self, model: RStr<'_>) -> AbiResult<RString> {
        match self.misdeed.as_str() {
            // SAFETY: none; this is the misdeed. The bytes are never read as text on this side.
            "not-utf8" => ROk(unsafe { RString::from_utf8_unchecked(vec![b'"', 0xff, 0xfe, b'"'].into()) }),
            "not-json" => ROk("weights: all of them".into()),
            _ => self.honest.plan(model),
        }
    }

    fn forward(&self, ops: OpsRef<'_>, site: RStr<'_>, x: Handle) -> AbiResult<Handle> {
        let foreign = Handle(0x1234_5678_9abc_def0);
        match self.misdeed.as_str() {
            "foreign-handle" => ROk(foreign),
            _ => {
                let first = self.kept.swap(x.0, Ordering::Relaxed);
                if first == u64::MAX { self.honest.forward(ops, site, x) } else { ROk(Handle(first)) }
            }
        }
    }

    fn merge(&self, _: OpsRef<'_>, _: RStr<'_>) -> AbiResult<ROption<Handle>> {
        ROk(RNone)
    }

    fn init(&self, ops: OpsRef<'_>, site: RStr<'_>, param: RStr<'_>) -> AbiResult<Handle> {
        self.honest.init(ops, site, param)
    }
}
