//! A hub on a local port: listings, files with ranges, redirections to a store, refusals; and what goes wrong by a script.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use tunebench_hub::Settings;

pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What becomes of one request for a file's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// As asked.
    Whole,
    /// Only so many bytes, then the connection ends.
    Cut(usize),
    /// As many bytes as there are, but others.
    Wrong,
    /// All of the file, whatever range was asked for.
    IgnoresRange,
    Status(u16),
    /// A redirection that leads nowhere.
    BadRedirect,
}

/// One repository.
#[derive(Clone, Default)]
pub struct Repository {
    /// Large ones are in the store, behind a redirection.
    pub files: BTreeMap<String, (Vec<u8>, bool)>,
    pub gated: Option<&'static str>,
    pub commit: Option<String>,
}

/// Names and bytes of files, and whether they are large.
pub type Files<'a> = &'a [(&'a str, &'a [u8], bool)];

pub struct Hub {
    pub endpoint: String,
    shared: Arc<Shared>,
}

struct Shared {
    repositories: Mutex<BTreeMap<String, Repository>>,
    /// What becomes of the next requests for bytes, in order; then all is well.
    fates: Mutex<Vec<Fate>>,
    /// Status of the next listings.
    listings: Mutex<Vec<u16>>,
    seen: Mutex<Vec<String>>,
    token: Option<String>,
}

pub fn git_sha1(bytes: &[u8]) -> String {
    hex(&Sha1::new().chain_update(format!("blob {}\0", bytes.len())).chain_update(bytes).finalize())
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Hub {
    /// `repositories` by `models/OWNER/NAME` or `datasets/OWNER/NAME`: names and bytes, and whether they are large.
    pub fn start(repositories: &[(&str, Files)]) -> Self {
        Self::with_token(repositories, None)
    }

    /// As [`Self::start`], for those only who send this token.
    pub fn with_token(repositories: &[(&str, Files)], token: Option<&str>) -> Self {
        let all = repositories.iter().map(|(id, files)| {
            let files = files.iter().map(|(name, bytes, large)| ((*name).to_owned(), (bytes.to_vec(), *large)));
            ((*id).to_owned(), Repository { files: files.collect(), ..Repository::default() })
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            repositories: Mutex::new(all.collect()),
            fates: Mutex::default(),
            listings: Mutex::default(),
            seen: Mutex::default(),
            token: token.map(str::to_owned),
        });
        let (for_threads, at) = (shared.clone(), endpoint.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (shared, at) = (for_threads.clone(), at.clone());
                std::thread::spawn(move || {
                    let _ = serve(&stream, &shared, &at);
                });
            }
        });
        Self { endpoint, shared }
    }

    pub fn settings(&self, cache: &std::path::Path) -> Settings {
        Settings { endpoint: self.endpoint.clone(), cache: cache.into(), token: None, is_offline: false }
    }

    pub fn fates(&self, fates: &[Fate]) {
        *self.shared.fates.lock().unwrap() = fates.to_vec();
    }

    pub fn listings(&self, statuses: &[u16]) {
        *self.shared.listings.lock().unwrap() = statuses.to_vec();
    }

    pub fn change(&self, id: &str, change: impl FnOnce(&mut Repository)) {
        change(self.shared.repositories.lock().unwrap().get_mut(id).unwrap());
    }

    /// Requests so far: `GET PATH RANGE`.
    pub fn seen(&self) -> Vec<String> {
        self.shared.seen.lock().unwrap().clone()
    }
}

fn serve(stream: &TcpStream, shared: &Shared, endpoint: &str) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let (mut range, mut token) = (None, None);
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let Some((name, value)) = header.trim_end().split_once(": ") else { break };
            match name.to_ascii_lowercase().as_str() {
                "range" => range = Some(value.to_owned()),
                "authorization" => token = value.strip_prefix("Bearer ").map(str::to_owned),
                _ => {}
            }
        }
        shared.seen.lock().unwrap().push(format!("{target} {}", range.as_deref().unwrap_or("-")));
        if !respond(stream, shared, endpoint, &target, range.as_deref(), token.as_deref())? {
            return Ok(());
        }
    }
}

