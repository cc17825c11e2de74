//! Keeping the stores as the catalogue wants them: removing, copying between them, sweeping.
//!
//! Everything on the order is tried, unless a store does not answer, and what could not be done is
//! said of each thing by itself: the next run finds it again. Room is made before it is used, and what dead runs left goes first. A
//! backup that another one still needs is never removed before that one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::check::look::{Pace, Side};
use super::stop::{self, Stop};
use super::transfer::{Copied, Route, TransferError};
use crate::exit_code::ExitCode;
use crate::model::backup_id::BackupId;
use crate::model::catalogue::Checksum;
use crate::model::event::{EventKind, Phase};
use crate::model::order::{KeepOrder, StoreName};
use crate::model::outcome::{Explain, Failure, Outcome, in_full};
use crate::model::report::{KeepReport, Marks};
use crate::ports::runner::{Store, StorePorts};
use crate::ports::{EventSink, PortError, Reason};

/// So many failures are named; all are counted.
const NAMED: usize = 10;

/// A failure is cut to so many characters: all of them have to fit a termination message.
const NAMED_CHARS: usize = 280;

/// How often progress is reported.
const TICK: Duration = Duration::from_millis(300);

/// Runs the order to its end and says how it went.
pub async fn run(order: KeepOrder, ports: &StorePorts, stop: Stop) -> Outcome<KeepReport> {
    ports.events.send(Phase::Store, EventKind::Started);
    let (read, total) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(total_bytes(&order))));
    let (in_thread, counters) = (ports.clone(), (Arc::clone(&read), Arc::clone(&total)));
    let (begun, limit) = (ports.clock.elapsed(), order.limit_secs.map(Duration::from_secs));
    let is_over =
        || stop.is_requested() || limit.is_some_and(|limit| ports.clock.elapsed().saturating_sub(begun) >= limit);
    let (stopper, in_time) = stop::channel();
    if is_over() {
        stopper.stop();
    }
    let mut keeping = tokio::task::spawn_blocking(move || {
        let pace = Pace { read: &counters.0, total: &counters.1, stop: &in_time };
        Keeper::new(&order, &in_thread, &pace).keep()
    });
    loop {
        tokio::select! {
            report = &mut keeping => return ended(report.ok(), ports.events.as_ref()),
            () = ports.clock.sleep(TICK) => {
                if is_over() {
                    stopper.stop();
                }
                let done_bytes = read.load(Ordering::Relaxed);
                let total_bytes = total.load(Ordering::Relaxed).max(done_bytes);
                ports.events.send(Phase::Store, EventKind::Progress { done_bytes, total_bytes, written_bytes: done_bytes });
            }
        }
    }
}

fn ended(report: Option<KeepReport>, events: &dyn EventSink) -> Outcome<KeepReport> {
    if let Some(report) = report {
        events.send(Phase::Store, EventKind::Finished);
        return Outcome::done(report, Vec::new());
    }
    let message = "a thread that copies between the stores ended by a fault of this program";
    events.send(Phase::Store, EventKind::Failed { message: message.to_owned() });
    Outcome::failed(Failure::new(ExitCode::FailedInCluster, message), Vec::new())
}

/// Returns the bytes to copy, as far as the catalogue tells.
fn total_bytes(order: &KeepOrder) -> u64 {
    let files = order.upload.iter().chain(&order.download).flat_map(|backup| files_of(order, backup).into_values());
    // What a catalogue says is not always what can be.
    files.filter_map(|sum| sum.size).fold(0, u64::saturating_add)
}

/// Returns what the catalogue says of the files of one backup.
fn files_of(order: &KeepOrder, backup: &BackupId) -> BTreeMap<String, Checksum> {
    let of_backup = |path: &str| BackupId::of_path(path).is_some_and(|(id, _)| id == *backup);
    order.expected.iter().filter(|(path, _)| of_backup(path)).map(|(path, sum)| (path.clone(), sum.clone())).collect()
}

/// Does the work, and keeps the account of it.
struct Keeper<'a> {
    order: &'a KeepOrder,
    ports: &'a StorePorts,
    pace: &'a Pace<'a>,
    local: Option<Side<'a>>,
    s3: Option<Side<'a>>,
    /// Stores that did not answer: what else is wanted of them waits for the next run, because each
    /// try takes its time and the cluster's Lease is held meanwhile.
    silent: BTreeSet<StoreName>,
    report: KeepReport,
}

impl<'a> Keeper<'a> {
    fn new(order: &'a KeepOrder, ports: &'a StorePorts, pace: &'a Pace<'a>) -> Self {
        let (local, s3) = Side::both(ports);
        Self { order, ports, pace, local, s3, silent: BTreeSet::new(), report: KeepReport::default() }
    }

    fn keep(mut self) -> KeepReport {
        self.report.removed = self.remove_all();
        self.sweep();
        self.report.uploaded = self.copy_all(&self.order.upload, StoreName::S3);
        self.report.downloaded = self.copy_all(&self.order.download, StoreName::Local);
        self.report.bytes = self.pace.read.load(Ordering::Relaxed);
        match self.ports.local.as_ref().map(|volume| volume.room()) {
            Some(Ok(room)) => self.report.room = Some(room),
            Some(Err(error)) => self.fail(&in_full(&error)),
            None => {}
        }
        self.report
    }

    fn fail(&mut self, what: &str) {
        let what: String = what.chars().take(NAMED_CHARS).collect();
        self.ports.events.send(Phase::Store, EventKind::Warned { message: what.clone() });
        if self.report.failed.len() < NAMED {
            self.report.failed.push(what);
        }
        self.report.failed_count += 1;
    }

