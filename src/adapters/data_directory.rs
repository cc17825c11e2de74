//! The replica's data directory, read beside its server.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::model::galera::gvwstate_my_uuid;
use crate::ports::runner::{DataDirectory, Incarnation};
use crate::ports::{PortError, Reason};

/// Two mistakes look alike: the runner is somebody else than the server, or the path is somebody else's.
const WRONG_USER: &str = "see who owns it, in the server's pod: ls -ln; the server's user has to be able to read it, and the runner has to run as that user";

/// A data directory by its path.
#[derive(Clone, Debug)]
pub struct LocalData(PathBuf);

impl LocalData {
    /// Makes one; nothing is read yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    fn error(path: &Path, error: io::Error) -> PortError {
        let reason = match error.kind() {
            io::ErrorKind::NotFound => Reason::Missing,
            io::ErrorKind::PermissionDenied => Reason::Forbidden,
            _ => Reason::Other,
        };
        let forbidden = reason == Reason::Forbidden;
        let error = PortError::new(reason, format!("cannot read {}", path.display())).caused_by(error);
        if forbidden { error.with_hint(WRONG_USER) } else { error }
    }
}

/// Files mariadb-backup leaves out, by name in the data directory itself.
fn is_left_out(name: &str) -> bool {
    name == "galera.cache" || name.starts_with("gcache.page.") || name == "lost+found"
}

/// Adds up a directory; what vanishes meanwhile (a table was dropped) does not count. Says of what could not be
/// read which it was.
fn bytes_below(path: &Path, top: bool) -> Result<u64, (PathBuf, io::Error)> {
    let at = |path: PathBuf| move |error| (path, error);
    let mut bytes = 0;
    for entry in fs::read_dir(path).map_err(at(path.to_owned()))? {
        let entry = entry.map_err(at(path.to_owned()))?;
        if top && entry.file_name().to_str().is_some_and(is_left_out) {
            continue;
        }
        bytes += match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => match bytes_below(&entry.path(), false) {
                Err((_, error)) if error.kind() == io::ErrorKind::NotFound => 0,
                result => result?,
            },
            Ok(metadata) => bytes_of(&metadata),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err((entry.path(), error)),
        };
    }
    Ok(bytes)
}

/// What a file takes: a sparse one less than its length.
fn bytes_of(metadata: &Metadata) -> u64 {
    metadata.len().min(metadata.blocks().saturating_mul(512))
}

impl DataDirectory for LocalData {
    fn data_bytes(&self) -> Result<u64, PortError> {
        bytes_below(&self.0, true).map_err(|(path, error)| Self::error(&path, error))
    }

    fn free_bytes(&self) -> Result<u64, PortError> {
        let room = rustix::fs::statvfs(&self.0).map_err(|error| Self::error(&self.0, error.into()))?;
        Ok(room.f_bavail.saturating_mul(room.f_frsize))
    }

    fn member_id(&self) -> Result<Option<String>, PortError> {
        let path = self.0.join("gvwstate.dat");
        match fs::read_to_string(&path) {
            Ok(text) => Ok(gvwstate_my_uuid(&text).map(str::to_owned)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Self::error(&path, error)),
        }
    }

    fn incarnation(&self) -> Result<Incarnation, PortError> {
        let path = self.0.join("ibdata1");
        let metadata = fs::metadata(&path).map_err(|error| Self::error(&path, error))?;
        let birth = metadata.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let ibdata1_birth_nanos = birth.and_then(|time| i64::try_from(time.as_nanos()).ok());
        Ok(Incarnation { ibdata1_inode: metadata.ino(), ibdata1_birth_nanos })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_copy_leaves_out_does_not_count() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: usize| fs::write(directory.path().join(name), vec![1; bytes]).unwrap();
        fs::create_dir(directory.path().join("shop")).unwrap();
        write("ibdata1", 4096);
        write("ib_logfile0", 4096);
        write("shop/orders.ibd", 8192);
        write("galera.cache", 1 << 20);
        write("gcache.page.000001", 1 << 20);
        let data = LocalData::new(directory.path());
        assert_eq!(data.data_bytes().unwrap(), 16384);
        assert_eq!(data.member_id().unwrap(), None);
        assert!(data.incarnation().unwrap().ibdata1_inode > 0);
    }
}
