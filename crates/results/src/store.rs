//! The Parquet files of a run folder: written whole or not at all, checked when read.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use polars::prelude::{DataFrame, PolarsError};
use polars_io::prelude::{KeyValueMetadata, ParquetReader, ParquetWriter, SerReader};
use tunebench_files::write_file;
use tunebench_spec::{ArmRecord, Generation, GradientReceipt, Judgement, LossLog, Probe, StepLog};

use crate::column::{ColumnSpec, Record};
use crate::error::{Error, Result};
use crate::frames::{FRAMES, Frame};
use crate::scores::derive_scores;
use crate::seal::{self, Seal};

/// Version of the frames' columns and their meaning, in each file's metadata under `tunebench.format_version`.
///
/// Version 2 has a row for each training of an arm, the frame `losses`, and the content of items, prompts and judges;
/// version 3 the frame `probes`, and of a judgement its answer, its rival and what its server was asked and said;
/// version 4 by what a training was computed.
pub const FORMAT_VERSION: u32 = 4;

const VERSION_KEY: &str = "tunebench.format_version";
/// The first and last bytes of a Parquet file.
const MAGIC: &[u8] = b"PAR1";

/// Writes `arms.parquet`; rows are in the study's order, which the tables keep.
///
/// # Errors
/// When the file cannot be written; the old one is then still whole.
pub fn write_arms(dir: &Path, rows: &[ArmRecord]) -> Result<()> {
    write(dir, rows)
}

/// Writes `steps.parquet`.
///
/// # Errors
/// As [`write_arms`].
pub fn write_steps(dir: &Path, rows: &[StepLog]) -> Result<()> {
    write(dir, rows)
}

/// Writes `losses.parquet`.
///
/// # Errors
/// As [`write_arms`].
pub fn write_losses(dir: &Path, rows: &[LossLog]) -> Result<()> {
    write(dir, rows)
}

/// Writes `receipts.parquet`.
///
/// # Errors
/// As [`write_arms`].
pub fn write_receipts(dir: &Path, rows: &[GradientReceipt]) -> Result<()> {
    write(dir, rows)
}

/// Writes `generations.parquet`.
///
/// # Errors
/// As [`write_arms`].
pub fn write_generations(dir: &Path, rows: &[Generation]) -> Result<()> {
    write(dir, rows)
}

/// Writes `judgements.parquet`, and `scores.parquet` derived from them, so that the two agree.
///
/// # Errors
/// As [`write_arms`], and when a category has the name of an average.
pub fn write_judgements(dir: &Path, rows: &[Judgement]) -> Result<()> {
    let scores = derive_scores(rows)?;
    write(dir, rows)?;
    write(dir, &scores)
}

/// Writes `probes.parquet`.
///
/// # Errors
/// As [`write_arms`].
pub fn write_probes(dir: &Path, rows: &[Probe]) -> Result<()> {
    write(dir, rows)
}

/// Equal rows give equal bytes.
fn write<R: Record>(dir: &Path, rows: &[R]) -> Result<()> {
    let path = path_of(dir, R::FRAME);
    let encode = |error: PolarsError| Error::Encode { path: path.clone(), why: error.to_string() };
    let mut frame = DataFrame::new(rows.len(), R::to_columns(rows)).map_err(encode)?;
    let mut bytes = Vec::new();
    ParquetWriter::new(&mut bytes)
        .with_key_value_metadata(Some(KeyValueMetadata::from_static(metadata(&R::columns()))))
        .finish(&mut frame)
        .map_err(encode)?;
    seal::seal(&mut bytes);
    Ok(write_file(&path, |out| out.write_all(&bytes))?)
}

fn metadata(columns: &[ColumnSpec]) -> Vec<(String, String)> {
    let version = (VERSION_KEY.to_owned(), FORMAT_VERSION.to_string());
    let described = columns.iter().map(|column| (format!("tunebench.column.{}", column.name), column.metadata()));
    let blank_seal = (seal::KEY.to_owned(), seal::BLANK.to_owned());
    std::iter::once(version).chain(described).chain([blank_seal]).collect()
}

fn path_of(dir: &Path, frame: &str) -> PathBuf {
    dir.join(format!("{frame}.parquet"))
}

/// The frames of a run folder, read when asked for.
#[derive(Clone, Debug)]
pub struct Frames {
    dir: PathBuf,
}

