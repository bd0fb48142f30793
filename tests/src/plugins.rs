//! Plugin files as they are built: which load and which are refused, and what each tuner records of a model.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tunebench_host::{HostError, Options, Registry};
use tunebench_model::families;
use tunebench_spec::plan::RecordedPlan;
use tunebench_spec::{Decoder, Op};

use crate::support;

/// Package, kind and name of each plugin under plugins/.
const PLUGINS: [(&str, &str, &str); 9] = [
    ("dataset-belle", "dataset", "belle"),
    ("dataset-math", "dataset", "math"),
    ("judge-chatgpt", "judge", "chatgpt"),
    ("judge-checklist", "judge", "checklist"),
    ("judge-pairwise", "judge", "pairwise"),
    ("judge-reference", "judge", "reference"),
    ("tuner-ft", "tuner", "ft"),
    ("tuner-lora-all-linear", "tuner", "lora-all-linear"),
    ("tuner-lora-attention", "tuner", "lora-attention"),
];

/// The plugins under tests/third-party/, all tuners of the package's name.
const THIRD_PARTY: [&str; 5] = ["dora", "houlsby", "ia3", "lora-plus", "rslora"];

pub fn registry(files: impl IntoIterator<Item = PathBuf>) -> Registry {
    let mut registry = Registry::default();
    for file in files {
        registry.add(&file).unwrap();
    }
    registry
}

/// Every plugin, the third-party ones included.
fn all() -> Registry {
    registry(PLUGINS.iter().map(|p| support::plugin(p.0)).chain(THIRD_PARTY.map(support::third_party)))
}

fn names(registry: &Registry) -> Vec<(&str, &str)> {
    registry.plugins().map(|p| (p.manifest.kind.as_str(), p.manifest.name.as_str())).collect()
}

pub fn options(json: Value) -> Options {
    serde_json::from_value(json).unwrap()
}

pub fn record(tuner: &str, given: Value, shape: &Decoder) -> RecordedPlan {
    all().tuner(tuner, &options(given)).unwrap().record(shape).unwrap()
}

/// Two layers whose linear weights have five shapes: key/value heads are fewer and wider than hidden/heads.
pub fn tiny() -> Decoder {
    let config = fs::read_to_string(support::repository("tests/golden/tiny/config.json")).unwrap();
    families::from_config_json(families::ALL, &config).unwrap()
}

#[test]
fn each_file_is_its_own_plugin_in_either_order() {
    let want: Vec<_> = PLUGINS.iter().map(|p| (p.1, p.2)).collect();
    let forward: Vec<PathBuf> = PLUGINS.iter().map(|p| support::plugin(p.0)).collect();
    let backward = forward.iter().rev().cloned();
    assert_eq!(names(&registry(forward.clone())), want);
    assert_eq!(names(&registry(backward)), want);
    for (file, (_, kind, name)) in forward.iter().zip(PLUGINS) {
        assert_eq!(registry(forward.clone()).find(kind, name).unwrap().path, file.canonicalize().unwrap());
    }
}

#[test]
fn the_plugins_beside_the_executable_are_found() {
    let found = Registry::files_in(&support::profile_dir()).unwrap();
    let want: Vec<PathBuf> = PLUGINS.iter().map(|p| support::plugin(p.0)).collect();
    assert_eq!(found, want, "a file of a plugin that is gone may be deleted");
}

#[test]
fn the_executable_lists_them() {
    let output = Command::new(support::executable())
        .args(["plugins", "list", "--json"])
        .env("TUNEBENCH_HOME", "/nowhere")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let listed: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let listed: Vec<_> = listed.iter().map(|p| (p["kind"].as_str().unwrap(), p["name"].as_str().unwrap())).collect();
    assert_eq!(listed, PLUGINS.map(|p| (p.1, p.2)));
}

