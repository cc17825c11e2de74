//! A cluster's status as other programs see it: put together and judged, without looking anywhere.

use jiff::Timestamp;
use serde::Serialize;

use super::failed::Failed;
use crate::adapters::kubernetes::lease_sight::LeaseSight;
use crate::exit_code::ExitCode;
use crate::model::backup_id::BackupId;
use crate::model::catalogue::{Catalogue, RoomSeen};
use crate::model::chain;
use crate::model::cluster::ClusterView;
use crate::model::forecast::{UntilFull, until_full};
use crate::model::obligation::{Debt, Obligation, RestoreDebt};
use crate::model::report::{LastDrill, LastRestore, ReplicaStatus, StatusReport};
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
    /// Full backups to keep.
    pub(super) keep: Option<u32>,
    pub(super) unknown_settings: Vec<String>,
    /// The command that settles what is owed.
    pub(super) recover: String,
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
    /// Days until the volume has no room for the next backup; none when that is never.
    #[serde(skip_serializing_if = "Fact::is_unknown")]
    pub(super) full_in_days: Fact<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) schedules: Option<Vec<Schedule>>,
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
    /// The phase it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) phase: Option<String>,
    /// What it last told of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) doing: Option<String>,
}

impl Run {
    /// Whether it is at work on what another run owes.
    fn settles(&self) -> bool {
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
        let StatusReport { replicas, findings } =
            told.unwrap_or_else(|| facts.view.as_ref().map(seen).unwrap_or_default());
        // What a run that goes on owes it is about to settle itself; or one that was sent to and is at work on it.
        let goes_on = |job: &str| facts.running.iter().flatten().any(|run| run.job == job || run.settles());
        let settle = match &obligation {
            Fact::Known(owed) if !goes_on(&owed.run) => Some(Act {
                why: format!("run {} has ended and still owes {}", owed.run, what_is_owed(owed)),
                command: Some(facts.recover),
            }),
            _ => None,
        };
        // Who scales or restarts anything now would get into its way.
        let is_restored = |owed: &Obligation| owed.debt.restore().is_some_and(RestoreDebt::has_left_proving);
        let restores = matches!(&obligation, Fact::Known(owed) if goes_on(&owed.run) && is_restored(owed));
        let missed = if let Fact::Known(failed) = &facts.failed { failed.act() } else { None };
        let act = settle.into_iter().chain(unhealthy(&findings).into_iter().chain(missed).filter(|_| !restores));
        let act: Vec<Act> = act.collect();
        let health = match (act.is_empty(), was_asked) {
            (true, _) if restores => Health::Restoring,
            (false, _) => Health::Unhealthy,
            (true, true) => Health::Healthy,
            (true, false) => Health::Unknown,
        };
        let last =
            |kind| facts.catalogue.as_ref().map(|catalogue| Fact::found(newest(catalogue, kind))).unwrap_or_default();
        let holder = |sight: LeaseSight| Holder { run: sight.run, since: sight.since, renewed: sight.renewed };
        let until_full = facts.catalogue.as_ref().and_then(|catalogue| until_full(catalogue, facts.keep?));
        Self {
            api_version: "mariadb-backup.io/v1",
            kind: "ClusterStatus",
            namespace: facts.namespace,
            statefulset: facts.statefulset,
            is_gone: facts.is_gone,
            health,
            wanted_replicas: facts.view.as_ref().map(|view| view.replicas),
            server_image: facts.view.as_ref().map(|view| view.server.image.clone()).filter(|image| !image.is_empty()),
            replicas,
            findings,
            act,
            obligation,
            lease: facts.lease.map(holder),
            last_full: last(Kind::Full),
            last_incremental: last(Kind::Incremental),
            last_restore,
            last_drill: facts
                .catalogue
                .as_ref()
                .map(|catalogue| Fact::found(catalogue.drill.clone()))
                .unwrap_or_default(),
            last_failed: facts.failed,
            running: facts.running,
            room: facts.catalogue.as_ref().and_then(|catalogue| catalogue.room),
            full_in_days: match until_full {
                None => Fact::Unknown,
                Some(UntilFull::Never) => Fact::Nothing,
                Some(UntilFull::Days(days)) => Fact::Known(days),
            },
            schedules: facts.schedules,
            unknown_settings: facts.unknown_settings,
        }
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

/// What speaks against the cluster's health, as one thing to do something about.
fn unhealthy(findings: &[String]) -> Option<Act> {
    let more = match findings.len().saturating_sub(1) {
        0 => String::new(),
        1 => ", and one finding more".to_owned(),
        more => format!(", and {more} findings more"),
    };
    Some(Act { why: format!("{}{more}", findings.first()?), command: None })
}

/// What Kubernetes alone can tell of the replicas.
fn seen(view: &ClusterView) -> StatusReport {
    let replica = |pod: &crate::model::cluster::PodView| ReplicaStatus {
        pod: pod.name.clone(),
        node: pod.node.clone(),
        pod_ready: pod.ready,
        role: pod.role.clone(),
        member: None,
        no_answer: Some("not asked".to_owned()),
    };
    let wanted = usize::try_from(view.replicas).unwrap_or_default();
    let absent = (view.pods.len() < wanted).then(|| format!("{} of {wanted} pods exist", view.pods.len()));
    let unready = view.pods.iter().filter(|pod| !pod.ready).map(|pod| format!("pod {} is not Ready", pod.name));
    StatusReport {
        replicas: view.pods.iter().map(replica).collect(),
        findings: absent.into_iter().chain(unready).collect(),
    }
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
