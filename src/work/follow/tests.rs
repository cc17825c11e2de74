//! A second store in memory, and files that grow in front of it.

use std::collections::BTreeMap;

use super::*;
use crate::ports::runner::FileFacts;

const NAME: &str = "base/2026-01-31_23-59-59";

/// A store in memory that can break.
#[derive(Default)]
pub(in crate::work) struct MemoryStore {
    /// Its files, by path.
    pub(in crate::work) files: Mutex<BTreeMap<String, Vec<u8>>>,
    /// Names of backups that were begun and neither published nor discarded.
    pub(in crate::work) unfinished: Mutex<Vec<BackupId>>,
    /// What was wanted at each sweep.
    pub(in crate::work) swept: Mutex<Vec<Vec<BackupId>>>,
    /// The call that fails: `sweep`, `begin`, `send`, `durable`, `publish`.
    pub(in crate::work) fails: Option<&'static str>,
    /// Takes no byte before this is opened.
    pub(in crate::work) gate: Option<Arc<(Mutex<bool>, Condvar)>>,
}

impl MemoryStore {
    fn act(&self, effect: &str) -> Result<(), PortError> {
        if self.fails == Some(effect) {
            return Err(PortError::new(Reason::Unreachable, format!("cannot {effect}")));
        }
        Ok(())
    }

    fn pass_gate(&self) {
        if let Some(gate) = &self.gate {
            let _open = gate.1.wait_while(gate.0.lock().unwrap(), |open| !*open).unwrap();
        }
    }
}

/// A store that many hold.
#[derive(Clone, Default)]
pub(in crate::work) struct Memory(pub(in crate::work) Arc<MemoryStore>);

impl Memory {
    /// Lets the bytes through that wait in front of it.
    pub(in crate::work) fn open_gate(&self) {
        if let Some(gate) = &self.0.gate {
            *gate.0.lock().unwrap() = true;
            gate.1.notify_all();
        }
    }
}

impl Store for Memory {
    fn place(&self) -> String {
        "s3://bucket/shop/db".to_owned()
    }

    fn backups(&self) -> Result<Vec<BackupId>, PortError> {
        Ok(Vec::new())
    }

    fn files(&self, _: &BackupId) -> Result<Vec<String>, PortError> {
        Ok(Vec::new())
    }

    fn open(&self, path: &str) -> Result<(Box<dyn Read + Send>, u64), PortError> {
        let missing = || PortError::new(Reason::Missing, format!("cannot open {path}"));
        let bytes = self.0.files.lock().unwrap().get(path).cloned().ok_or_else(missing)?;
        let size = bytes.len() as u64;
        Ok((Box::new(io::Cursor::new(bytes)), size))
    }

    fn facts(&self, _: &str) -> Result<FileFacts, PortError> {
        Err(PortError::new(Reason::Missing, "nothing"))
    }

    fn begin(&self, backup: &BackupId, _: u64) -> Result<Box<dyn PendingBackup>, PortError> {
        self.0.act("begin")?;
        self.0.unfinished.lock().unwrap().push(backup.clone());
        Ok(Box::new(Pending { store: Arc::clone(&self.0), backup: backup.clone() }))
    }

    fn remove(&self, _: &BackupId) -> Result<bool, PortError> {
        Ok(false)
    }

    fn sweep(&self, wanted: &[BackupId]) -> Result<Vec<String>, PortError> {
        self.0.act("sweep")?;
        self.0.swept.lock().unwrap().push(wanted.to_vec());
        Ok(Vec::new())
    }
}

struct Pending {
    store: Arc<MemoryStore>,
    backup: BackupId,
}

impl Pending {
    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.backup.directory())
    }

    fn settled(&self) {
        self.store.unfinished.lock().unwrap().retain(|backup| *backup != self.backup);
    }
}

impl PendingBackup for Pending {
    fn create(&mut self, name: &str) -> Result<Box<dyn StoreFile>, PortError> {
        Ok(Box::new(Sent { store: Arc::clone(&self.store), path: self.path(name), bytes: Vec::new() }))
    }

    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<StoredFile, PortError> {
        self.store.files.lock().unwrap().insert(self.path(name), bytes.to_vec());
        Ok(StoredFile { size: bytes.len() as u64, sha256: hex(&Sha256::digest(bytes)) })
    }

    fn publish(mut self: Box<Self>, name: &str, bytes: &[u8]) -> Result<StoredFile, PortError> {
        self.store.act("publish")?;
        self.settled();
        self.write(name, bytes)
    }

    fn discard(self: Box<Self>) -> Result<(), PortError> {
        self.settled();
        let directory = self.backup.directory();
        self.store.files.lock().unwrap().retain(|path, _| !path.starts_with(&directory));
        Ok(())
    }
}

struct Sent {
    store: Arc<MemoryStore>,
    path: String,
    bytes: Vec<u8>,
}

impl Write for Sent {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.store.pass_gate();
        self.store.act("send").map_err(io::Error::other)?;
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl StoreFile for Sent {
    fn make_durable(&mut self) -> Result<(), PortError> {
        self.store.act("durable")?;
        self.store.files.lock().unwrap().insert(self.path.clone(), self.bytes.clone());
        Ok(())
    }
}

/// A file that grows, and any number of readers of it.
#[derive(Clone, Default)]
pub(in crate::work) struct GrowingFile(Arc<Mutex<Vec<u8>>>);

impl GrowingFile {
    /// What was written.
    pub(in crate::work) fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }

