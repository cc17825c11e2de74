//! Phase 2, copy: the runner desyncs its replica, copies it and brings it back; this side follows,
//! and brings the replica back itself when the runner could not.
//!
//! Where the backup also goes to S3, it counts as soon as it is whole on the volume: it is entered
//! and the obligation cleared while the runner still sends. The phase ends with the replica Synced
//! and Ready and the obligation cleared, also after a failed copy. Where that is not possible, the
//! obligation stays and the error says so.

use super::phase1_isolate::{Isolated, failure_of};
use super::{BackupError, BackupPlan, phase3_record, watch};
use crate::errand::{self, AtWork};
use crate::exit_code::ExitCode;
use crate::model::catalogue::Presence;
use crate::model::event::{Event, EventKind, Phase};
use crate::model::outcome::{End, Failure, Outcome};
use crate::model::report::CopyReport;
use crate::obligations::{self, SettleError};
use crate::ports::conductor::{ConductorPorts, Runner, RunnerNews};

/// A backup that lies in its first store with its manifest, and how the replica's way back went.
///
/// Made only by this phase, so that nothing can be recorded before the way back was tried.
pub struct Copied {
    pub(super) report: CopyReport,
    /// Whether the catalogue lists it already.
    pub(super) listed: bool,
    /// Why its runner ended before S3 had it; a sentence.
    pub(super) unsent: Option<String>,
    /// Why the replica is not surely back; a good copy is recorded all the same.
    pub(super) owed: Option<SettleError>,
}

/// How far a runner has come.
enum Reached {
    /// The backup counts, and the runner goes on.
    Published(Box<CopyReport>),
    /// It has ended.
    End(Box<Result<CopyReport, Failure>>),
}

/// Follows the copy to its end and makes sure that the replica is back.
///
/// # Errors
/// [`BackupError::Copy`] when the copy failed and the replica is back;
/// [`BackupError::Rejoin`] when it may not be.
pub async fn run(plan: &BackupPlan, isolated: Isolated, ports: &ConductorPorts<'_>) -> Result<Copied, BackupError> {
    ports.events.send(Phase::Copy, EventKind::Started);
    let Isolated { mut runner, mut gate, sight } = isolated;
    let deadline = ports.clock.sleep(plan.limits.copy);
    tokio::pin!(deadline);
    let at_work = AtWork::new(&plan.runner.name, ports.events);
    let mut news = News { runner: runner.as_mut(), at_work, warned: Vec::new() };
    let reached = tokio::select! {
        reached = news.follow(ports) => reached,
        never = watch::target(plan, sight, gate.as_mut(), ports) => match never {},
        () = &mut deadline => Reached::End(Box::new(Err(lost(plan)))),
    };
    let done = match reached {
        Reached::Published(report) => {
            let rest = async {
                tokio::select! {
                    end = news.follow_to_end(ports) => end,
                    () = &mut deadline => Err(lost(plan)),
                }
            };
            published(plan, *report, rest, ports).await
        }
        Reached::End(copied) => ended(plan, *copied, ports).await,
    };
    drop(gate);
    let copied = done?;
    ports.events.send(Phase::Copy, EventKind::Finished);
    Ok(copied)
}

fn lost(plan: &BackupPlan) -> Failure {
    let what = format!("runner {} is lost: no end within {} s", plan.runner.name, plan.limits.copy.as_secs());
    Failure::new(ExitCode::FailedInCluster, what)
}

/// Settles after a runner that has ended, or was lost.
async fn ended(
    plan: &BackupPlan,
    copied: Result<CopyReport, Failure>,
    ports: &ConductorPorts<'_>,
) -> Result<Copied, BackupError> {
    // The runner has brought the replica back where it could; settling finds that out by asking, and
    // does it where the runner was killed.
    let settled = obligations::settle(&plan.obligation, plan.limits.resync, ports).await;
    match (copied, settled) {
        (Ok(report), settled) => Ok(Copied { report, listed: false, unsent: None, owed: settled.err() }),
        (Err(failure), Ok(())) => Err(BackupError::Copy { pod: plan.target.pod.clone(), failure }),
        (Err(failure), Err(source)) => {
            // Both are told: the log has the first, the outcome the one that needs somebody.
            ports.events.send(Phase::Copy, EventKind::Failed { message: failure.message });
            Err(BackupError::Rejoin { pod: plan.target.pod.clone(), source, whole: None })
        }
    }
}

