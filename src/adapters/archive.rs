//! Archives for people: a gzip'd tar in memory, and a new file to put it in.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use tar::{Builder, Header};

/// Packs texts under one directory.
///
/// # Errors
/// A name that no archive can hold.
pub fn pack(directory: &str, files: &[(String, String)], time: Timestamp) -> io::Result<Vec<u8>> {
    let mut archive = Builder::new(GzEncoder::new(vec![], Compression::default()));
    for (name, text) in files {
        let mut header = Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(u64::try_from(time.as_second()).unwrap_or_default());
        archive.append_data(&mut header, format!("{directory}/{name}"), text.as_bytes())?;
    }
    archive.into_inner()?.finish()
}

/// A file that was not there before, for its owner alone. Gone again when nothing is written to it.
pub struct NewFile {
    path: PathBuf,
    file: File,
    is_written: bool,
}

impl NewFile {
    /// Makes it.
    ///
    /// # Errors
    /// It is there already, or cannot be made.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut wishes = OpenOptions::new();
        wishes.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut wishes, 0o600);
        Ok(Self { path: path.to_owned(), file: wishes.open(path)?, is_written: false })
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.file.sync_all()?;
        self.is_written = true;
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_written {
            // Whoever finds an empty file loses nothing by it.
            let _left = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn what_was_packed_is_unpacked_by_any_tar() {
        let files = [("a.txt".to_owned(), "one\n".to_owned()), ("logs/b.log".to_owned(), String::new())];
        let bytes = pack("report", &files, "2026-01-01T00:00:00Z".parse().unwrap()).unwrap();
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()));
        let unpacked: Vec<_> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                let mut text = String::new();
                entry.read_to_string(&mut text).unwrap();
                (entry.path().unwrap().to_string_lossy().into_owned(), text)
            })
            .collect();
        let expected = [("report/a.txt", "one\n"), ("report/logs/b.log", "")];
        assert_eq!(unpacked, expected.map(|(name, text)| (name.to_owned(), text.to_owned())));
    }

    #[test]
    fn no_file_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.tar.gz");
        NewFile::create(&path).unwrap().write(b"one").unwrap();
        assert_eq!(NewFile::create(&path).err().unwrap().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
    }

    #[test]
    fn a_file_to_which_nothing_was_written_is_not_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.tar.gz");
        drop(NewFile::create(&path).unwrap());
        assert!(!path.exists());
    }
}
