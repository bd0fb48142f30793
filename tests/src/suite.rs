//! The tests that concern more than one crate. What one crate promises is tested in that crate.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

/// Base models with PEFT adapters, and what is exported of arms over them.
mod adapters;
/// Arms that answer in one batch.
mod answering_together;
/// The benchmark program.
mod bench;
/// A study on a cluster of its own.
#[cfg(target_os = "linux")]
mod cluster;
/// A judge of two answers, in this process and in another.
mod comparing_judges;
/// Files, crate edges and ARCHITECTURE.md: `cargo xtask tidy`.
mod edges;
/// Studies through `crates/study`, by a program of its own: no terminal, no command line.
mod engine;
/// Trained arms written for other programs: what is refused, and what a kill leaves.
mod exports;
/// Studies that cannot be, are stopped, or of which little can come, and what is said of them.
mod faults;
/// Plugins built with an older and with a newer contract than this one.
mod forward_compat;
/// Everything that reads strangers' bytes, by name.
#[allow(dead_code)] // a fuzzer calls each by name
#[path = "../../fuzz/src/targets.rs"]
mod fuzz_targets;
/// What the tuners' recorded graphs compute, against PEFT.
mod gradients;
/// Grids: which candidate is the arm, and what is trained for that.
mod grids;
/// The guide: its commands, and what they print.
mod guide;
/// Held-out rows and the losses on them.
mod held_out;
/// Studies whose model and rows are on the hub.
mod hub;
/// A hub on a local port.
#[allow(dead_code)] // it can do more than is asked of it here
#[path = "../../crates/hub/tests/hub/server.rs"]
mod hub_server;
/// Studies judged by a chat model over HTTP, again, by others and by people.
mod judging;
/// A study killed at each of its durable writes.
mod kills;
/// Launchers of MPI.
#[cfg(target_os = "linux")]
#[path = "../../crates/exchange/tests/launchers/mod.rs"]
mod launchers;
/// A first study with rows of one's own.
mod newcomer;
/// What a plugin's author does, from `plugins new` to a study.
mod plugin_authoring;
/// Plugins that misbehave, and files that are none, in the real executable.
mod plugin_faults;
/// Plugins that never answer.
mod plugin_timeouts;
/// Plugin files as built: loading, refusing, and what each tuner records.
mod plugins;
/// Models in four bits.
mod quantised;
/// Studies by ranks of MPI.
#[cfg(target_os = "linux")]
mod ranks;
/// What a run folder holds, without what was measured.
mod remains;
/// Rows in files of every kind.
mod rows;
/// Arms that are trained more than once.
mod seeds;
/// A run's models behind OpenAI's API.
mod serving;
/// Arms over one base, which is opened once.
mod shared_base;
/// What a fuzzer found, once more.
mod strangers_bytes;
/// Whole studies by the executable; bad input.
mod study;
/// Where the things under test are.
mod support;
/// Templates and tokenizers, before anything is trained.
mod templates;
/// The testing kit of plugin-api, against the host's shape rules and the engine's numbers.
mod testing_kit;
/// The third-party tuners on both engines, and in training.
mod third_party_tuners;
/// What small studies are made of.
mod tiny;
/// Tokens of large sources, kept from run to run.
mod token_cache;
/// Arms in another form: merged and quantised.
mod variants;
/// Prompt tuning, P-tuning and prefix tuning, as third-party plugins write them, against PEFT.
mod virtual_tokens;
/// Small studies in this process.
mod workbench;
/// Several processes on one run.
#[cfg(unix)]
mod workers;
