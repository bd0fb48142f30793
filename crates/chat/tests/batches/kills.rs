//! A process killed at each of its durable writes, and run again: every request is billed once, every reply kept once.

use std::path::Path;
use std::process::{Command, Output};

use tunebench_chat::BatchServer;
use tunebench_files::{JsonLines, read_lines};
use tunebench_scripted_server::{BatchProvider, BatchScript, Fate};
use tunebench_spec::study::{ChatSettings, Dialect};

use crate::support::{DIALECTS, assert_billed_once, client, name, requests};

/// Tell this test binary, run again as a child, whom to ask and where to keep what comes.
const FOLDER: &str = "TUNEBENCH_BATCH_TEST_FOLDER";
const URL: &str = "TUNEBENCH_BATCH_TEST_URL";
const DIALECT: &str = "TUNEBENCH_BATCH_TEST_DIALECT";
const KILL: &str = "TUNEBENCH_KILL_AT_WRITE";

const REQUESTS: usize = 5;

/// No test by itself, but what the other runs as a child: it asks for what it has not kept, as a judge does.
#[test]
fn the_child_asks() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = Path::new(&folder);
    let dialect = match std::env::var(DIALECT).unwrap().as_str() {
        "anthropic" => Dialect::Anthropic,
        _ => Dialect::OpenAi,
    };
    let settings = ChatSettings {
        base_url: std::env::var(URL).unwrap(),
        dialect: Some(dialect),
        key_variable: Some("TUNEBENCH_TEST_VARIABLE_NOBODY_SETS".into()),
        ..ChatSettings::default()
    };
    let (mut kept, names) = JsonLines::<String>::open(&folder.join("kept.jsonl")).unwrap();
    let asked: Vec<_> = requests(0..REQUESTS).into_iter().filter(|named| !names.contains(&named.name)).collect();
    client(&settings, 3)
        .answer(&asked, &folder.join("journal"), &mut |name, result| {
            result.unwrap();
            kept.append(&name.to_owned()).unwrap();
            true
        })
        .unwrap();
}

fn child(folder: &Path, provider: &BatchProvider, dialect: Dialect, kill: Option<&str>) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "kills::the_child_asks", "--nocapture"]);
    let dialect = if dialect == Dialect::Anthropic { "anthropic" } else { "openai" };
    command.env(FOLDER, folder).env(URL, &provider.server.base_url).env(DIALECT, dialect);
    if let Some(kill) = kill {
        command.env(KILL, kill);
    }
    command.output().unwrap()
}

#[test]
fn a_kill_at_any_write_loses_nothing_and_pays_for_nothing_twice() {
    for dialect in DIALECTS {
        let mut writes = 0;
        for number in 1.. {
            let mut is_over = false;
            for moment in ["before", "torn", "after"] {
                // One request is in two batches.
                let fate = |asked: &str, _: &serde_json::Value, times: u32| match times {
                    0 if asked == name(1) => Fate::Expired,
                    _ => Fate::Reply("a reply".into()),
                };
                let provider =
                    BatchProvider::start(dialect, BatchScript { fate: Box::new(fate), ..BatchScript::default() });
                let folder = tempfile::tempdir().unwrap();
                let kill = format!("{number}:{moment}");
                let killed = child(folder.path(), &provider, dialect, Some(&kill));
                is_over = killed.status.success();
                assert!(is_over || killed.status.code().is_none() || cfg!(not(unix)), "{kill}: {killed:?}");
                let again = child(folder.path(), &provider, dialect, None);
                assert!(again.status.success(), "{dialect:?} {kill}: {again:?}");
                let mut kept: Vec<String> = read_lines(&folder.path().join("kept.jsonl")).unwrap();
                kept.sort_unstable();
                let mut all: Vec<String> = (0..REQUESTS).map(name).collect();
                all.sort_unstable();
                assert_eq!(kept, all, "{dialect:?} {kill}");
                assert_billed_once(&provider, 0..REQUESTS);
            }
            if is_over {
                break;
            }
            writes = number;
        }
        assert!(writes >= 15, "{dialect:?}: only {writes} writes");
    }
}