    /// A reader from its beginning.
    pub(in crate::work) fn reader(&self) -> Box<dyn Read + Send> {
        Box::new(Reader { file: self.clone(), at: 0 })
    }
}

impl Write for GrowingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl StoreFile for GrowingFile {
    fn make_durable(&mut self) -> Result<(), PortError> {
        Ok(())
    }
}

struct Reader {
    file: GrowingFile,
    at: usize,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let held = self.file.0.lock().unwrap();
        let count = (&held[self.at..]).read(buffer)?;
        self.at += count;
        Ok(count)
    }
}

fn backup() -> BackupId {
    NAME.parse().unwrap()
}

fn signed(bytes: &[u8]) -> SignedOff {
    SignedOff {
        stream: StoredFile { size: bytes.len() as u64, sha256: hex(&Sha256::digest(bytes)) },
        small_files: vec![("mariadb_backup_info".to_owned(), b"info".to_vec())],
        manifest: b"{}".to_vec(),
    }
}

/// Writes three and a half blocks to a followed file and returns them.
fn write_through(follower: &Follower, file: &GrowingFile) -> Vec<u8> {
    let bytes: Vec<u8> = (0..7 * BLOCK / 2).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let mut watched = follower.watch(Box::new(file.clone()));
    for piece in bytes.chunks(300_001) {
        watched.write_all(piece).unwrap();
    }
    watched.make_durable().unwrap();
    bytes
}

fn follow(store: &Memory) -> (Follower, GrowingFile) {
    let file = GrowingFile::default();
    (start(Arc::new(store.clone()), backup(), 0, &[], file.reader()), file)
}

#[test]
fn the_second_store_has_the_same_bytes_once_the_first_is_signed_off_and_not_before() {
    let store = Memory::default();
    let (mut follower, file) = follow(&store);
    let bytes = write_through(&follower, &file);
    assert!(follower.finished.try_recv().is_err());
    assert!(store.0.files.lock().unwrap().is_empty());
    follower.complete(signed(&bytes));
    follower.finished.blocking_recv().unwrap().unwrap();
    let files = store.0.files.lock().unwrap();
    assert!(files[&format!("{NAME}/{STREAM_FILE}")] == bytes);
    assert_eq!(files[&format!("{NAME}/{MANIFEST_FILE}")], b"{}");
    assert_eq!(files[&format!("{NAME}/mariadb_backup_info")], b"info");
    assert_eq!(*store.0.unfinished.lock().unwrap(), []);
}

#[test]
fn a_second_store_that_takes_nothing_does_not_hold_up_the_first() {
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let store = Memory(Arc::new(MemoryStore { gate: Some(Arc::clone(&gate)), ..MemoryStore::default() }));
    let (follower, file) = follow(&store);
    let bytes = write_through(&follower, &file);
    follower.complete(signed(&bytes));
    assert_eq!(follower.sent_bytes(), 0);
    store.open_gate();
    follower.finished.blocking_recv().unwrap().unwrap();
}

#[test]
fn a_copy_that_came_to_nothing_leaves_nothing_there() {
    let store = Memory::default();
    let (follower, file) = follow(&store);
    write_through(&follower, &file);
    follower.give_up();
    follower.finished.blocking_recv().unwrap().unwrap();
    assert_eq!(*store.0.unfinished.lock().unwrap(), []);
    assert!(store.0.files.lock().unwrap().is_empty());
}

#[test]
fn what_is_left_in_the_middle_stays_for_a_later_run() {
    let store = Memory::default();
    let (follower, file) = follow(&store);
    write_through(&follower, &file);
    follower.leave();
    let error = follower.finished.blocking_recv().unwrap().unwrap_err();
    assert!(error.begun);
    assert_eq!(*store.0.unfinished.lock().unwrap(), [backup()]);
}

#[test]
fn whatever_fails_there_is_told_and_the_first_store_does_not_notice() {
    for (fails, begun) in [("begin", false), ("send", true), ("durable", true), ("publish", true)] {
        let store = Memory(Arc::new(MemoryStore { fails: Some(fails), ..MemoryStore::default() }));
        let (follower, file) = follow(&store);
        let bytes = write_through(&follower, &file);
        follower.complete(signed(&bytes));
        let error = follower.finished.blocking_recv().unwrap().unwrap_err();
        assert_eq!(error.begun, begun, "{fails}");
        assert!(!store.0.files.lock().unwrap().contains_key(&format!("{NAME}/{MANIFEST_FILE}")), "{fails}");
    }
}

#[test]
fn bytes_that_are_not_those_that_were_written_never_count() {
    let store = Memory::default();
    let (follower, file) = follow(&store);
    let mut bytes = write_through(&follower, &file);
    bytes[0] ^= 1;
    follower.complete(signed(&bytes));
    let error = follower.finished.blocking_recv().unwrap().unwrap_err();
    assert!(!error.begun);
    assert!(store.0.files.lock().unwrap().is_empty());
}
