//! The desync window: what happens while the replica does not hold the group back.
//!
//! Only the copy itself is in here. [`copy`] begins with a replica that is desynced and returns as
//! soon as mariadb-backup is done with it, however that ended; compressing and writing the rest
//! goes on meanwhile and is awaited later, outside.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::error::{CopyError, Refusal, told};
use super::preflight::CopyPlan;
use crate::model::event::{EventKind, Phase};
use crate::model::galera::Member;
use crate::ports::runner::{EngineEnd, EngineRun, RunnerPorts, StoreFile};
use crate::ports::{Clock, EventSink, PortError, Reason};
use crate::work::pipeline::{self, Meter, Passed, PipelineError, Running};
use crate::work::stop::Stop;
use crate::work::xbstream::StreamError;

/// How often progress is reported and the limits are looked at.
const TICK: Duration = Duration::from_millis(300);

/// How often the server is asked whether it is still there.
const PULSE: Duration = Duration::from_secs(1);

/// So many unanswered pulses in a row mean that the server is gone.
const PULSES_MISSED: u32 = 3;

/// mariadb-backup ends within this after SIGINT, or is killed.
const INTERRUPT_LIMIT: Duration = Duration::from_secs(5);

/// The pipe is empty within this after the tool's end.
const LAST_BYTES_LIMIT: Duration = Duration::from_mins(1);

/// A copy that mariadb-backup is done with.
pub(super) struct Copied {
    /// Whether it went well as far as the replica is concerned.
    pub engine: Result<EngineEnd, CopyError>,
    /// The pipeline, still finishing; `None` when it was never started.
    pub finished: Option<oneshot::Receiver<Result<Passed, PipelineError>>>,
}

/// Copies, and ends mariadb-backup when anything goes wrong.
pub(super) async fn copy(
    plan: &CopyPlan,
    ports: &RunnerPorts,
    sink: Box<dyn StoreFile>,
    meter: &Arc<Meter>,
    stop: &mut Stop,
) -> Copied {
    let mut run = match ports.engine.start(plan.kind.since()).await {
        Ok(run) => run,
        Err(error) => return Copied { engine: Err(CopyError::Start(error)), finished: None },
    };
    let Some(stream) = run.stream() else {
        let error = PortError::new(Reason::Other, "the stream of mariadb-backup is not there");
        return Copied { engine: Err(CopyError::Start(error)), finished: None };
    };
    let settings = pipeline::Settings::for_this_machine(plan.compression_level, plan.kind.required_members());
    let Running { stream_over, finished } = pipeline::start(stream, sink, settings, Arc::clone(meter));
    let engine = match watch(plan, ports, run.as_mut(), meter, stop).await {
        // Right at its end: what becomes of the files later is no concern of this copy.
        Ok(end) if ended_well(&end) => check_same_files(plan, ports).map(|()| end),
        Ok(end) => Ok(end),
        Err(cause) => {
            end_early(run.as_mut(), ports.clock.as_ref()).await;
            if !matches!(cause, CopyError::ServerGone(_) | CopyError::ServerRestarted) {
                end_sessions(ports).await;
            }
            Err(cause)
        }
    };
    tokio::select! {
        // An error means that the pipeline broke off, which `finished` tells better.
        _ = stream_over => {}
        () = ports.clock.sleep(LAST_BYTES_LIMIT) => {}
    }
    Copied { engine, finished: Some(finished) }
}

/// Waits for the tool's end, or for a reason not to.
async fn watch(
    plan: &CopyPlan,
    ports: &RunnerPorts,
    run: &mut dyn EngineRun,
    meter: &Meter,
    stop: &mut Stop,
) -> Result<EngineEnd, CopyError> {
    let pulse = pulse(&plan.member.gcomm_uuid, ports);
    tokio::pin!(pulse);
    let begun = ports.clock.elapsed();
    let mut last = Seen { bytes: 0, at: begun };
    loop {
        tokio::select! {
            end = run.wait() => return end.map_err(CopyError::Start),
            () = stop.requested() => return Err(CopyError::Stopped),
            gone = &mut pulse => return Err(gone),
            () = ports.clock.sleep(TICK) => {
                report(plan, ports, meter);
                last = last.look(meter.read_bytes(), ports.clock.elapsed());
                check_limits(plan, begun, &last, ports.clock.elapsed())?;
                check_data_volume(plan, ports)?;
            }
        }
    }
}

/// When the byte count last changed.
struct Seen {
    bytes: u64,
    at: Duration,
}

impl Seen {
    fn look(self, bytes: u64, now: Duration) -> Self {
        if bytes == self.bytes { self } else { Self { bytes, at: now } }
    }
}

fn check_limits(plan: &CopyPlan, begun: Duration, last: &Seen, now: Duration) -> Result<(), CopyError> {
    if now.saturating_sub(last.at) >= plan.stall_limit {
        return Err(CopyError::Stalled { secs: plan.stall_limit.as_secs() });
    }
    if now.saturating_sub(begun) >= plan.copy_limit {
        return Err(CopyError::TookTooLong { secs: plan.copy_limit.as_secs() });
    }
    Ok(())
}

