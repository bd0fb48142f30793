//! Limits that any Unix has: descriptors, memory, files and processes.

use std::fs::File;
use std::io::{Error, Result};
use std::os::fd::{FromRawFd as _, RawFd};

/// Bytes of address space: what reading a dataset takes, many times over.
const MEMORY: u64 = 8 << 30;
/// Files open at once.
const FILES: u64 = 1024;

/// Where the system lists the descriptors of this process.
const DESCRIPTORS: &str = if cfg!(target_os = "linux") { "/proc/self/fd" } else { "/dev/fd" };

fn check(result: i32) -> Result<i32> {
    if result < 0 { Err(Error::last_os_error()) } else { Ok(result) }
}

/// Closes every descriptor but the standard ones, for the process that started this one may have left some open.
pub fn close_inherited() -> Result<()> {
    let open = std::fs::read_dir(DESCRIPTORS)?.map(|entry| Ok(entry?.file_name().to_string_lossy().parse().ok()));
    let open: Vec<Option<RawFd>> = open.collect::<Result<_>>()?;
    for descriptor in open.into_iter().flatten().filter(|descriptor| *descriptor > 2) {
        // SAFETY: this process has just begun, so no value of it owns a descriptor. That of the listing is closed already.
        unsafe { libc::close(descriptor) };
    }
    Ok(())
}

/// Standard output, which from here on is standard error for all others.
pub fn take_output() -> Result<File> {
    // SAFETY: descriptor numbers in, descriptor numbers out; 1 and 2 are the standard ones. The new one is nobody else's.
    unsafe {
        let out = check(libc::fcntl(1, libc::F_DUPFD_CLOEXEC, 3))?;
        let out = File::from_raw_fd(out);
        check(libc::dup2(2, 1))?;
        Ok(out)
    }
}

/// Bounded memory and open files, no core dump, no further process (unless the user is root, whom the system does not
/// count), no new privileges, and an end with the process that started it (Linux).
pub fn apply() -> Result<()> {
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
    Ok(())
}

/// From here on nothing can be written to a file.
pub fn write_nothing() {
    let limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a whole `rlimit` that outlives the call. Lowering a limit cannot fail.
    unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) };
}
