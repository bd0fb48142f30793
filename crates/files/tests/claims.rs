//! Who gets a claim, and when one that was lost is anybody's again.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tunebench_files::{Claim, Claims, Owner, Taken};

const PATIENCE: Duration = Duration::from_millis(240);

fn owner(host: &str) -> Owner {
    Owner { host: host.into(), process: 7, job: String::new() }
}

fn claims(folder: &Path, host: &str) -> Claims {
    Claims::new(folder, owner(host), PATIENCE).unwrap()
}

fn take(claims: &Claims, name: &str) -> Option<Claim> {
    match claims.take(name).unwrap() {
        Taken::Mine(claim) => Some(claim),
        Taken::Busy(_) => None,
    }
}

/// Whether the claim is had within three times the patience, and after how long.
fn wait(claims: &Claims, name: &str) -> Option<Duration> {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE * 3 {
        if take(claims, name).is_some() {
            return Some(begin.elapsed());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    None
}

#[test]
fn one_has_it_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let (inside, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (inside, done, folder) = (&inside, &done, folder.path());
            scope.spawn(move || {
                let claims = claims(folder, &format!("n{}", number % 3));
                let mut had = 0;
                while had < 10 {
                    let Some(claim) = take(&claims, "piece") else { continue };
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two have it");
                    std::thread::yield_now();
                    inside.fetch_sub(1, Ordering::SeqCst);
                    drop(claim);
                    had += 1;
                }
                done.fetch_add(had, Ordering::SeqCst);
            });
        }
    });
    assert_eq!(done.into_inner(), 80);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "earlier claims say nothing any more");
}

#[test]
fn who_has_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (here, there) = (claims(folder.path(), "n1"), claims(folder.path(), "n2"));
    assert_eq!(here.owner("a").unwrap(), None);
    let claim = take(&here, "a").unwrap();
    assert_eq!(there.owner("a").unwrap(), Some(owner("n1")));
    assert!(take(&there, "a-b").is_some(), "another name");
    drop(claim);
    assert_eq!(there.owner("a").unwrap(), None);
    assert!(take(&there, "a").is_some());
}

/// The file of a claim whose owner left it as it is.
fn left(folder: &Path, text: &str) {
    fs::write(folder.join("piece.4"), text).unwrap();
}

#[test]
fn what_a_dead_process_had_is_free() {
    for (text, host, at_once) in [
        (r#"{"host":"n1","process":1,"beat":3}"#, "n1", true),
        (r#"{"host":"n2","process":1,"beat":3}"#, "n1", false),
        (r#"{"host":"n2","process":1,"beat":3,"is_free":true}"#, "n1", true),
        // Killed while it wrote.
        (r#"{"host":"n1","pro"#, "n1", false),
        ("", "n1", false),
        ("\u{0}\u{0}", "n1", false),
    ] {
        let folder = tempfile::tempdir().unwrap();
        left(folder.path(), text);
        let took = wait(&claims(folder.path(), host), "piece").unwrap_or_else(|| panic!("never: {text}"));
        assert_eq!(took < PATIENCE / 2, at_once, "{text}: {took:?}");
        assert!(at_once || took > PATIENCE, "{text}: {took:?}");
    }
}

#[test]
fn an_owner_elsewhere_keeps_it_while_it_counts() {
    // Locks do not cross machines: another one sees the file alone.
    let folder = tempfile::tempdir().unwrap();
    let writer = folder.path().to_owned();
    left(&writer, r#"{"host":"n2","process":1,"beat":0}"#);
    let count = std::thread::spawn(move || {
        for beat in 1..40 {
            left(&writer, &format!(r#"{{"host":"n2","process":1,"beat":{beat}}}"#));
            std::thread::sleep(PATIENCE / 10);
        }
    });
    std::thread::sleep(PATIENCE / 10);
    assert_eq!(wait(&claims(folder.path(), "n1"), "piece"), None);
    count.join().unwrap();
    assert!(wait(&claims(folder.path(), "n1"), "piece").is_some_and(|took| took > PATIENCE));
}

#[test]
fn who_was_silent_learns_that_it_lost_it() {
    let folder = tempfile::tempdir().unwrap();
    let claim = take(&claims(folder.path(), "n1"), "piece").unwrap();
    assert!(!claim.is_lost());
    fs::write(folder.path().join("piece.2"), "").unwrap();
    let begin = Instant::now();
    while !claim.is_lost() {
        assert!(begin.elapsed() < PATIENCE, "not noticed");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn who_was_silent_while_two_went_on_learns_it_too() {
    let folder = tempfile::tempdir().unwrap();
    let claim = take(&claims(folder.path(), "n1"), "piece").unwrap();
    fs::remove_file(folder.path().join("piece.1")).unwrap();
    fs::write(folder.path().join("piece.3"), "").unwrap();
    let begin = Instant::now();
    while !claim.is_lost() {
        assert!(begin.elapsed() < PATIENCE, "not noticed");
        std::thread::sleep(Duration::from_millis(5));
    }
}
