//! The control groups that bound this process's memory, as cgroups(7) lays them out: version 1, version 2, or both.
//!
//! A group is found from three files: `/proc/self/cgroup` names it, `/proc/self/mountinfo` says where the hierarchy is
//! mounted, and which part of it; in a container that is often just the container's own group. The limits of all groups
//! above bind as well, as far as they can be seen. What cannot be read sets no limit.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// A group with what it allows and what it uses, all in bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct Group {
    /// Its limits, each with the file that holds it.
    pub limits: Vec<(PathBuf, u64)>,
    /// What its processes have now, without file caches that the kernel gives back when it is asked for memory.
    pub used: Option<u64>,
}

/// The groups that have a limit, from the process's own upward. `root` is `/`, or the folder that stands for it in a test.
pub fn limited(root: &Path) -> Vec<Group> {
    let read = |file: &str| fs::read_to_string(root.join(file)).unwrap_or_default();
    let (memberships, mounts) = (read("proc/self/cgroup"), read("proc/self/mountinfo"));
    let mut groups = Vec::new();
    for mount in mounts.lines().filter_map(Mount::parse) {
        let Some(path) = memberships.lines().find_map(|line| member_of(line, mount.version)) else { continue };
        for (depth, folder) in mount.folders(path).iter().enumerate() {
            let inside = root.join(folder.strip_prefix("/").unwrap_or(folder));
            let group = mount.version.group(&inside, folder, depth > 0);
            groups.extend(Some(group).filter(|group| !group.limits.is_empty()));
        }
    }
    groups
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// The group of a line `ID:CONTROLLERS:PATH`, where it is of this version's memory controller.
fn member_of(line: &str, version: Version) -> Option<&str> {
    let mut parts = line.splitn(3, ':');
    let (id, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
    let is_it = match version {
        Version::One => controllers.split(',').any(|name| name == "memory"),
        Version::Two => id == "0" && controllers.is_empty(),
    };
    is_it.then_some(path)
}

/// A mounted hierarchy that may bound memory.
struct Mount {
    version: Version,
    /// The group that is seen at `point`.
    root: PathBuf,
    point: PathBuf,
}

impl Mount {
    /// A line of mountinfo (proc_pid_mountinfo(5)): `ID PARENT DEVICE ROOT POINT OPTIONS [TAGS] - TYPE SOURCE OPTIONS`.
    fn parse(line: &str) -> Option<Self> {
        let (before, after) = line.split_once(" - ")?;
        let mut after = after.split(' ');
        let version = match (after.next()?, after.nth(1)?) {
            ("cgroup2", _) => Version::Two,
            ("cgroup", options) if options.split(',').any(|option| option == "memory") => Version::One,
            _ => return None,
        };
        let mut before = before.split(' ').skip(3);
        let (root, point) = (unescape(before.next()?), unescape(before.next()?));
        Some(Self { version, root: root.into(), point: point.into() })
    }

    /// The folders of a group and of all above it, up to the mount point.
    fn folders(&self, group: &str) -> Vec<PathBuf> {
        // A group outside of what is mounted, or above this process's namespace, has no folder here: the mount point is
        // then the container's own group.
        let below = Path::new(group).strip_prefix(&self.root).unwrap_or(Path::new(""));
        let is_plain = below.components().all(|part| matches!(part, Component::Normal(_)));
        let below = if is_plain { below } else { Path::new("") };
        below.ancestors().map(|part| self.point.join(part)).collect()
    }
}

/// Spaces and the like are written as a backslash and three octal digits there.
fn unescape(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        match part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                bytes.extend(&part.as_bytes()[3..]);
            }
            None => {
                bytes.push(b'\\');
                bytes.extend(part.as_bytes());
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Version {
    /// The group whose files are in `inside`, called `folder`; `is_above`: not the process's own, but one above it.
    fn group(self, inside: &Path, folder: &Path, is_above: bool) -> Group {
        // Above `memory.high` a process is not killed, but made to wait for as long as it stays there.
        let names: &[&str] = match self {
            Self::One if is_above && stands_alone(inside) => &[],
            Self::One => &["memory.limit_in_bytes"],
            Self::Two => &["memory.max", "memory.high"],
        };
        let plain = names.iter().map(|name| (*name, number(&inside.join(name))));
        // What binds from groups that are not visible here.
        let hidden = matches!(self, Self::One) && !is_above;
        let hidden = hidden.then(|| ("memory.stat", statistic(inside, "hierarchical_memory_limit")));
        let set = plain.chain(hidden).filter_map(|(name, bytes)| Some((folder.join(name), bytes?)));
        Group { limits: set.filter(|(_, bytes)| *bytes < UNLIMITED).collect(), used: self.used(inside) }
    }

    fn used(self, inside: &Path) -> Option<u64> {
        let (usage, caches): (&str, [&str; 3]) = match self {
            Self::One => ("memory.usage_in_bytes", ["total_inactive_file", "total_active_file", ""]),
            Self::Two => ("memory.current", ["inactive_file", "active_file", "slab_reclaimable"]),
        };
        let reclaimable: u64 = caches.iter().filter_map(|name| statistic(inside, name)).sum();
        Some(number(&inside.join(usage))?.saturating_sub(reclaimable))
    }
}

/// Version 1 writes the largest number of whole pages where there is no limit; whatever is near that is none.
const UNLIMITED: u64 = 1 << 60;

/// Whether a group of version 1 does not account for those below it, as old kernels had it unless they were told.
fn stands_alone(inside: &Path) -> bool {
    fs::read_to_string(inside.join("memory.use_hierarchy")).is_ok_and(|text| text.trim() == "0")
}

/// A file that holds a number, or `max`.
fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// The value of a line `NAME VALUE` of a group's `memory.stat`.
fn statistic(inside: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(inside.join("memory.stat")).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}
