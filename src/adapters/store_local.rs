//! Backups on a mounted volume.
//!
//! Unfinished work lies in `.unfinished/<name>/`, locked by the process that works on it. When every
//! file including the manifest is durable there, one rename puts the directory in its place: under
//! `base/` and `incr/` there is never a backup of ours without its manifest, whatever was killed
//! or lost power. Removal goes the same way back. A sweep removes unfinished work that nobody holds
//! locked any more.

mod durable;
mod pending;
mod volume;
mod workspace;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Advice, OFlags, fadvise};

use crate::model::backup_id::{BackupId, BackupName};
use crate::model::manifest::MANIFEST_FILE;
use crate::model::original::MARK_FILE;
use crate::ports::runner::{FileFacts, KeptSum, PendingBackup, Store};
use crate::ports::{PortError, Reason};

use pending::PendingDirectory;
use workspace::Workspace;

/// Where unfinished work lies.
const UNFINISHED: &str = ".unfinished";

/// Where it is remembered which backups were read and found right.
const SEALS: &str = ".seals";

/// Where damaged backups lie that were set aside.
const QUARANTINE: &str = ".quarantine";

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

    /// The full path of a path inside the store; one that leads out is refused.
    fn inside(&self, path: &str) -> Result<PathBuf, PortError> {
        let is_inside = Path::new(path).components().all(|component| matches!(component, Component::Normal(_)));
        if is_inside && !path.is_empty() {
            return Ok(self.root.join(path));
        }
        Err(PortError::new(Reason::Forbidden, format!("{path:?} is no path inside a store")))
    }

    fn seal_path(&self, backup: &BackupId) -> PathBuf {
        self.root.join(SEALS).join(flat(backup))
    }

    /// Removes a directory of the store, by way of unfinished work; `false` when it was not there.
    fn remove_directory(&self, place: &Path, name: &str) -> Result<bool, PortError> {
        let workspace = Workspace::of(&self.root, &format!("removed_{name}"), place)?;
        workspace.map_or(Ok(false), |workspace| workspace.remove().map(|()| true))
    }

    /// The places where a backup was set aside, once for every time it was damaged.
    fn set_aside_before(&self, backup: &BackupId) -> Result<Vec<PathBuf>, PortError> {
        let place = self.root.join(QUARANTINE).join(backup.directory());
        let (Some(beside), name) = (place.parent(), backup.name().as_str()) else { return Ok(Vec::new()) };
        let is_numbered = |rest: &str| rest.strip_prefix('.').is_some_and(|number| number.parse::<u32>().is_ok());
        let is_of_it = |found: &str| found.strip_prefix(name).is_some_and(|rest| rest.is_empty() || is_numbered(rest));
        Ok(names_in(beside)?.iter().filter(|found| is_of_it(found)).map(|found| beside.join(found)).collect())
    }

    /// Forgets that a backup was found right.
    fn unseal(&self, backup: &BackupId) -> Result<(), PortError> {
        let path = self.seal_path(backup);
        as_good_when_gone(fs::remove_file(&path)).map_err(|error| failed("remove", &path, error))
    }

    /// Forgets what was found right but is no longer there.
    fn unseal_what_is_gone(&self) -> Result<(), PortError> {
        let kept: Vec<_> = self.backups()?.iter().map(flat).collect();
        for name in names_in(&self.root.join(SEALS))?.into_iter().filter(|name| !kept.contains(name)) {
            let path = self.root.join(SEALS).join(name);
            as_good_when_gone(fs::remove_file(&path)).map_err(|error| failed("remove", &path, error))?;
        }
        Ok(())
    }
}

/// A backup's name as one file name.
fn flat(backup: &BackupId) -> String {
    backup.directory().replace('/', "_")
}

/// An error about a path, with the reason and the next step its kind suggests.
fn failed(what: &str, path: &Path, error: io::Error) -> PortError {
    let reason = match error.kind() {
        io::ErrorKind::NotFound => Reason::Missing,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Reason::Forbidden,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Reason::NoSpace,
        io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::WouldBlock => Reason::Conflict,
        _ => Reason::Other,
    };
    let made = PortError::new(reason, format!("cannot {what} {}", path.display())).caused_by(error);
    match reason {
        Reason::NoSpace => made.with_hint("give the store's claim more room, or keep fewer; to see what would go: kubectl mariadb-backup prune --keep NUMBER --dry-run"),
        Reason::Forbidden => {
            made.with_hint("let the user of the runner write to the store (fsGroup), and mount it writable")
        }
        _ => made,
    }
}

