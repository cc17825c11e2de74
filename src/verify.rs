//! Comparing the stores with the catalogue.
//!
//! The plan says which backups should be in which store; runners on the stores look, and nothing but
//! their reports is trusted. [`run`] is the command: it tells, and changes nothing in a store. A
//! backup begins with [`examine()`], whose runners also mend from S3 what is damaged on the volume.

mod examine;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::exit_code::ExitCode;
use crate::model::backup_id::BackupId;
use crate::model::catalogue::{Catalogue, Entry, Presence};
use crate::model::event::{EventKind, Phase};
use crate::model::order::{
    CheckOrder, Depth, ExpectedBackup, ORDER_VERSION, OnCorrupt, RunnerOrder, RunnerTask, StoreName, Stores,
    VerifyRequest,
};
use crate::model::outcome::{Explain, Failure};
use crate::model::report::CheckReport;
use crate::model::settings::{Settings, StoresWish};
use crate::ports::PortError;
use crate::ports::conductor::{ConductorPorts, RunnerSpec};
use crate::stores;
pub use crate::stores::Inputs;

pub use examine::{Examined, Judged, examine};

/// How many backups one runner checks: its order is one argument of a program, and its report a
/// termination message; both have limits that a long catalogue would break.
const BATCH: usize = 50;

/// A check with every choice made.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifyPlan {
    /// The batches, one runner after the other.
    pub batches: Vec<Batch>,
    /// How long the runner may take to start.
    pub start: Duration,
}

/// What one runner checks.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The backups, in the order of the report's verdicts.
    pub backups: Vec<ExpectedBackup>,
    /// The runner on the stores.
    pub runner: RunnerSpec,
}

