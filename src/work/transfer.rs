//! Copying one backup from one store to the other, either way.
//!
//! One pass: every file is hashed while it is copied and compared with what both witnesses say before
//! the backup is published, its manifest last. A source that is not what was recorded is never
//! published. What the target has already is never overwritten: when it is the same, nothing is left to
//! do; when it is damaged, it goes, but only after every byte of the source was proven.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::sync::atomic::Ordering;

use super::check::flaw::Flaw;
use super::check::list::{self, List};
use super::check::look::{self, Pace, Side};
use super::manifest_file::is_plain;
use super::sums::{self, BLOCK_BYTES, Broken, Sum};
use crate::model::backup_id::BackupId;
use crate::model::bytes::human;
use crate::model::catalogue::{Algorithm, Checksum};
use crate::model::manifest::MANIFEST_FILE;
use crate::model::original::MARK_FILE;
use crate::ports::runner::PendingBackup;
use crate::ports::{PortError, Reason};

/// Files up to this length are held in memory; they need no parts.
const SMALL_BYTES: u64 = 1 << 20;

/// What came of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Copied {
    /// The target did not have it.
    New,
    /// The target had it, every byte of it.
    AlreadyThere,
    /// The target had it damaged.
    Replaced,
}

/// Why a backup was not copied.
#[derive(Debug, thiserror::Error)]
pub(super) enum TransferError {
    /// A file is not what was recorded.
    #[error("{file} {what}")]
    Damaged {
        /// The store and the path in it.
        file: String,
        /// What is wrong, as a sentence about the file.
        what: String,
    },
    /// A file could not be read.
    #[error("{file} {what}")]
    Unread {
        /// The store and the path in it.
        file: String,
        /// Why, as a sentence about the file.
        what: String,
    },
    /// A store did not do what it was asked.
    #[error(transparent)]
    Port(PortError),
    /// A file could not be written.
    #[error("cannot write {file}")]
    Writing {
        /// The store and the path in it.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// The target has not enough room.
    #[error("{} do not fit into {place}, which has {} left", human(*.needed_bytes), human(*.free_bytes))]
    NoRoom {
        /// The target.
        place: String,
        /// What the backup takes.
        needed_bytes: u64,
        /// What is left.
        free_bytes: u64,
    },
    /// It was asked for.
    #[error("stopped before it was whole")]
    Stopped,
}

/// From where to where.
pub(super) struct Route<'a> {
    /// The source.
    pub from: &'a Side<'a>,
    /// The target.
    pub to: &'a Side<'a>,
    /// How far the copying is.
    pub pace: &'a Pace<'a>,
}

/// A file to copy.
struct Load {
    name: String,
    /// What it must be; `None` when nobody recorded it, as with some of the original's.
    sum: Option<Checksum>,
    bytes: u64,
}

