//! A loaded dataset: rows with their positions, over files that the host holds open.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Mutex;

use abi_stable::sabi_trait::TD_Opaque;
use abi_stable::std_types::{RErr, ROk, RStr, RString, RVec};
use serde::{Deserialize, Serialize};
use tunebench_plugin_api::abi::{AbiError, AbiResult, AbiSource, AbiSource_TO, DatasetBox, PluginRoot_Ref, code};
use tunebench_spec::Row;

use crate::place::{Place, Runner};
use crate::session::{Reply, Request};
use crate::{HostError, Options, Plugin};

/// A stream of rows.
pub struct DatasetPlugin {
    place: Place,
    batch: std::vec::IntoIter<Placed>,
    /// Rows to ask for next.
    ask: u64,
}

/// A row and where it begins; the position is the plugin's own text.
#[derive(Serialize, Deserialize)]
pub(crate) struct Placed {
    position: serde_json::Value,
    row: Row,
}

/// Most rows per crossing of the boundary. The first crossing after a seek asks for one, each further one for twice as
/// many: who jumps from row to row reads little in vain.
const MOST_ROWS: u64 = 256;

impl DatasetPlugin {
    pub(crate) fn open(
        runner: &Runner,
        plugin: &Plugin,
        files: &[PathBuf],
        options: &Options,
    ) -> Result<Self, HostError> {
        let place = runner.open(plugin, options, files)?;
        Ok(Self { place, batch: Vec::new().into_iter(), ask: MOST_ROWS })
    }

    /// The next row with the position where it begins; `None` at the end.
    ///
    /// # Errors
    /// When the source cannot be read on, or the plugin fails.
    #[allow(clippy::should_implement_trait)] // an iterator of results would hide that it ends after an error
    pub fn next(&mut self) -> Result<Option<(String, Row)>, HostError> {
        if self.batch.len() == 0 {
            let reply = self.place.call("reading rows", Request::Rows(self.ask))?;
            self.ask = (2 * self.ask).min(MOST_ROWS);
            match reply {
                Reply::Rows(rows) => self.batch = rows.into_iter(),
                other => return Err(other.unexpected(self.place.name())),
            }
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
        self.place.call(&format!("seeking to {position}"), Request::Seek(position.to_owned())).map(|_| ())
    }
}

/// A dataset where it runs.
pub(crate) struct Dataset {
    name: String,
    inner: DatasetBox,
}

impl Dataset {
    pub fn open(name: &str, root: PluginRoot_Ref, files: &[PathBuf], options: &str) -> Result<Self, HostError> {
        let source = AbiSource_TO::from_value(Files::open(files)?, TD_Opaque);
        let inner = root.new_dataset()(source, RStr::from(options)).into_result();
        let inner = inner.map_err(|e| HostError::from_abi(name, "opening the source", &e))?;
        Ok(Self { name: name.to_owned(), inner })
    }

    /// At most `most` rows.
    pub fn rows(&mut self, most: u64) -> Result<Vec<Placed>, HostError> {
        let doing = "reading rows";
        let json = self.inner.next_batch(most).into_result();
        let json = json.map_err(|e| HostError::from_abi(&self.name, doing, &e))?;
        let rows: Vec<Placed> =
            serde_json::from_slice(json.as_bytes()).map_err(|e| HostError::invalid(&self.name, doing, e))?;
        if rows.len() as u64 > most {
            let fault = format!("{} rows, where at most {most} were asked for", rows.len());
            return Err(HostError::invalid(&self.name, doing, fault));
        }
        Ok(rows)
    }

    /// As [`DatasetPlugin::seek`].
    pub fn seek(&mut self, position: &str) -> Result<(), HostError> {
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