#[test]
fn the_same_file_twice_is_one_plugin_and_a_copy_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = support::plugin("tuner-ft");
    let detour = file.parent().unwrap().join("deps/..").join(file.file_name().unwrap());
    let mut registry = registry([file.clone(), file.clone(), detour]);
    assert_eq!(names(&registry), [("tuner", "ft")]);

    let copy = folder.path().join("copy.so");
    fs::copy(&file, &copy).unwrap();
    let error = registry.add(&copy).err().unwrap();
    assert!(matches!(error, HostError::Twice { .. }), "{error}");
    for part in [&file, &copy] {
        assert!(error.to_string().contains(part.to_str().unwrap()), "{error}");
    }
}

/// A study reads a source once, front to back; who goes back in it hears of a plugin that breaks over that, too.
#[test]
fn a_plugin_that_panics_where_it_goes_back_is_named_with_the_step() {
    let folder = tempfile::tempdir().unwrap();
    let rows = folder.path().join("rows.jsonl");
    fs::write(&rows, "{\"q\": \"a\"}\n{\"q\": \"b\"}\n").unwrap();
    let registry = registry([support::third_party("stress-dataset")]);
    let mut dataset = registry.dataset("stress", &[rows], &options(json!({ "misdeed": "panic-in-seek" }))).unwrap();
    let (position, _) = dataset.next().unwrap().unwrap();
    let error = dataset.seek(&position).unwrap_err();
    assert!(matches!(error, HostError::Panicked { .. }), "{error}");
    let message = error.to_string();
    assert!(message.contains("seeking to") && message.contains("asked to panic in seek"), "{message}");
}

/// What a release build records is what a dev build records.
#[test]
fn dev_and_release_builds_mix() {
    let recorded =
        |file: PathBuf| registry([file]).tuner("dora", &options(json!({}))).unwrap().record(&tiny()).unwrap();
    assert_eq!(recorded(support::third_party("dora")), recorded(support::third_party_as("release", "dora")));
}

#[test]
fn an_unknown_name_is_answered_with_the_known_ones() {
    let error = all().find("tuner", "lora").err().unwrap();
    assert!(matches!(error, HostError::Unknown { .. }), "{error}");
    let message = error.to_string();
    let known = "dora, ft, houlsby, ia3, lora-all-linear, lora-attention, lora-plus, rslora";
    assert!(message.contains(&format!("`lora`; there are: {known}")), "{message}");
    assert!(all().find("judge", "ft").is_err());
}

#[test]
fn files_that_are_no_plugins_are_refused_with_the_step() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let write = |name: &str, bytes: &[u8]| {
        fs::write(at(name), bytes).unwrap();
        at(name)
    };
    refused(&at("missing.so"), "find", "");
    refused(folder.path(), "find", "not a file");
    refused(&write("empty.so", b""), "format", "ELF");
    refused(&write("text.so", b"I am a plugin, honestly.\n"), "format", "ELF");
    refused(&write("header.so", b"\x7fELF\x02\x01"), "format", "");

    // Mapping a truncated library would kill the process, so each must be found out before.
    let whole = fs::read(support::plugin("tuner-ft")).unwrap();
    for length in [20, 63, 64, 500, 4096, mapped(&whole) / 2, mapped(&whole) - 1] {
        refused(&write("truncated.so", &whole[..length]), "format", "");
    }
    let mut other = whole.clone();
    other[18] = 0xf7; // the machine: BPF
    refused(&write("machine.so", &other), "format", "another processor");
}

#[test]
fn a_library_that_is_no_plugin_is_refused() {
    // Any shared library without the probe: a procedural macro, which cargo left beside this test, will do.
    let deps = support::profile_dir().join("deps");
    let is_macro = |p: &PathBuf| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("libserde_derive"));
    let files = fs::read_dir(deps).unwrap().map(|entry| entry.unwrap().path());
    let library = files.filter(is_macro).find(|p| p.extension().is_some_and(|e| e == "so")).unwrap();
    refused(&library, "format", "export_plugin!");
}

