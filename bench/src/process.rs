//! This process: how many threads it computes with, and how much memory it has had.

use std::process::{Command, ExitCode};

/// How many threads candle gives to element-wise work, and to products; the second is that of our kernels too. Both
/// are read once, when first needed, so they are set for a process before it starts.
const ELEMENTS: &str = "CANDLE_NUM_THREADS";
const PRODUCTS: &str = "RAYON_NUM_THREADS";

/// Whether this process was started with its threads given.
pub fn has_threads() -> bool {
    [ELEMENTS, PRODUCTS].iter().all(|name| std::env::var_os(name).is_some())
}

/// Becomes a process with `threads` threads. As in `tunebench`, candle's pool has one: it waits by spinning.
pub fn run_again(threads: usize) -> ExitCode {
    let again = |executable| {
        let mut command = Command::new(executable);
        command.args(std::env::args_os().skip(1)).env(ELEMENTS, "1").env(PRODUCTS, threads.to_string());
        become_process(command)
    };
    match std::env::current_exe().and_then(again) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: starting itself with {PRODUCTS}={threads}: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(unix)]
fn become_process(mut command: Command) -> std::io::Result<ExitCode> {
    use std::os::unix::process::CommandExt as _;
    Err(command.exec()) // returns only when it failed
}

#[cfg(not(unix))]
fn become_process(mut command: Command) -> std::io::Result<ExitCode> {
    let code = command.status()?.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Peak resident memory so far in MiB; 0 where the system does not say.
pub fn peak_rss_mib() -> f64 {
    kib_of("/proc/self/status", "VmHWM:") / 1024.0
}

/// Memory that the system could give to a process, in bytes; none where it does not say.
pub fn available_bytes() -> Option<f64> {
    Some(kib_of("/proc/meminfo", "MemAvailable:") * 1024.0).filter(|bytes| *bytes > 0.0)
}

fn kib_of(file: &str, key: &str) -> f64 {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let rest = text.lines().find_map(|line| line.strip_prefix(key));
    rest.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or(0.0)
}
