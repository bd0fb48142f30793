//! The executable stays thin: what a study does is in `crates/study`, so that any program can run one. The quickstart's
//! invented world is data, and does not count.

const CRATE: &str = "crates/cli/src/";
const DATA: &str = "crates/cli/src/quickstart/";

/// Lines of the executable's sources.
const MOST_LINES: usize = 2400;

/// The lines of the executable so far.
#[derive(Default)]
pub struct Lines(usize);

impl Lines {
    pub fn count(&mut self, path: &str, bytes: &[u8]) {
        if path.starts_with(CRATE) && !path.starts_with(DATA) {
            self.0 += bytes.iter().filter(|byte| **byte == b'\n').count();
        }
    }

    pub fn faults(&self) -> Option<String> {
        (self.0 > MOST_LINES).then(|| {
            format!(
                "{CRATE}: {} lines, at most {MOST_LINES}; move what is no command and no output to crates/study",
                self.0
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executable_is_thin() {
        let lines = |n: usize| "x\n".repeat(n).into_bytes();
        let mut counted = Lines::default();
        counted.count("crates/cli/src/main.rs", &lines(1900));
        counted.count("crates/cli/src/commands/a.rs", &lines(500));
        counted.count("crates/cli/src/quickstart/words.rs", &lines(500));
        counted.count("crates/cli/build.rs", &lines(500));
        assert_eq!(counted.faults(), None);
        counted.count("crates/cli/src/output.rs", &lines(1));
        assert!(counted.faults().is_some_and(|fault| fault.starts_with("crates/cli/src/: 2401 lines, at most 2400")));
    }
}
