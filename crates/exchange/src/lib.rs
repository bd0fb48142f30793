//! Ranks: processes that do one thing together. What they have goes from one to another here as bytes; nothing is added,
//! because a sum belongs to whoever knows its order, and an MPI's own sums differ with the number of ranks.
//!
//! - [`Exchange`]: what ranks do together, all of them in the same order
//! - [`Alone`]: one process and nobody else
//! - [`threads`]: the ranks of one process, each on a thread: for tests, and what others are tested against
//! - [`from_environment`]: MPI, opened at run time where a launcher (`mpirun`, `mpiexec`, `srun`) started several of us;
//!   nothing of it is needed to build
//! - [`ranks_here`]: how many share this machine
//! - [`greet`]: refuses ranks that are not to do the same
//!
//! A rank that fails says so by [`Exchange::abort`]; one that ends without [`Exchange::finish`], by a panic or an early
//! return, takes the others with it, because they would wait for it forever.

mod alone;
mod error;
mod exchange;
mod greeting;
mod mpi;
mod threads;

pub use alone::Alone;
pub use error::Error;
pub use exchange::{Exchange, FIRST, Fault};
pub use greeting::greet;
pub use mpi::{from_environment, ranks_here};
pub use threads::{Threads, threads};
