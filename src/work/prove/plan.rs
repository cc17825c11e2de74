//! What is decided without touching anything: whether the backups are a chain, and how much of what.

use std::collections::BTreeMap;

use super::error::ProveError;
use crate::model::backup_id::BackupId;
use crate::model::catalogue::Checksum;
use crate::model::galera::Position;
use crate::model::manifest::{self, LsnRange, Parent};
use crate::model::order::{ProveOrder, StoreName};
use crate::model::original;
use crate::model::report::QueryResult;
use crate::model::version::Series;
use crate::ports::prove::{Most, Rows};
use crate::work::openssl::Passphrase;

/// The directory in the scratch that becomes the data directory.
pub(super) const BASE: &str = "base";

/// The names of the directories with increments begin with this.
const INCREMENT: &str = "inc-";

/// A query's result takes no more than so many bytes of the report, which has 4 KiB in all.
const QUERY_BYTES: usize = 1500;

/// What is read of a query's result.
pub(super) const MOST: Most = Most { rows: 50, chars: 200 };

/// Longer texts of the server are cut.
const TEXT_CHARS: usize = 80;

/// The tool's own default, below which it is not worth asking for less.
const LEAST_MEMORY: u64 = 96 << 20;

/// More memory than this gains nothing that anybody waits for.
const MOST_MEMORY: u64 = 4 << 30;

/// As much where nobody says what may be taken.
const MOST_UNLIMITED: u64 = 1 << 30;

/// Of a container's memory this is for the agent, for the tool beside its pages, and for the files' cache.
const OTHER_MEMORY: u64 = 256 << 20;

/// One backup of the chain.
#[derive(Clone, Debug)]
pub(super) struct Link {
    /// The backup.
    pub backup: BackupId,
    /// Its directory in the scratch.
    pub directory: String,
    /// The store it is taken from.
    pub from: StoreName,
    /// What its files must be, by path inside the store; without those that were read already.
    pub files: BTreeMap<String, Checksum>,
    /// How it was made.
    pub form: Form,
    /// Bytes it takes unpacked, or more where that is not recorded.
    pub least_bytes: u64,
    /// The length of the redo in it, in bytes; known once it is unpacked.
    pub redo_bytes: u64,
    /// The stretch of redo it covers.
    pub lsn: LsnRange,
    /// The Galera position it stands at, where that is recorded.
    pub position: Option<Position>,
    /// The version of the server it was made of.
    pub server_version: String,
}

/// How a backup was made, and what says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// By this product: its manifest describes it.
    Ours {
        /// The stream's length before compression, in bytes.
        stream_bytes: u64,
        /// SHA-256 of its manifest.
        manifest_sha256: String,
        /// What it builds on.
        parent: Option<Parent>,
    },
    /// By the original: an increment builds on the one before it.
    Original {
        /// What it is encrypted with, if it is.
        key: Option<Passphrase>,
    },
}

impl Form {
    /// The file with the stream.
    pub(super) fn stream_file(&self) -> &'static str {
        match self {
            Self::Ours { .. } => manifest::STREAM_FILE,
            Self::Original { .. } => original::STREAM_FILE,
        }
    }
}

/// Refuses an order that makes no sense.
pub(super) fn check_order(order: &ProveOrder) -> Result<(), ProveError> {
    let wrong = |what: &str| Err(ProveError::Order(what.to_owned()));
    match order.chain.split_first() {
        None => return wrong("the order names no backup"),
        Some((BackupId::Incremental { .. }, _)) => return wrong("the order's chain does not begin with a full backup"),
        Some((_, increments)) if increments.iter().any(|backup| backup.base().is_none()) => {
            return wrong("the order's chain has a second full backup");
        }
        Some(_) => {}
    }
    if order.from.len() != order.chain.len() {
        return wrong("the order does not say of each backup from which store it is taken");
    }
    for from in &order.from {
        let is_there = match from {
            StoreName::Local => order.stores.local.is_some(),
            StoreName::S3 => order.stores.s3.is_some(),
        };
        if !is_there {
            return Err(ProveError::Order(format!(
                "the order takes a backup from {} and does not name it",
                from.word()
            )));
        }
    }
    Ok(())
}

/// The directory for the backup at that place of the chain.
pub(super) fn directory(number: usize) -> String {
    if number == 0 { BASE.to_owned() } else { format!("{INCREMENT}{number}") }
}

/// Whether a name in the scratch is one of ours.
pub(super) fn is_ours(name: &str) -> bool {
    let is_increment = |number: &str| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    name == BASE || name == crate::ports::prove::RUN_DIRECTORY || name.strip_prefix(INCREMENT).is_some_and(is_increment)
}

