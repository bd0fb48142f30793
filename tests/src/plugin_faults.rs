//! Plugins that misbehave, each in the real executable: whatever they do, it ends in one message that names the plugin
//! and the step, with exit status 1, and what does not need the plugin goes on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support;
use crate::tiny::{self, lines, tokenizer};

/// A folder with a study of one or two arms over rows of its own; one step of training.
pub struct Study {
    folder: TempDir,
}

const STUDY: &str = r#"
[study]
name = "stress"
seed = 3
template = "plain"
[recipe]
epochs = 1
batch_size = 4
max_length = 48
max_steps = 1
warmup_steps = 0
MODEL
[[dataset]]
id = "good"
plugin = "stress"
source = "rows.jsonl"
examples = 4
[[dataset]]
id = "bad"
plugin = "stress"
source = "rows.jsonl"
examples = 4
options = { misdeed = "DATASET" }
[[arm]]
name = "sound"
base = "tiny"
tuner = "ft"
dataset = "good"
[[arm]]
name = "sick"
base = "tiny"
tuner = "stress"
dataset = "bad"
options = { TUNER }
[[arm]]
name = "child"
base = "sick"
tuner = "ft"
dataset = "good"
[eval]
items = "good"
judge = "stress"
judge_options = { misdeed = "JUDGE" }
generation = { max_new_tokens = 2, batch_size = 4 }
"#;

impl Study {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rows = (0..8).map(|i| json!({ "q": format!("row {i}") }));
        fs::write(folder.path().join("rows.jsonl"), lines(rows)).unwrap();
        fs::write(folder.path().join("tokenizer.json"), tokenizer().to_string()).unwrap();
        fs::write(folder.path().join("tokenizer_config.json"), r#"{"eos_token": "</s>"}"#).unwrap();
        Self { folder }
    }

    /// Runs the study with one plugin of a kind told to misbehave: exit status, and what was said.
    pub fn run(&self, command: &str, kind: &str, misdeed: &str, more: &[&str]) -> (Option<i32>, String) {
        self.start(Command::new(support::executable()), command, (kind, misdeed), more)
    }

    /// As [`Study::run`], of the dataset, from a shell that leaves a file open where the plugin looks for it.
    #[cfg(target_os = "linux")]
    fn run_with_open_file(&self, command: &str, misdeed: &str, more: &[&str]) -> (Option<i32>, String) {
        let mut shell = Command::new("sh");
        shell.args(["-c", "exec \"$0\" \"$@\" 9<rows.jsonl"]).arg(support::executable());
        self.start(shell, command, ("dataset", misdeed), more)
    }

    fn start(
        &self,
        mut process: Command,
        command: &str,
        (kind, misdeed): (&str, &str),
        more: &[&str],
    ) -> (Option<i32>, String) {
        let told = |this: &str| if kind == this { misdeed } else { "" };
        let tuner = if kind == "tuner" { format!("misdeed = \"{misdeed}\"") } else { String::new() };
        let text = STUDY.replace("MODEL", &tiny::model(1));
        let text = text.replace("DATASET", told("dataset")).replace("JUDGE", told("judge")).replace("TUNER", &tuner);
        fs::write(self.folder.path().join("study.toml"), text).unwrap();
        process.args([command, "study.toml"]).current_dir(self.folder.path());
        process.env("TUNEBENCH_HOME", self.folder.path().join("home"));
        if command == "study" {
            process.args(["--out", "out"]);
        }
        for kind in ["tuner", "dataset", "judge"] {
            process.arg("--plugin").arg(support::third_party(&format!("stress-{kind}")));
        }
        let output = process.args(more).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap())
    }

    /// Expects failure with each of these in the last line of what was said.
    fn fails(&self, command: &str, kind: &str, misdeed: &str, more: &[&str], wants: &[&str]) {
        let (status, said) = self.run(command, kind, misdeed, more);
        assert_eq!(status, Some(1), "{kind} {misdeed}: {said}");
        let error = errors(&said);
        for want in wants.iter().chain(&["stress"]) {
            assert!(error.contains(want), "{kind} {misdeed}: no {want:?} in: {said}");
        }
        assert!(!said.contains("panicked at") || error.contains("panicked"), "{said}");
    }
}

