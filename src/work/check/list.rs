//! Which files are to be read, and what each must be, by both witnesses.

use std::collections::BTreeMap;
use std::io::Read;

use super::Findings;
use crate::model::backup_id::BackupId;
use crate::model::catalogue::Checksum;
use crate::model::manifest::{MANIFEST_FILE, MANIFEST_SCHEMA, Manifest};
use crate::model::order::CheckOrder;
use crate::ports::runner::Store;

/// A manifest lists every table; this is some millions of them.
const MANIFEST_LIMIT: u64 = 512 << 20;

/// The files to read, and what was found wrong on the way.
pub(super) struct List {
    pub files: BTreeMap<String, Checksum>,
    pub findings: Findings,
}

/// Puts the catalogue's files and those of the manifests together.
pub(super) fn make(order: &CheckOrder, store: &dyn Store) -> List {
    let mut list = List { files: BTreeMap::new(), findings: Findings::new() };
    for (path, sum) in &order.expected {
        match BackupId::of_path(path) {
            None => list.find(path, "the catalogue's path is not that of a backup's file"),
            Some((_, name)) if !is_plain(name) => list.find(path, "the catalogue's path leads out of the backup"),
            Some((backup, MANIFEST_FILE)) => {
                list.files.insert(path.clone(), sum.clone());
                list.enter_manifest(path, &backup, store);
            }
            Some(_) => list.enter(path.clone(), sum.clone()),
        }
    }
    list
}

/// Whether a name is that of a file and not a way to somewhere else.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0'])
}

impl List {
    fn find(&mut self, path: &str, what: impl Into<String>) {
        self.findings.insert(path.to_owned(), what.into());
    }

    fn enter(&mut self, path: String, sum: Checksum) {
        match self.files.get(&path) {
            // The sums of both witnesses are compared here, so that each file is only read once.
            Some(other)
                if other.algorithm() == sum.algorithm()
                    && (other.checksum != sum.checksum || sizes_differ(other, &sum)) =>
            {
                self.find(&path, "the catalogue and the backup's manifest disagree about it");
            }
            Some(_) => {}
            None => {
                self.files.insert(path, sum);
            }
        }
    }

    fn enter_manifest(&mut self, path: &str, backup: &BackupId, store: &dyn Store) {
        match read_manifest(path, store) {
            Ok(manifest) if manifest.backup != *backup => {
                self.find(path, format!("is the manifest of {}", manifest.backup));
            }
            Ok(manifest) if manifest.schema != MANIFEST_SCHEMA => {
                self.find(
                    path,
                    format!("is a manifest of version {}, which this build does not read", manifest.schema),
                );
            }
            Ok(manifest) => self.enter_files(path, backup, &manifest),
            Err(what) => self.find(path, what),
        }
    }

    fn enter_files(&mut self, manifest_path: &str, backup: &BackupId, manifest: &Manifest) {
        let directory = backup.directory();
        for (name, file) in &manifest.files {
            if is_plain(name) && name != MANIFEST_FILE {
                self.enter(format!("{directory}/{name}"), Checksum::of(file));
            } else {
                self.find(manifest_path, format!("lists {name:?}, which is no file of a backup"));
            }
        }
    }
}

fn sizes_differ(one: &Checksum, other: &Checksum) -> bool {
    one.size.zip(other.size).is_some_and(|(one, other)| one != other)
}

fn read_manifest(path: &str, store: &dyn Store) -> Result<Manifest, String> {
    let (reader, size) = store.open(path).map_err(|error| super::digest::sentence(&error))?;
    if size > MANIFEST_LIMIT {
        return Err(format!("{size} bytes are too many for a manifest"));
    }
    let mut bytes = Vec::new();
    reader.take(MANIFEST_LIMIT).read_to_end(&mut bytes).map_err(|error| format!("cannot be read: {error}"))?;
    serde_json::from_slice(&bytes).map_err(|error| format!("is no manifest: {error}"))
}
