//! Comparing a store with the catalogue: every byte of every backup asked for.
//!
//! The plan says which files are expected; a runner on the store's volume reads them, and nothing
//! but its report is trusted.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::exit_code::ExitCode;
use crate::model::backup_id::BackupId;
use crate::model::catalogue::Catalogue;
use crate::model::cluster::ClusterView;
use crate::model::event::{EventKind, Phase};
use crate::model::order::{
    CheckOrder, Depth, ORDER_VERSION, OnCorrupt, RunnerOrder, RunnerTask, Stores, VerifyRequest,
};
use crate::model::outcome::{End, Explain, Failure, Outcome};
use crate::model::report::{CheckReport, NAMED_BACKUPS};
use crate::model::settings::Settings;
use crate::ports::conductor::{ConductorPorts, RunnerNews, RunnerSpec};
use crate::ports::{PortError, Reason};
use crate::stores;

/// How often the catalogue is read and written again because somebody else was faster.
const WRITE_ATTEMPTS: u32 = 10;

/// How many wrong files a report names.
const NAMED_FILES: usize = 5;

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
    /// The backups.
    pub backups: Vec<BackupId>,
    /// The runner on the store's volume.
    pub runner: RunnerSpec,
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

/// What the plan is made from.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// What should be there.
    pub catalogue: &'a Catalogue,
    /// The cluster's settings.
    pub settings: &'a Settings,
    /// The cluster.
    pub cluster: &'a ClusterView,
    /// The Job's name.
    pub job: &'a str,
}

/// Decides which files are to be read.
///
/// # Errors
/// Names a backup that the catalogue does not have.
pub fn plan(inputs: &Inputs<'_>, request: &VerifyRequest) -> Result<VerifyPlan, VerifyError> {
    let Inputs { catalogue, settings, cluster, job } = *inputs;
    let stores = Stores { s3: None, ..stores::of(settings, cluster) };
    let known = catalogue.backups();
    let backups = if request.backups.is_empty() { known.clone() } else { request.backups.clone() };
    if let Some(unknown) = backups.iter().find(|backup| !known.contains(backup)) {
        return Err(VerifyError::NoSuchBackup(unknown.clone()));
    }
    let batch = |(number, backups): (usize, &[BackupId])| {
        let expected: BTreeMap<_, _> = backups.iter().flat_map(|backup| catalogue.files_of(backup)).collect();
        let order = CheckOrder {
            stores: stores.clone(),
            backups: Vec::new(),
            expected,
            known: known.clone(),
            depth: Depth::Full,
            repair: false,
            on_corrupt: OnCorrupt::Fail,
        };
        let runner = runner(format!("{job}-runner-{number}"), order, settings);
        Batch { backups: backups.to_vec(), runner }
    };
    Ok(VerifyPlan { batches: backups.chunks(BATCH).enumerate().map(batch).collect(), start: settings.start_timeout })
}

fn runner(name: String, order: CheckOrder, settings: &Settings) -> RunnerSpec {
    RunnerSpec {
        name,
        order: RunnerOrder { version: ORDER_VERSION, task: RunnerTask::Check(order) },
        beside: None,
        store_claim: Some(settings.store_claim.clone()),
        s3: None,
        operator_secret: None,
        backup_secret: None,
    }
}

/// Has the files read and enters the verdicts into the catalogue.
///
/// # Errors
/// [`VerifyError::Damaged`] when any byte is not what was recorded.
pub async fn run(plan: &VerifyPlan, ports: &ConductorPorts<'_>) -> Result<CheckReport, VerifyError> {
    ports.events.send(Phase::Verify, EventKind::Started);
    let mut whole = CheckReport::default();
    for batch in &plan.batches {
        let checked = check(batch, plan.start, ports).await;
        if let Err(error) = ports.runners.remove(&batch.runner.name).await {
            ports.events.send(Phase::Verify, EventKind::Warned { message: error.to_string() });
        }
        let entered = match checked {
            Ok(report) => {
                let entered = enter(&batch.backups, &report, ports).await.map_err(VerifyError::Port);
                add(&mut whole, report);
                entered
            }
            Err(error) => Err(error),
        };
        match entered {
            // Damage that was found is the news; what else went wrong is told beside it.
            Err(error) if whole.bad_count > 0 => {
                ports.events.send(Phase::Verify, EventKind::Warned { message: error.to_string() });
                break;
            }
            entered => entered?,
        }
    }
    for backup in &whole.unlisted {
        let message = format!("{backup} lies in the store but is not in the catalogue");
        ports.events.send(Phase::Verify, EventKind::Warned { message });
    }
    if whole.bad_count > 0 {
        return Err(VerifyError::Damaged { count: whole.bad_count, files: whole.bad });
    }
    ports.events.send(Phase::Verify, EventKind::Finished);
    Ok(whole)
}