/// The lines of what was said that are errors.
pub fn errors(said: &str) -> String {
    said.lines().filter(|line| line.starts_with("error: ")).collect::<Vec<_>>().join("\n")
}

/// Misdeeds of a tuner, seen when a study is planned, and what the message says of each.
const TUNER: [(&str, &[&str]); 21] = [
    ("panic-in-options", &["taking its options", "asked to panic in options", "tell its author"]),
    ("panic-in-new", &["taking its options", "asked to panic in new"]),
    ("panic-in-plan", &["planning", "asked to panic in plan"]),
    ("panic-twice", &["planning"]),
    ("panic-in-forward", &["recording `forward` of model.layers.0", "asked to panic in forward"]),
    ("panic-in-merge", &["recording `merge` of model.layers.0", "asked to panic in merge"]),
    ("panic-in-init", &["recording `init` of model.layers.0", "asked to panic in init"]),
    ("panic-in-virtual-tokens", &["recording", "virtual_tokens", "asked to panic in virtual tokens"]),
    ("panic-in-drop", &["being dropped", "asked to panic in drop"]),
    ("many-operations", &["more than 4096 operations at one site"]),
    ("wrong-shape", &["model.layers.0.mlp.down_proj", "`matmul` takes [m, k] and [k, n], given [t, 16] and [t, 16]"]),
    ("wrong-result", &["the result is [t, 1], expected [t, 16]"]),
    ("unknown-operation", &["no operation `conv` in version 7", "update tunebench"]),
    ("unknown-param", &["no parameter `no such`; it has: scale"]),
    ("unknown-weight", &["the model has no weight `model.layers.9999.weight`"]),
    ("forgotten-weight", &["does not say what happens to"]),
    ("giant-param", &["impossible shape"]),
    ("many-params", &["10001 parameters, where 64 are the most"]),
    ("stale-handle", &["a value of another recording was used; keep no handles between calls"]),
    ("foreign-handle", &["a value of another recording was used"]),
    ("not-utf8", &["planning", "not as agreed"]),
];

#[test]
fn a_tuner_that_misbehaves_is_named_with_the_step() {
    let study = Study::new();
    for (misdeed, wants) in TUNER {
        study.fails("plan", "tuner", misdeed, &[], wants);
    }
    study.fails("plan", "tuner", "not-json", &[], &["planning", "not as agreed"]);
    study.fails("plan", "tuner", "not-a-number", &[], &["planning", "not as agreed"]);
}

/// As [`TUNER`], of a dataset whose rows a study reads.
const DATASET: [(&str, &[&str]); 8] = [
    ("panic-in-open", &["opening the source", "asked to panic in open"]),
    ("panic-in-next", &["reading rows", "asked to panic in next"]),
    ("panic-in-position", &["reading rows", "asked to panic in position"]),
    ("panic-in-drop", &["being dropped", "asked to panic in drop"]),
    ("refuse", &["reading rows: these rows are not for you"]),
    ("not-utf8", &["reading rows", "not as agreed"]),
    ("giant-count", &["reading rows", "not as agreed"]),
    ("more-rows", &["257 rows, where at most 256 were asked for"]),
];

#[test]
fn a_dataset_that_misbehaves_is_named_with_the_step() {
    let study = Study::new();
    for (misdeed, wants) in DATASET {
        study.fails("study", "dataset", misdeed, &["--dry-run"], wants);
    }
}

/// As [`TUNER`], of a judge; the last ones only when answers are judged.
const JUDGE: [(&str, &[&str]); 5] = [
    ("panic-in-new", &["taking its options", "asked to panic in new"]),
    ("panic-in-step", &["judging", "asked to panic in step", "and so 4 times"]),
    ("panic-in-drop", &["being dropped", "asked to panic in drop"]),
    ("not-utf8", &["judging", "not as agreed"]),
    ("not-a-step", &["judging", "not as agreed"]),
];

#[test]
fn a_judge_that_misbehaves_is_named_and_answers_are_kept() {
    let study = Study::new();
    for (misdeed, wants) in JUDGE {
        study.fails("study", "judge", misdeed, &["--only", "sound"], wants);
    }
    let (status, said) = study.run("study", "none", "", &[]);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("already trained") && said.contains("4 scored"), "{said}");
}

