//! A data volume's files, for a runner that may change all of them.

mod stays;

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use crate::model::galera::SavedState;
use crate::ports::refill::{Copying, DataFiles};
use crate::ports::{PortError, Reason};

/// Where Galera keeps which history a data directory is in.
const STATE_FILE: &str = "grastate.dat";

/// Of directories that have no model.
const DIRECTORY_MODE: u32 = 0o750;

/// So much of a file is copied before somebody may ask to stop.
const STRETCH: u64 = 64 << 20;

/// A data volume by the path of its root.
#[derive(Clone, Debug)]
pub struct VolumeFiles(PathBuf);

impl VolumeFiles {
    /// Takes the volume that is mounted there.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self(root.into())
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }
}

fn failed(what: &str, path: &Path, error: io::Error) -> PortError {
    let reason = match error.kind() {
        io::ErrorKind::NotFound => Reason::Missing,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Reason::Forbidden,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Reason::NoSpace,
        _ => Reason::Other,
    };
    let hint = match reason {
        Reason::Forbidden if error.kind() == io::ErrorKind::ReadOnlyFilesystem => Some("the volume is read-only"),
        Reason::Forbidden => Some("see who owns it, and whether it is immutable: ls -ln, lsattr"),
        Reason::NoSpace => Some("make room on the volume"),
        _ => None,
    };
    let failure = PortError::new(reason, format!("cannot {what} {}", path.display())).caused_by(error);
    match hint {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}

/// Takes "it is not there" for an answer.
fn if_there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

fn sync_directory_of(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

impl DataFiles for VolumeFiles {
    fn place(&self, path: &str) -> String {
        self.path(path).display().to_string().trim_end_matches('/').to_owned()
    }

    fn room(&self, path: &str) -> Result<(u64, u64), PortError> {
        let path = self.path(path);
        let room = rustix::fs::statvfs(&path)
            .map_err(|error| failed("ask for the room on the volume at", &path, error.into()))?;
        Ok((room.f_bavail.saturating_mul(room.f_frsize), room.f_blocks.saturating_mul(room.f_frsize)))
    }

    fn size(&self, directory: &str) -> Result<u64, PortError> {
        let path = self.path(directory);
        size_of(&path).map_err(|error| failed("measure", &path, error))
    }

    fn unremovable(&self, directory: &str, but: &[&str]) -> Result<Option<String>, PortError> {
        let path = self.path(directory);
        let found = stays::first(&path, but).map_err(|error| failed("look into", &path, error))?;
        Ok(found.map(|found| found.strip_prefix(&self.0).unwrap_or(&found).display().to_string()))
    }

    fn exists(&self, path: &str) -> Result<bool, PortError> {
        let path = self.path(path);
        let there = if_there(fs::symlink_metadata(&path)).map_err(|error| failed("look at", &path, error))?;
        Ok(there.is_some())
    }

    fn names(&self, directory: &str) -> Result<Vec<String>, PortError> {
        let path = self.path(directory);
        let read = || -> io::Result<Vec<String>> {
            let Some(entries) = if_there(fs::read_dir(&path))? else { return Ok(Vec::new()) };
            let name =
                |entry: io::Result<fs::DirEntry>| entry?.file_name().into_string().map_err(|name| no_text(&name));
            entries.map(name).collect()
        };
        read().map_err(|error| failed("look into", &path, error))
    }

    fn state(&self, directory: &str) -> Result<Option<SavedState>, PortError> {
        let path = self.path(directory).join(STATE_FILE);
        let text = if_there(fs::read_to_string(&path)).map_err(|error| failed("read", &path, error))?;
        Ok(text.as_deref().and_then(SavedState::parse))
    }

    fn write_state(&self, directory: &str, state: &SavedState) -> Result<(), PortError> {
        let path = self.path(directory).join(STATE_FILE);
        let unfinished = path.with_extension("dat.new");
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&unfinished)?;
            file.write_all(state.to_string().as_bytes())?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)?;
            sync_directory_of(&path)
        };
        write().map_err(|error| failed("write", &path, error))
    }

    fn make(&self, directory: &str, like: Option<&str>) -> Result<(), PortError> {
        let path = self.path(directory);
        let make = || -> io::Result<()> {
            let model = like.map(|like| fs::metadata(self.path(like))).map(if_there).transpose()?.flatten();
            if path.is_dir() {
                return Ok(());
            }
            DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(&path)?;
            match model {
                Some(model) => fs::set_permissions(&path, Permissions::from_mode(model.mode() & 0o7777)),
                None => Ok(()),
            }
        };
        make().map_err(|error| failed("make the directory", &path, error))
    }

    fn rename(&self, from: &str, to: &str) -> Result<bool, PortError> {
        let (from, to) = (self.path(from), self.path(to));
        match fs::rename(&from, &to) {
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => return Ok(false),
            renamed => renamed.map_err(|error| failed("rename", &from, error))?,
        }
        let synced = sync_directory_of(&from).and_then(|()| sync_directory_of(&to));
        synced.map_err(|error| failed("make durable the new name of", &to, error))?;
        Ok(true)
    }

    fn remove(&self, path: &str) -> Result<(), PortError> {
        let path = self.path(path);
        remove_tree(&path).map_err(|(place, error)| failed("remove", &place, error))
    }

    fn set_mode_like(&self, directory: &str, like: &str) -> Result<(), PortError> {
        let (path, like) = (self.path(directory), self.path(like));
        let set = || match if_there(fs::metadata(&like))? {
            Some(like) => fs::set_permissions(&path, Permissions::from_mode(like.mode() & 0o7777)),
            None => Ok(()),
        };
        set().map_err(|error| failed("set the mode of", &path, error))
    }

    fn copy_file(&self, from: &str, to: &str) -> Result<(), PortError> {
        let (from, to) = (self.path(from), self.path(to));
        fs::copy(&from, &to).map(drop).map_err(|error| failed("copy", &from, error))
    }

    fn copy(&self, from: &str, to: &str, copying: &Copying<'_>) -> Result<(), PortError> {
        let (from, to) = (self.path(from), self.path(to));
        let mut files = Vec::new();
        make_directories(&from, &to, copying.leave_out, &mut files)
            .map_err(|(place, error)| failed("copy", &place, error))?;
        // The largest first, so that no thread begins it when the others are done.
        files.sort_by_key(|file| std::cmp::Reverse(file.bytes));
        copy_files(files.into(), copying)
    }

    fn make_durable(&self, path: &str) -> Result<(), PortError> {
        let path = self.path(path);
        let synced = File::open(&path).and_then(|place| Ok(rustix::fs::syncfs(place)?));
        synced.map_err(|error| failed("make durable what is on the volume at", &path, error))
    }
}

