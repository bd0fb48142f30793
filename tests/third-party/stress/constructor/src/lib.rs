//! No plugin, but a library whose initialiser leaves a file behind: a host that looks before it opens never runs it.

#[used]
#[unsafe(link_section = ".init_array")]
static RUN: extern "C" fn() = run;

extern "C" fn run() {
    if let Some(path) = std::env::var_os("STRESS_MARK") {
        let _ = std::fs::write(path, "an initialiser ran");
    }
}