/// Refuses backups that do not build on one another in this order.
///
/// The tool would not notice every time: with equal numbers of redo it applies an increment to the wrong
/// backup, says that all is well, and rows are missing.
pub(super) fn check_chain(links: &[Link]) -> Result<(), ProveError> {
    let broken = |link: &Link, what: String| Err(ProveError::NoChain { backup: link.backup.clone(), what });
    if let Some(base) = links.first() {
        match &base.form {
            Form::Ours { parent: Some(parent), .. } => {
                return broken(base, format!("builds on {}, which is not below it", parent.backup));
            }
            Form::Original { .. } if base.lsn.from != 0 => {
                return broken(base, format!("begins at {} of the redo, and nothing is below it", base.lsn.from));
            }
            Form::Ours { .. } | Form::Original { .. } => {}
        }
    }
    let misfits = links.iter().zip(links.iter().skip(1)).find_map(|(below, link)| Some((link, misfit(below, link)?)));
    misfits.map_or(Ok(()), |(link, what)| broken(link, what))
}

/// Says why an increment does not build on the backup below it.
fn misfit(below: &Link, link: &Link) -> Option<String> {
    match (&link.form, &below.form) {
        (Form::Ours { parent: None, .. }, _) => Some("builds on nothing, by its manifest".to_owned()),
        (Form::Ours { parent: Some(parent), .. }, _) if parent.backup != below.backup => {
            Some(format!("builds on {}, not on {}", parent.backup, below.backup))
        }
        (Form::Ours { parent: Some(parent), .. }, Form::Ours { manifest_sha256, .. })
            if !parent.manifest_sha256.eq_ignore_ascii_case(manifest_sha256) =>
        {
            Some(format!("builds on another {} than the one that is there", below.backup))
        }
        // Neither makes increments on what the other made.
        (Form::Ours { .. }, Form::Original { .. }) | (Form::Original { .. }, Form::Ours { .. }) => {
            Some(format!("was made by another product than {}", below.backup))
        }
        // Of two that cover the same redo, as on a quiet server, only their names tell which comes first.
        (Form::Original { .. }, _) if link.backup.name() <= below.backup.name() => {
            Some(format!("is not newer than {}", below.backup))
        }
        _ if link.lsn.from != below.lsn.to => {
            let (from, to) = (link.lsn.from, below.lsn.to);
            Some(format!("begins at {from} of the redo, and {} ends at {to}", below.backup))
        }
        _ => None,
    }
}

/// Refuses a server of another series than the backup's: its files are not meant for it.
pub(super) fn check_series(links: &[Link], version: &str) -> Result<(), ProveError> {
    let of_another = |link: &&Link| match (Series::find(&link.server_version), Series::find(version)) {
        (Some(made), Some(runs)) => made != runs,
        // What cannot be read proves nothing.
        _ => false,
    };
    match links.iter().find(of_another) {
        None => Ok(()),
        Some(link) => Err(ProveError::OtherSeries {
            backup: link.backup.clone(),
            made: link.server_version.clone(),
            runs: short(version),
        }),
    }
}

/// Decides how much memory a preparation uses.
///
/// With room for all of the redo's records, each page is read and written once; they take more in memory
/// than in the file.
pub(super) fn memory(wish: Option<u64>, redo_bytes: u64, limit: Option<u64>) -> u64 {
    if let Some(wish) = wish {
        return wish;
    }
    let most = limit.map_or(MOST_UNLIMITED, |limit| limit.saturating_sub(OTHER_MEMORY) / 4 * 3);
    redo_bytes.saturating_mul(3).min(MOST_MEMORY).min(most).max(LEAST_MEMORY)
}

/// Cuts a text of the server to what a report has room for.
pub(super) fn short(text: &str) -> String {
    text.chars().take(TEXT_CHARS).collect()
}

/// Keeps of a result as many whole rows as the report has room for, and what their columns are called.
pub(super) fn bounded(rows: Rows) -> QueryResult {
    let mut result = QueryResult { columns: Vec::new(), rows: Vec::new(), truncated: rows.has_more };
    let mut left = QUERY_BYTES;
    // Names that would take the room of the values are left out.
    if written_bytes(&rows.columns) <= QUERY_BYTES / 4 {
        left -= written_bytes(&rows.columns);
        result.columns = rows.columns;
    }
    for row in rows.rows {
        let bytes = written_bytes(&row);
        if bytes > left {
            result.truncated = true;
            break;
        }
        left -= bytes;
        result.rows.push(row);
    }
    result
}

/// The length as JSON, in which one character can take up to six bytes, with brackets, quotes and commas.
fn written_bytes(row: &[String]) -> usize {
    row.iter().map(|value| serde_json::Value::from(value.as_str()).to_string().len() + 1).sum::<usize>() + 3
}

#[cfg(test)]
mod tests;
