//! The proven copy takes the place of the old data.

use std::sync::atomic::Ordering;

use super::Site;
use super::error::RefillError;
use crate::model::galera::SavedState;
use crate::model::names::RESTORE_DIRECTORY;
use crate::ports::refill::Copying;

/// The file without which no server starts from a directory that was a member: it goes first, and is
/// written last.
pub(super) const STATE_FILE: &str = "grastate.dat";

/// Write-sets that others could ask for: nobody will.
const CACHE_FILE: &str = "galera.cache";

/// What is no part of the data but has to stay with the volume: the account of the image's own health
/// check, which is only made where the first data are.
const KEPT: [&str; 1] = [".my-healthcheck.cnf"];

/// Says, in a data directory without room beside it, that what is there is neither the old data nor the
/// new ones.
pub(super) const BEGUN: &str = RESTORE_DIRECTORY;

impl Site<'_> {
    pub(super) fn switch(&self, source: &str, history: &str, say: &dyn Fn(String)) -> Result<(), RefillError> {
        if self.is_in(history)? {
            say("the restored data are in place already".to_owned());
            self.forget_begun()?;
            return self.crown(None);
        }
        if self.order.place.has_room_beside() {
            let ready = self.ready(source, history, say)?;
            self.put_in_place(&ready, say)
        } else {
            self.switch_in_place(source, history, say)
        }
    }

    /// Refuses whatever is not the copy that was booted; nothing is touched before.
    pub(super) fn proven(&self, source: &str, history: &str) -> Result<SavedState, RefillError> {
        let not = |what: String| RefillError::NotProven { place: self.volume.place(source), what };
        match self.volume.state(source)? {
            None => Err(not("it has no grastate.dat".to_owned())),
            Some(state) if state.uuid != history => Err(not(format!("it is in history {}", state.uuid))),
            Some(state) => Ok(SavedState { safe_to_bootstrap: true, ..state }),
        }
    }

    /// Makes the copy ready beside the data: by its name alone where it lies on the same file system; else
    /// it is copied, and the old data stay until that is whole.
    fn ready(&self, source: &str, history: &str, say: &dyn Fn(String)) -> Result<String, RefillError> {
        let new = self.beside("new");
        if self.volume.state(&new)?.is_none_or(|state| state.uuid != history) {
            let proven = self.proven(source, history)?;
            self.volume.make(RESTORE_DIRECTORY, None)?;
            self.volume.remove(&new)?;
            if !self.volume.rename(source, &new)? {
                say(format!("copying the restored data to {}", self.volume.place(&new)));
                self.volume.make(&new, Some(source))?;
                let bytes = self.volume.size(source)?;
                self.copy(source, &new, bytes)?;
                self.is_still_there(source, history, bytes)?;
                self.volume.make_durable("")?;
                self.volume.write_state(&new, &proven)?;
            }
        }
        let ready = self.proven(&new, history)?;
        self.volume.write_state(&new, &ready)?;
        Ok(new)
    }

    /// Others use the volume of backups, too: what was removed while it was copied is missing in the copy.
    pub(super) fn is_still_there(&self, source: &str, history: &str, bytes: u64) -> Result<(), RefillError> {
        self.proven(source, history)?;
        if self.volume.size(source)? == bytes {
            return Ok(());
        }
        Err(RefillError::Changed { place: self.volume.place(source) })
    }

    fn put_in_place(&self, ready: &str, say: &dyn Fn(String)) -> Result<(), RefillError> {
        self.keep_what_stays(ready)?;
        let old = self.set_aside();
        let is_aside = self.volume.exists(&old)?;
        self.keep_mode(ready, if is_aside { &old } else { self.data() }, say);
        if is_aside {
            // A dead try came as far as this: what is in place is not old data any more.
            self.volume.remove(self.data())?;
        } else if self.volume.exists(self.data())? {
            self.volume.rename(self.data(), &old)?;
            say(format!("the old data are set aside in {}", self.volume.place(&old)));
        }
        self.volume.rename(ready, self.data())?;
        self.volume.make_durable("")?;
        say("the restored data are in place".to_owned());
        Ok(())
    }

    /// A state transfer by rsync gives the joiner's directory the donor's mode, and it may not where that is not its own: a
    /// replica that comes later would never join one that has another mode than before.
    fn keep_mode(&self, ready: &str, like: &str, say: &dyn Fn(String)) {
        if let Err(error) = self.volume.set_mode_like(ready, like) {
            say(format!("{} keeps its own mode: {error}", self.volume.place(ready)));
        }
    }

    fn keep_what_stays(&self, ready: &str) -> Result<(), RefillError> {
        let there = self.volume.names(self.data())?;
        for name in KEPT.iter().filter(|kept| there.iter().any(|name| name == *kept)) {
            let (from, to) = (format!("{}/{name}", self.data()), format!("{ready}/{name}"));
            if !self.volume.exists(&to)? {
                self.volume.copy_file(&from, &to)?;
            }
        }
        Ok(())
    }

    /// Without room beside the data, the old ones go first; until the last file is written, no server
    /// starts from what is there.
    fn switch_in_place(&self, source: &str, history: &str, say: &dyn Fn(String)) -> Result<(), RefillError> {
        let proven = self.proven(source, history)?;
        self.check_room(source)?;
        // What dead restores left takes room, too.
        if let Err(error) = self.tidy_beside(true, true) {
            say(format!("something of an earlier restore is left behind: {error}"));
        }
        self.mark_begun()?;
        say(format!("removing the old data from {}", self.volume.place(self.data())));
        self.clear(&[BEGUN, KEPT[0]])?;
        say("copying the restored data into place".to_owned());
        let bytes = self.volume.size(source)?;
        self.copy(source, self.data(), bytes)?;
        self.is_still_there(source, history, bytes)?;
        self.volume.make_durable("")?;
        self.volume.write_state(self.data(), &proven)?;
        self.forget_begun()?;
        self.volume.make_durable("")?;
        say("the restored data are in place".to_owned());
        Ok(())
    }

    /// Says that what is there is not whole any more. A volume without a byte left gets one by what a server makes anew.
    pub(super) fn mark_begun(&self) -> Result<(), RefillError> {
        if self.volume.make(&self.begun(), None).is_err() {
            self.volume.remove(&self.in_data(CACHE_FILE))?;
            self.volume.make(&self.begun(), None)?;
        }
        Ok(self.volume.make_durable("")?)
    }

    fn begun(&self) -> String {
        self.in_data(BEGUN)
    }

    /// Refuses what would not fit in the place of what is there; nothing is touched before.
    fn check_room(&self, source: &str) -> Result<(), RefillError> {
        let needed_bytes = self.volume.size(source)?;
        let (room, _) = self.volume.room("")?;
        let free_bytes = room.saturating_add(self.volume.size(self.data())?);
        if needed_bytes <= free_bytes {
            return Ok(());
        }
        Err(RefillError::NoRoom { place: self.volume.place(self.data()), needed_bytes, free_bytes })
    }

    /// Whether the data directory, without room beside it, was begun to be changed and is not whole.
    pub(super) fn is_begun(&self) -> Result<bool, RefillError> {
        Ok(!self.order.place.has_room_beside() && self.volume.exists(&self.begun())?)
    }

    pub(super) fn forget_begun(&self) -> Result<(), RefillError> {
        if self.is_begun()? {
            self.volume.remove(&self.begun())?;
        }
        Ok(())
    }

    pub(super) fn copy(&self, from: &str, to: &str, bytes: u64) -> Result<(), RefillError> {
        self.wanted.store(bytes, Ordering::Relaxed);
        let copying = Copying {
            leave_out: &[STATE_FILE],
            threads: usize::try_from(self.order.parallel).unwrap_or(1).max(1),
            done: self.copied,
            is_stopped: &|| self.stop.is_requested(),
        };
        self.volume.copy(from, to, &copying)?;
        if self.stop.is_requested() { Err(RefillError::Stopped) } else { Ok(()) }
    }
}
