//! What proving a backup needs of the world: a place to unpack into, the tool, and a throwaway server.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::PortError;
use super::runner::{Account, EngineEnd, StorePorts};
use crate::model::rows::Counted;

/// The directory in the scratch for everything of the throwaway server that is not data.
pub const RUN_DIRECTORY: &str = "run";

/// Everything a proving runner needs, in one place.
pub struct ProvePorts {
    /// The stores, the time, and where reports go.
    pub stores: StorePorts,
    /// Where the backup is unpacked.
    pub scratch: Arc<dyn Scratch>,
    /// mariadb-backup.
    pub preparer: Arc<dyn Preparer>,
    /// The server that is booted.
    pub throwaway: Arc<dyn Throwaway>,
    /// The way into it.
    pub sql: Arc<dyn ProofSql>,
    /// The file with the key for encrypted backups of the original, where there is one.
    pub original_key: Option<Vec<u8>>,
}

/// The directory a backup is proven in. Its calls block; none may be made on a thread that must not wait.
///
/// Only the directories asked for by name are ever touched: whatever else lies beside them stays.
pub trait Scratch: Send + Sync {
    /// Returns what to call it in messages.
    fn place(&self) -> String;

    /// Makes it if it is not there, and returns the names of what is in it.
    fn names(&self) -> Result<Vec<String>, PortError>;

    /// Returns the bytes that can still be written to it.
    fn free_bytes(&self) -> Result<u64, PortError>;

    /// Makes an empty directory in it.
    fn make(&self, directory: &str) -> Result<Box<dyn Unpacked>, PortError>;

    /// Removes a directory with all in it; nothing happens when it is not there.
    fn remove(&self, directory: &str) -> Result<(), PortError>;

    /// Removes it with all in it; nothing happens when it is not there.
    fn discard(&self) -> Result<(), PortError>;

    /// Returns once everything in it would survive a power loss.
    fn make_durable(&self) -> Result<(), PortError>;

    /// Returns what the tool wrote down of the Galera position of a prepared directory, if it found one.
    fn galera_info(&self, directory: &str) -> Result<Option<String>, PortError>;

    /// Removes the files in which Galera keeps which cluster a data directory belongs to.
    fn forget_cluster(&self, directory: &str) -> Result<(), PortError>;

    /// Removes what only a running Galera needs, and keeps the file with its position.
    fn forget_session(&self, directory: &str) -> Result<(), PortError>;
}

/// A directory that is filled with the files of a backup. Its paths stay inside it.
pub trait Unpacked: Send {
    /// Begins a file; `anew` where it takes the place of one that is there.
    fn begin(&mut self, path: &str, anew: bool) -> io::Result<()>;

    /// Writes bytes of a file; what is left out before them is a hole.
    fn write(&mut self, path: &str, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Ends a file, which is that long.
    fn close(&mut self, path: &str, length: u64) -> io::Result<()>;

    /// Gives a file another name.
    fn rename(&mut self, path: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    fn remove(&mut self, path: &str) -> io::Result<()>;
}

/// mariadb-backup, as it prepares.
#[async_trait]
pub trait Preparer: Send + Sync {
    /// Returns the memory this container may use; `None` when it has no limit.
    fn memory_limit(&self) -> Option<u64>;

    /// Returns the sentence with its version, which is that of the image's server.
    async fn version(&self) -> Result<String, PortError>;

    /// Begins to prepare a full backup, or to apply an increment to a prepared one.
    async fn start(&self, step: &Preparation) -> Result<Box<dyn PrepareRun>, PortError>;
}

/// One run of the tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preparation {
    /// Directory in the scratch with the full backup.
    pub base: String,
    /// Directory in the scratch with the increment to apply.
    pub increment: Option<String>,
    /// Memory to use.
    pub memory_bytes: u64,
}

/// A running preparation.
#[async_trait]
pub trait PrepareRun: Send {
    /// Asks it to stop.
    fn interrupt(&self);

    /// Ends it at once.
    fn kill(&self);

