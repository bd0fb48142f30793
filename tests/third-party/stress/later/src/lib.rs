//! A library that says it is for a later major version of the contract.

use tunebench_plugin_api::abi::{API_MAJOR, Probe};

/// Fills in the probe as a library of this version would, but for the version.
#[unsafe(no_mangle)]
pub extern "C" fn tunebench_probe_v1(out: *mut Probe) -> i32 {
    let status = tunebench_plugin_api::abi_export::probe(out, false);
    // SAFETY: the host passes a place for one `Probe`, which was filled in above.
    unsafe { (*out).api_major = API_MAJOR + 1 };
    status
}
