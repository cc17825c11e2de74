//! Stores in memory for the tests of this layer, whole and damaged, with a backup of each kind.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Cursor, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::model::backup_id::BackupId;
use crate::model::catalogue::Checksum;
use crate::model::event::{EventKind, Phase};
use crate::model::manifest::{
    DesyncTimes, LsnRange, MANIFEST_FILE, MANIFEST_SCHEMA, Manifest, Origin, STREAM_FILE, Source, StoredFile, Stream,
    hex,
};
use crate::ports::runner::{FileFacts, KeptSum, PendingBackup, Replacement, Store, StoreFile, StorePorts, Volume};
use crate::ports::{Clock, EventSink, PortError, Reason};

/// A full backup of ours.
pub(super) const FULL: &str = "base/2026-01-31_23-59-59";

/// One of the original.
pub(super) const ORIGINAL: &str = "base/2025-01-31_23-59-59";

/// What becomes of a file that is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Its reading fails half way.
    Breaks,
    /// Whoever reads it panics.
    Panics,
    /// The store refuses it.
    Refused(Reason),
}

/// A store in memory, and what was done to it.
#[derive(Default)]
pub(super) struct Inside {
    /// Files by path.
    pub files: BTreeMap<String, Vec<u8>>,
    /// A number that grows with every change of a file, by path.
    pub changes: BTreeMap<String, u64>,
    /// Faults by path.
    pub faults: BTreeMap<String, Fault>,
    /// Nothing answers.
    pub is_down: bool,
    /// Sums are kept.
    pub keeps_sums: bool,
    /// Nothing more can be written.
    pub is_full: bool,
    /// Paths that were opened.
    pub opened: Vec<String>,
    /// Seals by backup.
    pub seals: BTreeMap<BackupId, BTreeMap<String, String>>,
    /// Backups set aside.
    pub aside: Vec<BackupId>,
    /// Backups that cannot be removed.
    pub stuck: BTreeSet<BackupId>,
    /// Bytes free and in all, unless there are plenty.
    pub room: Option<(u64, u64)>,
    /// Why nothing in it may be removed, and what to do about it.
    pub forbidden: Option<(&'static str, &'static str)>,
    /// What was asked of the last sweep.
    pub swept: Option<Vec<BackupId>>,
}

/// A shared store in memory.
#[derive(Clone, Default)]
pub(super) struct Memory(Arc<Mutex<Inside>>);

impl Memory {
    pub(super) fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap()
    }

    /// Puts a file there, as somebody else would.
    pub(super) fn put(&self, path: &str, bytes: impl Into<Vec<u8>>) {
        let mut inside = self.inside();
        *inside.changes.entry(path.to_owned()).or_default() += 1;
        inside.files.insert(path.to_owned(), bytes.into());
    }

    /// Flips a bit in a file.
    pub(super) fn damage(&self, path: &str) {
        let mut bytes = self.inside().files[path].clone();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        self.put(path, bytes);
    }

    pub(super) fn take(&self, path: &str) {
        self.inside().files.remove(path).unwrap();
    }

    pub(super) fn remove_all_of(&self, directory: &str) {
        self.inside().files.retain(|path, _| !path.starts_with(&format!("{directory}/")));
    }

    pub(super) fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        self.inside().files.get(path).cloned()
    }

    /// Returns the paths opened since this was asked last.
    pub(super) fn opened(&self) -> Vec<String> {
        let mut opened = std::mem::take(&mut self.inside().opened);
        opened.sort();
        opened
    }

    fn up(&self) -> Result<MutexGuard<'_, Inside>, PortError> {
        let inside = self.inside();
        if inside.is_down {
            return Err(PortError::new(Reason::Unreachable, "cannot reach the store"));
        }
        Ok(inside)
    }
}

/// A reader that fails half way.
struct Breaking(Cursor<Vec<u8>>, Fault);

impl Read for Breaking {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let half = self.0.get_ref().len() as u64 / 2;
        if self.0.position() < half {
            let count = buffer.len().min(usize::try_from(half - self.0.position()).unwrap());
            return self.0.read(&mut buffer[..count]);
        }
        assert_ne!(self.1, Fault::Panics, "a fault of the test");
        Err(io::Error::from_raw_os_error(5))
    }
}

impl Store for Memory {
    fn place(&self) -> String {
        "memory".to_owned()
    }

    fn backups(&self) -> Result<Vec<BackupId>, PortError> {
        let inside = self.up()?;
        let marks = inside.files.keys().filter_map(|path| BackupId::of_path(path));
        let whole = marks.filter(|(_, name)| *name == MANIFEST_FILE || *name == "backup.successful");
        let mut backups: Vec<_> = whole.map(|(backup, _)| backup).collect();
        backups.sort_by(|a, b| (a.name(), a).cmp(&(b.name(), b)));
        Ok(backups)
    }

    fn files(&self, backup: &BackupId) -> Result<Vec<String>, PortError> {
        let inside = self.up()?;
        let files = inside.files.keys().filter_map(|path| BackupId::of_path(path));
        Ok(files.filter(|(id, _)| id == backup).map(|(_, name)| name.to_owned()).collect())
    }

