//! `hf:owner/name[@revision][/path]`, as a study writes it.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// What begins an address.
pub const PREFIX: &str = "hf:";

/// A repository of the hub, or a file, folder or pattern in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// `owner/name`, or `name` alone for the few old ones without an owner.
    pub repo: String,
    /// A branch, a tag, a commit or `refs/pr/N`; `main` when none is written.
    pub revision: String,
    /// In the repository, `/` between its parts; `*` stands for anything within a part.
    pub path: Option<String>,
}

/// Longest owner or name on the hub.
const LONGEST: usize = 96;

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let fault = |fault: &str| Error::Address { text: text.to_owned(), fault: fault.to_owned() };
        let rest = text.strip_prefix(PREFIX).ok_or_else(|| fault("it does not begin with `hf:`"))?;
        if let Some(url) = rest.strip_prefix("//") {
            return Err(fault(&format!("`//{url}` is not an owner")));
        }
        let (repo, rest) = repository(rest);
        let parts: Vec<&str> = repo.split('/').collect();
        if parts.len() > 2 || !parts.iter().all(|part| is_name(part)) {
            return Err(fault("owner and name are letters, digits, `-`, `_` and `.`"));
        }
        let (revision, path) = match rest.strip_prefix('@') {
            Some(rest) => revision(rest),
            None => ("main", rest.strip_prefix('/')),
        };
        if !revision.split('/').all(is_name) {
            return Err(fault("no revision has this name"));
        }
        let path = path.filter(|path| !path.is_empty()).map(|path| path.trim_end_matches('/'));
        if let Some(path) = path.filter(|path| !is_path(path)) {
            return Err(fault(&format!("`{path}` is no path in a repository")));
        }
        Ok(Self { repo: repo.into(), revision: revision.into(), path: path.map(Into::into) })
    }
}

/// `owner/name` and what follows it: `@`, a second `/`, or nothing.
fn repository(text: &str) -> (&str, &str) {
    let mut slashes = 0;
    let end = text.find(|c| {
        slashes += usize::from(c == '/');
        c == '@' || slashes == 2
    });
    text.split_at(end.unwrap_or(text.len()))
}

/// A revision, in one part but for `refs/KIND/NAME`, and the path behind it.
fn revision(text: &str) -> (&str, Option<&str>) {
    let slash = match text.starts_with("refs/") {
        true => text.match_indices('/').nth(2).map(|(at, _)| at),
        false => text.find('/'),
    };
    slash.map_or((text, None), |at| (&text[..at], Some(&text[at + 1..])))
}

fn is_name(part: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !part.is_empty() && part.len() <= LONGEST && part.chars().all(is_allowed) && !matches!(part, "." | "..")
}

/// Whether it stays within the repository and can be part of a web address as it is, `*` apart.
pub(crate) fn is_path(path: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_.~+=,@()[]!$&';:*".contains(c);
    path.split('/').all(|part| !part.is_empty() && !matches!(part, "." | "..") && part.chars().all(is_allowed))
}

impl Address {
    /// Whether the revision is a whole commit, which never changes.
    pub fn is_pinned(&self) -> bool {
        is_commit(&self.revision)
    }
}

pub(crate) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.repo)?;
        if self.revision != "main" {
            write!(f, "@{}", self.revision)?;
        }
        self.path.iter().try_for_each(|path| write!(f, "/{path}"))
    }
}
