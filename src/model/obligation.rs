//! What is owed to the cluster: recorded before the act, cleared after.
//!
//! An obligation is an annotation on the StatefulSet, so that it outlives every process of ours.
//! While it stands, nothing else may be done to the cluster; whoever comes next settles it first.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

mod restore;
pub use restore::{Choice, RestoreDebt, ScratchPlace, Stage};

/// The annotation on the StatefulSet.
pub const OBLIGATION_ANNOTATION: &str = "mariadb-backup.io/obligation";

/// The version of [`Obligation`] this build writes and reads.
pub const OBLIGATION_SCHEMA: u32 = 1;

/// One thing owed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Obligation {
    /// Version of this document's shape.
    pub schema: u32,
    /// What is owed.
    pub debt: Debt,
    /// The run that owes it: the name of its Job.
    pub run: String,
    /// When it was recorded.
    pub since: Timestamp,
}

/// What can be owed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Debt {
    /// A replica was, or was about to be, desynced.
    Desync(Desync),
    /// A restore is under way.
    Restore(Box<RestoreDebt>),
}

/// A replica that was, or was about to be, desynced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Desync {
    /// Its pod.
    pub pod: String,
    /// The UID of that pod: another one has another server, which starts in sync.
    pub pod_uid: String,
    /// The server's id within the group, new with each start: another one is another server,
    /// whose desync, if any, is not ours to end.
    pub gcomm_uuid: String,
    /// The runner's pod, which must be gone before anybody else acts.
    pub runner: String,
}

impl Debt {
    /// Returns the desync that is owed, if it is one.
    #[must_use]
    pub fn desync(&self) -> Option<&Desync> {
        match self {
            Self::Desync(desync) => Some(desync),
            Self::Restore(_) => None,
        }
    }

    /// Returns the restore that is owed, if it is one.
    #[must_use]
    pub fn restore(&self) -> Option<&RestoreDebt> {
        match self {
            Self::Restore(debt) => Some(debt),
            Self::Desync(_) => None,
        }
    }
}
