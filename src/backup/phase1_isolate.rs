//! Phase 1, isolate: everything that can be checked is checked, the obligation is recorded, and
//! only then may the runner desync its replica.
//!
//! What takes time (pod start, image pull, checks of grants and space) happens before the gate
//! opens, so that it is outside the desync window. Until the obligation is recorded, any failure
//! leaves the cluster as it was; from then on phase 2 has to be reached.

use std::time::Duration;

use super::target::Target;
use super::watch;
use super::{BackupError, BackupPlan, Kind, Observed, Run};
use crate::exit_code::ExitCode;
use crate::model::backup_id::BackupId;
use crate::model::catalogue::Algorithm;
use crate::model::event::{EventKind, Phase};
use crate::model::manifest::{MANIFEST_FILE, Source};
use crate::model::names;
use crate::model::obligation::{Debt, Desync, OBLIGATION_SCHEMA, Obligation};
use crate::model::order::{BackupRequest, CopyOrder, ORDER_VERSION, RunnerOrder, RunnerTask};
use crate::model::outcome::{End, Failure, Outcome, in_full};
use crate::model::report::CopyReport;
use crate::model::settings::Settings;
use crate::obligations;
use crate::ports::conductor::{Beside, ConductorPorts, Gate, Runner, RunnerNews, RunnerSpec, Sight};
use crate::ports::{PortError, Reason};
use crate::stores;

/// Where a runner may write what nobody needs after it.
pub const SCRATCH_PATH: &str = "/tmp";

/// The advisory lock on the target server whose release is the go-ahead.
pub const GATE: &str = "mariadb-backup";

/// What the plan of this phase is made from.
pub struct Inputs<'a> {
    /// What was seen.
    pub observed: &'a Observed,
    /// What was asked for.
    pub request: &'a BackupRequest,
    /// The cluster's settings.
    pub settings: &'a Settings,
    /// Who runs.
    pub run: &'a Run,
    /// The replica chosen.
    pub target: &'a Target,
    /// What kind of backup it shall be.
    pub kind: &'a Kind,
    /// How long traffic may take to leave; `None` when nothing has to.
    pub drain: Option<Duration>,
}

/// Plans the runner.
#[must_use]
pub fn runner(inputs: &Inputs<'_>) -> RunnerSpec {
    let target = inputs.target;
    RunnerSpec {
        name: format!("{}-runner-{}", inputs.run.job, target.ordinal),
        order: RunnerOrder { version: ORDER_VERSION, task: RunnerTask::Copy(Box::new(copy_order(inputs))) },
        beside: Some(Beside { pod: target.pod.clone(), claim: target.claim.clone() }),
        data: None,
        store_claim: inputs.settings.stores.local().then(|| inputs.settings.store_claim.clone()),
        s3: stores::mounts(inputs.settings),
        scratch: None,
        fresh_store: false,
        near: None,
        operator_secret: Some(inputs.settings.operator_secret.clone()),
        backup_secret: Some(inputs.settings.backup_secret.clone()),
    }
}

fn copy_order(inputs: &Inputs<'_>) -> CopyOrder {
    let settings = inputs.settings;
    let Observed { catalogue, cluster, .. } = inputs.observed;
    CopyOrder {
        backup: inputs.kind.backup.clone(),
        server: inputs.target.server.clone(),
        datadir: inputs.target.datadir.clone(),
        stores: stores::to_write(settings, cluster, catalogue),
        wanted_uploads: inputs.observed.catalogue.on_their_way(),
        parent: inputs.kind.parent.clone(),
        parent_sha256: inputs.kind.parent.as_ref().and_then(|parent| manifest_sum(inputs.observed, parent)),
        full_because: inputs.kind.full_because.clone(),
        drain_secs: inputs.drain.unwrap_or_default().as_secs(),
        throttle: settings.throttle,
        data_free_bytes: settings.data_free_bytes,
        scratch: SCRATCH_PATH.to_owned(),
        operator_credentials: names::CONDUCTOR_CREDENTIALS.to_owned(),
        backup_credentials: names::BACKUP_CREDENTIALS.to_owned(),
        gate: GATE.to_owned(),
        source: source(inputs),
        allow_unsafe: inputs.request.allow_unsafe,
        required_space_ratio: settings.required_space_ratio,
        compression_level: settings.compression_level,
        parallel: settings.parallel,
        ftwrl_wait_secs: settings.ftwrl_wait_timeout.as_secs(),
        // The runner waits longer than the conductor needs to record an obligation through a slow API.
        go_ahead_timeout_secs: (2 * settings.start_timeout).as_secs(),
        copy_timeout_secs: settings.copy_timeout.as_secs(),
        stall_timeout_secs: settings.stall_timeout.as_secs(),
        resync_timeout_secs: settings.resync_timeout.as_secs(),
    }
}

