//! What comes of a run that did what was asked.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::backup_id::BackupId;
use super::catalogue::{Checksum, Entry, Presence};
use super::galera::Position;
use super::manifest::{DesyncTimes, Manifest, StoredFile};
use super::order::StoreName;

mod drill;
mod prove;
mod refill;
mod restore;
pub use drill::{DrillReport, LastDrill};
pub use prove::{ProveReport, ProvenLogins, QueryResult};
pub use refill::VolumeReport;
pub use restore::{
    KeptData, LAST_RESTORE_ANNOTATION, LastRestore, OutageParts, PredictedOutage, RestorePreview, RestoreReport,
    VolumePlan,
};

/// The result of a conductor's run, inside its [outcome](super::outcome::Outcome).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RunReport {
    /// A backup was made.
    Backup(CopyReport),
    /// Stored backups were compared with what was recorded.
    Verify(CheckReport),
    /// A backup was booted in a throwaway pod.
    Drill(Box<DrillReport>),
    /// It was only asked what a restore would do.
    Preview(Box<RestorePreview>),
    /// The cluster was set back to a backup.
    Restore(Box<RestoreReport>),
    /// Backups were copied between the stores, or removed.
    Keep(KeepSummary),
    /// What dead runs owed was settled.
    Recover(RecoverReport),
    /// Every replica was asked how it is.
    Status(StatusReport),
    /// The stores were looked at; what is in them was told by events.
    Inventory(InventoryReport),
}

/// What a runner tells its conductor about the copy it made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CopyReport {
    /// The backup.
    pub backup: BackupId,
    /// When the copy began.
    pub started: Timestamp,
    /// When it was signed off.
    pub finished: Timestamp,
    /// The stream's length before compression, in bytes.
    pub stream_bytes: u64,
    /// The compressed stream.
    pub stream: StoredFile,
    /// The manifest itself.
    pub manifest: StoredFile,
    /// The Galera position the data stands at.
    pub position: Position,
    /// How long the replica was desynced.
    pub desync: DesyncTimes,
    /// Whether it lies on the volume.
    pub local: Presence,
    /// Whether it lies in S3.
    pub s3: Presence,
    /// Why an incremental backup that was wished for is a full one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_because: Option<String>,
    /// What an incremental one builds on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<BackupId>,
    /// Room left on the volume: free and total bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<(u64, u64)>,
}

/// What a check found of one backup in one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was not looked at: it need not be there, or the store could not be asked.
    Unseen,
    /// As far as was looked it is what was recorded; not every byte was read.
    Good,
    /// Every byte was read, now, and is what was recorded.
    Read,
    /// Something in it is not what was recorded.
    Damaged,
    /// Nothing of it is there.
    Missing,
    /// It was damaged or missing, and was fetched from the other store, every byte verified.
    Repaired,
    /// It is damaged wherever it lies and was set aside.
    Quarantined,
}

impl Verdict {
    const LETTERS: [(Self, char); 7] = [
        (Self::Unseen, '-'),
        (Self::Good, 'g'),
        (Self::Read, 'r'),
        (Self::Damaged, 'd'),
        (Self::Missing, 'm'),
        (Self::Repaired, 'f'),
        (Self::Quarantined, 'q'),
    ];

    /// Whether the backup can be relied on in that store.
    #[must_use]
    pub fn is_good(self) -> bool {
        matches!(self, Self::Good | Self::Read | Self::Repaired)
    }
}

/// Verdicts in the order of the backups asked about; as JSON one letter each, because a report has
/// to fit a termination message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Verdicts(pub Vec<Verdict>);

impl From<Verdicts> for String {
    fn from(verdicts: Verdicts) -> Self {
        let letter =
            |verdict: &Verdict| Verdict::LETTERS.iter().find(|(of, _)| of == verdict).map(|(_, letter)| *letter);
        verdicts.0.iter().filter_map(letter).collect()
    }
}

impl TryFrom<String> for Verdicts {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let verdict = |letter: char| Verdict::LETTERS.iter().find(|(_, of)| *of == letter).map(|(verdict, _)| *verdict);
        text.chars()
            .map(|c| verdict(c).ok_or_else(|| format!("\"{c}\" is no verdict")))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// How many good backups a report names.
pub const NAMED_BACKUPS: usize = 50;

/// How many backups unknown to the catalogue a report names.
pub const NAMED_UNLISTED: usize = 20;

/// What a runner tells its conductor about the files it read.
///
/// It has to fit a termination message, so every list in it is bounded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckReport {
    /// Backups whose every byte was what was recorded: of a runner all of its batch, of a conductor
    /// the first [`NAMED_BACKUPS`].
    pub good: Vec<BackupId>,
    /// How many they are in all.
    pub good_count: u32,
    /// Files that were not and still are not, at most a handful: `path: what is wrong`, with the store
    /// in front where there are two. What was repaired or set aside is told by warnings instead.
    pub bad: Vec<String>,
    /// How many files were not, in all.
    pub bad_count: u32,
    /// Backups in a store that the catalogue does not know, at most [`NAMED_UNLISTED`].
    pub unlisted: Vec<BackupId>,
    /// Of a runner: what it found on the volume, in the order of the order's backups.
    #[serde(default)]
    pub local: Verdicts,
    /// Of a runner: what it found in S3, likewise.
    #[serde(default)]
    pub s3: Verdicts,
    /// How many files were fetched from S3 because they were damaged on the volume.
    #[serde(default)]
    pub repaired_count: u32,
    /// How many backups were set aside.
    #[serde(default)]
    pub quarantined_count: u32,
    /// Bytes read.
    pub bytes: u64,
}