/// Why nothing was checked, or what was found.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// No such backup.
    #[error("the catalogue has no backup {0}")]
    NoSuchBackup(BackupId),
    /// A store was asked for that is not used.
    #[error("the cluster does not use the store {0}")]
    NoSuchStore(&'static str),
    /// A backup was asked for that need not be in any of the stores looked into.
    #[error("backup {0} is not recorded to be in the store that was asked for")]
    NotThere(BackupId),
    /// Some files are not what was recorded.
    #[error("{count} files are not what was recorded: {}", .files.join("; "))]
    Damaged {
        /// How many.
        count: u32,
        /// The first of them, with what is wrong.
        files: Vec<String>,
    },
    /// The runner could not do its work.
    #[error("checking the stores failed: {}", .0.message)]
    Runner(Failure),
    /// The verdicts could not be entered into the catalogue.
    #[error("cannot write down what the check found")]
    Enter(#[source] PortError),
}

impl Explain for VerifyError {
    fn code(&self) -> ExitCode {
        match self {
            Self::NoSuchBackup(_) | Self::NoSuchStore(_) | Self::NotThere(_) => ExitCode::NotFound,
            Self::Damaged { .. } => ExitCode::VerificationFailed,
            Self::Runner(failure) => failure.code,
            Self::Enter(error) => match error.code() {
                ExitCode::Error => ExitCode::FailedInCluster,
                code => code,
            },
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoSuchBackup(_) | Self::NotThere(_) => Some("to see which there are: kubectl mariadb-backup list".to_owned()),
            Self::NoSuchStore(_) => Some("leave --store out, or use it: kubectl mariadb-backup setup --store both --s3-bucket NAME".to_owned()),
            Self::Damaged { .. } => Some("where one store has it whole: kubectl mariadb-backup sync; else take a new one: kubectl mariadb-backup create --on-corrupt=quarantine".to_owned()),
            Self::Runner(failure) => failure.hint.clone(),
            Self::Enter(error) => error.hint(),
        }
    }

    fn reported(&self) -> Option<&Failure> {
        match self {
            Self::Runner(failure) => Some(failure),
            _ => None,
        }
    }
}

/// What is done with what is found, and how much is looked at.
struct Manner {
    stores: Stores,
    depth: Depth,
    repair: bool,
    on_corrupt: OnCorrupt,
}

/// Decides what the command looks at.
///
/// # Errors
/// Names a backup that the catalogue does not have, and a store that is not used.
pub fn plan(inputs: &Inputs<'_>, request: &VerifyRequest) -> Result<VerifyPlan, VerifyError> {
    let Inputs { catalogue, settings, cluster, .. } = *inputs;
    let all = stores::of(settings, cluster);
    let stores = match request.store {
        None => all,
        Some(StoreName::Local) => Stores { s3: None, ..all },
        Some(StoreName::S3) => Stores { local: None, ..all },
    };
    if let (Some(store), Stores { local: None, s3: None }) = (request.store, &stores) {
        return Err(VerifyError::NoSuchStore(store.word()));
    }
    let depth = if request.deep { Depth::Full } else { Depth::Quick };
    let manner = Manner { stores, depth, repair: false, on_corrupt: OnCorrupt::Fail };
    if request.backups.is_empty() {
        return Ok(batches(inputs, &to_check(catalogue), &manner));
    }
    for backup in &request.backups {
        if !catalogue.entry(backup).is_some_and(|entry| entry.is_listed()) {
            return Err(VerifyError::NoSuchBackup(backup.clone()));
        }
        if expected(catalogue, backup, &manner.stores).is_none() {
            return Err(VerifyError::NotThere(backup.clone()));
        }
    }
    Ok(batches(inputs, &request.backups, &manner))
}

/// Decides what a backup looks at before it begins.
#[must_use]
pub fn plan_before_backup(inputs: &Inputs<'_>) -> VerifyPlan {
    let settings = inputs.settings;
    let manner = Manner {
        stores: stores::of(settings, inputs.cluster),
        depth: settings.verify,
        repair: settings.stores == StoresWish::Both,
        on_corrupt: settings.on_corrupt,
    };
    batches(inputs, &to_check(inputs.catalogue), &manner)
}

/// Returns the backups that count and were not set aside.
fn to_check(catalogue: &Catalogue) -> Vec<BackupId> {
    let set_aside = |backup: &BackupId| catalogue.entry(backup).is_some_and(|entry| entry.quarantined.is_some());
    catalogue.listed().into_iter().filter(|backup| !set_aside(backup)).collect()
}

/// Returns where a backup should be, of the stores looked into; `None` when in none of them.
fn expected(catalogue: &Catalogue, backup: &BackupId, stores: &Stores) -> Option<ExpectedBackup> {
    let entry = catalogue.entry(backup)?;
    let should_be = |entry: &Entry, store| !matches!(entry.presence(store), Presence::Absent | Presence::Unfinished);
    let local = stores.local.is_some() && should_be(&entry, StoreName::Local);
    let s3 = stores.s3.is_some() && should_be(&entry, StoreName::S3);
    (local || s3).then(|| ExpectedBackup { backup: backup.clone(), local, s3 })
}

fn batches(inputs: &Inputs<'_>, backups: &[BackupId], manner: &Manner) -> VerifyPlan {
    let Inputs { catalogue, settings, job, .. } = *inputs;
    let known = catalogue.backups();
    let expected: Vec<_> = backups.iter().filter_map(|backup| expected(catalogue, backup, &manner.stores)).collect();
    let batch = |(number, backups): (usize, &[ExpectedBackup])| {
        let sums: BTreeMap<_, _> = backups.iter().flat_map(|of| catalogue.files_of(&of.backup)).collect();
        let order = CheckOrder {
            stores: manner.stores.clone(),
            backups: backups.to_vec(),
            expected: sums,
            known: known.clone(),
            depth: manner.depth,
            repair: manner.repair,
            on_corrupt: manner.on_corrupt,
        };
        let runner = runner(format!("{job}-verify-{number}"), order, settings);
        Batch { backups: backups.to_vec(), runner }
    };
    VerifyPlan { batches: expected.chunks(BATCH).enumerate().map(batch).collect(), start: settings.start_timeout }
}

fn runner(name: String, order: CheckOrder, settings: &Settings) -> RunnerSpec {
    RunnerSpec {
        name,
        store_claim: order.stores.local.is_some().then(|| settings.store_claim.clone()),
        s3: stores::mounts(settings).filter(|_| order.stores.s3.is_some()),
        order: RunnerOrder { version: ORDER_VERSION, task: RunnerTask::Check(order) },
        beside: None,
        data: None,
        scratch: None,
        fresh_store: false,
        near: None,
        operator_secret: None,
        backup_secret: None,
    }
}

/// Has the backups looked at and enters the verdicts into the catalogue.
///
/// # Errors
/// [`VerifyError::Damaged`] when anything is not what was recorded.
pub async fn run(plan: &VerifyPlan, ports: &ConductorPorts<'_>) -> Result<CheckReport, VerifyError> {
    ports.events.send(Phase::Verify, EventKind::Started);
    if plan.batches.is_empty() {
        let message =
            "of the backups in the catalogue none is to be in the stores looked into, so none is verified".to_owned();
        ports.events.send(Phase::Verify, EventKind::Warned { message });
    }
    let report = examine(plan, ports).await?.report;
    for backup in &report.unlisted {
        let message = format!(
            "{backup} lies in a store but is not in the catalogue; to enter it: kubectl mariadb-backup verify --rebuild-catalogue"
        );
        ports.events.send(Phase::Verify, EventKind::Warned { message });
    }
    if report.bad_count > 0 {
        return Err(VerifyError::Damaged { count: report.bad_count, files: report.bad });
    }
    ports.events.send(Phase::Verify, EventKind::Finished);
    Ok(report)
}

#[cfg(test)]
mod tests;
