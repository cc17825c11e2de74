//! The runner's ports: the server beside it, mariadb-backup, the data directory, and the store.
//!
//! The asynchronous ones are rare, small calls; whatever moves bytes is a plain reader or writer,
//! because the hot path runs on threads of its own.

use std::collections::BTreeMap;
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
    /// Where the backup goes first.
    pub store: Arc<dyn Store>,
    /// That store again, when it is a volume.
    pub volume: Option<Arc<dyn Volume>>,
    /// The second store, which follows the volume and never holds it up.
    pub follower: Option<Arc<dyn Store>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where reports go.
    pub events: Arc<dyn EventSink>,
}

/// Everything a runner needs that looks after stores. At least one of them is there.
#[derive(Clone)]
pub struct StorePorts {
    /// The volume.
    pub local: Option<Arc<dyn Volume>>,
    /// The bucket.
    pub s3: Option<Arc<dyn Store>>,
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

    /// Waits until the conductor says that traffic has left, which is when it lets go of the advisory
    /// lock `<gate>.drain`; `false` when time ran out first.
    async fn wait_for_drain(&self, gate: &str, limit: Duration) -> Result<bool, PortError>;

    /// Sets `wsrep_desync=ON`, bounded in the server too.
    async fn desync_on(&self, limit: Duration) -> Result<(), PortError>;

    /// Sets `wsrep_desync=OFF`, unless another server answers than the one with that member id.
    async fn desync_off(&self, gcomm_uuid: &str, limit: Duration) -> Result<Identity, PortError>;

    /// Ends what connections mariadb-backup left on the server from here, and says how many there were.
    ///
    /// One whose client is gone can hold the server's backup locks for as long as the network does not
    /// tell, and a member is paused meanwhile.
    async fn end_copy_sessions(&self) -> Result<usize, PortError>;

    /// Ends all connections, and gives the gate back with them.
    async fn close(&self);
}

/// mariadb-backup.
#[async_trait]
pub trait Engine: Send + Sync {
    /// Returns the sentence with which the tool says its version.
    async fn version(&self) -> Result<String, PortError>;

    /// Starts a copy of the whole data directory, or of what changed since that point of its redo.
    async fn start(&self, since: Option<u64>) -> Result<Box<dyn EngineRun>, PortError>;
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
    /// The last lines it wrote, whatever they tell.
    pub last_lines: Vec<String>,
}

/// The replica's files, read beside its server.
pub trait DataDirectory: Send + Sync {
    /// Returns the bytes a copy would read: neither `galera.cache` nor its pages, but the redo.
    fn data_bytes(&self) -> Result<u64, PortError>;

    /// Returns the member id of the server that runs on these files; `None` when none does.
    fn member_id(&self) -> Result<Option<String>, PortError>;

    /// Identifies the system tablespace, and with it this incarnation of the files.
    fn incarnation(&self) -> Result<Incarnation, PortError>;

    /// Returns the bytes that can still be written on the data volume.
    fn free_bytes(&self) -> Result<u64, PortError>;
}

/// What tells one incarnation of a data directory from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incarnation {
    /// Inode of `ibdata1`.
    pub ibdata1_inode: u64,
    /// Birth of `ibdata1`, nanoseconds since 1970, where the file system keeps it.
    pub ibdata1_birth_nanos: Option<i64>,
}

/// A place with backups: a volume, a bucket.
///
/// Its calls block; none may be made on a thread that must not wait. One contract suite holds for
/// every implementation: `tests/it/store_contract.rs`.
pub trait Store: Send + Sync {
    /// Returns what to call it in messages, such as `/var/backup` or `s3://bucket/prefix`.
    fn place(&self) -> String;

    /// Returns the backups that are signed off, in the order of their names.
    fn backups(&self) -> Result<Vec<BackupId>, PortError>;

    /// Returns the names of a backup's files.
    fn files(&self, backup: &BackupId) -> Result<Vec<String>, PortError>;

