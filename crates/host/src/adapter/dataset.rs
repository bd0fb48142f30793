//! A dataset beside its plugin: rows with their positions, over files that the host holds open.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Mutex;

use abi_stable::sabi_trait::TD_Opaque;
use abi_stable::std_types::{RErr, ROk, RStr, RString, RVec};
use serde::{Deserialize, Serialize};
use tunebench_plugin_api::abi::{
    API_MINOR, AbiError, AbiResult, AbiSource, AbiSource_TO, DatasetBox, PluginRoot_Ref, code,
};
use tunebench_spec::Row;

use crate::error::HostError;

/// A row and where it begins; the position is the plugin's own text.
#[derive(Serialize, Deserialize)]
pub(crate) struct PositionedRow {
    pub position: serde_json::Value,
    pub row: Row,
}

/// A plugin's dataset with its options.
pub(crate) struct Dataset {
    name: String,
    inner: DatasetBox,
}

impl Dataset {
    pub fn open(name: &str, root: PluginRoot_Ref, files: Files, options: &str) -> Result<Self, HostError> {
        let source = AbiSource_TO::from_value(files, TD_Opaque);
        let inner = root.new_dataset()(source, RStr::from(options)).into_result();
        let inner = inner.map_err(|e| HostError::from_abi(name, "opening the source", &e))?;
        Ok(Self { name: name.to_owned(), inner })
    }

    /// At most `most` rows.
    pub fn rows(&mut self, most: u64) -> Result<Vec<PositionedRow>, HostError> {
        let operation = "reading rows";
        let json = self.inner.next_batch(most).into_result();
        let json = json.map_err(|e| HostError::from_abi(&self.name, operation, &e))?;
        let rows: Vec<PositionedRow> =
            serde_json::from_slice(json.as_bytes()).map_err(|e| HostError::invalid(&self.name, operation, e))?;
        if rows.len() as u64 > most {
            let error = format!("{} rows, where at most {most} were asked for", rows.len());
            return Err(HostError::invalid(&self.name, operation, error));
        }
        Ok(rows)
    }

    /// Continues from a position that came with a row.
    pub fn seek(&mut self, position: &str) -> Result<(), HostError> {
        let result = self.inner.seek(RStr::from(position)).into_result();
        result.map_err(|e| HostError::from_abi(&self.name, format!("seeking to {position}"), &e))
    }
}

/// The open files of a source, in the order the study gives.
#[derive(Default)]
pub(crate) struct Files {
    names: Vec<String>,
    files: Vec<Mutex<File>>,
}

/// Most bytes per read; a plugin that asks for more gets this much.
const MOST_BYTES: u64 = 16 << 20;

impl Files {
    /// Opens them all.
    ///
    /// # Errors
    /// [`HostError::Source`] with the file that cannot be opened.
    pub fn open(paths: &[PathBuf]) -> Result<Self, HostError> {
        let mut this = Self { names: Vec::new(), files: Vec::new() };
        for path in paths {
            let fail = |reason: String| HostError::Source { path: path.clone(), reason };
            let file = File::open(path).map_err(|e| fail(e.to_string()))?;
            if file.metadata().map_err(|e| fail(e.to_string()))?.is_dir() {
                return Err(fail("is a folder; name the files in it".into()));
            }
            this.names.push(path.file_name().unwrap_or_default().to_string_lossy().into_owned());
            this.files.push(Mutex::new(file));
        }
        Ok(this)
    }

    fn read_at(&self, file: u32, offset: u64, max: u64) -> Result<Vec<u8>, String> {
        let file = self.files.get(file as usize).ok_or_else(|| format!("the source has no file {file}"))?;
        let mut file = file.lock().map_err(|_| "the file is in use".to_owned())?;
        file.seek(SeekFrom::Start(offset)).map_err(|e| e.to_string())?;
        let mut bytes = Vec::new();
        (&mut *file).take(max.min(MOST_BYTES)).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
        Ok(bytes)
    }
}

impl AbiSource for Files {
    fn files(&self) -> RVec<RString> {
        self.names.iter().map(|n| n.as_str().into()).collect()
    }

    fn read(&self, file: u32, offset: u64, max: u64) -> AbiResult<RVec<u8>> {
        match self.read_at(file, offset, max) {
            Ok(bytes) => ROk(bytes.into()),
            Err(reason) => RErr(AbiError::new(code::REFUSED, &reason)),
        }
    }

    fn api_minor(&self) -> u32 {
        API_MINOR
    }
}
