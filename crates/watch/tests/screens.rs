//! Run folders as a study leaves them, and what is to be seen of them on terminals of several sizes and in plain lines.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use tempfile::TempDir;
use tunebench_spec::progress::{FILE, PieceProgress, PieceState, Progress, RunState};
use tunebench_watch::{Error, Folder, Go, Screen, draw, lines, snapshot};

/// When the study began.
const START: u64 = 1_800_000_000;
/// The process of the study, in the `proc` of a made-up machine.
const PROCESS: u32 = 123;

/// A run folder and the machine that it is watched on.
struct Run {
    folder: TempDir,
    system: TempDir,
    progress: Progress,
}

impl Run {
    /// A process that runs two arms of two candidates and seeds.
    fn new() -> Self {
        let mut run = Self {
            folder: TempDir::new().unwrap(),
            system: TempDir::new().unwrap(),
            progress: Progress {
                study: "belle".into(),
                process: PROCESS,
                host: "here".into(),
                started_unix_seconds: START,
                process_unix_seconds: 0,
                state: RunState::Running,
                pieces: Vec::new(),
                messages: Vec::new(),
            },
        };
        run.system_file("sys/kernel/hostname", "here\n");
        run.system_file("meminfo", "MemTotal: 16777216 kB\n");
        run.system_file("123/stat", "123 (tunebench) S 1 2\n");
        run.system_file("123/status", "VmHWM:\t3145728 kB\nVmRSS:\t2097152 kB\n");
        for (arm, candidate) in [("lora", "learning_rate = 0.0001"), ("lora", "learning_rate = 0.0005"), ("ft", "")] {
            for seed in [1, 2] {
                run.piece("train", arm, candidate, seed, 100);
                run.piece("answer", arm, candidate, seed, 40);
            }
        }
        run
    }

    fn piece(&mut self, kind: &str, arm: &str, candidate: &str, seed: u64, total: u64) {
        let number = self.progress.pieces.len();
        let log = if kind == "train" { format!("work/{number}/steps.jsonl") } else { format!("work/{number}.jsonl") };
        self.progress.pieces.push(PieceProgress {
            id: number.to_string(),
            kind: kind.into(),
            arm: arm.into(),
            seed,
            candidate: candidate.into(),
            state: PieceState::Waiting,
            total: Some(total),
            by: String::new(),
            predicted_seconds: Some(if kind == "train" { 50.0 } else { 10.0 }),
            log: Some(log),
            error: None,
        });
    }

    /// Writes a log: steps of half a second with a loss that falls from 3 to 2, or items.
    fn log(&self, piece: usize, done: u64) {
        let path = self.folder.path().join(self.progress.pieces[piece].log.as_ref().unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let line = |step: u64| match self.progress.pieces[piece].kind.as_str() {
            "train" => {
                let loss = 2.0 + 0.9_f64.powi(step as i32);
                format!("{{\"arm\":\"x\",\"step\":{step},\"loss\":{loss},\"tokens\":1000,\"seconds\":0.5,\"new\":1}}\n")
            }
            _ => "{\"answer\":\"\"}\n".to_owned(),
        };
        fs::write(path, (1..=done).map(line).collect::<String>()).unwrap();
    }

    fn set(&mut self, piece: usize, state: PieceState, done: u64) {
        self.progress.pieces[piece].state = state;
        self.log(piece, done);
    }

    fn system_file(&self, name: &str, text: &str) {
        let path = self.system.path().join("proc").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn write(&self) {
        let path = self.folder.path().join(FILE);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, serde_json::to_string(&self.progress).unwrap()).unwrap();
    }

    fn open(&self) -> Folder {
        self.write();
        Folder::open_on(self.folder.path(), self.system.path()).unwrap()
    }

    /// Plain lines so many seconds after the start.
    fn lines(&self, seconds: f64) -> String {
        lines(&self.open().view_at(START as f64 + seconds))
    }
}

/// A folder's state as it is drawn, row by row, without what is right of the last character.
fn screen(folder: &Folder, width: u16, height: u16, seconds: f64, screen: &mut Screen) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, &folder.view_at(START as f64 + seconds), screen)).unwrap();
    let buffer = terminal.backend().buffer();
    let row = |y: u16| {
        let mut cells = String::new();
        for x in 0..width {
            // The second half of a wide character is a cell of its own.
            let symbol = buffer[(x, y)].symbol();
            cells += symbol;
        }
        cells.trim_end().to_owned()
    };
    (0..height).map(row).collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn check_has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
}

