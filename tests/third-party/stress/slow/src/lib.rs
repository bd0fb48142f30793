//! A library whose initialiser never ends, so that opening it does not either.

use tunebench_plugin_api::abi::Probe;

#[used]
#[unsafe(link_section = ".init_array")]
static RUN: extern "C" fn() = run;

extern "C" fn run() {
    loop {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// Fills in the probe as any plugin does.
#[unsafe(no_mangle)]
pub extern "C" fn tunebench_probe_v1(out: *mut Probe) -> i32 {
    tunebench_plugin_api::abi_export::probe(out, false)
}
