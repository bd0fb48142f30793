//! A loaded dataset: rows with their positions, over files that the host holds open.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Mutex;

use abi_stable::sabi_trait::TD_Opaque;
use abi_stable::std_types::{RErr, ROk, RStr, RString, RVec};
use serde::Deserialize;
use tunebench_plugin_api::abi::{AbiError, AbiResult, AbiSource, AbiSource_TO, DatasetBox, code};
use tunebench_spec::Row;

use crate::{HostError, Options, Plugin, options_json};

/// A stream of rows.
pub struct DatasetPlugin {
    name: String,
    inner: DatasetBox,
    batch: std::vec::IntoIter<Placed>,
    /// Rows to ask for next.
    ask: u64,
}

/// A row and where it begins; the position is the plugin's own text.
#[derive(Deserialize)]
struct Placed {
    position: serde_json::Value,
    row: Row,
}

/// Most rows per crossing of the boundary. The first crossing after a seek asks for one, each further one for twice as
/// many: who jumps from row to row reads little in vain.
const MOST_ROWS: u64 = 256;

impl DatasetPlugin {
    pub(crate) fn open(plugin: &Plugin, files: &[PathBuf], options: &Options) -> Result<Self, HostError> {
        let name = plugin.manifest.name.clone();
        let options = options_json(options);
        let source = AbiSource_TO::from_value(Files::open(files)?, TD_Opaque);
        let inner = plugin.root.new_dataset()(source, RStr::from(options.as_str()))
            .into_result()
            .map_err(|e| HostError::from_abi(&name, "opening the source", &e))?;
        Ok(Self { name, inner, batch: Vec::new().into_iter(), ask: MOST_ROWS })
    }

    /// The next row with the position where it begins; `None` at the end.
    ///
    /// # Errors
    /// When the source cannot be read on, or the plugin fails.
    #[allow(clippy::should_implement_trait)] // an iterator of results would hide that it ends after an error
    pub fn next(&mut self) -> Result<Option<(String, Row)>, HostError> {
        if self.batch.len() == 0 {
            let doing = "reading rows";
            let json = self.inner.next_batch(self.ask).into_result();
            self.ask = (2 * self.ask).min(MOST_ROWS);
            let json = json.map_err(|e| HostError::from_abi(&self.name, doing, &e))?;
            let rows: Vec<Placed> =
                serde_json::from_str(&json).map_err(|e| HostError::invalid(&self.name, doing, e))?;
            self.batch = rows.into_iter();
        }
        Ok(self.batch.next().map(|p| (p.position.to_string(), p.row)))
    }

    /// Continue from a position that [`DatasetPlugin::next`] gave, perhaps in another process.
    ///
    /// # Errors
    /// When the position is not one of this source.
    pub fn seek(&mut self, position: &str) -> Result<(), HostError> {
        self.batch = Vec::new().into_iter();
        self.ask = 1;
        let result = self.inner.seek(RStr::from(position)).into_result();
        result.map_err(|e| HostError::from_abi(&self.name, format!("seeking to {position}"), &e))
    }
}

/// The open files of a source, in the order the study gives.
struct Files {
    names: Vec<String>,
    files: Vec<Mutex<File>>,
}

/// Most bytes per read; a plugin that asks for more gets this much.
const MOST_BYTES: u64 = 16 << 20;

impl Files {
    fn open(paths: &[PathBuf]) -> Result<Self, HostError> {
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
}
