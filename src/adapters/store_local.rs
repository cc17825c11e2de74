//! Backups on a mounted volume.
//!
//! Unfinished work lies in `.unfinished/<name>/`, locked by the process that works on it. When every
//! file including the manifest is durable there, one rename puts the directory in its place: under
//! `base/` and `incr/` there is never a backup of ours without its manifest, whatever was killed
//! or lost power. A sweep removes unfinished work that nobody holds locked any more.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Advice, FlockOperation, fadvise, flock, statvfs};
use sha2::{Digest, Sha256};

use crate::model::backup_id::{BackupId, BackupName};
use crate::model::manifest::{MANIFEST_FILE, StoredFile, hex};
use crate::ports::runner::{FileFacts, KeptSum, PendingBackup, Replacement, Store, StoreFile, Volume};
use crate::ports::{PortError, Reason};

/// Where unfinished work lies.
const UNFINISHED: &str = ".unfinished";

/// Where it is remembered which backups were read and found right.
const SEALS: &str = ".seals";

/// Where damaged backups lie that were set aside.
const QUARANTINE: &str = ".quarantine";

/// With this file, a backup of the original is complete.
const ORIGINALS_MARK: &str = "backup.successful";

/// A store by the path of its root.
#[derive(Clone, Debug)]
pub struct VolumeStore {
    root: PathBuf,
}

impl VolumeStore {
    /// Makes one; nothing is read or written yet.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }
}

/// An error about a path, with the reason and the next step its kind suggests.
fn failed(what: &str, path: &Path, error: io::Error) -> PortError {
    let reason = match error.kind() {
        io::ErrorKind::NotFound => Reason::Missing,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Reason::Forbidden,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Reason::NoSpace,
        io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty => Reason::Conflict,
        _ => Reason::Other,
    };
    let made = PortError::new(reason, format!("cannot {what} {}", path.display())).caused_by(error);
    match reason {
        Reason::NoSpace => made.with_hint("delete old backups, or give the store's claim more room"),
        Reason::Forbidden => {
            made.with_hint("let the user of the runner write to the store (fsGroup), and mount it writable")
        }
        _ => made,
    }
}

/// Makes the entries of a directory durable.
fn sync_directory(path: &Path) -> Result<(), PortError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(|error| failed("make durable", path, error))
}

/// Makes a directory and what leads to it, all durable.
fn make_directories(root: &Path, below: &Path) -> Result<(), PortError> {
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

/// Returns the names in a directory; none when it does not exist.
fn names_in(path: &Path) -> Result<Vec<String>, PortError> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("read", path, error)),
    };
    let name = |entry: io::Result<fs::DirEntry>| {
        entry.map(|entry| entry.file_name().into_string().ok()).map_err(|error| failed("read", path, error)).transpose()
    };
    entries.filter_map(name).collect()
}

impl Volume for VolumeStore {
    fn room(&self) -> Result<(u64, u64), PortError> {
        let room = statvfs(&self.root).map_err(|error| failed("look at the store", &self.root, error.into()))?;
        Ok((room.f_bavail.saturating_mul(room.f_frsize), room.f_blocks.saturating_mul(room.f_frsize)))
    }

    fn open_unfinished(&self, backup: &BackupId, name: &str) -> Result<Box<dyn Read + Send>, PortError> {
        let path = self.unfinished(backup).join(name);
        Ok(Box::new(File::open(&path).map_err(|error| failed("open", &path, error))?))
    }

    fn seal(&self, backup: &BackupId, marks: &BTreeMap<String, String>) -> Result<(), PortError> {
        make_directories(&self.root, Path::new(SEALS))?;
        let path = self.seal_path(backup);
        let text = serde_json::to_vec(marks).expect("a map of texts becomes JSON");
        let next = path.with_extension("next");
        let written = fs::write(&next, text).and_then(|()| fs::rename(&next, &path));
        written.map_err(|error| failed("write", &path, error))
    }

