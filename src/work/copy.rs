//! Copying one replica into the store, from the first check to the manifest.
//!
//! Checks come first and change nothing. Then the conductor's go-ahead is awaited, the replica is
//! desynced, copied and brought back, in this order and whatever happens in between; only a copy
//! that every stage calls good, of files that were the server's own to the end, is then signed off.
//! A way back that failed is no reason to throw such a copy away: it becomes a warning, and the
//! conductor, which asks the replica itself, takes it from there. A second store follows the first
//! one and is waited for at the very end: whatever happens to it, the first copy stays.
//! What a SIGKILL leaves behind is a desynced replica, for which the conductor holds an
//! obligation, and unfinished work in the store, which never counts and which the next run sweeps.

use std::sync::Arc;
use std::time::Duration;

use crate::model::event::{EventKind, Phase};
use crate::model::manifest::{DesyncTimes, STREAM_FILE};
use crate::model::order::CopyOrder;
use crate::model::outcome::{Failure, Outcome, in_full};
use crate::model::report::CopyReport;
use crate::ports::PortError;
use crate::ports::runner::{GoAhead, PendingBackup, RunnerPorts, StoreFile};
use crate::work::blocking::blocking;
use crate::work::pipeline::Meter;
use crate::work::stop::Stop;

mod error;
mod grants;
mod increment;
mod isolate;
mod preflight;
mod record;
mod rejoin;
mod second;
mod sign_off;
mod window;

pub use error::{CopyError, Refusal};
pub use increment::{FoundParent, Kind};
pub use preflight::{CopyPlan, Observed, plan};
use rejoin::Rejoined;
use sign_off::Made;

/// Runs the order to its end and says how it went.
pub async fn run(order: &CopyOrder, ports: &RunnerPorts, mut stop: Stop) -> Outcome<CopyReport> {
    let mut warnings = Vec::new();
    let result = copy(order, ports, &mut stop, &mut warnings).await;
    ports.server.close().await;
    match result {
        Ok(report) => {
            ports.events.send(Phase::Copy, EventKind::Finished);
            Outcome::done(report, warnings)
        }
        Err(error) => {
            ports.events.send(Phase::Copy, EventKind::Failed { message: error.to_string() });
            Outcome::failed(Failure::of(&error), warnings)
        }
    }
}

async fn copy(
    order: &CopyOrder,
    ports: &RunnerPorts,
    stop: &mut Stop,
    warnings: &mut Vec<String>,
) -> Result<CopyReport, CopyError> {
    ports.events.send(Phase::Copy, EventKind::Started);
    let plan = prepare(order, ports).await?;
    wait_for_go_ahead(order, &plan, ports, stop).await?;
    let (pending, file) = begin(&plan, ports).await?;
    let follower = second::begin(&plan, &order.wanted_uploads, ports, warnings);
    let sink = match &follower {
        Some(follower) => follower.watch(file),
        None => file,
    };
    let until = ports.clock.elapsed() + plan.copy_limit;
    let made = match make(order, &plan, ports, sink, stop, warnings).await {
        Ok(made) => made,
        Err(error) => {
            second::give_up(follower, ports).await;
            discard(pending, ports, warnings).await;
            return Err(error);
        }
    };
    match sign_off::sign_off(made, pending, ports).await {
        Ok(signed_off) => Ok(second::finish(follower, signed_off, until, ports, stop, warnings).await),
        Err(error) => {
            second::give_up(follower, ports).await;
            Err(error)
        }
    }
}

/// Begins the backup in its first store.
async fn begin(
    plan: &CopyPlan,
    ports: &RunnerPorts,
) -> Result<(Box<dyn PendingBackup>, Box<dyn StoreFile>), CopyError> {
    let (store, backup, bytes) = (Arc::clone(&ports.store), plan.backup.clone(), plan.data_bytes);
    let begin = move || {
        let mut pending = store.begin(&backup, bytes)?;
        match pending.create(STREAM_FILE) {
            Ok(file) => Ok((pending, file)),
            Err(error) => {
                // The first trouble is the one to tell.
                let _left_for_the_next_run = pending.discard();
                Err(error)
            }
        }
    };
    blocking(begin).await.map_err(CopyError::Begin)
}

/// Sweeps, looks and judges, without changing anything on the server.
async fn prepare(order: &CopyOrder, ports: &RunnerPorts) -> Result<CopyPlan, CopyError> {
    // The conductor holds the gate of this server, so no other run of this cluster writes here.
    // On the volume nothing unfinished is ever of use again; a second store is swept by its own thread.
    let wanted = if ports.volume.is_some() { Vec::new() } else { order.wanted_uploads.clone() };
    let store = Arc::clone(&ports.store);
    match blocking(move || store.sweep(&wanted)).await {
        Ok(names) => {
            for swept in names {
                ports.events.step(Phase::Copy, format!("removed the unfinished backup {swept} of a run that is gone"));
            }
        }
        Err(error) if ports.volume.is_some() => return Err(CopyError::Check(error)),
        // A bucket may allow to write and not to delete; whether it can be written is told by what follows.
        Err(error) => warn_of_sweep(&error, ports),
    }
    let found = preflight::observe(order, ports).await?;
    let plan = plan(order, &found).map_err(CopyError::Refused)?;
    ports.events.step(Phase::Copy, told(&plan));
    Ok(plan)
}

