//! Phase 3, record: the backup is entered into the catalogue and the runner's pod is removed.
//!
//! The backup itself is whole already: its manifest lies beside it. The catalogue is an index, and
//! somebody else may be writing it at the same time.

use super::phase2_copy::Copied;
use super::{BackupError, BackupPlan};
use crate::catalogue;
use crate::model::catalogue::{Catalogue, RoomSeen};
use crate::model::event::{EventKind, Phase};
use crate::model::outcome::in_full;
use crate::model::report::CopyReport;
use crate::ports::PortError;
use crate::ports::conductor::ConductorPorts;

/// A backup that is listed, on a cluster that is owed nothing.
pub struct Recorded {
    /// The backup.
    pub report: CopyReport,
    /// Why its runner ended before S3 had it; a sentence.
    pub unsent: Option<String>,
}

/// Enters the backup as it is in the end, and removes the runner.
///
/// # Errors
/// Says that the backup is whole although it is not listed.
pub async fn run(plan: &BackupPlan, copied: Copied, ports: &ConductorPorts<'_>) -> Result<Recorded, BackupError> {
    ports.events.send(Phase::Record, EventKind::Started);
    let Copied { report, listed, unsent, owed } = copied;
    match enter(&report, ports).await {
        Ok(()) => ports.events.step(Phase::Record, format!("entered {} into the catalogue", report.backup)),
        Err(error) if listed => {
            let message = format!("{} is listed, but not what became of it last: {}", report.backup, in_full(&error));
            ports.events.send(Phase::Record, EventKind::Warned { message });
        }
        Err(source) => return Err(BackupError::Record { backup: report.backup, source }),
    }
    if let Err(error) = ports.runners.remove(&plan.runner.name).await {
        // Kubernetes removes it with the Job; nothing waits for it.
        ports.events.send(Phase::Record, EventKind::Warned { message: in_full(&error) });
    }
    ports.events.send(Phase::Record, EventKind::Finished);
    match owed {
        None => Ok(Recorded { report, unsent }),
        Some(source) => Err(BackupError::Rejoin { pod: plan.target.pod.clone(), source, whole: Some(report.backup) }),
    }
}

/// Enters a backup and the room it left, over what was entered of it before.
pub(super) async fn enter(report: &CopyReport, ports: &ConductorPorts<'_>) -> Result<(), PortError> {
    let at = ports.clock.now();
    let enter = |catalogue: &mut Catalogue| {
        catalogue.enter(report);
        if let Some((free_bytes, total_bytes)) = report.room {
            catalogue.room = Some(RoomSeen { free_bytes, total_bytes, at });
        }
    };
    catalogue::change(ports, enter).await.map(drop)
}
