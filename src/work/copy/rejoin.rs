//! The replica's way back, after every copy, also after one that failed.
//!
//! A full receive queue would make a rejoining member slow down the whole group, so the queue
//! drains first. OFF is only ever sent to the server that was desynced: a restart ends the desync
//! by itself, and another server at the same address owes us nothing.

use std::time::Duration;

use super::error::{CopyError, told};
use super::preflight::CopyPlan;
use crate::model::event::{EventKind, Phase};
use crate::model::galera::Member;
use crate::ports::PortError;
use crate::ports::runner::{Identity, RunnerPorts};

/// A queue this short is far below where flow control begins.
const DRAINED: u64 = 8;

/// How often the state is asked for.
const POLL: Duration = Duration::from_millis(50);

/// How often a server that does not answer is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// For how long it is tried.
const UNREACHABLE_LIMIT: Duration = Duration::from_secs(10);

/// How the way back ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rejoined {
    /// The replica is Synced again.
    Back {
        /// When OFF was sent, by the clock's elapsed time.
        off: Duration,
        /// When it was seen Synced, likewise.
        synced: Duration,
    },
    /// Another server answers; there is nothing to take back.
    Restarted,
}

/// What stood in the way.
pub(super) struct NotRejoined {
    why: String,
    source: Option<PortError>,
}

impl NotRejoined {
    /// Makes the run's error of it, with the copy's own error if there was one.
    pub(super) fn after(self, copy: Option<CopyError>) -> CopyError {
        CopyError::NotRejoined { why: self.why, copy: copy.map(Box::new), source: self.source }
    }

    /// Tells it beside a copy that is good all the same.
    pub(super) fn warning(self) -> String {
        told(&self.after(None))
    }
}

/// Brings the replica back.
pub(super) async fn rejoin(plan: &CopyPlan, ports: &RunnerPorts) -> Result<Rejoined, NotRejoined> {
    let drained = drain(plan, ports).await?;
    let off = ports.clock.elapsed();
    match drained {
        Drained::Restarted => Ok(Rejoined::Restarted),
        Drained::NothingOwed => Ok(Rejoined::Back { off, synced: off }),
        Drained::Ready => match set_off(plan, ports).await? {
            Identity::Other => Ok(Rejoined::Restarted),
            Identity::Same => wait_until_synced(plan, ports, off).await,
        },
    }
}

/// What the wait for the queue found.
enum Drained {
    /// OFF can be sent.
    Ready,
    /// The replica is Synced; the desync never took hold.
    NothingOwed,
    /// Another server answers.
    Restarted,
}

async fn drain(plan: &CopyPlan, ports: &RunnerPorts) -> Result<Drained, NotRejoined> {
    let begun = ports.clock.elapsed();
    loop {
        let member = ask(ports).await?;
        if member.gcomm_uuid != plan.member.gcomm_uuid {
            return Ok(Drained::Restarted);
        }
        if member.is_synced() {
            return Ok(Drained::NothingOwed);
        }
        if member.recv_queue <= DRAINED {
            return Ok(Drained::Ready);
        }
        if ports.clock.elapsed().saturating_sub(begun) >= plan.resync_limit {
            // Staying desynced for good would be worse than a group that is slow for a while.
            let message = format!("{} write-sets still wait on the replica; it rejoins with them", member.recv_queue);
            ports.events.send(Phase::Copy, EventKind::Warned { message });
            return Ok(Drained::Ready);
        }
        ports.clock.sleep(POLL).await;
    }
}

/// Asks the server for its state, patiently.
async fn ask(ports: &RunnerPorts) -> Result<Member, NotRejoined> {
    let begun = ports.clock.elapsed();
    loop {
        match ports.server.member().await {
            Ok(member) => return Ok(member),
            Err(error) if ports.clock.elapsed().saturating_sub(begun) >= UNREACHABLE_LIMIT => {
                return Err(NotRejoined { why: "its server does not answer".to_owned(), source: Some(error) });
            }
            Err(_) => ports.clock.sleep(RETRY).await,
        }
    }
}

/// Sends OFF until it is answered.
async fn set_off(plan: &CopyPlan, ports: &RunnerPorts) -> Result<Identity, NotRejoined> {
    let begun = ports.clock.elapsed();
    loop {
        match ports.server.desync_off(&plan.member.gcomm_uuid, plan.desync_limit).await {
            Ok(identity) => return Ok(identity),
            Err(error) if ports.clock.elapsed().saturating_sub(begun) >= UNREACHABLE_LIMIT => {
                return Err(NotRejoined {
                    why: "its server did not take wsrep_desync=OFF".to_owned(),
                    source: Some(error),
                });
            }
            Err(_) => ports.clock.sleep(RETRY).await,
        }
    }
}

async fn wait_until_synced(plan: &CopyPlan, ports: &RunnerPorts, off: Duration) -> Result<Rejoined, NotRejoined> {
    loop {
        let member = ask(ports).await?;
        let now = ports.clock.elapsed();
        if member.gcomm_uuid != plan.member.gcomm_uuid {
            return Ok(Rejoined::Restarted);
        }
        if member.is_synced() {
            return Ok(Rejoined::Back { off, synced: now });
        }
        if now.saturating_sub(off) >= plan.resync_limit {
            let (state, count) = (member.state, member.desync_count);
            let secs = plan.resync_limit.as_secs();
            let why = format!("it is {state} (wsrep_desync_count {count}) {secs} seconds after wsrep_desync=OFF");
            return Err(NotRejoined { why, source: None });
        }
        ports.clock.sleep(POLL).await;
    }
}
