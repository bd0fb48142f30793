//! Networks that break, servers that lie, repositories that refuse.

use tunebench_hub::{Address, Hub, Settings, Wanted};

use crate::server::{self, COMMIT, Fate};

const CONTENT: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";
const FILES: &[(&str, &[u8], bool)] = &[("a.jsonl", CONTENT, true)];

fn get(hub: &Hub) -> Result<Vec<u8>, String> {
    let address: Address = "hf:o/d/a.jsonl".parse().unwrap();
    let found = hub.get(&address, Wanted::Data, &mut |_| {}).map_err(|e| e.to_string())?;
    Ok(std::fs::read(&found.paths[0]).unwrap())
}

#[test]
fn a_download_goes_on_where_it_was_cut_off() {
    let server = server::Hub::start(&[("datasets/o/d", FILES)]);
    let cache = tempfile::tempdir().unwrap();
    server.fates(&[Fate::Cut(10), Fate::Cut(7), Fate::Status(503)]);
    assert_eq!(get(&Hub::new(server.settings(cache.path()))).unwrap(), CONTENT);
    let asked: Vec<String> =
        server.seen().into_iter().filter(|s| s.contains("/resolve/") && !s.ends_with("0-0")).collect();
    let starts: Vec<&str> = asked.iter().filter_map(|s| s.split("bytes=").nth(1)).collect();
    assert_eq!(starts, ["0-", "10-", "17-", "17-"]);
}

#[test]
fn what_arrives_wrong_once_is_fetched_anew_and_twice_is_refused() {
    for (fates, fault) in [
        (&[Fate::Wrong][..], None),
        (&[Fate::Cut(10), Fate::Wrong], None),
        (&[Fate::Cut(10), Fate::IgnoresRange], None),
        (&[Fate::Wrong, Fate::Wrong], Some("arrived twice with other contents than the hub says (checksum")),
        (&[Fate::Status(404)], Some("status 404")),
        (&[Fate::BadRedirect], None),
        (&[Fate::Cut(0); 9], Some("what has arrived is kept, run it again to go on")),
    ] {
        let server = server::Hub::start(&[("datasets/o/d", FILES)]);
        let cache = tempfile::tempdir().unwrap();
        server.fates(fates);
        let result = get(&Hub::new(server.settings(cache.path())));
        match fault {
            None => assert_eq!(result.as_deref(), Ok(CONTENT), "{fates:?}"),
            Some(fault) => {
                let error = result.unwrap_err();
                assert!(error.contains(fault), "{fates:?}: {error}");
            }
        }
        server.fates(&[]);
        assert_eq!(get(&Hub::new(server.settings(cache.path()))).as_deref(), Ok(CONTENT), "after {fates:?}");
    }
}

#[test]
fn what_was_left_of_a_killed_download_is_gone_on_with_whatever_it_is() {
    let name = server::hex(&<sha2::Sha256 as sha2::Digest>::digest(CONTENT));
    for left in [&CONTENT[..0], &CONTENT[..20], CONTENT, b"xxxxx", &[CONTENT, CONTENT].concat()] {
        let server = server::Hub::start(&[("datasets/o/d", FILES)]);
        let cache = tempfile::tempdir().unwrap();
        let blobs = cache.path().join("datasets--o--d/blobs");
        std::fs::create_dir_all(&blobs).unwrap();
        std::fs::write(blobs.join(format!("{name}.part")), left).unwrap();
        assert_eq!(get(&Hub::new(server.settings(cache.path()))).as_deref(), Ok(CONTENT), "{left:?}");
    }
}

#[test]
fn refusals_say_what_to_do() {
    let server = server::Hub::with_token(&[("datasets/o/d", FILES)], Some("secret"));
    let cache = tempfile::tempdir().unwrap();
    let with =
        |token: Option<&str>| Hub::new(Settings { token: token.map(str::to_owned), ..server.settings(cache.path()) });
    let error = get(&with(None)).unwrap_err();
    assert!(error.contains("private") && error.contains("set HF_TOKEN"), "{error}");
    let error = get(&with(Some("other"))).unwrap_err();
    assert!(error.contains("was sent") && !error.contains("other"), "{error}");
    assert_eq!(get(&with(Some("secret"))).as_deref(), Ok(CONTENT));

    let server = server::Hub::start(&[("datasets/o/d", FILES)]);
    server.change("datasets/o/d", |repository| repository.gated = Some("manual"));
    let cache = tempfile::tempdir().unwrap();
    let error = get(&Hub::new(server.settings(cache.path()))).unwrap_err();
    assert!(error.contains("access is gated") && error.contains("/datasets/o/d"), "{error}");
}

#[test]
fn a_server_that_is_no_hub_is_named() {
    let cache = tempfile::tempdir().unwrap();
    let settings =
        Settings { endpoint: "http://127.0.0.1:9".into(), cache: cache.path().into(), token: None, is_offline: false };
    let error = get(&Hub::new(settings)).unwrap_err();
    assert!(error.contains("http://127.0.0.1:9 could not be reached") && error.contains("HF_ENDPOINT"), "{error}");
}

#[test]
fn names_that_lead_out_of_the_cache_are_not_asked_for() {
    for name in ["../../x.jsonl", "/x.jsonl", "a/../../x.jsonl", "x y.jsonl", "x%2e.jsonl"] {
        let server = server::Hub::start(&[("datasets/o/d", &[(name, CONTENT, false)])]);
        let cache = tempfile::tempdir().unwrap();
        let address: Address = "hf:o/d".parse().unwrap();
        let hub = Hub::new(server.settings(cache.path()));
        let error = hub.get(&address, Wanted::Data, &mut |_| {}).unwrap_err().to_string();
        assert!(error.contains("cannot be asked for"), "{name}: {error}");
        assert!(server.seen().iter().all(|seen| !seen.contains("/resolve/")), "{name}");
    }
    assert_eq!(COMMIT.len(), 40);
}
