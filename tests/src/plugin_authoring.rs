//! What a plugin's author does, outside this workspace: a folder by `plugins new`, its tests, its library, a study.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use xtask::workspace::Workspace;

use crate::study::Study;
use crate::support;

/// Where it is done: the same folder each time, so that dependencies are built once.
fn place() -> PathBuf {
    support::target_dir().join("plugin-authoring")
}

/// Runs to the end and expects success; what it printed.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}");
    text
}

/// Cargo as an author's shell starts it, with what this workspace has downloaded.
fn cargo(folder: &Path, arguments: &[&str]) -> String {
    let mut cargo = Workspace::members_only().unwrap().cargo(arguments.iter().copied());
    run(cargo.arg("--offline").arg("--target-dir").arg(place()).current_dir(folder))
}

/// The package of plugin-api as it is published, unpacked.
fn published_api() -> PathBuf {
    let api = support::repository("crates/plugin-api");
    let _ = fs::remove_dir_all(place().join("package"));
    cargo(&api, &["package", "--no-verify", "--allow-dirty"]);
    let packages = place().join("package");
    let is_package = |path: &PathBuf| path.extension().is_some_and(|e| e == "crate");
    let found: Vec<PathBuf> = fs::read_dir(&packages).unwrap().map(|e| e.unwrap().path()).filter(is_package).collect();
    let [package] = &found[..] else { panic!("one package: {found:?}") };
    // `m`: with the time of now, not that of the archive, by which cargo would see no change.
    run(Command::new("tar").arg("xzmf").arg(package).arg("-C").arg(&packages));
    package.with_extension("")
}

/// `plugins new`, and what its README says to do next; the library.
fn author(kind: &str, name: &str, api: Option<&Path>) -> PathBuf {
    let (out, folder) = (place().join("written"), place().join("written").join(name));
    let _ = fs::remove_dir_all(&folder);
    let mut new = Command::new(support::executable());
    new.args(["plugins", "new", kind, name, "--out"]).arg(&out);
    if let Some(api) = api {
        new.arg("--api").arg(api);
    }
    let said = run(&mut new);
    assert!(said.contains("cargo test"), "{said}");
    assert_eq!(folder.join("vendor").exists(), api.is_none());
    let readme = fs::read_to_string(folder.join("README.md")).unwrap();
    assert!(readme.contains(name) && !readme.contains("my-plugin") && !readme.contains("my_plugin"), "{readme}");

    // The versions that this workspace has.
    fs::copy(support::repository("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    let tested = cargo(&folder, &["test"]);
    assert!(tested.contains("2 passed"), "{tested}");
    // By rustfmt's own style, not by this repository's, which may be around the folder.
    let style = "max_width=100,use_small_heuristics=Default";
    let mut format = Workspace::members_only().unwrap().cargo(["fmt", "--", "--check", "--config", style]);
    run(format.current_dir(&folder));
    cargo(&folder, &["build"]);
    place().join("debug").join(support::library_name(name))
}

#[test]
fn plugins_written_from_the_templates_run_in_a_study() {
    let api = published_api();
    let tuner = author("tuner", "mine", Some(&api));
    let dataset = author("dataset", "my-rows", Some(&api));
    let judge = author("judge", "my-score", None);

    let study = Study::new();
    let dora = "name = \"stranger\"\nbase = \"tiny\"\ntuner = \"dora\"\ndataset = \"few\"";
    let mine = "name = \"stranger\"\nbase = \"tiny\"\ntuner = \"mine\"\noptions = { r = 2 }\ndataset = \"sums\"\n\
                recipe = { learning_rate = 1e-1, epochs = 10 }";
    study.edit("study.toml", dora, mine);
    study.edit("study.toml", "plugin = \"math\"", "plugin = \"my-rows\"");
    study.edit("study.toml", "judge = \"reference\"", "judge = \"my-score\"");
    let mut arguments = vec!["study", "study.toml", "--out", "out", "--only", "stranger"];
    for library in [&tuner, &dataset, &judge] {
        arguments.extend(["--plugin", library.to_str().unwrap()]);
    }
    study.run(&arguments);

    let rows = |sql: &str| study.query(sql)["rows"].clone();
    let arm = rows("SELECT tuner, additional_params, examples, steps FROM arms WHERE arm = 'stranger'");
    // r (in + out) of q and v in two layers: 2 (16 + 16) and 2 (16 + 8), twice.
    let expected = serde_json::json!([{ "tuner": "mine", "additional_params": 224, "examples": 8, "steps": 20 }]);
    assert_eq!(arm, expected);
    let losses = rows("SELECT loss FROM steps WHERE arm = 'stranger' ORDER BY step");
    let losses: Vec<f64> = losses.as_array().unwrap().iter().map(|row| row["loss"].as_f64().unwrap()).collect();
    assert!(losses.len() == 20 && losses[19] < losses[0] - 0.02, "{losses:?}");
    let judged =
        rows("SELECT status, COUNT(*) AS n FROM judgements WHERE arm = 'stranger' GROUP BY status ORDER BY status");
    let scored = judged.as_array().unwrap().iter().find(|row| row["status"] == "scored");
    assert!(scored.is_some_and(|row| row["n"].as_u64() > Some(0)), "{judged}");
}

#[test]
fn a_name_or_a_place_that_will_not_do_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("taken")).unwrap();
    for (arguments, message) in [
        (&["tuner", "Mine"][..], "\"Mine\" is no name for a plugin: use lowercase letters, digits and -"),
        (&["tuner", "2nd"], "a letter first"),
        (&["judge", "../up"], "is no name for a plugin"),
        (&["dataset", ""], "is no name for a plugin"),
        (&["tuner", "tunebench-plugin-api"], "is the name of a crate that every plugin uses"),
        (&["tuner", "taken"], "taken is there already; choose another name, or another place by --out"),
        (&["tuner", "mine", "--api", "taken"], "--api taken: its Cargo.toml is not that of tunebench-plugin-api"),
        (&["tuner", "mine", "--api", "missing"], "--api missing: "),
    ] {
        let mut new = Command::new(support::executable());
        let output = new.args(["plugins", "new"]).args(arguments).current_dir(folder.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && said.contains(message), "{arguments:?}: {said}");
    }
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["taken"], "nothing is written");
}
