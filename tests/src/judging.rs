//! Studies judged by a chat model, through the real executable and a real server on a local port: what is checked before
//! anything is trained, what is kept, what is asked again, other judges, people's marks, and a judge of our own engine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;
use tunebench_scripted_server::{BatchProvider, BatchScript, Fate, Response, Seen, Server};
use tunebench_spec::study::Dialect;

use crate::support;
use crate::tiny::{self, lines, tokenizer};

const KEY: &str = "sk-test-0123456789-abcdefghij-KLMNOP/+xyz";

/// Two arms and their base, four items.
const STUDY: &str = r#"
[study]
name = "judged"
seed = 3
[recipe]
epochs = 2
batch_size = 4
max_length = 64
learning_rate = 3e-2
warmup_steps = 0
MODEL
[[dataset]]
id = "few"
plugin = "belle"
source = "train.jsonl"
[[dataset]]
id = "questions"
plugin = "belle"
source = "questions.json"
[[arm]]
name = "full"
base = "tiny"
tuner = "ft"
dataset = "few"
[[arm]]
name = "attention"
base = "tiny"
tuner = "lora-attention"
dataset = "few"
[eval]
items = "questions"
judge = "chatgpt"
judge_options = { model = "test-model" }
bases = ["tiny"]
generation = { max_new_tokens = 4, batch_size = 4 }
[eval.chat]
base_url = "URL"
key_variable = "TUNEBENCH_TEST_KEY"
retries = 1
PANEL
"#;

const ITEMS: usize = 4;
const MODELS: usize = 3;

struct Place {
    folder: TempDir,
}

impl Place {
    fn new(url: &str, panel: &str) -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        let rows = (0..16).map(|i| json!({"instruction": format!("第{i}题"), "input": "", "output": format!("答{i}")}));
        place.write("train.jsonl", &lines(rows));
        let question = |q: &str, class: &str| json!({"question": q, "std_answer": "3", "class": class});
        let questions = [("2+1?", "math"), ("1+2?", "math"), ("苹果是什么？", "open qa"), ("三是什么？", "open qa")];
        place.write("questions.json", &lines(questions.map(|(q, class)| question(q, class))));
        place.write("tokenizer.json", &tokenizer().to_string());
        place.write("tokenizer_config.json", r#"{"eos_token": "</s>"}"#);
        let study = STUDY.replace("MODEL", &tiny::model(2)).replace("URL", url).replace("PANEL", panel);
        place.write("study.toml", &study);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(support::executable());
        command.args(arguments).current_dir(self.folder.path());
        command.env("TUNEBENCH_HOME", self.path("home")).env("TUNEBENCH_TEST_KEY", KEY);
        command
    }

    fn run(&self, arguments: &[&str]) -> String {
        said(&self.command(arguments).output().unwrap(), 0)
    }

    fn fails(&self, arguments: &[&str]) -> String {
        said(&self.command(arguments).output().unwrap(), 1)
    }

    fn query(&self, sql: &str) -> Vec<Value> {
        let found: Value = serde_json::from_str(&self.run(&["query", "out", sql, "--json"])).unwrap();
        found["rows"].as_array().unwrap().clone()
    }

    fn count(&self, of: &str) -> u64 {
        self.query(&format!("SELECT COUNT(*) AS n FROM {of}"))[0]["n"].as_u64().unwrap()
    }
}

fn said(output: &Output, status: i32) -> String {
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(status), "{text}");
    text
}

