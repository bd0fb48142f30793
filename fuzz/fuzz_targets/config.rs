//! Feeds `config` of `fuzz/src/targets.rs`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| tunebench_fuzz::run("config", bytes));