pub fn refused(path: &Path, want: &str, why: &str) {
    let error = Registry::default().add(path).map(|p| p.manifest.clone()).expect_err(&path.display().to_string());
    let HostError::Load { path: named, check: step, reason } = &error else { panic!("{error}") };
    assert_eq!((named.as_path(), step.as_str()), (path, want), "{error}");
    assert!(reason.contains(why), "{error}");
    let message = error.to_string();
    assert!(message.contains(path.to_str().unwrap()) && message.contains(want), "{message}");
}

/// How many bytes of an ELF library the loader maps: the end of its last LOAD segment.
fn mapped(elf: &[u8]) -> usize {
    let word = |at: usize, n: usize| elf[at..at + n].iter().rev().fold(0, |v, &b| v << 8 | usize::from(b));
    let (table, size, count) = (word(32, 8), word(54, 2), word(56, 2));
    let segments = (0..count).map(|i| table + i * size).filter(|&at| word(at, 4) == 1);
    segments.map(|at| word(at + 8, 8) + word(at + 32, 8)).max().unwrap()
}

#[test]
fn a_misspelt_option_is_refused_by_name() {
    let registry = all();
    let given = options(json!({ "lora_alhpa": 32 }));
    let folder = tempfile::tempdir().unwrap();
    let rows = folder.path().join("rows.jsonl");
    fs::write(&rows, "{}\n").unwrap();
    let plugins = names(&registry);
    assert_eq!(plugins.len(), PLUGINS.len() + THIRD_PARTY.len());
    for (kind, name) in plugins {
        let error = match kind {
            "tuner" => registry.tuner(name, &given).err(),
            "judge" => registry.judge(name, &given).err(),
            "dataset" => registry.dataset(name, std::slice::from_ref(&rows), &given).err(),
            _ => panic!("{kind}"),
        };
        let error = error.unwrap_or_else(|| panic!("{kind} {name} takes an option that it does not have"));
        assert!(matches!(error, HostError::Refused { .. }), "{error}");
        assert!(error.to_string().contains("lora_alhpa") && error.to_string().contains(name), "{error}");
    }
}

#[test]
fn options_out_of_range_are_refused() {
    let registry = all();
    for (tuner, given, want) in [
        ("lora-attention", json!({ "r": 0 }), "r = 0 must"),
        ("lora-attention", json!({ "targets": ["up_proj"] }), "up_proj"),
        ("lora-all-linear", json!({ "targets": "papre" }), "papre"),
        ("lora-all-linear", json!({ "lora_dropout": 1.0 }), "lora_dropout"),
        ("lora-all-linear", json!({ "r": "eight" }), "eight"),
        ("dora", json!({ "r": 0 }), "r must"),
        ("rslora", json!({ "r": 0 }), "r must"),
        ("rslora", json!({ "lora_dropout": 1.0 }), "lora_dropout = 1"),
        ("lora-plus", json!({ "r": 0 }), "r must"),
        ("lora-plus", json!({ "lora_dropout": -0.1 }), "lora_dropout = -0.1"),
        ("lora-plus", json!({ "loraplus_lr_ratio": 0.5 }), "loraplus_lr_ratio = 0.5 must"),
        ("ia3", json!({ "target_modules": [] }), "target_modules is empty"),
        ("ia3", json!({ "target_modules": ["k_proj"] }), "feedforward_modules names \"down_proj\""),
        ("houlsby", json!({ "bottleneck_size": 0 }), "bottleneck_size must"),
        ("houlsby", json!({ "activation": "tanh" }), "expected `gelu` or `relu`"),
    ] {
        let error = registry.tuner(tuner, &options(given)).err().unwrap().to_string();
        assert!(error.contains(want) && error.contains(tuner), "{error}");
    }
}

#[test]
fn a_target_that_the_model_lacks_is_refused() {
    let given = options(json!({ "target_modules": ["key"], "feedforward_modules": [] }));
    let error = all().tuner("ia3", &given).unwrap().record(&tiny()).err().unwrap().to_string();
    assert!(error.contains("ia3") && error.contains("target_modules names \"key\""), "{error}");
}

