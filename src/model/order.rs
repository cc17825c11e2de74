//! What is ordered: from the plugin to the conductor, and from the conductor to a runner.
//!
//! One versioned JSON document each. Unknown fields are refused: an agent that does not understand
//! an order must not guess. No order ever holds a secret.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::backup_id::BackupId;
use super::event::Phase;

mod drill;
mod prove;
mod refill;
mod restore;
pub use drill::DrillRequest;
pub use prove::{OriginalKey, ProveOrder};
pub use refill::{DataPlace, GoAheadPlace, RefillAct, RefillOrder};
pub use restore::{Bootstrap, ForeignBackup, Refill, RestoreRequest};

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
    /// Boot a stored backup in a throwaway pod.
    Drill(DrillRequest),
    /// Set the cluster back to a stored backup.
    Restore(RestoreRequest),
    /// Bring both stores to the same set of backups.
    Sync(SyncRequest),
    /// Remove backups, and the increments that need them.
    Delete(DeleteRequest),
    /// Remove what retention no longer keeps.
    Prune(PruneRequest),
    /// Settle what dead runs owe, and nothing else.
    Recover(RecoverRequest),
    /// Ask every replica how it is.
    Status(StatusRequest),
    /// Look at the stores themselves and tell every backup in them.
    Inventory(InventoryRequest),
}

impl Task {
    /// Whether a task changes nothing, so that it needs no Lease and may be done beside another run.
    #[must_use]
    pub fn only_looks(&self) -> bool {
        matches!(self, Self::Status(_) | Self::Inventory(_)) || self.only_asks()
    }

    /// Whether it is only asked what would be done.
    #[must_use]
    pub fn only_asks(&self) -> bool {
        match self {
            Self::Restore(request) => request.dry_run,
            Self::Sync(request) => request.dry_run,
            Self::Delete(request) => request.dry_run,
            Self::Prune(request) => request.dry_run,
            _ => false,
        }
    }

    /// The word for the task in names of Jobs and in messages.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Backup(_) => "backup",
            Self::Verify(_) => "verify",
            Self::Drill(_) => "drill",
            Self::Restore(_) => "restore",
            Self::Sync(_) => "sync",
            Self::Delete(_) => "delete",
            Self::Prune(_) => "prune",
            Self::Recover(_) => "recover",
            Self::Status(_) => "status",
            Self::Inventory(_) => "inventory",
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
    /// Which kind is wished for.
    #[serde(default)]
    pub kind: BackupKind,
}

/// Kinds of backups that can be wished for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackupKind {
    /// Everything.
    #[default]
    Full,
    /// What changed since the last backup, where that is proven to be possible; else everything.
    Incremental,
}

/// Which of the two stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreName {
    /// The volume.
    Local,
    /// The bucket.
    S3,
}

impl StoreName {
    /// The word for it in tables, flags and messages.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::S3 => "s3",
        }
    }
}

/// How much of a store is read to verify it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Depth {
    /// Nothing: sizes, and sums that the store itself keeps.
    Quick,
    /// What was not read since it last changed, by size and time; of S3 the sums it keeps.
    #[default]
    Changed,
    /// Every byte.
    Full,
}

/// What becomes of a backup that is damaged in every store it lies in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnCorrupt {
    /// The run fails.
    #[default]
    Fail,
    /// It is set aside, and the run goes on and ends with a warning.
    Quarantine,
}

/// Which backups to check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VerifyRequest {
    /// The backups; all of the catalogue when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backups: Vec<BackupId>,
    /// Every byte instead of sizes and kept sums.
    #[serde(default)]
    pub deep: bool,
    /// One store only; both when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreName>,
    /// Make the catalogue again from the manifests in the stores, before anything is compared.
    #[serde(default)]
    pub rebuild_catalogue: bool,
}

/// Wishes about bringing the stores to the same set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SyncRequest {
    /// The backups; all of the catalogue when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backups: Vec<BackupId>,
    /// Copy to this store only; both ways when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<StoreName>,
    /// Say what would be copied, and copy nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// Which backups to remove.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeleteRequest {
    /// The backups; whatever needs them goes too.
    pub backups: Vec<BackupId>,
    /// Say what would be removed, and remove nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// Wishes about retention; how many are kept is a setting.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PruneRequest {
    /// Say what would be removed, and remove nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// How what is owed shall be settled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RecoverRequest {
    /// The ordinal of the replica from whose data the cluster is started, where a restore can neither be finished nor
    /// undone by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<i32>,
}

/// Nothing to wish for yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StatusRequest {}

