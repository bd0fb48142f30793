//! A plugin's file: where it may lie, who may have written it, and a copy of it that nobody can change.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Larger files are no plugins of this contract, which link no framework.
const LARGEST_FILE: u64 = 512 << 20;

/// Endings of the files that models, datasets, checkpoints and runs consist of.
const DATA: [&str; 8] = ["safetensors", "gguf", "bin", "parquet", "jsonl", "arrow", "csv", "pt"];

/// Refuses files where anybody's downloads may lie: the working directory, and folders of models, data or results.
pub(crate) fn check_folder(path: &Path) -> Result<(), String> {
    let remedy = "move the plugin to a folder of its own";
    let folder = path.parent().unwrap_or(path);
    // What was built or installed with this program lies beside it, wherever it is started.
    if std::env::current_exe().and_then(|this| this.canonicalize()).is_ok_and(|this| this.parent() == Some(folder)) {
        return Ok(());
    }
    if std::env::current_dir().and_then(|here| here.canonicalize()).is_ok_and(|here| here == folder) {
        return Err(format!("it lies in the working directory, from which plugins are never loaded; {remedy}"));
    }
    let entries = std::fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    for entry in entries.filter_map(Result::ok) {
        let name = PathBuf::from(entry.file_name());
        if name.extension().is_some_and(|end| DATA.iter().any(|data| end == *data)) {
            let name = name.display();
            return Err(format!("it lies beside {name}: plugins are never loaded from folders of data; {remedy}"));
        }
    }
    Ok(())
}

/// Refuses a file that somebody else could have put there: it and the folders above it must be this user's or the
/// system's, and writable by nobody else.
#[cfg(unix)]
pub(crate) fn check_owners(path: &Path) -> Result<(), String> {
    use std::os::unix::fs::MetadataExt as _;

    // SAFETY: these calls take nothing and cannot fail.
    let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
    let system = std::fs::metadata("/").map(|root| root.uid()).unwrap_or(0);
    for place in path.ancestors() {
        let meta = std::fs::metadata(place).map_err(|e| format!("{}: {e}", place.display()))?;
        let shown = place.display();
        if ![user, 0, system].contains(&meta.uid()) {
            return Err(format!(
                "{shown} belongs to another user ({}); copy the plugin to a folder of yours",
                meta.uid()
            ));
        }
        // In a sticky folder such as /tmp others cannot replace what is not theirs.
        let is_sticky = meta.is_dir() && meta.mode() & 0o1000 != 0;
        if meta.mode() & 0o002 != 0 && !is_sticky {
            return Err(format!("everybody may write to {shown}; `chmod o-w` it"));
        }
        // A group of the user's own, which has the user's number, lets nobody else in.
        let is_private = meta.gid() == group && group == user;
        if meta.mode() & 0o020 != 0 && !is_sticky && !is_private {
            return Err(format!("its group may write to {shown}; `chmod g-w` it"));
        }
    }
    Ok(())
}

#[cfg(not(unix))]
pub(crate) fn check_owners(_: &Path) -> Result<(), String> {
    Ok(())
}

/// Where a file is, without links.
pub(crate) fn find(path: &Path) -> Result<PathBuf, String> {
    let path = path.canonicalize().map_err(|e| e.to_string())?;
    if path.is_file() { Ok(path) } else { Err("not a file".into()) }
}

/// The bytes of a file that has a plugin's size; no more are read, should it grow meanwhile.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, String> {
    let file = File::open(path).map_err(|e| e.to_string())?;
    let size = file.metadata().map_err(|e| e.to_string())?.len();
    if size > LARGEST_FILE {
        return Err(format!("{size} bytes; a plugin has at most {LARGEST_FILE}"));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST_FILE).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    Ok(bytes)
}

/// A private copy of a plugin's bytes, to be opened instead of the file, which may change under us.
pub(crate) struct Copy {
    /// What to open.
    pub path: PathBuf,
    /// Said by `plugins check`.
    pub described: &'static str,
    kept: Kept,
}

