//! Orders about one data volume while no server holds it: looked at, switched, emptied, set back.

use serde::{Deserialize, Serialize};

use crate::model::galera::SavedState;

/// Where the data lie on a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DataPlace {
    /// The data directory below the volume's root; empty when it is the root itself.
    pub directory: String,
    /// Whether the volume has no room for a second copy of the data, wherever they lie on it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_full: bool,
}

impl DataPlace {
    /// Whether old data can be set aside: there is a place outside the data directory, and room for both.
    #[must_use]
    pub fn has_room_beside(&self) -> bool {
        !self.directory.is_empty() && !self.is_full
    }
}

/// What to do to one data volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RefillOrder {
    /// Where this runner sees the volume's root.
    pub volume: String,
    /// Where the data lie on it.
    pub place: DataPlace,
    /// The restore it is done for, by the run that owes it: old data are set aside under its name.
    pub run: String,
    /// What to do.
    pub act: RefillAct,
    /// Threads that copy.
    pub parallel: u32,
    /// Where to wait for the word to begin; at once when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub go_ahead: Option<GoAheadPlace>,
}

/// Where the one who ordered it tells a runner to go ahead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GoAheadPlace {
    /// Host and port.
    pub address: String,
    /// By what the runner is known there: its name.
    pub name: String,
}

/// What can be done to a data volume. Each can be done again after it was broken off anywhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum RefillAct {
    /// Tell how it is, and change nothing.
    Look,
    /// Tell how it is; a server that did not end cleanly is asked for its position, which changes its
    /// data as its next start would.
    Position,
    /// Set the old data aside and put the proven copy in their place, marked to start the cluster.
    Switch {
        /// The proven copy, as this runner sees it.
        source: String,
        /// The history it must be in: nothing is touched for any other.
        history: String,
    },
    /// Copy the proven copy to another volume, from where the other replicas get theirs.
    Lend {
        /// The proven copy, as this runner sees it.
        source: String,
        /// Where it goes.
        target: String,
        /// The history it must be in.
        history: String,
    },
    /// Put a copy of the proven copy in the place of whatever is there, not marked to start the cluster;
    /// unless the data are in that history already.
    Fill {
        /// The proven copy, as this runner sees it.
        source: String,
        /// The history it must be in: nothing is touched for any other.
        history: String,
    },
    /// Take everything out, unless it is in that history already.
    Empty {
        /// The restored history; without it, whatever is there goes.
        history: Option<String>,
    },
    /// Put the data back that were set aside; whatever is of that history goes.
    PutBack {
        /// The restored history; `None` when there never was one.
        history: Option<String>,
    },
    /// Set data aside once more that were put back.
    SetAside,
    /// Mark the data that are there to start the cluster.
    Crown {
        /// What Galera shall keep of data of which it keeps nothing.
        state: Option<SavedState>,
    },
    /// Take such a mark away: no two may ever start a cluster.
    Uncrown,
    /// Remove what is left of the restore beside the data.
    Tidy {
        /// The scratch on another volume, as this runner sees it.
        scratch: Option<String>,
        /// Whether old data that were set aside stay.
        keep_old_data: bool,
        /// Whether restored data that were taken out again stay.
        keep_failed: bool,
    },
}
