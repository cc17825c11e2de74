//! A store in memory, as true to the contract as the real ones: the suite runs over it too.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read, Write};
use std::path::{Component, Path};
use std::sync::{Arc, Mutex};

use mariadb_backup::model::backup_id::BackupId;
use mariadb_backup::model::manifest::{MANIFEST_FILE, StoredFile, hex};
use mariadb_backup::ports::runner::{FileFacts, KeptSum, PendingBackup, Store, StoreFile};
use mariadb_backup::ports::{PortError, Reason};
use sha2::{Digest, Sha256};

#[derive(Default)]
struct Content {
    /// Bytes and when they were put there, by path.
    files: BTreeMap<String, (Vec<u8>, u64)>,
    unfinished: BTreeMap<BackupId, BTreeMap<String, Vec<u8>>>,
    changes: u64,
}

/// A store in memory.
#[derive(Clone, Default)]
pub(crate) struct MemoryStore {
    content: Arc<Mutex<Content>>,
}

fn inside(path: &str) -> Result<(), PortError> {
    let is_inside = Path::new(path).components().all(|component| matches!(component, Component::Normal(_)));
    if is_inside && !path.is_empty() {
        return Ok(());
    }
    Err(PortError::new(Reason::Forbidden, format!("{path:?} is no path inside a store")))
}

fn stored(bytes: &[u8]) -> StoredFile {
    StoredFile { size: bytes.len() as u64, sha256: hex(&Sha256::digest(bytes)) }
}

impl MemoryStore {
    fn bytes(&self, path: &str) -> Result<(Vec<u8>, u64), PortError> {
        inside(path)?;
        let found = self.content.lock().unwrap().files.get(path).cloned();
        found.ok_or_else(|| PortError::new(Reason::Missing, format!("there is no {path}")))
    }
}

impl Store for MemoryStore {
    fn place(&self) -> String {
        "memory".to_owned()
    }

    fn backups(&self) -> Result<Vec<BackupId>, PortError> {
        let content = self.content.lock().unwrap();
        let marks = content.files.keys().filter_map(|path| BackupId::of_path(path));
        let counts = |name: &str| name == MANIFEST_FILE || name == "backup.successful";
        let mut backups: Vec<_> = marks.filter(|(_, name)| counts(name)).map(|(backup, _)| backup).collect();
        backups.sort_by(|a, b| (a.name(), a).cmp(&(b.name(), b)));
        backups.dedup();
        Ok(backups)
    }

    fn files(&self, backup: &BackupId) -> Result<Vec<String>, PortError> {
        let content = self.content.lock().unwrap();
        let of_backup = content.files.keys().filter_map(|path| BackupId::of_path(path)).filter(|(of, _)| of == backup);
        Ok(of_backup.map(|(_, name)| name.to_owned()).collect())
    }

    fn open(&self, path: &str) -> Result<(Box<dyn Read + Send>, u64), PortError> {
        let (bytes, _) = self.bytes(path)?;
        let size = bytes.len() as u64;
        Ok((Box::new(Cursor::new(bytes)), size))
    }

    fn facts(&self, path: &str) -> Result<FileFacts, PortError> {
        let (bytes, changed) = self.bytes(path)?;
        let StoredFile { size, sha256 } = stored(&bytes);
        Ok(FileFacts { size, mark: format!("{changed}-{size}"), kept: KeptSum::Sha256(sha256) })
    }

    fn begin(&self, backup: &BackupId, _expected_bytes: u64) -> Result<Box<dyn PendingBackup>, PortError> {
        if self.backups()?.contains(backup) {
            return Err(PortError::new(Reason::Conflict, format!("{backup} is in the store already")));
        }
        self.content.lock().unwrap().unfinished.insert(backup.clone(), BTreeMap::new());
        Ok(Box::new(Pending { store: self.clone(), backup: backup.clone() }))
    }

    fn remove(&self, backup: &BackupId) -> Result<bool, PortError> {
        let mut content = self.content.lock().unwrap();
        let before = content.files.len();
        content.files.retain(|path, _| BackupId::of_path(path).is_none_or(|(of, _)| of != *backup));
        Ok(content.files.len() < before)
    }

    fn sweep(&self, wanted: &[BackupId]) -> Result<Vec<String>, PortError> {
        let mut content = self.content.lock().unwrap();
        let (kept, swept): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut content.unfinished).into_iter().partition(|(backup, _)| wanted.contains(backup));
        content.unfinished = kept;
        Ok(swept.keys().map(BackupId::directory).collect())
    }
}

struct Pending {
    store: MemoryStore,
    backup: BackupId,
}

impl Pending {
    fn put(&self, name: &str, bytes: &[u8]) {
        let mut content = self.store.content.lock().unwrap();
        content.unfinished.entry(self.backup.clone()).or_default().insert(name.to_owned(), bytes.to_vec());
    }
}

impl PendingBackup for Pending {
    fn create(&mut self, name: &str) -> Result<Box<dyn StoreFile>, PortError> {
        let pending = Self { store: self.store.clone(), backup: self.backup.clone() };
        Ok(Box::new(GrowingFile { pending, name: name.to_owned(), bytes: Vec::new() }))
    }

    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<StoredFile, PortError> {
        self.put(name, bytes);
        Ok(stored(bytes))
    }

    fn publish(self: Box<Self>, name: &str, bytes: &[u8]) -> Result<StoredFile, PortError> {
        self.put(name, bytes);
        let mut content = self.store.content.lock().unwrap();
        let files = content.unfinished.remove(&self.backup).unwrap_or_default();
        for (name, bytes) in files {
            content.changes += 1;
            let changes = content.changes;
            content.files.insert(format!("{}/{name}", self.backup.directory()), (bytes, changes));
        }
        Ok(stored(bytes))
    }

    fn discard(self: Box<Self>) -> Result<(), PortError> {
        self.store.content.lock().unwrap().unfinished.remove(&self.backup);
        Ok(())
    }
}

struct GrowingFile {
    pending: Pending,
    name: String,
    bytes: Vec<u8>,
}

impl Write for GrowingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl StoreFile for GrowingFile {
    fn make_durable(&mut self) -> Result<(), PortError> {
        self.pending.put(&self.name, &self.bytes);
        Ok(())
    }
}
