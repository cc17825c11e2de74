//! Wishes about a restore.

use serde::{Deserialize, Serialize};

use super::StoreName;
use crate::model::backup_id::BackupId;

/// Which backup the cluster shall be set back to, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RestoreRequest {
    /// The backup.
    pub backup: BackupId,
    /// Take it from this store only; from the volume where it lies there, else from S3, when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreName>,
    /// The ordinal to start first; chosen by rule when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<i32>,
    /// Keep the old data on the leader's volume.
    #[serde(default)]
    pub keep_old_data: bool,
    /// Go on although the old cluster could not be brought back.
    #[serde(default)]
    pub no_rollback: bool,
    /// Say what would be done, and do nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// How a server is told to start the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bootstrap {
    /// Its start script goes by `safe_to_bootstrap: 1` in `grastate.dat`.
    Grastate,
}
