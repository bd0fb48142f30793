//! Peak resident memory of this process, as Linux counts it.

/// Forgets the peak so far, so that each arm has its own. Where that is not possible the peak is the process's.
pub fn reset_peak() {
    // "5" resets the peak resident set size (proc_pid_clear_refs(5)); another system has no such file.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Bytes at the peak; 0 where the system does not say.
pub fn peak() -> u64 {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return 0 };
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