/// A score of the judged answer that depends on nothing but the request.
fn marked(seen: &Seen) -> Response {
    let marks = ["0.2", "0.4", "0.6", "0.8"];
    let sum: usize = seen.bytes.iter().map(|byte| usize::from(*byte)).sum();
    Response::reply(&format!(r#"{{"score": {}, "reason": "so"}}"#, marks[sum % marks.len()]))
}

/// The requests for completions.
fn asked(server: &Server) -> usize {
    server.seen().iter().filter(|seen| seen.path.ends_with("/chat/completions")).count()
}

/// Every file under a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn a_study_is_judged_and_says_by_whom_and_of_what() {
    // The key comes back in every reply, and is kept in none.
    let server = Server::start(|_, seen| {
        let mut response = marked(seen);
        response.headers.push(("x-request-id".to_owned(), format!("id-{KEY}")));
        let body = String::from_utf8(response.body).unwrap();
        response.body = body.replace("\\\"so\\\"", &format!("\\\"your key is {KEY}\\\"")).into_bytes();
        response
    });
    let place = Place::new(&server.base_url, "");
    let output = place.run(&["study", "study.toml", "--out", "out"]);
    assert!(output.contains("chatgpt: 4 answers judged: 4 scored"), "{output}");
    let rows = place
        .query("SELECT judge_hash, answer_hash, item_hash, request_hash, asked_model, model, status FROM judgements");
    assert_eq!(rows.len(), ITEMS * MODELS);
    for row in rows {
        for name in ["judge_hash", "answer_hash", "item_hash", "request_hash"] {
            assert_eq!(row[name].as_str().map(str::len), Some(64), "{name}: {row}");
        }
        assert_eq!((&row["asked_model"], &row["model"]), (&json!("test-model"), &json!("test-model-0301")));
    }
    for path in files(&place.path("out")) {
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        assert!(!text.contains(KEY) && !text.contains("0123456789-abcdefghij"), "{}", path.display());
    }
    // One probe, and each request once; a second run asks nothing, not even without the key.
    let before = asked(&server);
    assert!(before > ITEMS, "{before}");
    place.run(&["study", "study.toml", "--out", "out"]);
    let mut keyless = place.command(&["study", "study.toml", "--out", "out"]);
    said(&keyless.env_remove("TUNEBENCH_TEST_KEY").output().unwrap(), 0);
    assert_eq!(asked(&server), before);
}

#[test]
fn nothing_is_trained_before_a_judge_that_cannot_work() {
    let refusing = Server::start(|_, _| {
        Response::new(401, r#"{"error":{"message":"Incorrect API key","code":"invalid_api_key"}}"#)
    });
    let place = Place::new(&refusing.base_url, "");
    let error = place.fails(&["study", "study.toml", "--out", "out"]);
    assert!(error.contains("Incorrect API key") && !error.contains("trained"), "{error}");
    assert!(!files(&place.path("out")).iter().any(|path| path.ends_with("steps.jsonl")), "{error}");
    let error = place.fails(&["plan", "study.toml", "--probe"]);
    assert!(error.contains("Incorrect API key"), "{error}");
    assert!(refusing.count() <= 6, "a key that is refused is not tried for ever: {}", refusing.count());

    let nowhere = Place::new("http://127.0.0.1:9/v1", "");
    let error = nowhere.fails(&["study", "study.toml", "--out", "out"]);
    assert!(error.contains("127.0.0.1:9"), "{error}");
    assert!(!nowhere.path("out/arms.parquet").exists());

    // Each setting of [eval.chat] that cannot work is named before anything is trained, and by `plan`.
    for (line, named) in [
        ("base_url = \"api.openai.com/v1\"", "base_url"),
        ("concurrency = 0", "concurrency"),
        ("timeout_seconds = 0", "timeout_seconds"),
        ("usd_per_million_prompt_tokens = 1.0", "usd_per_million_completion_tokens"),
        ("max_failed_share = 2.0", "max_failed_share"),
        ("headers = { authorization = \"Bearer sk-literal-0123456789\" }", "environment"),
        ("headers = { \"x-extra\" = \"${TUNEBENCH_NOT_SET}\" }", "TUNEBENCH_NOT_SET"),
    ] {
        let place = Place::new(&refusing.base_url, "");
        let study = fs::read_to_string(place.path("study.toml")).unwrap();
        let study = match line.starts_with("base_url") {
            true => study.replace(&format!("base_url = \"{}\"", refusing.base_url), line),
            false => study.replace("[eval.chat]\n", &format!("[eval.chat]\n{line}\n")),
        };
        place.write("study.toml", &study);
        let error = place.fails(&["study", "study.toml", "--out", "out"]);
        assert!(error.contains(named) && !error.contains("trained"), "{line}: {error}");
        assert!(!error.contains("sk-literal"), "{error}");
        assert!(!place.path("out/study.toml").exists(), "{line}: nothing of it is kept");
        // What concerns the server alone is a warning there: it may be another one, or there, when the study is run.
        let plan = place.command(&["plan", "study.toml"]).output().unwrap();
        let plan = String::from_utf8_lossy(&plan.stdout).into_owned() + &String::from_utf8_lossy(&plan.stderr);
        assert!(plan.contains(named), "{line}: {plan}");
    }
}

#[test]
fn a_run_in_which_every_request_failed_is_a_failure() {
    // The probe works; what is asked then does not.
    let server = Server::start(|before, seen| match before {
        0 => marked(seen),
        _ => Response::new(400, r#"{"error":{"message":"content policy","code":"bad_request"}}"#),
    });
    let place = Place::new(&server.base_url, "");
    let error = place.fails(&["study", "study.toml", "--out", "out"]);
    assert!(error.contains("content policy"), "{error}");
    assert_eq!(place.count("judgements WHERE status = 'failed'"), (ITEMS * MODELS) as u64);
    // Nothing is lost: with a server that works, the same folder is judged without training anew.
    let works = Server::start(|_, seen| marked(seen));
    let study = fs::read_to_string(place.path("study.toml")).unwrap().replace(&server.base_url, &works.base_url);
    place.write("study.toml", &study);
    let output = place.run(&["study", "study.toml", "--out", "out"]);
    assert!(output.contains("already trained"), "{output}");
    assert_eq!(place.count("judgements WHERE status = 'scored'"), (ITEMS * MODELS) as u64);
}

#[test]
fn a_run_is_judged_again_and_by_others() {
    let server = Server::start(|_, seen| {
        let prompt = seen.body.to_string();
        match prompt.contains("empty-model") && prompt.contains("苹果") {
            true => Response::reply(""),
            false => marked(seen),
        }
    });
    let place = Place::new(&server.base_url, "");
    place.run(&["study", "study.toml", "--out", "out"]);
    let first = place.query("SELECT arm, seed, item, score FROM judgements ORDER BY arm, item");

    // What it would cost is said before anybody is asked.
    let before = asked(&server);
    let by_other = ["judge", "out", "--judge", "chatgpt", "--name", "other", "--model", "gpt-6-luna"];
    let output = place.run(&[&by_other[..], &["--dry-run"]].concat());
    assert!(output.contains("12 requests") && asked(&server) == before, "{output}");

    // Another judge is added; the first one's rows stay, also when the study runs again.
    place.run(&by_other);
    assert_eq!(place.count("judgements WHERE judge = 'other'"), (ITEMS * MODELS) as u64);
    place.run(&["study", "study.toml", "--out", "out"]);
    assert_eq!(place.count("judgements WHERE judge = 'other'"), (ITEMS * MODELS) as u64);
    let again = place.query("SELECT arm, seed, item, score FROM judgements WHERE judge = 'chatgpt' ORDER BY arm, item");
    assert_eq!(first, again);

    // A judge's name is its own; what was allowed is allowed over all models.
    let error = place.fails(&["judge", "out", "--judge", "chatgpt", "--model", "another"]);
    assert!(error.contains("--name"), "{error}");
    let error = place.fails(&["judge", "out", "--judge", "chatgpt", "--name", "none", "--share", "0"]);
    assert!(error.contains("share"), "{error}");
    let priced = ["usd_per_million_prompt_tokens=1000", "usd_per_million_completion_tokens=1000"];
    let mut dear = vec!["judge", "out", "--judge", "chatgpt", "--name", "dear", "--model", "dear", "--max-cost", "2.0"];
    dear.extend(["--option", "max_tokens=16", "--chat", priced[0], "--chat", priced[1]]);
    place.fails(&dear);
    let rows = place
        .query("SELECT COUNT(*) AS n, SUM(cost_usd) AS usd FROM judgements WHERE judge = 'dear' AND status = 'scored'");
    let (n, usd) = (rows[0]["n"].as_u64().unwrap(), rows[0]["usd"].as_f64().unwrap());
    assert!(n > 0 && n < (ITEMS * MODELS) as u64 && usd <= 2.0, "{rows:?}");

    // Empty replies were paid for, score nothing, and are asked about again only when that is wished.
    let by_empty = ["judge", "out", "--judge", "chatgpt", "--name", "empty", "--model", "empty-model"];
    let output = place.command(&by_empty).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(place.count("judgements WHERE judge = 'empty' AND status = 'scored'"), 9, "{text}");
    let before = asked(&server);
    place.command(&by_empty).output().unwrap();
    assert!(asked(&server) <= before + 1, "the probe alone");
    place.command(&[&by_empty[..], &["--again", "unscored"]].concat()).output().unwrap();
    assert!(asked(&server) >= before + MODELS, "{} after {before}", asked(&server));

    // Without a network.
    let before = asked(&server);
    let mut replay =
        place.command(&["judge", "out", "--judge", "chatgpt", "--name", "other", "--model", "gpt-6-luna", "--replay"]);
    said(&replay.env_remove("TUNEBENCH_TEST_KEY").output().unwrap(), 0);
    assert_eq!(asked(&server), before);
}

#[test]
fn a_panel_compares_both_orders_and_pays_for_each_pair_once() {
    let server = Server::start(|_, seen| match seen.body.to_string().contains("verdict") {
        // Whoever is shown first wins: a judge of places alone.
        true => Response::reply(r#"{"verdict": "A", "reason": "first"}"#),
        false => marked(seen),
    });
    let panel = "[[eval.panel]]\njudge = \"pairwise\"\nname = \"pairs\"\njudge_options = { model = \"pair-model\" }\n";
    let place = Place::new(&server.base_url, panel);
    place.run(&["study", "study.toml", "--out", "out"]);
    let rows = (MODELS * (MODELS - 1) * ITEMS * 2) as u64;
    assert_eq!(place.count("judgements WHERE judge = 'pairs'"), rows);
    // Of equal answers nobody is asked which is better.
    let by_place = "SELECT swapped, MAX(score) AS most, MIN(score) AS least FROM judgements WHERE judge = 'pairs' AND score <> 0.5 \
                    GROUP BY swapped ORDER BY swapped";
    let by_place = place.query(by_place);
    let expected = |swapped: &str, score: f64| json!({"swapped": swapped, "most": score, "least": score});
    assert_eq!(by_place, [expected("false", 1.0), expected("true", 0.0)], "{by_place:?}");
    // Each request serves both arms of its pair; the probe is one more.
    let pairs = server.seen().iter().filter(|seen| seen.body["model"] == "pair-model").count() as u64;
    assert!(pairs <= rows / 2 + 1, "{pairs} requests for {rows} rows");
    let table = place.run(&["analyze", "pairs", "out"]);
    assert!(table.contains("flip"), "{table}");
}

#[test]
fn all_answers_of_a_study_are_one_batch() {
    let fate = |_: &str, _: &Value, _: u32| Fate::Reply(r#"{"score": 0.5, "reason": "so"}"#.to_owned());
    let script = BatchScript { fate: Box::new(fate), polls: 0, ..BatchScript::default() };
    let provider = BatchProvider::start(Dialect::OpenAi, script);
    let place = Place::new(&provider.server.base_url, "");
    let study = fs::read_to_string(place.path("study.toml")).unwrap();
    place.write("study.toml", &study.replace("retries = 1", "retries = 1\nbatch = true"));
    place.run(&["study", "study.toml", "--out", "out"]);
    assert_eq!(place.count("judgements WHERE status = 'scored' AND batch = 'true'"), (ITEMS * MODELS) as u64);
    place.run(&["study", "study.toml", "--out", "out"]);
    let billed = provider.billed();
    assert!(!billed.is_empty() && billed.values().all(|n| *n == 1), "{billed:?}");
    assert_eq!(provider.ledger(|ledger| ledger.batches.len()), 1);
}

#[test]
fn people_mark_answers_and_the_judge_is_measured_by_them() {
    let server = Server::start(|_, seen| marked(seen));
    let place = Place::new(&server.base_url, "");
    place.run(&["study", "study.toml", "--out", "out"]);
    // On the terminal: a mark, one that is none and is asked for again, one passed over, and the end.
    let mut command = place.command(&["judge", "calibrate", "out", "--count", "4", "--labeler", "me"]);
    let mut child = command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), b"0.5\n7\n1\n\n").unwrap();
    drop(child.stdin.take());
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("Question: ") && !text.contains("attention"), "whose answer it is is not shown: {text}");
    let labels = fs::read_to_string(place.path("out/labels.jsonl")).unwrap();
    assert_eq!(labels.lines().count(), 2, "{labels}");

    let rows = place.query("SELECT arm, seed, item, score FROM judgements");
    place.write(
        "marks.jsonl",
        &lines(
            rows.iter()
                .map(|row| json!({"arm": row["arm"], "seed": row["seed"], "item": row["item"], "score": row["score"]})),
        ),
    );
    place.run(&["judge", "calibrate", "out", "--from", "marks.jsonl"]);
    let labels = fs::read_to_string(place.path("out/labels.jsonl")).unwrap();
    assert_eq!(labels.lines().count(), ITEMS * MODELS + 2, "one person's marks and another's: {labels}");

    for (line, named) in [
        (json!({"arm": "nobody", "item": "questions.json:1", "score": 0.5}), "nobody"),
        (json!({"arm": "full", "seed": 3, "item": "questions.json:1", "score": 3}), "not from 0 to 1"),
        (json!({"arm": "full"}), "marks.jsonl:1"),
    ] {
        place.write("marks.jsonl", &lines([line]));
        let error = place.fails(&["judge", "calibrate", "out", "--from", "marks.jsonl"]);
        assert!(error.contains(named), "{error}");
    }
}

#[test]
fn a_judge_is_shown_changed_answers() {
    // Rewards whatever claims a mark.
    let server = Server::start(|_, seen| {
        let score =
            if seen.body.to_string().contains("专家评审") || seen.body.to_string().contains("Reviewed by experts") {
                "1.0"
            } else {
                "0.25"
            };
        Response::reply(&format!(r#"{{"score": {score}, "reason": "so"}}"#))
    });
    let place = Place::new(&server.base_url, "");
    place.run(&["study", "study.toml", "--out", "out"]);
    let table = place.run(&["judge", "probe", "out", "--answers", "6"]);
    assert!(table.contains("claimed"), "{table}");
    let rows = place
        .query("SELECT probe, AVG(score) AS mean, AVG(original) AS original FROM probes GROUP BY probe ORDER BY probe");
    let claimed = rows.iter().find(|row| row["probe"] == "claimed").unwrap();
    assert_eq!((&claimed["mean"], &claimed["original"]), (&json!(1.0), &json!(0.25)), "{rows:?}");
}