    fn sealed(&self, backup: &BackupId) -> Result<Option<BTreeMap<String, String>>, PortError> {
        let path = self.seal_path(backup);
        match fs::read(&path) {
            // One that was cut by a power loss proves nothing, and costs one reading.
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &path, error)),
        }
    }

    fn replace(&self, path: &str) -> Result<Box<dyn Replacement>, PortError> {
        let place = self.inside(path)?;
        let parent = Path::new(path).parent().unwrap_or(Path::new(""));
        make_directories(&self.root, parent)?;
        let below = Path::new(UNFINISHED).join("replacements");
        make_directories(&self.root, &below)?;
        let next = self.root.join(below).join(path.replace('/', "_"));
        let file = File::create(&next).map_err(|error| failed("create", &next, error))?;
        let file = DurableFile { file, path: next, written: 0 };
        Ok(Box::new(NewFile { file, place }))
    }

    fn set_aside(&self, backup: &BackupId) -> Result<String, PortError> {
        let below = Path::new(QUARANTINE).join(backup.directory());
        make_directories(&self.root, below.parent().unwrap_or(Path::new("")))?;
        let (from, to) = (self.root.join(backup.directory()), self.root.join(&below));
        fs::rename(&from, &to).map_err(|error| failed("set aside", &from, error))?;
        for changed in [&from, &to] {
            sync_directory(changed.parent().unwrap_or(&self.root))?;
        }
        Ok(to.display().to_string())
    }
}

/// A file on its way into another one's place.
struct NewFile {
    file: DurableFile,
    place: PathBuf,
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
        fs::rename(&self.file.path, &self.place).map_err(|error| failed("put a file at", &self.place, error))?;
        sync_directory(self.place.parent().unwrap_or(Path::new("/")))
    }
}

impl VolumeStore {
    fn unfinished(&self, backup: &BackupId) -> PathBuf {
        self.root.join(UNFINISHED).join(flat(backup))
    }

    fn seal_path(&self, backup: &BackupId) -> PathBuf {
        self.root.join(SEALS).join(flat(backup))
    }

    /// The full path of a path inside the store; one that leads out is refused.
    fn inside(&self, path: &str) -> Result<PathBuf, PortError> {
        let is_inside = Path::new(path).components().all(|component| matches!(component, Component::Normal(_)));
        if is_inside && !path.is_empty() {
            return Ok(self.root.join(path));
        }
        Err(PortError::new(Reason::Forbidden, format!("{path:?} is no path inside a store")))
    }
}

/// A backup's name as one file name.
fn flat(backup: &BackupId) -> String {
    backup.directory().replace('/', "_")
}

impl Store for VolumeStore {
    fn place(&self) -> String {
        self.root.display().to_string()
    }

    fn files(&self, backup: &BackupId) -> Result<Vec<String>, PortError> {
        let mut names = names_in(&self.root.join(backup.directory()))?;
        names.sort();
        Ok(names)
    }

    fn facts(&self, path: &str) -> Result<FileFacts, PortError> {
        let full = self.inside(path)?;
        let facts = fs::symlink_metadata(&full).map_err(|error| failed("look at", &full, error))?;
        if !facts.is_file() {
            return Err(PortError::new(Reason::Other, format!("{} is no file", full.display())));
        }
        // The change time cannot be set by anybody, and a copy of the file has another inode.
        let mark = format!("{}-{}.{}-{}", facts.ino(), facts.ctime(), facts.ctime_nsec(), facts.len());
        Ok(FileFacts { size: facts.len(), mark, kept: KeptSum::None })
    }