/// Adds one batch's report to the whole, which stays bounded.
fn add(whole: &mut CheckReport, batch: CheckReport) {
    whole.good.extend(batch.good);
    whole.good.truncate(NAMED_BACKUPS);
    whole.good_count += batch.good_count;
    whole.bad.extend(batch.bad);
    whole.bad.truncate(NAMED_FILES);
    whole.bad_count += batch.bad_count;
    // Every runner sees the whole store.
    whole.unlisted = batch.unlisted;
    whole.bytes += batch.bytes;
}

async fn check(batch: &Batch, start: Duration, ports: &ConductorPorts<'_>) -> Result<CheckReport, VerifyError> {
    let mut runner = ports.runners.start(&batch.runner, start).await.map_err(VerifyError::Port)?;
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

async fn enter(backups: &[BackupId], report: &CheckReport, ports: &ConductorPorts<'_>) -> Result<(), PortError> {
    let now = ports.clock.now();
    let mut attempt = 1;
    loop {
        let (mut catalogue, version) = ports.catalogue.read().await?;
        for backup in backups {
            catalogue.enter_verdict(backup, report.good.contains(backup), now);
        }
        match ports.catalogue.write(&catalogue, version.as_deref()).await {
            Err(error) if error.reason == Reason::Conflict && attempt < WRITE_ATTEMPTS => attempt += 1,
            written => return written,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::catalogue::Checksum;

    #[test]
    fn a_thousand_backups_are_checked_within_the_limits_of_arguments_and_last_words() {
        let mut catalogue = Catalogue::default();
        for second in 0..1000 {
            let time = jiff::Timestamp::from_second(1_700_000_000 + second).unwrap();
            let directory = BackupId::Full(crate::model::backup_id::BackupName::at(time)).directory();
            for file in ["backup.mbstream.zst", "manifest.json"] {
                let sum = Checksum { checksum: "a".repeat(64), algorithm: None, size: Some(1 << 40) };
                catalogue.files.insert(format!("{directory}/{file}"), sum);
            }
        }
        let settings = Settings::read("db", &BTreeMap::new(), &BTreeMap::new()).unwrap();
        let cluster = ClusterView {
            namespace: "demo".to_owned(),
            statefulset: "db".to_owned(),
            uid: "uid".to_owned(),
            replicas: 3,
            pods: Vec::new(),
            server: crate::model::cluster::ServerSpec::default(),
            obligation: None,
        };
        let inputs = Inputs { catalogue: &catalogue, settings: &settings, cluster: &cluster, job: "job" };
        let plan = plan(&inputs, &VerifyRequest::default()).unwrap();
        assert_eq!(plan.batches.iter().map(|batch| batch.backups.len()).sum::<usize>(), 1000);
        let mut whole = CheckReport::default();
        for batch in plan.batches {
            // Linux takes at most 128 KiB in one argument.
            assert!(serde_json::to_string(&batch.runner.order).unwrap().len() < 128 << 10);
            let good_count = u32::try_from(batch.backups.len()).unwrap();
            let unlisted = batch.backups[..20].to_vec();
            let report = CheckReport { good: batch.backups, good_count, unlisted, ..CheckReport::default() };
            assert!(serde_json::to_string(&Outcome::done(report.clone(), Vec::new())).unwrap().len() < 4096);
            add(&mut whole, report);
        }
        assert_eq!(whole.good_count, 1000);
        assert!(serde_json::to_string(&Outcome::done(whole, Vec::new())).unwrap().len() < 4096);
    }
}