    /// Opens a file by its path inside the store, with its length.
    fn open(&self, path: &str) -> Result<(Box<dyn Read + Send>, u64), PortError>;

    /// Returns what can be known of a file without reading it.
    fn facts(&self, path: &str) -> Result<FileFacts, PortError>;

    /// Begins a backup out of sight. Fails with [`super::Reason::Conflict`] when it exists already.
    ///
    /// `expected_bytes` is about how long its largest file will be. Where an earlier try was broken
    /// off, what it stored may be used again, if it proves to be the same.
    fn begin(&self, backup: &BackupId, expected_bytes: u64) -> Result<Box<dyn PendingBackup>, PortError>;

    /// Removes a backup so that at no moment a part of it counts; `false` when it was not there.
    fn remove(&self, backup: &BackupId) -> Result<bool, PortError>;

    /// Removes unfinished work of dead runs, but for that on `wanted`, and names what it removed.
    fn sweep(&self, wanted: &[BackupId]) -> Result<Vec<String>, PortError>;

    /// Returns the mark of the cluster whose place it is; `None` where there is none.
    fn mark(&self) -> Result<Option<String>, PortError> {
        Ok(None)
    }
}

/// What can be known of a file without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFacts {
    /// Its length in bytes.
    pub size: u64,
    /// A text that is another one whenever its bytes may have changed.
    pub mark: String,
    /// What the store itself keeps of its content.
    pub kept: KeptSum,
}

/// A sum that a store computed itself when it took a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeptSum {
    /// It keeps none.
    None,
    /// SHA-256 of the whole, as 64 hex digits.
    Sha256(String),
    /// A sum over the sums of its parts, compared with the one the sender computed.
    Parts {
        /// Whether they are equal.
        equal: bool,
    },
}

/// A store on a mounted volume.
pub trait Volume: Store {
    /// Returns the bytes that can still be written, and those there are in all.
    fn room(&self) -> Result<(u64, u64), PortError>;

    /// Opens a file of an unfinished backup of this process for reading while it grows.
    fn open_unfinished(&self, backup: &BackupId, name: &str) -> Result<Box<dyn Read + Send>, PortError>;

    /// Remembers that every byte of a backup was found right while its files had these marks.
    fn seal(&self, backup: &BackupId, marks: &BTreeMap<String, String>) -> Result<(), PortError>;

    /// Returns the marks remembered last; `None` when there are none.
    fn sealed(&self, backup: &BackupId) -> Result<Option<BTreeMap<String, String>>, PortError>;

    /// Begins to put a file in the place of a damaged or missing one.
    fn replace(&self, path: &str) -> Result<Box<dyn Replacement>, PortError>;

    /// Moves a damaged backup to where it no longer counts, and says where that is.
    fn set_aside(&self, backup: &BackupId) -> Result<String, PortError>;
}

/// A file that shall take another one's place. Dropped without [`Replacement::put`], it never counts.
pub trait Replacement: Write + Send {
    /// Puts it in its place, durably.
    fn put(self: Box<Self>) -> Result<(), PortError>;
}

/// A backup in the making. Dropped without [`PendingBackup::publish`], it never counts; what a store
/// can use again when it is begun anew stays for that, until it is swept.
pub trait PendingBackup: Send {
    /// Creates a large file.
    fn create(&mut self, name: &str) -> Result<Box<dyn StoreFile>, PortError>;

    /// Writes a small file durably.
    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<StoredFile, PortError>;

    /// Writes the file that makes the backup count, and puts the whole in its place, all of it durably.
    fn publish(self: Box<Self>, name: &str, bytes: &[u8]) -> Result<StoredFile, PortError>;

    /// Removes it.
    fn discard(self: Box<Self>) -> Result<(), PortError>;
}

/// A file being written to a store.
pub trait StoreFile: Write + Send {
    /// Returns once every byte would survive a power loss, and nothing more can be written.
    fn make_durable(&mut self) -> Result<(), PortError>;
}
