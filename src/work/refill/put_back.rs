//! The way back: old data that were set aside take their place again.

use super::Site;
use super::error::RefillError;
use crate::model::names::RESTORE_DIRECTORY;

impl Site<'_> {
    /// With nothing set aside, what is left of the restore is taken out: the replica then gets the old data
    /// from another one.
    pub(super) fn put_back(&self, history: Option<&str>, say: &dyn Fn(String)) -> Result<(), RefillError> {
        // Half a copy takes room that the old data may need.
        let new = self.beside("new");
        if self.order.place.has_room_beside()
            && let Err(error) = self.volume.remove(&new)
        {
            say(format!("{} is left behind: {error}", self.volume.place(&new)));
        }
        let old = self.set_aside();
        if self.order.place.has_room_beside() && self.volume.exists(&old)? {
            // It goes with the scratch, later: clients may have written to it, and the outage goes on.
            if self.volume.exists(self.data())? {
                self.volume.rename(self.data(), &self.free_name("failed")?)?;
            }
            self.volume.rename(&old, self.data())?;
            self.volume.make_durable("")?;
            say("the old data are back in place".to_owned());
            return Ok(());
        }
        let is_restored = match history {
            Some(history) => self.is_in(history)?,
            None => false,
        };
        if is_restored || self.is_begun()? {
            self.take_out(say)?;
        }
        // A dead try may have taken it out with all that was in it; a server could not make it anew.
        Ok(self.volume.make(self.data(), None)?)
    }

    /// Sets data aside again that were put back: the server then gets everything anew.
    pub(super) fn set_aside_again(&self) -> Result<(), RefillError> {
        let old = self.set_aside();
        if !self.volume.exists(&old)? {
            self.volume.make(RESTORE_DIRECTORY, None)?;
            self.volume.rename(self.data(), &old)?;
        }
        self.volume.make(self.data(), Some(&old))?;
        Ok(self.volume.make_durable("")?)
    }
}
