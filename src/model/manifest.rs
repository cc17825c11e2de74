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

/// Members a stream must hold for the tool to be able to prepare it.
///
/// A stream cut at a chunk boundary looks whole to the stock unpacker; these and the end of the
/// tool's own report are what tell (mariadb-backup writes some of them at the very end).
/// Newer series name the first three `mariadb_backup_…`, older ones `xtrabackup_…`.
pub const REQUIRED_MEMBERS: [&str; 6] =
    ["_backup_checkpoints", "_backup_info", "_backup_galera_info", "backup-my.cnf", "ib_logfile0", "ibdata1"];

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
