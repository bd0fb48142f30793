//! seccomp: the system calls that a plugin's work consists of; the kernel answers any other with "not permitted".

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// Memory, time, waiting, and reading and writing what is open.
const WORK: &[i64] = &[
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_lseek,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_ppoll,
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_get_robust_list,
    libc::SYS_rseq,
    libc::SYS_restart_syscall,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_getcpu,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_getppid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_getrusage,
    libc::SYS_times,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// What opening a library takes besides, and setting the next filter.
const LOADING: &[i64] = &[
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_readlinkat,
    libc::SYS_faccessat,
    libc::SYS_getcwd,
    libc::SYS_seccomp,
];

/// The same two by the names that only this processor still has.
#[cfg(target_arch = "x86_64")]
const OLD: [&[i64]; 2] = [
    &[libc::SYS_poll, libc::SYS_time, libc::SYS_getrlimit, libc::SYS_arch_prctl],
    &[libc::SYS_stat, libc::SYS_lstat, libc::SYS_readlink, libc::SYS_access],
];
#[cfg(not(target_arch = "x86_64"))]
const OLD: [&[i64]; 2] = [&[], &[]];

/// A call that is allowed when an argument, counted from 0, compares so.
type Condition = (i64, u8, SeccompCmpOp, u64);

/// Flags of which each opens a file for more than reading.
const CHANGING: u64 = (libc::O_WRONLY | libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC).cast_unsigned() as u64;

/// Calls that open a file, for reading alone.
const OPENING: &[Condition] = &[
    (libc::SYS_openat, 2, SeccompCmpOp::MaskedEq(CHANGING), 0),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_open, 1, SeccompCmpOp::MaskedEq(CHANGING), 0),
    (libc::SYS_prctl, 0, SeccompCmpOp::Eq, libc::PR_SET_NO_NEW_PRIVS as u64),
];

/// Allows this thread, the only one, what opening a library and its work take.
pub fn allow_loading() -> Result<(), Error> {
    allow(&[WORK, OLD[0], LOADING, OLD[1]], OPENING)
}

/// Allows it the work alone.
pub fn allow_work() -> Result<(), Error> {
    allow(&[WORK, OLD[0]], &[])
}

fn allow(calls: &[&[i64]], conditions: &[Condition]) -> Result<(), Error> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        calls.iter().copied().flatten().map(|call| (*call, vec![])).collect();
    let own = u64::from(std::process::id());
    // Signals to itself, as `abort` sends them; its own limits; what a descriptor is.
    let own: [Condition; 5] = [
        (libc::SYS_tgkill, 0, SeccompCmpOp::Eq, own),
        (libc::SYS_tkill, 0, SeccompCmpOp::Eq, own),
        (libc::SYS_prlimit64, 0, SeccompCmpOp::Eq, 0),
        (libc::SYS_fcntl, 1, SeccompCmpOp::Eq, libc::F_GETFD as u64),
        (libc::SYS_fcntl, 1, SeccompCmpOp::Eq, libc::F_GETFL as u64),
    ];
    for (call, argument, comparison, value) in own.iter().chain(conditions) {
        let condition = SeccompCondition::new(*argument, SeccompCmpArgLen::Dword, comparison.clone(), *value)?;
        rules.entry(*call).or_default().push(SeccompRule::new(vec![condition])?);
    }
    let refuse = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let processor = std::env::consts::ARCH.try_into()?;
    let program: BpfProgram = SeccompFilter::new(rules, refuse, SeccompAction::Allow, processor)?.try_into()?;
    seccompiler::apply_filter(&program)
}
