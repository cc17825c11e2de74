//! The backup workflow: three phases, in the order the operator's manual has.
//!
//! [`plan`] turns what was seen into a [`BackupPlan`] that leaves no choice open and changes
//! nothing; [`run`] carries it out. Phase 3 can only be reached with what phase 2 returns, and
//! phase 2 always brings the replica back, also after a failed copy.

pub mod findings;
mod observe;
pub mod phase1_isolate;
pub mod phase2_copy;
pub mod phase3_record;
pub mod target;

use std::time::Duration;

pub use observe::observe;

use crate::exit_code::ExitCode;
use crate::model::backup_id::{BackupId, BackupName};
use crate::model::cluster::{ClaimView, ClusterView};
use crate::model::galera::Member;
use crate::model::obligation::Obligation;
use crate::model::order::BackupRequest;
use crate::model::outcome::{Explain, Failure};
use crate::model::report::CopyReport;
use crate::model::settings::Settings;
use crate::obligations::SettleError;
use crate::ports::PortError;
use crate::ports::conductor::{ConductorPorts, RunnerSpec};

/// How much longer than its own limits a runner may take before it counts as lost.
const COPY_MARGIN: Duration = Duration::from_mins(2);

/// Everything seen before deciding.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The cluster as Kubernetes holds it.
    pub cluster: ClusterView,
    /// What each pod's server said, by pod; the error's text where it said nothing.
    pub members: Vec<(String, Result<Member, String>)>,
    /// The claim of the local store; `None` when the volume is not used.
    pub store: Option<ClaimView>,
}

/// Who runs: for names and records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The Job's name.
    pub job: String,
    /// The name the backup will have.
    pub backup: BackupName,
    /// The present moment, read once.
    pub now: jiff::Timestamp,
}

/// A backup with every choice made.
#[derive(Clone, Debug, PartialEq)]
pub struct BackupPlan {
    /// The backup to make.
    pub backup: BackupId,
    /// The replica it is made from, and why that one.
    pub target: target::Target,
    /// The runner beside it.
    pub runner: RunnerSpec,
    /// What to record before the replica is desynced.
    pub obligation: Obligation,
    /// Findings that were overridden.
    pub warnings: Vec<String>,
    /// How long things may take.
    pub limits: Limits,
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Until the runner's containers run, and again until its checks are done.
    pub start: Duration,
    /// Until a runner that was told to go ahead has ended: its own limits and some room.
    pub copy: Duration,
    /// Until a replica has caught up, and again until it is Synced and Ready.
    pub resync: Duration,
}

/// Decides everything about a backup.
///
/// # Errors
/// Refuses, with all findings at once, a cluster that is not healthy or a request that cannot be met.
pub fn plan(
    observed: &Observed,
    request: &BackupRequest,
    settings: &Settings,
    run: &Run,
) -> Result<BackupPlan, Refusal> {
    let found = findings::of(observed);
    if !found.is_empty() && !request.allow_unsafe {
        return Err(Refusal::Unhealthy(found));
    }
    let target = target::choose(observed, request.replica.as_deref())?;
    let backup = BackupId::Full(run.backup.clone());
    let limits = Limits {
        start: settings.start_timeout,
        copy: settings.copy_timeout + 2 * settings.resync_timeout + COPY_MARGIN,
        resync: settings.resync_timeout,
    };
    let inputs = phase1_isolate::Inputs { observed, request, settings, run, target: &target, backup: &backup };
    let runner = phase1_isolate::runner(&inputs);
    let obligation = phase1_isolate::obligation(&inputs, &runner.name);
    let warnings = found.iter().map(|finding| format!("overridden: {finding}")).collect();
    Ok(BackupPlan { backup, target, runner, obligation, warnings, limits })
}

/// Carries a plan out.
///
/// # Errors
/// Says which part failed; in each case the replica is back, or the obligation says that it is not.
pub async fn run(plan: &BackupPlan, ports: &ConductorPorts<'_>) -> Result<CopyReport, BackupError> {
    let isolated = phase1_isolate::run(plan, ports).await?;
    let copied = phase2_copy::run(plan, isolated, ports).await?;
    phase3_record::run(plan, copied, ports).await
}

