//! Setting the replica apart: desync, and, where it serves, the wait until traffic has left.

use std::time::Duration;

use super::error::CopyError;
use super::preflight::CopyPlan;
use crate::model::event::{EventKind, Phase};
use crate::model::galera::SYNCED;
use crate::ports::runner::RunnerPorts;
use crate::work::stop::Stop;

/// How often the replica is asked whether it is desynced yet.
const POLL: Duration = Duration::from_millis(20);

/// Desyncs the replica; when this returns, the copy may begin at once.
pub(super) async fn isolate(
    gate: &str,
    plan: &CopyPlan,
    ports: &RunnerPorts,
    stop: &mut Stop,
    warnings: &mut Vec<String>,
) -> Result<(), CopyError> {
    ports.server.desync_on(plan.desync_limit).await.map_err(CopyError::Desync)?;
    wait_until_desynced(plan, ports).await?;
    if let Some(limit) = plan.drain_limit {
        wait_for_drain(gate, limit, ports, stop, warnings).await?;
    }
    ports.events.step(Phase::Copy, "the replica is desynced; copying".to_owned());
    Ok(())
}

async fn wait_until_desynced(plan: &CopyPlan, ports: &RunnerPorts) -> Result<(), CopyError> {
    let begun = ports.clock.elapsed();
    loop {
        let member = ports.server.member().await.map_err(CopyError::Desync)?;
        // What the state is called differs between versions; that it is no longer Synced does not.
        if member.desync_count > 0 && member.state != SYNCED {
            return Ok(());
        }
        if ports.clock.elapsed().saturating_sub(begun) >= plan.desync_limit {
            return Err(CopyError::NotDesynced { state: member.state, secs: plan.desync_limit.as_secs() });
        }
        ports.clock.sleep(POLL).await;
    }
}

async fn wait_for_drain(
    gate: &str,
    limit: Duration,
    ports: &RunnerPorts,
    stop: &mut Stop,
    warnings: &mut Vec<String>,
) -> Result<(), CopyError> {
    ports.events.step(Phase::Copy, "the replica is desynced; waiting for traffic to leave it".to_owned());
    let drained = tokio::select! {
        drained = ports.server.wait_for_drain(gate, limit) => drained.map_err(CopyError::Desync)?,
        () = stop.requested() => return Err(CopyError::Stopped),
    };
    if !drained {
        let secs = limit.as_secs();
        let message = format!("traffic had not left the replica {secs} seconds after its desync; copied all the same");
        ports.events.send(Phase::Copy, EventKind::Warned { message: message.clone() });
        warnings.push(message);
    }
    Ok(())
}
