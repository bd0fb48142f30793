//! Templates and tokenizers by the executable: what `labels` says of them, and what is refused before anything is trained.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support;
use crate::tiny::{self, lines};

const OWN: &str = "{% for m in messages %}<|turn|>{{ m.role }}\n{{ m.content }}</s>{% endfor %}\
                   {% if add_generation_prompt %}<|turn|>assistant\n{% endif %}";

/// A folder with a study of one arm.
struct Bench {
    folder: TempDir,
}

impl Bench {
    /// `header` are lines of `[study]`, `recipe` of `[recipe]`.
    fn new(header: &str, recipe: &str, rows: &[(&str, &str)]) -> Self {
        let this = Self { folder: tempfile::tempdir().unwrap() };
        let recipe = if recipe.is_empty() { "max_length = 96" } else { recipe };
        let study = format!(
            "[study]\nname = \"t\"\n{header}\n[recipe]\nepochs = 1\nbatch_size = 2\n{recipe}\n{}\n[[dataset]]\nid = \"rows\"\n\
             plugin = \"belle\"\nsource = \"rows.jsonl\"\n[[arm]]\nname = \"a\"\nbase = \"tiny\"\ntuner = \"lora-attention\"\n\
             dataset = \"rows\"\nevaluate = false\n",
            tiny::model(1)
        );
        this.write("study.toml", &study);
        this.write("rows.jsonl", &lines(rows.iter().map(|(q, a)| json!({"instruction": q, "input": "", "output": a}))));
        this.tokenizer(|_| {});
        this
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    /// The byte-level one, with `<|turn|>` within the model's 300 embeddings and `<far>` outside of them.
    fn tokenizer(&self, change: impl Fn(&mut Value)) {
        let mut json = tiny::tokenizer();
        for (id, content) in [(257, "<|turn|>"), (258, "<s>")] {
            let token = json!({"id": id, "content": content, "special": true, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false});
            json["added_tokens"].as_array_mut().unwrap().push(token);
        }
        change(&mut json);
        self.write("tokenizer.json", &json.to_string());
        self.write("tokenizer_config.json", &json!({"eos_token": "</s>", "bos_token": "<s>"}).to_string());
    }

    /// What a command says, and its status.
    fn says(&self, arguments: &[&str]) -> (String, i32) {
        let mut command = std::process::Command::new(support::executable());
        command.args(arguments).current_dir(self.folder.path()).env("TUNEBENCH_HOME", self.folder.path().join("home"));
        let output = command.output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (said, output.status.code().unwrap())
    }
}

/// The first file of this name within a folder.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).ok()?.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let here = paths.iter().find(|path| path.ends_with(name)).cloned();
    here.or_else(|| paths.iter().find_map(|path| find(path, name)))
}

fn check((said, status): (String, i32), want: i32, parts: &[&str]) {
    assert_eq!(status, want, "{said}");
    for part in parts {
        assert!(said.contains(part), "no `{part}` in:\n{said}");
    }
}

#[test]
fn a_model_is_trained_and_asked_by_the_template_that_it_brings() {
    let bench = Bench::new("template = \"model\"", "", &[("q", "a"), ("<|turn|>", "b</s>")]);
    check(bench.says(&["labels", "study.toml"]), 1, &["the model brings no chat template", "belle, alpaca"]);
    bench.write("chat_template.jinja", OWN);
    check(
        bench.says(&["labels", "study.toml", "--show", "2"]),
        0,
        &[
            "a, by template model",
            "the end of an answer is learnt from 2 of 2 examples",
            "<|turn|>user\nq</s><|turn|>assistant\n[a][</s>]",
        ],
    );
    check(bench.says(&["study", "study.toml", "--out", "out"]), 0, &[]);
    let kept = find(&bench.folder.path().join("out"), "chat_template.jinja").unwrap();
    assert_eq!(fs::read_to_string(kept).unwrap(), OWN, "it goes with what was trained by it");
    // Another template than its own is told beforehand.
    let study = bench.folder.path().join("study.toml");
    let text = fs::read_to_string(&study).unwrap().replace("\"model\"", "\"belle\"");
    fs::write(&study, text).unwrap();
    let told =
        "`tiny` brings a chat template of its own, and template `belle` is another: it asks by \"Human: \\nHello";
    check(bench.says(&["labels", "study.toml"]), 0, &[told]);
    check(bench.says(&["study", "study.toml", "--out", "dry", "--dry-run"]), 0, &[told]);
}

