//! Phase 3, record: the backup is entered into the catalogue and the runner's pod is removed.
//!
//! The backup itself is whole already: its manifest lies beside it. The catalogue is an index, and
//! somebody else may be writing it at the same time.

use std::time::Duration;

use super::phase2_copy::Copied;
use super::{BackupError, BackupPlan};
use crate::model::event::{EventKind, Phase};
use crate::model::report::CopyReport;
use crate::ports::conductor::ConductorPorts;
use crate::ports::{PortError, Reason};

/// How often the catalogue is read and written again: somebody else was faster, or the API is away
/// for a moment. A backup that took hours is worth the patience.
const WRITE_ATTEMPTS: u32 = 10;

/// The pause before the API is asked again.
const PAUSE: Duration = Duration::from_secs(3);

/// Enters the backup and removes the runner.
///
/// # Errors
/// Says that the backup is whole although it is not listed.
pub async fn run(plan: &BackupPlan, copied: Copied, ports: &ConductorPorts<'_>) -> Result<CopyReport, BackupError> {
    ports.events.send(Phase::Record, EventKind::Started);
    let report = copied.report;
    enter(&report, ports).await.map_err(|source| BackupError::Record { backup: report.backup.clone(), source })?;
    ports.events.step(Phase::Record, format!("entered {} into the catalogue", report.backup));
    if let Err(error) = ports.runners.remove(&plan.runner.name).await {
        // Kubernetes removes it with the Job; nothing waits for it.
        ports.events.send(Phase::Record, EventKind::Warned { message: error.to_string() });
    }
    ports.events.send(Phase::Record, EventKind::Finished);
    match copied.owed {
        None => Ok(report),
        Some(source) => Err(BackupError::Rejoin { pod: plan.target.pod.clone(), source, whole: Some(report.backup) }),
    }
}

async fn enter(report: &CopyReport, ports: &ConductorPorts<'_>) -> Result<(), PortError> {
    let mut attempt = 1;
    loop {
        match enter_once(report, ports).await {
            Err(error) if error.reason == Reason::Conflict && attempt < WRITE_ATTEMPTS => {}
            Err(error) if error.reason == Reason::Unreachable && attempt < WRITE_ATTEMPTS => {
                ports.clock.sleep(PAUSE).await;
            }
            written => return written,
        }
        attempt += 1;
    }
}

async fn enter_once(report: &CopyReport, ports: &ConductorPorts<'_>) -> Result<(), PortError> {
    let (mut catalogue, version) = ports.catalogue.read().await?;
    catalogue.enter(report);
    ports.catalogue.write(&catalogue, version.as_deref()).await
}