    fn remove(&self, backup: &BackupId) -> Result<bool, PortError> {
        let from = self.root.join(backup.directory());
        make_directories(&self.root, Path::new(UNFINISHED))?;
        let to = self.root.join(UNFINISHED).join(format!("removed_{}", flat(backup)));
        match fs::rename(&from, &to) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(failed("remove", &from, error)),
        }
        sync_directory(from.parent().unwrap_or(&self.root))?;
        remove(&to)?;
        if let Err(error) = fs::remove_file(self.seal_path(backup))
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(failed("remove", &self.seal_path(backup), error));
        }
        Ok(true)
    }

    fn sweep(&self, wanted: &[BackupId]) -> Result<Vec<String>, PortError> {
        let unfinished = self.root.join(UNFINISHED);
        let mut swept = Vec::new();
        let wanted: Vec<_> = wanted.iter().map(flat).collect();
        for name in names_in(&unfinished)?.into_iter().filter(|name| !wanted.contains(name)) {
            let path = unfinished.join(&name);
            let Ok(directory) = File::open(&path) else { continue };
            // Whoever works on it holds this lock, and the kernel gives it back when that process ends.
            if flock(&directory, FlockOperation::NonBlockingLockExclusive).is_err() {
                continue;
            }
            remove(&path)?;
            swept.push(name);
        }
        Ok(swept)
    }

    fn begin(&self, backup: &BackupId, _expected_bytes: u64) -> Result<Box<dyn PendingBackup>, PortError> {
        let place = self.root.join(backup.directory());
        if place.symlink_metadata().is_ok() {
            let what = format!("{} is in the store already", place.display());
            return Err(PortError::new(Reason::Conflict, what));
        }
        let name = flat(backup);
        let below = Path::new(UNFINISHED).join(&name);
        make_directories(&self.root, Path::new(UNFINISHED))?;
        let path = self.root.join(&below);
        // What a dead run left of this very backup is of no use here, and in the way.
        if let Ok(left) = File::open(&path)
            && flock(&left, FlockOperation::NonBlockingLockExclusive).is_ok()
        {
            remove(&path)?;
        }
        fs::create_dir(&path).map_err(|error| failed("make the directory", &path, error))?;
        let lock = File::open(&path).map_err(|error| failed("open", &path, error))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|error| failed("lock", &path, error.into()))?;
        Ok(Box::new(PendingDirectory { root: self.root.clone(), path, place, lock }))
    }

    fn backups(&self) -> Result<Vec<BackupId>, PortError> {
        if let Err(error) = fs::metadata(&self.root) {
            return Err(failed("find the store", &self.root, error).with_hint("check which claim is mounted there"));
        }
        let names = |path: &Path| -> Result<Vec<BackupName>, PortError> {
            Ok(names_in(path)?.iter().filter_map(|name| name.parse().ok()).collect())
        };
        let mut backups: Vec<_> = names(&self.root.join("base"))?.into_iter().map(BackupId::Full).collect();
        for base in names(&self.root.join("incr"))? {
            let of_base = names(&self.root.join("incr").join(base.as_str()))?;
            backups.extend(of_base.into_iter().map(|name| BackupId::Incremental { base: base.clone(), name }));
        }
        let has = |backup: &BackupId, file: &str| self.root.join(backup.directory()).join(file).exists();
        backups.retain(|backup| has(backup, MANIFEST_FILE) || has(backup, ORIGINALS_MARK));
        backups.sort_by(|a, b| (a.name(), a).cmp(&(b.name(), b)));
        Ok(backups)
    }

    fn open(&self, path: &str) -> Result<(Box<dyn Read + Send>, u64), PortError> {
        let full = self.inside(path)?;
        let opened = File::open(&full).and_then(|file| Ok((file.metadata()?, file)));
        let (metadata, file) = opened.map_err(|error| failed("open", &full, error))?;
        if !metadata.is_file() {
            return Err(PortError::new(Reason::Other, format!("{} is no file", full.display())));
        }
        // Only advice: where it is not taken, reading is merely slower.
        let _not_taken = fadvise(&file, 0, None, Advice::Sequential);
        Ok((Box::new(file), metadata.len()))
    }
}

/// Removes a directory with all in it.
fn remove(path: &Path) -> Result<(), PortError> {
    fs::remove_dir_all(path).map_err(|error| failed("remove the unfinished backup", path, error))
}

/// A backup in the making.
struct PendingDirectory {
    root: PathBuf,
    path: PathBuf,
    place: PathBuf,
    lock: File,
}

impl PendingDirectory {
    fn new_file(&self, name: &str) -> Result<DurableFile, PortError> {
        let path = self.path.join(name);
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        let file = file.map_err(|error| failed("create", &path, error))?;
        Ok(DurableFile { file, path, written: 0 })
    }
}

impl PendingBackup for PendingDirectory {
    fn create(&mut self, name: &str) -> Result<Box<dyn StoreFile>, PortError> {
        Ok(Box::new(self.new_file(name)?))
    }

    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<StoredFile, PortError> {
        let mut file = self.new_file(name)?;
        file.write_all(bytes).map_err(|error| failed("write", &file.path, error))?;
        file.make_durable()?;
        let sha256 = hex(&Sha256::digest(bytes));
        Ok(StoredFile { size: bytes.len() as u64, sha256 })
    }

