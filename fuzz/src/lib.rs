//! What a fuzzer runs: a target by its name, in bounded memory.

use std::alloc::System;
use std::sync::Once;

use cap::Cap;

pub mod targets;

/// What an input may take beside what was taken before it.
const MOST: usize = 512 << 20;

/// Whoever asks it for more gets nothing, of which Rust dies; C libraries do not ask it.
#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);

/// Panics that a reader takes for an error, those of the Parquet library, are no findings: only what comes out of the target
/// is, and libFuzzer's own hook would end at any.
static HOOK: Once = Once::new();

/// Does with the bytes what the target of this name does.
///
/// # Panics
/// When there is no such target.
pub fn run(name: &str, bytes: &[u8]) {
    let (_, target) = targets::TARGETS.iter().find(|(known, _)| *known == name).expect("a target of this name");
    HOOK.call_once(|| std::panic::set_hook(Box::new(|info| eprintln!("{info}"))));
    let limit = MEMORY.allocated() + MOST;
    MEMORY.set_limit(limit).expect("more than is allocated");
    target(bytes);
    MEMORY.set_limit(usize::MAX).expect("no limit");
}
