//! What a drill tells.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ProveReport;
use crate::model::backup_id::BackupId;
use crate::model::order::StoreName;

/// A backup that was booted in a throwaway pod, and where it was taken from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DrillReport {
    /// What was found, with the times it took.
    pub proof: ProveReport,
    /// The full backup at the bottom; `None` when the backup is that itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<BackupId>,
    /// How many backups were put together, the base among them.
    pub members: u32,
    /// The stores they were taken from.
    pub from: Vec<StoreName>,
    /// How long it all took, from the pod's start to its end.
    pub took_millis: u64,
}

/// The last drill, as the catalogue remembers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastDrill {
    /// The run.
    pub run: String,
    /// When it ended.
    pub at: Timestamp,
    /// The backup.
    pub backup: BackupId,
    /// How long it all took, from the pod's start to its end.
    pub took_millis: u64,
    /// Why the backup did not boot, or is not what it should be; `None` when it does and is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}