/// What no guard can hold within one process: the plugin's name, and how its process ended.
const CRASHES: [(&str, &str, &str); 9] = [
    ("tuner", "exit", "recording its graphs"),
    ("tuner", "abort", "recording its graphs"),
    ("tuner", "deep-recursion", "recording its graphs"),
    ("dataset", "exit", "reading rows"),
    ("dataset", "abort", "reading rows"),
    ("dataset", "deep-recursion", "reading rows"),
    ("dataset", "much-memory", "reading rows"),
    ("judge", "exit", "judging"),
    ("judge", "abort", "judging"),
];

#[test]
fn isolated_a_crash_fails_what_needs_the_plugin_and_the_study_goes_on() {
    for (kind, misdeed, operation) in CRASHES {
        let study = Study::new();
        study.fails("study", kind, misdeed, &["--isolate"], &[operation, "ended its process", "run the study again"]);
        let (status, said) = study.run("study", "none", "", &["--isolate"]);
        assert_eq!(status, Some(0), "{kind} {misdeed}: {said}");
        assert!(said.contains("already trained"), "{kind} {misdeed}: the sound arm is kept: {said}");
    }
}

#[test]
fn isolated_or_not_misdeeds_get_the_same_message() {
    let study = Study::new();
    for (command, kind, misdeed) in [
        ("plan", "tuner", "panic-in-forward"),
        ("plan", "tuner", "wrong-shape"),
        ("plan", "tuner", "panic-in-drop"),
        ("labels", "dataset", "panic-in-position"),
        ("labels", "dataset", "panic-in-drop"),
        ("labels", "dataset", "more-rows"),
    ] {
        let [here, apart] = [&[][..], &["--isolate"]].map(|more| {
            let (status, said) = study.run(command, kind, misdeed, more);
            (status, errors(&said).lines().next_back().unwrap_or_default().to_owned())
        });
        assert_eq!(here, apart, "{kind} {misdeed}");
    }
}

