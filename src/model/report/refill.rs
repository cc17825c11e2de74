//! What a runner tells about a data volume.

use serde::{Deserialize, Serialize};

use crate::model::galera::SavedState;

/// How a data volume is after what was done to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct VolumeReport {
    /// Whether there are data of a server.
    pub has_data: bool,
    /// Whether the volume holds nothing at all.
    #[serde(default)]
    pub is_empty: bool,
    /// Whether they are neither the old data nor the restored ones: a switch was begun and is not at its end.
    #[serde(default)]
    pub is_begun: bool,
    /// What Galera keeps of them; `None` when it keeps nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<SavedState>,
    /// Whether Galera's own file names no history of theirs. So it is from the moment a server asks for a state
    /// transfer until it has it, and while tables are changed. Files can be of different times then, and the server
    /// still recovers a position, that of its donor, and finds no fault in any table (MariaDB 10.11 with rsync).
    #[serde(default)]
    pub in_doubt: bool,
    /// Bytes the data take.
    #[serde(default)]
    pub data_bytes: u64,
    /// Bytes that can still be written.
    pub free_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
    /// Something among the data that may not be removed, where they would have to be: they cannot be set aside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unremovable: Option<String>,
    /// Whether old data are set aside for this restore.
    #[serde(default)]
    pub set_aside: bool,
    /// Bytes that had to be copied.
    #[serde(default)]
    pub copied_bytes: u64,
    /// How long it took.
    #[serde(default)]
    pub took_millis: u64,
}
