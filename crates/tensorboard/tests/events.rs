//! Event files: the bytes that TensorBoard's own writer makes, torn ends, and files that are gone on with.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tunebench_spec::StepLog;
use tunebench_tensorboard::{Error, EventFile, Loss, Opened, TrainingEvents, write_training};

/// Made by TensorBoard's protocol buffers and record writer, from the values below: `fixtures/make.py`.
const FIXTURE: &[u8] = include_bytes!("fixtures/training.tfevents");
const START: f64 = 1_700_000_000.25;

fn text() -> Vec<(String, String)> {
    let config = format!("你好 \n| a | b |{}", "x".repeat(300));
    vec![("recipe".into(), "lr 2e-4, r = 8".into()), ("model_config".into(), config)]
}

fn steps() -> Vec<StepLog> {
    let step = |step, epoch, loss, learning_rate, grad_norm, tokens, seconds| StepLog {
        arm: "lora".into(),
        candidate: String::new(),
        seed: 1,
        step,
        epoch,
        loss,
        learning_rate,
        grad_norm,
        tokens,
        seconds,
    };
    vec![
        step(1, 0.25, 2.5, 1e-4, 1.5, 512, 0.5),
        step(2, 0.5, 2.25, 2e-4, f64::INFINITY, 300, 0.125),
        step(300, 0.75, f64::NAN, 0.0, -0.0, 0, 0.25),
    ]
}

/// Not in the order of their steps, as two logs put one behind the other are not.
fn losses() -> Vec<Loss> {
    let loss =
        |step, set: &str, loss, bits_per_byte, seconds| Loss { step, set: set.into(), loss, bits_per_byte, seconds };
    vec![
        loss(0, "held_out", 3.0, Some(1.25), 1.0),
        loss(2, "held_out", 2.75, Some(1.125), 1.0),
        loss(0, "general", 2.0, None, 2.0),
        loss(300, "general", 2.125, Some(0.875), 0.5),
    ]
}

/// The one file of a folder.
fn only_file(folder: &Path) -> PathBuf {
    let files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files.into_iter().next().unwrap()
}

#[test]
fn a_training_is_the_bytes_that_tensorboard_writes() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path().join("made/on/the/way");
    write_training(&folder, START, &steps(), &losses(), &text()).unwrap();
    let file = only_file(&folder);
    assert_eq!(file.file_name().unwrap(), "events.out.tfevents.1700000000.tunebench.0000");
    assert_eq!(fs::read(file).unwrap(), FIXTURE);
}

#[test]
fn a_training_followed_live_is_the_same_bytes_from_wherever_it_began() {
    let (steps, losses) = (steps(), losses());
    // After how many steps and losses it begins; those before the first step were measured first.
    for (done_steps, done_losses) in
        [(0, vec![]), (0, vec![0, 2]), (1, vec![0, 2]), (2, vec![0, 1, 2]), (3, vec![0, 1, 2, 3])]
    {
        let folder = TempDir::new().unwrap();
        let done: Vec<Loss> = done_losses.iter().map(|i| losses[*i].clone()).collect();
        let mut events = TrainingEvents::begin(folder.path(), START, &steps[..done_steps], &done, &text()).unwrap();
        let left = |i: &usize| !done_losses.contains(i);
        for (i, before) in [(0, 0), (2, 0)] {
            if left(&i) && before == done_steps as u64 {
                events.loss(&losses[i]).unwrap();
            }
        }
        for step in &steps[done_steps..] {
            events.step(step).unwrap();
            for i in [1, 3].iter().filter(|i| losses[**i].step == step.step).filter(|i| left(i)) {
                events.loss(&losses[*i]).unwrap();
            }
        }
        assert_eq!(fs::read(events.path()).unwrap(), FIXTURE, "from {done_steps} steps on");
    }
}

#[test]
fn each_step_can_be_read_before_the_file_is_closed() {
    let folder = TempDir::new().unwrap();
    let mut events = TrainingEvents::begin(folder.path(), START, &[], &[], &[]).unwrap();
    let mut length = fs::metadata(events.path()).unwrap().len();
    for step in steps() {
        events.step(&step).unwrap();
        let now = fs::metadata(events.path()).unwrap().len();
        assert!(now > length, "step {}", step.step);
        length = now;
    }
}

