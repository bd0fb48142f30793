//! Plugins as the rest of the workbench holds them: each asks a worker.

mod dataset;
mod judge;
mod tuner;

pub use dataset::DatasetPlugin;
pub use judge::JudgePlugin;
pub use tuner::TunerPlugin;