fn no_text(name: &std::ffi::OsStr) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the name {} is no text", name.display()))
}

fn size_of(path: &Path) -> io::Result<u64> {
    let Some(entries) = if_there(fs::read_dir(path))? else { return Ok(0) };
    let mut sum = 0;
    for entry in entries {
        let entry = entry?;
        // What is removed meanwhile takes no room; a server may be at work.
        let Some(facts) = if_there(entry.metadata())? else { continue };
        sum += if facts.is_dir() {
            match size_of(&entry.path()) {
                // Somebody else's, as a server's own files never are: whoever has to remove it is told then.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => 0,
                size => size?,
            }
        } else {
            facts.blocks() * 512
        };
    }
    Ok(sum)
}

/// Removes all below a path, and says of what could not be removed which it was.
fn remove_tree(path: &Path) -> Result<(), (PathBuf, io::Error)> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |error| (path, error)
    };
    let Some(facts) = if_there(fs::symlink_metadata(path)).map_err(at(path))? else { return Ok(()) };
    if !facts.is_dir() {
        return fs::remove_file(path).map_err(at(path));
    }
    for entry in fs::read_dir(path).map_err(at(path))? {
        remove_tree(&entry.map_err(at(path))?.path())?;
    }
    fs::remove_dir(path).map_err(at(path))
}

struct ToCopy {
    from: PathBuf,
    to: PathBuf,
    bytes: u64,
    mode: u32,
}

/// Makes every directory, and notes every file.
fn make_directories(
    from: &Path,
    to: &Path,
    leave_out: &[&str],
    files: &mut Vec<ToCopy>,
) -> Result<(), (PathBuf, io::Error)> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |error| (path, error)
    };
    for entry in fs::read_dir(from).map_err(at(from))? {
        let entry = entry.map_err(at(from))?;
        let name = entry.file_name();
        if leave_out.iter().any(|left| name == *left) {
            continue;
        }
        let (from, to) = (entry.path(), to.join(&name));
        let facts = entry.metadata().map_err(at(&from))?;
        if facts.is_dir() {
            DirBuilder::new().recursive(true).mode(facts.mode() & 0o7777).create(&to).map_err(at(&to))?;
            make_directories(&from, &to, &[], files)?;
        } else if facts.is_file() {
            files.push(ToCopy { from, to, bytes: facts.len(), mode: facts.mode() & 0o7777 });
        } else {
            let error = io::Error::new(io::ErrorKind::InvalidData, "it is neither a file nor a directory");
            return Err((from, error));
        }
    }
    Ok(())
}