/// Returns the catalogue's sum of a backup's manifest; the original's have none that would be of use.
fn manifest_sum(observed: &Observed, backup: &BackupId) -> Option<String> {
    let sum = observed.catalogue.files.get(&format!("{}/{MANIFEST_FILE}", backup.directory()))?;
    (sum.algorithm() == Some(Algorithm::Sha256)).then(|| sum.checksum.clone())
}

fn source(inputs: &Inputs<'_>) -> Source {
    let (cluster, target) = (&inputs.observed.cluster, inputs.target);
    Source {
        namespace: cluster.namespace.clone(),
        statefulset: cluster.statefulset.clone(),
        replicas: cluster.replicas,
        pod: target.pod.clone(),
        pod_uid: target.pod_uid.clone(),
        node: target.node.clone(),
        claim: target.claim.clone(),
        claim_uid: target.claim_uid.clone(),
        server_image: cluster.server.image.clone(),
    }
}

/// Plans what is recorded before the replica is desynced.
#[must_use]
pub fn obligation(inputs: &Inputs<'_>, runner: &str) -> Obligation {
    Obligation {
        schema: OBLIGATION_SCHEMA,
        debt: Debt::Desync(Desync {
            pod: inputs.target.pod.clone(),
            pod_uid: inputs.target.pod_uid.clone(),
            gcomm_uuid: inputs.target.gcomm_uuid.clone(),
            runner: runner.to_owned(),
        }),
        run: inputs.run.job.clone(),
        since: inputs.run.now,
    }
}

/// A runner that was told to go ahead, on a replica whose desync is recorded.
///
/// Made only by this phase; what comes next has to bring the replica back.
pub struct Isolated {
    pub(super) runner: Box<dyn Runner>,
    /// Held until the runner has ended: the conductor's sign of life on the target server.
    pub(super) gate: Box<dyn Gate>,
    /// How the cluster saw the replica before it was desynced.
    pub(super) sight: Option<Sight>,
}

/// Starts the runner, waits for its checks, records the obligation, opens the gate.
///
/// # Errors
/// Whatever failed, the replica is as it was, the runner is gone and no obligation stands; where that
/// cannot be made sure of, the error is [`BackupError::Rejoin`] and the obligation stays.
pub async fn run(plan: &BackupPlan, ports: &ConductorPorts<'_>) -> Result<Isolated, BackupError> {
    ports.events.send(Phase::Isolate, EventKind::Started);
    for warning in &plan.warnings {
        ports.events.send(Phase::Isolate, EventKind::Warned { message: warning.clone() });
    }
    let target = &plan.target;
    ports.events.step(Phase::Isolate, format!("chose replica {} on node {}: {}", target.pod, target.node, target.why));
    let untouched = |source| BackupError::Isolate { pod: target.pod.clone(), source };
    let mut gate = ports.galera.close_gate(&target.server).await.map_err(|source| match source.reason {
        Reason::Conflict => BackupError::Taken { pod: target.pod.clone(), source },
        _ => untouched(source),
    })?;
    let runner = match prepare(plan, ports).await {
        Ok(runner) => runner,
        Err(error) => {
            // The gate is closed, so this runner has not touched anything.
            if let Err(left) = ports.runners.remove(&plan.runner.name).await {
                ports.events.send(Phase::Isolate, EventKind::Warned { message: in_full(&left) });
            }
            return Err(error);
        }
    };
    let sight = watch::first(&target.pod, ports).await;
    if let Err(error) = commit(plan, gate.as_mut(), ports).await {
        // An answer that is lost leaves open whether the gate is: only asking the replica tells.
        obligations::settle(&plan.obligation, plan.limits.resync, ports)
            .await
            .map_err(|source| BackupError::Rejoin { pod: target.pod.clone(), source, whole: None })?;
        return Err(untouched(error));
    }
    ports.events.send(Phase::Isolate, EventKind::Finished);
    Ok(Isolated { runner, gate, sight })
}

