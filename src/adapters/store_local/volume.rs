//! What a volume can do that a bucket cannot: tell its room, remember what was read, put one file in
//! another one's place, set a backup aside.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::statvfs;

use super::durable::{DurableFile, make_directories, rename};
use super::workspace::Workspace;
use super::{QUARANTINE, SEALS, UNFINISHED, VolumeStore, failed, flat, open_file};
use crate::model::backup_id::BackupId;
use crate::ports::PortError;
use crate::ports::runner::{Replacement, StoreFile, Volume};

/// How a file is called in its workspace that shall take another one's place.
const NEXT: &str = "next";

impl Volume for VolumeStore {
    fn room(&self) -> Result<(u64, u64), PortError> {
        let room = statvfs(&self.root).map_err(|error| failed("look at the store", &self.root, error.into()))?;
        Ok((room.f_bavail.saturating_mul(room.f_frsize), room.f_blocks.saturating_mul(room.f_frsize)))
    }

    fn open_unfinished(&self, backup: &BackupId, name: &str) -> Result<Box<dyn Read + Send>, PortError> {
        let (file, _) = open_file(&self.root.join(UNFINISHED).join(flat(backup)).join(name))?;
        Ok(Box::new(file))
    }

    fn seal(&self, backup: &BackupId, marks: &BTreeMap<String, String>) -> Result<(), PortError> {
        make_directories(&self.root, Path::new(SEALS))?;
        let workspace = Workspace::make(&self.root, &format!("seal_{}", flat(backup)))?;
        let next = workspace.path.join(NEXT);
        let text = serde_json::to_vec(marks).expect("a map of texts becomes JSON");
        DurableFile::write_whole(next.clone(), &text)?;
        rename(&next, &self.seal_path(backup))?;
        workspace.remove()
    }

    fn sealed(&self, backup: &BackupId) -> Result<Option<BTreeMap<String, String>>, PortError> {
        let path = self.seal_path(backup);
        match fs::read(&path) {
            // One that somebody else wrote proves nothing, and costs one reading.
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &path, error)),
        }
    }

    fn replace(&self, path: &str) -> Result<Box<dyn Replacement>, PortError> {
        let place = self.inside(path)?;
        let workspace = Workspace::make(&self.root, &format!("replace_{}", path.replace('/', "_")))?;
        let file = DurableFile::create(workspace.path.join(NEXT))?;
        Ok(Box::new(NewFile { root: self.root.clone(), path: path.to_owned(), place, workspace, file }))
    }

    fn set_aside(&self, backup: &BackupId) -> Result<String, PortError> {
        let from = self.root.join(backup.directory());
        let below = Path::new(QUARANTINE).join(backup.directory());
        make_directories(&self.root, below.parent().unwrap_or(Path::new("")))?;
        let to = vacant(self.root.join(below));
        rename(&from, &to)?;
        self.unseal(backup)?;
        Ok(to.display().to_string())
    }
}

/// That path, or the first like it where nothing is: a backup can be restored and damaged again.
fn vacant(path: PathBuf) -> PathBuf {
    let numbered = |number: u32| PathBuf::from(format!("{}.{number}", path.display()));
    let candidates = std::iter::once(path.clone()).chain((2..).map(numbered));
    candidates.into_iter().find(|candidate| candidate.symlink_metadata().is_err()).unwrap_or(path)
}

/// A file on its way into another one's place.
struct NewFile {
    root: PathBuf,
    path: String,
    place: PathBuf,
    workspace: Workspace,
    file: DurableFile,
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Replacement for NewFile {
    fn put(mut self: Box<Self>) -> Result<(), PortError> {
        self.file.make_durable()?;
        make_directories(&self.root, Path::new(&self.path).parent().unwrap_or(Path::new("")))?;
        rename(&self.file.path, &self.place)?;
        self.workspace.remove()
    }
}
