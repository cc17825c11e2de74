//! What is ordered: from the plugin to the conductor, and from the conductor to a runner.
//!
//! One versioned JSON document each. Unknown fields are refused: an agent that does not understand
//! an order must not guess. No order ever holds a secret.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::backup_id::BackupId;

/// The version of [`Order`] and [`RunnerOrder`] this build writes and accepts.
pub const ORDER_VERSION: u32 = 1;

/// The order to a conductor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Order {
    /// Version of this document's shape.
    pub version: u32,
    /// The StatefulSet of the cluster.
    pub statefulset: String,
    /// What to do.
    pub task: Task,
    /// Settings for this run only, over those of the cluster; see [`super::settings`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
}

/// What a conductor can be asked to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Task {
    /// Take a backup.
    Backup(BackupRequest),
    /// Compare stored backups with what was recorded.
    Verify(VerifyRequest),
}

impl Task {
    /// The word for the task in names of Jobs and in messages.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Backup(_) => "backup",
            Self::Verify(_) => "verify",
        }
    }
}

/// Wishes about a backup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackupRequest {
    /// The replica to copy (its pod's name); without it the choice is made by rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica: Option<String>,
    /// Go on although the cluster is not healthy.
    #[serde(default)]
    pub allow_unsafe: bool,
}

/// Which backups to check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VerifyRequest {
    /// The backups; all of the catalogue when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backups: Vec<BackupId>,
}

/// The order to a runner.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RunnerOrder {
    /// Version of this document's shape.
    pub version: u32,
    /// What to do.
    pub task: RunnerTask,
}

/// What a runner can be asked to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum RunnerTask {
    /// Copy the replica's data into the store.
    Copy(Box<CopyOrder>),
    /// Read stored files and compare them with what was recorded.
    Check(CheckOrder),
}

/// Everything a runner needs to copy one replica.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CopyOrder {
    /// The backup to make.
    pub backup: BackupId,
    /// Where the replica's server listens: the pod's own address, never a Service.
    pub server: ServerAddress,
    /// Where this runner sees the replica's data directory; the same path as in the server.
    pub datadir: String,
    /// Where this runner sees the store.
    pub store: String,
    /// Where files that only live as long as the runner go.
    pub scratch: String,
    /// Directory with `username` and `password` of the account that may desync.
    pub operator_credentials: String,
    /// Directory with `username` and `password` of the account mariadb-backup uses.
    pub backup_credentials: String,
    /// Name of the advisory lock whose release is the go-ahead; see `ports::Server`.
    pub gate: String,
    /// Facts about the source for the manifest.
    pub source: super::manifest::Source,
    /// Whether the checks of the cluster's health were overridden.
    pub allow_unsafe: bool,
    /// Free space wanted, as a multiple of the data's size.
    pub required_space_ratio: f64,
    /// zstd level.
    pub compression_level: i32,
    /// Copy threads of mariadb-backup.
    pub parallel: u32,
    /// Seconds mariadb-backup may wait for the global lock.
    pub ftwrl_wait_secs: u64,
    /// Seconds the runner waits for the go-ahead.
    pub go_ahead_timeout_secs: u64,
    /// Seconds the copy may take.
    pub copy_timeout_secs: u64,
    /// Seconds without a single byte after which the copy counts as hung.
    pub stall_timeout_secs: u64,
    /// Seconds for the receive queue to drain, and again for the replica to be Synced.
    pub resync_timeout_secs: u64,
}

/// A server's host and port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServerAddress {
    /// IP address or host name.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// Which files to read and what each must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CheckOrder {
    /// Where this runner sees the store.
    pub store: String,
    /// The catalogue's entries to check, by path inside the store.
    pub expected: BTreeMap<String, super::catalogue::Checksum>,
    /// Every backup the catalogue knows: what else lies in the store is reported.
    pub known: Vec<BackupId>,
}
