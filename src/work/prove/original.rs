//! What a chain's survey learns of a backup of the original, which has no manifest to tell it.
//!
//! Its stream is named and has its sum in the catalogue; the tool's small files beside it say what it
//! builds on. They are read and compared here, before anything is unpacked.

use std::collections::BTreeMap;
use std::io::Read;

use super::error::{ProveError, bad_file};
use super::plan::{self, Form, Link};
use crate::model::backup_id::BackupId;
use crate::model::catalogue::{Algorithm, Checksum};
use crate::model::manifest::ToolFile;
use crate::model::order::StoreName;
use crate::model::original::{Facts, KEY_FILE, MARK_FILE, STREAM_FILE};
use crate::work::check::flaw::Flaw;
use crate::work::check::look::Side;
use crate::work::openssl::{Passphrase, is_encrypted};
use crate::work::sums::{self, Sum};

/// The tool's small files are a few hundred bytes; more than this is not one of them.
const SMALL_BYTES: u64 = 256 << 10;

/// One of them, as it lies in a store.
struct Original<'a> {
    backup: &'a BackupId,
    side: &'a Side<'a>,
    /// What the catalogue says of its files.
    files: BTreeMap<String, Checksum>,
}

/// The key that encrypted ones are opened with.
pub(super) struct Key<'a> {
    /// The file with it, if it is there.
    pub file: Option<&'a [u8]>,
    /// The Secret it is in, if one is set.
    pub secret: Option<&'a str>,
}

/// Whether the catalogue has a stream such as the original's for that backup.
pub(super) fn is_one(backup: &BackupId, files: &BTreeMap<String, Checksum>) -> bool {
    files.contains_key(&path(backup, STREAM_FILE))
}

/// Reads what is to be known of it.
pub(super) fn link(
    number: usize,
    backup: &BackupId,
    from: StoreName,
    files: BTreeMap<String, Checksum>,
    key: &Key<'_>,
    side: &Side<'_>,
) -> Result<Link, ProveError> {
    let mut original = Original { backup, side, files };
    let names = original.names()?;
    let key = original.key(&names, key)?;
    let [info, checkpoints] = [ToolFile::Info, ToolFile::Checkpoints].map(|file| original.tool_file(file, &names));
    let (info, checkpoints) = (info?, checkpoints?);
    let facts = Facts::find(backup, &info.text, &checkpoints.text).map_err(|(file, what)| {
        let path = if file == ToolFile::Info { &info.path } else { &checkpoints.path };
        bad_file(side, path, &Flaw::Wrong(what))
    })?;
    let stored_bytes = original.stored_bytes()?;
    Ok(Link {
        backup: backup.clone(),
        directory: plan::directory(number),
        from,
        files: original.files,
        form: Form::Original { key },
        // It may be much more: how well it was compressed is written down nowhere.
        least_bytes: stored_bytes,
        redo_bytes: 0,
        lsn: facts.lsn,
        position: None,
        server_version: facts.server_version,
    })
}

fn path(backup: &BackupId, name: &str) -> String {
    format!("{}/{name}", backup.directory())
}

/// One of the tool's files.
struct Text {
    path: String,
    text: String,
}

impl Original<'_> {
    /// The files that are there; without the original's mark, they are no backup.
    fn names(&self) -> Result<Vec<String>, ProveError> {
        let directory = self.backup.directory();
        let listed = self.side.store.files(self.backup);
        let names = listed.map_err(|error| bad_file(self.side, &directory, &self.side.flaw_of(&error)))?;
        if names.iter().any(|name| name == MARK_FILE) {
            return Ok(names);
        }
        let what = "is missing, which is written last: the backup was not finished".to_owned();
        Err(bad_file(self.side, &path(self.backup, MARK_FILE), &Flaw::Wrong(what)))
    }

    /// Reads one of the tool's files, by whichever of its names it is there.
    fn tool_file(&mut self, file: ToolFile, names: &[String]) -> Result<Text, ProveError> {
        let name = file.names().into_iter().find(|name| names.iter().any(|there| there == name));
        let path = path(self.backup, name.unwrap_or(file.stored_name()));
        let read = read_small(self.side, &path, self.files.get(&path));
        let as_text = |bytes| String::from_utf8(bytes).map_err(|_| Flaw::Wrong("is no text".to_owned()));
        let text = read.and_then(as_text).map_err(|flaw| bad_file(self.side, &path, &flaw))?;
        // It is compared already.
        self.files.remove(&path);
        Ok(Text { path, text })
    }

    /// Opens what it is encrypted with, where it is.
    fn key(&mut self, names: &[String], outer: &Key<'_>) -> Result<Option<Passphrase>, ProveError> {
        let path = path(self.backup, KEY_FILE);
        if !names.iter().any(|name| name == KEY_FILE) && !self.files.contains_key(&path) {
            return Ok(None);
        }
        let read = read_small(self.side, &path, self.files.remove(&path).as_ref());
        let whole = read.and_then(|wrapped| {
            let what = || Flaw::Wrong("is no key that openssl encrypted".to_owned());
            is_encrypted(&wrapped).then_some(wrapped).ok_or_else(what)
        });
        let wrapped = whole.map_err(|flaw| bad_file(self.side, &path, &flaw))?;
        let (backup, secret) = (self.backup.clone(), outer.secret.map(str::to_owned));
        let Some(file) = outer.file.and_then(Passphrase::of_file) else {
            return Err(ProveError::NoKey { backup, secret });
        };
        file.unwrap(&wrapped).map(Some).ok_or(ProveError::WrongKey { backup, secret: secret.unwrap_or_default() })
    }

    /// Finds out how long the stream is, which the original does not record.
    fn stored_bytes(&mut self) -> Result<u64, ProveError> {
        let path = path(self.backup, STREAM_FILE);
        let facts = self.side.store.facts(&path);
        let facts = facts.map_err(|error| bad_file(self.side, &path, &self.side.flaw_of(&error)))?;
        if let Some(sum) = self.files.get_mut(&path) {
            sum.size.get_or_insert(facts.size);
        }
        Ok(facts.size)
    }
}

/// Reads a small file and compares it with what was recorded of it, if anything was.
fn read_small(side: &Side<'_>, path: &str, expected: Option<&Checksum>) -> Result<Vec<u8>, Flaw> {
    let (reader, length) = side.store.open(path).map_err(|error| side.flaw_of(&error))?;
    if length > SMALL_BYTES {
        return Err(Flaw::Wrong(format!("{length} bytes are too many for it")));
    }
    let mut bytes = Vec::new();
    reader.take(SMALL_BYTES).read_to_end(&mut bytes).map_err(|error| side.flaw_of_reading(&error))?;
    if let Some(expected) = expected {
        let mut sum = Sum::new(expected.algorithm().unwrap_or(Algorithm::Md5));
        sum.update(&bytes);
        sums::compare(&sum.finish(), expected).map_err(Flaw::Wrong)?;
    }
    Ok(bytes)
}
