//! What comes of a run that did what was asked.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::backup_id::BackupId;
use super::galera::Position;
use super::manifest::{DesyncTimes, StoredFile};

/// The result of a conductor's run, inside its [outcome](super::outcome::Outcome).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RunReport {
    /// A backup was made.
    Backup(CopyReport),
    /// Stored backups were compared with what was recorded.
    Verify(CheckReport),
}

/// What a runner tells its conductor about the copy it made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CopyReport {
    /// The backup.
    pub backup: BackupId,
    /// When the copy began.
    pub started: Timestamp,
    /// When it was signed off.
    pub finished: Timestamp,
    /// The stream's length before compression, in bytes.
    pub stream_bytes: u64,
    /// The compressed stream.
    pub stream: StoredFile,
    /// The manifest itself.
    pub manifest: StoredFile,
    /// The Galera position the data stands at.
    pub position: Position,
    /// How long the replica was desynced.
    pub desync: DesyncTimes,
}

/// How many good backups a report names.
pub const NAMED_BACKUPS: usize = 50;

/// How many backups unknown to the catalogue a report names.
pub const NAMED_UNLISTED: usize = 20;

/// What a runner tells its conductor about the files it read.
///
/// It has to fit a termination message, so every list in it is bounded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckReport {
    /// Backups whose every byte was what was recorded: of a runner all of its batch, of a conductor
    /// the first [`NAMED_BACKUPS`].
    pub good: Vec<BackupId>,
    /// How many they are in all.
    pub good_count: u32,
    /// Files that were not, at most a handful: `path: what is wrong`.
    pub bad: Vec<String>,
    /// How many files were not, in all.
    pub bad_count: u32,
    /// Backups on the volume that the catalogue does not know, at most [`NAMED_UNLISTED`].
    pub unlisted: Vec<BackupId>,
    /// Bytes read.
    pub bytes: u64,
}
