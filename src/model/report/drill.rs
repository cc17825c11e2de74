//! What a drill tells.

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