/// Whether the connection stays.
fn respond(
    out: &TcpStream,
    shared: &Shared,
    endpoint: &str,
    target: &str,
    range: Option<&str>,
    token: Option<&str>,
) -> std::io::Result<bool> {
    let path = target.split('?').next().unwrap_or_default();
    let refuse = |status: u16, code: &str| head(out, status, &[("x-error-code", code)], b"{}").map(|()| true);
    let lets_in = shared.token.is_none() || shared.token.as_deref() == token;
    if let Some(rest) = path.strip_prefix("/api/") {
        if let Some(status) = take(&mut shared.listings.lock().unwrap()) {
            return refuse(status, "");
        }
        let Some((id, revision)) = rest.split_once("/revision/") else { return refuse(404, "") };
        let repositories = shared.repositories.lock().unwrap();
        let Some(repository) = repositories.get(id).filter(|_| lets_in) else { return refuse(401, "RepoNotFound") };
        let commit = repository.commit.as_deref().unwrap_or(COMMIT);
        if !["main", "v1", commit].contains(&revision) {
            return refuse(404, "RevisionNotFound");
        }
        head(out, 200, &[], listing(repository, commit).to_string().as_bytes())?;
        return Ok(true);
    }
    if let Some(blob) = path.strip_prefix("/store/") {
        let repositories = shared.repositories.lock().unwrap();
        let bytes =
            repositories.values().flat_map(|r| r.files.values()).find(|(bytes, _)| hex(&Sha256::digest(bytes)) == blob);
        let Some((bytes, _)) = bytes.cloned() else { return refuse(404, "") };
        drop(repositories);
        return bytes_of(out, shared, &bytes, range, &[]);
    }
    let (kind, rest) = match path.strip_prefix("/datasets/") {
        Some(rest) => ("datasets", rest),
        None => ("models", path.trim_start_matches('/')),
    };
    let Some((id, rest)) = rest.split_once("/resolve/") else { return refuse(404, "") };
    let Some((revision, name)) = rest.split_once('/') else { return refuse(404, "") };
    let repositories = shared.repositories.lock().unwrap();
    let Some(repository) = repositories.get(&format!("{kind}/{id}")).filter(|_| lets_in).cloned() else {
        return refuse(401, "RepoNotFound");
    };
    drop(repositories);
    if repository.gated.is_some() {
        return refuse(403, "GatedRepo");
    }
    let Some((bytes, large)) = repository.files.get(name) else { return refuse(404, "EntryNotFound") };
    let commit = ("x-repo-commit", revision);
    if *large {
        let sha = hex(&Sha256::digest(bytes));
        let is_bad = shared.fates.lock().unwrap().first() == Some(&Fate::BadRedirect);
        if is_bad {
            shared.fates.lock().unwrap().remove(0);
            head(out, 302, &[commit, ("x-linked-etag", &format!("\"{sha}\"")), ("Location", "?")], b"")?;
            return Ok(true);
        }
        let location = format!("{endpoint}/store/{sha}");
        head(out, 302, &[commit, ("x-linked-etag", &format!("\"{sha}\"")), ("Location", &location)], b"")?;
        return Ok(true);
    }
    bytes_of(out, shared, bytes, range, &[commit, ("etag", &format!("\"{}\"", git_sha1(bytes)))])
}

fn take<T>(list: &mut Vec<T>) -> Option<T> {
    (!list.is_empty()).then(|| list.remove(0))
}

fn bytes_of(
    mut out: &TcpStream,
    shared: &Shared,
    bytes: &[u8],
    range: Option<&str>,
    headers: &[(&str, &str)],
) -> std::io::Result<bool> {
    let whole = format!("bytes 0-0/{}", bytes.len());
    // The library asks for the first byte to know the length.
    if range == Some("bytes=0-0") {
        head(out, 206, &[headers, &[("Content-Range", whole.as_str())]].concat(), &bytes[..1.min(bytes.len())])?;
        return Ok(true);
    }
    let start = range.and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()).unwrap_or(0);
    let fate = take(&mut shared.fates.lock().unwrap()).unwrap_or(Fate::Whole);
    if start >= bytes.len() {
        head(out, 416, headers, b"")?;
        return Ok(true);
    }
    let content = match fate {
        Fate::Wrong => bytes[start..].iter().map(|byte| byte ^ 1).collect(),
        Fate::IgnoresRange => bytes.to_vec(),
        _ => bytes[start..].to_vec(),
    };
    match fate {
        Fate::Status(status) => head(out, status, headers, b"")?,
        Fate::Cut(at) => {
            write!(out, "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\n\r\n", content.len())?;
            out.write_all(&content[..at.min(content.len())])?;
            out.shutdown(std::net::Shutdown::Both)?;
            return Ok(false);
        }
        _ => head(out, 206, headers, &content)?,
    }
    Ok(true)
}

fn head(mut out: &TcpStream, status: u16, headers: &[(&str, &str)], body: &[u8]) -> std::io::Result<()> {
    let mut text = format!("HTTP/1.1 {status} Status\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    out.write_all(format!("{text}\r\n").as_bytes())?;
    out.write_all(body)
}

fn listing(repository: &Repository, commit: &str) -> Value {
    let siblings = repository.files.iter().map(|(name, (bytes, large))| match large {
        true => json!({
            "rfilename": name, "size": bytes.len(), "blobId": git_sha1(b"pointer"),
            "lfs": { "sha256": hex(&Sha256::digest(bytes)), "size": bytes.len(), "pointerSize": 134 },
        }),
        false => json!({ "rfilename": name, "size": bytes.len(), "blobId": git_sha1(bytes) }),
    });
    let gated = repository.gated.map_or(Value::Bool(false), Value::from);
    json!({ "id": "x", "sha": commit, "gated": gated, "siblings": siblings.collect::<Vec<_>>() })
}
