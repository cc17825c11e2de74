//! Directories of unfinished work, each locked by whoever works in it.
//!
//! The kernel gives the lock back when that process ends, however it ends; what can be locked by
//! somebody else is therefore dead. The lock stays with the directory when that is renamed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::durable::{make_directories, rename, sync_directory};
use super::{UNFINISHED, failed};
use crate::ports::PortError;

/// A directory of unfinished work of this process.
pub(super) struct Workspace {
    /// Where it is.
    pub(super) path: PathBuf,
    _lock: File,
}

impl Workspace {
    /// Makes an empty one. What a dead run left under that name is of no use here and goes.
    pub(super) fn make(root: &Path, name: &str) -> Result<Self, PortError> {
        let path = vacant(root, name)?;
        fs::create_dir(&path).map_err(|error| failed("make the directory", &path, error))?;
        let lock = lock(&path)?;
        Ok(Self { path, _lock: lock })
    }

    /// Makes one of a directory in the store, which is gone from its place then; `None` when it was not there.
    pub(super) fn of(root: &Path, name: &str, place: &Path) -> Result<Option<Self>, PortError> {
        match place.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("look at", place, error)),
            Ok(_) => {}
        }
        let path = vacant(root, name)?;
        // Locked before it is moved, so that no sweep takes it for dead meanwhile.
        let lock = lock(place)?;
        rename(place, &path)?;
        Ok(Some(Self { path, _lock: lock }))
    }

    /// Removes it with all in it.
    pub(super) fn remove(self) -> Result<(), PortError> {
        remove_all(&self.path)?;
        sync_directory(self.path.parent().unwrap_or(&self.path))
    }
}

/// Removes the work of that name if it is dead, and says whether it was.
pub(super) fn sweep(root: &Path, name: &str) -> Result<bool, PortError> {
    let path = root.join(UNFINISHED).join(name);
    let Ok(_lock) = lock(&path) else { return Ok(false) };
    remove_all(&path)?;
    Ok(true)
}

/// The path for work of that name, with nothing there unless it is alive.
fn vacant(root: &Path, name: &str) -> Result<PathBuf, PortError> {
    make_directories(root, Path::new(UNFINISHED))?;
    sweep(root, name)?;
    Ok(root.join(UNFINISHED).join(name))
}

fn lock(path: &Path) -> Result<File, PortError> {
    let file = File::open(path).map_err(|error| failed("open", path, error))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(error) => Err(failed("lock", path, error.into())),
    }
}

fn remove_all(path: &Path) -> Result<(), PortError> {
    let is_directory = path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
    let removed = if is_directory { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.map_err(|error| failed("remove the unfinished work in", path, error))
}
