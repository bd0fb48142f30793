//! The processes that measure, of both sides, and the order in which they run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::args::{Args, Dtype, name};
use super::case::{Case, NEW_TOKENS, PROMPT_TOKENS, PROMPTS};
use super::report::{Answered, Crossing, Kernel, Trained};
use crate::levels::VARIABLE;
use crate::workspace::show;

/// What the scripts of PyTorch import.
pub const PACKAGES: [&str; 3] = ["torch", "transformers", "peft"];
/// Prints those of its arguments that are no packages here.
const MISSING: &str =
    "import importlib.util as u, sys; print(*[n for n in sys.argv[1:] if u.find_spec(n) is None], sep=', ')";

/// A Python with the packages, and our scripts for it.
pub struct Python {
    path: PathBuf,
    scripts: PathBuf,
}

/// Both sides, ready to run.
pub struct Programs<'a> {
    ours: PathBuf,
    python: Option<Python>,
    args: &'a Args,
    /// The option that names the model, and its value.
    model: [String; 2],
    shared: Option<Shared>,
}

/// What both sides start from, as `tunebench-bench shared` says it.
#[derive(Deserialize)]
struct Shared {
    data: PathBuf,
    adapters: BTreeMap<String, PathBuf>,
}

impl Python {
    /// # Errors
    /// When it does not start, or has not all of the packages.
    pub fn new(path: &Path, root: &Path, packages: &[&str]) -> Result<Self> {
        let mut command = Command::new(path);
        command.args(["-c", MISSING]).args(packages);
        let output = command.output().with_context(|| format!("--python {}", path.display()))?;
        if !output.status.success() {
            let complaint = String::from_utf8_lossy(&output.stderr);
            bail!("--python {}: is it a Python 3? {} {}", path.display(), output.status, complaint.trim());
        }
        let missing = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if !missing.is_empty() {
            let (path, wanted) = (path.display(), packages.join(" "));
            bail!("--python {path}: it lacks {missing}; install with `{path} -m pip install {wanted}`");
        }
        Ok(Self { path: path.to_owned(), scripts: root.join("xtask/bench") })
    }

    pub fn script(&self, name: &str) -> Command {
        let mut command = Command::new(&self.path);
        command.arg(self.scripts.join(name));
        command
    }
}

impl<'a> Programs<'a> {
    pub fn new(ours: PathBuf, python: Option<Python>, args: &'a Args, model: [String; 2]) -> Self {
        Self { ours, python, args, model, shared: None }
    }

    /// The option that names the model, and its value.
    pub fn model(&self) -> &[String; 2] {
        &self.model
    }

    /// Whether PyTorch is the other side.
    pub fn has_peer(&self) -> bool {
        self.python.is_some()
    }

    /// Has our side write, into `folder`, what both start from: tokens of the text of `files`, and adapters.
    pub fn share(&mut self, folder: &Path, files: &[PathBuf], tokens: usize) -> Result<()> {
        let mut command = self.of_ours("shared");
        command.args(&self.model).args(["--tokens", &tokens.to_string(), "--out"]).arg(folder);
        files.iter().for_each(|file| _ = command.arg("--text").arg(file));
        self.shared = Some(last_line(&mut command)?);
        Ok(())
    }

    /// Our products: a line a shape.
    pub fn kernels(&self) -> Result<Vec<Kernel>> {
        self.lines("kernels")
    }

    /// What plugins cost: a line a thing.
    pub fn boundary(&self) -> Result<Vec<Crossing>> {
        self.lines("boundary")
    }

    /// What a subcommand of ours prints, a line a thing.
    pub fn lines<T: DeserializeOwned>(&self, subcommand: &str) -> Result<Vec<T>> {
        eprintln!("{subcommand}");
        lines(&mut self.of_ours(subcommand))
    }

    /// The same at another level than the best.
    pub fn lines_at<T: DeserializeOwned>(&self, subcommand: &str, level: &str) -> Result<Vec<T>> {
        eprintln!("{subcommand} at {level}");
        lines(self.of_ours(subcommand).env(VARIABLE, level))
    }

    /// Training steps: ours, theirs eager, theirs compiled, one after the other, as many times as there are rounds.
    pub fn training(&self, tuner: &str, case: Case) -> Result<[Vec<Trained>; 3]> {
        let mut all = [vec![], vec![], vec![]];
        let mut sides = vec![("ours", self.our_training(tuner, case))];
        if let Some(python) = &self.python {
            sides.push(("theirs, eager", self.their_training(python, tuner, case, false)));
            sides.push(("theirs, compiled", self.their_training(python, tuner, case, true)));
        }
        for round in 1..=self.args.rounds {
            for ((name, command), lines) in sides.iter_mut().zip(&mut all) {
                let line: Trained = last_line(command)?;
                let Case { batch, seq } = case;
                let (speed, mib) = (line.tokens_per_s, line.peak_rss_mib);
                eprintln!("{tuner} {batch}x{seq}, round {round}, {name}: {speed:.0} tokens/s, {mib:.0} MiB");
                lines.push(line);
            }
        }
        Ok(all)
    }