/// What a plugin has no business with works from within this process, for nothing stands between; in its own it does
/// not, and what it reads comes out the same.
#[cfg(target_os = "linux")]
#[test]
fn isolated_a_plugin_reaches_nothing_outside() {
    let (study, outside) = (Study::new(), tempfile::tempdir().unwrap());
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let kept = outside.path().join("kept");
    for (misdeed, trace) in [("write", "written"), ("remove", "kept"), ("connect", "kept"), ("start", "started")] {
        fs::write(&kept, "here before").unwrap();
        let told = format!("{misdeed} {} {}", port.local_addr().unwrap(), outside.path().display());
        let (status, said) = study.run("labels", "dataset", &told, &["--isolate"]);
        assert!(status == Some(0) && said.contains("row "), "{misdeed}: {said}");
        let names = fs::read_dir(outside.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(names.collect::<Vec<_>>(), ["kept"], "{misdeed}");
        assert_eq!(fs::read_to_string(&kept).unwrap(), "here before", "{misdeed}");

        let (status, said) = study.run("labels", "dataset", &told, &[]);
        assert!(status == Some(1) && said.contains("it was possible to"), "{misdeed}: {said}");
        let is_there = outside.path().join(trace).exists();
        assert_eq!(is_there, misdeed != "remove", "{misdeed}");
        let _ = fs::remove_file(outside.path().join(trace));
    }
}

/// What a plugin has no business with but to look at, and what it is told: of the library at work, and of its initialiser,
/// which runs while the library opens and is kept from files by Landlock alone.
#[cfg(target_os = "linux")]
const LOOKS: [(&str, &str); 7] = [
    ("read", "Operation not permitted"),
    ("stat", "Operation not permitted"),
    ("list", "Operation not permitted"),
    ("read-environment", "Operation not permitted"),
    ("read-memory", "Operation not permitted"),
    ("read-inherited", "Bad file descriptor"),
    ("read-early", "permission denied"),
];

/// From within this process a plugin reads whatever the user may; in its own it is told that it may not.
#[cfg(target_os = "linux")]
#[test]
fn isolated_a_plugin_reads_nothing_outside() {
    use std::io::Write as _;

    let (study, outside) = (Study::new(), tempfile::tempdir().unwrap());
    fs::write(outside.path().join("kept"), "here before").unwrap();
    let (_, said) = check(outside.path(), &["--isolate"]);
    let has_landlock = said.contains("(Landlock, seccomp)");
    if !has_landlock {
        assert!(said.contains("warning: this kernel has no Landlock"), "{said}");
        // Not by the test's own output, which is shown only when it fails.
        let _ = writeln!(
            std::io::stderr(),
            "This kernel has no Landlock: initialisers are seen to read, and a warning says so."
        );
    }
    for (deed, told) in LOOKS {
        let misdeed = format!("{deed} nowhere {}", outside.path().display());
        let (status, said) = study.run_with_open_file("labels", &misdeed, &["--isolate"]);
        let possible = format!("plugin `stress`: opening the source: it was possible to {deed}");
        let told = match deed == "read-early" && !has_landlock {
            true => possible.clone(),
            false => format!("plugin `stress`: opening the source: to {deed}: {told}"),
        };
        assert!(status == Some(1) && said.contains(&told), "{deed}: no {told:?} in {said}");

        let (status, said) = study.run_with_open_file("labels", &misdeed, &[]);
        assert!(status == Some(1) && said.contains(&possible), "{deed}: {said}");
    }
}

/// Checks of a file as `plugins check` prints them, and where a file that is no plugin of this host is stopped.
#[test]
fn check_prints_each_step_up_to_the_one_that_fails() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("mark");
    let whole = fs::read(support::third_party("stress-tuner")).unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let object = |kind: u8| {
        let mut bytes = whole.clone();
        bytes[16] = kind;
        bytes
    };
    for (path, step, why) in [
        (support::third_party("stress-tuner"), "", ""),
        (write("text.so", b"I am a plugin, honestly.\n"), "format", "no ELF header"),
        (write("empty.so", b""), "format", "no ELF header"),
        (write("half.so", &whole[..whole.len() / 2]), "format", "truncated"),
        (write("program.so", &object(1)), "format", "crate-type must be cdylib"),
        (folder.path().to_owned(), "find", "not a file"),
        (folder.path().join("missing.so"), "find", "No such file"),
        (support::third_party("stress-constructor"), "format", "not a tunebench plugin"),
        (support::third_party("stress-headless"), "header", "build it with export_plugin!"),
        (support::third_party("stress-later"), "probe", "built for plugin-api 2."),
        (support::third_party_as("abort", "stress-tuner"), "probe", "build it with panic = \"unwind\""),
    ] {
        let mut command = Command::new(support::executable());
        command.args(["plugins", "check"]).arg(&path).env("STRESS_MARK", &mark);
        let output = command.env("TUNEBENCH_HOME", folder.path()).output().unwrap();
        let (passed, said) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        let done: Vec<&str> = passed.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
        assert_eq!(done, STEPS[..done.len()], "{passed}");
        if step.is_empty() {
            assert_eq!((output.status.code(), done.len()), (Some(0), STEPS.len()), "{passed}{said}");
            continue;
        }
        assert_eq!((output.status.code(), STEPS[done.len()]), (Some(1), step), "{}: {said}", path.display());
        let start = format!("error: plugin file {}: {step}: ", path.display());
        assert!(said.starts_with(&start) && said.contains(why), "{said}");
    }
    assert!(!mark.exists(), "the initialiser of a library that is no plugin ran");
    // In a process of its own each check is the same, and one more says what the process is kept from.
    let ((status, here), (isolated, apart)) = (check(folder.path(), &[]), check(folder.path(), &["--isolate"]));
    assert_eq!((status, isolated), (Some(0), Some(0)), "{here}{apart}");
    let is_sandbox = |line: &&str| line.starts_with("ok  sandbox ") || line.starts_with("warning: ");
    let (sandbox, rest): (Vec<&str>, Vec<&str>) = apart.lines().partition(is_sandbox);
    assert_eq!(here.lines().collect::<Vec<_>>(), rest);
    assert!(!sandbox.is_empty(), "{apart}");
}

/// What `plugins check` says of a plugin that is one.
fn check(home: &Path, more: &[&str]) -> (Option<i32>, String) {
    let file = support::third_party("stress-tuner");
    tunebench(home, &[&["plugins", "check", file.to_str().unwrap()], more].concat())
}

