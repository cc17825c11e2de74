//! Phase 2, copy: the runner desyncs its replica, copies it and brings it back; this side follows,
//! and brings the replica back itself when the runner could not.
//!
//! The phase ends with the replica Synced and Ready and the obligation cleared, also after a failed
//! copy. Where that is not possible, the obligation stays and the error says so.

use super::phase1_isolate::{Isolated, failure_of};
use super::{BackupError, BackupPlan};
use crate::exit_code::ExitCode;
use crate::model::event::{EventKind, Phase};
use crate::model::outcome::{End, Failure, Outcome};
use crate::model::report::CopyReport;
use crate::obligations::{self, SettleError};
use crate::ports::conductor::{ConductorPorts, Runner, RunnerNews};

/// A backup that lies on its volume with its manifest, and how the replica's way back went.
///
/// Made only by this phase, so that nothing can be recorded before the way back was tried.
pub struct Copied {
    pub(super) report: CopyReport,
    /// Why the replica is not surely back; a good copy is recorded all the same.
    pub(super) owed: Option<SettleError>,
}

/// Follows the copy to its end and makes sure that the replica is back.
///
/// # Errors
/// [`BackupError::Copy`] when the copy failed and the replica is back;
/// [`BackupError::Rejoin`] when it may not be.
pub async fn run(plan: &BackupPlan, isolated: Isolated, ports: &ConductorPorts<'_>) -> Result<Copied, BackupError> {
    ports.events.send(Phase::Copy, EventKind::Started);
    let Isolated { mut runner, gate } = isolated;
    let copied = tokio::select! {
        copied = follow(runner.as_mut(), ports) => copied,
        () = ports.clock.sleep(plan.limits.copy) => {
            let what = format!("runner {} is lost: no end within {} s", plan.runner.name, plan.limits.copy.as_secs());
            Err(Failure::new(ExitCode::FailedInCluster, what))
        }
    };
    // The runner has brought the replica back where it could; settling finds that out by asking, and
    // does it where the runner was killed.
    let settled = obligations::settle(&plan.obligation, plan.limits.resync, ports).await;
    drop(gate);
    match (copied, settled) {
        (Ok(report), settled) => {
            ports.events.send(Phase::Copy, EventKind::Finished);
            Ok(Copied { report, owed: settled.err() })
        }
        (Err(failure), Ok(())) => Err(BackupError::Copy { pod: plan.target.pod.clone(), failure }),
        (Err(failure), Err(source)) => {
            // Both are told: the log has the first, the outcome the one that needs somebody.
            ports.events.send(Phase::Copy, EventKind::Failed { message: failure.message });
            Err(BackupError::Rejoin { pod: plan.target.pod.clone(), source, whole: None })
        }
    }
}

async fn follow(runner: &mut dyn Runner, ports: &ConductorPorts<'_>) -> Result<CopyReport, Failure> {
    loop {
        match runner.next().await {
            Ok(RunnerNews::Event(event)) => ports.events.send(event.phase, event.kind),
            Ok(RunnerNews::Ended { last_word, how }) => return result_of(last_word.as_deref(), &how, ports),
            Err(lost) => return Err(Failure::of(&lost)),
        }
    }
}

fn result_of(last_word: Option<&str>, how: &str, ports: &ConductorPorts<'_>) -> Result<CopyReport, Failure> {
    match last_word.map(serde_json::from_str::<Outcome<CopyReport>>) {
        Some(Ok(Outcome { end: End::Done(report), warnings, .. })) => {
            for message in warnings {
                ports.events.send(Phase::Copy, EventKind::Warned { message });
            }
            Ok(report)
        }
        _ => Err(failure_of(last_word, how)),
    }
}
