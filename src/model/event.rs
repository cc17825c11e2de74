//! The reports an agent sends while it works: one JSON document a line on standard output.
//!
//! Runner and conductor speak the same language; the conductor repeats its runners' events in its
//! own stream under its own sequence numbers, each with its runner's name. A reader keeps what it knows by sequence number, so
//! a stream that is cut, repeated or re-attached ends with the same picture. Kinds a reader does
//! not know are skipped, so an old plugin can follow a new agent.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::report::{CopyReport, FoundBackup};
use super::rows::Counted;

/// The version of [`Event`] this build writes.
pub const EVENT_SCHEMA: u32 = 1;

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Version of this document's shape.
    pub schema: u32,
    /// Counts up by one within one process, from 1.
    pub seq: u64,
    /// When the sender wrote it.
    pub time: Timestamp,
    /// The part of the run it belongs to.
    pub phase: Phase,
    /// The runner whose event the conductor repeats; the sender's own where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner: Option<String>,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// The phases of a run, as shown to people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Backup phase 1: checks, choice of the replica, obligation, desync.
    Isolate,
    /// Backup phase 2: the copy, and the replica's way back.
    Copy,
    /// Backup phase 3: manifest, catalogue, retention.
    Record,
    /// Comparing stored bytes with what was recorded.
    Verify,
    /// Copying between the stores, removing, taking stock.
    Store,
    /// Restore phase 1, and a drill: unpacking a backup, preparing it, and booting a server on it.
    Prove,
    /// Restore phase 1, its end: the cluster stops.
    Stop,
    /// Restore phase 2: the restored data get into place.
    Refill,
    /// Restore phase 3: one replica starts, the others join.
    Start,
    /// The old cluster is brought back.
    RollBack,
    /// A phase this build does not know.
    #[serde(other)]
    Unknown,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum EventKind {
    /// A phase began.
    Started,
    /// A step was taken; the text is for people.
    Step {
        /// A sentence without a full stop.
        message: String,
    },
    /// Bytes went by.
    #[serde(rename_all = "camelCase")]
    Progress {
        /// Bytes handled so far, before compression.
        done_bytes: u64,
        /// Bytes expected in all: an estimate, which the end may miss; 0 where nobody can tell.
        total_bytes: u64,
        /// Bytes written to the store so far.
        written_bytes: u64,
    },
    /// Something the reader should know, although the run goes on.
    Warned {
        /// A sentence without a full stop.
        message: String,
    },
    /// The runner has checked everything it can check beforehand and waits for the go-ahead.
    Ready,
    /// Of a runner: the replica is back, and the backup is whole in its first store; a copy to S3 may
    /// still be going on.
    Published {
        /// The backup, as the final report will tell it.
        report: Box<CopyReport>,
    },
    /// A backup was found in a store.
    Found {
        /// It.
        found: Box<FoundBackup>,
    },
    /// Of a runner: rows of a proven backup were counted.
    Counted {
        /// Some of its tables.
        tables: Vec<Counted>,
    },
    /// Of a runner: a line that a tool wrote which failed, one of its last; for the log, where its pod is gone.
    Said {
        /// The tool: `mariadb-backup` or `mariadbd`.
        by: String,
        /// The line, as it came.
        line: String,
    },
    /// A phase ended well; of a runner: its work did.
    Finished,
    /// A phase failed, or a runner's work; the outcome says more.
    Failed {
        /// What failed, in one sentence.
        message: String,
    },
    /// A kind this build does not know.
    #[serde(other)]
    Unknown,
}