    fn open(&self, path: &str) -> Result<(Box<dyn Read + Send>, u64), PortError> {
        let mut inside = self.up()?;
        inside.opened.push(path.to_owned());
        let bytes = inside.files.get(path).cloned();
        let bytes = bytes.ok_or_else(|| PortError::new(Reason::Missing, format!("cannot open {path}")))?;
        let size = bytes.len() as u64;
        match inside.faults.get(path) {
            None => Ok((Box::new(Cursor::new(bytes)), size)),
            Some(Fault::Refused(reason)) => Err(PortError::new(*reason, format!("cannot open {path}"))),
            Some(fault) => Ok((Box::new(Breaking(Cursor::new(bytes), *fault)), size)),
        }
    }

    fn facts(&self, path: &str) -> Result<FileFacts, PortError> {
        let inside = self.up()?;
        let bytes = inside.files.get(path);
        let bytes = bytes.ok_or_else(|| PortError::new(Reason::Missing, format!("cannot look at {path}")))?;
        let kept = if inside.keeps_sums { KeptSum::Sha256(hex(&Sha256::digest(bytes))) } else { KeptSum::None };
        let mark = inside.changes.get(path).copied().unwrap_or_default().to_string();
        Ok(FileFacts { size: bytes.len() as u64, mark, kept })
    }

    fn begin(&self, backup: &BackupId, _: u64) -> Result<Box<dyn PendingBackup>, PortError> {
        if self.backups()?.contains(backup) {
            return Err(PortError::new(Reason::Conflict, format!("{backup} is in the store already")));
        }
        Ok(Box::new(Pending { store: self.clone(), backup: backup.clone(), files: Vec::new() }))
    }

    fn remove(&self, backup: &BackupId) -> Result<bool, PortError> {
        let mut inside = self.up()?;
        if inside.stuck.contains(backup) {
            return Err(PortError::new(Reason::Other, format!("cannot remove {backup}")));
        }
        if let Some((why, next)) = inside.forbidden {
            return Err(PortError::new(Reason::Forbidden, why).with_hint(next));
        }
        let before = inside.files.len();
        inside.files.retain(|path, _| BackupId::of_path(path).is_none_or(|(id, _)| id != *backup));
        Ok(inside.files.len() < before)
    }

    fn sweep(&self, wanted: &[BackupId]) -> Result<Vec<String>, PortError> {
        self.up()?.swept = Some(wanted.to_vec());
        Ok(Vec::new())
    }
}

impl Volume for Memory {
    fn room(&self) -> Result<(u64, u64), PortError> {
        Ok(self.up()?.room.unwrap_or((1 << 40, 1 << 41)))
    }

    fn open_unfinished(&self, backup: &BackupId, _: &str) -> Result<Box<dyn Read + Send>, PortError> {
        Err(PortError::new(Reason::Missing, format!("nobody makes {backup}")))
    }

    fn seal(&self, backup: &BackupId, marks: &BTreeMap<String, String>) -> Result<(), PortError> {
        self.up()?.seals.insert(backup.clone(), marks.clone());
        Ok(())
    }

    fn sealed(&self, backup: &BackupId) -> Result<Option<BTreeMap<String, String>>, PortError> {
        Ok(self.up()?.seals.get(backup).cloned())
    }

    fn replace(&self, path: &str) -> Result<Box<dyn Replacement>, PortError> {
        Ok(Box::new(New { store: self.clone(), path: path.to_owned(), bytes: Vec::new() }))
    }

    fn set_aside(&self, backup: &BackupId) -> Result<String, PortError> {
        self.remove(backup)?;
        self.inside().aside.push(backup.clone());
        Ok(format!(".quarantine/{backup}"))
    }
}

/// A file in the making.
struct New {
    store: Memory,
    path: String,
    bytes: Vec<u8>,
}

impl Write for New {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.store.inside().is_full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Replacement for New {
    fn put(self: Box<Self>) -> Result<(), PortError> {
        self.store.put(&self.path, self.bytes);
        Ok(())
    }
}

/// A backup in the making.
struct Pending {
    store: Memory,
    backup: BackupId,
    files: Vec<(String, Arc<Mutex<Vec<u8>>>)>,
}

/// A large file of it.
struct PendingFile(Memory, Arc<Mutex<Vec<u8>>>);

impl Write for PendingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.inside().is_full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.1.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl StoreFile for PendingFile {
    fn make_durable(&mut self) -> Result<(), PortError> {
        Ok(())
    }
}

impl PendingBackup for Pending {
    fn create(&mut self, name: &str) -> Result<Box<dyn StoreFile>, PortError> {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        self.files.push((name.to_owned(), Arc::clone(&bytes)));
        Ok(Box::new(PendingFile(self.store.clone(), bytes)))
    }

    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<StoredFile, PortError> {
        self.files.push((name.to_owned(), Arc::new(Mutex::new(bytes.to_vec()))));
        Ok(stored(bytes))
    }

