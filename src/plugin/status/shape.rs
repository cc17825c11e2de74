//! A cluster's status as other programs see it: put together and judged, without looking anywhere.

use jiff::Timestamp;
use serde::Serialize;

use super::failed::Failed;
use super::judged::{Judged, judged};
use crate::adapters::kubernetes::lease_sight::LeaseSight;
use crate::exit_code::ExitCode;
use crate::model::backup_id::BackupId;
use crate::model::catalogue::{Catalogue, RoomSeen};
use crate::model::chain;
use crate::model::cluster::{ClusterView, PodView};
use crate::model::forecast::{UntilFull, until_full};
use crate::model::obligation::{Debt, Desync, Obligation};
use crate::model::report::{DesyncSeen, KeptData, LastDrill, LastRestore, ReplicaStatus, StatusReport};
use crate::plugin::schedule::Schedule;

/// Something that may not be there; and whether it is may not be known. Written as it, `null`, or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(super) enum Fact<T> {
    /// It could not be had.
    #[default]
    Unknown,
    /// There is none.
    Nothing,
    /// It.
    Known(T),
}

impl<T> Fact<T> {
    /// Takes what was found where it was looked.
    pub(super) fn found(it: Option<T>) -> Self {
        it.map_or(Self::Nothing, Self::Known)
    }

    fn map<S>(self, change: impl FnOnce(T) -> S) -> Fact<S> {
        match self {
            Self::Unknown => Fact::Unknown,
            Self::Nothing => Fact::Nothing,
            Self::Known(it) => Fact::Known(change(it)),
        }
    }

    fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown)
    }
}

/// What Kubernetes knows; `None` where it could not be had.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) namespace: String,
    pub(super) statefulset: String,
    /// Whether the StatefulSet is gone, and only its backups are left.
    pub(super) is_gone: bool,
    pub(super) view: Option<ClusterView>,
    pub(super) lease: Fact<LeaseSight>,
    pub(super) running: Option<Vec<Run>>,
    pub(super) failed: Fact<Failed>,
    pub(super) schedules: Option<Vec<Schedule>>,
    pub(super) catalogue: Option<Catalogue>,
    /// Full backups to keep on the volume; none where that is not used.
    pub(super) keep: Option<u32>,
    pub(super) unknown_settings: Vec<String>,
    /// Why a restore would be refused whatever else is done.
    pub(super) restore_refused: Option<String>,
    /// The command that settles what is owed.
    pub(super) recover: String,
    /// The command that shows what fewer backups would be.
    pub(super) make_room: Option<String>,
}

/// The status as other programs see it; what is not known is left out. Members are added, never changed.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Status {
    api_version: &'static str,
    kind: &'static str,
    pub(super) namespace: String,
    pub(super) statefulset: String,
    /// Whether the StatefulSet is gone, and only its backups are left.
    #[serde(rename = "statefulsetGone", skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_gone: bool,
    pub(super) health: Health,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) wanted_replicas: Option<i32>,
    /// The image that its servers are of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) server_image: Option<String>,
    pub(super) replicas: Vec<ReplicaStatus>,
    pub(super) findings: Vec<String>,
    /// What a person should do something about, with the command where one does it.
    pub(super) act: Vec<Act>,
    #[serde(skip_serializing_if = "Fact::is_unknown")]
    pub(super) obligation: Fact<Obligation>,
    #[serde(skip_serializing_if = "Fact::is_unknown")]
    pub(super) lease: Fact<Holder>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) running: Option<Vec<Run>>,
    #[serde(skip_serializing_if = "Fact::is_unknown")]
    pub(super) last_full: Fact<Last>,
    #[serde(skip_serializing_if = "Fact::is_unknown")]
    pub(super) last_incremental: Fact<Last>,
    #[serde(skip_serializing_if = "Fact::is_unknown")]
    pub(super) last_restore: Fact<LastRestore>,
    #[serde(skip_serializing_if = "Fact::is_unknown")]
    pub(super) last_drill: Fact<LastDrill>,
    /// The last run that failed, whatever came after it.
    #[serde(skip_serializing_if = "Fact::is_unknown")]
    pub(super) last_failed: Fact<Failed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) room: Option<RoomSeen>,
    /// Old data that restores have left on volumes.
    #[serde(skip)]
    pub(super) kept: Vec<Kept>,
    /// Days until the volume has no room for the next backup; none when that is never.
    #[serde(skip_serializing_if = "Fact::is_unknown")]
    pub(super) full_in_days: Fact<u64>,
    /// Whether that is so now.
    #[serde(skip)]
    pub(super) is_full: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) schedules: Option<Vec<Schedule>>,
    /// Why a restore would be refused whatever else is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) restore_refused: Option<String>,
    pub(super) unknown_settings: Vec<String>,
}

