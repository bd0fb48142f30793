//! Studies whose model and rows are on the hub, by the executable, against a local server that speaks the hub's protocol.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::json;
use tempfile::TempDir;
use tunebench_hub::Address;
use tunebench_model::formats::safetensors::Float;
use tunebench_model::{Tokenizer, Weights};
use tunebench_results::Frames;
use tunebench_spec::{ArmRecord, Decoder, Study, decoder::Dims};

use crate::hub_server::Hub;
use crate::tiny::{lines, tokenizer};
use crate::{support, workbench};

const STUDY: &str = r#"
[study]
name = "from the hub"
template = "plain"
[recipe]
epochs = 1
max_steps = 2
batch_size = 4
max_length = 48
warmup_steps = 0
learning_rate = 1e-2
[[model]]
id = "tiny"
source = "MODEL"
[[dataset]]
id = "rows"
plugin = "belle"
source = "ROWS"
[[arm]]
name = "ft"
base = "tiny"
tuner = "ft"
dataset = "rows"
evaluate = false
"#;

/// A folder with the files of a tiny model and of rows.
fn files() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let shape = Decoder::llama(Dims {
        vocab_size: 300,
        hidden_size: 16,
        intermediate_size: 32,
        num_hidden_layers: 1,
        heads: 2,
        kv_heads: 1,
        head_dim: 8,
    });
    let file = home.path().join("tokenizer.json");
    fs::write(&file, tokenizer().to_string()).unwrap();
    fs::write(home.path().join("tokenizer_config.json"), json!({ "eos_token": "</s>" }).to_string()).unwrap();
    let tokenizer = Tokenizer::from_file(&file).unwrap();
    let weights = Weights::init(&shape, 1).unwrap();
    tunebench_model::save(&home.path().join("model"), &shape, &weights, Some(&tokenizer), Float::F32).unwrap();
    fs::write(home.path().join("rows.jsonl"), lines((0..40).map(workbench::row))).unwrap();
    home
}

/// The files of a folder as the server has them.
fn hub(home: &Path) -> Hub {
    let mut model: Vec<(String, Vec<u8>)> = fs::read_dir(home.join("model"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap()))
        .collect();
    model.sort();
    let model: Vec<(&str, &[u8], bool)> =
        model.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice(), name.ends_with(".safetensors"))).collect();
    let rows = fs::read(home.join("rows.jsonl")).unwrap();
    Hub::start(&[
        ("models/o/tiny", &model),
        ("datasets/o/rows", &[("rows.jsonl", &rows, true), ("README.md", b"#", false)]),
    ])
}

#[test]
fn a_study_is_planned_from_the_configuration_fetched_and_then_run_without_a_network() {
    let home = files();
    let server = hub(home.path());
    let study = |name: &str, model: &str, rows: &str| {
        fs::write(home.path().join(name), STUDY.replace("MODEL", model).replace("ROWS", rows)).unwrap();
    };
    study("hub.toml", "hf:o/tiny", "hf:o/rows");
    study("local.toml", "model", "rows.jsonl");
    let run = |arguments: &[&str], variables: &[(&str, &str)]| -> Output {
        let mut command = Command::new(support::executable());
        command.current_dir(home.path()).args(arguments).env_remove("HF_TOKEN");
        command.env("HF_HOME", home.path().join("hf")).env("HF_ENDPOINT", &server.endpoint);
        command.env("TUNEBENCH_CACHE", home.path().join("cache"));
        command.envs(variables.iter().copied()).output().unwrap()
    };
    let text = |output: &Output| {
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };

    let plan = run(&["plan", "hub.toml"], &[]);
    assert!(plan.status.success(), "{}", text(&plan));
    assert!(text(&plan).contains("`tunebench fetch` with this study downloads it"), "{}", text(&plan));
    assert!(server.seen().iter().all(|seen| !seen.contains("safetensors")), "{:?}", server.seen());

    let dry = run(&["study", "hub.toml", "--dry-run"], &[]);
    assert_eq!(dry.status.code(), Some(1), "{}", text(&dry));
    assert!(text(&dry).contains("not in the hub's cache"), "{}", text(&dry));

    let fetched = run(&["fetch", "hub.toml"], &[]);
    assert!(fetched.status.success(), "{}", text(&fetched));
    assert!(text(&fetched).contains("dataset `rows`: hf:o/rows"), "{}", text(&fetched));

    let asked = server.seen().len();
    for (file, variables) in [("hub.toml", &[("HF_HUB_OFFLINE", "1")][..]), ("local.toml", &[])] {
        let out = run(&["study", file, "--out", &format!("out-{file}")], variables);
        assert!(out.status.success(), "{file}: {}", text(&out));
    }
    assert_eq!(server.seen().len(), asked, "nothing was asked of the network");
    let identity = |file: &str| {
        let [arm]: [ArmRecord; 1] = Frames::open(&home.path().join(format!("out-{file}")))
            .unwrap()
            .read::<ArmRecord>()
            .unwrap()
            .try_into()
            .unwrap();
        arm.identity
    };
    assert_eq!(identity("hub.toml"), identity("local.toml"));
}

#[test]
fn the_study_of_the_paper_names_sets_that_are_described() {
    let read = |path: &str| fs::read_to_string(support::repository(path)).unwrap();
    let study = Study::from_toml(&read("data/studies/belle.toml")).unwrap();
    let described: toml::Table = toml::from_str(&read("data/belle.toml")).unwrap();
    let described: Vec<&str> =
        described["set"].as_array().unwrap().iter().map(|set| set["source"].as_str().unwrap()).collect();
    assert_eq!(described.len(), 6);
    let of_datasets = study.datasets.iter().flat_map(|dataset| dataset.source.paths());
    let sources: Vec<&String> = of_datasets.filter(|path| path.starts_with("hf:")).collect();
    assert!(sources.len() > 10);
    for source in sources {
        source.parse::<Address>().unwrap();
        assert!(described.contains(&source.as_str()), "{source}");
    }
    for model in &study.models {
        model.source.parse::<Address>().unwrap();
    }
    // But for where things are it is the study that plans from shapes.
    let paper = Study::from_toml(&read("data/studies/paper.toml")).unwrap();
    assert_eq!(study.arms, paper.arms);
}
