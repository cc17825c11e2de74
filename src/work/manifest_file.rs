//! Reading a manifest from a store, with its sum, however hostile the file is.

use std::io::Read;

use sha2::{Digest, Sha256};

use crate::model::backup_id::BackupId;
use crate::model::manifest::{MANIFEST_FILE, MANIFEST_SCHEMA, Manifest, StoredFile, hex};
use crate::ports::PortError;
use crate::ports::runner::Store;

/// A manifest lists every table; this is some millions of them.
const LIMIT_BYTES: u64 = 512 << 20;

/// A manifest's bytes as they lie in a store.
pub(super) struct ManifestFile {
    /// The whole of it.
    pub bytes: Vec<u8>,
    /// Its length and sum.
    pub stored: StoredFile,
}

/// Why a manifest could not be read.
pub(super) enum Unreadable {
    /// The store did not hand it out.
    Port(PortError),
    /// It could not be read to its end.
    Reading(std::io::Error),
    /// What it is cannot be a manifest; a sentence about it.
    Wrong(String),
}

/// Returns the path of a backup's manifest inside a store.
pub(super) fn path_of(backup: &BackupId) -> String {
    format!("{}/{MANIFEST_FILE}", backup.directory())
}

/// Whether a name is that of a file and not a way to somewhere else.
pub(super) fn is_plain(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\\', '\0'])
}

/// Reads a backup's manifest.
pub(super) fn read(backup: &BackupId, store: &dyn Store) -> Result<ManifestFile, Unreadable> {
    let (reader, size) = store.open(&path_of(backup)).map_err(Unreadable::Port)?;
    if size > LIMIT_BYTES {
        return Err(Unreadable::Wrong(format!("{size} bytes are too many for a manifest")));
    }
    let mut bytes = Vec::new();
    // One byte more than it should be, so that a file that is longer than was said is not taken for whole.
    reader.take(size + 1).read_to_end(&mut bytes).map_err(Unreadable::Reading)?;
    if bytes.len() as u64 != size {
        return Err(Unreadable::Wrong(format!("is not the {size} bytes long that the store says")));
    }
    let stored = StoredFile { size, sha256: hex(&Sha256::digest(&bytes)) };
    Ok(ManifestFile { bytes, stored })
}

impl ManifestFile {
    /// Understands it; the error is a sentence about the file.
    pub(super) fn parse(&self, backup: &BackupId) -> Result<Manifest, String> {
        let manifest: Manifest =
            serde_json::from_slice(&self.bytes).map_err(|error| format!("is no manifest: {error}"))?;
        if manifest.schema != MANIFEST_SCHEMA {
            return Err(format!("is a manifest of version {}, which this build does not read", manifest.schema));
        }
        if manifest.backup != *backup {
            return Err(format!("is the manifest of {}", manifest.backup));
        }
        match manifest.files.keys().find(|name| !is_plain(name) || *name == MANIFEST_FILE) {
            Some(name) => Err(format!("lists {name:?}, which is no file of a backup")),
            None => Ok(manifest),
        }
    }
}
