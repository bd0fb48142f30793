//! Optimizer steps.

pub mod adamw;
