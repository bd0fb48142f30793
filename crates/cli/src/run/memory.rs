//! Memory of this process at its peak, as Linux counts it, and what to say where it is too much.

/// Forgets the peak so far, so that each arm has its own. Where that is not possible the peak is the process's.
pub fn reset_peak() {
    // "5" resets the peak resident set size (proc_pid_clear_refs(5)); another system has no such file.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Bytes at the peak; 0 where the system does not say.
pub fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: Option<u64> = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok());
    kib.unwrap_or(0) * 1024
}

/// What to do about a training that does not fit.
pub const REMEDY: &str = "Try gradient_checkpointing = true, a smaller micro_batch_tokens or max_length, or LoRA.";

/// 1.5 GiB, for messages.
pub fn shown(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}
