//! A volume is emptied, so that its replica gets everything from the one that serves.

use super::Site;
use super::error::RefillError;
use super::switch::{BEGUN, STATE_FILE};
use crate::model::names::RESTORE_DIRECTORY;

/// What belongs to the file system, not to anybody's data.
pub(super) const OF_THE_FILE_SYSTEM: &str = "lost+found";

/// Goes last: while it is there, no image takes the directory for a fresh one and makes new data in it.
const LAST: &str = "mysql";

impl Site<'_> {
    pub(super) fn empty(&self, history: Option<&str>, say: &dyn Fn(String)) -> Result<(), RefillError> {
        if let Some(history) = history
            && self.is_in(history)?
        {
            say("the replica has joined the restored cluster already".to_owned());
            return Ok(());
        }
        self.take_out(say)
    }

    /// Takes everything out of the data directory; the directory itself stays.
    pub(super) fn take_out(&self, say: &dyn Fn(String)) -> Result<(), RefillError> {
        say(format!("emptying {}", self.volume.place(self.data())));
        if self.data().is_empty() {
            self.mark_begun()?;
            self.clear(&[])?;
            return Ok(self.volume.make_durable("")?);
        }
        // By its name, so that it is either all there or all gone, also for files nobody may remove.
        self.volume.make(RESTORE_DIRECTORY, None)?;
        let gone = self.free_name("gone")?;
        if self.volume.exists(self.data())? {
            self.volume.rename(self.data(), &gone)?;
        }
        self.volume.make(self.data(), Some(&gone))?;
        self.volume.make_durable("")?;
        self.remove_if_possible(&gone, say);
        self.forget_place()
    }

    /// Removes what is in nobody's way; that it could not be removed is told and changes nothing.
    fn remove_if_possible(&self, path: &str, say: &dyn Fn(String)) {
        if let Err(error) = self.volume.remove(path) {
            say(format!("{} is left behind: {error}", self.volume.place(path)));
        }
    }

    /// A name beside the data that nothing has yet.
    pub(super) fn free_name(&self, what: &str) -> Result<String, RefillError> {
        let first = self.beside(what);
        let mut name = first.clone();
        for number in 2.. {
            if !self.volume.exists(&name)? {
                break;
            }
            name = format!("{first}-{number}");
        }
        Ok(name)
    }

    /// Removes all that is in a data directory without room beside it.
    pub(super) fn clear(&self, but: &[&str]) -> Result<(), RefillError> {
        let stays = |name: &str| name == OF_THE_FILE_SYSTEM || but.contains(&name);
        let mut names: Vec<_> = self.volume.names(self.data())?.into_iter().filter(|name| !stays(name)).collect();
        names.sort_by_key(|name| (name != STATE_FILE, name == BEGUN, name == LAST));
        for name in names {
            if self.stop.is_requested() {
                return Err(RefillError::Stopped);
            }
            self.volume.remove(&self.in_data(&name))?;
        }
        Ok(())
    }
}
