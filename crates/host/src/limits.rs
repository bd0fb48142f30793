//! What a process that runs one plugin may not do, set before any of the plugin's code is there.

use std::fs::File;

/// Bytes of address space: what reading a dataset takes, many times over.
#[cfg(unix)]
const MEMORY: u64 = 8 << 30;
/// Files open at once.
#[cfg(unix)]
const FILES: u64 = 1024;

/// Limits this process, and takes standard output away from whatever runs in it; yields it to the caller alone.
///
/// On Unix: bounded memory and open files, no core dump, no further process (unless the user is root, whom the system
/// does not count), no new privileges, and an end with the process that started it (Linux).
#[cfg(unix)]
pub(crate) fn apply() -> std::io::Result<File> {
    use std::io::Error;
    use std::os::fd::FromRawFd as _;

    let check = |result: i32| if result < 0 { Err(Error::last_os_error()) } else { Ok(result) };
    // SAFETY: descriptor numbers in, descriptor numbers out; 1 and 2 are the standard ones.
    let out = unsafe {
        let out = check(libc::fcntl(1, libc::F_DUPFD_CLOEXEC, 3))?;
        check(libc::dup2(2, 1))?;
        out
    };
    for (resource, most) in
        [(libc::RLIMIT_AS, MEMORY), (libc::RLIMIT_NOFILE, FILES), (libc::RLIMIT_CORE, 0), (libc::RLIMIT_NPROC, 0)]
    {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the pointer is to a whole `rlimit` that outlives the call.
        check(unsafe { libc::getrlimit(resource, &raw mut limit) })?;
        // A limit that is lower already stays: only the system's own user may raise one.
        let most = most.min(limit.rlim_max);
        limit = libc::rlimit { rlim_cur: most, rlim_max: most };
        // SAFETY: as above.
        check(unsafe { libc::setrlimit(resource, &raw const limit) })?;
    }
    // SAFETY: no handler is set, only the default one put off: a write over the limit becomes an error.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    #[cfg(target_os = "linux")]
    // SAFETY: these options take integers only.
    unsafe {
        check(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
        check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
    }
    // SAFETY: the descriptor was made above and is nobody else's.
    Ok(unsafe { File::from_raw_fd(out) })
}

/// From here on nothing can be written to a file; on Linux no file made, changed or removed either, no socket opened, no
/// program started and no signal sent. What the user may read it may read, other processes' environment included.
#[cfg(unix)]
pub(crate) fn look_only() -> Result<(), String> {
    let limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a whole `rlimit` that outlives the call. Lowering a limit cannot fail.
    unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) };
    #[cfg(target_os = "linux")]
    filter::apply().map_err(|e| format!("limiting its process: {e}"))?;
    Ok(())
}

#[cfg(not(unix))]
pub(crate) fn look_only() -> Result<(), String> {
    Ok(())
}

#[cfg(not(unix))]
pub(crate) fn apply() -> std::io::Result<File> {
    Err(std::io::Error::other("plugins can be isolated on Unix only"))
}

/// System calls that the kernel answers with "not permitted".
#[cfg(target_os = "linux")]
mod filter {
    use seccompiler::{
        BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    };

    /// Whatever their arguments: the network, other programs and processes, and changes to what files there are.
    const REFUSED: &[i64] = &[
        libc::SYS_socket,
        libc::SYS_connect,
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_clone,
        libc::SYS_clone3,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_kill,
        libc::SYS_tkill,
        libc::SYS_rt_sigqueueinfo,
        libc::SYS_rt_tgsigqueueinfo,
        libc::SYS_pidfd_send_signal,
        libc::SYS_unlinkat,
        libc::SYS_renameat,
        libc::SYS_renameat2,
        libc::SYS_mkdirat,
        libc::SYS_mknodat,
        libc::SYS_linkat,
        libc::SYS_symlinkat,
        libc::SYS_fchmodat,
        libc::SYS_fchmod,
        libc::SYS_fchownat,
        libc::SYS_fchown,
        libc::SYS_truncate,
        libc::SYS_ftruncate,
        libc::SYS_setxattr,
        libc::SYS_lsetxattr,
        libc::SYS_fsetxattr,
        libc::SYS_removexattr,
        libc::SYS_lremovexattr,
        libc::SYS_fremovexattr,
        libc::SYS_utimensat,
        libc::SYS_mount,
        libc::SYS_io_uring_setup,
        libc::SYS_openat2,
    ];

    /// The same by the names that only this processor still has.
    #[cfg(target_arch = "x86_64")]
    const OLD: &[i64] = &[
        libc::SYS_fork,
        libc::SYS_vfork,
        libc::SYS_creat,
        libc::SYS_unlink,
        libc::SYS_rename,
        libc::SYS_mkdir,
        libc::SYS_rmdir,
        libc::SYS_mknod,
        libc::SYS_link,
        libc::SYS_symlink,
        libc::SYS_chmod,
        libc::SYS_chown,
        libc::SYS_lchown,
        libc::SYS_utime,
        libc::SYS_utimes,
        libc::SYS_futimesat,
    ];
    #[cfg(not(target_arch = "x86_64"))]
    const OLD: &[i64] = &[];

    /// Calls that open a file, and which argument says for what.
    #[cfg(target_arch = "x86_64")]
    const OPENING: &[(i64, u8)] = &[(libc::SYS_openat, 2), (libc::SYS_open, 1)];
    #[cfg(not(target_arch = "x86_64"))]
    const OPENING: &[(i64, u8)] = &[(libc::SYS_openat, 2)];

    /// Any of these opens a file for more than reading.
    const CHANGING: [i32; 4] = [libc::O_WRONLY, libc::O_RDWR, libc::O_CREAT, libc::O_TRUNC];

    pub fn apply() -> Result<(), Error> {
        let mut rules: std::collections::BTreeMap<i64, Vec<SeccompRule>> =
            REFUSED.iter().chain(OLD).map(|call| (*call, vec![])).collect();
        for (call, argument) in OPENING {
            let rule = |flag: i32| -> Result<SeccompRule, Error> {
                let flag = u64::from(flag.cast_unsigned());
                let is_set = SeccompCmpOp::MaskedEq(flag);
                let condition = SeccompCondition::new(*argument, SeccompCmpArgLen::Dword, is_set, flag)?;
                Ok(SeccompRule::new(vec![condition])?)
            };
            rules.insert(*call, CHANGING.into_iter().map(rule).collect::<Result<_, _>>()?);
        }
        // Its own process it may signal, as `abort` does, and its own limits it may look at.
        let elsewhere = |own: u64| -> Result<Vec<SeccompRule>, Error> {
            let condition = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, own)?;
            Ok(vec![SeccompRule::new(vec![condition])?])
        };
        rules.insert(libc::SYS_tgkill, elsewhere(u64::from(std::process::id()))?);
        rules.insert(libc::SYS_prlimit64, elsewhere(0)?);
        let refuse = SeccompAction::Errno(libc::EPERM.cast_unsigned());
        let processor = std::env::consts::ARCH.try_into()?;
        let program: BpfProgram = SeccompFilter::new(rules, SeccompAction::Allow, refuse, processor)?.try_into()?;
        seccompiler::apply_filter(&program)
    }
}
