//! Settling what is owed to the cluster: by the run that owes it, or by the next one when that died.
//!
//! For a desynced replica: the runner's pod is removed and waited for, so that nothing works on the
//! replica any more; the queue is drained before the replica takes part in flow control again;
//! `wsrep_desync=OFF`; then Synced and Ready are waited for, and only then the record is cleared.

use std::time::Duration;

use crate::exit_code::ExitCode;
use crate::model::backup_id::BackupId;
use crate::model::cluster::{ClusterView, PodView};
use crate::model::event::{EventKind, Phase};
use crate::model::obligation::{Debt, Desync, Obligation, Stage};
use crate::model::order::ServerAddress;
use crate::model::outcome::Explain;
use crate::patience::patiently;
use crate::ports::conductor::ConductorPorts;
use crate::ports::{PortError, Reason};

/// How often a replica on its way back is asked.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// The pause before what did not answer is looked at again.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// A queue this short is far below where flow control begins.
const DRAINED: u64 = 8;

/// Why an obligation still stands.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// The dead run's runner may still be at work.
    #[error("cannot make sure that runner {runner} is gone")]
    RunnerLeft {
        /// The runner's pod.
        runner: String,
        /// Why.
        #[source]
        source: PortError,
    },
    /// The replica could not be brought back.
    #[error("cannot bring replica {pod} back into sync")]
    NotBack {
        /// The replica.
        pod: String,
        /// Why.
        #[source]
        source: PortError,
    },
    /// It is a restore that is owed.
    #[error("run {run} did not bring the restore of {backup} to its end; it was {}", .stage.words())]
    Restore {
        /// The run that owes.
        run: String,
        /// The backup.
        backup: BackupId,
        /// How far it came.
        stage: Stage,
    },
    /// Kubernetes could not be asked or told.
    #[error("cannot settle the obligation of run {run}")]
    Cluster {
        /// The run that owes.
        run: String,
        /// Why.
        #[source]
        source: PortError,
    },
}

impl Explain for SettleError {
    fn code(&self) -> ExitCode {
        match self {
            Self::NotBack { source, .. } if source.reason == Reason::Credentials => ExitCode::Credentials,
            Self::Restore { .. } => ExitCode::Refused,
            _ => ExitCode::FailedInCluster,
        }
    }

    fn hint(&self) -> Option<String> {
        const RECOVER: &str = "kubectl mariadb-backup recover";
        let hint = match self {
            Self::RunnerLeft { runner, .. } => format!(
                "where it is: kubectl get pod {runner} -o wide\nonce its node is back, or its node object is deleted: {RECOVER}"
            ),
            Self::NotBack { pod, source } => {
                let look = source.hint().unwrap_or_else(|| format!("what its server says: kubectl logs {pod}"));
                format!("{look}\nto try again: {RECOVER}")
            }
            Self::Restore { .. } => format!("to finish it, or bring the old cluster back: {RECOVER}"),
            Self::Cluster { .. } => format!("to try again: {RECOVER}"),
        };
        Some(hint)
    }
}

/// What has to be done about a desynced replica, from what is seen of its pod.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Settlement {
    /// The pod it was about is gone: a new server starts in sync.
    Moot(String),
    /// The replica has to be asked, and brought back.
    BringBack(ServerAddress),
}

fn judge(view: &ClusterView, pod: &str, pod_uid: &str) -> Settlement {
    match view.pod(pod) {
        None => Settlement::Moot(format!("pod {pod} is gone, and the desync with it")),
        Some(found) if found.uid != pod_uid => {
            Settlement::Moot(format!("pod {pod} was replaced, and the new server started in sync"))
        }
        Some(PodView { ip: Some(host), .. }) => {
            Settlement::BringBack(ServerAddress { host: host.clone(), port: view.server.port })
        }
        Some(_) => Settlement::Moot(format!("pod {pod} runs no server, and the next one starts in sync")),
    }
}

/// The stage of a restore that has stopped the cluster, or is about to; `None` when there is none.
///
/// # Errors
/// It cannot be asked.
pub async fn begun_restore(ports: &ConductorPorts<'_>) -> Result<Option<Stage>, PortError> {
    let view = patiently(ports, || ports.cluster.view()).await?;
    let restore = view.obligation.as_ref().and_then(|owed| owed.debt.restore());
    Ok(restore.filter(|debt| debt.has_left_proving()).map(|debt| debt.stage))
}

