//! What a runner tells its conductor about a backup it proved.

use serde::{Deserialize, Serialize};

use crate::model::backup_id::BackupId;
use crate::model::galera::Position;

/// A backup that was unpacked, prepared and booted, and how that went.
///
/// It has to fit a termination message, so everything in it is bounded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProveReport {
    /// The backup.
    pub backup: BackupId,
    /// Bytes read from the stores, of the whole chain.
    pub stored_bytes: u64,
    /// Bytes they became.
    pub unpacked_bytes: u64,
    /// Tables of users that were opened.
    pub tables: u32,
    /// Schemas of users.
    pub schemas: u32,
    /// The version of the booted server, as it says it.
    pub server_version: String,
    /// The fresh history the booted server began; `None` when it ran without Galera.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history_uuid: Option<String>,
    /// The Galera position of the backup: from its manifest, else from its data; `None` when neither tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// The accounts that were tried and accepted.
    #[serde(default)]
    pub logins: ProvenLogins,
    /// The rows of the order's query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_result: Option<QueryResult>,
    /// How long fetching and unpacking took.
    pub unpack_millis: u64,
    /// How long preparing took.
    pub prepare_millis: u64,
    /// How long the server took to answer.
    pub boot_millis: u64,
    /// How long checking took.
    pub check_millis: u64,
}

/// The accounts the booted server accepted, by their user names; `None` for one that was not tried.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProvenLogins {
    /// The account that may desync.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    /// The account mariadb-backup uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<String>,
}

/// The first rows of a query's result.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueryResult {
    /// The names of the columns; none where there is no room for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// Rows of values as text; `NULL` is that word.
    pub rows: Vec<Vec<String>>,
    /// Whether there was more than is here, of rows or of a value.
    pub truncated: bool,
}
