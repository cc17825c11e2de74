//! What monitoring is told of a cluster's backups: kept beside the cluster, for scrapers to read.
//!
//! A run ends before anybody scrapes it, so its figures are left in a ConfigMap: once as a document that
//! the next run goes on with, and once as the text that Prometheus reads. What happened before is kept
//! until something newer takes its place: a failed run does not make the last good one forgotten.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::catalogue::{Catalogue, RoomSeen};
use super::chain;
use super::notice::Run;
use super::outcome::Failure;
use super::report::{CopyReport, RestoreReport, RunReport};
use crate::exit_code::ExitCode;

mod text;
pub use text::{FAMILIES, Family};

/// The ConfigMap's key with the text for Prometheus.
pub const TEXT_KEY: &str = "metrics.prom";

/// The ConfigMap's key with what the next run goes on with.
pub const FIGURES_KEY: &str = "figures.json";

/// All figures of one cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Figures {
    /// The run that holds the Lease; `None` when the last one has ended.
    pub running: Option<Running>,
    /// The last ended run of each task, by the task's word.
    pub last: BTreeMap<String, LastRun>,
    /// The last run of each task that failed, whatever came after it.
    pub failures: BTreeMap<String, FailedRun>,
    /// When a run of each task last did what was asked.
    pub success: BTreeMap<String, Timestamp>,
    /// The last copy of each kind.
    pub copies: BTreeMap<Kind, Copy>,
    /// The last restore.
    pub restore: Option<Restored>,
    /// What the catalogue held.
    pub stock: Option<Stock>,
    /// What is owed to the cluster.
    pub owed: Owed,
}

/// Kinds of backups, as the label of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Everything.
    Full,
    /// What changed.
    Incremental,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Incremental => "incremental",
        }
    }
}

/// A run at work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Its Job.
    pub job: String,
    /// The word for its task.
    pub task: String,
    /// Since when.
    pub since: Timestamp,
}

/// A run that ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastRun {
    /// Its Job.
    pub job: String,
    /// When it ended.
    pub ended: Timestamp,
    /// How long it took.
    pub took_millis: u64,
    /// Its exit code.
    pub code: u8,
}

/// A run that did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedRun {
    /// Its Job.
    pub job: String,
    /// The word for its task.
    pub task: String,
    /// When it ended.
    pub ended: Timestamp,
    /// Its exit code.
    pub code: u8,
    /// Why, on one line.
    pub why: String,
}

/// A copy that became a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Copy {
    /// How long it took, from its first byte to its manifest.
    pub took_millis: u64,
    /// Bytes copied, before compression.
    pub copied_bytes: u64,
    /// Bytes stored.
    pub stored_bytes: u64,
    /// How long the replica was desynced.
    pub desync_millis: u64,
}

impl Copy {
    fn of(report: &CopyReport) -> Self {
        Self {
            took_millis: millis_between(report.started, report.finished),
            copied_bytes: report.stream_bytes,
            stored_bytes: report.stream.size,
            desync_millis: report.desync.window_millis,
        }
    }
}

/// A restore that was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Restored {
    /// From the order to stop to the first replica serving.
    pub outage_millis: u64,
    /// From the order to stop to all of them serving.
    pub full_strength_millis: u64,
}

impl Restored {
    fn of(report: &RestoreReport) -> Self {
        Self { outage_millis: report.outage_millis, full_strength_millis: report.full_strength_millis }
    }
}

/// What the catalogue held when it was last looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stock {
    /// How many backups of each kind there are.
    pub count: BTreeMap<Kind, u32>,
    /// When the newest of each kind that can be restored was begun.
    pub newest: BTreeMap<Kind, Timestamp>,
    /// Room on the volume of backups.
    pub room: Option<RoomSeen>,
}