#[test]
fn a_running_study_on_a_small_terminal() {
    let mut run = Run::new();
    run.set(0, PieceState::Done, 100);
    run.set(1, PieceState::Done, 40);
    run.set(2, PieceState::Running, 25);
    let shown = screen(&run.open(), 40, 10, 70.0, &mut Screen::default());
    // Left: 75 steps of half a second and ten more for the answers; of the rest 5 trainings and their answers.
    let want = "\x20running  belle
1 min 10 s so far, about 4 min 48 s left
  arm  candidate seed done   loss   left
✓ lora 0.0001       1 100%  2.000
▶ lora 0.0001       2  25%  2.193    48s
· lora 0.0005       1   0%         1m00s
· lora 0.0005       2   0%         1m00s
· ft                1   0%         1m00s
· ft                2   0%         1m00s
↑ ↓ select   PgUp PgDn   q quit   2 of 6";
    assert_eq!(shown, want, "\n{shown}\n");
}

#[test]
fn the_same_on_larger_ones() {
    let mut run = Run::new();
    run.set(0, PieceState::Done, 100);
    run.set(1, PieceState::Done, 40);
    run.set(2, PieceState::Running, 25);
    let losses = "{\"step\":10,\"set\":\"held_out\",\"loss\":2.5,\"bits_per_byte\":0.75,\"seconds\":0}\n\
                  {\"step\":10,\"set\":\"general\",\"loss\":3.25}\n{\"loss\":2.25,\"step\":20}\n{\"st";
    fs::write(run.folder.path().join("work/2/losses.jsonl"), losses).unwrap();
    run.progress.messages = vec!["warning: one".into(), "error: two".into()];
    let folder = run.open();
    let shown = screen(&folder, 80, 24, 70.0, &mut Screen::default());
    check_has(
        &shown,
        &[
            "▶ lora 0.0001       2 ██▌░░░░░░░  25%  2.193    2.250    2.0k    48s",
            "2 of 12 pieces done   memory 2.0 GiB of 16.0 GiB, at most 3.0 GiB",
            " lora, learning_rate = 0.0001, seed 2: train 25 of 100 ─",
            "step 100",
            "held out 2.250, general 3.250",
            " messages ─",
            "error: two",
        ],
    );
    let shown = screen(&folder, 140, 40, 70.0, &mut Screen::default());
    check_has(&shown, &["train ▶ answer ·", "25/100", "2.0k", "smoothed", "held out"]);
    let plain = run.lines(70.0);
    check_has(
        &plain,
        &[
            "belle: running",
            "train ▶ answer ·",
            "\nlora, learning_rate = 0.0001, seed 2: held out 2.250, general 3.250\n",
        ],
    );
}

#[test]
fn every_size_is_drawn() {
    let mut run = Run::new();
    for piece in [0, 1, 2, 3, 4] {
        run.set(piece, PieceState::Running, 20);
    }
    run.progress.pieces[4].error = Some("x".repeat(300));
    run.progress.messages = vec!["m".repeat(300); 9];
    run.progress.study = "学习".repeat(40);
    let folder = run.open();
    let empty = TempDir::new().unwrap();
    let empty = Folder::open_on(empty.path(), run.system.path()).unwrap();
    for (width, height) in (3..=70).map(|n| (n, n / 2)).chain([(3, 60), (300, 1), (300, 100), (20, 7), (200, 12)]) {
        for folder in [&folder, &empty] {
            let shown = screen(folder, width, height, 9.0, &mut Screen::default());
            assert!(!shown.trim().is_empty(), "{width} x {height}");
        }
    }
}

