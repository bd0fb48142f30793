//! The files that a dataset reads: through the host, or in memory for a test.

use abi_stable::sabi_trait::TD_Opaque;
use abi_stable::std_types::{RResult, RString, RVec};

use crate::Error;
use crate::abi::{API_MINOR, AbiResult, AbiSource, SourceBox};

/// Files that can be read at any offset: a [`crate::Source`], or text in memory for a test.
pub trait ReadAt {
    /// Names, for messages.
    fn files(&self) -> &[String];

    /// At most `max` bytes of a file from `offset` on; none at or behind its end.
    ///
    /// # Errors
    /// When the file cannot be read, and why.
    fn read(&self, file: usize, offset: u64, max: usize) -> std::result::Result<Vec<u8>, String>;
}

/// The files of a dataset, read through the host.
pub struct Source {
    inner: SourceBox,
    files: Vec<String>,
    host_minor: u32,
}

impl Source {
    pub(crate) fn new(inner: SourceBox) -> Self {
        let files = inner.files().into_iter().map(Into::into).collect();
        let host_minor = inner.api_minor();
        Self { inner, files, host_minor }
    }

    /// The minor version of the host's contract.
    pub(crate) fn host_minor(&self) -> u32 {
        self.host_minor
    }

    /// A source of texts in memory under the given names, to try a dataset on.
    pub fn in_memory<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let files = files.into_iter().map(|(name, text)| (name.into(), text.to_vec())).collect();
        Self::new(SourceBox::from_value(Memory { files }, TD_Opaque))
    }
}

impl ReadAt for Source {
    fn files(&self) -> &[String] {
        &self.files
    }

    fn read(&self, file: usize, offset: u64, max: usize) -> std::result::Result<Vec<u8>, String> {
        let file = u32::try_from(file).map_err(|_| "no such file".to_owned())?;
        match self.inner.read(file, offset, max as u64).into_result() {
            Ok(bytes) => Ok(bytes.into_vec()),
            Err(e) => Err(Error::from(e).message().to_owned()),
        }
    }
}

struct Memory {
    files: Vec<(RString, Vec<u8>)>,
}

impl AbiSource for Memory {
    fn files(&self) -> RVec<RString> {
        self.files.iter().map(|(name, _)| name.clone()).collect()
    }

    fn read(&self, file: u32, offset: u64, max: u64) -> AbiResult<RVec<u8>> {
        let bytes = self.files.get(file as usize).map_or(&[][..], |(_, text)| text);
        let rest = bytes.get(usize::try_from(offset).unwrap_or(usize::MAX)..).unwrap_or(&[]);
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        RResult::ROk(rest[..rest.len().min(max)].into())
    }

    fn api_minor(&self) -> u32 {
        API_MINOR
    }
}
