//! Answers beside llama.cpp: both sides answer from the same GGUF files, in turn, one text and many at once.
//!
//! Theirs is `llama-batched-bench`, which makes as many tokens after as long prompts as ours does, and says how long it
//! took, prompts included. Its peak of memory is read from outside, while it runs.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;

use super::answering::Comparison;
use super::args::Args;
use super::case::{NEW_TOKENS, PROMPT_TOKENS};
use super::programs::Programs;
use super::report::Answered;
use crate::workspace::show;

/// What llama.cpp calls it.
const PROGRAM: &str = "llama-batched-bench";
/// How to come by it.
const BUILD: &str = "in llama.cpp's folder, `cmake -B build -DGGML_NATIVE=ON && cmake --build build --target \
                     llama-batched-bench` makes build/bin";
/// What every GGUF file begins with.
const MAGIC: &[u8; 4] = b"GGUF";
/// Positions of a text that theirs keeps keys and values for; it rounds them up to so many.
const CONTEXT: usize = 256;
/// How often the peak of a process is looked at. A peak of its last moment alone would be missed.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// The other side, and the files that both answer from.
pub struct LlamaCpp {
    program: PathBuf,
    files: Vec<PathBuf>,
}

/// A line of theirs, as far as it is used here: seconds of everything, prompts included.
#[derive(Deserialize)]
struct Timed {
    t: f64,
}

impl LlamaCpp {
    /// # Errors
    /// When the options do not say where it is or what to answer from, or it does not start.
    pub fn new(args: &Args) -> Result<Self> {
        let Some(given) = &args.llamacpp else {
            bail!("--against llamacpp: where is {PROGRAM}? Give --llamacpp DIR; {BUILD}");
        };
        let program = find(given)?;
        ensure!(!args.gguf.is_empty(), "--against llamacpp: which model? Give --gguf FILE, one or more");
        args.gguf.iter().try_for_each(|path| check_gguf(path))?;
        let started = Command::new(&program).arg("--version").stdin(Stdio::null()).output();
        let output =
            started.with_context(|| format!("--llamacpp {}: it does not start; {BUILD}", program.display()))?;
        if !output.status.success() {
            let (path, complaint) = (program.display(), String::from_utf8_lossy(&output.stderr));
            bail!("--llamacpp {path}: it does not run here ({}; {}); {BUILD}", output.status, complaint.trim());
        }
        Ok(Self { program, files: args.gguf.clone() })
    }

    /// Runs both sides in turn, over every file and number of texts, as many times as there are rounds.
    ///
    /// # Errors
    /// When a process of either side fails.
    pub fn compare(&self, args: &Args, programs: &Programs<'_>) -> Result<Comparison> {
        let theirs = |file: &Path, streams: usize| answered(&mut self.command(file, streams, args.threads), streams);
        Comparison::measure("llama.cpp", args, programs, &self.files, &theirs)
    }

    fn command(&self, file: &Path, streams: usize, threads: u16) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("-m").arg(file);
        let numbers = [
            ("-t", threads.into()),
            ("-tb", threads.into()),
            ("-c", streams * CONTEXT),
            ("-b", 4096),
            ("-ub", 512),
            ("-npp", PROMPT_TOKENS),
            ("-ntg", NEW_TOKENS),
            ("-npl", streams),
        ];
        command.args(numbers.iter().flat_map(|(option, n)| [(*option).to_owned(), n.to_string()]));
        command.args(["-fa", "on", "--output-format", "jsonl"]);
        command
    }
}

/// The program in a folder, or that the path is.
fn find(given: &Path) -> Result<PathBuf> {
    let name = format!("{PROGRAM}{}", std::env::consts::EXE_SUFFIX);
    let places = [given.to_owned(), given.join(&name), given.join("bin").join(&name)];
    let found = places.into_iter().find(|path| path.is_file());
    found.with_context(|| format!("--llamacpp {}: there is no {name}; {BUILD}", given.display()))
}

fn check_gguf(path: &Path) -> Result<()> {
    let mut begin = [0; MAGIC.len()];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut begin));
    read.with_context(|| format!("--gguf {}", path.display()))?;
    ensure!(begin == *MAGIC, "--gguf {}: no GGUF file; one begins with GGUF", path.display());
    Ok(())
}

/// Runs theirs once. It prints a line of JSON among others.
fn answered(command: &mut Command, streams: usize) -> Result<Answered> {
    let (text, peak_rss_mib) = watched(command)?;
    let line = text.lines().rfind(|line| line.starts_with('{'));
    let line = line.with_context(|| format!("`{}` prints no line of JSON:\n{}", show(command), text.trim()))?;
    let Timed { t } = serde_json::from_str(line).with_context(|| format!("`{}` prints `{line}`", show(command)))?;
    ensure!(t > 0.0, "`{}` says that it took no time: `{line}`", show(command));
    Ok(Answered { new_tokens_per_s: (streams * NEW_TOKENS) as f64 / t, peak_rss_mib, weight_bytes: None, dtype: None })
}

/// What a program prints, and its peak of resident memory in MiB; 0 where the system does not say it.
fn watched(command: &mut Command) -> Result<(String, f64)> {
    // Files rather than pipes: nobody need read while it runs.
    let folder = tempfile::tempdir().context("making a folder")?;
    let paths = ["stdout", "stderr"].map(|name| folder.path().join(name));
    let [out, err] = [File::create(&paths[0])?, File::create(&paths[1])?];
    let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn();
    let mut child = child.with_context(|| format!("starting `{}`", show(command)))?;
    let mut peak = 0.0;
    let status = loop {
        peak = peak_mib(child.id()).unwrap_or(peak);
        if let Some(status) = child.try_wait().with_context(|| format!("waiting for `{}`", show(command)))? {
            break status;
        }
        std::thread::sleep(BETWEEN_LOOKS);
    };
    let [out, err] = paths.map(|path| std::fs::read(path).unwrap_or_default());
    if !status.success() {
        bail!("`{}` failed ({status}):\n{}", show(command), String::from_utf8_lossy(&err).trim_end());
    }
    Ok((String::from_utf8_lossy(&out).into_owned(), peak))
}

