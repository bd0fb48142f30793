//! Which files of a repository are meant.

use std::collections::BTreeSet;

use crate::listing::RepoFile;

/// What an address is used as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    /// `config.json` alone, for what is known before a weight is read; of a GGUF file all of it.
    Config,
    /// A model with its weights, tokenizer and chat template; or the GGUF file that the address names.
    Model,
    /// A `tokenizer.json`, with the files beside it that name its special tokens and its template.
    Tokenizer,
    /// A PEFT folder.
    Adapter,
    /// Files of rows.
    Data,
}

pub(crate) const CONFIG: &str = "config.json";
pub(crate) const WEIGHTS: &str = "model.safetensors";
pub(crate) const INDEX: &str = "model.safetensors.index.json";
const TOKENIZER: &str = "tokenizer.json";
const ADAPTER: [&str; 2] = ["adapter_config.json", "adapter_model.safetensors"];

/// What is taken along with a model where it is there.
const BESIDE: [&str; 10] = [
    "generation_config.json",
    TOKENIZER,
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
];

/// Endings of files that hold rows.
const ROWS: [&str; 7] = [".jsonl", ".json", ".ndjson", ".csv", ".tsv", ".parquet", ".txt"];
const COMPRESSED: [&str; 2] = [".gz", ".zst"];

/// Files of a dataset's repository that hold no rows.
const ABOUT: [&str; 3] = ["dataset_infos.json", "dataset_info.json", "state.json"];

impl Wanted {
    pub(crate) fn is_dataset(self) -> bool {
        self == Self::Data
    }

    /// The files to have, with `path` of the address, of those there are; the shards that an index names come later.
    ///
    /// # Errors
    /// What is missing, and what there is instead.
    pub(crate) fn choose<'f>(self, path: Option<&str>, files: &'f [RepoFile]) -> Result<Vec<&'f RepoFile>, String> {
        if let Some(path) = path.filter(|path| files.iter().any(|file| file.name == *path)) {
            return self.named(path, files);
        }
        if self == Self::Data {
            return data(path, files);
        }
        let folder = path.map(|path| format!("{path}/")).unwrap_or_default();
        let find = |name: &str| files.iter().find(|file| file.name.strip_prefix(&folder) == Some(name));
        if let Some(path) = path
            && !files.iter().any(|file| file.name.starts_with(&folder))
        {
            return Err(format!("it has no file or folder `{path}`; it has {}", list(files, |_| true)));
        }
        let required =
            |names: &[&'static str]| names.iter().map(|name| find(name).ok_or(*name)).collect::<Result<Vec<_>, _>>();
        let mut chosen = match self {
            Self::Config | Self::Model => required(&[CONFIG]),
            Self::Tokenizer => required(&[TOKENIZER]),
            Self::Adapter | Self::Data => required(&ADAPTER),
        }
        .map_err(|missing| instead(self, missing, &folder, files))?;
        if self == Self::Model {
            let weights = find(WEIGHTS).or_else(|| find(INDEX));
            chosen.push(weights.ok_or_else(|| instead(self, WEIGHTS, &folder, files))?);
            chosen.extend(BESIDE.iter().filter_map(|name| find(name)));
        }
        if self == Self::Tokenizer {
            chosen.extend(beside(&folder, files));
        }
        Ok(chosen)
    }

    /// The one file that an address names.
    fn named<'f>(self, path: &str, files: &'f [RepoFile]) -> Result<Vec<&'f RepoFile>, String> {
        let ending = match self {
            Self::Config | Self::Model => ".gguf",
            Self::Tokenizer => ".json",
            Self::Adapter => {
                return Err(format!("`{path}` is a file; an adapter is a folder: name that, or the repository"));
            }
            Self::Data => "",
        };
        if !path.ends_with(ending) {
            return Err(format!("`{path}` is no {ending} file; for safetensors name the repository or the folder"));
        }
        let named = files.iter().filter(|file| file.name == path);
        let folder = path.rsplit_once('/').map(|(folder, _)| format!("{folder}/")).unwrap_or_default();
        Ok(match self {
            Self::Tokenizer => {
                named.chain(beside(&folder, files).into_iter().filter(|file| file.name != path)).collect()
            }
            _ => named.collect(),
        })
    }
}

