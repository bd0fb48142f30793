//! What a fuzzer began with, and what it found, through everything that reads strangers' bytes: by the compiler that ships, on every run.

use std::fs;

use crate::{fuzz_targets, support};

#[test]
fn nothing_that_a_fuzzer_found_panics() {
    for (name, target) in fuzz_targets::TARGETS {
        let folder = support::repository("fuzz/corpus").join(name);
        let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!(!files.is_empty(), "{name} has something to begin with");
        for file in files {
            let bytes = fs::read(&file).unwrap();
            let result = std::panic::catch_unwind(|| target(&bytes));
            assert!(result.is_ok(), "{}", file.display());
            // Cut anywhere, it is damaged and no more.
            let step = (bytes.len() / 64).max(1);
            for end in (0..bytes.len()).step_by(step) {
                let result = std::panic::catch_unwind(|| target(&bytes[..end]));
                assert!(result.is_ok(), "the first {end} bytes of {}", file.display());
            }
        }
    }
}
