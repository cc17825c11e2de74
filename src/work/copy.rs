//! Copying one replica into the store, from the first check to the manifest.
//!
//! Checks come first and change nothing. Then the conductor's go-ahead is awaited, the replica is
//! desynced, copied and brought back, in this order and whatever happens in between; only a copy
//! that every stage calls good, of files that were the server's own to the end, is then signed off.
//! A way back that failed is no reason to throw such a copy away: it becomes a warning, and the
//! conductor, which asks the replica itself, takes it from there.
//! What a SIGKILL leaves behind is a desynced replica, for which the conductor holds an
//! obligation, and unfinished work in the store, which never counts and which the next run sweeps.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::model::catalogue::Presence;
use crate::model::event::{EventKind, Phase};
use crate::model::galera::SYNCED;
use crate::model::manifest::{DesyncTimes, MANIFEST_FILE, STREAM_FILE, ToolFile};
use crate::model::order::CopyOrder;
use crate::model::outcome::{Failure, Outcome};
use crate::model::report::CopyReport;
use crate::ports::runner::{GoAhead, PendingBackup, RunnerPorts, StoreFile};
use crate::ports::{PortError, Reason};
use crate::work::pipeline::Meter;
use crate::work::stop::Stop;

mod error;
mod grants;
mod increment;
mod preflight;
mod record;
mod rejoin;
mod window;

pub use error::{CopyError, Refusal};
pub use increment::{FoundParent, Kind};
pub use preflight::{CopyPlan, Observed, plan};
use record::Covered;
use rejoin::Rejoined;

/// How often the replica is asked whether it is desynced yet.
const POLL: Duration = Duration::from_millis(20);

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
    let mut pending = ports.store.begin(&plan.backup, plan.data_bytes).map_err(CopyError::Begin)?;
    match make(order, &plan, ports, pending.as_mut(), stop, warnings).await {
        Ok(made) => sign_off(made, pending),
        Err(error) => {
            discard(pending, ports, warnings);
            Err(error)
        }
    }
}

/// Sweeps, looks and judges, without changing anything on the server.
async fn prepare(order: &CopyOrder, ports: &RunnerPorts) -> Result<CopyPlan, CopyError> {
    // The conductor holds the gate of this server, so no other run of this cluster writes here.
    for swept in ports.store.sweep(&[]).map_err(CopyError::Check)? {
        ports.events.step(Phase::Copy, format!("removed the unfinished backup {swept} of a run that is gone"));
    }
    let found = preflight::observe(order, ports).await?;
    let plan = plan(order, &found).map_err(CopyError::Refused)?;
    ports.events.step(Phase::Copy, told(&plan));
    Ok(plan)
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

/// What a good copy leaves to be signed off.
struct Made<'a> {
    order: &'a CopyOrder,
    plan: &'a CopyPlan,
    covered: Covered,
    desync: DesyncTimes,
    started: Timestamp,
    finished: Timestamp,
}

/// Desyncs, copies and brings the replica back, the last whatever came of the others.
async fn make<'a>(
    order: &'a CopyOrder,
    plan: &'a CopyPlan,
    ports: &RunnerPorts,
    pending: &mut dyn PendingBackup,
    stop: &mut Stop,
    warnings: &mut Vec<String>,
) -> Result<Made<'a>, CopyError> {
    let sink = pending.create(STREAM_FILE).map_err(CopyError::Begin)?;
    let meter = Arc::new(Meter::new(Arc::clone(&ports.clock)));
    let (started, on) = (ports.clock.now(), ports.clock.elapsed());
    let copied = isolate_and_copy(plan, ports, sink, &meter, stop).await;
    let rejoined = rejoin::rejoin(plan, ports).await;
    let given_up = ports.clock.elapsed();
    if matches!(rejoined, Ok(Rejoined::Back { .. })) {
        ports.events.step(Phase::Copy, "the replica is Synced again".to_owned());
    }
    let covered = match copied {
        Ok(copied) => window::judge(copied).await.and_then(|passed| record::covered(plan, passed)),
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

/// Sets the replica apart and copies at once.
async fn isolate_and_copy(
    plan: &CopyPlan,
    ports: &RunnerPorts,
    sink: Box<dyn StoreFile>,
    meter: &Arc<Meter>,
    stop: &mut Stop,
) -> Result<window::Copied, CopyError> {
    ports.server.desync_on(plan.desync_limit).await.map_err(CopyError::Desync)?;
    wait_until_desynced(plan, ports).await?;
    ports.events.step(Phase::Copy, "the replica is desynced; copying".to_owned());
    Ok(window::copy(plan, ports, sink, meter, stop).await)
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
fn discard(pending: Box<dyn PendingBackup>, ports: &RunnerPorts, warnings: &mut Vec<String>) {
    if let Err(error) = pending.discard() {
        let message = format!("the unfinished backup is left for the next run to remove: {error}");
        ports.events.send(Phase::Copy, EventKind::Warned { message: message.clone() });
        warnings.push(message);
    }
}

/// Writes the small files and the manifest, and puts the backup in its place.
fn sign_off(made: Made<'_>, mut pending: Box<dyn PendingBackup>) -> Result<CopyReport, CopyError> {
    let mut small_files = BTreeMap::new();
    for file in ToolFile::ALL {
        let bytes = made.covered.passed.contents.tool_files.get(&file).map_or(&[][..], Vec::as_slice);
        let stored = pending.write(file.stored_name(), bytes).map_err(CopyError::Publish)?;
        small_files.insert(file.stored_name().to_owned(), stored);
    }
    let Made { order, plan, covered, desync, started, finished } = made;
    let stream = covered.passed.stored.clone();
    let manifest = record::manifest(record::Facts { order, plan, covered, desync, started, finished, small_files });
    let text = serde_json::to_vec_pretty(&manifest).map_err(|error| {
        CopyError::Publish(PortError::new(Reason::Other, "cannot write the manifest").caused_by(error))
    })?;
    let signed = pending.publish(MANIFEST_FILE, &text).map_err(CopyError::Publish)?;
    Ok(CopyReport {
        backup: manifest.backup,
        started,
        finished,
        stream_bytes: manifest.stream.bytes,
        stream,
        manifest: signed,
        position: manifest.origin.position,
        desync,
        local: Presence::Present,
        s3: Presence::Absent,
        full_because: manifest.full_because,
        parent: manifest.parent.map(|parent| parent.backup),
        room: None,
    })
}

#[cfg(test)]
mod tests;