fn copy_files(files: VecDeque<ToCopy>, copying: &Copying<'_>) -> Result<(), PortError> {
    let files = Mutex::new(files);
    let next = || files.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let failure = Mutex::new(None);
    let has_failed = || failure.lock().unwrap_or_else(PoisonError::into_inner).is_some();
    std::thread::scope(|scope| {
        for _ in 0..copying.threads {
            scope.spawn(|| {
                while let Some(file) = next().filter(|_| !has_failed() && !(copying.is_stopped)()) {
                    if let Err(error) = copy_one(&file, copying) {
                        let error = failed("copy to", &file.to, error);
                        failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                    }
                }
            });
        }
    });
    failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

/// Copies one file without its holes, inside the kernel where that can do it.
fn copy_one(file: &ToCopy, copying: &Copying<'_>) -> io::Result<()> {
    let mut source = File::open(&file.from)?;
    let mut target = OpenOptions::new().write(true).create(true).truncate(true).mode(file.mode).open(&file.to)?;
    let mut at = 0;
    while let Some((begin, end)) = next_data(&source, at, file.bytes)? {
        at = begin;
        while at < end {
            if (copying.is_stopped)() {
                return Ok(());
            }
            source.seek(SeekFrom::Start(at))?;
            target.seek(SeekFrom::Start(at))?;
            let copied = io::copy(&mut Read::take(&source, STRETCH.min(end - at)), &mut target)?;
            if copied == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it became shorter while it was copied"));
            }
            at += copied;
            copying.done.fetch_add(copied, Ordering::Relaxed);
        }
    }
    target.set_len(file.bytes)?;
    // The mask of this process must not take away what the original lets its group do.
    target.set_permissions(Permissions::from_mode(file.mode))
}

/// The next stretch with data from there on.
fn next_data(file: &File, from: u64, length: u64) -> io::Result<Option<(u64, u64)>> {
    if from >= length {
        return Ok(None);
    }
    let begin = match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(from)) {
        Ok(begin) => begin,
        Err(rustix::io::Errno::NXIO) => return Ok(None),
        // A file system that knows nothing of holes.
        Err(_) => return Ok(Some((from, length))),
    };
    let end = rustix::fs::seek(file, rustix::fs::SeekFrom::Hole(begin))?;
    Ok(Some((begin, end.min(length))))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    fn copying(done: &AtomicU64) -> Copying<'_> {
        Copying { leave_out: &["left"], threads: 3, done, is_stopped: &|| false }
    }

    #[test]
    fn a_copy_has_every_byte_every_hole_and_every_mode_but_what_is_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let volume = VolumeFiles::new(directory.path());
        let from = directory.path().join("from");
        fs::create_dir_all(from.join("shop/.hidden")).unwrap();
        fs::write(from.join("left"), "x").unwrap();
        fs::write(from.join("shop/.hidden/file"), "abc").unwrap();
        fs::set_permissions(from.join("shop/.hidden/file"), Permissions::from_mode(0o660)).unwrap();
        let holes = File::create(from.join("holes")).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&holes, b"end", 5 << 20).unwrap();
        holes.set_len(9 << 20).unwrap();
        volume.make("to", Some("from")).unwrap();
        let done = AtomicU64::new(0);
        volume.copy("from", "to", &copying(&done)).unwrap();
        let to = directory.path().join("to");
        assert_eq!(fs::read(to.join("shop/.hidden/file")).unwrap(), b"abc");
        assert_eq!(fs::metadata(to.join("shop/.hidden/file")).unwrap().mode() & 0o777, 0o660);
        let copied = fs::read(to.join("holes")).unwrap();
        assert_eq!((copied.len(), &copied[5 << 20..(5 << 20) + 3]), (9 << 20, b"end".as_slice()));
        assert!(fs::metadata(to.join("holes")).unwrap().blocks() * 512 < 1 << 20, "the holes were filled");
        assert!(!to.join("left").exists());
        assert!(done.load(Ordering::Relaxed) < 1 << 20);
    }

    #[test]
    fn what_is_not_there_is_removed_and_measured_as_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let volume = VolumeFiles::new(directory.path());
        volume.remove("x").unwrap();
        assert_eq!((volume.size("x").unwrap(), volume.names("x").unwrap().len()), (0, 0));
        assert_eq!((volume.state("x").unwrap(), volume.exists("x").unwrap()), (None, false));
    }

    #[test]
    fn a_link_is_removed_and_not_what_it_points_to() {
        let directory = tempfile::tempdir().unwrap();
        let volume = VolumeFiles::new(directory.path());
        fs::create_dir_all(directory.path().join("kept/deep")).unwrap();
        fs::create_dir(directory.path().join("gone")).unwrap();
        std::os::unix::fs::symlink(directory.path().join("kept"), directory.path().join("gone/link")).unwrap();
        volume.remove("gone").unwrap();
        assert!(directory.path().join("kept/deep").exists() && !volume.exists("gone").unwrap());
    }
}
