//! A process that judges, so that it can be killed, has a key in its environment, and has a memory of its own.

use std::path::Path;
use std::process::Command;

use tunebench_chat::{Chat, Clock};
use tunebench_judge::{Draw, Outcome, Progress, Server, Settings, judge, tasks};
use tunebench_scripted_server::Server as Scripted;
use tunebench_spec::study::ChatSettings;

use super::secrets::KEY;
use super::support::{AskOnce, answers, go_on, subjects};

/// What tells the child what to do; the key is among it.
const FOLDER: &str = "TUNEBENCH_JUDGE_TEST_FOLDER";
const URL: &str = "TUNEBENCH_JUDGE_TEST_URL";
const KEY_VARIABLE: &str = "TUNEBENCH_JUDGE_TEST_KEY";
const WORK: &str = "TUNEBENCH_JUDGE_TEST_WORK";
const KILL: &str = "TUNEBENCH_KILL_AT_WRITE";

/// How much is to be judged, and how.
pub struct Work {
    pub judgements: usize,
    /// Seconds of waits and limits that pass in a second.
    pub speed: f64,
    pub concurrency: u32,
}

impl Work {
    /// Has a command do it in this folder, by a server, until it is killed, if at all.
    pub fn tell<'a>(
        &self,
        command: &'a mut Command,
        server: &Scripted,
        folder: &Path,
        kill: Option<&str>,
    ) -> &'a mut Command {
        let Self { judgements, speed, concurrency } = self;
        command.env(FOLDER, folder).env(URL, &server.base_url).env(KEY_VARIABLE, KEY);
        command.env(WORK, format!("{judgements} {speed} {concurrency}"));
        if let Some(kill) = kill {
            command.env(KILL, kill);
        }
        command
    }

    /// Judges, if this process was told to, and leaves `judgements.json` beside `replies.jsonl`.
    pub fn do_what_was_told() -> Option<Progress> {
        let folder = std::env::var_os(FOLDER)?;
        let folder = Path::new(&folder);
        let told = std::env::var(WORK).unwrap();
        let [judgements, speed, concurrency] = told.split(' ').collect::<Vec<_>>()[..] else { panic!("{told}") };
        let settings = ChatSettings {
            base_url: std::env::var(URL).unwrap(),
            key_variable: Some(KEY_VARIABLE.into()),
            concurrency: concurrency.parse().unwrap(),
            retries: 8,
            timeout_seconds: 30,
            max_failed_share: 0.5,
            usd_per_million_prompt_tokens: Some(1.0),
            usd_per_million_completion_tokens: Some(2.0),
            ..ChatSettings::default()
        };
        let (items, generations) = answers(judgements.parse().unwrap());
        let subjects = subjects(&items);
        let tasks = tasks(&generations, &subjects, &Draw::default()).unwrap();
        let chat = Chat::with_clock(&settings, Clock::faster(speed.parse().unwrap())).unwrap();
        let how = Settings::of(&settings).unwrap();
        let replies = folder.join("replies.jsonl");
        let outcome = judge(&AskOnce, &tasks, Server::Each(&chat), &how, &replies, &mut go_on).unwrap();
        let Outcome { judgements, stopped, failed, progress, notes } = outcome;
        assert_eq!((stopped, failed), (None, None));
        let text = serde_json::to_string(&(judgements, notes)).unwrap();
        std::fs::write(folder.join("judgements.json"), text).unwrap();
        Some(progress)
    }
}