/// How the cluster is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Health {
    /// Every replica says so.
    Healthy,
    /// Something speaks against it, or is owed.
    Unhealthy,
    /// Nothing speaks against it, but the replicas could not be asked.
    Unknown,
    /// A restore is at work that stops and starts it.
    Restoring,
}

/// Who holds the cluster's Lease.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Holder {
    pub(super) run: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) renewed: Option<Timestamp>,
}

/// A run that has not ended.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Run {
    pub(super) job: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) task: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<Timestamp>,
    /// Why it has not started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) waits: Option<String>,
    /// The phase it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) phase: Option<String>,
    /// What it last told of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) doing: Option<String>,
}

impl Run {
    /// Whether it is at work on what another run owes.
    pub(super) fn settles(&self) -> bool {
        self.phase.is_some() && self.task.as_deref().is_some_and(|task| ["recover", "restore"].contains(&task))
    }
}

/// Something a person should do something about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Act {
    pub(super) why: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) command: Option<String>,
}

/// Old data that a restore has left on a volume, and the command that removes them where the server's pod can.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) data: KeptData,
    pub(super) command: Option<String>,
}

/// The newest backup of its kind that can be restored, as far as is known.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Last {
    pub(super) name: String,
    pub(super) created: Timestamp,
}

impl Status {
    /// Puts together what Kubernetes knows and what the replicas said, if they said anything.
    pub(super) fn of(facts: Facts, told: Option<StatusReport>) -> Self {
        let obligation = facts.view.as_ref().map(|view| Fact::found(view.obligation.clone())).unwrap_or_default();
        let last_restore = facts.view.as_ref().map(|view| Fact::found(view.last_restore.clone())).unwrap_or_default();
        let was_asked = told.is_some();
        let told = told.unwrap_or_else(|| facts.view.as_ref().map(seen).unwrap_or_default());
        let until_full = facts.catalogue.as_ref().and_then(|catalogue| until_full(catalogue, facts.keep?));
        let Judged { findings, act, health } = judged(&facts, &told, was_asked, until_full);
        let last =
            |kind| facts.catalogue.as_ref().map(|catalogue| Fact::found(newest(catalogue, kind))).unwrap_or_default();
        let holder = |sight: LeaseSight| Holder { run: sight.run, since: sight.since, renewed: sight.renewed };
        Self {
            api_version: "mariadb-backup.io/v1",
            kind: "ClusterStatus",
            namespace: facts.namespace,
            statefulset: facts.statefulset,
            is_gone: facts.is_gone,
            health,
            wanted_replicas: facts.view.as_ref().map(|view| view.replicas),
            server_image: facts.view.as_ref().map(|view| view.server.image.clone()).filter(|image| !image.is_empty()),
            replicas: told.replicas,
            findings,
            act,
            obligation,
            lease: facts.lease.map(holder),
            last_full: last(Kind::Full),
            last_incremental: last(Kind::Incremental),
            kept: facts.view.as_ref().map(kept).unwrap_or_default(),
            last_restore,
            last_drill: facts
                .catalogue
                .as_ref()
                .map(|catalogue| Fact::found(catalogue.drill.clone()))
                .unwrap_or_default(),
            last_failed: facts.failed,
            running: facts.running,
            room: facts.catalogue.as_ref().and_then(|catalogue| catalogue.room),
            is_full: until_full == Some(UntilFull::Now),
            full_in_days: match until_full {
                None => Fact::Unknown,
                Some(UntilFull::Never) => Fact::Nothing,
                Some(UntilFull::Now) => Fact::Known(0),
                Some(UntilFull::Days(days)) => Fact::Known(days),
            },
            schedules: facts.schedules,
            unknown_settings: facts.unknown_settings,
            restore_refused: facts.restore_refused,
        }
    }

