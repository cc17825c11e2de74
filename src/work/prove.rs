//! Proving that a backup can be restored: by doing it, in a scratch directory.
//!
//! The chain is taken out of the stores and every byte of it compared while it is unpacked; it is
//! prepared; a throwaway server without any network is booted on it, asked, and shut down. Each step
//! only begins when the one before it has proven its part: nothing of a chain that is damaged anywhere is
//! ever prepared, and nothing that was not prepared well is ever booted.
//!
//! What is left in the scratch directory is a data directory that was shut down cleanly; only where this
//! ends well is it worth anything. What becomes of it decides who ordered it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use self::error::ProveError;
use self::plan::Link;
use super::blocking::blocking;
use super::stop::Stop;
use crate::model::event::{EventKind, Phase};
use crate::model::galera::Position;
use crate::model::order::ProveOrder;
use crate::model::outcome::{Failure, Outcome, in_full};
use crate::model::report::ProveReport;
use crate::ports::prove::{ProvePorts, RUN_DIRECTORY};

mod boot;
mod check;
mod error;
mod original;
mod plan;
mod prepare;
mod survey;
mod unpack;

/// How often progress is reported.
const TICK: Duration = Duration::from_millis(300);

/// With less room than this, that is what a program has failed for.
const LEAST_ROOM: u64 = 16 << 20;

/// How far everything is.
#[derive(Default)]
struct Gauge {
    /// Bytes read from the stores.
    read: AtomicU64,
    /// Bytes to read in all.
    total: AtomicU64,
    /// Bytes unpacked.
    written: AtomicU64,
}

/// Runs the order to its end and says how it went.
pub async fn run(order: &ProveOrder, ports: &ProvePorts, stop: Stop) -> Outcome<ProveReport> {
    let events = &ports.stores.events;
    events.send(Phase::Prove, EventKind::Started);
    let mut warnings = Vec::new();
    let proven = match prove(order, ports, stop, &mut warnings).await {
        // Asked before the room is given back.
        Err(error) => Err(with_room(error, ports).await),
        proven => proven,
    };
    if order.discard || proven.is_err() {
        discard(ports, &mut warnings).await;
    }
    match proven {
        Ok(report) => {
            events.send(Phase::Prove, EventKind::Finished);
            Outcome::done(report, warnings)
        }
        Err(error) => {
            events.send(Phase::Prove, EventKind::Failed { message: error.to_string() });
            Outcome::failed(Failure::of(&error), warnings)
        }
    }
}

/// Removes what was unpacked. When even that fails, a later run's sweep does it.
async fn discard(ports: &ProvePorts, warnings: &mut Vec<String>) {
    let scratch = Arc::clone(&ports.scratch);
    if let Err(error) = blocking(move || scratch.discard()).await {
        let message = format!("what was unpacked is left behind: {}", in_full(&error));
        ports.stores.events.send(Phase::Prove, EventKind::Warned { message: message.clone() });
        warnings.push(message);
    }
}

async fn prove(
    order: &ProveOrder,
    ports: &ProvePorts,
    stop: Stop,
    warnings: &mut Vec<String>,
) -> Result<ProveReport, ProveError> {
    plan::check_order(order)?;
    let gauge = Arc::new(Gauge::default());
    let mut work = Work { order, ports, stop, gauge: Arc::clone(&gauge) };
    let clock = &ports.stores.clock;
    let begun = clock.elapsed();
    let version = ports.preparer.version().await.map_err(ProveError::Start)?;
    let links = work.unpack(version).await?;
    let unpacked = clock.elapsed();
    work.prepare(&links).await?;
    let position = work.position(&links).await?;
    let prepared = clock.elapsed();
    let mut server = boot::boot(&mut work).await?;
    let booted = clock.elapsed();
    let asked = match plan::check_series(&links, &server.version) {
        Ok(()) => check::check(&mut work, server.run.as_mut(), warnings).await,
        Err(error) => Err(error),
    };
    let checked = match asked {
        Ok(checked) => checked,
        Err(error) => {
            boot::end(server.run.as_mut(), clock.as_ref()).await;
            return Err(error);
        }
    };
    let done = clock.elapsed();
    boot::shut_down(&mut work, server.run.as_mut()).await?;
    work.tidy().await?;
    if server.history_uuid.is_none() {
        warnings.push("this image has no Galera, so the server was booted without it".to_owned());
    }
    let millis = |from: Duration, to: Duration| u64::try_from(to.saturating_sub(from).as_millis()).unwrap_or(u64::MAX);
    let last = links.last().ok_or_else(|| ProveError::Order("the order names no backup".to_owned()))?;
    Ok(ProveReport {
        backup: last.backup.clone(),
        stored_bytes: gauge.read.load(Ordering::Relaxed),
        unpacked_bytes: gauge.written.load(Ordering::Relaxed),
        tables: checked.tables,
        schemas: checked.schemas,
        server_version: plan::short(&server.version),
        history_uuid: server.history_uuid.as_deref().map(plan::short),
        position,
        logins: checked.logins,
        query_result: checked.query_result,
        unpack_millis: millis(begun, unpacked),
        prepare_millis: millis(unpacked, prepared),
        boot_millis: millis(prepared, booted),
        check_millis: millis(booted, done),
    })
}

