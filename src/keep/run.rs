//! Carrying a plan out: written down, done by runners, entered.

use jiff::Timestamp;

use super::{KeepError, KeepPlan, OnFailure, summary};
use crate::catalogue;
use crate::errand;
use crate::model::backup_id::BackupId;
use crate::model::catalogue::{Catalogue, Presence, RoomSeen};
use crate::model::event::{Event, EventKind, Phase};
use crate::model::order::{KeepOrder, StoreName};
use crate::model::outcome::{Explain, Failure};
use crate::model::report::{KeepReport, KeepSummary, Marks};
use crate::ports::PortError;
use crate::ports::conductor::ConductorPorts;

/// How many backups that could not be dealt with are named.
const NAMED_UNDONE: usize = 5;

/// What was done so far.
#[derive(Default)]
struct Done {
    removed: Vec<BackupId>,
    uploaded: Vec<BackupId>,
    downloaded: Vec<BackupId>,
    bytes: u64,
}

/// Carries a plan out: writes down what is to go, has runners do the work, and enters what they did.
///
/// # Errors
/// Something asked for could not be done. After a backup that is a warning instead, and the next run
/// tries again.
pub async fn run(plan: &KeepPlan, ports: &ConductorPorts<'_>) -> Result<KeepSummary, KeepError> {
    ports.events.send(Phase::Store, EventKind::Started);
    let mut done = Done::default();
    let worked = work(plan, &mut done, ports).await;
    let freed = Some(plan.freed(&done.removed));
    let named = summary(&done.removed, &done.uploaded, &done.downloaded);
    let summary = KeepSummary { bytes: done.bytes, freed, ..named };
    match (worked, plan.on_failure) {
        (Ok(()), _) => {}
        (Err(error), OnFailure::Warn) => warn_all(&[whole_text(&error.into_failure())], ports),
        (Err(error), OnFailure::Fail) => return Err(error),
    }
    ports.events.send(Phase::Store, EventKind::Finished);
    Ok(summary)
}

async fn work(plan: &KeepPlan, done: &mut Done, ports: &ConductorPorts<'_>) -> Result<(), KeepError> {
    bury(&plan.remove, ports).await.map_err(KeepError::Bury)?;
    warn_all(&plan.notices, ports);
    let (mut undone, mut unnamed) = (plan.hopeless.clone(), 0);
    for batch in &plan.batches {
        let hear = |event: Event| errand::repeat(Event { kind: told(event.kind), ..event }, ports);
        let report: KeepReport = match errand::run(&batch.runner, plan.start, ports, hear).await {
            Ok(report) => report,
            Err(error) => {
                warn_all(&undone, ports);
                return Err(KeepError::Runner(error.into_failure()));
            }
        };
        enter(&batch.order, &report, ports).await.map_err(KeepError::Enter)?;
        done.add(&batch.order, &report);
        unnamed += usize::try_from(report.failed_count).unwrap_or_default().saturating_sub(report.failed.len());
        undone.extend(report.failed);
    }
    let asked = plan.remove.len() + plan.upload.len() + plan.download.len() + plan.hopeless.len();
    let left = asked - done.removed.len() - done.uploaded.len() - done.downloaded.len();
    if left == 0 && undone.is_empty() {
        return Ok(());
    }
    let all = (undone.len() + unnamed).max(left);
    undone.truncate(NAMED_UNDONE);
    Err(KeepError::Undone { more: all.saturating_sub(undone.len()), which: undone })
}

/// Returns what the reader is told of a runner's event: what it could not do comes again in its report.
fn told(kind: EventKind) -> EventKind {
    match kind {
        EventKind::Warned { message } => EventKind::Step { message },
        other => other,
    }
}

fn warn_all(messages: &[String], ports: &ConductorPorts<'_>) {
    for message in messages {
        ports.events.send(Phase::Store, EventKind::Warned { message: message.clone() });
    }
}

fn whole_text(failure: &Failure) -> String {
    std::iter::once(&failure.message).chain(&failure.causes).cloned().collect::<Vec<_>>().join(": ")
}

/// Says in the catalogue what is to be removed. From here on it counts as gone.
async fn bury(remove: &[BackupId], ports: &ConductorPorts<'_>) -> Result<(), PortError> {
    if remove.is_empty() {
        return Ok(());
    }
    let now = ports.clock.now();
    let bury = |catalogue: &mut Catalogue| remove.iter().for_each(|backup| catalogue.bury(backup, now));
    catalogue::change(ports, bury).await.map(drop)
}

/// Enters what a runner did.
async fn enter(order: &KeepOrder, report: &KeepReport, ports: &ConductorPorts<'_>) -> Result<(), PortError> {
    let now = ports.clock.now();
    catalogue::change(ports, |catalogue| enter_into(catalogue, order, report, now)).await.map(drop)
}

fn enter_into(catalogue: &mut Catalogue, order: &KeepOrder, report: &KeepReport, at: Timestamp) {
    for backup in marked(&order.remove, &report.removed) {
        catalogue.forget(backup);
    }
    for backup in &order.upload {
        // What was begun is finished by the next run, also where nothing of it was owed before.
        if let Some(entry) = catalogue.known(backup)
            && entry.s3 == Presence::Absent
        {
            entry.s3 = Presence::Unfinished;
        }
    }
    let uploaded = marked(&order.upload, &report.uploaded).map(|backup| (backup, StoreName::S3));
    let downloaded = marked(&order.download, &report.downloaded).map(|backup| (backup, StoreName::Local));
    for (backup, store) in uploaded.chain(downloaded) {
        let Some(entry) = catalogue.known(backup) else { continue };
        entry.set_presence(store, Presence::Present);
        if [entry.local, entry.s3].iter().all(|of| !matches!(of, Presence::Damaged | Presence::Missing)) {
            entry.damaged = None;
        }
    }
    if let Some((free_bytes, total_bytes)) = report.room {
        catalogue.room = Some(RoomSeen { free_bytes, total_bytes, at });
    }
}

/// Returns those that a report marks as done.
fn marked<'a>(asked: &'a [BackupId], marks: &'a Marks) -> impl Iterator<Item = &'a BackupId> {
    asked.iter().zip(&marks.0).filter(|(_, done)| **done).map(|(backup, _)| backup)
}

impl Done {
    fn add(&mut self, order: &KeepOrder, report: &KeepReport) {
        self.removed.extend(marked(&order.remove, &report.removed).cloned());
        self.uploaded.extend(marked(&order.upload, &report.uploaded).cloned());
        self.downloaded.extend(marked(&order.download, &report.downloaded).cloned());
        self.bytes += report.bytes;
    }
}