#[test]
fn parameter_counts_are_the_papers() {
    let paper = || json!({ "r": 8, "targets": "paper" });
    for (model, tuner, given, trainable, additional) in [
        ("llama-7b", "lora-all-linear", paper(), 17_891_328, 17_891_328),
        ("llama-13b", "lora-all-linear", paper(), 28_016_640, 28_016_640),
        ("llama-7b", "lora-all-linear", json!({ "r": 8 }), 19_988_480, 19_988_480),
        ("llama-13b", "lora-all-linear", json!({ "r": 8 }), 31_293_440, 31_293_440),
        ("llama-7b", "lora-attention", json!({ "r": 8 }), 8_388_608, 8_388_608),
        ("llama-7b", "ft", json!({}), 6_738_415_616, 0),
        ("llama-7b", "ia3", json!({}), 614_400, 614_400),
    ] {
        let shape = Decoder::preset(model).unwrap();
        let plan = record(tuner, given, &shape).plan;
        assert_eq!(
            (plan.trainable_params(&shape), plan.additional_params()),
            (trainable, additional),
            "{model} {tuner}"
        );
    }
}

/// What LoRA adapts of a layer in each family, as PEFT would with the same words: a family's names are its own, what weights are
/// for is not.
#[test]
fn lora_adapts_the_same_parts_in_every_family() {
    let llama = ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"];
    let attention = ["k_proj", "o_proj", "q_proj", "v_proj"];
    let fused = ["dense", "dense_4h_to_h", "dense_h_to_4h", "query_key_value"];
    type Names<'a> = &'a [&'a str];
    let families: [(&str, Names, Names, Names); 10] = [
        ("tiny", &llama, &attention, &["q_proj", "v_proj"]),
        ("qwen2", &llama, &attention, &["q_proj", "v_proj"]),
        ("qwen3", &llama, &attention, &["q_proj", "v_proj"]),
        ("mistral", &llama, &attention, &["q_proj", "v_proj"]),
        ("gemma2", &llama, &attention, &["q_proj", "v_proj"]),
        ("gemma3", &llama, &attention, &["q_proj", "v_proj"]),
        ("phi3", &["down_proj", "gate_up_proj", "o_proj", "qkv_proj"], &["o_proj", "qkv_proj"], &["qkv_proj"]),
        (
            "opt",
            &["fc1", "fc2", "k_proj", "out_proj", "q_proj", "v_proj"],
            &["k_proj", "out_proj", "q_proj", "v_proj"],
            &["q_proj", "v_proj"],
        ),
        ("bloom", &fused, &["dense", "query_key_value"], &["query_key_value"]),
        ("gpt_neox", &fused, &["dense", "query_key_value"], &["query_key_value"]),
    ];
    for (folder, all, attention, peft) in families {
        let (shape, _) = tunebench_testkit::golden::model(folder);
        let named = json!({ "targets": all });
        let fused_in = |name: &&&str| **name != "o_proj" && **name != "out_proj" && **name != "dense";
        let paper: Vec<&str> = all.iter().filter(fused_in).copied().collect();
        for (tuner, given, expected) in [
            ("lora-all-linear", json!({}), all),
            ("lora-all-linear", named, all),
            ("lora-all-linear", json!({ "targets": "paper" }), &paper[..]),
            ("lora-all-linear", json!({ "targets": "attention" }), attention),
            ("lora-all-linear", json!({ "targets": "peft" }), peft),
            ("lora-attention", json!({}), attention),
            ("lora-attention", json!({ "targets": "peft" }), peft),
            ("lora-attention", json!({ "targets": peft }), peft),
        ] {
            let what = format!("{folder}, {tuner} {given}");
            let recorded = record(tuner, given, &shape);
            let target = |name: &str| name.trim_end_matches(".weight").rsplit('.').next().unwrap().to_owned();
            let found: std::collections::BTreeSet<String> =
                recorded.plan.adapted().map(|(name, _)| target(name)).collect();
            assert_eq!(found.into_iter().collect::<Vec<_>>(), expected, "{what}");
            assert_eq!(recorded.sites.len(), expected.len() * shape.num_hidden_layers, "{what}: no head");
        }
    }
    let opt = tunebench_testkit::golden::model("opt").0;
    for (tuner, given, want) in [
        ("lora-all-linear", json!({ "targets": ["o_proj"] }), "there are: fc1, fc2, k_proj, out_proj, q_proj, v_proj"),
        ("lora-attention", json!({ "rank_pattern": { "fc1": 2 } }), "a pattern names \"fc1\""),
    ] {
        let error = all().tuner(tuner, &options(given)).unwrap().record(&opt).err().unwrap().to_string();
        assert!(error.contains(want), "{error}");
    }
}

/// Sites and distinct graphs of each tuner: graphs are kept once per shape, whatever the number of layers.
#[test]
fn graphs_are_kept_once() {
    let (tiny, large) = (tiny(), Decoder::preset("llama-7b").unwrap());
    for (tuner, in_tiny, in_large) in [
        ("ft", (0, 0), (0, 0)),
        ("lora-attention", (8, 3), (128, 1)),
        ("lora-all-linear", (14, 5), (224, 3)),
        ("dora", (14, 5), (224, 3)),
        ("rslora", (14, 5), (224, 3)),
        ("lora-plus", (14, 5), (224, 3)),
        ("ia3", (6, 2), (96, 2)),
        ("houlsby", (4, 2), (64, 2)),
    ] {
        for (shape, want) in [(&tiny, in_tiny), (&large, in_large)] {
            let recorded = record(tuner, json!({}), shape);
            assert_eq!((recorded.sites.len(), recorded.graphs.len()), want, "{tuner}");
            let adapted: Vec<&str> = recorded.plan.adapted().map(|(name, _)| name).collect();
            assert!(adapted.iter().all(|name| recorded.graphs_of(name).is_some()), "{tuner}");
        }
    }
}

#[test]
fn another_rank_is_another_graph() {
    let recorded = record("lora-attention", json!({ "rank_pattern": { "k_proj": 4 } }), &tiny());
    assert_eq!(recorded.graphs.len(), 4); // q, k, v, o
}

/// The operations that LoRA's `h = W0 x + s B A dropout(x)` consists of.
#[test]
fn lora_records_its_formula() {
    let given = json!({ "r": 4, "lora_alpha": 8, "lora_dropout": 0.1 });
    let recorded = record("lora-attention", given, &tiny());
    for graphs in &recorded.graphs {
        let mut count = BTreeMap::new();
        for node in &graphs.forward.nodes {
            let Value::Object(op) = serde_json::to_value(&node.op).unwrap() else { panic!("{node:?}") };
            *count.entry(op["op"].as_str().unwrap().to_owned()).or_insert(0) += 1;
        }
        let count: Vec<(&str, i32)> = count.iter().map(|(op, n)| (op.as_str(), *n)).collect();
        let want = [("add", 1), ("base", 1), ("dropout", 1), ("input", 1), ("matmul", 2)];
        assert_eq!(count, [&want[..], &[("param", 2), ("scale", 1), ("transpose", 2)]].concat());
        let has = |op: &Op| graphs.forward.nodes.iter().any(|n| n.op == *op);
        assert!(has(&Op::Scale { by: 2.0 }) && has(&Op::Dropout { p: 0.1 }));
        assert!(graphs.merge.is_some() && graphs.inits.is_empty());
    }
}

#[test]
fn a_third_party_tuner_computes_its_initial_values() {
    let (r, shape) = (4, tiny());
    let recorded = record("dora", json!({ "r": r }), &shape);
    let size = |w: &tunebench_spec::decoder::Weight| (r * (w.shape[0] + w.shape[1]) + w.shape[0]) as u64;
    let adapted = shape.weights().into_iter().filter(|w| recorded.sites.contains_key(&w.name));
    assert_eq!(recorded.plan.additional_params(), adapted.map(|w| size(&w)).sum::<u64>());
    for graphs in &recorded.graphs {
        assert_eq!(graphs.inits.keys().collect::<Vec<_>>(), ["lora_magnitude_vector"]);
        assert!(graphs.merge.is_some());
    }
}
