//! Memory, as Linux counts it: the peak of this process, and what the machine has.

/// Forgets the peak so far, so that each arm has its own. Where that is not possible the peak is the process's.
pub fn reset_peak() {
    // "5" resets the peak resident set size (proc_pid_clear_refs(5)); another system has no such file.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Bytes at the peak; 0 where the system does not say.
pub fn peak() -> u64 {
    field("/proc/self/status", "VmHWM:").unwrap_or(0)
}

/// Bytes of memory that the machine has; none where the system does not say.
pub fn total() -> Option<u64> {
    field("/proc/meminfo", "MemTotal:")
}

/// What to do about a training that does not fit.
pub const REMEDY: &str = "Try gradient_checkpointing = true, a smaller micro_batch_tokens or max_length, or LoRA.";

/// 1.5 GiB, for messages.
pub fn shown(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

/// The value of a line `NAME: … kB`, in bytes.
fn field(file: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib * 1024)
}