/// Takes it for done when there was nothing to do it to.
fn as_good_when_gone(done: io::Result<()>) -> io::Result<()> {
    done.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
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

/// Opens a regular file for reading; never follows a link out, never waits for the end of a pipe.
fn open_file(path: &Path) -> Result<(File, fs::Metadata), PortError> {
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or_default();
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let opened = opened.and_then(|file| Ok((file.metadata()?, file)));
    let (metadata, file) = opened.map_err(|error| failed("open", path, error))?;
    if metadata.is_file() {
        return Ok((file, metadata));
    }
    Err(PortError::new(Reason::Other, format!("{} is no file", path.display())))
}

impl Store for VolumeStore {
    fn place(&self) -> String {
        self.root.display().to_string()
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
        backups.retain(|backup| has(backup, MANIFEST_FILE) || has(backup, MARK_FILE));
        backups.sort_by(|a, b| (a.name(), a).cmp(&(b.name(), b)));
        Ok(backups)
    }

    fn files(&self, backup: &BackupId) -> Result<Vec<String>, PortError> {
        let mut names = names_in(&self.root.join(backup.directory()))?;
        names.sort();
        Ok(names)
    }

    fn open(&self, path: &str) -> Result<(Box<dyn Read + Send>, u64), PortError> {
        let (file, metadata) = open_file(&self.inside(path)?)?;
        // Only advice: where it is not taken, reading is merely slower.
        let _not_taken = fadvise(&file, 0, None, Advice::Sequential);
        Ok((Box::new(file), metadata.len()))
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

    fn begin(&self, backup: &BackupId, _expected_bytes: u64) -> Result<Box<dyn PendingBackup>, PortError> {
        let place = self.root.join(backup.directory());
        if place.symlink_metadata().is_ok() {
            let what = format!("{} is in the store already", place.display());
            return Err(PortError::new(Reason::Conflict, what));
        }
        let workspace = Workspace::make(&self.root, &flat(backup))?;
        Ok(Box::new(PendingDirectory { root: self.root.clone(), workspace, place }))
    }

    fn remove(&self, backup: &BackupId) -> Result<bool, PortError> {
        let place = self.root.join(backup.directory());
        let was_there = self.remove_directory(&place, &flat(backup))?;
        self.unseal(backup)?;
        let mut was_aside = false;
        for aside in self.set_aside_before(backup)? {
            was_aside |= self.remove_directory(&aside, &format!("aside_{}", flat(backup)))?;
        }
        if backup.base().is_some() {
            // With the last increment of a chain its directory goes; with others in it, it stays.
            let _not_the_last = fs::remove_dir(place.parent().unwrap_or(&self.root));
        }
        Ok(was_there || was_aside)
    }

    fn sweep(&self, wanted: &[BackupId]) -> Result<Vec<String>, PortError> {
        let wanted: Vec<_> = wanted.iter().map(flat).collect();
        let names = names_in(&self.root.join(UNFINISHED))?;
        let mut swept = Vec::new();
        for name in names.into_iter().filter(|name| !wanted.contains(name)) {
            if workspace::sweep(&self.root, &name)? {
                swept.push(name);
            }
        }
        self.unseal_what_is_gone()?;
        swept.sort();
        Ok(swept)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Write;

    use super::*;
    use crate::model::manifest::STREAM_FILE;
    use crate::ports::runner::Volume;

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
    fn what_is_being_removed_or_replaced_is_not_swept_and_its_ruins_are() {
        let (directory, store, id) = store();
        let path = format!("{NAME}/{STREAM_FILE}");
        let mut next = store.replace(&path).unwrap();
        next.write_all(b"better").unwrap();
        assert_eq!(store.sweep(&[]).unwrap(), [""; 0]);
        next.put().unwrap();
        assert_eq!(fs::read(directory.path().join(&path)).unwrap(), b"better");
        drop(store.replace(&path).unwrap());
        fs::create_dir_all(directory.path().join(".unfinished/removed_base_2026-01-31_23-59-59/x")).unwrap();
        assert!(store.remove(&id).unwrap(), "the ruins of an earlier removal are in nobody's way");
        assert_eq!(store.sweep(&[]).unwrap(), ["replace_base_2026-01-31_23-59-59_backup.mbstream.zst"]);
        fs::write(directory.path().join(".unfinished/file"), "").unwrap();
        assert_eq!(store.sweep(&[]).unwrap(), ["file"]);
        assert_eq!(names_in(&directory.path().join(UNFINISHED)).unwrap(), [""; 0]);
    }

    #[test]
    fn a_seal_is_kept_as_long_as_its_backup() {
        let (directory, store, id) = store();
        store.begin(&id, 0).unwrap().publish(MANIFEST_FILE, b"{}").unwrap();
        let marks = BTreeMap::from([(MANIFEST_FILE.to_owned(), "mark".to_owned())]);
        assert_eq!(store.sealed(&id).unwrap(), None);
        store.seal(&id, &marks).unwrap();
        store.seal(&id, &marks).unwrap();
        store.sweep(&[]).unwrap();
        assert_eq!(store.sealed(&id).unwrap(), Some(marks.clone()));
        fs::remove_dir_all(directory.path().join(NAME)).unwrap();
        store.sweep(&[]).unwrap();
        assert_eq!(store.sealed(&id).unwrap(), None);
        store.begin(&id, 0).unwrap().publish(MANIFEST_FILE, b"{}").unwrap();
        store.seal(&id, &marks).unwrap();
        store.remove(&id).unwrap();
        assert_eq!(store.sealed(&id).unwrap(), None);
    }

    #[test]
    fn a_backup_is_set_aside_as_often_as_it_is_damaged() {
        let (directory, store, id) = store();
        let make = || drop(store.begin(&id, 0).unwrap().publish(MANIFEST_FILE, b"{}").unwrap());
        for place in [".quarantine/base/2026-01-31_23-59-59", ".quarantine/base/2026-01-31_23-59-59.2"] {
            make();
            store.seal(&id, &BTreeMap::new()).unwrap();
            assert_eq!(store.set_aside(&id).unwrap(), directory.path().join(place).display().to_string());
            assert_eq!((store.backups().unwrap(), store.sealed(&id).unwrap()), (vec![], None));
        }
        assert_eq!(store.set_aside(&id).unwrap_err().reason, Reason::Missing);
    }

    #[test]
    fn with_a_backup_goes_what_was_set_aside_of_it_and_nothing_else() {
        let (directory, store, id) = store();
        let aside = |name: &str| directory.path().join(".quarantine/base").join(name);
        let others = ["2026-01-31_23-59-59.notes", "2026-01-31_23-59-5", "2026-02-01_00-00-00"].map(aside);
        for place in others.iter().chain(&["2026-01-31_23-59-59", "2026-01-31_23-59-59.2"].map(aside)) {
            fs::create_dir_all(place.join("x")).unwrap();
        }
        assert!(store.remove(&id).unwrap());
        assert_eq!(names_in(&directory.path().join(".quarantine/base")).unwrap().len(), others.len());
        assert!(others.iter().all(|place| place.exists()));
        assert!(!store.remove(&id).unwrap());
    }

    #[test]
    fn a_link_or_a_pipe_is_no_file() {
        let (directory, store, _) = store();
        std::os::unix::fs::symlink("/etc/passwd", directory.path().join("link")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            directory.path().join("pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RWXU,
            0,
        )
        .unwrap();
        for name in ["link", "pipe"] {
            assert!(store.open(name).is_err(), "{name}");
            assert!(store.facts(name).is_err(), "{name}");
        }
    }

    #[test]
    fn the_directory_of_a_chain_goes_with_its_last_increment() {
        let (directory, store, _) = store();
        let increments =
            ["incr/2026-01-31_23-59-59/2026-02-01_00-00-00", "incr/2026-01-31_23-59-59/2026-02-02_00-00-00"];
        let increments = increments.map(|increment| increment.parse().unwrap());
        for id in &increments {
            store.begin(id, 0).unwrap().publish(MANIFEST_FILE, b"{}").unwrap();
        }
        store.remove(&increments[0]).unwrap();
        assert_eq!(store.backups().unwrap(), [increments[1].clone()]);
        store.remove(&increments[1]).unwrap();
        assert_eq!(names_in(&directory.path().join("incr")).unwrap(), [""; 0]);
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
