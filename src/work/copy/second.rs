//! The second store of a backup: it follows the volume, and is waited for once the first copy counts.

use std::time::Duration;

use super::error::told;
use super::preflight::CopyPlan;
use crate::model::backup_id::BackupId;
use crate::model::catalogue::Presence;
use crate::model::event::{EventKind, Phase};
use crate::model::manifest::STREAM_FILE;
use crate::model::outcome::Explain;
use crate::model::report::CopyReport;
use crate::ports::runner::RunnerPorts;
use crate::ports::{PortError, Reason};
use crate::work::follow::{self, Follower, NotFollowed, SignedOff};
use crate::work::stop::Stop;

/// How often it is reported how far it is.
const TICK: Duration = Duration::from_millis(300);

/// A store that is told to end does so within this, or is left to itself.
const END_LIMIT: Duration = Duration::from_secs(5);

/// Begins to follow the file that was just created on the volume, where there is a second store.
pub(super) fn begin(
    plan: &CopyPlan,
    wanted: &[BackupId],
    ports: &RunnerPorts,
    warnings: &mut Vec<String>,
) -> Option<Follower> {
    let (volume, second) = (ports.volume.as_ref()?, ports.follower.as_ref()?);
    match volume.open_unfinished(&plan.backup, STREAM_FILE) {
        Ok(source) => Some(follow::start(second.clone(), plan.backup.clone(), plan.data_bytes, wanted, source)),
        Err(error) => {
            warn(format!("nothing is sent to {}: {}", second.place(), told(&error)), ports, warnings);
            None
        }
    }
}

/// Has what was sent removed, after a copy that came to nothing.
pub(super) async fn give_up(follower: Option<Follower>, ports: &RunnerPorts) {
    let Some(mut follower) = follower else { return };
    follower.give_up();
    tokio::select! {
        _ = &mut follower.finished => {}
        // What is left of it never counts; the next run that looks after the store removes it.
        () = ports.clock.sleep(END_LIMIT) => {}
    }
}

/// Lets the second store have the backup, and waits for it until the clock's elapsed time is `until`.
pub(super) async fn finish(
    follower: Option<Follower>,
    (mut report, signed): (CopyReport, SignedOff),
    until: Duration,
    ports: &RunnerPorts,
    stop: &mut Stop,
    warnings: &mut Vec<String>,
) -> CopyReport {
    let (Some(mut follower), Some(second)) = (follower, ports.follower.as_ref()) else { return report };
    report.s3 = Presence::Unfinished;
    ports.events.send(Phase::Copy, EventKind::Published { report: Box::new(report.clone()) });
    let size = signed.stream.size;
    follower.complete(signed);
    match wait(&mut follower, size, until, ports, stop).await {
        Ok(()) => {
            report.s3 = Presence::Present;
            ports.events.step(Phase::Copy, format!("{} is whole in {} too", report.backup, second.place()));
        }
        Err(NotFollowed { begun, error }) => {
            report.s3 = if begun { Presence::Unfinished } else { Presence::Absent };
            let (backup, place, why) = (&report.backup, second.place(), told(&error));
            let next = error.hint().filter(|_| error.reason == Reason::Forbidden);
            let next = next.unwrap_or_else(|| "to send it again: kubectl mariadb-backup sync".to_owned());
            let message = format!("{backup} is not in {place}: {why}; {next}");
            warn(message, ports, warnings);
        }
    }
    report
}

async fn wait(
    follower: &mut Follower,
    size: u64,
    until: Duration,
    ports: &RunnerPorts,
    stop: &mut Stop,
) -> Result<(), NotFollowed> {
    let too_late = loop {
        tokio::select! {
            ended = &mut follower.finished => return ended.unwrap_or_else(|_| Err(broke_off())),
            () = stop.requested() => break "the run was stopped",
            () = ports.clock.sleep(TICK) => {
                let sent = follower.sent_bytes();
                let progress = EventKind::Progress { done_bytes: sent, total_bytes: size, written_bytes: sent };
                ports.events.send(Phase::Store, progress);
                if ports.clock.elapsed() >= until {
                    break "the time for the whole copy is over";
                }
            }
        }
    };
    follower.leave();
    tokio::select! {
        ended = &mut follower.finished => match ended {
            // It was faster than the wish.
            Ok(Ok(())) => return Ok(()),
            Ok(Err(NotFollowed { begun: false, error })) => return Err(NotFollowed { begun: false, error }),
            _ => {}
        },
        () = ports.clock.sleep(END_LIMIT) => {}
    }
    Err(NotFollowed { begun: true, error: PortError::new(Reason::TimedOut, too_late) })
}

fn broke_off() -> NotFollowed {
    NotFollowed {
        begun: true,
        error: PortError::new(Reason::Other, "the thread that sends it ended by a fault of this program"),
    }
}

fn warn(message: String, ports: &RunnerPorts, warnings: &mut Vec<String>) {
    ports.events.send(Phase::Copy, EventKind::Warned { message: message.clone() });
    warnings.push(message);
}
