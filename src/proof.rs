//! From a backup to the order that proves it: its chain, from which stores it is taken, what is expected.
//!
//! Pure, and shared by the workflows that boot a backup: the drill and the restore.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::exit_code::ExitCode;
use crate::model::backup_id::BackupId;
use crate::model::catalogue::Presence;
use crate::model::chain::{self, BrokenChain};
use crate::model::names::{BACKUP_CREDENTIALS, CONDUCTOR_CREDENTIALS, ORIGINAL_KEY_PATH};
use crate::model::order::{OriginalKey, ProveOrder, StoreName};
use crate::model::original;
use crate::model::outcome::Explain;
use crate::stores::{self, Inputs};

/// How long the booted server may take to answer: recovery of what was prepared takes next to nothing.
pub const BOOT_LIMIT: Duration = Duration::from_mins(10);

/// A backup with all it needs, and where each of them is taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The backups, the base first.
    pub members: Vec<BackupId>,
    /// The store of each.
    pub from: Vec<StoreName>,
}

/// Why a backup cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// No such backup.
    #[error("the catalogue has no backup {0}")]
    NoSuchBackup(BackupId),
    /// It cannot be put together.
    #[error("backup {backup} cannot be restored")]
    Broken {
        /// The backup.
        backup: BackupId,
        /// The first member of its chain that cannot be relied on.
        #[source]
        source: BrokenChain,
    },
    /// A member is not in the store that was asked for, or that is used.
    #[error("{member}, which {backup} needs, is not in {place}")]
    NotThere {
        /// The backup.
        backup: BackupId,
        /// The member of its chain.
        member: BackupId,
        /// The stores looked at, in words.
        place: &'static str,
    },
}

impl Explain for ChainError {
    fn code(&self) -> ExitCode {
        match self {
            Self::NoSuchBackup(_) | Self::NotThere { .. } => ExitCode::NotFound,
            Self::Broken { .. } => ExitCode::VerificationFailed,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoSuchBackup(_) | Self::Broken { .. } => "to see which there are: kubectl mariadb-backup list",
            Self::NotThere { .. } => {
                "the store it lies in was not asked for with --store, or is not used now: kubectl mariadb-backup list -o wide"
            }
        };
        Some(hint.to_owned())
    }
}

impl Chain {
    /// Puts the chain of a backup together; each member is taken from the first of the stores in which it
    /// is, or from the one that is asked for.
    ///
    /// # Errors
    /// The backup cannot be put together from the stores that are used.
    pub fn of(
        inputs: &Inputs<'_>,
        backup: &BackupId,
        wanted: Option<StoreName>,
        order: [StoreName; 2],
    ) -> Result<Self, ChainError> {
        if !inputs.catalogue.entry(backup).is_some_and(|entry| entry.is_listed()) {
            return Err(ChainError::NoSuchBackup(backup.clone()));
        }
        let members = chain::of(inputs.catalogue, backup)
            .map_err(|source| ChainError::Broken { backup: backup.clone(), source })?;
        let place = |member: &BackupId| {
            place(inputs, wanted, order, member).ok_or_else(|| ChainError::NotThere {
                backup: backup.clone(),
                member: member.clone(),
                place: wanted.map_or("a store that is used", StoreName::word),
            })
        };
        let from = members.iter().map(place).collect::<Result<_, _>>()?;
        Ok(Self { members, from })
    }

    /// Whether any member is taken from that store.
    #[must_use]
    pub fn uses(&self, store: StoreName) -> bool {
        self.from.contains(&store)
    }

    /// Returns how large it is unpacked, in bytes, with the room its preparation and boot take; or the
    /// first member of which that is not recorded.
    ///
    /// # Errors
    /// A member whose size is not recorded.
    pub fn unpacked_bytes(&self, inputs: &Inputs<'_>) -> Result<u64, BackupId> {
        let of = |member: &BackupId| {
            let stream_bytes = inputs.catalogue.entry(member).and_then(|entry| entry.stream_bytes);
            stream_bytes.ok_or_else(|| member.clone())
        };
        self.members.iter().map(of).sum()
    }

    /// Writes the order to prove it in that directory, which stays where it ends well.
    #[must_use]
    pub fn order(&self, inputs: &Inputs<'_>, scratch: String) -> ProveOrder {
        let mut used = stores::of(inputs.settings, inputs.cluster);
        used.s3 = used.s3.filter(|_| self.uses(StoreName::S3));
        used.local = used.local.filter(|_| self.uses(StoreName::Local));
        let expected: BTreeMap<_, _> =
            self.members.iter().flat_map(|member| inputs.catalogue.files_of(member)).collect();
        // No other backup needs it, so for no other it is handed out.
        let has_original = expected.keys().any(|path| path.ends_with(original::STREAM_FILE));
        ProveOrder {
            stores: used,
            chain: self.members.clone(),
            from: self.from.clone(),
            expected,
            scratch,
            operator_credentials: Some(CONDUCTOR_CREDENTIALS.to_owned()),
            backup_credentials: Some(BACKUP_CREDENTIALS.to_owned()),
            server_accounts: inputs.cluster.server.accounts.clone(),
            server_logins_may_fail: true,
            original_key: inputs.settings.original_key_secret.clone().filter(|_| has_original).map(original_key),
            query: None,
            count_rows: false,
            prepare_memory_bytes: None,
            boot_timeout_secs: BOOT_LIMIT.as_secs(),
            prepare_timeout_secs: inputs.settings.copy_timeout.as_secs(),
            reserve_bytes: 0,
            discard: false,
        }
    }
}

fn original_key(secret: String) -> OriginalKey {
    OriginalKey { secret, directory: ORIGINAL_KEY_PATH.to_owned() }
}

fn place(
    inputs: &Inputs<'_>,
    wanted: Option<StoreName>,
    order: [StoreName; 2],
    member: &BackupId,
) -> Option<StoreName> {
    let is_used = |store: &StoreName| inputs.settings.stores.uses(*store);
    let entry = inputs.catalogue.entry(member);
    let is_there = |store: &StoreName| entry.as_ref().is_some_and(|entry| entry.presence(*store) == Presence::Present);
    let may_be = |store: &StoreName| wanted.is_none_or(|wanted| wanted == *store) && is_used(store);
    order.into_iter().find(|store| may_be(store) && is_there(store))
}
