//! A library with a probe and nothing behind it.

use tunebench_plugin_api::abi::Probe;

/// Fills in the probe as any plugin does.
#[unsafe(no_mangle)]
pub extern "C" fn tunebench_probe_v1(out: *mut Probe) -> i32 {
    tunebench_plugin_api::abi_export::probe(out, false)
}
