//! What is done to one data volume while no server holds it.
//!
//! A restore's old data, its proven copy and whatever is on its way out lie in a directory of their own
//! beside the data, each under the name of the run that owes the restore, so that every act can be done
//! again after it was broken off anywhere. Names change in one step; what has to be copied is copied under
//! another name first, where the volume has room for one beside the data. Where it has none, the file
//! without which no server starts is written last.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use self::empty::OF_THE_FILE_SYSTEM;
use self::error::RefillError;
use super::stop::Stop;
use crate::model::event::{EventKind, Phase};
use crate::model::galera::SavedState;
use crate::model::names::RESTORE_DIRECTORY;
use crate::model::order::{RefillAct, RefillOrder};
use crate::model::outcome::{Failure, Outcome};
use crate::model::report::VolumeReport;
use crate::ports::refill::{DataFiles, RefillPorts};

mod empty;
mod error;
mod lend;
mod put_back;
mod switch;

/// How often progress is reported.
const TICK: Duration = Duration::from_millis(300);

/// Runs the order to its end and says how it went.
pub async fn run(order: &RefillOrder, ports: &RefillPorts, stop: Stop) -> Outcome<VolumeReport> {
    let begun = ports.clock.elapsed();
    match refill(order, ports, stop).await {
        Ok(mut report) => {
            let took = ports.clock.elapsed().saturating_sub(begun);
            report.took_millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            Outcome::done(report, Vec::new())
        }
        Err(error) => Outcome::failed(Failure::of(&error), Vec::new()),
    }
}

async fn refill(order: &RefillOrder, ports: &RefillPorts, mut stop: Stop) -> Result<VolumeReport, RefillError> {
    if let Some(place) = &order.go_ahead {
        let told = tokio::select! {
            told = ports.waiting.wait(place) => told,
            () = stop.requested() => return Err(RefillError::Stopped),
        };
        if !told {
            return Err(RefillError::NotTold);
        }
    }
    let (copied, wanted) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut acting = tokio::task::spawn_blocking({
        let (order, volume) = (order.clone(), Arc::clone(&ports.volume));
        let (copied, wanted, events) = (Arc::clone(&copied), Arc::clone(&wanted), Arc::clone(&ports.events));
        move || {
            let site = Site { order: &order, volume: volume.as_ref(), copied: &copied, wanted: &wanted, stop: &stop };
            site.act(&|message| events.step(Phase::Refill, message))?;
            site.report()
        }
    });
    let mut report = loop {
        tokio::select! {
            done = &mut acting => break done.unwrap_or(Err(RefillError::BrokeOff))?,
            () = ports.clock.sleep(TICK) => {
                let done_bytes = copied.load(Ordering::Relaxed);
                let total_bytes = wanted.load(Ordering::Relaxed);
                let kind = EventKind::Progress { done_bytes, total_bytes, written_bytes: done_bytes };
                ports.events.send(Phase::Refill, kind);
            }
        }
    };
    report.copied_bytes = copied.load(Ordering::Relaxed);
    if order.act == RefillAct::Position {
        recover_position(order, ports, &mut report).await?;
    }
    Ok(report)
}

/// Asks the server itself for the position of data that it did not leave cleanly.
async fn recover_position(
    order: &RefillOrder,
    ports: &RefillPorts,
    report: &mut VolumeReport,
) -> Result<(), RefillError> {
    let is_known = report.state.as_ref().is_some_and(|state| state.has_history() && state.seqno >= 0);
    if !report.has_data || is_known {
        return Ok(());
    }
    let recovered = ports.recovery.recover(&order.place.directory).await.map_err(RefillError::Port)?;
    if let Some(position) = recovered {
        let safe_to_bootstrap = report.state.as_ref().is_some_and(|state| state.safe_to_bootstrap);
        let state = SavedState { uuid: position.uuid, seqno: position.seqno, safe_to_bootstrap };
        report.state = Some(state);
    }
    Ok(())
}

/// The volume that is worked on, and how.
struct Site<'a> {
    order: &'a RefillOrder,
    volume: &'a dyn DataFiles,
    copied: &'a AtomicU64,
    /// Bytes that are to be copied, once that is known.
    wanted: &'a AtomicU64,
    stop: &'a Stop,
}

