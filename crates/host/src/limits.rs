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
        let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
        // SAFETY: the pointer is to a whole `rlimit` that outlives the call.
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

/// From here on not a byte can be written to a file.
#[cfg(unix)]
pub(crate) fn write_nothing() {
    let limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a whole `rlimit` that outlives the call. Lowering a limit cannot fail.
    unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) };
}

#[cfg(not(unix))]
pub(crate) fn write_nothing() {}

#[cfg(not(unix))]
pub(crate) fn apply() -> std::io::Result<File> {
    Err(std::io::Error::other("plugins can be isolated on Unix only"))
}