/// What a tokenizer of this folder is read with.
fn beside<'f>(folder: &str, files: &'f [RepoFile]) -> Vec<&'f RepoFile> {
    let with = BESIDE.iter().filter(|name| **name != TOKENIZER).chain([&CONFIG]);
    with.filter_map(|name| files.iter().find(|file| file.name.strip_prefix(folder) == Some(name))).collect()
}

/// The files of rows that a path or pattern means; without one, the only one.
fn data<'f>(path: Option<&str>, files: &'f [RepoFile]) -> Result<Vec<&'f RepoFile>, String> {
    let mut found: Vec<&RepoFile> = match path {
        Some(path) => {
            let folder = format!("{path}/*");
            files
                .iter()
                .filter(|file| matches(path, &file.name) || (matches(&folder, &file.name) && has_rows(file)))
                .collect()
        }
        None => files.iter().filter(|file| has_rows(file)).collect(),
    };
    found.sort_by(|a, b| a.name.cmp(&b.name));
    match (path, found.len()) {
        (Some(path), 0) => Err(format!("no file is called `{path}`; it has {}", list(files, has_rows))),
        (None, 0) => Err(format!("it has no file of rows; it has {}", list(files, |_| true))),
        (None, 2..) => {
            Err(format!("it has several files of rows; name one, or several by `*`: {}", list(files, has_rows)))
        }
        _ => Ok(found),
    }
}

fn has_rows(file: &RepoFile) -> bool {
    let name = file.name.rsplit('/').next().unwrap_or_default();
    let plain = COMPRESSED.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name);
    ROWS.iter().any(|ending| plain.ends_with(ending))
        && !ABOUT.contains(&name)
        && !name.starts_with('.')
        && plain != "LICENSE.txt"
}

/// Whether a name is of this pattern, in which `*` stands for anything but a `/`.
fn matches(pattern: &str, name: &str) -> bool {
    let (mut patterns, mut names) = (pattern.split('/'), name.split('/'));
    loop {
        match (patterns.next(), names.next()) {
            (None, None) => return true,
            (Some(pattern), Some(name)) if matches_part(pattern, name) => {}
            _ => return false,
        }
    }
}

fn matches_part(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(first) else { return false };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let last = pieces.pop().unwrap_or_default();
    for piece in pieces {
        let Some(at) = name.find(piece) else { return false };
        name = &name[at + piece.len()..];
    }
    name.ends_with(last)
}

/// Why a file that is needed is missing, as far as the other files tell.
fn instead(wanted: Wanted, missing: &str, folder: &str, files: &[RepoFile]) -> String {
    let here =
        |ending: &str| files.iter().any(|f| f.name.strip_prefix(folder).is_some_and(|name| name.ends_with(ending)));
    let ggufs = || list(files, |file| file.name.ends_with(".gguf"));
    let is_model = matches!(wanted, Wanted::Config | Wanted::Model);
    if is_model && here("adapter_config.json") {
        return "it is an adapter; give its base model as `source` and this as `adapter`".into();
    }
    if is_model && here(".gguf") {
        return format!("it has GGUF files; name one of them behind it: {}", ggufs());
    }
    if wanted == Wanted::Adapter && here("adapter_model.bin") {
        return "its adapter is a pickle (adapter_model.bin), which can run code and is not read; save it with safetensors".into();
    }
    if wanted == Wanted::Adapter && here(CONFIG) {
        return "it is a whole model, not an adapter; give it as `source`".into();
    }
    if wanted == Wanted::Model && missing == WEIGHTS && (here(".bin") || here(".pt") || here(".pth")) {
        return "its weights are pickles, which can run code and are not read; a revision `refs/pr/N` made by the hub's converter often has safetensors".into();
    }
    format!("it has no `{folder}{missing}`; it has {}", list(files, |_| true))
}

/// Some names, and how many more there are.
fn list(files: &[RepoFile], is_shown: impl Fn(&RepoFile) -> bool) -> String {
    const SHOWN: usize = 12;
    let names: BTreeSet<&str> = files.iter().filter(|f| is_shown(f)).map(|f| f.name.as_str()).collect();
    if names.is_empty() {
        return "none".into();
    }
    let more = names.len().saturating_sub(SHOWN);
    let shown: Vec<&str> = names.into_iter().take(SHOWN).collect();
    match more {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
