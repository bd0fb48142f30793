//! A dataset with its options, over files: a stream of rows with their positions.

use tunebench_spec::Row;

use crate::adapter::{PositionedRow, Reply, Request, SourceFiles};
use crate::error::HostError;
use crate::load::Plugin;
use crate::options::Options;
use crate::worker::{Launcher, Worker};

/// A stream of rows.
pub struct DatasetPlugin {
    worker: Worker,
    batch: std::vec::IntoIter<PositionedRow>,
    /// Rows to ask for next.
    ask: u64,
}

/// Most rows per crossing of the boundary. The first crossing after a seek asks for one, each further one for twice as
/// many: who jumps from row to row reads little in vain.
const MOST_ROWS: u64 = 256;

impl DatasetPlugin {
    pub(crate) fn open(
        launcher: &Launcher,
        plugin: &Plugin,
        source: &SourceFiles,
        options: &Options,
    ) -> Result<Self, HostError> {
        let worker = launcher.open(plugin, options, source)?;
        Ok(Self { worker, batch: Vec::new().into_iter(), ask: MOST_ROWS })
    }

    /// The next row with the position where it begins; `None` at the end.
    ///
    /// # Errors
    /// When the source cannot be read on, or the plugin fails.
    #[allow(clippy::should_implement_trait)] // an iterator of results would hide that it ends after an error
    pub fn next(&mut self) -> Result<Option<(String, Row)>, HostError> {
        Ok(self.next_positioned()?.map(|row| (row.position.to_string(), row.row)))
    }

    /// The next row alone, which costs less; `None` at the end.
    ///
    /// # Errors
    /// As [`DatasetPlugin::next`].
    pub fn next_row(&mut self) -> Result<Option<Row>, HostError> {
        Ok(self.next_positioned()?.map(|row| row.row))
    }

    fn next_positioned(&mut self) -> Result<Option<PositionedRow>, HostError> {
        if self.batch.len() == 0 {
            let reply = self.worker.call("reading rows", Request::Rows(self.ask))?;
            self.ask = (2 * self.ask).min(MOST_ROWS);
            match reply {
                Reply::Rows(rows) => self.batch = rows.into_iter(),
                other => return Err(other.unexpected(self.worker.plugin())),
            }
        }
        Ok(self.batch.next())
    }

    /// What a user should know of the rows read so far: how files were read, and what of them was not used.
    ///
    /// # Errors
    /// When the plugin fails.
    pub fn remarks(&mut self) -> Result<Vec<String>, HostError> {
        match self.worker.call("telling its remarks", Request::Remarks)? {
            Reply::Remarks(remarks) => Ok(remarks),
            other => Err(other.unexpected(self.worker.plugin())),
        }
    }

    /// Continue from a position that [`DatasetPlugin::next`] gave, perhaps in another process.
    ///
    /// # Errors
    /// When the position is not one of this source.
    pub fn seek(&mut self, position: &str) -> Result<(), HostError> {
        self.batch = Vec::new().into_iter();
        self.ask = 1;
        self.worker.call(&format!("seeking to {position}"), Request::Seek(position.to_owned())).map(|_| ())
    }
}
