//! MPI, found at run time: one executable for machines with Open MPI, with any MPI of MPICH's family, and with none.

#[cfg(unix)]
mod functions;
mod launcher;
#[cfg(unix)]
mod library;
#[cfg(unix)]
mod lifeline;
#[cfg(unix)]
mod rank;

use crate::alone::Alone;
use crate::error::Error;
use crate::exchange::Exchange;

/// This process as the rank that a launcher started it as; alone where none did, or where it started one.
///
/// To be called once, by whatever asks for ranks, and not by what a launcher may have started for another reason; and
/// before other threads are begun, as MPI asks. Errors must be told by [`Exchange::abort`] before the exchange is
/// dropped: dropping it ends this process too.
///
/// # Errors
/// [`Error::WithoutMpi`] where Slurm started several of us that know nothing of each other, [`Error::NoLibrary`] where a launcher
/// started several ranks and its MPI is not there: each would do all of the work.
pub fn from_environment() -> Result<Box<dyn Exchange>, Error> {
    let variable = |name: &str| std::env::var(name).ok();
    if let Some(tasks) = launcher::without_mpi(variable) {
        return Err(Error::WithoutMpi { tasks });
    }
    let Some(launcher) = launcher::seen(variable) else { return Ok(Box::new(Alone)) };
    open(launcher)
}

/// How many ranks a launcher started on this machine, this one too; one where it does not say.
pub fn ranks_here() -> usize {
    launcher::here(|name| std::env::var(name).ok())
}

#[cfg(unix)]
fn open(launcher: &launcher::Launcher) -> Result<Box<dyn Exchange>, Error> {
    let library = library::Library::open(launcher)?;
    Ok(Box::new(rank::Mpi::init(library, launcher)?))
}

#[cfg(not(unix))]
fn open(launcher: &launcher::Launcher) -> Result<Box<dyn Exchange>, Error> {
    let faults = "this system has none that is known".into();
    Err(Error::NoLibrary { launcher: launcher.name.into(), faults, variable: launcher::VARIABLE })
}
