//! What lies in the two simulated stores.

use std::collections::BTreeMap;

use mariadb_backup::model::backup_id::BackupId;
use mariadb_backup::model::catalogue::Checksum;
use mariadb_backup::model::manifest::{MANIFEST_FILE, STREAM_FILE, StoredFile};
use mariadb_backup::model::order::StoreName;

/// How a backup lies in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    /// Signed off, and every byte right.
    Whole,
    /// Signed off, with a wrong byte.
    Damaged,
    /// Without its manifest: a broken-off upload, or what is left of a removal.
    Unfinished,
}

/// One store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shelf(pub(crate) BTreeMap<BackupId, Stored>);

impl Shelf {
    /// Whether a backup is signed off there, good or not.
    pub(crate) fn has(&self, backup: &BackupId) -> bool {
        matches!(self.0.get(backup), Some(Stored::Whole | Stored::Damaged))
    }

    pub(crate) fn has_whole(&self, backup: &BackupId) -> bool {
        self.0.get(backup) == Some(&Stored::Whole)
    }

    pub(crate) fn signed_off(&self) -> Vec<BackupId> {
        self.0.keys().filter(|backup| self.has(backup)).cloned().collect()
    }

    pub(crate) fn unfinished(&self) -> Vec<BackupId> {
        self.0.keys().filter(|backup| !self.has(backup)).cloned().collect()
    }

    /// A backup there that could not be restored without that one.
    pub(crate) fn child_of(&self, backup: &BackupId) -> Option<BackupId> {
        let base = backup.base().unwrap_or_else(|| backup.name());
        let needs_it = |other: &&BackupId| other.base() == Some(base) && other.name() > backup.name();
        self.signed_off().iter().find(needs_it).cloned()
    }
}

/// The two stores.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shelves {
    pub(crate) local: Shelf,
    pub(crate) s3: Shelf,
    /// Backups set aside on the volume.
    pub(crate) aside: Vec<BackupId>,
}

impl Shelves {
    pub(crate) fn of(&mut self, store: StoreName) -> &mut Shelf {
        match store {
            StoreName::Local => &mut self.local,
            StoreName::S3 => &mut self.s3,
        }
    }
}

/// Every file of this world is one byte long.
pub(crate) fn file() -> StoredFile {
    StoredFile { size: 1, sha256: "0".repeat(64) }
}

/// What a catalogue holds of a backup's files.
pub(crate) fn files(backup: &BackupId) -> BTreeMap<String, Checksum> {
    let path = |name: &str| (format!("{}/{name}", backup.directory()), Checksum::of(&file()));
    BTreeMap::from([path(STREAM_FILE), path(MANIFEST_FILE)])
}
