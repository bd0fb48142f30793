//! The same bytes by real MPI: this program starts itself by each launcher that there is. A rank is killed on the way, and
//! another number goes on from the checkpoint.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use std::env;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tunebench_exchange::from_environment;
use tunebench_model::Weights;

use launchers::{ended, launch, launchers};

use by_ranks::{Case, Given, STOP, assert_same, cases, examples, rank_and, shape};

mod by_ranks;
#[path = "../../exchange/tests/launchers/mod.rs"]
mod launchers;

/// The folder that a rank trains in, the number of its case, and the step after which the last rank kills itself; this
/// process is a rank where the first is set.
const DIR: &str = "TUNEBENCH_TEST_DIR";
const CASE: &str = "TUNEBENCH_TEST_CASE";
const KILL: &str = "TUNEBENCH_TEST_KILL";

/// Longer than any of it takes; ends of ranks have to come sooner.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn ranks_of_which_one_is_killed_leave_the_bytes_of_one() {
    for launcher in launchers() {
        for (number, case) in cases().into_iter().enumerate().filter(|(_, case)| is_chosen(case)) {
            let what = format!("{}, {}, {}", launcher.display(), case.name, case.backend.name());
            let whole = tempfile::tempdir().unwrap();
            assert!(start(None, 1, number, whole.path(), None), "{what}, alone");
            let dir = tempfile::tempdir().unwrap();
            assert!(!start(Some(&launcher), 3, number, dir.path(), Some(STOP - 1)), "{what}: a rank was killed");
            assert!(start(Some(&launcher), 2, number, dir.path(), None), "{what}: two go on");
            assert_same(&what, dir.path(), whole.path());
        }
    }
}

/// Those that divide the most; the others are for threads.
fn is_chosen(case: &Case) -> bool {
    ["ft", "lora-all-linear with dropout"].contains(&case.name)
}

/// Not a test: a rank that the other starts, by its name.
#[test]
fn the_rank_trains() {
    let Some(dir) = env::var_os(DIR) else { return };
    let number = |name| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let case = &cases()[number(CASE).unwrap() as usize];
    let weights = Weights::init(&shape(), 7).unwrap();
    let given = Given { case, weights: &weights, examples: &examples(), stop: None };
    let mut exchange = from_environment().unwrap();
    let kill = number(KILL).filter(|_| exchange.rank() + 1 == exchange.size());
    let trained = rank_and(Path::new(&dir), &given, exchange.as_mut(), &mut |step| {
        if Some(step) == kill {
            let _ = Command::new("kill").args(["-9", &std::process::id().to_string()]).status();
        }
        ControlFlow::Continue(())
    });
    if let Err(error) = trained {
        exchange.abort(&error.to_string());
        panic!("{error}");
    }
    exchange.finish().unwrap();
}

/// So many ranks of this program: whether all went well.
fn start(launcher: Option<&Path>, size: usize, case: usize, dir: &Path, kill: Option<u64>) -> bool {
    let own = env::current_exe().unwrap();
    let mut command = match launcher {
        Some(launcher) => launch(launcher, ["-n".into(), size.to_string().into(), own.into()]),
        None => Command::new(own),
    };
    command.args(["--exact", "the_rank_trains", "--nocapture"]);
    command.env(DIR, dir).env(CASE, case.to_string());
    kill.map(|step| command.env(KILL, step.to_string()));
    let (ok, said, _) = ended(command, PATIENCE);
    // What launchers say of a killed rank is theirs.
    if !ok && kill.is_none() {
        eprintln!("{said}");
    }
    ok
}
