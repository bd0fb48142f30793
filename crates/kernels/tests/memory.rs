//! How much memory a process may have, by made-up `proc` and `sys` folders of machines and containers.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use std::fs;

use tempfile::TempDir;
use tunebench_kernels::machine::memory::{LimitSource, available_under, given, limit_under};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const MACHINE: (&str, &str) =
    ("proc/meminfo", "MemTotal:       16777216 kB\nMemFree: 1 kB\nMemAvailable:    8388608 kB\n");
const V2: (&str, &str) =
    ("proc/self/mountinfo", "31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n");

fn system(files: &[(&str, &str)]) -> TempDir {
    let root = TempDir::new().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

/// The limit must be so many bytes by this file (the machine's own memory if none), with so much left now.
#[track_caller]
fn check(files: &[(&str, &str)], bytes: u64, file: &str, left: u64) {
    let root = system(files);
    let limit = limit_under(root.path()).unwrap();
    let source = match file {
        "" => LimitSource::Machine,
        file => LimitSource::ControlGroup { file: file.into() },
    };
    assert_eq!((limit.bytes, limit.source), (bytes, source));
    assert_eq!(available_under(root.path()), Some(left));
}

#[test]
fn without_a_control_group_it_is_the_machine() {
    check(&[MACHINE], 16 * GIB, "", 8 * GIB);
    let none = system(&[]);
    assert_eq!((limit_under(none.path()), available_under(none.path())), (None, None), "another system");
}

#[test]
fn version_2_by_the_least_of_all_groups_above() {
    let member = ("proc/self/cgroup", "0::/user.slice/study.service\n");
    let own = ("sys/fs/cgroup/user.slice/study.service/memory.max", "max\n");
    let above = ("sys/fs/cgroup/user.slice/memory.max", "1073741824\n");
    let file = "/sys/fs/cgroup/user.slice/memory.max";
    let used = ("sys/fs/cgroup/user.slice/memory.current", "629145600\n");
    let stat =
        "anon 1\nfile 9\ninactive_file 104857600\nactive_file 52428800\nslab_reclaimable 52428800\ninactive_anon 7\n";
    check(&[MACHINE, V2, member], 16 * GIB, "", 8 * GIB);
    check(&[MACHINE, V2, member, own], 16 * GIB, "", 8 * GIB);
    check(&[MACHINE, V2, member, own, above], GIB, file, GIB);
    check(&[MACHINE, V2, member, own, above, used], GIB, file, 424 * MIB);
    check(&[MACHINE, V2, member, above, used, ("sys/fs/cgroup/user.slice/memory.stat", stat)], GIB, file, 624 * MIB);
    // What is shown is not the limit alone: a group that has used more than it may leaves nothing.
    let reached = ("sys/fs/cgroup/user.slice/memory.current", "2147483648\n");
    check(&[MACHINE, V2, member, above, reached], GIB, file, 0);
}

#[test]
fn version_2_slows_down_before_it_kills() {
    let member = ("proc/self/cgroup", "0::/a\n");
    let (max, high) = (("sys/fs/cgroup/a/memory.max", "2147483648\n"), ("sys/fs/cgroup/a/memory.high", "1073741824\n"));
    check(&[MACHINE, V2, member, max, high], GIB, "/sys/fs/cgroup/a/memory.high", GIB);
}

#[test]
fn version_2_in_a_namespace_of_its_own() {
    let files = [("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/memory.max", "262144000\n")];
    check(&[MACHINE, V2, files[0], files[1]], 250 * MIB, "/sys/fs/cgroup/memory.max", 250 * MIB);
    let root = system(&[MACHINE, V2, files[0], files[1]]);
    let shown = limit_under(root.path()).unwrap().to_string();
    assert_eq!(shown, "250 MiB (limit of the container or control group, /sys/fs/cgroup/memory.max)");
    // Moved out of the namespace that it is seen from.
    check(
        &[MACHINE, V2, ("proc/self/cgroup", "0::/../b\n"), files[1]],
        250 * MIB,
        "/sys/fs/cgroup/memory.max",
        250 * MIB,
    );
}

#[test]
fn version_1_as_containers_see_it() {
    // The host's path in both files: the mount point is the container's group.
    let member = ("proc/self/cgroup", "5:cpu,cpuacct:/docker/c1\n4:memory:/docker/c1\n0::/\n");
    let mount = (
        "proc/self/mountinfo",
        "34 31 0:31 / /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu,cpuacct\n\
         35 31 0:32 /docker/c1 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
    );
    let limit = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "262144000\n");
    let used = ("sys/fs/cgroup/memory/memory.usage_in_bytes", "157286400\n");
    let stat = (
        "sys/fs/cgroup/memory/memory.stat",
        "inactive_file 1\nhierarchical_memory_limit 262144000\ntotal_inactive_file 41943040\ntotal_active_file 10485760\n",
    );
    let file = "/sys/fs/cgroup/memory/memory.limit_in_bytes";
    check(&[MACHINE, member, mount, limit], 250 * MIB, file, 250 * MIB);
    check(&[MACHINE, member, mount, limit, used, stat], 250 * MIB, file, 150 * MIB);
    // A mount of the whole hierarchy from which only the container's own group is to be seen.
    let whole = ("proc/self/mountinfo", "35 31 0:32 / /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n");
    check(&[MACHINE, member, whole, limit], 250 * MIB, file, 250 * MIB);
}

