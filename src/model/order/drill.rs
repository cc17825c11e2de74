//! Wishes about a drill.

use serde::{Deserialize, Serialize};

use super::StoreName;
use crate::model::backup_id::BackupId;

/// Which backup is to be booted in a throwaway pod, and what is asked of it there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DrillRequest {
    /// The backup; the newest that can be relied on when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupId>,
    /// Take it from this store only; from the volume where it lies there, else from S3, when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreName>,
    /// One statement whose rows are shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// Storage class of a volume that is made for the drill and goes with it; without it, the backup is
    /// unpacked on the volume of backups, or where there is none on one of the data volumes' class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scratch_class: Option<String>,
}