/// What keeps a copy there.
enum Kept {
    /// Sealed; in memory.
    Memory(File),
    /// On disk under no name.
    #[cfg(target_os = "linux")]
    Nameless(File),
    #[cfg(not(target_os = "linux"))]
    Folder(tempfile::TempDir),
}

impl Copy {
    /// In sealed memory; where the system has none that may be executed, a file that nobody else can name.
    pub fn new(bytes: &[u8], name: &str) -> Result<Self, String> {
        if let Ok(file) = sealed(bytes) {
            return Ok(Self { path: descriptor_path(&file), described: "sealed in memory", kept: Kept::Memory(file) });
        }
        Self::write_to_disk(bytes, name).map_err(|e| format!("a private copy: {e}"))
    }

    #[cfg(target_os = "linux")]
    fn write_to_disk(bytes: &[u8], _: &str) -> std::io::Result<Self> {
        use std::io::Write as _;
        let mut file = tempfile::tempfile()?;
        file.write_all(bytes)?;
        Ok(Self { path: descriptor_path(&file), described: "a private copy on disk", kept: Kept::Nameless(file) })
    }

    /// In a folder that only this user can enter.
    #[cfg(not(target_os = "linux"))]
    fn write_to_disk(bytes: &[u8], name: &str) -> std::io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("tunebench-plugin-").tempdir()?;
        let path = folder.path().join(format!("{name}{}", std::env::consts::DLL_SUFFIX));
        std::fs::write(&path, bytes)?;
        Ok(Self { path, described: "a private copy on disk", kept: Kept::Folder(folder) })
    }

    /// The copy, where it is a file on disk that is opened by its descriptor.
    pub fn on_disk(&self) -> Option<&File> {
        match &self.kept {
            #[cfg(target_os = "linux")]
            Kept::Nameless(file) => Some(file),
            _ => None,
        }
    }

    /// Once it is open: libraries are found again by their names, and a descriptor's number is the name here, so the
    /// descriptor stays. A folder may go, where the system lets it.
    pub fn keep(self) {
        match self.kept {
            Kept::Memory(file) => std::mem::forget(file),
            #[cfg(target_os = "linux")]
            Kept::Nameless(file) => std::mem::forget(file),
            #[cfg(not(target_os = "linux"))]
            Kept::Folder(folder) if cfg!(unix) => drop(folder),
            #[cfg(not(target_os = "linux"))]
            Kept::Folder(folder) => std::mem::forget(folder),
        }
    }
}

#[cfg(target_os = "linux")]
fn sealed(bytes: &[u8]) -> std::io::Result<File> {
    use std::io::{Error, Write as _};
    use std::os::fd::{AsRawFd as _, FromRawFd as _};

    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    let create = |flags| {
        // SAFETY: the name is a NUL-terminated constant.
        unsafe { libc::memfd_create(c"tunebench-plugin".as_ptr(), flags) }
    };
    // Kernels before 6.3 do not know MFD_EXEC and need none; later ones may be set to refuse it.
    let descriptor = match create(flags | libc::MFD_EXEC) {
        -1 if Error::last_os_error().raw_os_error() == Some(libc::EINVAL) => create(flags),
        descriptor => descriptor,
    };
    if descriptor < 0 {
        return Err(Error::last_os_error());
    }
    // SAFETY: the descriptor is new and nobody else's.
    let mut file = unsafe { File::from_raw_fd(descriptor) };
    file.write_all(bytes)?;
    let seals = libc::F_SEAL_SEAL | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE;
    // SAFETY: the descriptor is open, and this command takes one integer.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) } != 0 {
        return Err(Error::last_os_error());
    }
    Ok(file)
}

#[cfg(target_os = "linux")]
fn descriptor_path(file: &File) -> PathBuf {
    use std::os::fd::AsRawFd as _;
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

#[cfg(not(target_os = "linux"))]
fn sealed(_: &[u8]) -> std::io::Result<File> {
    Err(std::io::Error::other("this system has no sealed memory"))
}

#[cfg(not(target_os = "linux"))]
fn descriptor_path(_: &File) -> PathBuf {
    PathBuf::new()
}
