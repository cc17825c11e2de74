//! What holds for any catalogue and any sequence of changes.

use proptest::prelude::*;

use super::*;
use crate::model::manifest::DesyncTimes;

fn at(day: i64) -> Timestamp {
    Timestamp::from_second(1_780_000_000 + day * 86_400).unwrap()
}

/// One of a few backups: two chains.
fn any_backup() -> impl Strategy<Value = BackupId> {
    (0..2i64, 0..4i64).prop_map(|(chain, child)| {
        let base = BackupName::at(at(chain * 10));
        match child {
            0 => BackupId::Full(base),
            _ => BackupId::Incremental { base, name: BackupName::at(at(chain * 10 + child)) },
        }
    })
}

/// Something that a run does to the catalogue.
#[derive(Clone, Debug)]
enum Change {
    Enter(BackupId),
    Bury(BackupId, Timestamp),
    Forget(BackupId),
}

fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        any_backup().prop_map(Change::Enter),
        (any_backup(), 20..25i64).prop_map(|(backup, day)| Change::Bury(backup, at(day))),
        any_backup().prop_map(Change::Forget),
    ]
}

fn report(backup: &BackupId) -> CopyReport {
    let file = StoredFile { size: 1, sha256: "a".repeat(64) };
    CopyReport {
        backup: backup.clone(),
        started: at(0),
        finished: at(1),
        stream_bytes: 1,
        stream: file.clone(),
        manifest: file,
        position: Position { uuid: "5b2c7e4c-f1d0-11ef-8a4c-0242ac110002".to_owned(), seqno: 1 },
        desync: DesyncTimes::default(),
        local: Presence::Present,
        s3: Presence::Unfinished,
        full_because: None,
        parent: backup.base().cloned().map(BackupId::Full),
        room: None,
    }
}

fn apply(catalogue: &mut Catalogue, change: &Change) {
    match change {
        Change::Enter(backup) => catalogue.enter(&report(backup)),
        Change::Bury(backup, at) => catalogue.bury(backup, *at),
        Change::Forget(backup) => catalogue.forget(backup),
    }
}

fn after(changes: &[Change]) -> Catalogue {
    let mut catalogue = Catalogue::default();
    for change in changes {
        apply(&mut catalogue, change);
    }
    catalogue
}

proptest! {
    #[test]
    fn a_change_that_is_made_twice_is_made_once(changes in proptest::collection::vec(any_change(), 0..30)) {
        // What happens to a writer whose answer was lost.
        let twice: Vec<_> = changes.iter().flat_map(|change| [change.clone(), change.clone()]).collect();
        prop_assert_eq!(after(&twice), after(&changes));
    }

    #[test]
    fn backups_are_told_once_each_in_the_order_of_time(changes in proptest::collection::vec(any_change(), 0..30)) {
        let catalogue = after(&changes);
        let backups = catalogue.backups();
        prop_assert!(backups.is_sorted_by(|a, b| a.name().time() < b.name().time()));
        prop_assert!(backups.iter().all(|backup| catalogue.entry(backup).is_some()));
    }

    #[test]
    fn a_backup_counts_from_its_entry_to_its_tombstone_and_leaves_nothing(
        changes in proptest::collection::vec(any_change(), 0..30),
        backup in any_backup(),
    ) {
        let mut catalogue = after(&changes);
        let others = |catalogue: &Catalogue| -> Vec<_> {
            let others = catalogue.backups().into_iter().filter(|other| *other != backup);
            others.map(|other| (catalogue.files_of(&other), catalogue.entry(&other))).collect()
        };
        let before = others(&catalogue);
        catalogue.enter(&report(&backup));
        prop_assert!(catalogue.listed().contains(&backup));
        catalogue.bury(&backup, at(30));
        prop_assert!(catalogue.backups().contains(&backup) && !catalogue.listed().contains(&backup));
        catalogue.forget(&backup);
        prop_assert!(catalogue.files_of(&backup).is_empty() && catalogue.entry(&backup).is_none());
        prop_assert_eq!(others(&catalogue), before);
    }

    #[test]
    fn a_tombstone_keeps_its_first_time_and_needs_a_backup(backup in any_backup(), first in 20..25i64, again in 20..25i64) {
        let buried = |changes: &[Change]| after(changes).entry(&backup).and_then(|entry| entry.removing);
        let bury = |day| Change::Bury(backup.clone(), at(day));
        prop_assert_eq!(buried(&[Change::Enter(backup.clone()), bury(first), bury(again)]), Some(at(first)));
        prop_assert_eq!(after(&[bury(first)]), Catalogue::default());
    }

    #[test]
    fn removals_end_alike_in_whatever_order_two_runs_make_them(
        changes in proptest::collection::vec(any_change(), 0..30),
        one in proptest::collection::vec(any_backup(), 0..4),
        other in proptest::collection::vec(any_backup(), 0..4),
    ) {
        let steps = |backups: &[BackupId], day| -> Vec<Change> {
            let bury = backups.iter().map(|backup| Change::Bury(backup.clone(), at(day)));
            bury.chain(backups.iter().cloned().map(Change::Forget)).collect()
        };
        let (one, other) = (steps(&one, 20), steps(&other, 21));
        let ends = [[&changes[..], &one, &other].concat(), [&changes[..], &other, &one].concat()];
        prop_assert_eq!(after(&ends[0]), after(&ends[1]));
    }

    #[test]
    fn any_catalogue_is_read_back_as_written(changes in proptest::collection::vec(any_change(), 0..30)) {
        let catalogue = after(&changes);
        prop_assert_eq!(Catalogue::read(&catalogue.write()).unwrap(), catalogue);
    }
}
