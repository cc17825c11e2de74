//! Comparing the stores with what was recorded.
//!
//! Two witnesses are heard: the catalogue in the cluster, and each backup's own manifest, which
//! vouches for the small files the catalogue leaves out. Where they disagree, that is named too.
//! Both stores are looked at at once, several files at a time; a file that is wrong does not stop the
//! others, and a store that cannot be reached takes nothing from what is known of the other one.
//! Backups of the original, which have md5 sums and no manifest, are checked by the catalogue alone.
//! How much is read is the order's choice: see [`Depth`](crate::model::order::Depth).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::exit_code::ExitCode;
use crate::model::event::{EventKind, Phase};
use crate::model::order::CheckOrder;
use crate::model::outcome::{Explain, Failure, Outcome};
use crate::model::report::CheckReport;
use crate::ports::runner::StorePorts;
use crate::ports::{PortError, Reason};
use crate::work::stop::Stop;

mod compare;
pub(super) mod digest;
pub(super) mod flaw;
pub(super) mod list;
pub(super) mod look;
mod mend;
mod report;
mod seal;

/// How often progress is reported.
const TICK: Duration = Duration::from_millis(300);

/// Why nothing could be said about the backups.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// No store can be read; of two, what the first says.
    #[error(transparent)]
    Store(PortError),
    /// The order names no store.
    #[error("the order names no store")]
    NoStore,
    /// Nothing of what was recorded is there, nor any other backup.
    #[error("none of the recorded backups is in {places}, and no other one: nothing was set aside")]
    Emptied {
        /// The stores that were looked into.
        places: String,
    },
    /// The run was stopped.
    #[error("stopped before every file was read")]
    Stopped,
    /// A thread ended without its result.
    #[error("a thread that reads files ended by a fault of this program")]
    BrokeOff,
}

impl Explain for CheckError {
    fn code(&self) -> ExitCode {
        match self {
            Self::Store(error) if error.reason == Reason::Missing => ExitCode::NotFound,
            Self::Store(error) if error.reason == Reason::Credentials => ExitCode::Credentials,
            Self::NoStore => ExitCode::Usage,
            Self::Emptied { .. } => ExitCode::VerificationFailed,
            Self::Store(_) | Self::Stopped | Self::BrokeOff => ExitCode::FailedInCluster,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.hint(),
            Self::Emptied { .. } => Some(
                "to see whether claim and bucket are the right ones: kubectl mariadb-backup status\n\
                 to make the catalogue anew where the backups are gone for good: kubectl mariadb-backup verify --rebuild-catalogue"
                    .to_owned(),
            ),
            Self::NoStore | Self::Stopped | Self::BrokeOff => None,
        }
    }
}

/// Runs the order to its end and says how it went.
pub async fn run(order: CheckOrder, ports: &StorePorts, stop: Stop) -> Outcome<CheckReport> {
    ports.events.send(Phase::Verify, EventKind::Started);
    match check(order, ports, stop).await {
        Ok((report, warnings)) => {
            ports.events.send(Phase::Verify, EventKind::Finished);
            Outcome::done(report, warnings)
        }
        Err(error) => {
            ports.events.send(Phase::Verify, EventKind::Failed { message: error.to_string() });
            Outcome::failed(Failure::of(&error), Vec::new())
        }
    }
}

async fn check(order: CheckOrder, ports: &StorePorts, stop: Stop) -> Result<(CheckReport, Vec<String>), CheckError> {
    let (read, total) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (in_thread, counters) = (ports.clone(), (Arc::clone(&read), Arc::clone(&total)));
    let mut comparing = tokio::task::spawn_blocking(move || {
        let pace = look::Pace { read: &counters.0, total: &counters.1, stop: &stop };
        compare::compare(&order, &in_thread, &pace)
    });
    loop {
        tokio::select! {
            result = &mut comparing => return result.unwrap_or(Err(CheckError::BrokeOff)),
            () = ports.clock.sleep(TICK) => {
                let done_bytes = read.load(Ordering::Relaxed);
                let total_bytes = total.load(Ordering::Relaxed).max(done_bytes);
                ports.events.send(Phase::Verify, EventKind::Progress { done_bytes, total_bytes, written_bytes: 0 });
            }
        }
    }
}

#[cfg(test)]
mod tests;
