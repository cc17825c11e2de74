//! A directory to unpack a backup into and to prove it in.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::model::manifest::ToolFile;
use crate::ports::prove::{Scratch, Unpacked};
use crate::ports::{PortError, Reason};

/// As the server makes them: for itself and its group.
const FILE_MODE: u32 = 0o640;
const DIRECTORY_MODE: u32 = 0o750;

/// mariadb-backup has as many files under way as it has threads; a stream with more is not its own.
const MOST_OPEN: usize = 256;

/// What Galera keeps of the cluster a data directory belongs to.
const OF_CLUSTER: [&str; 3] = ["grastate.dat", "sst_in_progress", "wsrep_sst.pid"];

/// What it keeps of a running member.
const OF_SESSION: [&str; 2] = ["gvwstate.dat", "galera.cache"];

/// And this begins the names of what did not fit into its cache.
const CACHE_PAGE: &str = "gcache.page.";

/// A scratch directory by its path.
#[derive(Clone, Debug)]
pub struct ScratchDirectory(PathBuf);

impl ScratchDirectory {
    /// Takes a directory, which need not be there yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    fn remove_files(&self, directory: &str, is_wanted: impl Fn(&str) -> bool) -> Result<(), PortError> {
        let path = self.0.join(directory);
        let names = names_in(&path).map_err(|error| failed("look into", &path, error))?;
        for name in names.into_iter().filter(|name| is_wanted(name)) {
            let file = path.join(name);
            fs::remove_file(&file).map_err(|error| failed("remove", &file, error))?;
        }
        Ok(())
    }
}

fn names_in(path: &Path) -> io::Result<Vec<String>> {
    // A name that is no text is not one of ours.
    fs::read_dir(path)?
        .filter_map(|entry| entry.map(|entry| entry.file_name().into_string().ok()).transpose())
        .collect()
}

fn failed(what: &str, path: &Path, error: io::Error) -> PortError {
    let reason = match error.kind() {
        io::ErrorKind::NotFound => Reason::Missing,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Reason::Forbidden,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Reason::NoSpace,
        _ => Reason::Other,
    };
    let wrong_user = reason == Reason::Forbidden;
    let error = PortError::new(reason, format!("cannot {what} {}", path.display())).caused_by(error);
    if wrong_user { error.with_hint("the scratch directory must belong to the user the server runs as") } else { error }
}

fn remove_all(path: &Path) -> Result<(), PortError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(|error| failed("remove", path, error)),
    }
}

fn is_of_session(name: &str) -> bool {
    OF_SESSION.contains(&name) || name.starts_with(CACHE_PAGE)
}

impl Scratch for ScratchDirectory {
    fn place(&self) -> String {
        self.0.display().to_string()
    }

    fn names(&self) -> Result<Vec<String>, PortError> {
        fs::create_dir_all(&self.0).map_err(|error| failed("make the directory", &self.0, error))?;
        names_in(&self.0).map_err(|error| failed("look into", &self.0, error))
    }

    fn free_bytes(&self) -> Result<u64, PortError> {
        let room =
            rustix::fs::statvfs(&self.0).map_err(|error| failed("ask for the room in", &self.0, error.into()))?;
        Ok(room.f_bavail.saturating_mul(room.f_frsize))
    }

    fn make(&self, directory: &str) -> Result<Box<dyn Unpacked>, PortError> {
        let path = self.0.join(directory);
        let made = DirBuilder::new().mode(DIRECTORY_MODE).create(&path);
        made.map_err(|error| failed("make the directory", &path, error))?;
        Ok(Box::new(UnpackedDirectory { root: path, open: BTreeMap::new(), made: BTreeSet::new() }))
    }

    fn remove(&self, directory: &str) -> Result<(), PortError> {
        remove_all(&self.0.join(directory))
    }

    fn discard(&self) -> Result<(), PortError> {
        remove_all(&self.0)
    }

    fn make_durable(&self) -> Result<(), PortError> {
        let synced = File::open(&self.0).and_then(|directory| Ok(rustix::fs::syncfs(directory)?));
        synced.map_err(|error| failed("make durable what is in", &self.0, error))
    }

    fn galera_info(&self, directory: &str) -> Result<Option<String>, PortError> {
        for name in ToolFile::GaleraInfo.names() {
            let path = self.0.join(directory).join(name);
            match fs::read_to_string(&path) {
                Ok(text) => return Ok(Some(text)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed("read", &path, error)),
            }
        }
        Ok(None)
    }

    fn forget_cluster(&self, directory: &str) -> Result<(), PortError> {
        self.remove_files(directory, |name| OF_CLUSTER.contains(&name) || is_of_session(name))
    }

