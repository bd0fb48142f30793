//! A dataset beside its plugin: rows with their positions, over files that the host holds open.

use abi_stable::sabi_trait::TD_Opaque;
use abi_stable::std_types::RStr;
use serde::{Deserialize, Serialize};
use tunebench_plugin_api::abi::{AbiSource_TO, DatasetBox, PluginRoot_Ref};
use tunebench_spec::Row;

use super::files::Files;
use crate::error::HostError;

/// A row and where it begins; the position is the plugin's own text.
#[derive(Serialize, Deserialize)]
pub(crate) struct PositionedRow {
    pub position: serde_json::Value,
    pub row: Row,
}

/// Remarks of a plugin that are told.
const MOST_REMARKS: usize = 50;

/// A plugin's dataset with its options.
pub(crate) struct Dataset {
    name: String,
    inner: DatasetBox,
    files: Files,
}

impl Dataset {
    pub fn open(name: &str, root: PluginRoot_Ref, files: Files, options: &str) -> Result<Self, HostError> {
        let source = AbiSource_TO::from_value(files.clone(), TD_Opaque);
        let inner = root.new_dataset()(source, RStr::from(options)).into_result();
        let fault = |e| files.fault().unwrap_or_else(|| HostError::from_abi(name, "opening the source", &e));
        let inner = inner.map_err(fault)?;
        Ok(Self { name: name.to_owned(), inner, files })
    }

    /// At most `most` rows.
    pub fn rows(&mut self, most: u64) -> Result<Vec<PositionedRow>, HostError> {
        let operation = "reading rows";
        let json = self.inner.next_batch(most).into_result();
        let fault = |e| self.files.fault().unwrap_or_else(|| HostError::from_abi(&self.name, operation, &e));
        let json = json.map_err(fault)?;
        let rows: Vec<PositionedRow> =
            serde_json::from_slice(json.as_bytes()).map_err(|e| HostError::invalid(&self.name, operation, e))?;
        // A plugin that takes a failed read for the end of the file has read a part of it.
        if let Some(fault) = self.files.fault() {
            return Err(fault);
        }
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

    /// What a user should know of the rows read so far, by the files and by the plugin.
    pub fn remarks(&self) -> Result<Vec<String>, HostError> {
        let operation = "telling its remarks";
        let json = self.inner.remarks().into_result();
        let json = json.map_err(|e| HostError::from_abi(&self.name, operation, &e))?;
        let told: Vec<String> =
            serde_json::from_slice(json.as_bytes()).map_err(|e| HostError::invalid(&self.name, operation, e))?;
        let mut remarks = self.files.remarks();
        remarks.extend(told.into_iter().take(MOST_REMARKS));
        Ok(remarks)
    }
}