    /// Generation: ours, theirs, as many times as there are rounds.
    pub fn generation(&self) -> Result<[Vec<Answered>; 2]> {
        let mut all = [vec![], vec![]];
        let mut ours = self.of_ours("generate");
        self.add_engine(&mut ours);
        let mut sides = vec![("ours", ours)];
        if let Some(python) = &self.python {
            let mut theirs = python.script("generate.py");
            theirs.args(["--threads", &self.args.threads.to_string(), "--dtype", &name(self.args.dtype)]);
            sides.push(("theirs", theirs));
        }
        for (_, command) in &mut sides {
            sizes(self.add_model(command), PROMPTS);
            self.add_data(command);
        }
        for round in 1..=self.args.rounds {
            for ((name, command), lines) in sides.iter_mut().zip(&mut all) {
                let line: Answered = last_line(command)?;
                eprintln!("generation, round {round}, {name}: {:.0} new tokens/s", line.new_tokens_per_s);
                lines.push(line);
            }
        }
        Ok(all)
    }

    pub fn of_ours(&self, subcommand: &str) -> Command {
        let mut command = Command::new(&self.ours);
        command.args([subcommand, "--threads", &self.args.threads.to_string()]);
        command
    }

    pub fn our_training(&self, tuner: &str, case: Case) -> Command {
        let mut command = self.of_ours("train");
        self.add_engine(&mut command);
        self.add_training(&mut command, tuner, case);
        command.args(self.args.recompute.then_some("--recompute"));
        command
    }

    fn their_training(&self, python: &Python, tuner: &str, case: Case, is_compiled: bool) -> Command {
        let mut command = python.script("train.py");
        command.args(["--threads", &self.args.threads.to_string()]);
        self.add_training(&mut command, tuner, case);
        command.args(["--dtype", &self.their_dtype(tuner)]);
        if let Some(adapter) = self.shared.as_ref().and_then(|shared| shared.adapters.get(tuner)) {
            command.arg("--adapter").arg(adapter);
        }
        command.args(is_compiled.then_some("--compile")).args(self.args.recompute.then_some("--checkpointing"));
        command
    }

    /// In bf16, full fine-tuning as ours does it: with f32 weights of which only the arithmetic is bf16.
    fn their_dtype(&self, tuner: &str) -> String {
        match (tuner, self.args.dtype) {
            ("ft", Dtype::Bf16) => "amp".into(),
            (_, dtype) => name(dtype),
        }
    }

    fn add_training(&self, command: &mut Command, tuner: &str, case: Case) {
        command.args(&self.model).args(["--tuner", tuner]);
        let Args { steps, warmup, .. } = *self.args;
        let sizes = [
            ("--batch", case.batch),
            ("--seq", case.seq),
            ("--steps", usize::from(steps)),
            ("--warmup", usize::from(warmup)),
        ];
        command.args(sizes.iter().flat_map(|(name, n)| [(*name).to_owned(), n.to_string()]));
        self.add_data(command);
    }

    pub fn add_model<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.args(&self.model)
    }

    pub fn add_engine(&self, command: &mut Command) {
        if let Some(engine) = &self.args.engine {
            command.args(["--engine", engine]);
        }
    }

    pub fn add_data(&self, command: &mut Command) {
        if let Some(shared) = &self.shared {
            command.arg("--data").arg(&shared.data);
        }
    }
}

/// Answers to so many prompts at once, as our program and PyTorch's scripts spell it.
pub fn sizes(command: &mut Command, prompts: usize) -> &mut Command {
    let sizes = [("--batch", prompts), ("--prompt", PROMPT_TOKENS), ("--new", NEW_TOKENS)];
    command.args(sizes.iter().flat_map(|(name, n)| [(*name).to_owned(), n.to_string()]))
}

/// Runs a program that prints lines of JSON alone.
fn lines<T: DeserializeOwned>(command: &mut Command) -> Result<Vec<T>> {
    let text = output(command)?;
    text.lines().map(|line| serde_json::from_str(line).with_context(|| format!("reading `{line}`"))).collect()
}

/// Runs a program that ends with a line of JSON.
pub fn last_line<T: DeserializeOwned>(command: &mut Command) -> Result<T> {
    let text = output(command)?;
    let line = text.lines().last().unwrap_or_default();
    serde_json::from_str(line).with_context(|| format!("`{}` ends with `{line}`", show(command)))
}

/// What a program prints; what it complains of is shown only when it fails.
fn output(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("starting `{}`", show(command)))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` failed ({}):\n{}", show(command), output.status, complaint.trim_end());
    }
    Ok(String::from_utf8(output.stdout)?)
}
