//! Real MPI: this program starts itself by each launcher that there is, and looks at what the ranks say.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use launchers::{ended, launch, launchers};

mod launchers;
#[path = "../examples/ranks.rs"]
mod program;

/// What a rank is to do; this process is one where it is set.
const WHAT: &str = "TUNEBENCH_TEST_RANKS";

/// What goes wrong on rank 1, and what is said of it by us; nothing where no rank is left that could.
const FAULTS: [(&str, &str); 7] = [
    ("differ", "rank 1 has another level than rank 0: avx2, there avx512"),
    ("out of step", "all ranks must be given the same work"),
    ("fail", "error: rank 1 of 3: rank 1 has ended: the disk is full"),
    ("panic", "error: rank 1 of 3: it panicked"),
    ("return", "error: rank 1 of 3: it left before the others"),
    ("leave", ""),
    ("die", ""),
];

/// Ends of ranks have to come much sooner than anybody would give up.
const PATIENCE: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(15);

fn main() -> ExitCode {
    if let Ok(what) = env::var(WHAT) {
        return program::run(&what);
    }
    without_a_library();
    for launcher in launchers() {
        if launcher.ends_with("mpirun.openmpi") {
            of_nobody();
        }
        for size in 1..=4 {
            let (ok, said, _) = start(&launcher, size, "try");
            let well = said.matches("all is well").count();
            assert!(ok && well == size, "{}, {size} ranks:\n{said}", launcher.display());
        }
        for (what, expected) in FAULTS {
            let (ok, said, took) = start(&launcher, 3, what);
            // A rank that leaves with 0 may be what the launcher ends with.
            assert!((!ok || what == "leave") && said.contains(expected), "{}, {what}:\n{said}", launcher.display());
            assert!(!said.contains("all is well"), "{}, {what}:\n{said}", launcher.display());
            assert!(took < SOON, "{}, {what}: {took:?}", launcher.display());
        }
        if launcher.ends_with("mpiexec.hydra") {
            // Where the launcher ends nobody, ranks find out by themselves.
            let (ok, said, took) = start_with(&launcher, &["-disable-auto-cleanup"], 3, "die");
            assert!(!ok && said.contains("error: rank 1 of 3 has died"), "{said}");
            assert_eq!(said.matches("error: ").count(), 1, "one sentence:\n{said}");
            assert!(took < SOON, "{took:?}");
        }
        println!("{}: all operations by 1 to 4 ranks, and {} faults: ok", launcher.display(), FAULTS.len());
    }
    ExitCode::SUCCESS
}

/// A launcher's variables alone, and no library: one sentence with what to do.
fn without_a_library() {
    let mut own = Command::new(env::current_exe().unwrap());
    own.env(WHAT, "try").env("PMI_RANK", "0").env("PMI_SIZE", "2").env("TUNEBENCH_MPI", "libno_such_mpi.so");
    let output = own.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let has = |part: &str| said.contains(part);
    assert!(!output.status.success() && has("PMI") && has("libno_such_mpi.so") && has("TUNEBENCH_MPI"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

/// A launcher's variables alone, with its library: what would do all of the work by itself does none.
fn of_nobody() {
    let mut own = Command::new(env::current_exe().unwrap());
    own.env(WHAT, "try").env("OMPI_COMM_WORLD_RANK", "0").env("OMPI_COMM_WORLD_SIZE", "2");
    let output = own.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("Open MPI's launcher started 2 ranks, and "), "{said}");
    assert!(said.contains("knows of 1") && !said.contains("all is well"), "{said}");
}

fn start(launcher: &Path, size: usize, what: &str) -> (bool, String, Duration) {
    start_with(launcher, &[], size, what)
}

/// So many ranks of this program: whether all went well, what they said, and how long it took.
fn start_with(launcher: &Path, options: &[&str], size: usize, what: &str) -> (bool, String, Duration) {
    let ranks = ["-n".into(), size.to_string().into(), env::current_exe().unwrap().into()];
    let mut command = launch(launcher, options.iter().map(OsString::from).chain(ranks));
    command.env(WHAT, what);
    ended(command, PATIENCE)
}
