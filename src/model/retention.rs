//! Retention: which backups have outlived their use.
//!
//! What counts is the number of good full backups; their increments stay and go with them. A full
//! backup that failed, is damaged or set aside neither counts nor pushes a good one out.

use std::collections::BTreeSet;

use super::backup_id::{BackupId, BackupName};
use super::catalogue::Catalogue;
use super::chain;
use super::settings::StoresWish;

/// Returns the backups to remove, children before parents.
///
/// The newest `keep` good full backups stay, and the newest one always, with everything that builds
/// on them and everything newer than the oldest of them: what is damaged there is for a person to
/// judge. A full backup that was set aside stays too. What is being removed already is among the answer, with whatever needs it.
#[must_use]
pub fn plan(catalogue: &Catalogue, keep: u32, stores: StoresWish) -> Vec<BackupId> {
    let outlived = oldest_kept(catalogue, keep, stores);
    let goes = |backup: &BackupId| outlived.as_ref().is_some_and(|oldest| chain_name(backup) < oldest);
    let backups = catalogue.backups();
    // What was set aside takes a person to judge it, and a person's `delete` to remove it.
    let is_aside = |backup: &BackupId| {
        let full = catalogue.entry(&BackupId::Full(chain_name(backup).clone()));
        full.is_some_and(|entry| entry.quarantined.is_some())
    };
    let mut removed: Vec<_> = backups.iter().filter(|backup| goes(backup) && !is_aside(backup)).cloned().collect();
    removed.extend(begun(catalogue));
    children_first(removed)
}

/// Returns what is being removed already, with whatever needs it, children before parents.
#[must_use]
pub fn begun(catalogue: &Catalogue) -> Vec<BackupId> {
    let listed: BTreeSet<_> = catalogue.listed().into_iter().collect();
    let begun = catalogue.backups().into_iter().filter(|backup| !listed.contains(backup));
    children_first(begun.flat_map(|backup| [chain::needs(catalogue, &backup), vec![backup]].concat()).collect())
}

/// Returns the oldest full backup that is kept; `None` while there are not more good ones than wanted.
fn oldest_kept(catalogue: &Catalogue, keep: u32, stores: StoresWish) -> Option<BackupName> {
    let keep = usize::try_from(keep.max(1)).unwrap_or(usize::MAX);
    good_fulls(catalogue, stores).into_iter().rev().nth(keep - 1)
}

/// Returns the full backups that can be relied on with these stores, in the order of their names.
#[must_use]
pub fn good_fulls(catalogue: &Catalogue, stores: StoresWish) -> Vec<BackupName> {
    let fulls = catalogue.backups().into_iter().filter(|backup| backup.base().is_none());
    fulls.filter(|full| catalogue.trouble(full, stores).is_none()).map(|full| full.name().clone()).collect()
}

/// Returns the name of the full backup that a backup's chain starts with.
fn chain_name(backup: &BackupId) -> &BackupName {
    backup.base().unwrap_or_else(|| backup.name())
}