/// Starts the runner and waits for its checks. Changes nothing about the cluster's data or state.
async fn prepare(plan: &BackupPlan, ports: &ConductorPorts<'_>) -> Result<Box<dyn Runner>, BackupError> {
    let pod = &plan.target.pod;
    let untouched = |source| BackupError::Isolate { pod: pod.clone(), source };
    let mut runner = ports.runners.start(&plan.runner, plan.limits.start).await.map_err(untouched)?;
    ports.events.step(Phase::Isolate, format!("runner {} runs beside {pod}", plan.runner.name));
    checked(plan, runner.as_mut(), ports).await?;
    still_the_same(plan, ports).await.map_err(untouched)?;
    Ok(runner)
}

/// Records the obligation, then lets the runner go ahead.
async fn commit(plan: &BackupPlan, gate: &mut dyn Gate, ports: &ConductorPorts<'_>) -> Result<(), PortError> {
    ports.cluster.record_obligation(&plan.obligation).await?;
    ports.events.step(Phase::Isolate, format!("recorded the obligation to bring {} back", plan.target.pod));
    gate.open(plan.drain.is_some()).await
}

/// Waits until the runner has made its own checks, and passes its reports on.
async fn checked(plan: &BackupPlan, runner: &mut dyn Runner, ports: &ConductorPorts<'_>) -> Result<(), BackupError> {
    let pod = &plan.target.pod;
    let deadline = ports.clock.sleep(plan.limits.start + Duration::from_secs(5));
    tokio::pin!(deadline);
    loop {
        let news = tokio::select! {
            news = runner.next() => news.map_err(|source| BackupError::Isolate { pod: pod.clone(), source })?,
            () = &mut deadline => {
                let late = PortError::new(Reason::TimedOut, "the runner did not finish its checks in time");
                return Err(BackupError::Isolate { pod: pod.clone(), source: late });
            }
        };
        match news {
            RunnerNews::Event(event) if event.kind == EventKind::Ready => return Ok(()),
            RunnerNews::Event(event) => ports.events.deliver(Some(&plan.runner.name), event.phase, event.kind),
            RunnerNews::Ended { last_word, how } => {
                let failure = failure_of(last_word.as_deref(), &how);
                return Err(BackupError::Checks { pod: pod.clone(), failure });
            }
        }
    }
}

/// Makes sure that the pod looked at is still the pod there: another one has another server.
async fn still_the_same(plan: &BackupPlan, ports: &ConductorPorts<'_>) -> Result<(), PortError> {
    let view = ports.cluster.view().await?;
    match view.pod(&plan.target.pod) {
        Some(pod) if pod.uid == plan.target.pod_uid && pod.ready && !pod.terminating => Ok(()),
        _ => Err(PortError::new(
            Reason::Other,
            format!("replica {} was restarted, or is not Ready any more, since it was chosen", plan.target.pod),
        )
        .with_hint("try again when every replica is Ready")),
    }
}

/// Finds out why a runner ended without having done what was asked.
pub(super) fn failure_of(last_word: Option<&str>, how: &str) -> Failure {
    let killed =
        || Failure::new(ExitCode::FailedInCluster, format!("the runner ended before it could say why ({how})"));
    match last_word.map(serde_json::from_str::<Outcome<CopyReport>>) {
        Some(Ok(Outcome { end: End::Failed(failure), .. })) => failure,
        Some(Ok(_)) => Failure::new(ExitCode::FailedInCluster, "the runner ended before it was let begin"),
        Some(Err(_)) | None => killed(),
    }
}
