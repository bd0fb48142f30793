//! The commands of `cargo xtask`, one module each, and [`workspace`], which they share. The tests use [`tidy`] too.

pub mod bench;
pub mod ci;
pub mod coverage;
pub mod cuda;
pub mod docs;
pub mod fuzz;
mod levels;
mod newer;
pub mod plugins;
pub mod test;
pub mod tidy;
pub mod tunebench;
pub mod workspace;