impl Site<'_> {
    fn act(&self, say: &dyn Fn(String)) -> Result<(), RefillError> {
        match &self.order.act {
            RefillAct::Look | RefillAct::Position => Ok(()),
            RefillAct::Switch { source, history } => self.switch(source, history, say),
            RefillAct::Lend { source, target, history } => self.lend(source, target, history, say),
            RefillAct::Fill { source, history } => self.fill(source, history, say),
            RefillAct::Empty { history } => self.empty(history.as_deref(), say),
            RefillAct::PutBack { history } => self.put_back(history.as_deref(), say),
            RefillAct::SetAside => self.set_aside_again(),
            RefillAct::Crown { state } => self.crown(state.as_ref()),
            RefillAct::Uncrown => self.uncrown(),
            RefillAct::Tidy { scratch, keep_old_data, keep_failed } => {
                self.tidy(scratch.as_deref(), *keep_old_data, *keep_failed)
            }
        }
    }

    /// The data directory, below the volume's root.
    fn data(&self) -> &str {
        &self.order.place.directory
    }

    /// Something in the data directory, below the volume's root.
    fn in_data(&self, name: &str) -> String {
        if self.data().is_empty() { name.to_owned() } else { format!("{}/{name}", self.data()) }
    }

    /// A place of this restore on the volume, beside the data.
    fn beside(&self, what: &str) -> String {
        format!("{RESTORE_DIRECTORY}/{what}-{}", self.order.run)
    }

    fn set_aside(&self) -> String {
        self.beside("old")
    }

    /// Whether the data that are in place are those of that history.
    fn is_in(&self, history: &str) -> Result<bool, RefillError> {
        Ok(self.volume.state(self.data())?.is_some_and(|state| state.uuid == history))
    }

    /// Marks what is in place to start the cluster.
    fn crown(&self, else_state: Option<&SavedState>) -> Result<(), RefillError> {
        let own = self.volume.state(self.data())?;
        // A file that names no history would begin another one.
        let known = own.clone().filter(SavedState::has_history).or_else(|| else_state.cloned());
        let Some(mut state) = known.or(own) else {
            return Err(RefillError::NothingToStart { place: self.volume.place(self.data()) });
        };
        state.safe_to_bootstrap = true;
        Ok(self.volume.write_state(self.data(), &state)?)
    }

    fn uncrown(&self) -> Result<(), RefillError> {
        match self.volume.state(self.data())? {
            Some(state) if state.safe_to_bootstrap => {
                let state = SavedState { safe_to_bootstrap: false, ..state };
                Ok(self.volume.write_state(self.data(), &state)?)
            }
            _ => Ok(()),
        }
    }

    /// Removes what is left of this restore, and of earlier ones that died; old data that were kept stay.
    fn tidy(&self, scratch: Option<&str>, keep_old_data: bool, keep_failed: bool) -> Result<(), RefillError> {
        self.forget_begun()?;
        self.tidy_beside(keep_old_data, keep_failed)?;
        // Last: what is on the volume of backups is swept there some day, what is here is not.
        scratch.map_or(Ok(()), |scratch| Ok(self.volume.remove(scratch)?))
    }

    fn tidy_beside(&self, keep_old_data: bool, keep_failed: bool) -> Result<(), RefillError> {
        if self.data().is_empty() {
            return Ok(());
        }
        let names = self.volume.names(RESTORE_DIRECTORY)?;
        let own_old = self.set_aside();
        // What cannot be removed keeps nothing else from going.
        let mut trouble = None;
        for name in &names {
            let path = format!("{RESTORE_DIRECTORY}/{name}");
            let stays = if path == own_old {
                keep_old_data
            } else {
                name.starts_with("old-") || (keep_failed && name.starts_with("failed-"))
            };
            if !stays && let Err(error) = self.volume.remove(&path) {
                trouble.get_or_insert(error);
            }
        }
        trouble.map_or_else(|| self.forget_place(), |error| Err(error.into()))
    }

    /// Removes the place beside the data when nothing is in it any more.
    fn forget_place(&self) -> Result<(), RefillError> {
        if self.volume.names(RESTORE_DIRECTORY)?.is_empty() {
            self.volume.remove(RESTORE_DIRECTORY)?;
        }
        Ok(())
    }

    /// Whether nobody's data are on the volume.
    fn is_empty(&self) -> Result<bool, RefillError> {
        let top = self.data().split('/').next().unwrap_or_default();
        let counts = |name: &String| {
            name != empty::OF_THE_FILE_SYSTEM && name != RESTORE_DIRECTORY && (top.is_empty() || name != top)
        };
        let is_bare = !self.volume.names("")?.iter().any(counts);
        Ok(is_bare && (top.is_empty() || self.volume.names(self.data())?.is_empty()))
    }

    fn report(&self) -> Result<VolumeReport, RefillError> {
        let (free_bytes, total_bytes) = self.volume.room("")?;
        let names = self.volume.names(self.data())?;
        let is_begun = self.is_begun()?;
        let measures = matches!(self.order.act, RefillAct::Look);
        // The directory of the server's own tables: without it, there is nothing a server starts from.
        let has_data = !is_begun && names.iter().any(|name| name == "mysql");
        let state = self.volume.state(self.data())?;
        Ok(VolumeReport {
            is_empty: self.is_empty()?,
            has_data,
            is_begun,
            in_doubt: has_data && !state.as_ref().is_some_and(SavedState::has_history),
            state,
            unremovable: if measures { self.volume.unremovable(self.data(), &[OF_THE_FILE_SYSTEM])? } else { None },
            data_bytes: if measures { self.volume.size(self.data())? } else { 0 },
            free_bytes,
            total_bytes,
            set_aside: self.order.place.has_room_beside() && self.volume.exists(&self.set_aside())?,
            ..VolumeReport::default()
        })
    }
}
