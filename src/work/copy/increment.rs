//! Whether a copy may build on an earlier one: the parent is read, then judged without the world.
//!
//! An increment holds what changed since a point in the redo of *one* server's files. Taken of other
//! files (the replica was restored, or got its data by state transfer) it is made and prepared
//! without a complaint and lacks rows. So it is only made where the files are proven to be those the
//! parent was copied from; whatever is not known proves nothing, and the copy is a full one.

use std::io::{self, BufReader, Read};
use std::sync::Arc;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::preflight::Observed;
use crate::model::backup_id::BackupId;
use crate::model::manifest::{
    MANIFEST_FILE, MANIFEST_SCHEMA, Origin, Parent, REQUIRED_DATA_MEMBERS, REQUIRED_DELTA_MEMBERS, Source, hex,
};
use crate::model::order::CopyOrder;
use crate::model::outcome::in_full;
use crate::model::version::Series;
use crate::ports::runner::Store;
use crate::ports::{PortError, Reason};

/// What is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A full copy, perhaps with the reason why it is no incremental one.
    Full {
        /// The reason, when an incremental one was wished for.
        because: Option<String>,
    },
    /// A copy of what changed since its parent.
    Incremental {
        /// The parent.
        parent: Parent,
        /// The point of the redo at which the parent ends.
        since: u64,
    },
}

impl Kind {
    /// Where mariadb-backup is to begin; at the very beginning when missing.
    #[must_use]
    pub fn since(&self) -> Option<u64> {
        match self {
            Self::Full { .. } => None,
            Self::Incremental { since, .. } => Some(*since),
        }
    }

    /// Files without which the stream is not whole.
    #[must_use]
    pub fn required_members(&self) -> &'static [&'static str] {
        match self {
            Self::Full { .. } => &REQUIRED_DATA_MEMBERS,
            Self::Incremental { .. } => &REQUIRED_DELTA_MEMBERS,
        }
    }
}

/// What a parent's manifest says that matters here; its long list of members is passed over.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct FoundParent {
    schema: u32,
    backup: BackupId,
    source: Source,
    origin: Origin,
    /// SHA-256 of the manifest.
    #[serde(skip)]
    sha256: String,
}

/// Why a copy is a full one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoIncrement {
    #[error("no backup to build on was named")]
    NoParent,
    #[error("the manifest of {backup} cannot be read: {why}")]
    Unreadable { backup: BackupId, why: String },
    #[error("the manifest of {backup} is not the one that was recorded")]
    OtherManifest { backup: BackupId },
    #[error("{backup} belongs to another chain")]
    OtherChain { backup: BackupId },
    #[error("{backup} was made of {what} {theirs}, this one is made of {ours}")]
    OtherReplica { backup: BackupId, what: &'static str, theirs: String, ours: String },
    #[error("the files of the replica are not those {backup} was made of (ibdata1 was made anew)")]
    OtherFiles { backup: BackupId },
    #[error("it cannot be told whether the files are those {backup} was made of: their birth is not kept")]
    UnknownFiles { backup: BackupId },
    #[error("the server was started anew since {backup}, and its wsrep_sst_method may have written into the files")]
    MaybeOtherContent { backup: BackupId },
    #[error("{backup} is of series {theirs}, the server of {ours}")]
    OtherSeries { backup: BackupId, theirs: String, ours: String },
    #[error("{backup} was made in another history of the cluster ({theirs}, now {ours})")]
    OtherHistory { backup: BackupId, theirs: String, ours: String },
    #[error("the server stands before the end of {backup} ({what} {ours}, there {theirs})")]
    WentBack { backup: BackupId, what: &'static str, theirs: String, ours: String },
}

/// Reads the parent's manifest from the first of the stores that has it as it was recorded.
pub(super) fn find(
    parent: &BackupId,
    recorded_sha256: Option<&str>,
    stores: &[Arc<dyn Store>],
) -> Result<FoundParent, NoIncrement> {
    let mut first_trouble = None;
    for store in stores {
        let trouble = match read(parent, store.as_ref()) {
            Ok(found) if recorded_sha256.is_none_or(|sha256| sha256 == found.sha256) => return Ok(found),
            Ok(_) => NoIncrement::OtherManifest { backup: parent.clone() },
            Err(error) => NoIncrement::Unreadable { backup: parent.clone(), why: in_full(&error) },
        };
        first_trouble.get_or_insert(trouble);
    }
    Err(first_trouble.unwrap_or(NoIncrement::NoParent))
}

fn read(parent: &BackupId, store: &dyn Store) -> Result<FoundParent, PortError> {
    let path = format!("{}/{MANIFEST_FILE}", parent.directory());
    let (file, _) = store.open(&path)?;
    let damaged =
        |error: serde_json::Error| PortError::new(Reason::Other, format!("{path} is damaged")).caused_by(error);
    let mut reader = BufReader::new(Hashing { inner: file, hash: Sha256::new() });
    let mut found: FoundParent = serde_json::from_reader(&mut reader).map_err(damaged)?;
    io::copy(&mut reader, &mut io::sink())
        .map_err(|error| PortError::new(Reason::Other, format!("cannot read {path}")).caused_by(error))?;
    if (found.schema, &found.backup) != (MANIFEST_SCHEMA, parent) {
        return Err(PortError::new(Reason::Other, format!("{path} is not that of this backup")));
    }
    found.sha256 = hex(&reader.into_inner().hash.finalize());
    Ok(found)
}

/// Hashes what is read through it.
struct Hashing<R> {
    inner: R,
    hash: Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hash.update(&buffer[..count]);
        Ok(count)
    }
}