impl Stock {
    /// Takes stock of a catalogue.
    #[must_use]
    pub fn of(catalogue: &Catalogue) -> Self {
        let count = [(Kind::Full, 0), (Kind::Incremental, 0)].into();
        let mut stock = Self { room: catalogue.room, count, ..Self::default() };
        let listed: Vec<_> = catalogue.listed().into_iter().collect();
        // From the newest back, so that of many backups few chains are looked at.
        for backup in listed.iter().rev() {
            let kind = if backup.base().is_some() { Kind::Incremental } else { Kind::Full };
            *stock.count.entry(kind).or_default() += 1;
            if !stock.newest.contains_key(&kind) && chain::of(catalogue, backup).is_ok() {
                stock.newest.insert(kind, backup.name().time());
            }
        }
        stock
    }
}

/// What is owed to the cluster, as far as was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Owed {
    /// Nothing.
    #[default]
    Nothing,
    /// Something, since then.
    Since(Timestamp),
}

/// How a run ended, for its figures.
#[derive(Clone, Copy, Debug)]
pub struct Ending<'a> {
    /// What came of it.
    pub done: &'a Result<RunReport, Failure>,
    /// Whether it warned of something.
    pub has_warnings: bool,
    /// When.
    pub at: Timestamp,
}

impl Ending<'_> {
    fn code(&self) -> ExitCode {
        match self.done {
            Ok(_) if self.has_warnings => ExitCode::DoneWithWarnings,
            Ok(_) => ExitCode::Done,
            Err(failure) => failure.code,
        }
    }
}

impl Figures {
    /// Enters that a run begins to work.
    pub fn begin(&mut self, run: &Run) {
        self.running = Some(Running { job: run.job.clone(), task: run.task.to_owned(), since: run.began });
    }

    /// Enters how a run ended. One that never held the Lease ends nobody else's work.
    pub fn end(&mut self, run: &Run, ending: &Ending<'_>) {
        self.running = self.running.take().filter(|running| running.job != run.job);
        let last = LastRun {
            job: run.job.clone(),
            ended: ending.at,
            took_millis: millis_between(run.began, ending.at),
            code: ending.code().number(),
        };
        let report = match ending.done {
            Ok(report) => report,
            // Whoever was kept out by another run has neither done nor failed at anything.
            Err(failure) if failure.code == ExitCode::Locked => return,
            // Nor has a drill that was given a query which is none.
            Err(failure) if failure.code == ExitCode::Usage && run.task == "drill" => return,
            Err(failure) => {
                let (job, task) = (run.job.clone(), run.task.to_owned());
                let (code, why) = (failure.code.number(), failure.in_short());
                let failed = FailedRun { job, task, ended: ending.at, code, why };
                self.failures.insert(run.task.to_owned(), failed);
                self.last.insert(run.task.to_owned(), last);
                return;
            }
        };
        self.last.insert(run.task.to_owned(), last);
        self.success.insert(run.task.to_owned(), ending.at);
        match report {
            RunReport::Backup(report) => {
                let kind = if report.backup.base().is_some() { Kind::Incremental } else { Kind::Full };
                self.copies.insert(kind, Copy::of(report));
            }
            RunReport::Restore(report) if !report.is_chosen => self.restore = Some(Restored::of(report)),
            _ => {}
        }
    }

    /// Reads the ConfigMap's data; what cannot be read is begun anew.
    #[must_use]
    pub fn read(data: &BTreeMap<String, String>) -> Self {
        data.get(FIGURES_KEY).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// Writes the ConfigMap's data.
    #[must_use]
    pub fn write(&self, namespace: &str, statefulset: &str) -> BTreeMap<String, String> {
        let document = serde_json::to_string(self).expect("figures are maps of strings and numbers");
        BTreeMap::from([
            (FIGURES_KEY.to_owned(), document),
            (TEXT_KEY.to_owned(), text::of(self, namespace, statefulset)),
        ])
    }
}

fn millis_between(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.duration_since(from).as_millis()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
