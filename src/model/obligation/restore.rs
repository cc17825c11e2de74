//! What a restore owes from its first effect on: the whole plan, as far as it is still to be done.
//!
//! Whoever goes on after its conductor died decides nothing anew: which replica leads, where the proven
//! copy lies and what the StatefulSet asked for stand here, and [`Stage`] says how far it came. A stage
//! is recorded before its first act, so it may have been begun, done or neither; every act of it can be
//! done again.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::backup_id::BackupId;
use crate::model::galera::Position;
use crate::model::order::DataPlace;
use crate::model::workload::{Replica, Scale};

/// A restore that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and recorded by its name")]
pub struct RestoreDebt {
    /// The backup.
    pub backup: BackupId,
    /// How far it is.
    pub stage: Stage,
    /// The replica that is started first and alone, with the restored data.
    pub leader: Replica,
    /// The replica that was so at first, where another one has taken its place since: old data are on its volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_leader: Option<Replica>,
    /// The others, which get theirs from it.
    pub others: Vec<Replica>,
    /// What the StatefulSet asked for; of one that stood at 0, what it shall ask for.
    pub saved: Scale,
    /// Whether it stood at 0, and does so again when the restore is undone.
    #[serde(default)]
    pub stood_at_zero: bool,
    /// Where the data lie on each volume.
    pub place: DataPlace,
    /// Where the proven copy lies.
    pub scratch: ScratchPlace,
    /// Where on the volume of backups, below its root, the proven copy lies for the others; `None` when they
    /// get everything from the leader.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lent: Option<String>,
    /// Whether it lies there whole.
    #[serde(default)]
    pub lent_is_whole: bool,
    /// The claim of the volume of backups; that of the settings where it is not recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_claim: Option<String>,
    /// The history the cluster was in before; `None` when no replica could say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// Whether this Kubernetes can start another ordinal than the lowest alone.
    #[serde(default)]
    pub starts_at_any_ordinal: bool,
    /// Whether clients may have written to the restored data.
    #[serde(default)]
    pub opened: bool,
    /// The history the proven copy began; `None` before it is proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<String>,
    /// The ConfigMap that tells servers in the way of openstack-helm who starts the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_config_map: Option<String>,
    /// Whether the old data stay on the leader's volume at the end.
    #[serde(default)]
    pub keep_old_data: bool,
    /// The furthest stage it was in: what has to be undone.
    pub reached: Stage,
    /// When the cluster was told to stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Timestamp>,
    /// Where the cluster stood right before; `None` when no replica answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_at: Option<Position>,
    /// Where the backup stands, as its manifest says; `None` before it is proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_to: Option<Position>,
    /// When the leader served the restored data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served: Option<Timestamp>,
    /// How far its redo was then: as long as its data are the restored ones, it only grows.
    #[serde(default)]
    pub served_lsn: u64,
    /// The write-set from which the old cluster has gone on, once it is rolled back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub went_on_from: Option<i64>,
    /// That what the leader has is what a person chose, and not the backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<Choice>,
    /// Why it is rolled back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// That a person chose from whose data the cluster is started, and what came of it so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Choice {
    /// Pods whose volumes were emptied since: what they have is from the leader. Others may have the same history, and
    /// not the same data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub emptied: Vec<String>,
}

impl RestoreDebt {
    /// Whether what a replica has in the history of the leader is the leader's.
    #[must_use]
    pub fn can_have_the_leader_s(&self, replica: &Replica) -> bool {
        let is_emptied = |choice: &Choice| choice.emptied.contains(&replica.pod);
        *replica == self.leader || self.chosen.as_ref().is_none_or(is_emptied)
    }

    /// Whether that is the history the cluster was in before; where nobody knew it, any but the restored one.
    #[must_use]
    pub fn is_old(&self, uuid: &String) -> bool {
        match &self.previous {
            Some(previous) => uuid == previous,
            None => Some(uuid) != self.history.as_ref(),
        }
    }

    /// Every replica that has a volume, the leader first.
    pub fn replicas(&self) -> impl Iterator<Item = &Replica> {
        std::iter::once(&self.leader).chain(&self.others)
    }

    /// Whether the cluster is stopped for it, or about to be, or not whole again yet.
    #[must_use]
    pub fn has_left_proving(&self) -> bool {
        self.stage != Stage::Proving
    }

    /// What the StatefulSet asked for when the restore began.
    #[must_use]
    pub fn asked(&self) -> Scale {
        if self.stood_at_zero { self.saved.none() } else { self.saved }
    }

    /// What the restore has on the volume of backups, below its root.
    #[must_use]
    pub fn on_store(&self) -> Option<&str> {
        match &self.scratch {
            ScratchPlace::Beside => self.lent.as_deref(),
            ScratchPlace::Store(directory) => Some(directory),
        }
    }
}

/// How far a restore is. In this order, but for the way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The backup is unpacked and booted in scratch; the cluster serves.
    Proving,
    /// The cluster is told to stop; nothing is written before no pod holds any of its volumes.
    Stopping,
    /// The leader's volume gets the proven copy; its old data are set aside, or gone.
    Switching,
    /// The leader is started alone and looked at.
    Starting,
    /// The restored data are served. The others are emptied, started, and get theirs from the leader.
    Joining,
    /// All serve; what was left for the way back is removed.
    Tidying,
    /// The old cluster is brought back.
    RollingBack,
}

impl Stage {
    /// What is being done, for people.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Proving => "proving the backup while the cluster serves",
            Self::Stopping => "stopping the cluster",
            Self::Switching => "putting the restored data into place",
            Self::Starting => "starting the restored data on one replica",
            Self::Joining => "letting the other replicas join the one that serves the restored data",
            Self::Tidying => "removing what is no longer needed while the cluster serves",
            Self::RollingBack => "bringing the old cluster back",
        }
    }
}

/// Where the proven copy lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScratchPlace {
    /// On the leader's own volume, beside its data: it gets into place by its name alone.
    Beside,
    /// On the volume of backups, in that directory below its root: it has to be copied.
    Store(String),
}
