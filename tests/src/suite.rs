//! The tests that concern more than one crate. What one crate promises is tested in that crate.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

/// Files, crate edges and ARCHITECTURE.md: `cargo xtask tidy`.
mod edges;
/// Plugin files as built: loading, refusing, and what each tuner records.
mod plugins;
/// Where the things under test are.
mod support;
