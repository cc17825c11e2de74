//! The order to prove a backup: unpack it, prepare it, boot a server on it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{StoreName, Stores};
use crate::model::accounts::AccountSource;
use crate::model::backup_id::BackupId;
use crate::model::catalogue::Checksum;

/// Which chain to take out of the stores and boot a throwaway server on.
///
/// What is proven stays in `base` below the scratch directory, as a data directory that was shut down
/// cleanly and whose `grastate.dat` names the fresh history; who ordered it decides what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProveOrder {
    /// The stores.
    pub stores: Stores,
    /// The chain, its base first; the last one is the backup that is proven.
    pub chain: Vec<BackupId>,
    /// From which store each member is taken, in the order of the chain.
    pub from: Vec<StoreName>,
    /// What the catalogue says of their files.
    pub expected: BTreeMap<String, Checksum>,
    /// Directory to unpack into; whatever a dead try left there is removed first.
    pub scratch: String,
    /// Directory with `username` and `password` of the account that may desync, to be tried on the
    /// booted server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_credentials: Option<String>,
    /// Directory with `username` and `password` of the account mariadb-backup uses, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_credentials: Option<String>,
    /// Accounts that the servers' own pods log in with, likewise; the Secrets lie below
    /// [`crate::model::names::SERVER_SECRETS_PATH`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub server_accounts: Vec<AccountSource>,
    /// Whether it is only a warning when one of these is not let in.
    #[serde(default)]
    pub server_logins_may_fail: bool,
    /// Where the key for encrypted backups of the original is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_key: Option<OriginalKey>,
    /// One statement to run on the booted server; its rows are in the report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// Memory for the preparation; without it, decided by the backup's redo and the container's limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepare_memory_bytes: Option<u64>,
    /// Seconds until the server must answer, and again until it must have ended.
    pub boot_timeout_secs: u64,
    /// Seconds one preparation, of the base or of an increment, may take.
    pub prepare_timeout_secs: u64,
    /// Whether rows are counted and told, so that they can be compared with those that are served.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub count_rows: bool,
    /// Free bytes below which it is given up: a server may be living on the same volume.
    #[serde(default)]
    pub reserve_bytes: u64,
    /// Whether the scratch directory goes at the end. Where it fails it goes in any case.
    #[serde(default)]
    pub discard: bool,
}

/// A Secret with the key for encrypted backups of the original; it need not be there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OriginalKey {
    /// Its name.
    pub secret: String,
    /// Directory it is mounted at, with the key in [`crate::model::names::ORIGINAL_KEY_FILE`].
    pub directory: String,
}