/// Clears the obligation and enters the backup while its runner still sends it to S3.
async fn published(
    plan: &BackupPlan,
    report: CopyReport,
    rest: impl Future<Output = Result<CopyReport, Failure>>,
    ports: &ConductorPorts<'_>,
) -> Result<Copied, BackupError> {
    let meanwhile = async {
        let settled = obligations::settle_beside_runner(&plan.obligation, plan.limits.resync, ports).await;
        // Tried again in phase 3 where it fails now.
        (settled, phase3_record::enter(&report, ports).await.is_ok())
    };
    let ((settled, listed), end) = tokio::join!(meanwhile, rest);
    let (report, unsent) = match end {
        Ok(report) => (report, None),
        Err(failure) => (CopyReport { s3: Presence::Unfinished, ..report }, Some(not_sent(&failure))),
    };
    let owed = match settled {
        Ok(()) => None,
        // With the runner out of the way, once more.
        Err(_) => obligations::settle(&plan.obligation, plan.limits.resync, ports).await.err(),
    };
    Ok(Copied { report, listed, unsent, owed })
}

fn not_sent(failure: &Failure) -> String {
    let why: Vec<_> = std::iter::once(&failure.message).chain(&failure.causes).map(String::as_str).collect();
    format!("its runner did not finish the upload ({})", why.join(": "))
}

/// What comes from a runner, passed on.
struct News<'a> {
    runner: &'a mut dyn Runner,
    at_work: AtWork<'a>,
    /// What it has warned of on the way: its last word says the same once more.
    warned: Vec<String>,
}

impl News<'_> {
    async fn follow(&mut self, ports: &ConductorPorts<'_>) -> Reached {
        loop {
            match self.runner.next().await {
                Ok(RunnerNews::Event(event)) => match self.at_work.named(event) {
                    Event { kind: EventKind::Published { report }, .. } => return Reached::Published(report),
                    event => self.pass_on(event, ports),
                },
                Ok(RunnerNews::Ended { last_word, how }) => {
                    return self.ended(self.result_of(last_word.as_deref(), &how, ports));
                }
                Err(lost) => return self.ended(Err(Failure::of(&lost))),
            }
        }
    }

    async fn follow_to_end(&mut self, ports: &ConductorPorts<'_>) -> Result<CopyReport, Failure> {
        loop {
            if let Reached::End(end) = self.follow(ports).await {
                return *end;
            }
        }
    }

    fn pass_on(&mut self, event: Event, ports: &ConductorPorts<'_>) {
        if let EventKind::Warned { message } = &event.kind {
            self.warned.push(message.clone());
        }
        errand::repeat(event, ports);
    }

    fn ended(&mut self, end: Result<CopyReport, Failure>) -> Reached {
        self.at_work.end(end.as_ref().err().map(|failure| failure.message.clone()));
        Reached::End(Box::new(end))
    }

    fn result_of(&self, last_word: Option<&str>, how: &str, ports: &ConductorPorts<'_>) -> Result<CopyReport, Failure> {
        match last_word.map(serde_json::from_str::<Outcome<CopyReport>>) {
            Some(Ok(Outcome { end: End::Done(report), warnings, .. })) => {
                for message in warnings.into_iter().filter(|warning| !self.warned.contains(warning)) {
                    ports.events.send(Phase::Copy, EventKind::Warned { message });
                }
                Ok(report)
            }
            _ => Err(failure_of(last_word, how)),
        }
    }
}