#[test]
fn every_end_says_what_to_do() {
    let cases = [
        (RunState::Finished, true, "belle: finished", "ran for 1 min 40 s"),
        (RunState::Failed, true, "belle: failed", "run the study again to try what failed once more"),
        (RunState::Interrupted, true, "belle: interrupted", "run the study again to go on"),
        (RunState::Running, false, "belle: stopped", "process 123 is gone; run the study again to go on"),
    ];
    for (state, is_there, word, advice) in cases {
        let mut run = Run::new();
        run.set(0, PieceState::Running, 30);
        run.progress.state = state;
        if !is_there {
            fs::remove_dir_all(run.system.path().join("proc/123")).unwrap();
        }
        run.write();
        for file in [FILE, "work/0/steps.jsonl"] {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(START + 100);
            File::options().write(true).open(run.folder.path().join(file)).unwrap().set_modified(time).unwrap();
        }
        let folder = Folder::open_on(run.folder.path(), run.system.path()).unwrap();
        let plain = lines(&folder.view_at(START as f64 + 9e6));
        check_has(&plain, &[word, advice, "ran for 1 min 40 s", "◼  lora"]);
        assert!(!plain.contains("about") && !plain.contains("memory"), "{plain}");
        check_has(&screen(&folder, 100, 30, 9e6, &mut Screen::default()), &[advice, "ran for 1 min 40 s"]);
    }
}

#[test]
fn a_study_on_another_machine() {
    let mut run = Run::new();
    run.progress.host = "there".into();
    run.set(0, PieceState::Running, 30);
    check_has(&run.lines(70.0), &["belle: running elsewhere", "on there, so its process is not looked at", "▶  lora"]);
}

#[test]
fn a_failed_training_says_why() {
    let mut run = Run::new();
    run.set(0, PieceState::Failed, 30);
    run.set(1, PieceState::Skipped, 0);
    run.progress.pieces[0].error = Some("the loss is not a number at step 31".into());
    run.progress.pieces[1].error = Some("its training failed".into());
    let why = "the loss is not a number at step 31";
    let plain = run.lines(70.0);
    check_has(
        &plain,
        &["0 of 12 pieces done, 1 failed, 1 skipped", "train ✗ answer –", "seed 1\n  the loss is not a number"],
    );
    let mut place = Screen::default();
    check_has(&screen(&run.open(), 80, 30, 70.0, &mut place), &["✗ lora", why]);
}

#[test]
fn a_folder_without_a_run() {
    let folder = TempDir::new().unwrap();
    let words = "no study has begun in this folder, or one of an earlier version";
    check_has(&snapshot(folder.path()).unwrap(), &[words, "work/progress.json; waiting for one to begin"]);
    let shown = screen(&Folder::open(folder.path()).unwrap(), 100, 12, 0.0, &mut Screen::default());
    check_has(&shown, &[" no study", words]);
    let none = folder.path().join("none");
    assert!(matches!(snapshot(&none), Err(Error::NoFolder { .. })));
}

#[test]
fn text_from_outside_steers_no_terminal() {
    let mut run = Run::new();
    run.progress.study = "a\u{1b}[2Jb".into();
    run.progress.host = "h\u{7}".into();
    run.progress.messages = vec!["m\r\n\u{9b}31m".into()];
    for piece in &mut run.progress.pieces {
        piece.arm = "x\u{1b}]0;t\u{7}".into();
        piece.candidate = "c\t\u{202e}".into();
        piece.kind = "k\u{8}".into();
        piece.error = Some("e\u{0}".into());
        piece.log = Some("no\u{1b}where/steps.jsonl".into());
    }
    run.progress.pieces[0].log = Some("../o\u{1b}ut".into());
    let plain = run.lines(70.0);
    let drawn = screen(&run.open(), 200, 50, 70.0, &mut Screen::default());
    for shown in [&plain, &drawn] {
        let bad: Vec<char> = shown.chars().filter(|c| *c != '\n' && (c.is_control() || *c == '\u{202e}')).collect();
        assert!(bad.is_empty(), "{bad:?}");
        check_has(
            shown,
            &["a\\u{1b}[2Jb", "x\\u{1b}]0;t\\u{7}", "m\\r\\n\\u{9b}31m", "../o\\u{1b}ut: is outside of the folder"],
        );
    }
}

