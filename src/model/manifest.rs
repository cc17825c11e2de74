//! The signed-off description of one backup, lying beside it.
//!
//! `manifest.json` is written last: a directory without one is unfinished work and never counts as
//! a backup. What it says was learned in the same pass that wrote the bytes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::backup_id::BackupId;
use super::galera::Position;

/// The version of [`Manifest`] this build writes and reads.
pub const MANIFEST_SCHEMA: u32 = 1;

/// The manifest's file name inside a backup's directory.
pub const MANIFEST_FILE: &str = "manifest.json";

/// The file name of the compressed stream inside a backup's directory.
pub const STREAM_FILE: &str = "backup.mbstream.zst";

/// Files of the data directory that every full stream holds.
pub const REQUIRED_DATA_MEMBERS: [&str; 3] = ["backup-my.cnf", "ib_logfile0", "ibdata1"];

/// Files that every incremental stream holds.
pub const REQUIRED_DELTA_MEMBERS: [&str; 4] = ["backup-my.cnf", "ib_logfile0", "ibdata1.delta", "ibdata1.meta"];

/// The tool's own small files inside the stream.
///
/// mariadb-backup writes them at the very end, so a stream cut at a chunk boundary, which looks
/// whole to the stock unpacker, lacks some of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ToolFile {
    /// What was copied, when, by which command.
    Info,
    /// The stretch of redo the backup covers.
    Checkpoints,
    /// The Galera position.
    GaleraInfo,
}

impl ToolFile {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Info, Self::Checkpoints, Self::GaleraInfo];

    /// The file's name in a store, whatever the series of the tool calls it.
    #[must_use]
    pub fn stored_name(self) -> &'static str {
        match self {
            Self::Info => "mariadb_backup_info",
            Self::Checkpoints => "mariadb_backup_checkpoints",
            Self::GaleraInfo => "mariadb_backup_galera_info",
        }
    }

    /// What the tool calls the file: since 11.1, and before.
    #[must_use]
    pub fn names(self) -> [&'static str; 2] {
        let old = match self {
            Self::Info => "xtrabackup_info",
            Self::Checkpoints => "xtrabackup_checkpoints",
            Self::GaleraInfo => "xtrabackup_galera_info",
        };
        [self.stored_name(), old]
    }

    /// Which of them a stream's member is.
    #[must_use]
    pub fn of_member(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|file| file.names().contains(&path))
    }
}

/// One backup, described.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Version of this document's shape.
    pub schema: u32,
    /// The backup.
    pub backup: BackupId,
    /// When the copy began.
    pub started: Timestamp,
    /// When everything but this manifest was on the volume.
    pub finished: Timestamp,
    /// Version of the agent.
    pub agent_version: String,
    /// Where the data came from.
    pub source: Source,
    /// Facts about the data that only its own server could tell.
    pub origin: Origin,
    /// The stream before compression.
    pub stream: Stream,
    /// The files beside this one, by name.
    pub files: BTreeMap<String, StoredFile>,
    /// How long the replica was desynced.
    pub desync: DesyncTimes,
    /// Whether the checks of the cluster's health were overridden.
    pub allow_unsafe: bool,
    /// What an incremental backup builds on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    /// Why an incremental backup that was wished for is a full one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_because: Option<String>,
}

/// The backup an incremental one builds on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Parent {
    /// The backup.
    pub backup: BackupId,
    /// SHA-256 of its manifest.
    pub manifest_sha256: String,
}

/// Where a backup's data came from, as Kubernetes names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Source {
    /// Namespace of the cluster.
    pub namespace: String,
    /// StatefulSet of the cluster.
    pub statefulset: String,
    /// Replicas the StatefulSet asked for.
    pub replicas: i32,
    /// Pod of the target replica.
    pub pod: String,
    /// UID of that pod.
    pub pod_uid: String,
    /// Node it ran on.
    pub node: String,
    /// Claim of its data volume.
    pub claim: String,
    /// UID of that claim.
    pub claim_uid: String,
    /// Image of the server.
    pub server_image: String,
}