    /// Whether the catalogue has no backup to restore, and nothing else comes first.
    pub(super) fn lacks_backup(&self) -> bool {
        let is_idle = self.act.is_empty() && self.running.as_ref().is_none_or(Vec::is_empty);
        matches!(self.last_full, Fact::Nothing) && is_idle
    }

    /// The exit code that tells a script how the cluster is.
    pub(super) fn code(&self) -> ExitCode {
        match self.health {
            Health::Healthy => ExitCode::Done,
            Health::Unhealthy => ExitCode::Refused,
            Health::Unknown | Health::Restoring => ExitCode::DoneWithWarnings,
        }
    }
}

/// What is owed, in words.
pub(super) fn what_is_owed(owed: &Obligation) -> String {
    match &owed.debt {
        Debt::Desync(desync) => format!("wsrep_desync=OFF on {}", desync.pod),
        Debt::Restore(debt) => format!("the end of the restore of {} ({})", debt.backup.name(), debt.stage.words()),
    }
}

/// What Kubernetes alone can tell of the replicas.
fn seen(view: &ClusterView) -> StatusReport {
    let replica = |pod: &PodView| ReplicaStatus {
        pod: pod.name.clone(),
        node: pod.node.clone(),
        pod_ready: pod.ready,
        role: pod.role.clone(),
        member: None,
        no_answer: Some("not asked".to_owned()),
    };
    let wanted = usize::try_from(view.replicas).unwrap_or_default();
    let absent = (view.pods.len() < wanted).then(|| format!("{} of {wanted} pods exist", view.pods.len()));
    let unready = |pod: &PodView| format!("pod {} is not Ready", pod.name);
    // One that is desynced is not Ready where its readiness goes by wsrep_local_state.
    let desynced = view.obligation.as_ref().and_then(|owed| owed.debt.desync());
    let of_desync = |pod: &String| view.pod(pod).filter(|pod| !pod.ready).map(unready);
    StatusReport {
        replicas: view.pods.iter().map(replica).collect(),
        findings: absent.into_iter().chain(view.pods.iter().filter(|pod| !pod.ready).map(unready)).collect(),
        desynced: desynced
            .map(|Desync { pod, .. }| DesyncSeen { pod: pod.clone(), findings: of_desync(pod).into_iter().collect() }),
    }
}

fn kept(view: &ClusterView) -> Vec<Kept> {
    let command = |data: &KeptData| {
        let ClusterView { namespace, server, .. } = view;
        // What lies beside a directory that is mounted alone can be seen from no server's pod.
        let is_in_sight = server.sub_path.is_empty() && !server.mount_path.is_empty();
        let place = format!("{}/{}", server.mount_path.trim_end_matches('/'), data.place);
        let exec = format!("kubectl exec -n {namespace} {} -c {}", data.pod, server.container);
        is_in_sight.then(|| format!("{exec} -- rm -r {place}"))
    };
    let all = view.last_restore.as_ref().map(LastRestore::kept).unwrap_or_default();
    all.into_iter().map(|data| Kept { command: command(&data), data }).collect()
}

/// The two kinds of backups.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Full,
    Incremental,
}

fn newest(catalogue: &Catalogue, kind: Kind) -> Option<Last> {
    let is_of_kind = |id: &&BackupId| id.base().is_some() == (kind == Kind::Incremental);
    let listed = catalogue.listed();
    let newest = listed.iter().rev().filter(is_of_kind).find(|id| chain::of(catalogue, id).is_ok())?;
    Some(Last { name: newest.name().to_string(), created: newest.name().time() })
}
