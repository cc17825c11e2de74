//! The key for encrypted backups of the original, where its Secret is mounted.

use std::fs;
use std::io;
use std::path::Path;

use crate::model::names::ORIGINAL_KEY_FILE;
use crate::ports::{PortError, Reason};

/// Reads the file; `None` where the Secret is not there, or does not have it.
///
/// # Errors
/// It is there and cannot be read.
pub fn read(directory: &Path) -> Result<Option<Vec<u8>>, PortError> {
    let path = directory.join(ORIGINAL_KEY_FILE);
    match fs::read(&path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            Err(PortError::new(Reason::Credentials, format!("cannot read {}", path.display())).caused_by(error))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_is_not_there_is_no_error_and_one_that_cannot_be_read_is() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(read(directory.path()).unwrap(), None);
        fs::write(directory.path().join(ORIGINAL_KEY_FILE), "kek\n").unwrap();
        assert_eq!(read(directory.path()).unwrap().as_deref(), Some(&b"kek\n"[..]));
        let other = tempfile::tempdir().unwrap();
        fs::create_dir(other.path().join(ORIGINAL_KEY_FILE)).unwrap();
        assert!(read(other.path()).is_err());
    }
}
