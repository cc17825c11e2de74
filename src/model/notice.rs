//! What Kubernetes' own Events say of a run, where `kubectl describe statefulset` shows them.
//!
//! The reasons are a fixed list, because people filter and alert by them; the sentence is for people
//! and may change.

use std::time::Duration;

use jiff::Timestamp;

use super::outcome::Failure;
use super::report::{CopyReport, RunReport};
use super::{bytes, span};
use crate::exit_code::ExitCode;

/// What Kubernetes takes as the text of an Event.
const LONGEST_BYTES: usize = 1024;

/// The words of tasks that change or prove something, and what the reasons of their runs begin with.
pub const TOLD: [(&str, &str); 8] = [
    ("backup", "Backup"),
    ("verify", "Verify"),
    ("drill", "Drill"),
    ("restore", "Restore"),
    ("sync", "Sync"),
    ("delete", "Delete"),
    ("prune", "Prune"),
    ("recover", "Recover"),
];

/// Something to tell about a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The reason, in CamelCase.
    pub reason: String,
    /// Whether a person should look.
    pub is_warning: bool,
    /// A sentence for people.
    pub message: String,
    /// When it happened.
    pub at: Timestamp,
}

/// The turns of a run that are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It holds the Lease and begins to work.
    Started,
    /// It did what was asked.
    Completed,
    /// It did, and something should be known.
    CompletedWithWarnings,
    /// It did not do what was asked.
    Failed,
    /// A restore failed, and the old cluster is back.
    RolledBack,
}

impl Turn {
    /// All turns, in order, with the end of the reason and what it means.
    pub const ALL: [(Self, &'static str, &'static str); 5] = [
        (Self::Started, "Started", "the run holds the cluster's Lease and begins to work"),
        (Self::Completed, "Completed", "it did what was asked"),
        (Self::CompletedWithWarnings, "CompletedWithWarnings", "it did, and the warnings in its log should be read"),
        (Self::Failed, "Failed", "it did not; the message says why, and the next command to type"),
        (Self::RolledBack, "RolledBack", "a restore failed and the old cluster is back"),
    ];

    fn word(self) -> &'static str {
        Self::ALL.iter().find(|(turn, ..)| *turn == self).map_or("", |(_, word, _)| word)
    }

    fn of(done: &Result<RunReport, Failure>, has_warnings: bool) -> Self {
        match done {
            Ok(_) if has_warnings => Self::CompletedWithWarnings,
            Ok(_) => Self::Completed,
            Err(failure) if failure.code == ExitCode::RolledBack => Self::RolledBack,
            Err(_) => Self::Failed,
        }
    }
}

/// A run, as far as it is told to those who watch the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its Job.
    pub job: String,
    /// The word for its task.
    pub task: &'static str,
    /// Its namespace.
    pub namespace: String,
    /// Its StatefulSet.
    pub statefulset: String,
    /// When it began.
    pub began: Timestamp,
}

impl Run {
    fn reason(&self, turn: Turn) -> String {
        let noun = TOLD.iter().find(|(task, _)| *task == self.task).map_or("Run", |(_, noun)| noun);
        format!("{noun}{}", turn.word())
    }

    /// Says that the run begins.
    #[must_use]
    pub fn started(&self, at: Timestamp) -> Notice {
        let message = format!("run {} begins: {}", self.job, self.task);
        Notice { reason: self.reason(Turn::Started), is_warning: false, message, at }
    }

    /// Says how the run ended.
    #[must_use]
    pub fn ended(&self, done: &Result<RunReport, Failure>, has_warnings: bool, at: Timestamp) -> Notice {
        let turn = Turn::of(done, has_warnings);
        let took = span::human(Duration::try_from(at.duration_since(self.began)).unwrap_or_default());
        let logs = format!("kubectl mariadb-backup logs {} -n {}", self.job, self.namespace);
        let text = match done {
            Ok(report) if has_warnings => format!("{}; took {took}; for its warnings: {logs}", sentence(report)),
            Ok(report) => format!("{}; took {took}; run {}", sentence(report), self.job),
            Err(failure) => failed(failure, &took, &logs),
        };
        Notice { reason: self.reason(turn), is_warning: turn != Turn::Completed, message: cut(text, LONGEST_BYTES), at }
    }
}

/// What failed, why and what to type next, which is whole however long the reasons are.
fn failed(failure: &Failure, took: &str, logs: &str) -> String {
    let end = |next: &str| format!("; after {took}; next: {next}");
    let (reasons, whole) = (reasons(failure), end(&next(failure, logs)));
    let has_room = whole.len() <= LONGEST_BYTES.saturating_sub(reasons.len()).max(LONGEST_BYTES / 2);
    let end = if has_room { whole } else { end(logs) };
    cut(reasons, LONGEST_BYTES - end.len()) + &end
}

/// What failed and why, the root of it last.
fn reasons(failure: &Failure) -> String {
    [&failure.message].into_iter().chain(&failure.causes).map(String::as_str).collect::<Vec<_>>().join(": ")
}

/// What to type next: what the failure itself knows, and where the whole story is.
fn next(failure: &Failure, logs: &str) -> String {
    match &failure.hint {
        Some(hint) => format!("{hint}; the whole story: {logs}"),
        None => logs.to_owned(),
    }
}

/// One sentence about what came of a run.
fn sentence(report: &RunReport) -> String {
    match report {
        RunReport::Backup(report) => copied(report),
        RunReport::Verify(report) => {
            let are = if report.good_count == 1 { "backup is" } else { "backups are" };
            format!("{} {are} as recorded, {} read", report.good_count, bytes::human(report.bytes))
        }
        RunReport::Drill(report) => {
            format!("backup {} boots, {} tables open", report.proof.backup.name(), report.proof.tables)
        }
        RunReport::Restore(report) if report.is_chosen => {
            format!("started from what {} had; backup {} was not restored", report.leader, report.backup.name())
        }
        RunReport::Restore(report) => format!(
            "set back to backup {}, outage {}, all {} replicas after {}",
            report.backup.name(),
            millis(report.outage_millis),
            report.replicas,
            millis(report.full_strength_millis)
        ),
        RunReport::Keep(summary) => format!(
            "{} backups removed, {} copied to S3 and {} to the local store ({})",
            summary.removed_count,
            summary.uploaded_count,
            summary.downloaded_count,
            bytes::human(summary.bytes)
        ),
        RunReport::Recover(report) => match &report.what {
            Some(what) => format!("settled: {what}"),
            None => "nothing was owed".to_owned(),
        },
        RunReport::Preview(_) | RunReport::Status(_) | RunReport::Inventory(_) => "looked".to_owned(),
    }
}

fn copied(report: &CopyReport) -> String {
    let kind = if report.backup.base().is_some() { "incremental" } else { "full" };
    format!(
        "{kind} backup {}: {} copied, {} stored, replica desynced for {}",
        report.backup.name(),
        bytes::human(report.stream_bytes),
        bytes::human(report.stream.size),
        millis(report.desync.window_millis)
    )
}

fn millis(millis: u64) -> String {
    span::human(Duration::from_millis(millis))
}

/// Cuts a text to so many bytes, between characters; its beginning says what failed.
fn cut(text: String, longest: usize) -> String {
    if text.len() <= longest {
        return text;
    }
    let end = text.floor_char_boundary(longest - '…'.len_utf8());
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests;
