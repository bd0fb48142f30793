//! What a worker process may not do. It is limited when it starts, closed before any of the plugin's code is there, and
//! sealed once the library is open.
//!
//! | from | what holds | by |
//! |---|---|---|
//! | start | memory, open files and processes are bounded; no descriptor of the host's is open, no environment set | limits |
//! | before the library opens | no file, directory or other process can be read, no network, program or signal | Landlock, seccomp |
//! | once it is open | nothing can be opened or looked up at all | seccomp |
//!
//! What a plugin works on reaches it through descriptors that were opened before: the two pipes, a dataset's files.

#[cfg(target_os = "linux")]
mod landlock;
#[cfg(unix)]
mod limits;
#[cfg(target_os = "linux")]
mod seccomp;

use std::fs::File;

use crate::load::LoadCheck;

/// The sandbox that this process is in.
pub(crate) struct Sandbox(());

impl Sandbox {
    /// The name of the check that says what is in force.
    pub const CHECK: &str = "sandbox";

    /// Limits this process, and takes standard output away from whatever runs in it; yields it to the caller alone.
    ///
    /// # Errors
    /// What the system refuses; then nothing may be loaded here.
    #[cfg(unix)]
    pub fn enter() -> std::io::Result<(Self, File)> {
        limits::close_inherited()?;
        let out = limits::take_output()?;
        limits::apply()?;
        Ok((Self(()), out))
    }

    #[cfg(not(unix))]
    pub fn enter() -> std::io::Result<(Self, File)> {
        Err(std::io::Error::other("plugins can be isolated on Unix only"))
    }

    /// From here on no file can be read or changed, but for `library`, the one on disk that is still to be opened. Says
    /// what is in force.
    ///
    /// # Errors
    /// What the system refuses; then no code of the plugin may run here.
    #[cfg(target_os = "linux")]
    pub fn close(&self, library: Option<&File>) -> Result<LoadCheck, String> {
        limits::write_nothing();
        let has_landlock = landlock::restrict(library).map_err(|e| format!("Landlock: {e}"))?;
        seccomp::allow_loading().map_err(|e| format!("seccomp: {e}"))?;
        let (found, warning) = match has_landlock {
            true => ("reaches no file, network, program or other process (Landlock, seccomp)", None),
            false => (
                "reaches no network, program or other process, and no file once it is open (seccomp)",
                Some(
                    "this kernel has no Landlock, or has it disabled: while the library of an isolated plugin opens, its \
                     initialisers can read what you may read; once it is open, it can open no file",
                ),
            ),
        };
        Ok(Self::check(found, warning))
    }

    #[cfg(not(target_os = "linux"))]
    pub fn close(&self, _: Option<&File>) -> Result<LoadCheck, String> {
        #[cfg(unix)]
        limits::write_nothing();
        let warning = "this system has neither Landlock nor seccomp: an isolated plugin can read what you may read, and \
                       use the network";
        Ok(Self::check("bounded memory and open files, nothing written", Some(warning)))
    }

    /// From here on nothing can be opened at all.
    ///
    /// # Errors
    /// What the system refuses; then no more of the plugin may run here.
    pub fn seal(&self) -> Result<(), String> {
        #[cfg(target_os = "linux")]
        seccomp::allow_work().map_err(|e| format!("seccomp: {e}"))?;
        Ok(())
    }

    fn check(found: &str, warning: Option<&str>) -> LoadCheck {
        LoadCheck { name: Self::CHECK.into(), found: found.into(), warning: warning.map(str::to_owned) }
    }
}