/// Marks in the order of what was asked for; as JSON one letter each (`y`, `n`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Marks(pub Vec<bool>);

impl From<Marks> for String {
    fn from(marks: Marks) -> Self {
        marks.0.iter().map(|done| if *done { 'y' } else { 'n' }).collect()
    }
}

impl TryFrom<String> for Marks {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let mark = |c| match c {
            'y' => Ok(true),
            'n' => Ok(false),
            other => Err(format!("\"{other}\" is no mark")),
        };
        text.chars().map(mark).collect::<Result<_, _>>().map(Self)
    }
}

/// What a runner tells its conductor about what it copied and removed, in the order of its order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeepReport {
    /// Which were removed from every store.
    pub removed: Marks,
    /// Which are whole in S3 now.
    pub uploaded: Marks,
    /// Which are whole on the volume now.
    pub downloaded: Marks,
    /// What could not be done, at most a handful: the backup and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<String>,
    /// How much could not be done, in all.
    #[serde(default)]
    pub failed_count: u32,
    /// Bytes copied.
    pub bytes: u64,
    /// Room left on the volume: free and total bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<(u64, u64)>,
}

/// What a conductor tells about copying and removing, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeepSummary {
    /// Whether it was only asked what would be done.
    #[serde(default)]
    pub dry_run: bool,
    /// Removed, or to be removed: the first [`NAMED_BACKUPS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<BackupId>,
    /// How many they are in all.
    #[serde(default)]
    pub removed_count: u32,
    /// Copied to S3, or to be copied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uploaded: Vec<BackupId>,
    /// How many they are in all.
    #[serde(default)]
    pub uploaded_count: u32,
    /// Copied to the volume, or to be copied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub downloaded: Vec<BackupId>,
    /// How many they are in all.
    #[serde(default)]
    pub downloaded_count: u32,
    /// Bytes copied.
    #[serde(default)]
    pub bytes: u64,
    /// What removing freed, or would free; `None` of an agent that does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freed: Option<Freed>,
}

/// The room that removed backups took in the stores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Freed {
    /// Bytes on the volume.
    pub local_bytes: u64,
    /// Bytes in S3.
    pub s3_bytes: u64,
    /// Of how many backups nobody knows the size.
    pub unknown_count: u32,
}

impl Freed {
    /// Adds the room of one more.
    #[must_use]
    pub fn and(self, more: Self) -> Self {
        Self {
            local_bytes: self.local_bytes.saturating_add(more.local_bytes),
            s3_bytes: self.s3_bytes.saturating_add(more.s3_bytes),
            unknown_count: self.unknown_count.saturating_add(more.unknown_count),
        }
    }
}

/// What was owed, and is settled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecoverReport {
    /// The run that owed; `None` when nothing was owed.
    pub run: Option<String>,
    /// What it owed, for people.
    pub what: Option<String>,
}

/// How every replica is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusReport {
    /// By pod.
    pub replicas: Vec<ReplicaStatus>,
    /// What speaks against a backup now: the same findings that would refuse one.
    pub findings: Vec<String>,
    /// Whether a run had desynced one of them, or was about to, when they were asked; and what follows from that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desynced: Option<DesyncSeen>,
}

/// A replica that a run has desynced for its copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DesyncSeen {
    /// Its pod.
    pub pod: String,
    /// Those findings that there are only because of it: as long as that run lives, nobody has to do anything.
    pub findings: Vec<String>,
}

/// How one replica is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaStatus {
    /// Its pod.
    pub pod: String,
    /// Its node.
    pub node: Option<String>,
    /// The pod's Ready condition.
    pub pod_ready: bool,
    /// The value of its role label, such as `primary`.
    pub role: Option<String>,
    /// What its server said; `None` when it did not answer.
    pub member: Option<MemberStatus>,
    /// Why it did not answer.
    pub no_answer: Option<String>,
}

/// What a server said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberStatus {
    /// `wsrep_ready`.
    pub ready: bool,
    /// `wsrep_local_state_comment`.
    pub state: String,
    /// `wsrep_cluster_status`.
    pub cluster_status: String,
    /// `wsrep_cluster_size`.
    pub size: u32,
    /// `wsrep_local_recv_queue`.
    pub queue: u64,
    /// `wsrep_desync_count`.
    pub desync_count: u32,
    /// `wsrep_last_committed`.
    pub seqno: i64,
    /// Its version.
    pub version: String,
}

/// One backup as a store holds it, told by an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FoundBackup {
    /// The store.
    pub store: StoreName,
    /// The backup.
    pub backup: BackupId,
    /// What a catalogue would hold of its files; empty for one whose manifest cannot be read.
    pub files: BTreeMap<String, Checksum>,
    /// What a listing shows of it, as far as its manifest tells.
    pub entry: Entry,
    /// What is wrong with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// The cluster it was made of, `<namespace>/<statefulset>`, as far as its manifest tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// All that its manifest says but the stream's members, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Box<Manifest>>,
}

/// What was found in the stores; the backups themselves came as events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InventoryReport {
    /// How many events told one on the volume; `None` when that store was not looked at.
    pub local_count: Option<u32>,
    /// How many told one in S3, likewise.
    pub s3_count: Option<u32>,
    /// The mark of the cluster whose place in S3 it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3_mark: Option<String>,
    /// Room on the volume: free and total bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<(u64, u64)>,
}