const STEPS: [&str; 13] = [
    "find",
    "folder",
    "owner",
    "size",
    "format",
    "hash",
    "copy",
    "open",
    "probe",
    "header",
    "layout",
    "manifest",
    "operations",
];

/// The executable with a home of its own.
pub fn tunebench(home: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(support::executable());
    let output = command.args(arguments).env("TUNEBENCH_HOME", home).output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap())
}

#[test]
fn an_added_file_is_refused_once_it_has_changed() {
    let folder = tempfile::tempdir().unwrap();
    let (home, file) = (folder.path().join("home"), folder.path().join("files/libdora.so"));
    fs::create_dir(file.parent().unwrap()).unwrap();
    fs::copy(support::third_party("dora"), &file).unwrap();
    let path = file.to_str().unwrap();
    let listed = || -> Vec<Value> {
        let (status, text) = tunebench(&home, &["plugins", "list", "--json"]);
        assert_eq!(status, Some(0), "{text}");
        let rows: Vec<Value> = serde_json::from_str(&text).unwrap();
        rows.into_iter().filter(|row| row["name"] == "dora").collect()
    };
    assert!(listed().is_empty());
    let (status, said) = tunebench(&home, &["plugins", "add", path]);
    assert!(status == Some(0) && said.contains("added tuner `dora`"), "{said}");
    assert_eq!(listed()[0]["status"], "added");
    let (status, said) = tunebench(&home, &["plugins", "check", path]);
    assert!(status == Some(0) && said.contains("as added"), "{said}");

    fs::copy(support::third_party_as("release", "dora"), &file).unwrap();
    let (status, said) = tunebench(&home, &["plugins", "check", path]);
    assert!(status == Some(1) && said.contains("hash: it has changed since it was added"), "{said}");
    assert!(said.contains(&format!("plugins add {path}")), "{said}");
    assert_eq!(listed()[0]["status"], "refused");
    let (status, said) = tunebench(&home, &["plugins", "add", path]);
    assert_eq!(status, Some(0), "{said}");
    assert_eq!(listed()[0]["status"], "added");
    let taken = support::plugin("tuner-ft");
    let copy = file.with_file_name("mine.so");
    fs::copy(taken, &copy).unwrap();
    let (status, said) = tunebench(&home, &["plugins", "add", copy.to_str().unwrap()]);
    assert!(status == Some(1) && said.contains("tuner `ft` is installed already"), "{said}");
    fs::write(home.join("plugins.lock"), "{").unwrap();
    let (status, said) = tunebench(&home, &["plugins", "list"]);
    assert!(status == Some(1) && said.contains("plugins.lock") && said.contains("delete it"), "{said}");
}

#[cfg(unix)]
#[test]
fn files_that_others_may_have_put_there_are_refused() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let place = |name: &str| -> PathBuf {
        let file = folder.path().join(name).join("libdora.so");
        fs::create_dir(file.parent().unwrap()).unwrap();
        fs::copy(support::third_party("dora"), &file).unwrap();
        file
    };
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let (open_file, open_folder, sticky, data) = (place("file"), place("folder"), place("sticky"), place("data"));
    mode(&open_file, 0o646);
    mode(open_folder.parent().unwrap(), 0o757);
    mode(sticky.parent().unwrap(), 0o1777);
    fs::write(data.with_file_name("model.safetensors"), "").unwrap();
    for (file, refused) in [
        (&open_file, "owner: everybody may write to"),
        (&open_folder, "owner: everybody may write to"),
        (&data, "folder: it lies beside model.safetensors"),
        (&sticky, ""),
    ] {
        let (status, said) = tunebench(&home, &["plugins", "check", file.to_str().unwrap()]);
        assert_eq!(status, Some(i32::from(!refused.is_empty())), "{said}");
        assert!(said.contains(refused), "{said}");
    }
    let mut command = Command::new(support::executable());
    command.args(["plugins", "check", "libdora.so"]).env("TUNEBENCH_HOME", &home);
    let output = command.current_dir(sticky.parent().unwrap()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && said.contains("folder: it lies in the working directory"), "{said}");
}