#[test]
fn a_file_is_gone_on_with_where_it_is_a_beginning() {
    let (steps, losses, text) = (steps(), losses(), text());
    let folder = TempDir::new().unwrap();
    write_training(folder.path(), START, &steps[..1], &losses[..1], &text).unwrap();
    let file = only_file(folder.path());
    write_training(folder.path(), START, &steps, &losses[..1], &text).unwrap();
    assert_eq!(only_file(folder.path()), file, "a reader of the file goes on reading it");
    // Torn in the middle of a record: the same bytes are put behind it.
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() - 7]).unwrap();
    write_training(folder.path(), START, &steps, &losses[..1], &text).unwrap();
    assert_eq!(fs::read(only_file(folder.path())).unwrap(), whole);
}

#[test]
fn a_file_that_says_something_else_is_replaced_under_a_later_name() {
    let (steps, losses, text) = (steps(), losses(), text());
    let folder = TempDir::new().unwrap();
    let other = folder.path().join("events.out.tfevents.1600000000.host.1.0");
    fs::write(&other, "another program's").unwrap();
    write_training(folder.path(), START, &steps, &losses, &text).unwrap();
    // The training was put back to an earlier checkpoint.
    let events = TrainingEvents::begin(folder.path(), START, &steps[..1], &losses[..1], &text).unwrap();
    assert_eq!(events.path().file_name().unwrap(), "events.out.tfevents.1700000000.tunebench.0001");
    let names = || {
        let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter_map(|name| Some(name.split_once(".tunebench.")?.1.into())).collect();
        names.sort();
        names
    };
    assert_eq!(names(), ["0000", "0001"], "who reads the first file goes on to the second");
    write_training(folder.path(), START, &steps, &losses, &text).unwrap();
    assert_eq!(fs::read(&other).unwrap(), b"another program's");
    // A loss at step 0 came after step 1 was written, so what was there is no beginning any more.
    assert_eq!(names(), ["0001", "0002"]);
    let last = folder.path().join("events.out.tfevents.1700000000.tunebench.0002");
    assert_eq!(fs::read(&last).unwrap(), FIXTURE);
    // The same again changes nothing.
    write_training(folder.path(), START, &steps, &losses, &text).unwrap();
    assert_eq!((names(), fs::read(last).unwrap().as_slice()), (vec!["0001".into(), "0002".into()], FIXTURE));
}

#[test]
fn a_torn_end_is_cut_away() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("events.out.tfevents.1.x");
    let mut file = EventFile::create(&path, START).unwrap();
    let mut ends = vec![0, fs::metadata(&path).unwrap().len()];
    for step in 0..3 {
        file.scalar("loss", step, 0.5, step as f64).unwrap();
        ends.push(fs::metadata(&path).unwrap().len());
    }
    drop(file);
    let whole = fs::read(&path).unwrap();
    for length in 0..=whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let Opened { mut events, cut_bytes } = EventFile::open(&path, START).unwrap();
        let kept = ends.iter().rposition(|end| *end <= length as u64).unwrap();
        assert_eq!(cut_bytes, length as u64 - ends[kept], "{length} bytes");
        // The first record of a file is there in any case.
        for step in kept.max(1) as u64 - 1..3 {
            events.scalar("loss", step, 0.5, step as f64).unwrap();
        }
        assert_eq!(fs::read(&path).unwrap(), whole, "{length} bytes");
    }
}

#[test]
fn a_damaged_file_is_refused_by_name() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("events.out.tfevents.1.x");
    fs::write(&path, "this is no file of records, and long enough to see it").unwrap();
    match EventFile::open(&path, START).map(|_| ()) {
        Err(error @ Error::Damaged { at: 0, .. }) => assert!(error.to_string().contains("tfevents.1.x"), "{error}"),
        other => panic!("{other:?}"),
    }
}
