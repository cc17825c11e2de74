//! The runner's ports: the server beside it, mariadb-backup, the data directory, and the store.
//!
//! The asynchronous ones are rare, small calls; whatever moves bytes is a plain reader or writer,
//! because the hot path runs on threads of its own.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{Clock, EventSink, PortError};
use crate::model::backup_id::BackupId;
use crate::model::galera::Member;
use crate::model::manifest::StoredFile;

/// Everything a copying runner needs, in one place.
pub struct RunnerPorts {
    /// The server beside it.
    pub server: Arc<dyn Server>,
    /// mariadb-backup.
    pub engine: Arc<dyn Engine>,
    /// The replica's files.
    pub data: Arc<dyn DataDirectory>,
    /// The volume backups go to.
    pub store: Arc<dyn LocalStore>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where reports go.
    pub events: Arc<dyn EventSink>,
}

/// An account on the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// The one that may desync.
    Operator,
    /// The one mariadb-backup uses.
    Backup,
}

/// How the wait for the go-ahead ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoAhead {
    /// The conductor opened the gate and lives; the gate is ours until we end.
    Given,
    /// The gate was let go by a conductor that is gone.
    Abandoned,
    /// The gate stayed closed.
    TimedOut,
}

/// Whether a server is the one we began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The same process since we looked first.
    Same,
    /// Another one answers now: the first was restarted, or the address was given to another pod.
    Other,
}

/// The server whose data is copied, by SQL over its own address.
#[async_trait]
pub trait Server: Send + Sync {
    /// Asks it for its state, over a fresh connection when the last one broke.
    async fn member(&self) -> Result<Member, PortError>;

    /// Asks it for its member id over a connection of its own; for use beside other calls.
    ///
    /// Bounded, and over a fresh connection when the last one broke.
    async fn pulse(&self) -> Result<String, PortError>;

    /// Returns what `SHOW GRANTS` says of an account.
    async fn grants(&self, account: Account) -> Result<Vec<String>, PortError>;

    /// Waits for the conductor to open the gate.
    ///
    /// The conductor holds the advisory lock `gate` from before this runner starts. To open it, it
    /// takes `<gate>.go` and releases `gate`; both go when it dies, which is how the two differ.
    async fn wait_for_go_ahead(&self, gate: &str, limit: Duration) -> Result<GoAhead, PortError>;

    /// Sets `wsrep_desync=ON`, bounded in the server too.
    async fn desync_on(&self, limit: Duration) -> Result<(), PortError>;

    /// Sets `wsrep_desync=OFF`, unless another server answers than the one with that member id.
    async fn desync_off(&self, gcomm_uuid: &str, limit: Duration) -> Result<Identity, PortError>;

    /// Ends all connections, and gives the gate back with them.
    async fn close(&self);
}

/// mariadb-backup.
#[async_trait]
pub trait Engine: Send + Sync {
    /// Returns the sentence with which the tool says its version.
    async fn version(&self) -> Result<String, PortError>;

    /// Starts a copy of the whole data directory.
    async fn start(&self) -> Result<Box<dyn EngineRun>, PortError>;
}

/// A running mariadb-backup.
#[async_trait]
pub trait EngineRun: Send {
    /// Hands out the stream; once.
    fn stream(&mut self) -> Option<Box<dyn Read + Send>>;

    /// Asks it to stop. It gives up its locks on the server and ends.
    fn interrupt(&self);

    /// Ends it at once; its connection to the server closes with it.
    fn kill(&self);

    /// Waits for its end. May be given up and called again.
    async fn wait(&mut self) -> Result<EngineEnd, PortError>;
}

/// How mariadb-backup ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineEnd {
    /// Whether its exit code was 0.
    pub exit_ok: bool,
    /// Its exit code or signal, in words.
    pub how: String,
    /// Whether the last line it wrote is its mark of success.
    pub completed: bool,
    /// What it said last that tells why it failed.
    pub complaints: Vec<String>,
}

/// The replica's files, read beside its server.
pub trait DataDirectory: Send + Sync {
    /// Returns the bytes a copy would read: neither `galera.cache` nor its pages, but the redo.
    fn data_bytes(&self) -> Result<u64, PortError>;

    /// Returns the member id of the server that runs on these files; `None` when none does.
    fn member_id(&self) -> Result<Option<String>, PortError>;

    /// Identifies the system tablespace, and with it this incarnation of the files.
    fn incarnation(&self) -> Result<Incarnation, PortError>;
}

/// What tells one incarnation of a data directory from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incarnation {
    /// Inode of `ibdata1`.
    pub ibdata1_inode: u64,
    /// Birth of `ibdata1`, nanoseconds since 1970, where the file system keeps it.
    pub ibdata1_birth_nanos: Option<i64>,
}

/// A volume with backups.
pub trait LocalStore: Send + Sync {
    /// Returns the bytes that can still be written.
    fn free_bytes(&self) -> Result<u64, PortError>;

    /// Removes unfinished work of dead runs and names what it removed.
    fn sweep(&self) -> Result<Vec<String>, PortError>;

    /// Begins a backup out of sight. Fails with [`super::Reason::Conflict`] when it exists already.
    fn begin(&self, backup: &BackupId) -> Result<Box<dyn PendingBackup>, PortError>;

    /// Returns the backups that are signed off.
    fn backups(&self) -> Result<Vec<BackupId>, PortError>;

    /// Opens a file by its path inside the store, with its length.
    fn open(&self, path: &str) -> Result<(Box<dyn Read + Send>, u64), PortError>;
}

/// A backup in the making. Dropped without [`PendingBackup::publish`], it never counts.
pub trait PendingBackup: Send {
    /// Creates the file for the stream.
    fn create_stream(&mut self) -> Result<Box<dyn StoreFile>, PortError>;

    /// Writes a small file durably.
    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<StoredFile, PortError>;

    /// Writes the manifest last and puts the whole in its place, all of it durably.
    fn publish(self: Box<Self>, manifest: &[u8]) -> Result<StoredFile, PortError>;

    /// Removes it.
    fn discard(self: Box<Self>) -> Result<(), PortError>;
}

/// A file being written to a store.
pub trait StoreFile: Write + Send {
    /// Returns once every byte would survive a power loss.
    fn make_durable(&mut self) -> Result<(), PortError>;
}