/// What ties a backup to one incarnation of one replica's files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    /// The server's version, as it says it.
    pub server_version: String,
    /// The tool's version, as it says it.
    pub tool_version: String,
    /// The replica's member id within the group, which changes with each start.
    pub gcomm_uuid: String,
    /// Inode of `ibdata1`: another one means other files.
    pub ibdata1_inode: u64,
    /// Birth of `ibdata1`, nanoseconds since 1970, where the file system keeps it.
    pub ibdata1_birth_nanos: Option<i64>,
    /// The Galera position the data stands at.
    pub position: Position,
    /// The stretch of redo the backup covers.
    pub lsn: LsnRange,
}

/// The stretch of redo a backup covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LsnRange {
    /// Where it begins; 0 for a full backup.
    pub from: u64,
    /// The checkpoint an increment on this backup begins at.
    pub to: u64,
    /// The last redo record in it.
    pub last: u64,
}

/// The stream as the tool wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stream {
    /// Its length in bytes.
    pub bytes: u64,
    /// Its members: path and length in bytes.
    pub members: BTreeMap<String, u64>,
}

/// A file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFile {
    /// Length in bytes.
    pub size: u64,
    /// SHA-256, 64 lower-case hex digits.
    pub sha256: String,
}

/// Writes a sum as it is recorded: lower-case hex digits.
#[must_use]
pub fn hex(sum: &[u8]) -> String {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    sum.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| DIGITS[usize::from(digit)]).collect()
}

/// How long a replica was desynced, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DesyncTimes {
    /// From `wsrep_desync=ON` to `OFF`.
    pub window_millis: u64,
    /// From ON to the first byte of the stream.
    pub before_millis: u64,
    /// From the last byte of the stream to OFF: the queue's draining.
    pub after_millis: u64,
    /// From OFF to Synced.
    pub resync_millis: u64,
}

impl LsnRange {
    /// Reads the tool's file of checkpoints (`name = value` lines).
    #[must_use]
    pub fn find(checkpoints: &str) -> Option<Self> {
        let number = |name| checkpoint(checkpoints, name)?.parse().ok();
        Some(Self { from: number("from_lsn")?, to: number("to_lsn")?, last: number("last_lsn")? })
    }
}

/// Whether the tool's file of checkpoints says that it belongs to an increment.
#[must_use]
pub fn says_incremental(checkpoints: &str) -> bool {
    checkpoint(checkpoints, "backup_type") == Some("incremental")
}

fn checkpoint<'a>(checkpoints: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = checkpoints.lines().filter_map(|line| line.split_once('='));
    pairs.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_the_tools_files_are_known_and_nothing_else_is() {
        assert_eq!(ToolFile::of_member("xtrabackup_checkpoints"), Some(ToolFile::Checkpoints));
        assert_eq!(ToolFile::of_member("mariadb_backup_galera_info"), Some(ToolFile::GaleraInfo));
        for other in ["shop/xtrabackup_info", "xtrabackup_binlog_info", "backup_info", "mariadb_backup_", ""] {
            assert_eq!(ToolFile::of_member(other), None, "{other}");
        }
    }

    #[test]
    fn a_sum_is_written_in_lower_case_hex_digits() {
        assert_eq!(hex(&[0, 0x1f, 0xab]), "001fab");
    }

    #[test]
    fn the_stretch_of_redo_is_read_from_the_checkpoints() {
        let text = "backup_type = full-backuped\nfrom_lsn = 0\nto_lsn = 47\nlast_lsn = 51\n";
        assert_eq!(LsnRange::find(text), Some(LsnRange { from: 0, to: 47, last: 51 }));
        assert_eq!(LsnRange::find("from_lsn = 0"), None);
        assert!(says_incremental("backup_type = incremental\nfrom_lsn = 47") && !says_incremental(text));
    }
}