impl Route<'_> {
    /// Copies one backup, of which the catalogue says `expected`.
    pub(super) fn copy(
        &self,
        backup: &BackupId,
        expected: &BTreeMap<String, Checksum>,
    ) -> Result<Copied, TransferError> {
        let list = list::make(backup, expected, self.from);
        if let Some((path, flaw)) = list.flaws.first_key_value() {
            return Err(bad_file(self.from, path, flaw));
        }
        let loads = self.loads(backup, &list)?;
        let largest = loads.iter().map(|load| load.bytes).max().unwrap_or_default();
        match self.to.store.begin(backup, largest) {
            Ok(pending) => self.fill(pending, backup, &list, &loads).map(|()| Copied::New),
            Err(error) if error.reason == Reason::Conflict && self.is_there(backup)? => {
                self.settle(backup, expected, &list, &loads, largest)
            }
            Err(error) => Err(TransferError::Port(error)),
        }
    }

    /// Returns the files to copy but for the mark: of ours what the manifest vouches for, of the
    /// original's whatever is there.
    fn loads(&self, backup: &BackupId, list: &List) -> Result<Vec<Load>, TransferError> {
        let directory = backup.directory();
        let path_of = |name: &str| format!("{directory}/{name}");
        let names: Vec<String> = if list.manifest.is_some() {
            let name = |path: &String| path.strip_prefix(&directory)?.strip_prefix('/').map(str::to_owned);
            list.files.keys().filter_map(name).filter(|name| name != MANIFEST_FILE).collect()
        } else {
            let names = self.from.store.files(backup).map_err(TransferError::Port)?;
            names.into_iter().filter(|name| is_plain(name) && name != MARK_FILE).collect()
        };
        let load = |name: String| {
            let path = path_of(&name);
            let facts = self.from.store.facts(&path);
            let bytes = facts.map_err(|error| bad_file(self.from, &path, &self.from.flaw_of(&error)))?.size;
            let sum = list.files.get(&path).filter(|sum| !sum.checksum.is_empty()).cloned();
            Ok(Load { name, sum, bytes })
        };
        names.into_iter().map(load).collect()
    }

    fn is_there(&self, backup: &BackupId) -> Result<bool, TransferError> {
        Ok(self.to.store.backups().map_err(TransferError::Port)?.contains(backup))
    }

    /// Finds out what the target has of the backup, and replaces it when that is damaged.
    fn settle(
        &self,
        backup: &BackupId,
        expected: &BTreeMap<String, Checksum>,
        list: &List,
        loads: &[Load],
        largest: u64,
    ) -> Result<Copied, TransferError> {
        match look::prove(backup, expected, self.to, self.pace) {
            Ok(()) => return Ok(Copied::AlreadyThere),
            Err(_) if self.pace.stop.is_requested() => return Err(TransferError::Stopped),
            Err((path, flaw)) if !flaw.is_damage() => return Err(bad_file(self.to, &path, &flaw)),
            Err(_) => {}
        }
        let proven = look::prove(backup, expected, self.from, self.pace);
        if self.pace.stop.is_requested() {
            return Err(TransferError::Stopped);
        }
        proven.map_err(|(path, flaw)| bad_file(self.from, &path, &flaw))?;
        self.to.store.remove(backup).map_err(TransferError::Port)?;
        let pending = self.to.store.begin(backup, largest).map_err(TransferError::Port)?;
        self.fill(pending, backup, list, loads).map(|()| Copied::Replaced)
    }

    fn fill(
        &self,
        mut pending: Box<dyn PendingBackup>,
        backup: &BackupId,
        list: &List,
        loads: &[Load],
    ) -> Result<(), TransferError> {
        let filled = self.has_room(loads).and_then(|()| self.copy_all(pending.as_mut(), backup, loads));
        let mark = filled.and_then(|()| self.mark(backup, list));
        let (name, bytes) = match mark {
            Ok(mark) => mark,
            Err(error) => {
                // A bucket goes on from where it stopped; nothing else is of use again.
                let is_resumed = self.to.volume.is_none() && !matches!(error, TransferError::Damaged { .. });
                if !is_resumed && let Err(left) = pending.discard() {
                    return Err(TransferError::Port(left.caused_by(error)));
                }
                return Err(error);
            }
        };
        pending.publish(name, &bytes).map(|_| ()).map_err(TransferError::Port)
    }

    fn has_room(&self, loads: &[Load]) -> Result<(), TransferError> {
        let Some(volume) = self.to.volume else { return Ok(()) };
        let (free_bytes, _) = volume.room().map_err(TransferError::Port)?;
        let needed_bytes = loads.iter().map(|load| load.bytes).fold(0, u64::saturating_add);
        if needed_bytes <= free_bytes {
            return Ok(());
        }
        Err(TransferError::NoRoom { place: self.to.store.place(), needed_bytes, free_bytes })
    }

    /// Returns the file that makes the backup count.
    fn mark(&self, backup: &BackupId, list: &List) -> Result<(&'static str, Vec<u8>), TransferError> {
        if let Some(manifest) = &list.manifest {
            return Ok((MANIFEST_FILE, manifest.bytes.clone()));
        }
        let path = format!("{}/{MARK_FILE}", backup.directory());
        let (mut reader, _) = self.open(&path)?;
        let mut bytes = Vec::new();
        let read = reader.by_ref().take(SMALL_BYTES).read_to_end(&mut bytes);
        read.map_err(|error| bad_file(self.from, &path, &self.from.flaw_of_reading(&error)))?;
        Ok((MARK_FILE, bytes))
    }

    fn copy_all(
        &self,
        pending: &mut dyn PendingBackup,
        backup: &BackupId,
        loads: &[Load],
    ) -> Result<(), TransferError> {
        let mut block = vec![0; BLOCK_BYTES];
        for load in loads {
            let path = format!("{}/{}", backup.directory(), load.name);
            if load.bytes > SMALL_BYTES {
                let mut file = pending.create(&load.name).map_err(TransferError::Port)?;
                self.pour(&path, load, &mut block, |bytes| file.write_all(bytes))?;
                file.make_durable().map_err(TransferError::Port)?;
            } else {
                let mut whole = Vec::new();
                self.pour(&path, load, &mut block, |bytes| {
                    whole.extend_from_slice(bytes);
                    Ok(())
                })?;
                pending.write(&load.name, &whole).map_err(TransferError::Port)?;
            }
        }
        Ok(())
    }

    fn open(&self, path: &str) -> Result<(Box<dyn Read + Send>, u64), TransferError> {
        self.from.store.open(path).map_err(|error| bad_file(self.from, path, &self.from.flaw_of(&error)))
    }

    /// Reads one file to its end and compares it with what it must be.
    fn pour(
        &self,
        path: &str,
        load: &Load,
        block: &mut [u8],
        mut sink: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), TransferError> {
        let wrong = |what: String| bad_file(self.from, path, &Flaw::Wrong(what));
        let (reader, length) = self.open(path)?;
        let recorded = load.sum.as_ref().and_then(|sum| sum.size).unwrap_or(load.bytes);
        if length != recorded {
            return Err(wrong(format!("is {length} bytes long, not {recorded}")));
        }
        let algorithm = load.sum.as_ref().and_then(Checksum::algorithm).unwrap_or(Algorithm::Sha256);
        let (mut sum, mut read) = (Sum::new(algorithm), 0);
        // One byte more than there should be tells a file that grows from one that is whole.
        let poured = sums::pour(&mut reader.take(length.saturating_add(1)), block, self.pace.stop, |bytes| {
            sum.update(bytes);
            read += bytes.len() as u64;
            self.pace.read.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            sink(bytes)
        });
        poured.map_err(|broken| match broken {
            Broken::Stopped => TransferError::Stopped,
            Broken::Reading(error) => bad_file(self.from, path, &self.from.flaw_of_reading(&error)),
            Broken::Writing(source) => TransferError::Writing { file: name(self.to, path), source },
        })?;
        if read != length {
            return Err(wrong(format!("is not the {length} bytes long that the store says")));
        }
        load.sum.as_ref().map_or(Ok(()), |expected| sums::compare(&sum.finish(), expected).map_err(wrong))
    }
}

fn name(side: &Side<'_>, path: &str) -> String {
    format!("{}/{path}", side.store.place())
}

fn bad_file(side: &Side<'_>, path: &str, flaw: &Flaw) -> TransferError {
    let (file, what) = (name(side, path), flaw.sentence().to_owned());
    if flaw.is_damage() { TransferError::Damaged { file, what } } else { TransferError::Unread { file, what } }
}

#[cfg(test)]
mod tests;
