//! What a restore tells: before it begins what it would do, and at its end what it did.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::backup_id::BackupId;
use crate::model::galera::Position;
use crate::model::order::StoreName;
use crate::model::rows::RowCounts;

/// What a restore would do, for people to read before they say yes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestorePreview {
    /// The cluster, `<namespace>/<statefulset>`.
    pub cluster: String,
    /// The backup.
    pub backup: BackupId,
    /// The backups that are put together, the base first, and the store each is taken from.
    pub chain: Vec<(BackupId, StoreName)>,
    /// The moment that the backup holds, as far as is recorded: the end of its copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holds: Option<Timestamp>,
    /// Where the backup stands; `None` when it is not recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_position: Option<Position>,
    /// Where the cluster stands now; `None` when no replica answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub present_position: Option<Position>,
    /// When that was asked.
    pub asked: Timestamp,
    /// The way its servers start, in words.
    pub flavour: String,
    /// The pod that is started first, and why that one.
    pub leader: String,
    /// Why that one.
    pub leader_because: String,
    /// The volumes, the leader's first.
    pub volumes: Vec<VolumePlan>,
    /// Whether the leader's old data are set aside on its volume; else they are given up.
    #[serde(default)]
    pub sets_aside: bool,
    /// Where the backup is unpacked and booted, in words.
    pub scratch: String,
    /// Bytes it takes there; `None` when that is not recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scratch_bytes: Option<u64>,
    /// Bytes that are free there, as far as that could be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scratch_free_bytes: Option<u64>,
    /// Every step, in order.
    pub steps: Vec<String>,
    /// What keeps the cluster from serving, in words.
    pub outage: String,
    /// How long that is, as far as it can be told; `None` where the cluster does not serve already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicted_outage: Option<PredictedOutage>,
    /// How the old cluster would come back; `None` when it could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub way_back: Option<String>,
    /// What should be known although it does not stand in the way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
}

/// How long a cluster would not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PredictedOutage {
    /// Seconds, when the servers stop at once, or as the last time.
    pub least_seconds: u64,
    /// Seconds, when they take as long to stop as they may. Volumes that are slow to come off a node, or on, come on
    /// top.
    pub most_seconds: u64,
}

/// What becomes of one volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumePlan {
    /// Its pod.
    pub pod: String,
    /// Its claim.
    pub claim: String,
    /// Its size in bytes, where Kubernetes says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// Bytes that can be written to it now, where it was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_bytes: Option<u64>,
    /// What becomes of it, in words.
    pub what: String,
}

/// A restore that did what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreReport {
    /// The backup.
    pub backup: BackupId,
    /// The replica that was started first.
    pub leader: String,
    /// How many replicas serve.
    pub replicas: u32,
    /// The history they are in.
    pub history: String,
    /// Where the cluster stood right before it was stopped; `None` when no replica answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_at: Option<Position>,
    /// Where the backup stands: what came between the two is lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_to: Option<Position>,
    /// From the order to stop to the leader serving.
    pub outage_millis: u64,
    /// From the order to stop to all replicas serving.
    pub full_strength_millis: u64,
    /// What the outage consisted of; `None` where more than one run had a part in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outage_parts: Option<OutageParts>,
    /// Where on a volume the old data stay; `None` when they are gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_in: Option<String>,
    /// The pod whose volume that is; that of `leader` when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_on: Option<String>,
    /// What counting the rows on all replicas showed; `None` when they were not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<RowCounts>,
    /// Whether it was gone on with after its first run had died.
    #[serde(default)]
    pub resumed: bool,
    /// Whether it could not be finished, and a person chose what `leader` had instead of the backup.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_chosen: bool,
}

/// What an outage consisted of, one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutageParts {
    /// Until no pod held any of the volumes.
    pub stop_millis: u64,
    /// Until the restored data were in place.
    pub place_millis: u64,
    /// Until the leader served.
    pub start_millis: u64,
}

impl RestoreReport {
    /// The pod on whose volume old data stay, if they do.
    #[must_use]
    pub fn kept_on(&self) -> &str {
        self.kept_on.as_deref().unwrap_or(&self.leader)
    }
}

/// The annotation on the StatefulSet with a [`LastRestore`].
pub const LAST_RESTORE_ANNOTATION: &str = "mariadb-backup.io/last-restore";

/// The last restore, as the StatefulSet remembers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastRestore {
    /// The run.
    pub run: String,
    /// When it ended.
    pub at: Timestamp,
    /// What it did.
    pub report: RestoreReport,
    /// Old data that restores before it have left on volumes and that nobody but a person removes, the newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept_before: Vec<KeptData>,
}

/// Old data that a restore has left on a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeptData {
    /// The pod whose volume it is.
    pub pod: String,
    /// Where on that volume, below its root.
    pub place: String,
    /// When that restore ended.
    pub at: Timestamp,
}

/// How many places are remembered: an annotation has no room for ever more.
const KEPT_PLACES: usize = 10;

impl LastRestore {
    /// Every place where old data were left, the newest first; whether they have been removed since, nobody knows.
    #[must_use]
    pub fn kept(&self) -> Vec<KeptData> {
        let pod = self.report.kept_on();
        let kept = |place: &String| KeptData { pod: pod.to_owned(), place: place.clone(), at: self.at };
        self.report.kept_in.iter().map(kept).chain(self.kept_before.iter().cloned()).collect()
    }

    /// The same, which remembers what the one before it did.
    #[must_use]
    pub fn after(self, before: Option<&Self>) -> Self {
        let kept_before = before.map(Self::kept).unwrap_or_default().into_iter().take(KEPT_PLACES).collect();
        Self { kept_before, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restore(run: &str, keeps: bool, kept_before: Vec<KeptData>) -> LastRestore {
        let report = serde_json::json!({"backup": "base/2026-01-01_00-00-00", "leader": "db-0", "replicas": 3, "history": "h",
            "outageMillis": 1, "fullStrengthMillis": 2, "keptIn": keeps.then(|| format!(".mariadb-backup/old-{run}"))});
        let at = "2026-01-03T12:00:00Z".parse().unwrap();
        LastRestore { run: run.to_owned(), at, report: serde_json::from_value(report).unwrap(), kept_before }
    }

    #[test]
    fn old_data_are_named_by_the_pod_whose_volume_has_them_also_when_another_leads_in_the_end() {
        let mut last = restore("x", true, vec![]);
        assert_eq!(last.kept()[0].pod, "db-0");
        last.report.kept_on = Some("db-2".to_owned());
        assert_eq!(last.kept()[0].pod, "db-2");
    }

    #[test]
    fn old_data_that_were_kept_are_remembered_when_another_restore_follows() {
        let [first, second, third] =
            [("a", true), ("b", false), ("c", true)].map(|(run, keeps)| restore(run, keeps, vec![]));
        let last = third.after(Some(&second.after(Some(&first.after(None)))));
        let places: Vec<String> = last.kept().into_iter().map(|kept| kept.place).collect();
        assert_eq!(places, [".mariadb-backup/old-c", ".mariadb-backup/old-a"]);
        let many = (0..30).fold(restore("x", true, vec![]), |last, _| restore("x", true, vec![]).after(Some(&last)));
        assert_eq!(many.kept_before.len(), KEPT_PLACES);
    }
}
