//! The cache: what is there is not asked for again, with or without a network.

use std::path::Path;

use tunebench_hub::{Address, Error, Found, Hub, Progress, Settings, Wanted};

use crate::server::{self, COMMIT};

const MODEL: &[(&str, &[u8], bool)] =
    &[("config.json", b"{}", false), ("model.safetensors", b"weights", true), ("tokenizer.json", b"[]", false)];

fn get(settings: Settings, address: &str, wanted: Wanted) -> Result<(Found, Vec<String>), Error> {
    let mut told = Vec::new();
    let address: Address = address.parse().unwrap();
    let found = Hub::new(settings).get(&address, wanted, &mut |progress| {
        told.push(match progress {
            Progress::Planned { files, bytes, .. } => format!("planned {files} files, {bytes} bytes"),
            Progress::Bytes { file, done, total } => format!("{file} {done}/{total}"),
            Progress::Waiting { file } => format!("waiting for {file}"),
            Progress::Cached { commit, .. } => format!("cached {commit}"),
        });
    })?;
    Ok((found, told))
}

/// Bytes asked for, not listings.
fn downloads(server: &server::Hub) -> usize {
    server.seen().iter().filter(|seen| seen.contains("bytes=") && !seen.ends_with("bytes=0-0")).count()
}

#[test]
fn a_second_time_nothing_is_downloaded() {
    let server = server::Hub::start(&[("models/o/n", MODEL)]);
    let cache = tempfile::tempdir().unwrap();
    let (found, told) = get(server.settings(cache.path()), "hf:o/n", Wanted::Model).unwrap();
    assert_eq!(told[0], "planned 3 files, 11 bytes");
    assert!(told.contains(&"model.safetensors 7/7".to_owned()), "{told:?}");
    assert_eq!(found.commit, COMMIT);
    let text = |name: &str| std::fs::read(found.paths[0].join(name)).unwrap();
    assert_eq!((text("config.json"), text("model.safetensors")), (b"{}".to_vec(), b"weights".to_vec()));
    // The layout of other tools.
    let repository = cache.path().join("models--o--n");
    assert_eq!(std::fs::read_to_string(repository.join("refs/main")).unwrap(), COMMIT);
    assert!(found.paths[0].join("config.json").is_symlink());

    let before = server.seen().len();
    let (again, told) = get(server.settings(cache.path()), "hf:o/n", Wanted::Model).unwrap();
    assert_eq!((again, told, server.seen().len() - before), (found, vec![], 1));
}

#[test]
fn a_commit_is_found_without_asking() {
    let server = server::Hub::start(&[("models/o/n", MODEL)]);
    let cache = tempfile::tempdir().unwrap();
    let address = format!("hf:o/n@{COMMIT}");
    get(server.settings(cache.path()), &address, Wanted::Model).unwrap();
    let before = server.seen().len();
    get(server.settings(cache.path()), &address, Wanted::Model).unwrap();
    assert_eq!(server.seen().len(), before);
}

#[test]
fn offline_the_cache_is_used_and_what_it_lacks_is_named() {
    let rows: &[(&str, &[u8], bool)] = &[("a.jsonl", b"{}", false), ("b.jsonl", b"{}", false)];
    let server = server::Hub::start(&[("models/o/n", MODEL), ("datasets/o/d", rows)]);
    let cache = tempfile::tempdir().unwrap();
    let offline = |cache: &Path| Settings { is_offline: true, ..server.settings(cache) };
    let missing = |address: &str, wanted| get(offline(cache.path()), address, wanted).unwrap_err().to_string();
    assert!(missing("hf:o/n", Wanted::Model).contains("HF_HUB_OFFLINE forbids"));

    get(server.settings(cache.path()), "hf:o/n", Wanted::Config).unwrap();
    get(server.settings(cache.path()), "hf:o/d/a.jsonl", Wanted::Data).unwrap();
    let before = server.seen().len();
    get(offline(cache.path()), "hf:o/n", Wanted::Config).unwrap();
    get(offline(cache.path()), "hf:o/d/a.jsonl", Wanted::Data).unwrap();
    // Of a pattern, the files that happen to be here may not be all.
    assert!(missing("hf:o/d/*.jsonl", Wanted::Data).contains("`b.jsonl` is not in the cache"));
    assert!(missing("hf:o/n", Wanted::Model).contains("`model.safetensors` is not in the cache"));
    assert!(missing("hf:o/n@v1", Wanted::Model).contains("revision `v1`"));
    assert_eq!(server.seen().len(), before);
}

#[test]
fn without_a_network_the_cache_is_used_and_that_is_said() {
    let server = server::Hub::start(&[("models/o/n", MODEL)]);
    let cache = tempfile::tempdir().unwrap();
    get(server.settings(cache.path()), "hf:o/n", Wanted::Model).unwrap();
    server.listings(&[503, 503, 503, 503]);
    let (_, told) = get(server.settings(cache.path()), "hf:o/n", Wanted::Model).unwrap();
    assert_eq!(told, [format!("cached {COMMIT}")]);
    server.listings(&[503]);
    assert_eq!(get(server.settings(cache.path()), "hf:o/n", Wanted::Model).unwrap().1, Vec::<String>::new());
}

#[test]
fn a_branch_that_moved_is_fetched_anew_and_what_did_not_change_is_not() {
    let server = server::Hub::start(&[("models/o/n", MODEL)]);
    let cache = tempfile::tempdir().unwrap();
    let (old, _) = get(server.settings(cache.path()), "hf:o/n", Wanted::Model).unwrap();
    server.change("models/o/n", |repository| {
        repository.commit = Some("f".repeat(40));
        repository.files.insert("config.json".into(), (b"{\"a\": 1}".to_vec(), false));
    });
    let (new, _) = get(server.settings(cache.path()), "hf:o/n", Wanted::Model).unwrap();
    assert_ne!(old, new);
    assert_eq!(std::fs::read(new.paths[0].join("config.json")).unwrap(), b"{\"a\": 1}");
    assert_eq!(std::fs::read(old.paths[0].join("config.json")).unwrap(), b"{}");
    assert!(downloads(&server) >= 4);
}

#[test]
fn is_here_asks_nobody() {
    let server = server::Hub::start(&[("models/o/n", MODEL)]);
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub::new(server.settings(cache.path()));
    let address: Address = "hf:o/n".parse().unwrap();
    assert!(!hub.is_here(&address, Wanted::Config).unwrap());
    hub.get(&address, Wanted::Config, &mut |_| {}).unwrap();
    let before = server.seen().len();
    assert!(hub.is_here(&address, Wanted::Config).unwrap() && !hub.is_here(&address, Wanted::Model).unwrap());
    assert_eq!(server.seen().len(), before);
}
