//! A tuner that cannot work without an operation of a later version of the contract.

#![forbid(unsafe_code)]

use tunebench_plugin_api::prelude::*;

#[derive(Default, Deserialize)]
#[serde(crate = "tunebench_plugin_api::serde", default, deny_unknown_fields)]
struct Options {}

struct Needs;

impl Tuner for Needs {
    const NAME: &'static str = "newer-needs";
    const DESCRIPTION: &'static str = "needs what is not there yet";
    const REQUIRES: &'static [(&'static str, u32)] = &[("add", 1), ("matmul", 2)];
    type Options = Options;

    fn new(_: Options) -> Result<Self> {
        Ok(Self)
    }

    fn plan(&self, model: &Model) -> Result<TunePlan> {
        Ok(TunePlan::frozen(model))
    }
}

export_plugin!(tuner: Needs);