    fn remove_all(&mut self) -> Marks {
        let mut left = BTreeSet::new();
        let mut marks = Marks::default();
        for backup in &self.order.remove {
            let removed = self.remove(backup, &left);
            marks.0.push(removed.is_ok());
            if let Err(why) = removed {
                self.fail(&format!("remove {backup}: {why}"));
                left.insert(backup);
            }
        }
        marks
    }

    fn remove(&mut self, backup: &BackupId, left: &BTreeSet<&BackupId>) -> Result<(), String> {
        if let Some(child) = left.iter().find(|child| builds_on(child, backup)) {
            return Err(format!("{child}, which needs it, could not be removed"));
        }
        if self.pace.stop.is_requested() {
            return Err(STOPPED.to_owned());
        }
        let mut removed = Ok(());
        for store in [StoreName::S3, StoreName::Local] {
            let side = if store == StoreName::S3 { &self.s3 } else { &self.local };
            let Some(side) = side else { continue };
            match self.unless_silent(side, |store| store.remove(backup)) {
                Ok(true) => self.ports.events.step(Phase::Store, format!("{backup} was removed from {}", store.word())),
                Ok(false) => {}
                // Where it may not be removed from S3, no other copy of it goes.
                Err(error) if error.reason == Reason::Forbidden => return Err(self.heard(store, &error)),
                Err(error) => removed = Err(self.heard(store, &error)),
            }
        }
        removed
    }

    /// Asks a store, unless it did not answer before.
    fn unless_silent<T>(
        &self,
        side: &Side<'_>,
        ask: impl FnOnce(&dyn Store) -> Result<T, PortError>,
    ) -> Result<T, PortError> {
        if self.silent.contains(&side.name) {
            return Err(PortError::new(Reason::Other, format!("{} did not answer before", side.name.word())));
        }
        ask(side.store)
    }

    /// Takes note of a store's error, and says it in one line.
    fn heard(&mut self, store: StoreName, error: &PortError) -> String {
        if matches!(error.reason, Reason::Unreachable | Reason::TimedOut) {
            self.silent.insert(store);
        }
        match error.hint().filter(|_| error.reason == Reason::Forbidden) {
            Some(hint) => format!("{}; {hint}", in_full(error)),
            None => in_full(error),
        }
    }

    /// Takes away what dead runs left. An upload that is wanted goes on from there; on the volume
    /// nothing unfinished is ever of use again.
    fn sweep(&mut self) {
        let mut wanted = self.order.wanted_uploads.clone();
        wanted.extend(self.order.upload.iter().cloned());
        let swept = [(&self.local, Vec::new()), (&self.s3, wanted)].map(|(side, wanted)| {
            let side = side.as_ref()?;
            Some((side.name, self.unless_silent(side, |store| store.sweep(&wanted))))
        });
        for (store, swept) in swept.into_iter().flatten() {
            match swept {
                Ok(names) if names.is_empty() => {}
                Ok(names) => {
                    let (store, names) = (store.word(), names.join(", "));
                    let message = format!("unfinished work of dead runs was removed from {store}: {names}");
                    self.ports.events.step(Phase::Store, message);
                }
                Err(error) => {
                    let why = self.heard(store, &error);
                    self.fail(&format!("sweep {}: {why}", store.word()));
                }
            }
        }
    }

    fn copy_all(&mut self, backups: &[BackupId], to: StoreName) -> Marks {
        let mut marks = Marks::default();
        for backup in backups {
            let copied = self.copy(backup, to);
            marks.0.push(copied.is_ok());
            if let Err(why) = copied {
                self.fail(&format!("copy {backup} to {}: {why}", to.word()));
            }
        }
        marks
    }

    fn copy(&mut self, backup: &BackupId, to: StoreName) -> Result<(), String> {
        if self.pace.stop.is_requested() {
            return Err(STOPPED.to_owned());
        }
        let (Some(local), Some(s3)) = (&self.local, &self.s3) else {
            return Err("there is only one store".to_owned());
        };
        let (from, to) = if to == StoreName::S3 { (local, s3) } else { (s3, local) };
        let copied = self
            .unless_silent(s3, |_| Ok(Route { from, to, pace: self.pace }.copy(backup, &files_of(self.order, backup))));
        let (store, from) = (to.name.word(), from.name.word());
        let message = match copied {
            Ok(Ok(Copied::New)) => format!("{backup} was copied from {from} to {store}"),
            Ok(Ok(Copied::AlreadyThere)) => format!("{backup} is in {store} already, every byte of it"),
            Ok(Ok(Copied::Replaced)) => {
                format!("{backup} was damaged in {store} and was replaced by its copy in {from}")
            }
            // Only the bucket is ever far away.
            Ok(Err(TransferError::Port(error))) | Err(error) => return Err(self.heard(StoreName::S3, &error)),
            Ok(Err(error)) => return Err(in_full(&error)),
        };
        self.ports.events.step(Phase::Store, message);
        Ok(())
    }
}

/// Why something was not begun.
const STOPPED: &str = "the run was stopped or its time was over; the next one goes on with it";

/// Whether a backup needs another one: increments need their base and what lies between.
fn builds_on(child: &BackupId, parent: &BackupId) -> bool {
    let same_chain = child.base().is_some_and(|base| base == parent.base().unwrap_or(parent.name()));
    same_chain && child.name() > parent.name()
}

#[cfg(test)]
mod tests;