/// Says it when there is no room left where the programs work: few of them say it themselves.
async fn with_room(error: ProveError, ports: &ProvePorts) -> ProveError {
    if !error.may_be_for_room() {
        return error;
    }
    let scratch = Arc::clone(&ports.scratch);
    match blocking(move || scratch.free_bytes()).await {
        Ok(free_bytes) if free_bytes < LEAST_ROOM => {
            ProveError::Full { place: ports.scratch.place(), free_bytes, why: Box::new(error) }
        }
        // What cannot be asked for either is no better cause.
        _ => error,
    }
}

/// What every step needs.
struct Work<'a> {
    order: &'a ProveOrder,
    ports: &'a ProvePorts,
    stop: Stop,
    gauge: Arc<Gauge>,
}

impl Work<'_> {
    /// Does what moves bytes on threads of its own, and reports how far it is.
    async fn unpack(&mut self, version: String) -> Result<Vec<Link>, ProveError> {
        let (stores, scratch) = (self.ports.stores.clone(), Arc::clone(&self.ports.scratch));
        let (order, gauge, stop) = (self.order.clone(), Arc::clone(&self.gauge), self.stop.clone());
        let key = self.ports.original_key.clone();
        let mut unpacking = tokio::task::spawn_blocking(move || {
            let mut links = survey::survey(&order, &stores, scratch.as_ref(), key.as_deref(), &gauge, &stop)?;
            // Long before a server could say so.
            plan::check_series(&links, &version)?;
            let room = unpack::Room { scratch: scratch.as_ref(), reserve_bytes: order.reserve_bytes };
            for link in &mut links {
                stores.events.step(Phase::Prove, format!("unpacking {} from {}", link.backup, link.from.word()));
                link.redo_bytes = unpack::unpack(link, &stores, &room, &unpack::Pace::new(&gauge, &stop))?;
            }
            Ok(links)
        });
        loop {
            tokio::select! {
                result = &mut unpacking => return result.unwrap_or(Err(ProveError::BrokeOff)),
                () = self.ports.stores.clock.sleep(TICK) => self.report(),
            }
        }
    }

    async fn prepare(&mut self, links: &[Link]) -> Result<(), ProveError> {
        for (number, link) in links.iter().enumerate() {
            self.ports.stores.events.step(Phase::Prove, format!("preparing {}", link.backup));
            prepare::prepare(self, link, number > 0).await?;
            if number > 0 {
                // It is used up, and the room is needed.
                self.remove(link.directory.clone()).await?;
            }
        }
        Ok(())
    }

    /// Where the chain stands: as recorded, else as the tool found it in the data while it prepared them.
    async fn position(&self, links: &[Link]) -> Result<Option<Position>, ProveError> {
        if let Some(recorded) = links.last().and_then(|link| link.position.clone()) {
            return Ok(Some(recorded));
        }
        let scratch = Arc::clone(&self.ports.scratch);
        let found = blocking(move || scratch.galera_info(plan::BASE)).await.map_err(ProveError::Scratch)?;
        Ok(found.as_deref().and_then(Position::find))
    }

    /// Removes what was only needed while the server ran. What stays is made durable once, at the end: until
    /// then nobody goes by it.
    async fn tidy(&self) -> Result<(), ProveError> {
        self.remove(RUN_DIRECTORY.to_owned()).await?;
        let scratch = Arc::clone(&self.ports.scratch);
        let stays = !self.order.discard;
        let tidied = blocking(move || {
            scratch.forget_session(plan::BASE)?;
            if stays { scratch.make_durable() } else { Ok(()) }
        });
        tidied.await.map_err(ProveError::Scratch)
    }

    async fn remove(&self, directory: String) -> Result<(), ProveError> {
        let scratch = Arc::clone(&self.ports.scratch);
        blocking(move || scratch.remove(&directory)).await.map_err(ProveError::Scratch)
    }

    /// Reports how far it is; also where no bytes move, so that silence means that the runner is gone.
    fn report(&self) {
        let done_bytes = self.gauge.read.load(Ordering::Relaxed);
        let total_bytes = self.gauge.total.load(Ordering::Relaxed).max(done_bytes);
        let written_bytes = self.gauge.written.load(Ordering::Relaxed);
        self.ports.stores.events.send(Phase::Prove, EventKind::Progress { done_bytes, total_bytes, written_bytes });
    }
}

#[cfg(test)]
mod tests;