/// Why a backup was not begun. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The cluster is not healthy.
    #[error("refused to back up: {}", list(.0))]
    Unhealthy(Vec<findings::Finding>),
    /// No such replica.
    #[error("there is no replica {wanted}; the cluster has {}", .pods.join(", "))]
    NoSuchReplica {
        /// What was asked for.
        wanted: String,
        /// What there is.
        pods: Vec<String>,
    },
    /// No replica at all.
    #[error("the cluster has no pod that could be copied")]
    NoReplica,
    /// The store cannot be mounted beside the replica.
    #[error("replica {pod} runs on node {node}, but the volume of claim {claim} can only be mounted on {}", .nodes.join(", "))]
    StoreElsewhere {
        /// The replica asked for.
        pod: String,
        /// Its node.
        node: String,
        /// The store's claim.
        claim: String,
        /// Where its volume can be mounted.
        nodes: Vec<String>,
    },
    /// The store's volume can be mounted on no replica's node.
    #[error("the volume of claim {claim} can only be mounted on {}, where no replica runs", .nodes.join(", "))]
    StoreBesideNone {
        /// The store's claim.
        claim: String,
        /// Where its volume can be mounted.
        nodes: Vec<String>,
    },
    /// The store's claim is not usable.
    #[error("claim {claim} of the local store is {phase}")]
    StoreUnusable {
        /// The store's claim.
        claim: String,
        /// Its phase.
        phase: String,
    },
    /// The data volume admits one pod only.
    #[error("claim {claim} of replica {pod} is ReadWriteOncePod: no runner can be put beside the server")]
    DataVolumeExclusive {
        /// The replica.
        pod: String,
        /// Its claim.
        claim: String,
    },
    /// The target cannot be used even when checks are overridden.
    #[error("replica {pod} cannot be copied: {why}")]
    TargetUnusable {
        /// The replica.
        pod: String,
        /// What is missing.
        why: String,
    },
}

fn list(findings: &[findings::Finding]) -> String {
    findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl Explain for Refusal {
    fn code(&self) -> ExitCode {
        match self {
            Self::NoSuchReplica { .. } => ExitCode::Usage,
            _ => ExitCode::Refused,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Unhealthy(_) | Self::NoReplica => {
                "nothing was changed; look at the pods with kubectl get pods, and try again when every replica is Synced"
            }
            Self::NoSuchReplica { .. } => "leave --replica out to have one chosen",
            Self::StoreElsewhere { .. } => "leave --replica out to have the replica beside the volume chosen",
            Self::StoreBesideNone { .. } | Self::StoreUnusable { .. } => {
                "name another claim with --store-claim, or make one with kubectl mariadb-backup setup"
            }
            Self::DataVolumeExclusive { .. } => "only ReadWriteOnce and ReadWriteMany data volumes can be backed up",
            Self::TargetUnusable { .. } => "name another replica with --replica",
        };
        Some(hint.to_owned())
    }
}

/// How a backup failed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Something at the border to the world failed before the replica was touched.
    #[error("cannot isolate replica {pod}; it was not touched")]
    Isolate {
        /// The target.
        pod: String,
        /// Why.
        #[source]
        source: PortError,
    },
    /// Another run is at work on that server.
    #[error("replica {pod} is taken by another run; it was not touched")]
    Taken {
        /// The target.
        pod: String,
        /// Why.
        #[source]
        source: PortError,
    },
    /// The runner's own checks refused before the replica was touched.
    #[error("the runner beside {pod} refused, and the replica was not touched")]
    Checks {
        /// The target.
        pod: String,
        /// What the runner said.
        failure: Failure,
    },
    /// The copy failed; the replica is back in sync.
    #[error("copying {pod} failed, and the replica is back in sync")]
    Copy {
        /// The target.
        pod: String,
        /// What is known of it.
        failure: Failure,
    },
    /// The replica may still be desynced; the obligation stands.
    #[error("{}replica {pod} may still be desynced, and the obligation stays recorded", made(.whole.as_ref()))]
    Rejoin {
        /// The target.
        pod: String,
        /// The backup, when it was made and entered all the same.
        whole: Option<BackupId>,
        /// Why it is not back.
        #[source]
        source: SettleError,
    },
    /// The backup is whole on its volume, but the catalogue does not list it.
    #[error("backup {backup} is whole on its volume, but could not be entered into the catalogue")]
    Record {
        /// The backup.
        backup: BackupId,
        /// Why.
        #[source]
        source: PortError,
    },
}

fn made(whole: Option<&BackupId>) -> String {
    whole.map(|backup| format!("backup {backup} is whole and listed, but ")).unwrap_or_default()
}

impl Explain for BackupError {
    fn code(&self) -> ExitCode {
        match self {
            Self::Taken { .. } => ExitCode::Locked,
            Self::Isolate { source, .. } => match source.code() {
                ExitCode::Error => ExitCode::FailedInCluster,
                code => code,
            },
            Self::Checks { failure, .. } | Self::Copy { failure, .. } => failure.code,
            Self::Rejoin { .. } | Self::Record { .. } => ExitCode::FailedInCluster,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Isolate { source, .. } | Self::Taken { source, .. } => source.hint(),
            Self::Checks { failure, .. } | Self::Copy { failure, .. } => failure.hint.clone(),
            Self::Rejoin { source, .. } => source.hint(),
            Self::Record { .. } => Some(
                "list does not show it, but verify names it, and stock tools restore it; see README, what a run does"
                    .to_owned(),
            ),
        }
    }
}

impl BackupError {
    /// Takes the error over with everything it knows, the runner's own causes included.
    #[must_use]
    pub fn into_failure(self) -> Failure {
        let mut failure = Failure::of(&self);
        if let Self::Checks { failure: inner, .. } | Self::Copy { failure: inner, .. } = self {
            failure.causes.push(inner.message);
            failure.causes.extend(inner.causes);
        }
        failure
    }
}
