//! The backup workflow: three phases, in the order the operator's manual has.
//!
//! [`take`] is the whole of it. [`plan`] turns what was seen into a [`BackupPlan`] that leaves no
//! choice open and changes nothing; [`run`] carries it out. Phase 3 can only be reached with what
//! phase 2 returns, and phase 2 always brings the replica back, also after a failed copy.

mod error;
mod existing;
pub mod findings;
pub mod observe;
pub mod phase1_isolate;
pub mod phase2_copy;
pub mod phase3_record;
pub mod target;
mod watch;

use std::time::Duration;

pub use error::{BackupError, Refusal};
pub use observe::{ask_all, observe};
pub use phase3_record::Recorded;

use crate::keep;
use crate::model::backup_id::{BackupId, BackupName};
use crate::model::catalogue::{Catalogue, Presence};
use crate::model::chain;
use crate::model::cluster::{ClaimView, ClusterView};
use crate::model::event::{EventKind, Phase};
use crate::model::galera::Member;
use crate::model::names::PRIMARY_ROLES;
use crate::model::obligation::Obligation;
use crate::model::order::{BackupKind, BackupRequest};
use crate::model::outcome::{Explain, Failure};
use crate::model::report::CopyReport;
use crate::model::settings::Settings;
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
    /// What backups there are.
    pub catalogue: Catalogue,
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
    /// How long traffic may take to leave the replica before it is copied; `None` when clients do not
    /// write to it, so that nothing has to leave.
    pub drain: Option<Duration>,
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
    let kind = kind(observed, request.kind, settings, run);
    let drain = target.role.as_deref().is_some_and(|role| PRIMARY_ROLES.contains(&role));
    let drain = drain.then_some(settings.drain_timeout);
    let limits = Limits {
        start: settings.start_timeout,
        copy: settings.copy_timeout + 2 * settings.resync_timeout + drain.unwrap_or_default() + COPY_MARGIN,
        resync: settings.resync_timeout,
    };
    let inputs = phase1_isolate::Inputs { observed, request, settings, run, target: &target, kind: &kind, drain };
    let runner = phase1_isolate::runner(&inputs);
    let obligation = phase1_isolate::obligation(&inputs, &runner.name);
    let warnings = found.iter().map(|finding| format!("overridden: {finding}")).collect();
    Ok(BackupPlan { backup: kind.backup, target, runner, obligation, warnings, drain, limits })
}

/// What kind of backup it shall be. The runner, which sees the files, has the last word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// The backup to make.
    pub backup: BackupId,
    /// What it builds on.
    pub parent: Option<BackupId>,
    /// Why it is a full one although an increment was wished for.
    pub full_because: Option<String>,
}

fn kind(observed: &Observed, wished: BackupKind, settings: &Settings, run: &Run) -> Kind {
    let full = |full_because| Kind { backup: BackupId::Full(run.backup.clone()), parent: None, full_because };
    if wished == BackupKind::Full {
        return full(None);
    }
    let cycle = settings.full_backup_cycle;
    match chain::parent_for_increment(&observed.catalogue, run.now, cycle, settings.stores) {
        Ok((base, parent)) => Kind {
            backup: BackupId::Incremental { base, name: run.backup.clone() },
            parent: Some(parent),
            full_because: None,
        },
        Err(why) => full(Some(why)),
    }
}

/// Takes a backup: the checks, the three phases, and what is to be put in order afterwards.
///
/// # Errors
/// Says which part failed; in each case the replica is back, or the obligation says that it is not.
pub async fn take(
    request: &BackupRequest,
    settings: &Settings,
    job: &str,
    ports: &ConductorPorts<'_>,
) -> Result<CopyReport, BackupError> {
    let mut observed = observe(settings, ports).await.map_err(BackupError::Look)?;
    if !observed.catalogue.has_room() {
        // A backup that cannot be entered is not worth hours of copying.
        return Err(BackupError::CatalogueFull(settings.hash_config_map.clone()));
    }
    // What is refused in any case need not wait until every old backup was looked at.
    plan(&observed, request, settings, &Run::begin(job, ports))?;
    if existing::verify(&observed, settings, job, ports).await? {
        observed = observe(settings, ports).await.map_err(BackupError::Look)?;
    }
    let plan = plan(&observed, request, settings, &Run::begin(job, ports))?;
    let Recorded { mut report, unsent } = run(&plan, ports).await?;
    let sent = finish(&report.backup, &observed.cluster, settings, job, ports).await;
    if sent.contains(&report.backup) {
        report.s3 = Presence::Present;
    } else if let Some(why) = unsent {
        let message = format!("{} is not in S3: {why}; to finish it: kubectl mariadb-backup sync", report.backup);
        ports.events.send(Phase::Record, EventKind::Warned { message });
    }
    Ok(report)
}

impl Run {
    fn begin(job: &str, ports: &ConductorPorts<'_>) -> Self {
        let now = ports.clock.now();
        Self { job: job.to_owned(), backup: BackupName::at(now), now }
    }
}

/// Removes what retention no longer keeps, sends to S3 what should be there, and returns what was sent.
///
/// The backup is made and listed: nothing that goes wrong here takes that back.
async fn finish(
    made: &BackupId,
    cluster: &ClusterView,
    settings: &Settings,
    job: &str,
    ports: &ConductorPorts<'_>,
) -> Vec<BackupId> {
    match try_to_finish(made, cluster, settings, job, ports).await {
        Ok(sent) => sent,
        Err(failure) => {
            let why: Vec<_> = std::iter::once(failure.message).chain(failure.causes).collect();
            let message = format!("old backups and S3 were not put in order: {}; the next run does it", why.join(": "));
            ports.events.send(Phase::Record, EventKind::Warned { message });
            Vec::new()
        }
    }
}

async fn try_to_finish(
    made: &BackupId,
    cluster: &ClusterView,
    settings: &Settings,
    job: &str,
    ports: &ConductorPorts<'_>,
) -> Result<Vec<BackupId>, Failure> {
    let (catalogue, _) = ports.catalogue.read().await.map_err(Explain::into_failure)?;
    let inputs = keep::Inputs { catalogue: &catalogue, settings, cluster, job };
    let plan = keep::plan(&inputs, &keep::Wish::Finish(made.clone())).map_err(Explain::into_failure)?;
    if plan.batches.is_empty() {
        return Ok(Vec::new());
    }
    keep::run(&plan, ports).await.map(|summary| summary.uploaded).map_err(Explain::into_failure)
}

/// Carries a plan out.
///
/// # Errors
/// Says which part failed; in each case the replica is back, or the obligation says that it is not.
pub async fn run(plan: &BackupPlan, ports: &ConductorPorts<'_>) -> Result<Recorded, BackupError> {
    let isolated = phase1_isolate::run(plan, ports).await?;
    let copied = phase2_copy::run(plan, isolated, ports).await?;
    phase3_record::run(plan, copied, ports).await
}