/// Puts backups into the order in which they can be removed: by chain, and there the newest first.
#[must_use]
pub fn children_first(mut backups: Vec<BackupId>) -> Vec<BackupId> {
    // An increment is newer than its base by its own name, but a clock that was set back may say otherwise.
    let order = |backup: &BackupId| {
        (chain_name(backup).clone(), backup.base().is_none(), std::cmp::Reverse(backup.name().clone()))
    };
    backups.sort_by_cached_key(order);
    backups.dedup();
    backups
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::catalogue::{Entry, Presence};

    fn name(day: i64) -> BackupName {
        BackupName::at(jiff::Timestamp::from_second(1_780_000_000 + day * 86_400).unwrap())
    }

    fn full(day: i64) -> BackupId {
        BackupId::Full(name(day))
    }

    fn increment(base: i64, day: i64) -> BackupId {
        BackupId::Incremental { base: name(base), name: name(day) }
    }

    fn good() -> Entry {
        Entry::default()
    }

    fn damaged() -> Entry {
        Entry { local: Presence::Damaged, ..Entry::default() }
    }

    fn removing() -> Entry {
        Entry { removing: Some(name(99).time()), ..Entry::default() }
    }

    fn catalogue(entries: impl IntoIterator<Item = (BackupId, Entry)>) -> Catalogue {
        Catalogue { entries: entries.into_iter().collect(), ..Catalogue::default() }
    }

    fn removed(catalogue: &Catalogue, keep: u32) -> Vec<BackupId> {
        plan(catalogue, keep, StoresWish::Both)
    }

    #[test]
    fn the_newest_full_backups_stay_with_their_increments() {
        let catalogue = catalogue([
            (full(0), good()),
            (increment(0, 1), good()),
            (increment(0, 2), good()),
            (full(3), good()),
            (increment(3, 4), good()),
            (full(5), good()),
        ]);
        assert_eq!(removed(&catalogue, 2), [increment(0, 2), increment(0, 1), full(0)]);
        assert_eq!(removed(&catalogue, 3), []);
        assert_eq!(removed(&catalogue, u32::MAX), []);
    }

    #[test]
    fn a_full_backup_that_is_no_good_counts_for_nothing() {
        let catalogue = catalogue([
            (full(0), damaged()),
            (full(1), good()),
            (full(2), damaged()),
            (increment(2, 3), good()),
            (full(4), good()),
            (full(5), damaged()),
        ]);
        assert_eq!(removed(&catalogue, 2), [full(0)], "what is newer than the oldest kept one is for a person");
        assert_eq!(removed(&catalogue, 1), [full(0), full(1), increment(2, 3), full(2)]);
        assert_eq!(removed(&catalogue, 3), [], "while good ones are fewer than wanted nothing goes");
    }

    #[test]
    fn what_was_set_aside_stays_with_its_increments_until_a_person_removes_it() {
        let aside = || Entry { quarantined: Some(name(9).time()), ..damaged() };
        let catalogue = catalogue([
            (full(0), aside()),
            (increment(0, 1), aside()),
            (full(2), good()),
            (increment(2, 3), aside()),
            (full(4), good()),
        ]);
        assert_eq!(removed(&catalogue, 1), [increment(2, 3), full(2)]);
    }

    #[test]
    fn the_last_good_full_backup_stays_whatever_is_wished() {
        let only = catalogue([(full(0), good()), (full(1), damaged())]);
        assert_eq!(removed(&only, 0), []);
        assert_eq!(removed(&catalogue([(full(0), damaged()), (full(1), damaged())]), 1), []);
    }

    #[test]
    fn a_removal_that_was_begun_is_finished() {
        let catalogue = catalogue([(full(0), removing()), (increment(0, 1), good()), (full(2), good())]);
        assert_eq!(removed(&catalogue, 5), [increment(0, 1), full(0)]);
    }

    /// Any catalogue: a few chains, with members that are damaged, set aside, missing or being removed.
    fn any_catalogue() -> impl Strategy<Value = Catalogue> {
        let backup = (0..5i64, proptest::option::of(0..6i64), 0..8u8).prop_map(|(chain, child, fate)| {
            let id = child.map_or(full(chain * 10), |child| increment(chain * 10, chain * 10 + child + 1));
            let entry = match fate {
                0 => damaged(),
                1 => removing(),
                2 => Entry { quarantined: Some(name(99).time()), ..Entry::default() },
                3 => Entry { local: Presence::Unfinished, ..Entry::default() },
                4 => Entry { local: Presence::Missing, s3: Presence::Present, ..Entry::default() },
                _ => good(),
            };
            (id, entry)
        });
        proptest::collection::vec(backup, 0..25).prop_map(catalogue)
    }

    proptest! {
        #[test]
        fn good_full_backups_stay_as_many_as_wished_and_never_none(catalogue in any_catalogue(), keep in 0..6u32) {
            let gone = removed(&catalogue, keep);
            let good = good_fulls(&catalogue, StoresWish::Both);
            let kept = good.iter().filter(|name| !gone.contains(&BackupId::Full((*name).clone()))).count();
            prop_assert_eq!(kept, good.len().min(usize::try_from(keep.max(1)).unwrap()));
        }

        #[test]
        fn an_increment_never_outlives_what_it_builds_on(catalogue in any_catalogue(), keep in 0..6u32) {
            let gone = removed(&catalogue, keep);
            for (position, backup) in gone.iter().enumerate() {
                for child in chain::needs(&catalogue, backup) {
                    prop_assert!(gone[..position].contains(&child), "{} goes before {}", backup, child);
                }
            }
        }

        #[test]
        fn what_is_being_removed_is_always_finished_and_nothing_twice(catalogue in any_catalogue(), keep in 0..6u32) {
            let gone = removed(&catalogue, keep);
            for (id, _) in catalogue.entries.iter().filter(|(_, entry)| !entry.is_listed()) {
                prop_assert!(gone.contains(id));
            }
            let distinct: std::collections::BTreeSet<_> = gone.iter().collect();
            prop_assert_eq!(distinct.len(), gone.len());
        }

        #[test]
        fn once_carried_out_nothing_is_left_to_remove(catalogue in any_catalogue(), keep in 0..6u32) {
            let mut after = catalogue.clone();
            for backup in removed(&catalogue, keep) {
                after.forget(&backup);
            }
            prop_assert_eq!(removed(&after, keep), []);
        }
    }
}
