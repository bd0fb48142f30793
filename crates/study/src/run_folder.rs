//! What a run keeps, and where. Work is named by the hash of all that it depends on, so finished work is found
//! again, changed work gets a new name, and nothing is ever overwritten by something else.
//!
//! ```text
//! OUT/study.toml             the study as it was run
//! OUT/*.parquet              the frames: all that an analyst needs
//! OUT/work/train-ID/         one arm's training: checkpoint, steps.jsonl, result, arm.json when finished
//! OUT/work/answers-ID.jsonl  one arm's answers, a line each as they come
//! OUT/work/replies.jsonl     every reply of a judge model, with its request
//! ```

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A run folder, locked while a study writes to it.
pub struct RunFolder {
    root: PathBuf,
    _lock: File,
}

impl RunFolder {
    /// Opens or makes the folder for writing.
    ///
    /// # Errors
    /// When it cannot be made, or another run is writing to it.
    pub fn open(root: &Path) -> Result<Self> {
        let work = root.join("work");
        std::fs::create_dir_all(&work).with_context(|| format!("run folder {}", root.display()))?;
        let path = work.join("lock");
        let lock = File::create(&path).with_context(|| path.display().to_string())?;
        lock.try_lock()
            .with_context(|| format!("{}: another run is writing to it; let it end first", root.display()))?;
        Ok(Self { root: root.to_owned(), _lock: lock })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn training(&self, identity: &str) -> PathBuf {
        training(&self.root, identity)
    }

    pub fn answers(&self, identity: &str) -> PathBuf {
        self.root.join("work").join(format!("answers-{}.jsonl", short(identity)))
    }

    pub fn replies(&self) -> PathBuf {
        self.root.join("work/replies.jsonl")
    }
}

/// The folder of an arm's training within a run folder.
pub fn training(root: &Path, identity: &str) -> PathBuf {
    root.join("work").join(format!("train-{}", short(identity)))
}

fn short(identity: &str) -> &str {
    identity.get(..16).unwrap_or(identity)
}

/// Lines of JSON, appended one by one and kept through a kill.
pub struct Lines<T> {
    file: File,
    path: PathBuf,
    kind: std::marker::PhantomData<T>,
}

impl<T: Serialize + DeserializeOwned> Lines<T> {
    /// Opens or makes the file, and reads what is there. A torn last line, all that a kill can leave, is cut off.
    ///
    /// # Errors
    /// When the file cannot be read, or a whole line of it is not what it should be.
    pub fn open(path: &Path) -> Result<(Self, Vec<T>)> {
        let name = || path.display().to_string();
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).with_context(name)?;
        let mut values = Vec::new();
        let mut whole = 0;
        let mut line = Vec::new();
        let mut reader = BufReader::new(&file);
        while reader.read_until(b'\n', &mut line).with_context(name)? > 0 && line.ends_with(b"\n") {
            let number = values.len() + 1;
            let fault = || format!("{}:{number}: damaged; delete the file to make it anew", name());
            values.push(serde_json::from_slice(&line).with_context(fault)?);
            whole += line.len() as u64;
            line.clear();
        }
        file.set_len(whole).with_context(name)?;
        file.seek(SeekFrom::End(0)).with_context(name)?;
        Ok((Self { file, path: path.to_owned(), kind: std::marker::PhantomData }, values))
    }

    /// Appends one line and hands it to the system.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn append(&mut self, value: &T) -> Result<()> {
        let mut line = serde_json::to_vec(value)?;
        line.push(b'\n');
        self.file.write_all(&line).with_context(|| self.path.display().to_string())
    }
}