/// Decides what the copy is, and under which name.
pub(super) fn decide(order: &CopyOrder, found: &Observed, series: Series) -> (BackupId, Kind) {
    let full = |because| (BackupId::Full(order.backup.name().clone()), Kind::Full { because });
    if order.backup.base().is_none() {
        return full(order.full_because.clone());
    }
    let judged = match &found.parent {
        None => Err(NoIncrement::NoParent),
        Some(Err(why)) => Err(why.clone()),
        Some(Ok(parent)) => judge(order, found, parent, series).map(|()| parent),
    };
    match judged {
        Ok(parent) => {
            let since = parent.origin.lsn.to;
            let parent = Parent { backup: parent.backup.clone(), manifest_sha256: parent.sha256.clone() };
            (order.backup.clone(), Kind::Incremental { parent, since })
        }
        Err(why) => full(Some(why.to_string())),
    }
}

/// Demands every proof that the files are still those the parent was made of.
fn judge(order: &CopyOrder, found: &Observed, parent: &FoundParent, series: Series) -> Result<(), NoIncrement> {
    let backup = || parent.backup.clone();
    if parent.backup.base().unwrap_or(parent.backup.name()) != order.backup.base().unwrap_or(order.backup.name()) {
        return Err(NoIncrement::OtherChain { backup: backup() });
    }
    if Series::find(&parent.origin.server_version) != Some(series) {
        let theirs = parent.origin.server_version.clone();
        return Err(NoIncrement::OtherSeries { backup: backup(), theirs, ours: series.to_string() });
    }
    check_replica(&order.source, parent)?;
    check_files(found, parent)?;
    check_history(found, parent)
}

fn check_replica(ours: &Source, parent: &FoundParent) -> Result<(), NoIncrement> {
    let theirs = &parent.source;
    let facts = [("replica", &theirs.pod, &ours.pod), ("the data claim with UID", &theirs.claim_uid, &ours.claim_uid)];
    match facts.into_iter().find(|(_, theirs, ours)| theirs != ours) {
        None => Ok(()),
        Some((what, theirs, ours)) => {
            let (theirs, ours) = (theirs.clone(), ours.clone());
            Err(NoIncrement::OtherReplica { backup: parent.backup.clone(), what, theirs, ours })
        }
    }
}

fn check_files(found: &Observed, parent: &FoundParent) -> Result<(), NoIncrement> {
    let (theirs, ours, backup) = (&parent.origin, found.incarnation, parent.backup.clone());
    if theirs.ibdata1_inode != ours.ibdata1_inode {
        return Err(NoIncrement::OtherFiles { backup });
    }
    match (theirs.ibdata1_birth_nanos, ours.ibdata1_birth_nanos) {
        (Some(theirs), Some(ours)) if theirs == ours => Ok(()),
        (Some(_), Some(_)) => Err(NoIncrement::OtherFiles { backup }),
        // An inode's number is given again to the next file.
        _ => Err(NoIncrement::UnknownFiles { backup }),
    }
}

fn check_history(found: &Observed, parent: &FoundParent) -> Result<(), NoIncrement> {
    let (theirs, ours, backup) = (&parent.origin, &found.member, parent.backup.clone());
    if theirs.position.uuid != ours.state_uuid {
        let (theirs, ours) = (theirs.position.uuid.clone(), ours.state_uuid.clone());
        return Err(NoIncrement::OtherHistory { backup, theirs, ours });
    }
    // Only a server that was never started anew has surely got no state transfer that kept the files.
    if ours.sst_keeps_files && theirs.gcomm_uuid != ours.gcomm_uuid {
        return Err(NoIncrement::MaybeOtherContent { backup });
    }
    let went_back = |what, theirs: String, ours: String| NoIncrement::WentBack { backup, what, theirs, ours };
    if ours.lsn < theirs.lsn.last {
        return Err(went_back("redo at", theirs.lsn.last.to_string(), ours.lsn.to_string()));
    }
    if ours.last_committed < theirs.position.seqno {
        return Err(went_back("write-set", theirs.position.seqno.to_string(), ours.last_committed.to_string()));
    }
    Ok(())
}
