//! Comparing a store with the catalogue: every byte of every backup asked for.
//!
//! The plan says which files are expected; a runner on the store's volume reads them, and nothing
//! but its report is trusted.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::exit_code::ExitCode;
use crate::model::backup_id::BackupId;
use crate::model::catalogue::Catalogue;
use crate::model::event::{EventKind, Phase};
use crate::model::order::{CheckOrder, ORDER_VERSION, RunnerOrder, RunnerTask, VerifyRequest};
use crate::model::outcome::{End, Explain, Failure, Outcome};
use crate::model::report::CheckReport;
use crate::model::settings::Settings;
use crate::ports::conductor::{ConductorPorts, RunnerNews, RunnerSpec};
use crate::ports::{PortError, Reason};

/// Where the runner sees the store.
const STORE_PATH: &str = "/var/backup";

/// How often the catalogue is read and written again because somebody else was faster.
const WRITE_ATTEMPTS: u32 = 10;

/// A check with every choice made.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifyPlan {
    /// The backups to check.
    pub backups: Vec<BackupId>,
    /// The runner on the store's volume.
    pub runner: RunnerSpec,
    /// How long the runner may take to start.
    pub start: Duration,
}

/// Why nothing was checked, or what was found.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// No such backup.
    #[error("the catalogue has no backup {0}")]
    NoSuchBackup(BackupId),
    /// Some files are not what was recorded.
    #[error("{count} files are not what was recorded: {}", .files.join("; "))]
    Damaged {
        /// How many.
        count: u32,
        /// The first of them, with what is wrong.
        files: Vec<String>,
    },
    /// The runner could not do its work.
    #[error("checking the store failed: {}", .0.message)]
    Runner(Failure),
    /// Something at the border to the world failed.
    #[error("cannot check the store")]
    Port(#[source] PortError),
}

impl Explain for VerifyError {
    fn code(&self) -> ExitCode {
        match self {
            Self::NoSuchBackup(_) => ExitCode::NotFound,
            Self::Damaged { .. } => ExitCode::VerificationFailed,
            Self::Runner(failure) => failure.code,
            Self::Port(error) => match error.code() {
                ExitCode::Error => ExitCode::FailedInCluster,
                code => code,
            },
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoSuchBackup(_) => Some("see kubectl mariadb-backup list".to_owned()),
            Self::Damaged { .. } => Some("take a new full backup now: kubectl mariadb-backup create".to_owned()),
            Self::Runner(failure) => failure.hint.clone(),
            Self::Port(error) => error.hint(),
        }
    }
}

/// Decides which files are to be read.
///
/// # Errors
/// Names a backup that the catalogue does not have.
pub fn plan(
    catalogue: &Catalogue,
    request: &VerifyRequest,
    settings: &Settings,
    job: &str,
) -> Result<VerifyPlan, VerifyError> {
    let known = catalogue.backups();
    let backups = if request.backups.is_empty() { known.clone() } else { request.backups.clone() };
    if let Some(unknown) = backups.iter().find(|backup| !known.contains(backup)) {
        return Err(VerifyError::NoSuchBackup(unknown.clone()));
    }
    let expected: BTreeMap<_, _> = backups.iter().flat_map(|backup| catalogue.files_of(backup)).collect();
    let order = CheckOrder { store: STORE_PATH.to_owned(), expected };
    let runner = RunnerSpec {
        name: format!("{job}-runner"),
        order: RunnerOrder { version: ORDER_VERSION, task: RunnerTask::Check(order) },
        beside: None,
        store_claim: settings.store_claim.clone(),
        store_read_only: true,
        operator_secret: None,
        backup_secret: None,
    };
    Ok(VerifyPlan { backups, runner, start: settings.start_timeout })
}

/// Has the files read and enters the verdicts into the catalogue.
///
/// # Errors
/// [`VerifyError::Damaged`] when any byte is not what was recorded.
pub async fn run(plan: &VerifyPlan, ports: &ConductorPorts<'_>) -> Result<CheckReport, VerifyError> {
    ports.events.send(Phase::Verify, EventKind::Started);
    let checked = check(plan, ports).await;
    if let Err(error) = ports.runners.remove(&plan.runner.name).await {
        ports.events.send(Phase::Verify, EventKind::Warned { message: error.to_string() });
    }
    let report = checked?;
    for backup in &report.unlisted {
        let message = format!("{backup} lies in the store but is not in the catalogue");
        ports.events.send(Phase::Verify, EventKind::Warned { message });
    }
    enter(plan, &report, ports).await.map_err(VerifyError::Port)?;
    if report.bad_count > 0 {
        return Err(VerifyError::Damaged { count: report.bad_count, files: report.bad });
    }
    ports.events.send(Phase::Verify, EventKind::Finished);
    Ok(report)
}

async fn check(plan: &VerifyPlan, ports: &ConductorPorts<'_>) -> Result<CheckReport, VerifyError> {
    let mut runner = ports.runners.start(&plan.runner, plan.start).await.map_err(VerifyError::Port)?;
    loop {
        match runner.next().await.map_err(VerifyError::Port)? {
            RunnerNews::Event(event) => ports.events.send(event.phase, event.kind),
            RunnerNews::Ended { last_word, how } => return report_of(last_word.as_deref(), &how),
        }
    }
}

fn report_of(last_word: Option<&str>, how: &str) -> Result<CheckReport, VerifyError> {
    match last_word.map(serde_json::from_str::<Outcome<CheckReport>>) {
        Some(Ok(Outcome { end: End::Done(report), .. })) => Ok(report),
        Some(Ok(Outcome { end: End::Failed(failure), .. })) => Err(VerifyError::Runner(failure)),
        Some(Err(_)) | None => {
            let what = format!("the runner ended before it could report ({how})");
            Err(VerifyError::Runner(Failure::new(ExitCode::FailedInCluster, what)))
        }
    }
}

async fn enter(plan: &VerifyPlan, report: &CheckReport, ports: &ConductorPorts<'_>) -> Result<(), PortError> {
    let now = ports.clock.now();
    let mut attempt = 1;
    loop {
        let (mut catalogue, version) = ports.catalogue.read().await?;
        for backup in &plan.backups {
            catalogue.enter_verdict(backup, report.good.contains(backup), now);
        }
        match ports.catalogue.write(&catalogue, version.as_deref()).await {
            Err(error) if error.reason == Reason::Conflict && attempt < WRITE_ATTEMPTS => attempt += 1,
            written => return written,
        }
    }
}
