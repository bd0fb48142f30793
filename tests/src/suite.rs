//! The tests that concern more than one crate. What one crate promises is tested in that crate.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

/// What a plugin's author does, from `plugins new` to a study.
mod authors;
/// The benchmark program.
mod bench;
/// Files, crate edges and ARCHITECTURE.md: `cargo xtask tidy`.
mod edges;
/// Studies through crates/study, by a program of its own: no terminal, no command line.
mod engine;
/// What the tuners' recorded maths computes, against PEFT.
mod gradients;
/// The authors' kit of plugin-api, against the host's shape rules and the engine's numbers.
mod kit;
/// Plugins that misbehave, and files that are none, in the real executable.
mod misdeeds;
/// Plugin files as built: loading, refusing, and what each tuner records.
mod plugins;
/// The third-party tuners on both engines, and in training.
mod strangers;
/// Whole studies by the executable; bad input.
mod study;
/// Where the things under test are.
mod support;
/// Prompt tuning, P-tuning and prefix tuning, as strangers' plugins write them, against PEFT.
mod virtual_tokens;
