//! Chains: a full backup and the increments that build on one another.
//!
//! An increment is worth as much as everything below it, so whoever restores, builds on or removes
//! one asks here. The catalogue says what an increment builds on; where it does not, as in those of
//! the original, it builds on the one before it.

use std::time::Duration;

use jiff::Timestamp;

use super::backup_id::{BackupId, BackupName};
use super::catalogue::{Catalogue, Trouble};
use super::settings::StoresWish;

/// Why a backup cannot be restored: a member of its chain cannot be relied on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{member} of the chain is {trouble}")]
pub struct BrokenChain {
    /// The first such member from the base up.
    pub member: BackupId,
    /// What is wrong with it.
    pub trouble: Trouble,
}

/// Returns the chain of a backup, its base first and itself last.
///
/// # Errors
/// Names the first member that is missing, damaged, set aside or being removed.
pub fn of(catalogue: &Catalogue, backup: &BackupId) -> Result<Vec<BackupId>, BrokenChain> {
    usable(catalogue, backup, StoresWish::Both)
}

fn usable(catalogue: &Catalogue, backup: &BackupId, stores: StoresWish) -> Result<Vec<BackupId>, BrokenChain> {
    let chain = members(catalogue, backup);
    for member in &chain {
        if let Some(trouble) = catalogue.trouble(member, stores) {
            return Err(BrokenChain { member: member.clone(), trouble });
        }
    }
    Ok(chain)
}

/// Returns what a chain consists of, its base first, whether or not it can be relied on.
#[must_use]
pub fn members(catalogue: &Catalogue, backup: &BackupId) -> Vec<BackupId> {
    let mut chain = vec![backup.clone()];
    let increments = backup.base().map(|base| increments(catalogue, base)).unwrap_or_default();
    // Each step goes back in time, so a hostile catalogue cannot make it go round.
    while let Some(parent) = chain.last().and_then(|last| parent(catalogue, &increments, last)) {
        chain.push(parent);
    }
    chain.reverse();
    chain
}

/// Returns what a backup builds on; `None` for a full one.
fn parent(catalogue: &Catalogue, increments: &[BackupId], backup: &BackupId) -> Option<BackupId> {
    let BackupId::Incremental { base, name } = backup else { return None };
    let recorded = catalogue.entry(backup).and_then(|entry| entry.parent).filter(|parent| parent < name);
    let before = || increments.iter().rev().map(BackupId::name).find(|other| *other < name).cloned();
    match recorded.or_else(before) {
        Some(parent) if parent != *base => Some(BackupId::Incremental { base: base.clone(), name: parent }),
        _ => Some(BackupId::Full(base.clone())),
    }
}

/// Returns the increments of one base in the order of their names.
fn increments(catalogue: &Catalogue, base: &BackupName) -> Vec<BackupId> {
    catalogue.backups().into_iter().filter(|backup| backup.base() == Some(base)).collect()
}

/// Returns every backup that would be worth nothing without this one, children before parents.
#[must_use]
pub fn needs(catalogue: &Catalogue, backup: &BackupId) -> Vec<BackupId> {
    let base = backup.base().unwrap_or_else(|| backup.name());
    let needs_it = |other: &BackupId| other != backup && members(catalogue, other).contains(backup);
    increments(catalogue, base).into_iter().rev().filter(needs_it).collect()
}

/// Returns the base of the chain an increment made now goes into, and what it builds on.
///
/// The base is the newest full backup that can be relied on; the parent is the newest of its chain.
///
/// # Errors
/// Says in a sentence why it has to be a full backup instead.
pub fn parent_for_increment(
    catalogue: &Catalogue,
    now: Timestamp,
    cycle: Duration,
    stores: StoresWish,
) -> Result<(BackupName, BackupId), String> {
    let base = newest_full(catalogue, stores)?;
    let age = Duration::try_from(now.duration_since(base.time())).map_err(|_| future(&base))?;
    if age >= cycle {
        return Err(format!("the newest full backup {base} is older than {}", words(cycle)));
    }
    let full = BackupId::Full(base.clone());
    let parent = increments(catalogue, &base).pop().unwrap_or(full);
    // The order of names is the order of the chain, also where the clock was set back.
    if *parent.name() >= BackupName::at(now) {
        return Err(future(parent.name()));
    }
    usable(catalogue, &parent, stores).map_err(|broken| broken.to_string())?;
    Ok((base, parent))
}

fn future(name: &BackupName) -> String {
    format!("the newest backup {name} is not older than this moment, so the clock was set back")
}

fn newest_full(catalogue: &Catalogue, stores: StoresWish) -> Result<BackupName, String> {
    let fulls: Vec<_> = catalogue.listed().into_iter().filter(|backup| backup.base().is_none()).collect();
    let usable = fulls.iter().rev().find(|full| catalogue.trouble(full, stores).is_none());
    match (usable, fulls.last()) {
        (Some(full), _) => Ok(full.name().clone()),
        (None, Some(newest)) => {
            let trouble = catalogue.trouble(newest, stores).unwrap_or(Trouble::Missing);
            Err(format!("no full backup can be relied on: {newest} is {trouble}"))
        }
        (None, None) => Err("there is no full backup yet".to_owned()),
    }
}

/// Writes a time in its largest unit that leaves no rest.
fn words(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [(86_400, "d"), (3_600, "h"), (60, "m")];
    match units.iter().find(|(unit, _)| seconds > 0 && seconds.is_multiple_of(*unit)) {
        Some((unit, letter)) => format!("{}{letter}", seconds / unit),
        None => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests;
