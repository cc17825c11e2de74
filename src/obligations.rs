//! Settling what is owed to the cluster: by the run that owes it, or by the next one when that died.
//!
//! For a desynced replica: the runner's pod is removed and waited for, so that nothing works on the
//! replica any more; the queue is drained before the replica takes part in flow control again;
//! `wsrep_desync=OFF`; then Synced and Ready are waited for, and only then the record is cleared.

use std::time::Duration;

use crate::exit_code::ExitCode;
use crate::model::cluster::ClusterView;
use crate::model::event::{EventKind, Phase};
use crate::model::galera::Member;
use crate::model::obligation::{Debt, Obligation};
use crate::model::order::ServerAddress;
use crate::model::outcome::Explain;
use crate::ports::conductor::ConductorPorts;
use crate::ports::{PortError, Reason};

/// How often a replica on its way back is asked.
const ASK_EVERY: Duration = Duration::from_millis(200);

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
        ExitCode::FailedInCluster
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::RunnerLeft { runner, .. } => {
                format!(
                    "see kubectl get pod {runner} -o wide; when its node is back, kubectl mariadb-backup create settles the rest"
                )
            }
            Self::NotBack { pod, .. } => {
                format!("see kubectl logs {pod}; the next kubectl mariadb-backup create tries again")
            }
            Self::Cluster { .. } => "the next kubectl mariadb-backup create tries again".to_owned(),
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
    /// The pod is there but has no address to ask it at.
    Unreachable,
}

fn judge(view: &ClusterView, pod: &str, pod_uid: &str) -> Settlement {
    match view.pod(pod) {
        None => Settlement::Moot(format!("pod {pod} is gone, and the desync with it")),
        Some(found) if found.uid != pod_uid => {
            Settlement::Moot(format!("pod {pod} was replaced, and the new server started in sync"))
        }
        Some(found) => match &found.ip {
            Some(host) => Settlement::BringBack(ServerAddress { host: host.clone(), port: view.server.port }),
            None => Settlement::Unreachable,
        },
    }
}

/// Settles an obligation and clears its record.
///
/// # Errors
/// Says what is in the way; the record stays.
pub async fn settle(obligation: &Obligation, limit: Duration, ports: &ConductorPorts<'_>) -> Result<(), SettleError> {
    let Debt::Desync { pod, pod_uid, runner } = &obligation.debt;
    let in_cluster = |source| SettleError::Cluster { run: obligation.run.clone(), source };
    ports.runners.remove(runner).await.map_err(|source| SettleError::RunnerLeft { runner: runner.clone(), source })?;
    let view = ports.cluster.view().await.map_err(in_cluster)?;
    match judge(&view, pod, pod_uid) {
        Settlement::Moot(why) => ports.events.step(Phase::Copy, why),
        Settlement::BringBack(server) => bring_back(pod, pod_uid, &server, limit, ports)
            .await
            .map_err(|source| SettleError::NotBack { pod: pod.clone(), source })?,
        Settlement::Unreachable => {
            let source = PortError::new(Reason::Unreachable, "its pod has no address");
            return Err(SettleError::NotBack { pod: pod.clone(), source });
        }
    }
    ports.cluster.clear_obligation(&obligation.run).await.map_err(in_cluster)
}

async fn bring_back(
    pod: &str,
    pod_uid: &str,
    server: &ServerAddress,
    limit: Duration,
    ports: &ConductorPorts<'_>,
) -> Result<(), PortError> {
    let member = wait_for_member(server, limit, ports, |_| true).await?;
    if member.desync_count > 0 {
        ports.events.step(Phase::Copy, format!("bringing {pod} back: {} write-sets queued", member.recv_queue));
        // A replica with a full queue that is no longer desynced throttles the whole cluster.
        wait_for_member(server, limit, ports, |member| member.recv_queue == 0).await?;
        ports.galera.set_desync_off(server).await?;
    }
    wait_for_member(server, limit, ports, Member::is_synced).await?;
    if ports.cluster.wait_until_ready(pod, pod_uid, limit).await? {
        ports.events.step(Phase::Copy, format!("{pod} is Synced and Ready"));
        return Ok(());
    }
    // Synced is what is owed; a probe that fails for another reason is somebody else's to mend.
    let message = format!("{pod} is Synced again, but its pod did not become Ready within {} s", limit.as_secs());
    ports.events.send(Phase::Copy, EventKind::Warned { message });
    Ok(())
}

/// Asks a member until it is as wanted; an answer that does not come counts as "not yet".
async fn wait_for_member(
    server: &ServerAddress,
    limit: Duration,
    ports: &ConductorPorts<'_>,
    wanted: impl Fn(&Member) -> bool,
) -> Result<Member, PortError> {
    let deadline = ports.clock.now() + jiff::SignedDuration::try_from(limit).unwrap_or(jiff::SignedDuration::MAX);
    loop {
        let answer = ports.galera.member(server).await;
        match answer {
            Ok(member) if wanted(&member) => return Ok(member),
            Err(error) if error.reason == Reason::Credentials => return Err(error),
            _ if ports.clock.now() < deadline => ports.clock.sleep(ASK_EVERY).await,
            Ok(member) => {
                let what = format!(
                    "after {} s it is still {} with {} write-sets queued and wsrep_desync_count {}",
                    limit.as_secs(),
                    member.state,
                    member.recv_queue,
                    member.desync_count
                );
                return Err(PortError::new(Reason::TimedOut, what));
            }
            Err(error) => return Err(error),
        }
    }
}
