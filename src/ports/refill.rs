//! What changing a data volume needs of the world: the volume itself, and the server's own word for how
//! far its data are.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use async_trait::async_trait;

use super::{Clock, EventSink, PortError};
use crate::model::galera::{Position, SavedState};
use crate::model::order::GoAheadPlace;

/// Everything a refilling runner needs, in one place.
#[derive(Clone)]
pub struct RefillPorts {
    /// The volume.
    pub volume: Arc<dyn DataFiles>,
    /// The server that could run on it.
    pub recovery: Arc<dyn PositionRecovery>,
    /// The word to begin.
    pub waiting: Arc<dyn GoAheadWait>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where reports go.
    pub events: Arc<dyn EventSink>,
}

/// A data volume by paths below its root, of which the empty one is the root. Its calls block.
///
/// A path that begins with `/` is one of this runner's own outside the volume. Links are never followed.
pub trait DataFiles: Send + Sync {
    /// Returns what to call a path in messages.
    fn place(&self, path: &str) -> String;

    /// Returns free and total bytes of the file system something is on.
    fn room(&self, path: &str) -> Result<(u64, u64), PortError>;

    /// Returns the bytes of all files below a directory; 0 when it is not there.
    fn size(&self, directory: &str) -> Result<u64, PortError>;

    /// Returns the first thing below a directory that may not be removed, but for those names in its top.
    fn unremovable(&self, directory: &str, but: &[&str]) -> Result<Option<String>, PortError>;

    /// Whether something is there.
    fn exists(&self, path: &str) -> Result<bool, PortError>;

    /// Returns the names in a directory; none when it is not there.
    fn names(&self, directory: &str) -> Result<Vec<String>, PortError>;

    /// Reads what Galera keeps of a data directory.
    fn state(&self, directory: &str) -> Result<Option<SavedState>, PortError>;

    /// Writes it; a reader sees the old one or the new one, also after a power loss.
    fn write_state(&self, directory: &str, state: &SavedState) -> Result<(), PortError>;

    /// Makes a directory and those above it, with the mode of another one where that is there.
    fn make(&self, directory: &str, like: Option<&str>) -> Result<(), PortError>;

    /// Gives a directory the mode of another one, where that is there.
    fn set_mode_like(&self, directory: &str, like: &str) -> Result<(), PortError>;

    /// Gives something another name; `false`, and nothing done, when that is on another file system.
    fn rename(&self, from: &str, to: &str) -> Result<bool, PortError>;

    /// Removes something with all in it; nothing happens when it is not there.
    fn remove(&self, path: &str) -> Result<(), PortError>;

    /// Copies one file, with its mode.
    fn copy_file(&self, from: &str, to: &str) -> Result<(), PortError>;

    /// Copies a directory's content into another one, which is there, but for those names in its top.
    fn copy(&self, from: &str, to: &str, copying: &Copying<'_>) -> Result<(), PortError>;

    /// Returns once everything on the file system something is on would survive a power loss.
    fn make_durable(&self, path: &str) -> Result<(), PortError>;
}

/// How a directory is copied.
pub struct Copying<'a> {
    /// Names in its top that are left out.
    pub leave_out: &'a [&'a str],
    /// Threads.
    pub threads: usize,
    /// Counts the bytes.
    pub done: &'a AtomicU64,
    /// Whether to give up.
    pub is_stopped: &'a (dyn Fn() -> bool + Sync),
}

/// The word to begin, from the one who ordered the work.
#[async_trait]
pub trait GoAheadWait: Send + Sync {
    /// Waits for it; `false` when whoever could give it is gone, or cannot be reached.
    async fn wait(&self, place: &GoAheadPlace) -> bool;
}

/// The server of the image, asked how far the data of a directory are.
#[async_trait]
pub trait PositionRecovery: Send + Sync {
    /// Recovers what the last server left and returns its position; `None` when the data have none.
    async fn recover(&self, directory: &str) -> Result<Option<Position>, PortError>;
}