    fn publish(mut self: Box<Self>, name: &str, bytes: &[u8]) -> Result<StoredFile, PortError> {
        let file = self.write(name, bytes)?;
        for (name, bytes) in &self.files {
            self.store.put(&format!("{}/{name}", self.backup.directory()), bytes.lock().unwrap().clone());
        }
        Ok(file)
    }

    fn discard(self: Box<Self>) -> Result<(), PortError> {
        Ok(())
    }
}

/// A clock that never waits.
struct NoClock;

#[async_trait]
impl Clock for NoClock {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    async fn sleep(&self, _: Duration) {
        tokio::task::yield_now().await;
    }
}

/// Keeps every event but progress.
#[derive(Default)]
pub(super) struct Events(Mutex<Vec<EventKind>>);

impl Events {
    pub(super) fn all(&self) -> Vec<EventKind> {
        self.0.lock().unwrap().clone()
    }
}

impl EventSink for Events {
    fn deliver(&self, _: Option<&str>, _: Phase, kind: EventKind) {
        if !matches!(kind, EventKind::Progress { .. }) {
            self.0.lock().unwrap().push(kind);
        }
    }
}

/// Ports on stores in memory.
pub(super) fn ports(local: Option<&Memory>, s3: Option<&Memory>) -> (StorePorts, Arc<Events>) {
    let events = Arc::new(Events::default());
    let ports = StorePorts {
        local: local.map(|store| Arc::new(store.clone()) as Arc<dyn Volume>),
        s3: s3.map(|store| Arc::new(store.clone()) as Arc<dyn Store>),
        clock: Arc::new(NoClock),
        events: Arc::clone(&events) as Arc<dyn EventSink>,
    };
    (ports, events)
}

pub(super) fn stored(bytes: &[u8]) -> StoredFile {
    StoredFile { size: bytes.len() as u64, sha256: hex(&Sha256::digest(bytes)) }
}

/// Writes a manifest of these files.
pub(super) fn manifest(backup: &str, files: &[(&str, &[u8])]) -> Vec<u8> {
    let text = String::new;
    let source = Source {
        namespace: text(),
        statefulset: text(),
        replicas: 3,
        pod: text(),
        pod_uid: text(),
        node: text(),
        claim: text(),
        claim_uid: text(),
        server_image: text(),
    };
    let origin = Origin {
        server_version: "10.11.9-MariaDB".to_owned(),
        tool_version: text(),
        gcomm_uuid: text(),
        ibdata1_inode: 1,
        ibdata1_birth_nanos: None,
        position: "5b2c7e4c-f1d0-11ef-8a4c-0242ac110002:1".parse().unwrap(),
        lsn: LsnRange { from: 0, to: 1, last: 1 },
    };
    serde_json::to_vec(&Manifest {
        schema: MANIFEST_SCHEMA,
        backup: backup.parse().unwrap(),
        started: Timestamp::UNIX_EPOCH,
        finished: Timestamp::from_second(90).unwrap(),
        agent_version: text(),
        source,
        origin,
        stream: Stream { bytes: 1, members: BTreeMap::new() },
        files: files.iter().map(|(name, bytes)| ((*name).to_owned(), stored(bytes))).collect(),
        desync: DesyncTimes::default(),
        allow_unsafe: false,
        parent: None,
        full_because: None,
    })
    .unwrap()
}

/// Puts a backup of ours into a store, and returns what a catalogue says of it.
pub(super) fn put_backup(store: &Memory, backup: &str, stream: &[u8]) -> BTreeMap<String, Checksum> {
    let manifest = manifest(backup, &[(STREAM_FILE, stream), ("mariadb_backup_info", b"info")]);
    store.put(&format!("{backup}/{STREAM_FILE}"), stream);
    store.put(&format!("{backup}/mariadb_backup_info"), "info");
    store.put(&format!("{backup}/{MANIFEST_FILE}"), manifest.clone());
    BTreeMap::from([
        (format!("{backup}/{STREAM_FILE}"), Checksum::of(&stored(stream))),
        (format!("{backup}/{MANIFEST_FILE}"), Checksum::of(&stored(&manifest))),
    ])
}

/// What the original's catalogue says of a file.
pub(super) fn md5_of(bytes: &[u8]) -> Checksum {
    use md5::Digest;
    Checksum { checksum: hex(&md5::Md5::digest(bytes)), algorithm: None, size: None }
}

/// Puts a backup of the original into a store, and returns what its catalogue says of it.
pub(super) fn put_original(store: &Memory) -> BTreeMap<String, Checksum> {
    store.put(&format!("{ORIGINAL}/backup.stream.gz"), "hello");
    store.put(&format!("{ORIGINAL}/backup.successful"), "");
    let md5 = "5d41402abc4b2a76b9719d911017c592".to_owned();
    BTreeMap::from([(format!("{ORIGINAL}/backup.stream.gz"), Checksum { checksum: md5, algorithm: None, size: None })])
}