    fn forget_session(&self, directory: &str) -> Result<(), PortError> {
        self.remove_files(directory, is_of_session)
    }
}

/// A directory being filled.
struct UnpackedDirectory {
    root: PathBuf,
    open: BTreeMap<String, File>,
    /// Directories below it that are there.
    made: BTreeSet<PathBuf>,
}

impl UnpackedDirectory {
    fn place(&mut self, path: &str) -> io::Result<PathBuf> {
        let place = self.root.join(path);
        if let Some(parent) = place.parent().filter(|parent| *parent != self.root)
            && !self.made.contains(parent)
        {
            DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(parent)?;
            self.made.insert(parent.to_path_buf());
        }
        Ok(place)
    }

    fn file(&self, path: &str) -> io::Result<&File> {
        self.open.get(path).ok_or_else(|| io::Error::other("the file was not begun"))
    }
}

impl Unpacked for UnpackedDirectory {
    fn begin(&mut self, path: &str, anew: bool) -> io::Result<()> {
        if self.open.len() >= MOST_OPEN {
            return Err(io::Error::other("the stream has more files under way than mariadb-backup ever has"));
        }
        let place = self.place(path)?;
        if anew {
            fs::remove_file(&place)?;
        }
        // Never one that is there already, nor through a link.
        let file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(place)?;
        self.open.insert(path.to_owned(), file);
        Ok(())
    }

    fn write(&mut self, path: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file(path)?.write_all_at(bytes, offset)
    }

    fn close(&mut self, path: &str, length: u64) -> io::Result<()> {
        let file = self.file(path)?;
        if file.metadata()?.len() < length {
            file.set_len(length)?;
        }
        self.open.remove(path);
        Ok(())
    }

    fn rename(&mut self, path: &str, to: &str) -> io::Result<()> {
        let (from, target) = (self.place(path)?, self.place(to)?);
        fs::rename(from, target)?;
        self.open.remove(to);
        if let Some(file) = self.open.remove(path) {
            self.open.insert(to.to_owned(), file);
        }
        Ok(())
    }

    fn remove(&mut self, path: &str) -> io::Result<()> {
        self.open.remove(path);
        fs::remove_file(self.root.join(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch() -> (tempfile::TempDir, ScratchDirectory) {
        let directory = tempfile::tempdir().unwrap();
        let scratch = ScratchDirectory::new(directory.path().join("made"));
        assert_eq!(scratch.names().unwrap(), [""; 0]);
        (directory, scratch)
    }

    #[test]
    fn files_are_made_below_it_with_holes_and_their_length() {
        let (directory, scratch) = scratch();
        let mut unpacked = scratch.make("base").unwrap();
        unpacked.begin("shop/orders.ibd", false).unwrap();
        unpacked.write("shop/orders.ibd", 3, b"abc").unwrap();
        unpacked.close("shop/orders.ibd", 9).unwrap();
        let path = directory.path().join("made/base/shop/orders.ibd");
        assert_eq!(fs::read(&path).unwrap(), b"\0\0\0abc\0\0\0");
        assert!(unpacked.begin("shop/orders.ibd", false).is_err(), "it is there already");
        unpacked.begin("shop/orders.ibd", true).unwrap();
        unpacked.close("shop/orders.ibd", 0).unwrap();
        unpacked.rename("shop/orders.ibd", "other/orders.ibd").unwrap();
        unpacked.remove("other/orders.ibd").unwrap();
        assert!(!path.exists() && scratch.make("base").is_err());
        scratch.make_durable().unwrap();
        scratch.remove("base").unwrap();
        scratch.remove("base").unwrap();
    }

    #[test]
    fn what_galera_keeps_goes_and_its_position_goes_only_before_the_boot() {
        let (directory, scratch) = scratch();
        drop(scratch.make("base").unwrap());
        let base = directory.path().join("made/base");
        let fill = || {
            for name in ["grastate.dat", "gvwstate.dat", "galera.cache", "gcache.page.000001", "ibdata1"] {
                fs::write(base.join(name), "x").unwrap();
            }
        };
        fill();
        scratch.forget_cluster("base").unwrap();
        assert_eq!(names_in(&base).unwrap(), ["ibdata1"]);
        fill();
        scratch.forget_session("base").unwrap();
        let mut left = names_in(&base).unwrap();
        left.sort();
        assert_eq!(left, ["grastate.dat", "ibdata1"]);
    }

    #[test]
    fn a_stream_with_too_many_files_under_way_is_refused() {
        let (_directory, scratch) = scratch();
        let mut unpacked = scratch.make("base").unwrap();
        let begun = (0..=MOST_OPEN).map(|n| unpacked.begin(&n.to_string(), false)).take_while(Result::is_ok).count();
        assert_eq!(begun, MOST_OPEN);
    }
}
