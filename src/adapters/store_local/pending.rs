//! A backup in the making on a volume.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::durable::{DurableFile, make_directories, rename, sync_directory};
use super::workspace::Workspace;
use crate::model::manifest::{StoredFile, hex};
use crate::ports::PortError;
use crate::ports::runner::{PendingBackup, StoreFile};

/// A backup in the making.
pub(super) struct PendingDirectory {
    /// The root of the store.
    pub(super) root: PathBuf,
    /// Where it is made.
    pub(super) workspace: Workspace,
    /// Where it will be.
    pub(super) place: PathBuf,
}

impl PendingBackup for PendingDirectory {
    fn create(&mut self, name: &str) -> Result<Box<dyn StoreFile>, PortError> {
        Ok(Box::new(DurableFile::create(self.workspace.path.join(name))?))
    }

    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<StoredFile, PortError> {
        DurableFile::write_whole(self.workspace.path.join(name), bytes)?;
        Ok(StoredFile { size: bytes.len() as u64, sha256: hex(&Sha256::digest(bytes)) })
    }

    fn publish(mut self: Box<Self>, name: &str, bytes: &[u8]) -> Result<StoredFile, PortError> {
        let stored = self.write(name, bytes)?;
        sync_directory(&self.workspace.path)?;
        let parent = self.place.parent().unwrap_or(&self.root);
        make_directories(&self.root, parent.strip_prefix(&self.root).unwrap_or(Path::new("")))?;
        rename(&self.workspace.path, &self.place)?;
        Ok(stored)
    }

    fn discard(self: Box<Self>) -> Result<(), PortError> {
        self.workspace.remove()
    }
}