#[test]
fn a_bos_that_the_model_expects_is_told_and_put() {
    let rows = &[("q", "a")];
    let expects = |json: &mut Value| {
        json["post_processor"] = json!({"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [258], "tokens": ["<s>"]}}});
    };
    let without = Bench::new("template = \"belle\"", "", rows);
    without.tokenizer(expects);
    let told = "begins a text with `<s>`, which template `belle` does not write; `add_bos_token = true` puts it";
    check(without.says(&["labels", "study.toml"]), 0, &[told, "\nHuman: \nq\n\nAssistant: \n[a][</s>]"]);
    let with = Bench::new("template = \"belle\"\nadd_bos_token = true", "", rows);
    with.tokenizer(expects);
    let (said, status) = with.says(&["labels", "study.toml"]);
    assert!(status == 0 && said.contains("\n<s>Human: \nq") && !said.contains(told), "{said}");
}

#[test]
fn what_cannot_be_learnt_or_read_is_refused_before_anything_is_trained() {
    let far = |json: &mut Value| {
        json["added_tokens"].as_array_mut().unwrap().push(json!({"id": 259, "content": "<near>", "special": false,
            "single_word": false, "lstrip": false, "rstrip": false, "normalized": false}));
        // More tokens than the model has embeddings for.
        for id in 260..=320 {
            json["added_tokens"]
                .as_array_mut()
                .unwrap()
                .push(json!({"id": id, "content": format!("<far{id}>"), "special": false,
                "single_word": false, "lstrip": false, "rstrip": false, "normalized": false}));
        }
    };
    let outside = Bench::new("template = \"plain\"", "", &[("q", "a"), ("q", "it is <far310>")]);
    outside.tokenizer(far);
    let named = "rows.jsonl:2 has the token 310 `<far310>`, and the model has embeddings for 300 tokens only";
    check(outside.says(&["labels", "study.toml"]), 1, &[named]);
    for command in [&["study", "study.toml", "--out", "out", "--dry-run"][..], &["study", "study.toml", "--out", "out"]]
    {
        check(outside.says(command), 1, &["dataset `rows`", named]);
    }
    assert!(!outside.folder.path().join("out/arms.parquet").exists());
    let unused = Bench::new("template = \"plain\"", "", &[("q", "a")]);
    unused.tokenizer(far);
    check(
        unused.says(&["labels", "study.toml"]),
        0,
        &["the model embeddings for 300 tokens; no text may use the others"],
    );

    let cut = Bench::new("template = \"plain\"", "max_length = 4", &[("q", "abcdefgh"), ("r", "abcdefgh")]);
    check(
        cut.says(&["labels", "study.toml"]),
        1,
        &["a: the end of an answer is learnt from no example: max_length 4 cuts it off all 2; raise it"],
    );
    check(
        cut.says(&["study", "study.toml", "--out", "out", "--dry-run"]),
        0,
        &["of all 2 examples the end is cut off"],
    );

    let unknown = Bench::new("template = \"plain\"", "", &[("q", "天"), ("q", "a")]);
    unknown.tokenizer(|json| json["model"]["byte_fallback"] = false.into());
    let (said, _) = unknown.says(&["labels", "study.toml"]);
    assert!(said.contains("lose characters") || said.contains("no tokens") || said.contains("skipped"), "{said}");

    let broken = Bench::new("template = \"plain\"", "", &[("q", "a")]);
    broken.tokenizer(|json| json["decoder"] = json!({"type": "Strip", "content": " ", "start": 0, "stop": 2}));
    for command in [&["labels", "study.toml"][..], &["study", "study.toml", "--out", "out", "--dry-run"]] {
        check(broken.says(command), 1, &["tokenizer.json", "Strip that takes letters from the end of tokens"]);
    }
}