/// A server whose data volume is full stops for good; a copy that is given up costs nothing.
fn check_data_volume(plan: &CopyPlan, ports: &RunnerPorts) -> Result<(), CopyError> {
    match ports.data.free_bytes() {
        Ok(free_bytes) if free_bytes < plan.data_free_bytes => {
            Err(CopyError::DataVolumeFull { free_bytes, least_bytes: plan.data_free_bytes })
        }
        // What cannot be asked for once is no reason to give a good copy up.
        _ => Ok(()),
    }
}

/// Reports how far the pipeline is. How much has changed since a parent is known when it is copied, not before.
pub(super) fn report(plan: &CopyPlan, ports: &RunnerPorts, meter: &Meter) {
    let done_bytes = meter.read_bytes();
    let total_bytes = if plan.kind.since().is_some() { 0 } else { plan.data_bytes.max(done_bytes) };
    let progress = EventKind::Progress { done_bytes, total_bytes, written_bytes: meter.written_bytes() };
    ports.events.send(Phase::Copy, progress);
}

/// Returns when the server is no longer the one the copy began with.
///
/// The tool itself would notice only at its next statement, which can be an hour away.
async fn pulse(gcomm_uuid: &str, ports: &RunnerPorts) -> CopyError {
    let mut missed = 0;
    loop {
        ports.clock.sleep(PULSE).await;
        match ports.server.pulse().await {
            Ok(found) if found == gcomm_uuid => missed = 0,
            Ok(_) => return CopyError::ServerRestarted,
            // Each try is a new connection: one that was killed, or refused once, says nothing yet.
            Err(_) if missed + 1 < PULSES_MISSED => missed += 1,
            Err(error) => return CopyError::ServerGone(error),
        }
    }
}

/// Ends the tool: SIGINT, which it heeds at once, then SIGKILL. SIGTERM it blocks.
async fn end_early(run: &mut dyn EngineRun, clock: &dyn Clock) {
    run.interrupt();
    let ended = tokio::select! {
        _ = run.wait() => true,
        () = clock.sleep(INTERRUPT_LIMIT) => false,
    };
    if !ended {
        run.kill();
        tokio::select! {
            _ = run.wait() => {}
            () = clock.sleep(INTERRUPT_LIMIT) => {}
        }
    }
}

/// Makes sure that nothing the tool held on the server outlives it.
async fn end_sessions(ports: &RunnerPorts) {
    match ports.server.end_copy_sessions().await {
        Ok(0) => {}
        Ok(count) => {
            ports.events.step(Phase::Copy, format!("ended {count} connections mariadb-backup left on the server"));
        }
        Err(error) => {
            let message = format!(
                "the server may still be held by mariadb-backup, which is gone: {}; in SQL: SHOW FULL PROCESSLIST, and \
                 KILL its connection",
                told(&error)
            );
            ports.events.send(Phase::Copy, EventKind::Warned { message });
        }
    }
}

/// Whether the tool says that its copy is good.
fn ended_well(end: &EngineEnd) -> bool {
    end.exit_ok && end.completed
}

/// The files must still be those of the server that was locked while they were read.
fn check_same_files(plan: &CopyPlan, ports: &RunnerPorts) -> Result<(), CopyError> {
    let files = ports.data.member_id().map_err(CopyError::Publish)?;
    let incarnation = ports.data.incarnation().map_err(CopyError::Publish)?;
    let Member { gcomm_uuid: server, datadir, .. } = plan.member.clone();
    let refusal = if files.as_ref() != Some(&server) {
        Refusal::OtherServersFiles { datadir, files: files.unwrap_or_else(|| "none".to_owned()), server }
    } else if incarnation != plan.incarnation {
        Refusal::OtherIncarnation { datadir }
    } else {
        return Ok(());
    };
    let error = PortError::new(Reason::Conflict, "the files changed hands during the copy");
    Err(CopyError::Publish(error.caused_by(refusal)))
}

/// Brings the tool's word and the pipeline's together: only both make a copy.
pub(super) async fn judge(copied: Copied, events: &dyn EventSink) -> Result<Passed, CopyError> {
    let passed = match copied.finished {
        Some(finished) => finished.await.unwrap_or(Err(PipelineError::BrokeOff)).map_err(CopyError::Pipeline),
        None => Err(CopyError::Pipeline(PipelineError::BrokeOff)),
    };
    let end = copied.engine?;
    if ended_well(&end) {
        return passed;
    }
    events.said(Phase::Copy, "mariadb-backup", end.last_lines);
    let how = if end.exit_ok { "exit code 0, but without its mark of success".to_owned() } else { end.how };
    match passed {
        // The tool also fails when nobody takes its bytes any more; then that is the cause.
        Err(CopyError::Pipeline(error)) if !is_cut(&error) => Err(CopyError::Pipeline(error)),
        _ => Err(CopyError::Engine { how, complaints: end.complaints }),
    }
}

/// Whether the stream merely ended early, which is what a tool that fails looks like from here.
fn is_cut(error: &PipelineError) -> bool {
    use StreamError::{CutBetweenChunks, CutInChunk};
    matches!(error, PipelineError::Stream(CutInChunk { .. } | CutBetweenChunks { .. }))
}