impl Frames {
    /// # Errors
    /// When `dir` is not a folder.
    pub fn open(dir: &Path) -> Result<Self> {
        if !dir.is_dir() {
            return Err(Error::NotAFolder(dir.to_owned()));
        }
        Ok(Self { dir: dir.to_owned() })
    }

    /// The run folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The frames whose file is there, in the order of [`FRAMES`].
    pub fn present(&self) -> Vec<Frame> {
        FRAMES.into_iter().filter(|frame| path_of(&self.dir, frame.name).exists()).collect()
    }

    /// Every record of a frame, in the order of the file.
    ///
    /// # Errors
    /// When the file is missing, damaged, of another version, or not as declared.
    pub fn read<R: Record>(&self) -> Result<Vec<R>> {
        let frame = self.frame(Frame::of::<R>())?;
        R::from_frame(&frame).map_err(|error| Error::BadColumn {
            path: path_of(&self.dir, R::FRAME),
            column: error.column,
            why: error.why,
        })
    }

    /// A whole frame: the declared columns, in order; others in the file are left out.
    ///
    /// # Errors
    /// As [`Frames::read`].
    pub fn frame(&self, frame: Frame) -> Result<DataFrame> {
        let names: Vec<&str> = (frame.columns)().iter().map(|column| column.name).collect();
        self.columns(frame, &names)
    }

    /// Some columns of a frame, in this order: a large frame's texts take more memory than all else that is done with it.
    ///
    /// # Errors
    /// As [`Frames::read`]; whatever is asked for, the file has all columns that are declared.
    pub fn columns(&self, frame: Frame, names: &[&str]) -> Result<DataFrame> {
        let path = path_of(&self.dir, frame.name);
        if !path.exists() {
            return Err(Error::Missing(path));
        }
        let bytes = std::fs::read(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
        check_seal(&path, &bytes)?;
        let corrupt = |error: PolarsError| Error::Corrupt { path: path.clone(), why: error.to_string() };
        let mut reader = ParquetReader::new(Cursor::new(bytes));
        let version = version_of(&mut reader).map_err(corrupt)?;
        check_version(&path, version.as_deref())?;
        let schema = reader.schema().map_err(corrupt)?;
        let declared = (frame.columns)();
        if let Some(column) = declared.iter().find(|column| !schema.contains(column.name)) {
            return Err(Error::MissingColumn { path, column: column.name });
        }
        let wanted = names.iter().map(|name| (*name).to_owned()).collect();
        let read = reader.with_columns(Some(wanted)).finish().map_err(corrupt)?;
        read.select(names.iter().copied()).map_err(corrupt)
    }
}

fn check_seal(path: &Path, bytes: &[u8]) -> Result<()> {
    let path = path.to_owned();
    let complete = bytes.starts_with(MAGIC) && bytes.ends_with(MAGIC);
    match seal::check(bytes) {
        Seal::Intact => Ok(()),
        Seal::Broken => Err(Error::Corrupt { path, why: "its bytes have changed since it was written".into() }),
        Seal::Absent if complete => Err(Error::Foreign { path, key: seal::KEY }),
        Seal::Absent => Err(Error::Corrupt { path, why: "it does not begin and end like one".into() }),
    }
}

fn version_of(reader: &mut ParquetReader<Cursor<Vec<u8>>>) -> Result<Option<String>, PolarsError> {
    let pairs = reader.get_metadata()?.key_value_metadata.as_deref().unwrap_or_default();
    Ok(pairs.iter().find(|pair| pair.key == VERSION_KEY).and_then(|pair| pair.value.clone()))
}

fn check_version(path: &Path, version: Option<&str>) -> Result<()> {
    let path = || path.to_owned();
    let Some(version) = version else { return Err(Error::Foreign { path: path(), key: VERSION_KEY }) };
    match version.parse() {
        Ok(found) if found > FORMAT_VERSION => Err(Error::Newer { path: path(), found, known: FORMAT_VERSION }),
        Ok(FORMAT_VERSION) => Ok(()),
        Ok(found @ 1..) => Err(Error::Older { path: path(), found, known: FORMAT_VERSION }),
        _ => Err(Error::BadVersion { path: path(), found: version.escape_debug().to_string() }),
    }
}
