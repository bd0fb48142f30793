//! Memory: what this process has had, and what the system has left.

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
