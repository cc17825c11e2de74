//! What survives a power loss, and making it so.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::failed;
use crate::ports::runner::StoreFile;
use crate::ports::{PortError, Reason};

/// Makes the entries of a directory durable.
pub(super) fn sync_directory(path: &Path) -> Result<(), PortError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(|error| failed("make durable", path, error))
}

/// Makes a directory and what leads to it, all durable.
pub(super) fn make_directories(root: &Path, below: &Path) -> Result<(), PortError> {
    let mut path = root.to_path_buf();
    for component in below.components() {
        let parent = path.clone();
        path.push(component);
        match fs::create_dir(&path) {
            Ok(()) => sync_directory(&parent)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed("make the directory", &path, error)),
        }
    }
    Ok(())
}

/// Moves a file or directory, durably.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), PortError> {
    fs::rename(from, to).map_err(|error| failed(&format!("move {} to", from.display()), to, error))?;
    for changed in [to, from] {
        sync_directory(changed.parent().unwrap_or(Path::new("/")))?;
    }
    Ok(())
}

/// A file that knows how long it must be.
pub(super) struct DurableFile {
    file: File,
    /// Where it is.
    pub(super) path: PathBuf,
    written: u64,
}

impl DurableFile {
    /// Creates one where there is none.
    pub(super) fn create(path: PathBuf) -> Result<Self, PortError> {
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        let file = file.map_err(|error| failed("create", &path, error))?;
        Ok(Self { file, path, written: 0 })
    }

    /// Writes a whole small file.
    pub(super) fn write_whole(path: PathBuf, bytes: &[u8]) -> Result<(), PortError> {
        let mut file = Self::create(path)?;
        file.write_all(bytes).map_err(|error| failed("write", &file.path, error))?;
        file.make_durable()
    }
}

impl Write for DurableFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.written += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl StoreFile for DurableFile {
    fn make_durable(&mut self) -> Result<(), PortError> {
        let synced = self.file.sync_all().and_then(|()| self.file.metadata());
        let length = synced.map_err(|error| failed("make durable", &self.path, error))?.len();
        if length == self.written {
            return Ok(());
        }
        let what = format!("{} is {length} bytes long after {} were written", self.path.display(), self.written);
        Err(PortError::new(Reason::Other, what))
    }
}