fn warn_of_sweep(error: &PortError, ports: &RunnerPorts) {
    let message = format!("unfinished work of dead runs stays in {}: {}", ports.store.place(), error::told(error));
    ports.events.send(Phase::Copy, EventKind::Warned { message });
}

/// Says what is made, and why it is not what was wished for.
fn told(plan: &CopyPlan) -> String {
    let backup = &plan.backup;
    match &plan.kind {
        Kind::Incremental { parent, .. } => format!("making {backup}, which builds on {}", parent.backup),
        Kind::Full { because: None } => format!("making the full backup {backup}"),
        Kind::Full { because: Some(why) } => {
            format!("making the full backup {backup} instead of an incremental one: {why}")
        }
    }
}

async fn wait_for_go_ahead(
    order: &CopyOrder,
    plan: &CopyPlan,
    ports: &RunnerPorts,
    stop: &mut Stop,
) -> Result<(), CopyError> {
    ports.events.send(Phase::Copy, EventKind::Ready);
    let answer = tokio::select! {
        answer = ports.server.wait_for_go_ahead(&order.gate, plan.go_ahead_limit) => answer,
        () = stop.requested() => return Err(CopyError::StoppedBefore),
    };
    match answer.map_err(CopyError::Check)? {
        GoAhead::Given => {}
        other => return Err(CopyError::NoGoAhead(other)),
    }
    let member = ports.server.member().await.map_err(CopyError::Check)?;
    if member.gcomm_uuid != plan.member.gcomm_uuid {
        return Err(CopyError::ServerRestarted);
    }
    preflight::check_member(&member).map_err(CopyError::Refused)
}

/// Desyncs, copies and brings the replica back, the last whatever came of the others.
async fn make<'a>(
    order: &'a CopyOrder,
    plan: &'a CopyPlan,
    ports: &RunnerPorts,
    sink: Box<dyn StoreFile>,
    stop: &mut Stop,
    warnings: &mut Vec<String>,
) -> Result<Made<'a>, CopyError> {
    let meter = Arc::new(Meter::new(Arc::clone(&ports.clock)));
    let (started, on) = (ports.clock.now(), ports.clock.elapsed());
    let copied = match isolate::isolate(&order.gate, plan, ports, stop, warnings).await {
        Ok(()) => Ok(window::copy(plan, ports, sink, &meter, stop).await),
        Err(error) => Err(error),
    };
    let rejoined = rejoin::rejoin(plan, ports).await;
    let given_up = ports.clock.elapsed();
    if matches!(rejoined, Ok(Rejoined::Back { .. })) {
        ports.events.step(Phase::Copy, "the replica is Synced again".to_owned());
    }
    let covered = match copied {
        Ok(copied) => {
            window::judge(copied, ports.events.as_ref()).await.and_then(|passed| record::covered(plan, passed))
        }
        Err(error) => Err(error),
    };
    let (covered, off, synced) = match (covered, rejoined) {
        (covered, Ok(Rejoined::Back { off, synced })) => (covered?, off, synced),
        (Err(_), Ok(Rejoined::Restarted)) => return Err(CopyError::ServerRestarted),
        (Err(error), Err(not)) => return Err(not.after(Some(error))),
        // The copy was good before the way back failed. How long the replica stays desynced is then
        // known no further than to here.
        (Ok(covered), Ok(Rejoined::Restarted)) => {
            warnings.push("the server was restarted after the copy, which also ended its desync".to_owned());
            (covered, given_up, given_up)
        }
        (Ok(covered), Err(not)) => {
            warnings.push(not.warning());
            (covered, given_up, given_up)
        }
    };
    window::report(plan, ports, &meter);
    let desync = times(on, off, synced, &meter);
    Ok(Made { order, plan, covered, desync, started, finished: ports.clock.now() })
}

fn times(on: Duration, off: Duration, synced: Duration, meter: &Meter) -> DesyncTimes {
    let millis = |from, to: Duration| u64::try_from(to.saturating_sub(from).as_millis()).unwrap_or(u64::MAX);
    DesyncTimes {
        window_millis: millis(on, off),
        before_millis: millis(on, meter.first_byte().unwrap_or(off)),
        after_millis: millis(meter.last_byte().unwrap_or(off), off),
        resync_millis: millis(off, synced),
    }
}

/// Removes what was begun. When even that fails, the next run's sweep does it.
async fn discard(pending: Box<dyn PendingBackup>, ports: &RunnerPorts, warnings: &mut Vec<String>) {
    if let Err(error) = blocking(move || pending.discard()).await {
        let message = format!("the unfinished backup is left for the next run to remove: {}", in_full(&error));
        ports.events.send(Phase::Copy, EventKind::Warned { message: message.clone() });
        warnings.push(message);
    }
}

#[cfg(test)]
mod tests;