/// Which backups to tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InventoryRequest {
    /// Only this one, with what its manifest says of it; all of them when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<BackupId>,
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
    /// Copy backups between the stores, and remove some.
    Keep(KeepOrder),
    /// Tell every backup in the stores, from their manifests.
    Inventory(InventoryOrder),
    /// Unpack a backup, prepare it, and boot a throwaway server on it.
    Prove(ProveOrder),
    /// Look at a data volume, or change what is on it.
    Refill(RefillOrder),
}

impl RunnerTask {
    /// The phase of a run it belongs to.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self {
            Self::Copy(_) => Phase::Isolate,
            Self::Check(_) => Phase::Verify,
            Self::Keep(_) | Self::Inventory(_) => Phase::Store,
            Self::Prove(_) => Phase::Prove,
            Self::Refill(_) => Phase::Refill,
        }
    }
}

/// Where a runner finds the stores. At least one is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Stores {
    /// Where it sees the volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<String>,
    /// The bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Store>,
}

/// A place in a bucket and how to talk to its server. Holds no secret, only where one is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct S3Store {
    /// The server; AWS when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The bucket.
    pub bucket: String,
    /// What every key begins with; without slashes at its ends.
    pub prefix: String,
    /// The region, which a foreign server usually ignores but which must be named.
    pub region: String,
    /// Whether the bucket stands in the path instead of the host name.
    pub path_style: bool,
    /// Whether sums are only sent and asked for where a call demands it, as foreign servers need.
    pub checksums_when_required: bool,
    /// What the mark there must say before anything is written; without it, nobody asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The most parts the server takes in one upload.
    pub max_parts: u32,
    /// The most bytes sent a second; 0 for no limit.
    pub bytes_per_sec: u64,
    /// Directory with `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and perhaps `AWS_SESSION_TOKEN`;
    /// without it the pod's own identity (web identity, pod identity) is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<String>,
    /// File with certificates to trust beside the usual ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
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
    /// Where the backup goes: to the volume, with S3 following it, or to one of them alone.
    pub stores: Stores,
    /// Backups whose unfinished uploads are still wanted; those of others are removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wanted_uploads: Vec<BackupId>,
    /// What an incremental backup would build on; a full one is made when missing.
    ///
    /// With it, `backup` names the increment; one that cannot be made becomes the full backup of the
    /// same name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<BackupId>,
    /// SHA-256 of the parent's manifest, where the catalogue has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_sha256: Option<String>,
    /// Why an incremental backup that was wished for is a full one, when that is known already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_because: Option<String>,
    /// Seconds that traffic may take to leave the replica once it is desynced, before the copy begins;
    /// 0 when nobody waits for that. The conductor holds the advisory lock `<gate>.drain` meanwhile.
    #[serde(default)]
    pub drain_secs: u64,
    /// Pairs of reads and writes a second mariadb-backup limits itself to; 0 for no limit.
    #[serde(default)]
    pub throttle: u32,
    /// Free bytes on the data volume below which the copy is given up.
    #[serde(default)]
    pub data_free_bytes: u64,
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
    /// The stores to look into.
    pub stores: Stores,
    /// The backups to check, in the order of their verdicts in the report.
    pub backups: Vec<ExpectedBackup>,
    /// The catalogue's entries to check, by path inside a store.
    pub expected: BTreeMap<String, super::catalogue::Checksum>,
    /// Every backup the catalogue knows: what else lies in a store is reported.
    pub known: Vec<BackupId>,
    /// How much is read.
    #[serde(default)]
    pub depth: Depth,
    /// Fetch from S3 what is damaged or missing on the volume and good there.
    #[serde(default)]
    pub repair: bool,
    /// What becomes of a backup that is damaged wherever it lies.
    #[serde(default)]
    pub on_corrupt: OnCorrupt,
}

/// A backup and the stores it should be in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExpectedBackup {
    /// The backup.
    pub backup: BackupId,
    /// Whether it should be on the volume.
    pub local: bool,
    /// Whether it should be in S3.
    pub s3: bool,
}

/// What to copy between the stores and what to remove.
///
/// Everything is tried; what failed is in the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeepOrder {
    /// The stores.
    pub stores: Stores,
    /// Backups to remove from both, children before parents, in the order of the report's marks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<BackupId>,
    /// Backups to copy from the volume to S3.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub upload: Vec<BackupId>,
    /// Backups to copy from S3 to the volume.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub download: Vec<BackupId>,
    /// What the catalogue says of the files of the copied ones.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub expected: BTreeMap<String, super::catalogue::Checksum>,
    /// Backups whose unfinished uploads are still wanted; those of others are removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wanted_uploads: Vec<BackupId>,
    /// Seconds after which no further copy goes on; what was brought to S3 by then is used again by the
    /// next run. Without it, all is copied however long it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_secs: Option<u64>,
}

/// Where to look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InventoryOrder {
    /// The stores.
    pub stores: Stores,
    /// Only this backup, with what its manifest says of it; all of them when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<BackupId>,
}