    /// Waits for its end. May be given up and called again.
    async fn wait(&mut self) -> Result<EngineEnd, PortError>;
}

/// A server that is booted on a prepared directory and thrown away afterwards, without any network.
#[async_trait]
pub trait Throwaway: Send + Sync {
    /// Starts it; with Galera where the image has it, as the first and only member of a new history.
    async fn boot(&self, directory: &str) -> Result<Box<dyn ThrowawayRun>, PortError>;
}

/// A running throwaway server.
#[async_trait]
pub trait ThrowawayRun: Send {
    /// Whether it runs with Galera.
    fn has_galera(&self) -> bool;

    /// Asks it to shut down.
    fn terminate(&self);

    /// Ends it at once.
    fn kill(&self);

    /// Waits for its end. May be given up and called again.
    async fn wait(&mut self) -> Result<ServerEnd, PortError>;

    /// Returns what it said last that tells how it is.
    fn complaints(&self) -> Vec<String>;

    /// Returns the last lines it wrote, whatever they tell.
    fn last_lines(&self) -> Vec<String>;
}

/// How a server ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerEnd {
    /// Whether its exit code was 0.
    pub exit_ok: bool,
    /// Its exit code or signal, in words.
    pub how: String,
}

/// SQL on the throwaway server, by its socket.
///
/// But for the logins all of it is done with an account that this server alone knows and that its data
/// never hold.
#[async_trait]
pub trait ProofSql: Send + Sync {
    /// Asks the server how it is; fails with [`super::Reason::Unreachable`] while it does not answer.
    async fn answer(&self) -> Result<Answer, PortError>;

    /// Logs in with an account, the way its Secret says.
    async fn log_in(&self, account: Account) -> Result<LogIn, PortError>;

    /// Logs in with every account that the servers' own pods use.
    async fn log_in_as_servers(&self) -> Vec<ServerLogIn>;

    /// Returns the schemas that are not the server's own.
    async fn schemas(&self) -> Result<Vec<String>, PortError>;

    /// Returns the tables of a schema whose rows are in the backup.
    async fn tables(&self, schema: &str) -> Result<Vec<String>, PortError>;

    /// Opens a table and reads a row of it, if it has any.
    async fn open(&self, schema: &str, table: &str) -> Result<(), PortError>;

    /// Counts the rows of as many tables as can be within `limit`, the smallest first.
    async fn count_rows(&self, limit: Duration) -> Result<Vec<Counted>, PortError>;

    /// Runs one statement that changes nothing, and returns the first of its rows.
    async fn query(&self, statement: &str, most: Most) -> Result<Rows, PortError>;

    /// Ends all connections.
    async fn close(&self);
}

/// What a server says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Its version.
    pub version: String,
    /// The history it is in, once it accepts queries as a member; `None` before, or without Galera.
    pub history_uuid: Option<String>,
}

/// What came of a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogIn {
    /// The account's name, from its Secret.
    pub username: String,
    /// `None` when it was accepted; otherwise the accounts of that name which the data know.
    pub refused: Option<Vec<KnownAccount>>,
}

/// What came of the login of an account that the servers' own pods use.
#[derive(Debug)]
pub struct ServerLogIn {
    /// The account's name.
    pub username: String,
    /// Where its password stands, in words.
    pub from: String,
    /// Whether probes or state transfers log in with it for sure.
    pub is_needed: bool,
    /// `None` when it was accepted; otherwise the accounts of that name which the data know.
    pub refused: Result<Option<Vec<KnownAccount>>, PortError>,
}

/// An account as the data know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownAccount {
    /// Where it may come from.
    pub host: String,
    /// Whether it has to speak TLS, which a socket does not.
    pub needs_tls: bool,
    /// Whether it is let in as the system user of its name, and by no password.
    pub has_no_password: bool,
}

/// How much of a result is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Most {
    /// Rows.
    pub rows: usize,
    /// Characters of a value.
    pub chars: usize,
}

/// The first rows of a result, each value as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<String>>,
    /// Whether there was more, of rows or of a value.
    pub has_more: bool,
}