    fn publish(mut self: Box<Self>, name: &str, bytes: &[u8]) -> Result<StoredFile, PortError> {
        let stored = self.write(name, bytes)?;
        sync_directory(&self.path)?;
        let parent = self.place.parent().unwrap_or(&self.root);
        let below = parent.strip_prefix(&self.root).unwrap_or(Path::new(""));
        make_directories(&self.root, below)?;
        fs::rename(&self.path, &self.place).map_err(|error| failed("put the backup at", &self.place, error))?;
        sync_directory(parent)?;
        sync_directory(&self.root.join(UNFINISHED))?;
        drop(self.lock);
        Ok(stored)
    }

    fn discard(self: Box<Self>) -> Result<(), PortError> {
        remove(&self.path)
    }
}

/// A file that knows how long it must be.
struct DurableFile {
    file: File,
    path: PathBuf,
    written: u64,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::manifest::STREAM_FILE;

    const NAME: &str = "base/2026-01-31_23-59-59";

    fn store() -> (tempfile::TempDir, VolumeStore, BackupId) {
        let directory = tempfile::tempdir().unwrap();
        let store = VolumeStore::new(directory.path());
        (directory, store, NAME.parse().unwrap())
    }

    fn write_stream(pending: &mut dyn PendingBackup) {
        let mut stream = pending.create(STREAM_FILE).unwrap();
        stream.write_all(b"bytes").unwrap();
        stream.make_durable().unwrap();
    }

    #[test]
    fn a_backup_is_nowhere_until_it_is_published_whole() {
        let (directory, store, id) = store();
        let mut pending = store.begin(&id, 0).unwrap();
        write_stream(pending.as_mut());
        pending.write("mariadb_backup_info", b"info").unwrap();
        assert_eq!(store.backups().unwrap(), []);
        assert!(!directory.path().join("base").exists());
        let manifest = pending.publish(MANIFEST_FILE, b"{}").unwrap();
        assert_eq!(manifest.size, 2);
        assert_eq!(store.backups().unwrap(), std::slice::from_ref(&id));
        let (mut reader, size) = store.open(&format!("{NAME}/{STREAM_FILE}")).unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), size), ("bytes", 5));
        assert_eq!(store.begin(&id, 0).err().unwrap().reason, Reason::Conflict);
        assert_eq!(names_in(&directory.path().join(UNFINISHED)).unwrap(), [""; 0]);
    }

    #[test]
    fn a_sweep_takes_dead_work_and_leaves_live_work_and_everything_else() {
        let (directory, store, id) = store();
        let live = store.begin(&id, 0).unwrap();
        fs::create_dir_all(directory.path().join(".unfinished/dead/x")).unwrap();
        fs::create_dir_all(directory.path().join("base/2026-01-01_00-00-00")).unwrap();
        fs::create_dir_all(directory.path().join("lost+found")).unwrap();
        assert_eq!(store.sweep(&[]).unwrap(), ["dead"]);
        assert_eq!(store.backups().unwrap(), []);
        drop(live);
        assert_eq!(store.sweep(&[]).unwrap().len(), 1);
        assert!(directory.path().join("base/2026-01-01_00-00-00").exists());
    }

    #[test]
    fn discarded_work_is_gone() {
        let (_directory, store, id) = store();
        let mut pending = store.begin(&id, 0).unwrap();
        write_stream(pending.as_mut());
        pending.discard().unwrap();
        assert_eq!(store.sweep(&[]).unwrap(), [""; 0]);
        assert!(store.begin(&id, 0).is_ok());
    }

    #[test]
    fn paths_that_lead_out_and_stores_that_are_not_there_are_refused() {
        let (_directory, store, _) = store();
        for path in ["../x", "/etc/passwd", "base/../../x", "./x"] {
            assert!(store.open(path).is_err(), "{path}");
        }
        assert_eq!(VolumeStore::new("/no/such/store").backups().unwrap_err().reason, Reason::Missing);
        assert_eq!(VolumeStore::new("/no/such/store").room().unwrap_err().reason, Reason::Missing);
    }
}