/// Settles an obligation and clears its record.
///
/// # Errors
/// Says what is in the way; the record stays. It always does for a restore, which only its own workflow
/// can bring to an end.
pub async fn settle(obligation: &Obligation, limit: Duration, ports: &ConductorPorts<'_>) -> Result<(), SettleError> {
    let runner = &desync(obligation)?.runner;
    patiently(ports, || ports.runners.remove(runner))
        .await
        .map_err(|source| SettleError::RunnerLeft { runner: runner.clone(), source })?;
    settle_beside_runner(obligation, limit, ports).await
}

fn desync(obligation: &Obligation) -> Result<&Desync, SettleError> {
    match &obligation.debt {
        Debt::Desync(desync) => Ok(desync),
        Debt::Restore(debt) => {
            Err(SettleError::Restore { run: obligation.run.clone(), backup: debt.backup.clone(), stage: debt.stage })
        }
    }
}

/// Settles an obligation and clears its record while its runner, which has said that it is done with
/// the replica, goes on.
///
/// # Errors
/// Says what is in the way; the record stays.
pub async fn settle_beside_runner(
    obligation: &Obligation,
    limit: Duration,
    ports: &ConductorPorts<'_>,
) -> Result<(), SettleError> {
    let owed = desync(obligation)?;
    bring_back(owed, limit, ports).await.map_err(|source| SettleError::NotBack { pod: owed.pod.clone(), source })?;
    patiently(ports, || ports.cluster.clear_obligation(&obligation.run))
        .await
        .map_err(|source| SettleError::Cluster { run: obligation.run.clone(), source })
}

/// Brings the replica back, looking at its pod anew as long as its server does not answer.
async fn bring_back(owed: &Desync, limit: Duration, ports: &ConductorPorts<'_>) -> Result<(), PortError> {
    let Desync { pod, pod_uid, gcomm_uuid, .. } = owed;
    let deadline = ports.clock.elapsed() + limit;
    loop {
        let view = patiently(ports, || ports.cluster.view()).await?;
        let server = match judge(&view, pod, pod_uid) {
            Settlement::Moot(why) => {
                ports.events.step(Phase::Copy, why);
                return Ok(());
            }
            Settlement::BringBack(server) => server,
        };
        match rejoin(pod, gcomm_uuid, &server, deadline, ports).await {
            Ok(true) => break,
            Ok(false) => {
                // If the new server is desynced, somebody else has asked for it and ends it.
                ports.events.step(Phase::Copy, format!("the server of {pod} was restarted, which ended its desync"));
                return Ok(());
            }
            Err(error) if error.reason == Reason::Unreachable && ports.clock.elapsed() < deadline => {
                ports.clock.sleep(LOOK_EVERY).await;
            }
            Err(error) => return Err(error),
        }
    }
    if ports.cluster.wait_until_ready(pod, pod_uid, limit).await? {
        ports.events.step(Phase::Copy, format!("{pod} is Synced and Ready"));
        return Ok(());
    }
    // Synced is what is owed; a probe that fails for another reason is somebody else's to mend.
    let message = format!("{pod} is Synced again, but its pod was replaced or is not Ready");
    ports.events.send(Phase::Copy, EventKind::Warned { message });
    Ok(())
}

/// Ends the desync of one member and waits until it is Synced; `false` when another one is there.
async fn rejoin(
    pod: &str,
    gcomm_uuid: &str,
    server: &ServerAddress,
    deadline: Duration,
    ports: &ConductorPorts<'_>,
) -> Result<bool, PortError> {
    loop {
        let member = ports.galera.member(server).await?;
        if member.gcomm_uuid != gcomm_uuid {
            return Ok(false);
        }
        let late = ports.clock.elapsed() >= deadline;
        if member.desync_count == 0 {
            break;
        }
        // A replica with a full queue that is no longer desynced throttles the whole cluster; one that
        // stays desynced for good is worse.
        if member.recv_queue <= DRAINED || late {
            ports.events.step(Phase::Copy, format!("bringing {pod} back: {} write-sets queued", member.recv_queue));
            if !ports.galera.set_desync_off(server, gcomm_uuid).await? {
                return Ok(false);
            }
            break;
        }
        ports.clock.sleep(ASK_EVERY).await;
    }
    wait_until_synced(server, deadline, ports).await.map(|()| true)
}

async fn wait_until_synced(
    server: &ServerAddress,
    deadline: Duration,
    ports: &ConductorPorts<'_>,
) -> Result<(), PortError> {
    loop {
        let member = ports.galera.member(server).await?;
        if member.is_synced() {
            return Ok(());
        }
        if ports.clock.elapsed() >= deadline {
            let what = format!("it is still {} with wsrep_desync_count {}", member.state, member.desync_count);
            return Err(PortError::new(Reason::TimedOut, what));
        }
        ports.clock.sleep(ASK_EVERY).await;
    }
}
