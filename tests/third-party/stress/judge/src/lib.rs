//! A judge that gives everybody half a point and misbehaves as it is told.

use tunebench_plugin_api::abi::{AbiJudge, AbiJudge_TO, AbiResult, JudgeBox, PluginRoot, PluginRoot_Ref};
use tunebench_plugin_api::abi_export::judge_root;
use tunebench_plugin_api::abi_stable::prefix_type::PrefixTypeTrait as _;
use tunebench_plugin_api::abi_stable::sabi_trait::TD_Opaque;
use tunebench_plugin_api::abi_stable::std_types::{ROk, RStr, RString};
use tunebench_plugin_api::prelude::*;
use tunebench_plugin_api::serde_json::{Value, from_str};

#[derive(Default, Deserialize)]
#[serde(crate = "tunebench_plugin_api::serde", default, deny_unknown_fields)]
struct Options {
    misdeed: String,
}

struct Stress(String);

impl Stress {
    fn panic_if(&self, place: &str) {
        assert!(self.0 != format!("panic-in-{place}"), "asked to panic in {place}");
    }
}

impl Drop for Stress {
    fn drop(&mut self) {
        self.panic_if("drop");
    }
}

impl Judge for Stress {
    const NAME: &'static str = "stress";
    const DESCRIPTION: &'static str = "misbehaves on request";
    type Options = Options;

    fn new(options: Options) -> Result<Self> {
        let this = Self(options.misdeed);
        this.panic_if("new");
        Ok(this)
    }

    fn step(&self, _: &Example, _: &str, _: &[ChatReply]) -> Result<JudgeStep> {
        self.panic_if("step");
        match self.0.as_str() {
            "endless-step" => loop {
                std::thread::sleep(std::time::Duration::from_millis(50));
            },
            "exit" => std::process::exit(0),
            "abort" => std::process::abort(),
            _ => Ok(JudgeStep::Verdict { score: 0.5, reason: "as always".into() }),
        }
    }
}

/// As the macro's own root, with another constructor.
fn with_misdeeds(manifest: extern "C" fn() -> RString) -> PluginRoot_Ref {
    let honest = judge_root::<Stress>(manifest);
    let (new_tuner, new_dataset, take_fault) = (honest.new_tuner(), honest.new_dataset(), honest.take_fault());
    PluginRoot { manifest, new_tuner, new_dataset, new_judge, take_fault }.leak_into_prefix()
}

extern "C" fn no_manifest() -> RString {
    RString::new()
}

extern "C" fn new_judge(options: RStr<'_>) -> AbiResult<JudgeBox> {
    let named: Value = from_str(&options).unwrap_or_default();
    match named["misdeed"].as_str() {
        Some(misdeed @ ("not-utf8" | "not-a-step")) => ROk(AbiJudge_TO::from_value(Raw(misdeed.to_owned()), TD_Opaque)),
        _ => (judge_root::<Stress>(no_manifest).new_judge())(options),
    }
}

/// Misdeeds that safe code of the contract cannot commit.
struct Raw(String);

impl AbiJudge for Raw {
    fn step(&self, _: RStr<'_>) -> AbiResult<RString> {
        match self.0.as_str() {
            // SAFETY: none; this is the misdeed. The bytes are never read as text on this side.
            "not-utf8" => ROk(unsafe { RString::from_utf8_unchecked(b"\"\xff\xfe\"".to_vec().into()) }),
            _ => ROk(r#"{"step":"perhaps"}"#.into()),
        }
    }
}

export_plugin!(@ with_misdeeds, Stress, Judge, "judge", &[], false, false);
