//! A launcher's MPI library, opened and known for what it is.

use std::error::Error as _;
use std::ffi::{CStr, c_char, c_int, c_void};

use libloading::os::unix::{Library as File, RTLD_LOCAL, RTLD_NOW};

use super::functions::{Abi, Functions, Handle, LONGEST_TEXT, MPICH, SUCCESS};
use super::launcher::{Launcher, VARIABLE};
use crate::error::Error;

/// An open library. It is never closed: an MPI cannot be begun a second time in a process.
pub struct Library {
    pub file: String,
    pub abi: Abi,
    pub call: Functions,
}

impl Library {
    /// Opens the library that the environment names, or the first that there is of the launcher's.
    ///
    /// # Errors
    /// When there is none, or when it is not what it should be.
    #[expect(unsafe_code, reason = "a library is opened and its symbols are used")]
    pub fn open(launcher: &Launcher) -> Result<Self, Error> {
        let named = std::env::var(VARIABLE).ok();
        let candidates: Vec<&str> = named.as_deref().map_or_else(|| launcher.files.to_vec(), |file| vec![file]);
        let mut faults = Vec::new();
        for file in candidates {
            // SAFETY: opening runs the initialisers of what is by its name the system's MPI, or what the user named.
            match unsafe { File::open(Some(file), RTLD_NOW | RTLD_LOCAL) } {
                Ok(library) => return Self::know(Box::leak(Box::new(library)), file),
                // What the system says of it, with the name of the file, is behind the error.
                Err(fault) => {
                    faults.push(fault.source().map_or_else(|| format!("{file}: {fault}"), ToString::to_string))
                }
            }
        }
        Err(Error::NoLibrary { launcher: launcher.name.into(), faults: faults.join("; "), variable: VARIABLE })
    }

    #[expect(unsafe_code, reason = "the library is asked what it is")]
    fn know(library: &'static File, file: &str) -> Result<Self, Error> {
        let missing = |symbol| Error::Symbol { file: file.to_owned(), symbol, variable: VARIABLE };
        // SAFETY: a library with these names that is no MPI is nothing that can be guarded against.
        let call = unsafe { Functions::find(library) }.map_err(missing)?;
        let (abi, expected) = match open_mpi(library) {
            Some(abi) => (abi, "Open MPI"),
            None => (MPICH, "an MPI with MPICH's ABI"),
        };
        // SAFETY: the one function that may be called before MPI begins and needs no handle.
        let found = text(|text, length| unsafe { (call.get_library_version)(text, length) });
        if found.contains("Open MPI") != (expected == "Open MPI") || found.is_empty() {
            let (file, found) = (file.to_owned(), found.lines().next().unwrap_or_default().to_owned());
            return Err(Error::OtherLibrary { file, found, expected, variable: VARIABLE });
        }
        Ok(Self { file: file.to_owned(), abi, call })
    }

    /// The machine that this process runs on, once MPI has begun.
    #[expect(unsafe_code, reason = "MPI is called")]
    pub fn machine(&self) -> String {
        // SAFETY: the buffer is longer than any of its texts.
        text(|text, length| unsafe { (self.call.get_processor_name)(text, length) })
    }

    /// What a code means.
    #[expect(unsafe_code, reason = "MPI is called")]
    pub fn said(&self, code: c_int) -> String {
        // SAFETY: the buffer is longer than any of its texts.
        let said = text(|text, length| unsafe { (self.call.error_string)(code, text, length) });
        said.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// Open MPI's handles, the addresses of its objects; none of another library.
#[expect(unsafe_code, reason = "symbols are looked up")]
fn open_mpi(library: &File) -> Option<Abi> {
    let handle = |name: &str| -> Option<Handle> {
        // SAFETY: the address alone is taken, nothing is read there.
        let symbol = unsafe { library.get::<*const c_void>(name) }.ok()?;
        Some(symbol.into_raw() as usize)
    };
    Some(Abi {
        world: handle("ompi_mpi_comm_world")?,
        byte: handle("ompi_mpi_byte")?,
        errors_return: handle("ompi_mpi_errors_return")?,
        status_ignore: 0,
    })
}

/// What a function writes into a buffer; nothing where it fails.
fn text(write: impl Fn(*mut c_char, *mut c_int) -> c_int) -> String {
    let (mut bytes, mut length) = (vec![0_u8; LONGEST_TEXT], 0);
    if write(bytes.as_mut_ptr().cast(), &mut length) != SUCCESS {
        return String::new();
    }
    CStr::from_bytes_until_nul(&bytes).map(|text| text.to_string_lossy().trim().to_owned()).unwrap_or_default()
}
