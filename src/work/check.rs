//! Reading stored files and comparing every byte with what was recorded.
//!
//! Two witnesses are heard: the catalogue in the cluster, and each backup's own manifest, which
//! vouches for the small files the catalogue leaves out. Where they disagree, that is named too.
//! Several files are read at once; a file that is wrong does not stop the others. Backups of the
//! original, which have md5 sums and no manifest, are checked by the catalogue alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::exit_code::ExitCode;
use crate::model::backup_id::BackupId;
use crate::model::event::{EventKind, Phase};
use crate::model::order::CheckOrder;
use crate::model::outcome::{Explain, Failure, Outcome};
use crate::model::report::{CheckReport, NAMED_UNLISTED};
use crate::ports::runner::Store;
use crate::ports::{Clock, EventSink, PortError, Reason};
use crate::work::stop::Stop;

mod digest;
mod list;

/// So many wrong files are named; all are counted.
const NAMED: usize = 10;

/// How often progress is reported.
const TICK: Duration = Duration::from_millis(300);

/// More readers than this gain nothing on one volume.
const MOST_READERS: usize = 8;

/// What a check needs of the world.
pub struct CheckPorts {
    /// The volume with the backups.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where reports go.
    pub events: Arc<dyn EventSink>,
}

/// Why nothing could be said about the backups.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(PortError),
    /// The run was stopped.
    #[error("stopped before every file was read")]
    Stopped,
    /// A reading thread ended without its result.
    #[error("a thread that reads files broke off")]
    BrokeOff,
}

impl Explain for CheckError {
    fn code(&self) -> ExitCode {
        match self {
            Self::Store(error) if error.reason == Reason::Missing => ExitCode::NotFound,
            Self::Store(_) | Self::Stopped | Self::BrokeOff => ExitCode::FailedInCluster,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.hint(),
            Self::Stopped | Self::BrokeOff => None,
        }
    }
}

/// What is wrong, by path.
type Findings = BTreeMap<String, String>;

/// Runs the order to its end and says how it went.
pub async fn run(order: CheckOrder, ports: &CheckPorts, stop: Stop) -> Outcome<CheckReport> {
    ports.events.send(Phase::Verify, EventKind::Started);
    match check(order, ports, stop).await {
        Ok(report) => {
            ports.events.send(Phase::Verify, EventKind::Finished);
            Outcome::done(report, Vec::new())
        }
        Err(error) => {
            ports.events.send(Phase::Verify, EventKind::Failed { message: error.to_string() });
            Outcome::failed(Failure::of(&error), Vec::new())
        }
    }
}

async fn check(order: CheckOrder, ports: &CheckPorts, stop: Stop) -> Result<CheckReport, CheckError> {
    let read = Arc::new(AtomicU64::new(0));
    let total: u64 = order.expected.values().filter_map(|sum| sum.size).sum();
    let (store, counter) = (Arc::clone(&ports.store), Arc::clone(&read));
    let mut comparing = tokio::task::spawn_blocking(move || compare(&order, store.as_ref(), &counter, &stop));
    loop {
        tokio::select! {
            result = &mut comparing => return result.unwrap_or(Err(CheckError::BrokeOff)),
            () = ports.clock.sleep(TICK) => {
                let done_bytes = read.load(Ordering::Relaxed);
                let total_bytes = total.max(done_bytes);
                ports.events.send(Phase::Verify, EventKind::Progress { done_bytes, total_bytes, written_bytes: 0 });
            }
        }
    }
}

/// Reads everything on the calling thread and its helpers.
fn compare(order: &CheckOrder, store: &dyn Store, read: &AtomicU64, stop: &Stop) -> Result<CheckReport, CheckError> {
    let present = store.backups().map_err(CheckError::Store)?;
    let list = list::make(order, store);
    let readers = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_READERS);
    let mut findings = list.findings;
    findings.extend(digest::compare_all(&list.files, store, readers, read, stop));
    if stop.is_requested() {
        return Err(CheckError::Stopped);
    }
    Ok(report(order, &findings, present, read.load(Ordering::Relaxed)))
}

fn report(order: &CheckOrder, findings: &Findings, present: Vec<BackupId>, bytes: u64) -> CheckReport {
    let id = |path: &String| BackupId::of_path(path).map(|(id, _)| id);
    let mut expected: Vec<BackupId> = order.expected.keys().filter_map(id).collect();
    expected.sort();
    expected.dedup();
    let bad_ids: Vec<BackupId> = findings.keys().filter_map(id).collect();
    let unlisted = present.into_iter().filter(|backup| !order.known.contains(backup));
    let good: Vec<BackupId> = expected.into_iter().filter(|backup| !bad_ids.contains(backup)).collect();
    CheckReport {
        good_count: u32::try_from(good.len()).unwrap_or(u32::MAX),
        good,
        bad: findings.iter().take(NAMED).map(|(path, what)| format!("{path}: {what}")).collect(),
        bad_count: u32::try_from(findings.len()).unwrap_or(u32::MAX),
        unlisted: unlisted.take(NAMED_UNLISTED).collect(),
        bytes,
        ..CheckReport::default()
    }
}

#[cfg(test)]
mod tests;
