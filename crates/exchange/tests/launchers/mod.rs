//! Launchers of MPI that there are here, and what they are given: for tests that start ranks, of this crate and of others.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// By the first of their names that there is, and how to get them.
const LAUNCHERS: [(&[&str], &str); 2] = [
    (&["mpirun.openmpi", "mpirun"], "Open MPI (apt-get install openmpi-bin)"),
    (&["mpiexec.hydra", "mpiexec.mpich"], "MPICH (apt-get install mpich)"),
];

/// Those that there are; which are missing is said, and fails only with TUNEBENCH_NEEDS_MPI=1.
pub fn launchers() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for (names, install) in LAUNCHERS {
        match names.iter().find_map(|name| find(name)) {
            Some(launcher) => found.push(launcher),
            None => {
                assert!(std::env::var_os("TUNEBENCH_NEEDS_MPI").is_none(), "no {install} on PATH");
                eprintln!("skipped: no {install} on PATH");
            }
        }
    }
    found
}

fn find(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// A launcher with these words.
pub fn launch(launcher: &Path, words: impl IntoIterator<Item = OsString>) -> Command {
    let mut command = Command::new(launcher);
    command.args(words);
    // Open MPI starts no ranks for root, and none beyond the cores, unless it is told to.
    for name in ["OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "OMPI_MCA_rmaps_base_oversubscribe"] {
        command.env(name, "1");
    }
    command
}

/// Whether all went well, what was said, and how long it took. Ranks that hang fail here, and not whoever waits for the tests.
pub fn ended(mut command: Command, patience: Duration) -> (bool, String, Duration) {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let log = std::env::temp_dir().join(format!("tunebench-ranks-{}-{number}.log", std::process::id()));
    let file = File::create(&log).unwrap();
    let begin = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
    let status = loop {
        match child.try_wait().unwrap() {
            None if begin.elapsed() > patience => {
                child.kill().unwrap();
                break None;
            }
            None => std::thread::sleep(Duration::from_millis(20)),
            ended => break ended,
        }
    };
    let took = begin.elapsed();
    let said = String::from_utf8_lossy(&std::fs::read(&log).unwrap()).into_owned();
    std::fs::remove_file(&log).unwrap();
    let Some(status) = status else { panic!("ranks have not ended in {patience:?}:\n{said}") };
    (status.success(), said, took)
}
