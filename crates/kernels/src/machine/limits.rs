//! How much memory this process may have: the least of what the machine has and of every limit that is set on it.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::control_groups;

/// The most that this process may have, and what bounds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryLimit {
    pub bytes: u64,
    pub source: LimitSource,
}

/// What bounds the memory of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitSource {
    /// The machine has no more.
    Machine,
    /// A control group, as containers and services have them; the file that says so.
    ControlGroup { file: PathBuf },
    /// RLIMIT_AS, `ulimit -v`.
    AddressSpace,
    /// RLIMIT_DATA, `ulimit -d`.
    Data,
    /// What a job of Slurm has on its node.
    Slurm,
    /// `TUNEBENCH_MEMORY_GIB`: the share of one of several processes.
    Given,
    /// A graphics card has no more, of this number.
    Card { ordinal: usize },
}

impl fmt::Display for MemoryLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mib, gib) = (f64::from(1 << 20), f64::from(1 << 30));
        match self.bytes as f64 {
            bytes if bytes < gib => write!(f, "{:.0} MiB", bytes / mib)?,
            bytes => write!(f, "{:.1} GiB", bytes / gib)?,
        }
        write!(f, " ({})", self.source)
    }
}

impl fmt::Display for LimitSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Machine => f.write_str("all that the machine has"),
            Self::ControlGroup { file } => {
                write!(f, "limit of the container or control group, {}", file.display().to_string().escape_debug())
            }
            Self::AddressSpace => f.write_str("limit of the process's address space, ulimit -v"),
            Self::Data => f.write_str("limit of the process's data, ulimit -d"),
            Self::Slurm => f.write_str("what Slurm gave the job on its node, --mem"),
            Self::Given => write!(f, "the share of this process, {SHARE}"),
            Self::Card { ordinal } => write!(f, "all that graphics card {ordinal} has"),
        }
    }
}

/// A limit on the process itself, not on a group of them.
struct ProcessLimit {
    source: LimitSource,
    /// Its line in `/proc/self/limits`.
    line: &'static str,
    /// The field of `/proc/self/status` that it bounds.
    bounded: &'static str,
}

const PROCESS_LIMITS: [ProcessLimit; 2] = [
    ProcessLimit { source: LimitSource::AddressSpace, line: "Max address space", bounded: "VmSize:" },
    ProcessLimit { source: LimitSource::Data, line: "Max data size", bounded: "VmData:" },
];

/// The memory of this process among several, in GiB.
pub const SHARE: &str = "TUNEBENCH_MEMORY_GIB";

/// What the environment says that this process may have: what Slurm gave its job, or its share among several processes.
pub fn given(variable: impl Fn(&str) -> Option<String>) -> Option<MemoryLimit> {
    let number = |name: &str| variable(name)?.trim().parse::<f64>().ok().filter(|n| n.is_finite() && *n > 0.0);
    let mib = f64::from(1 << 20);
    // 0 stands for all that the node has.
    let job = number("SLURM_MEM_PER_NODE");
    let job = job.or_else(|| Some(number("SLURM_MEM_PER_CPU")? * number("SLURM_CPUS_ON_NODE")?));
    let job = job.map(|of| MemoryLimit { bytes: (of * mib) as u64, source: LimitSource::Slurm });
    let share = number(SHARE).map(|gib| MemoryLimit { bytes: (gib * mib * 1024.0) as u64, source: LimitSource::Given });
    job.into_iter().chain(share).min_by_key(|limit| limit.bytes)
}

/// The least of all limits; none where the system says nothing. `root` is `/`, or the folder that stands for it in a test.
pub fn total(root: &Path) -> Option<MemoryLimit> {
    let machine = kib_field(root, "proc/meminfo", "MemTotal:");
    let machine = machine.map(|bytes| MemoryLimit { bytes, source: LimitSource::Machine });
    let groups = control_groups::limited(root).into_iter().flat_map(|group| group.limits);
    let groups = groups.map(|(file, bytes)| MemoryLimit { bytes, source: LimitSource::ControlGroup { file } });
    let process = PROCESS_LIMITS
        .into_iter()
        .filter_map(|limit| Some(MemoryLimit { bytes: process_limit(root, limit.line)?, source: limit.source }));
    // Of equal ones the first: the machine, then the process's own group.
    machine.into_iter().chain(groups).chain(process).min_by_key(|limit| limit.bytes)
}

/// What is left now within every limit; none where the system says nothing. A limit that is reached leaves 0.
pub fn available(root: &Path) -> Option<u64> {
    let machine = kib_field(root, "proc/meminfo", "MemAvailable:");
    let groups = control_groups::limited(root).into_iter().filter_map(|group| {
        let least = group.limits.iter().map(|(_, bytes)| *bytes).min()?;
        Some(least.saturating_sub(group.used.unwrap_or(0)))
    });
    let process = PROCESS_LIMITS.into_iter().filter_map(|limit| {
        let used = kib_field(root, "proc/self/status", limit.bounded).unwrap_or(0);
        Some(process_limit(root, limit.line)?.saturating_sub(used))
    });
    machine.into_iter().chain(groups).chain(process).min()
}

/// The soft limit of a line `NAME SOFT HARD bytes` of `/proc/self/limits`, where it is a number.
fn process_limit(root: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/self/limits")).ok()?;
    let values = text.lines().find_map(|line| line.strip_prefix(name))?;
    values.split_whitespace().next()?.parse().ok()
}

/// The value, in bytes, of a line `NAME … kB` of a file.
pub fn kib_field(root: &Path, file: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(root.join(file)).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    kib.checked_mul(1024)
}