#[test]
fn version_1_by_groups_above_seen_or_not() {
    let mount = ("proc/self/mountinfo", "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
    let member = ("proc/self/cgroup", "4:memory:/pods/p1/c1\n");
    let none = ("sys/fs/cgroup/memory/pods/p1/c1/memory.limit_in_bytes", "9223372036854771712\n");
    check(&[MACHINE, mount, member, none], 16 * GIB, "", 8 * GIB);
    let above = ("sys/fs/cgroup/memory/pods/memory.limit_in_bytes", "2147483648\n");
    check(&[MACHINE, mount, member, none, above], 2 * GIB, "/sys/fs/cgroup/memory/pods/memory.limit_in_bytes", 2 * GIB);
    let alone = ("sys/fs/cgroup/memory/pods/memory.use_hierarchy", "0\n");
    check(&[MACHINE, mount, member, none, above, alone], 16 * GIB, "", 8 * GIB);
    let stat = ("sys/fs/cgroup/memory/pods/p1/c1/memory.stat", "cache 0\nhierarchical_memory_limit 1073741824\n");
    check(&[MACHINE, mount, member, none, stat], GIB, "/sys/fs/cgroup/memory/pods/p1/c1/memory.stat", GIB);
    // No limit anywhere, and no memory known: there is none, not one of eight exbibytes.
    assert_eq!(limit_under(system(&[mount, member, none]).path()), None);
}

#[test]
fn both_versions_at_once() {
    let mount = (
        "proc/self/mountinfo",
        "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
         41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n",
    );
    let member = ("proc/self/cgroup", "9:name=systemd:/\n4:memory:/a:b\n0::/\n");
    let limit = ("sys/fs/cgroup/memory/a:b/memory.limit_in_bytes", "1073741824\n");
    let unified = ("sys/fs/cgroup/unified/cgroup.controllers", "hugetlb\n");
    check(&[MACHINE, mount, member, limit, unified], GIB, "/sys/fs/cgroup/memory/a:b/memory.limit_in_bytes", GIB);
}

#[test]
fn mount_points_with_a_space() {
    let mount = ("proc/self/mountinfo", "31 23 0:28 / /sys/fs/c\\040g\\134 rw - cgroup2 none rw\n");
    let files = [("proc/self/cgroup", "0::/a\n"), ("sys/fs/c g\\/a/memory.max", "1073741824\n")];
    check(&[MACHINE, mount, files[0], files[1]], GIB, "/sys/fs/c g\\/a/memory.max", GIB);
}

#[test]
fn what_cannot_be_read_sets_no_limit() {
    let member = ("proc/self/cgroup", "0::/a\n");
    for damaged in ["", "-1\n", "lots\n", "99999999999999999999999\n"] {
        check(&[MACHINE, V2, member, ("sys/fs/cgroup/a/memory.max", damaged)], 16 * GIB, "", 8 * GIB);
    }
    let root = system(&[MACHINE, V2, member]);
    fs::create_dir_all(root.path().join("sys/fs/cgroup/a/memory.max")).unwrap();
    assert_eq!(limit_under(root.path()).unwrap().source, LimitSource::Machine, "a folder in place of the file");
    for mounts in ["", "nonsense\n", "31 23 - cgroup2 x y\n", "1 2 3 / \n"] {
        let above = ("sys/fs/cgroup/memory.max", "1\n");
        check(&[MACHINE, member, above, ("proc/self/mountinfo", mounts)], 16 * GIB, "", 8 * GIB);
    }
}

#[test]
fn limits_of_the_process() {
    let limits = |space: &str, data: &str| {
        format!(
            "Limit                     Soft Limit           Hard Limit           Units     \n\
             Max data size             {data}            unlimited            bytes     \n\
             Max address space         {space}           unlimited            bytes     \n"
        )
    };
    let status = ("proc/self/status", "VmPeak:\t 9999999 kB\nVmSize:\t  524288 kB\nVmData:\t  262144 kB\n");
    let cases = [
        ("unlimited", "unlimited", 16 * GIB, LimitSource::Machine, 8 * GIB),
        ("1073741824", "unlimited", GIB, LimitSource::AddressSpace, 512 * MIB),
        ("4294967296", "1073741824", GIB, LimitSource::Data, 768 * MIB),
    ];
    for (space, data, bytes, source, left) in cases {
        let root = system(&[MACHINE, status, ("proc/self/limits", &limits(space, data))]);
        let limit = limit_under(root.path()).unwrap();
        assert_eq!((limit.bytes, limit.source), (bytes, source), "{space} {data}");
        assert_eq!(available_under(root.path()), Some(left), "{space} {data}");
    }
}

#[test]
fn a_job_and_a_share_are_limits_too() {
    const MIB: u64 = 1 << 20;
    let limits = |variables: &[(&str, &str)]| {
        let value = |name: &str| variables.iter().find(|(of, _)| *of == name).map(|(_, value)| (*value).to_owned());
        given(value).map(|limit| (limit.bytes, limit.source))
    };
    assert_eq!(limits(&[]), None);
    assert_eq!(limits(&[("SLURM_MEM_PER_NODE", "2048")]), Some((2048 * MIB, LimitSource::Slurm)));
    let by_core = [("SLURM_MEM_PER_CPU", "512"), ("SLURM_CPUS_ON_NODE", "3")];
    assert_eq!(limits(&by_core), Some((1536 * MIB, LimitSource::Slurm)));
    assert_eq!(limits(&by_core[..1]), None, "of how many is not known");
    assert_eq!(limits(&[("TUNEBENCH_MEMORY_GIB", "1.5")]), Some((1536 * MIB, LimitSource::Given)));
    let both = [("SLURM_MEM_PER_NODE", "2048"), ("TUNEBENCH_MEMORY_GIB", "1")];
    assert_eq!(limits(&both), Some((1024 * MIB, LimitSource::Given)), "the least of both");
    // 0 stands for all that the node has.
    for nothing in ["0", "", "much", "-1", "inf", "NaN"] {
        assert_eq!(limits(&[("SLURM_MEM_PER_NODE", nothing), ("TUNEBENCH_MEMORY_GIB", nothing)]), None, "{nothing}");
    }
}
