//! The replicas that are not started first get the proven copy, too: it is lent to them on the volume of
//! backups, and each fills its own volume from there.

use super::Site;
use super::error::RefillError;
use crate::model::galera::SavedState;

impl Site<'_> {
    /// Copies the proven copy to where the others can read it. Nothing stays there when that fails.
    pub(super) fn lend(
        &self,
        source: &str,
        target: &str,
        history: &str,
        say: &dyn Fn(String),
    ) -> Result<(), RefillError> {
        let proven = self.proven(source, history)?;
        let lent = self.copy_whole(source, target, proven, say);
        if lent.is_err()
            && let Err(error) = self.volume.remove(target)
        {
            say(format!("{} is left behind: {error}", self.volume.place(target)));
        }
        lent
    }

    fn copy_whole(
        &self,
        source: &str,
        target: &str,
        state: SavedState,
        say: &dyn Fn(String),
    ) -> Result<(), RefillError> {
        self.volume.remove(target)?;
        self.volume.make(target, Some(source))?;
        let (needed_bytes, (free_bytes, _)) = (self.volume.size(source)?, self.volume.room(target)?);
        if needed_bytes > free_bytes {
            return Err(RefillError::NoRoom { place: self.volume.place(target), needed_bytes, free_bytes });
        }
        say(format!("copying what was proven to {}, for the other replicas", self.volume.place(target)));
        self.copy(source, target, needed_bytes)?;
        // Who finds the state finds everything.
        self.volume.make_durable(target)?;
        // Nobody may start the cluster from it but the leader, from its own.
        Ok(self.volume.write_state(target, &SavedState { safe_to_bootstrap: false, ..state })?)
    }

    /// Puts a copy in the place of whatever is there. Until the last file is written it is in no history, so
    /// that it is begun anew when it was broken off.
    pub(super) fn fill(&self, source: &str, history: &str, say: &dyn Fn(String)) -> Result<(), RefillError> {
        if self.is_in(history)? {
            say("the replica has the restored data already".to_owned());
            return Ok(());
        }
        let (proven, bytes) = (self.proven(source, history)?, self.volume.size(source)?);
        self.take_out(say)?;
        say(format!("copying the restored data to {}", self.volume.place(self.data())));
        self.copy(source, self.data(), bytes)?;
        self.is_still_there(source, history, bytes)?;
        self.volume.make_durable("")?;
        self.volume.write_state(self.data(), &SavedState { safe_to_bootstrap: false, ..proven })?;
        Ok(self.volume.make_durable("")?)
    }
}