#[test]
fn logs_are_followed_as_they_grow_and_are_cut_back() {
    let mut run = Run::new();
    run.set(0, PieceState::Running, 30);
    let mut folder = run.open();
    let path = run.folder.path().join("work/0/steps.jsonl");
    let count = |folder: &mut Folder| {
        folder.refresh();
        let row = &folder.view_at(START as f64).rows[0];
        (row.current.done, row.training.map(|log| log.curve().len()))
    };
    assert_eq!(count(&mut folder), (30, Some(30)));
    run.log(0, 45);
    assert_eq!(count(&mut folder), (45, Some(45)));
    // Killed in the middle of a line, and gone on with from a checkpoint.
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 9]).unwrap();
    assert_eq!(count(&mut folder), (44, Some(44)));
    run.log(0, 20);
    assert_eq!(count(&mut folder), (20, Some(20)));
    // Cut and grown again between two looks, to lines of other lengths.
    let line = |step: u64| format!("{{\"step\":{step},\"loss\":{},\"pad\":\"{}\"}}\n", 2.0, "p".repeat(40));
    fs::write(&path, (1..=60).map(line).collect::<String>()).unwrap();
    assert_eq!(count(&mut folder), (60, Some(60)));
    assert!(folder.view().messages.is_empty());
    // A loss that is no number is null in JSON: no point, and no step lost.
    fs::write(&path, (1..=60).map(line).collect::<String>() + "{\"step\":61,\"loss\":null}\nnonsense\n").unwrap();
    assert_eq!(count(&mut folder), (61, Some(60)));
    check_has(&folder.view().messages.join("\n"), &["1 lines left out, damaged"]);
    fs::remove_file(&path).unwrap();
    assert_eq!(count(&mut folder), (0, None));
}

#[test]
fn a_damaged_file_of_the_study_leaves_what_was_known() {
    let run = Run::new();
    let mut folder = run.open();
    fs::write(run.folder.path().join(FILE), "{").unwrap();
    folder.refresh();
    let view = folder.view_at(START as f64);
    assert_eq!(view.rows.len(), 6);
    check_has(&view.messages.join("\n"), &["progress.json: damaged"]);
}

#[test]
fn the_time_left_says_when_it_does_not_know() {
    let mut run = Run::new();
    for piece in &mut run.progress.pieces {
        piece.predicted_seconds = None;
    }
    check_has(&run.lines(5.0), &["5 s so far, time left not known yet"]);
    // 80 steps of half a second, and five more trainings like it; nothing tells how long answers take.
    run.set(0, PieceState::Running, 20);
    check_has(&run.lines(10.0), &["10 s so far, more than 4 min 50 s left"]);
}

#[test]
fn predictions_are_corrected_by_what_was_measured() {
    let mut run = Run::new();
    run.set(0, PieceState::Done, 100);
    for piece in [0, 2, 4, 6, 8, 10] {
        run.progress.pieces[piece].predicted_seconds = Some(10.0); // it took 50
    }
    check_has(&run.lines(60.0), &["about 5 min 10 s left"]);
}

#[test]
fn works_at_the_same_time_share_the_time_left() {
    let mut run = Run::new();
    for piece in [0, 2] {
        run.set(piece, PieceState::Running, 50);
    }
    // Two with 25 s to go, four with 50 s, six times 10 s of answers: 310 s, two at a time.
    check_has(&run.lines(60.0), &["about 2 min 35 s left"]);
}

#[test]
fn the_screen_follows_the_work_until_a_row_is_chosen() {
    let mut run = Run::new();
    run.set(0, PieceState::Done, 100);
    run.set(2, PieceState::Running, 10);
    let mut place = Screen::default();
    let mut title = |run: &Run, go: Option<Go>| {
        if let Some(go) = go {
            place.go(go);
        }
        let shown = screen(&run.open(), 100, 30, 70.0, &mut place);
        let title = shown.lines().find(|line| line.contains('─')).unwrap().to_owned();
        title.trim_matches([' ', '─']).to_owned()
    };
    assert_eq!(title(&run, None), "lora, learning_rate = 0.0001, seed 2: train 10 of 100");
    run.set(2, PieceState::Done, 100);
    run.set(4, PieceState::Running, 5);
    assert_eq!(title(&run, None), "lora, learning_rate = 0.0005, seed 1: train 5 of 100");
    assert_eq!(title(&run, Some(Go::Up)), "lora, learning_rate = 0.0001, seed 2: answer 0 of 40");
    assert_eq!(title(&run, Some(Go::First)), "lora, learning_rate = 0.0001, seed 1: answer 0 of 40");
    assert_eq!(title(&run, Some(Go::PageDown)), "ft, seed 2: train 0 of 100");
    assert_eq!(title(&run, Some(Go::PageUp)), "lora, learning_rate = 0.0001, seed 1: answer 0 of 40");
    assert_eq!(title(&run, Some(Go::Last)), "ft, seed 2: train 0 of 100");
    assert_eq!(title(&run, Some(Go::Down)), "ft, seed 2: train 0 of 100");
}
