//! A volume is emptied, so that its replica gets everything from the one that serves.

use super::Site;
use super::error::RefillError;
use super::switch::STATE_FILE;
use crate::model::names::RESTORE_DIRECTORY;

/// What belongs to the file system, not to anybody's data.
const OF_THE_FILE_SYSTEM: &str = "lost+found";

/// Goes last: while it is there, no image takes the directory for a fresh one and makes new data in it.
const LAST: &str = "mysql";

impl Site<'_> {
    pub(super) fn empty(&self, history: &str, say: &dyn Fn(String)) -> Result<(), RefillError> {
        if self.is_in(history)? {
            say("the replica has joined the restored cluster already".to_owned());
            return Ok(());
        }
        self.take_out(say)
    }

    /// Takes everything out of the data directory; the directory itself stays.
    pub(super) fn take_out(&self, say: &dyn Fn(String)) -> Result<(), RefillError> {
        say(format!("emptying {}", self.volume.place(self.data())));
        if !self.order.place.has_siblings() {
            self.clear(&[])?;
            return Ok(self.volume.make_durable()?);
        }
        // By its name, so that it is either all there or all gone, also for files nobody may remove.
        let gone = self.beside("gone");
        self.volume.make(RESTORE_DIRECTORY, None)?;
        self.volume.remove(&gone)?;
        if self.volume.exists(self.data())? {
            self.volume.rename(self.data(), &gone)?;
        }
        self.volume.make(self.data(), Some(&gone))?;
        self.volume.make_durable()?;
        self.volume.remove(&gone)?;
        Ok(())
    }

    /// Removes all that is in a data directory that is a volume's root.
    pub(super) fn clear(&self, but: &[&str]) -> Result<(), RefillError> {
        let stays = |name: &str| name == OF_THE_FILE_SYSTEM || but.contains(&name);
        let mut names: Vec<_> = self.volume.names(self.data())?.into_iter().filter(|name| !stays(name)).collect();
        names.sort_by_key(|name| (name != STATE_FILE, name == LAST));
        for name in names {
            let path = if self.data().is_empty() { name } else { format!("{}/{name}", self.data()) };
            self.volume.remove(&path)?;
        }
        Ok(())
    }
}
