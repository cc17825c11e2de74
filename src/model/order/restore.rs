//! Wishes about a restore.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::StoreName;
use crate::model::backup_id::BackupId;
use crate::model::catalogue::{Checksum, Entry};

/// Which backup the cluster shall be set back to, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is one wish of its own")]
pub struct RestoreRequest {
    /// The backup.
    pub backup: BackupId,
    /// Take it from this store only; from the volume where it lies there, else from S3, when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreName>,
    /// The ordinal to start first; chosen by rule when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<i32>,
    /// What the replicas get theirs from that are not started first; chosen by rule when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refill: Option<Refill>,
    /// How many replicas a StatefulSet that stands at 0 shall run; as many as have claims when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Claim to unpack on what is taken from S3; chosen by rule when missing.
    // Left out where it says nothing new: an agent of before does not know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scratch_claim: Option<String>,
    /// Keep the old data on the leader's volume.
    #[serde(default)]
    pub keep_old_data: bool,
    /// Go on although the old cluster could not be brought back.
    #[serde(default)]
    pub no_rollback: bool,
    /// Go on although a GitOps tool keeps the StatefulSet: it has been paused.
    // Left out where it says nothing new: an agent of before does not know it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gitops_paused: bool,
    /// Go on although an operator owns the StatefulSet: it has been suspended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub operator_suspended: bool,
    /// Go on although accounts that the servers' own pods use are not let in by the restored data.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ignore_logins: bool,
    /// Go on although the rows that are served are others than those that were counted when the backup was proven.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ignore_rows: bool,
    /// Whether the plan that was shown sets the old data aside; one that does less is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sets_aside: Option<bool>,
    /// Say what would be done, and do nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// What is known of a backup that another cluster made; of its own the cluster's catalogue tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of_another: Option<Box<ForeignBackup>>,
}

/// Which replicas get the proven copy itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refill {
    /// The leader; the others get everything from it by state transfer.
    Leader,
    /// All, from the volume of backups: the others need no state transfer.
    All,
}

/// A backup of another cluster, with all it builds on, as that cluster's catalogue has them. Where they lie
/// is in the order's settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ForeignBackup {
    /// The cluster, `<namespace>/<statefulset>`.
    pub cluster: String,
    /// What their files must be.
    pub files: BTreeMap<String, Checksum>,
    /// What is known of each.
    pub entries: BTreeMap<BackupId, Entry>,
}

/// How a server is told to start the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bootstrap {
    /// Its start script goes by `safe_to_bootstrap: 1` in `grastate.dat`.
    Grastate,
}