/// The peak so far of a process that runs, as Linux says it.
fn peak_mib(process: u32) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib / 1024.0)
}

#[cfg(unix)]
#[cfg(test)]
pub mod tests {
    use super::super::args::tests::parse;
    use super::*;

    /// Stands for ours: what the machine can do, and one speed.
    const OURS: &str = r#"#!/bin/sh
case $1 in
    floors) echo '{"floor":"memory","bytes_per_s":1000.0,"level":"avx2"}' ;;
    *) echo '{"new_tokens_per_s":50.0,"peak_rss_mib":100.0,"weight_bytes":10}' ;;
esac
"#;
    /// Stands for theirs: two seconds for each text, among other words.
    const THEIRS: &str = r#"#!/bin/sh
[ "$1" = --version ] && exit 0
while [ $# -gt 0 ]; do [ "$1" = -npl ] && streams=$2; shift; done
echo "some words"
echo "{\"pl\": $streams, \"tg\": 64, \"t_pp\": 0.5, \"t\": $((streams * 2)).0}"
echo
"#;

    /// Writes a program. By another process, as one that begins meanwhile would keep the file open, and what is open for writing cannot
    /// be run.
    pub fn script(path: &Path, text: &str) {
        let write = r#"printf '%s' "$1" > "$0" && chmod +x "$0""#;
        assert!(Command::new("sh").args(["-c", write]).arg(path).arg(text).status().unwrap().success());
    }

    fn refusal(line: &str) -> String {
        LlamaCpp::new(&parse(line).unwrap()).err().map(|error| format!("{error:#}")).unwrap_or_default()
    }

    #[test]
    fn both_sides_answer_in_turn_and_become_a_table() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        script(&at("ours"), OURS);
        script(&at(PROGRAM), THEIRS);
        std::fs::write(at("tiny-q8_0.gguf"), b"GGUF and more").unwrap();
        let line = format!(
            "--against llamacpp --llamacpp {} --gguf {} --streams 1 --streams 4",
            at("").display(),
            at("tiny-q8_0.gguf").display()
        );
        let args = parse(&line).unwrap();
        let programs = Programs::new(at("ours"), None, &args, Default::default());
        let mut comparison = LlamaCpp::new(&args).unwrap().compare(&args, &programs).unwrap();
        let [one, four] = [0, 1].map(|i| &comparison.answers[i]);
        // 64 tokens in two seconds, and 4 x 64 in eight.
        assert_eq!((one.speeds.theirs, four.speeds.theirs), (Some(32.0), Some(32.0)));
        assert_eq!((one.speeds.ratio, one.floor_share, four.floor_share), (Some(1.5625), Some(0.5), None));
        for answering in &mut comparison.answers {
            answering.speeds.theirs_mib = Some(80.0);
        }
        let want = "Answers beside llama.cpp, new tokens/s; ours at level avx2; memory is read at 0.0 GB/s\n\n\
            | format | streams | ours | theirs | ratio | MiB ours | MiB theirs | of memory |\n\
            | ------ | ------: | ---: | -----: | ----: | -------: | ---------: | --------: |\n\
            | q8_0   |       1 | 50.0 |   32.0 |  1.56 |      100 |         80 |      0.50 |\n\
            | q8_0   |       4 | 50.0 |   32.0 |  1.56 |      100 |         80 |           |\n";
        comparison.is_forced = false;
        assert_eq!(comparison.tables(), want);
        comparison.is_forced = true;
        let heading = "ours at level avx2, as forced: theirs must be built for the same; memory";
        assert!(comparison.tables().contains(heading), "{}", comparison.tables());
    }

    #[test]
    fn what_is_missing_is_said_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("model.gguf"), b"GGUF").unwrap();
        std::fs::write(at("text.gguf"), b"not one").unwrap();
        script(&at("fails"), "#!/bin/sh\necho 'no such instruction' >&2\nexit 4\n");
        script(&at("silent"), "#!/bin/sh\necho words\n");
        let path = |name: &str| at(name).display().to_string();
        let (model, silent) = (path("model.gguf"), path("silent"));
        for (rest, want) in [
            (String::new(), "where is llama-batched-bench? Give --llamacpp DIR; in llama.cpp's folder, `cmake -B"),
            (format!("--llamacpp {} --gguf {model}", path("")), "there is no llama-batched-bench; in llama.cpp's"),
            (format!("--llamacpp {silent}"), "which model? Give --gguf FILE"),
            (format!("--llamacpp {silent} --gguf {}", path("text.gguf")), "no GGUF file; one begins with GGUF"),
            (format!("--llamacpp {silent} --gguf {}", path("none.gguf")), "none.gguf: No such file"),
            (format!("--llamacpp {model} --gguf {model}"), "it does not start"),
            (format!("--llamacpp {} --gguf {model}", path("fails")), "4; no such instruction); in llama.cpp's"),
        ] {
            let error = refusal(&format!("--against llamacpp {rest}"));
            assert!(error.contains(want), "{rest}: {error}");
        }
        let error = answered(&mut Command::new(at("silent")), 1).err().unwrap().to_string();
        assert!(error.contains("`silent` prints no line of JSON:\nwords"), "{error}");
        let error = answered(&mut Command::new(at("fails")), 1).err().unwrap().to_string();
        assert!(error.contains("no such instruction"), "{error}");
    }
}
