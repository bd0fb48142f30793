//! A study as jobs of a cluster. What is to be done is plain data, and becomes text: scripts for Slurm, a manifest for
//! Kubernetes; or numbers: how long it takes on a cluster, where it waits, what it costs.
//!
//! The jobs share the run folder. Each runs `tunebench study FILE --out DIR --worker`, which claims open work in the folder,
//! so tasks are interchangeable: what one loses, another takes, and no task is told what to do.
//!
//! - [`Submission`]: stages of tasks, what each needs, and the join that ends a study
//! - `slurm`: [`scripts`](slurm::scripts), [`submit`](slurm::submit), [`status`](slurm::status)
//! - `kubernetes`: [`manifest`](kubernetes::manifest)
//! - `simulation`: a described cluster, and the order in which Slurm would run the same stages on it

mod error;
pub mod kubernetes;
mod shell;
pub mod simulation;
pub mod slurm;
mod submission;

pub use error::Error;
pub use submission::{Resources, STOPPED, Stage, Submission};
