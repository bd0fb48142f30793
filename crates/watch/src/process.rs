//! Whether the process of a study is still there, and the memory it has, as Linux tells it. Elsewhere nothing is known.

use std::fs;
use std::path::Path;

/// What is known of a study's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    /// It is there; bytes that it has resident, now and at most so far.
    Here { resident: Option<u64>, peak: Option<u64> },
    /// It ended.
    Gone,
    /// It runs on another machine, or on one that is not named.
    Elsewhere,
}

/// How much later than a study a process may have begun and still be its own: clocks are set.
const SLACK_SECONDS: f64 = 60.0;
/// Clock ticks a second in `/proc`, on every architecture that we are built for.
const TICKS: f64 = 100.0;

/// Looks for a process that began to work on a study at a time, on a machine of a name. `root` is `/`, or what stands for it.
pub fn look(root: &Path, host: &str, process: u32, started_unix_seconds: u64) -> Process {
    match fs::read_to_string(root.join("proc/sys/kernel/hostname")) {
        Ok(here) if here.trim() == host => {}
        _ => return Process::Elsewhere,
    }
    let folder = root.join("proc").join(process.to_string());
    let Ok(stat) = fs::read_to_string(folder.join("stat")) else { return Process::Gone };
    // `PID (NAME) STATE …`; the name may hold anything.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let has_ended = matches!(fields.first(), Some(&("Z" | "X" | "x")));
    let began = fields.get(19).and_then(|ticks| Some(boot(root)? + ticks.parse::<f64>().ok()? / TICKS));
    // Numbers are used again: a process that began after the study is another one.
    let is_another = began.is_some_and(|began| began > started_unix_seconds as f64 + SLACK_SECONDS);
    if has_ended || is_another {
        return Process::Gone;
    }
    let status = fs::read_to_string(folder.join("status")).unwrap_or_default();
    Process::Here { resident: kib(&status, "VmRSS:"), peak: kib(&status, "VmHWM:") }
}

/// Bytes of memory that the machine has.
pub fn total_memory(root: &Path) -> Option<u64> {
    kib(&fs::read_to_string(root.join("proc/meminfo")).ok()?, "MemTotal:")
}

/// When the machine was started, seconds since 1970.
fn boot(root: &Path) -> Option<f64> {
    let text = fs::read_to_string(root.join("proc/stat")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
}

/// The value, in bytes, of a line `NAME … kB`.
fn kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_its_own_process_from_another_of_the_same_number() {
        let root = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let fields = |state: &str, ticks: u64| format!("7 (a) b) {state} {}{ticks} 0 0\n", "0 ".repeat(18));
        assert_eq!(look(root.path(), "h", 7, 1000), Process::Elsewhere, "a system that tells no name");
        write("proc/sys/kernel/hostname", "h\n");
        write("proc/stat", "cpu 1 2\nbtime 500\n");
        assert_eq!(look(root.path(), "g", 7, 1000), Process::Elsewhere);
        assert_eq!(look(root.path(), "", 7, 1000), Process::Elsewhere);
        assert_eq!(look(root.path(), "h", 7, 1000), Process::Gone);
        write("proc/7/stat", &fields("S", 49_000));
        write("proc/7/status", "VmHWM:\t 2048 kB\nVmRSS:\t    1024 kB\n");
        assert_eq!(look(root.path(), "h", 7, 1000), Process::Here { resident: Some(1 << 20), peak: Some(2 << 20) });
        write("proc/7/stat", &fields("Z", 49_000));
        assert_eq!(look(root.path(), "h", 7, 1000), Process::Gone, "a zombie");
        write("proc/7/stat", &fields("S", 60_000));
        assert_eq!(look(root.path(), "h", 7, 1000), Process::Gone, "began 100 s after the study");
    }
}
