//! Somebody at work on a volume who dies before or after any one of his effects.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use mariadb_backup::adapters::data_files::VolumeFiles;
use mariadb_backup::model::event::{EventKind, Phase};
use mariadb_backup::model::galera::{Position, SavedState};
use mariadb_backup::model::order::GoAheadPlace;
use mariadb_backup::ports::refill::{Copying, DataFiles, GoAheadWait, PositionRecovery};
use mariadb_backup::ports::{EventSink, PortError, Reason};

use super::OLD;

/// Dies before or after one of its effects: from then on nothing is done any more.
pub(super) struct Mortal {
    pub(super) files: VolumeFiles,
    pub(super) done: AtomicUsize,
    pub(super) dies_at: usize,
    pub(super) dies_after: bool,
}

impl Mortal {
    fn effect<T>(&self, act: impl FnOnce() -> Result<T, PortError>) -> Result<T, PortError> {
        let number = self.done.fetch_add(1, Ordering::Relaxed);
        let dead = || Err(PortError::new(Reason::Other, "dead"));
        if number > self.dies_at || (number == self.dies_at && !self.dies_after) {
            return dead();
        }
        let done = act();
        if number == self.dies_at { dead() } else { done }
    }
}

impl DataFiles for Mortal {
    fn place(&self, path: &str) -> String {
        self.files.place(path)
    }
    fn room(&self, path: &str) -> Result<(u64, u64), PortError> {
        self.files.room(path)
    }
    fn size(&self, directory: &str) -> Result<u64, PortError> {
        self.files.size(directory)
    }
    fn exists(&self, path: &str) -> Result<bool, PortError> {
        self.files.exists(path)
    }
    fn unremovable(&self, directory: &str, but: &[&str]) -> Result<Option<String>, PortError> {
        self.files.unremovable(directory, but)
    }
    fn names(&self, directory: &str) -> Result<Vec<String>, PortError> {
        self.files.names(directory)
    }
    fn state(&self, directory: &str) -> Result<Option<SavedState>, PortError> {
        self.files.state(directory)
    }
    fn write_state(&self, directory: &str, state: &SavedState) -> Result<(), PortError> {
        self.effect(|| self.files.write_state(directory, state))
    }
    fn make(&self, directory: &str, like: Option<&str>) -> Result<(), PortError> {
        self.effect(|| self.files.make(directory, like))
    }
    fn set_mode_like(&self, directory: &str, like: &str) -> Result<(), PortError> {
        self.effect(|| self.files.set_mode_like(directory, like))
    }
    fn rename(&self, from: &str, to: &str) -> Result<bool, PortError> {
        self.effect(|| self.files.rename(from, to))
    }
    fn remove(&self, path: &str) -> Result<(), PortError> {
        if self.files.exists(&format!("{path}/.immutable")).unwrap_or(false) {
            return Err(PortError::new(Reason::Other, format!("cannot remove {path}/.immutable")));
        }
        self.effect(|| self.files.remove(path))
    }
    fn copy_file(&self, from: &str, to: &str) -> Result<(), PortError> {
        self.effect(|| self.files.copy_file(from, to))
    }
    fn copy(&self, from: &str, to: &str, copying: &Copying<'_>) -> Result<(), PortError> {
        // Also in its middle: half of the files are there.
        let half = Copying { leave_out: &["shop", "grastate.dat"], ..*copying };
        self.effect(|| self.files.copy(from, to, &half))?;
        self.effect(|| self.files.copy(from, to, copying))
    }
    fn make_durable(&self, path: &str) -> Result<(), PortError> {
        self.effect(|| self.files.make_durable(path))
    }
}

#[async_trait]
impl PositionRecovery for Mortal {
    async fn recover(&self, _directory: &str) -> Result<Option<Position>, PortError> {
        Ok(Some(Position { uuid: OLD.to_owned(), seqno: 7 }))
    }
}

pub(super) struct Silent;

#[async_trait]
impl GoAheadWait for Silent {
    async fn wait(&self, _place: &GoAheadPlace) -> bool {
        false
    }
}

impl EventSink for Silent {
    fn deliver(&self, _runner: Option<&str>, _phase: Phase, _kind: EventKind) {}
}
