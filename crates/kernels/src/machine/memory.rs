//! Memory in bytes, as Linux counts it, of this process and of the machine. Another system says none of it.

/// The most that this process has had resident, since it began or [`reset_peak`].
pub fn peak() -> Option<u64> {
    field("/proc/self/status", "VmHWM:")
}

/// Forgets the peak so far. Where that is not possible it stays that of the whole process.
pub fn reset_peak() {
    // "5" resets the peak resident set size (proc_pid_clear_refs(5)); another system has no such file.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// What the machine has.
pub fn total() -> Option<u64> {
    field("/proc/meminfo", "MemTotal:")
}

/// What the system could give to a process.
pub fn available() -> Option<u64> {
    field("/proc/meminfo", "MemAvailable:")
}

/// The value of a line `NAME: … kB`.
fn field(file: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    kib.checked_mul(1024)
}
