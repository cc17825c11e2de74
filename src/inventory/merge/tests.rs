use proptest::prelude::*;

use super::*;
use crate::model::backup_id::BackupName;
use crate::model::report::InventoryReport;

fn at(day: i64) -> Timestamp {
    Timestamp::from_second(1_780_000_000 + day * 86_400).unwrap()
}

fn full(day: i64) -> BackupId {
    BackupId::Full(BackupName::at(at(day)))
}

/// The files of a backup whose every sum begins with that digit.
fn files(backup: &BackupId, digit: char) -> BTreeMap<String, Checksum> {
    let sum = |digit: char| Checksum { checksum: digit.to_string().repeat(64), algorithm: None, size: Some(1) };
    ["backup.mbstream.zst", "manifest.json"].map(|file| (format!("{}/{file}", backup.directory()), sum(digit))).into()
}

fn found(backup: &BackupId, store: StoreName, digit: char) -> FoundBackup {
    let entry = Entry { duration_secs: Some(7), ..Entry::default() };
    FoundBackup {
        store,
        backup: backup.clone(),
        files: files(backup, digit),
        entry,
        trouble: None,
        cluster: None,
        manifest: None,
    }
}

/// A stock of both stores.
fn stock(found: impl IntoIterator<Item = FoundBackup>) -> Stock {
    let mut stock = Stock::default();
    for found in found {
        stock.add(found);
    }
    stock.report = InventoryReport {
        s3_mark: None,
        local_count: Some(stock.heard(StoreName::Local)),
        s3_count: Some(stock.heard(StoreName::S3)),
        room: Some((10, 20)),
    };
    stock
}

fn catalogue(backups: impl IntoIterator<Item = (BackupId, char, Entry)>) -> Catalogue {
    let mut catalogue = Catalogue::default();
    for (backup, digit, entry) in backups {
        catalogue.files.extend(files(&backup, digit));
        catalogue.entries.insert(backup, entry);
    }
    catalogue
}

fn lying(local: Presence, s3: Presence) -> Entry {
    Entry { local, s3, ..Entry::default() }
}

#[test]
fn a_catalogue_that_was_lost_is_made_again_with_both_stores_merged() {
    let stock = stock([found(&full(0), StoreName::Local, 'a'), found(&full(0), StoreName::S3, 'a')]);
    let (new, warnings) = rebuilt(&stock, None, at(9));
    let entry = Entry { duration_secs: Some(7), ..lying(Presence::Present, Presence::Present) };
    let room = Some(RoomSeen { free_bytes: 10, total_bytes: 20, at: at(9) });
    assert_eq!((new, warnings), (Catalogue { room, ..catalogue([(full(0), 'a', entry)]) }, vec![]));
}

#[test]
fn what_only_the_old_catalogue_knows_is_kept_while_it_still_holds() {
    let verified = |entry: Entry| Entry { verified: Some(at(3)), duration_secs: Some(7), ..entry };
    let removing = Entry { removing: Some(at(4)), ..lying(Presence::Present, Presence::Absent) };
    let old = catalogue([
        (full(0), 'a', verified(lying(Presence::Present, Presence::Present))),
        (full(1), 'a', removing.clone()),
        (full(2), 'a', lying(Presence::Present, Presence::Absent)),
    ]);
    let (new, warnings) = rebuilt(&stock([found(&full(0), StoreName::Local, 'a')]), Some(&old), at(9));
    let gone = Entry { local: Presence::Missing, ..removing };
    let expected = [(full(0), 'a', verified(lying(Presence::Present, Presence::Missing))), (full(1), 'a', gone)];
    assert_eq!((new.files, new.entries), {
        let expected = catalogue(expected);
        (expected.files, expected.entries)
    });
    assert_eq!(warnings, ["2026-05-30_20-26-40 was in the catalogue and is in no store"]);
}

#[test]
fn a_manifest_that_contradicts_the_catalogue_is_reported_and_what_was_verified_is_forgotten() {
    let old = catalogue([(full(0), 'a', Entry { verified: Some(at(3)), ..Entry::default() })]);
    let (new, warnings) = rebuilt(&stock([found(&full(0), StoreName::Local, 'b')]), Some(&old), at(9));
    assert_eq!(new.files, files(&full(0), 'b'));
    assert_eq!(new.entries[&full(0)].verified, None);
    assert_eq!(warnings, ["2026-05-28_20-26-40 is not what the catalogue recorded: its manifest says otherwise"]);
}

#[test]
fn of_two_manifests_the_one_the_catalogue_knows_is_believed() {
    let old = catalogue([(full(0), 'b', lying(Presence::Present, Presence::Present))]);
    let stock = stock([found(&full(0), StoreName::Local, 'a'), found(&full(0), StoreName::S3, 'b')]);
    let (new, _) = rebuilt(&stock, Some(&old), at(9));
    assert_eq!(new.files, files(&full(0), 'b'));
    assert_eq!((new.entries[&full(0)].local, new.entries[&full(0)].s3), (Presence::Damaged, Presence::Present));
}

#[test]
fn a_backup_of_the_original_keeps_the_sums_that_only_the_catalogue_has() {
    let old = Catalogue { files: files(&full(0), 'a'), ..Catalogue::default() };
    let mut without = found(&full(0), StoreName::Local, 'a');
    without.files.values_mut().for_each(|sum| sum.checksum.clear());
    let stock = stock([without]);
    let (new, warnings) = rebuilt(&stock, Some(&old), at(9));
    assert_eq!((new.files, new.entries[&full(0)].local, warnings), (old.files, Presence::Present, vec![]));
    let (new, warnings) = rebuilt(&stock, None, at(9));
    assert_eq!((new.files.len(), new.entries[&full(0)].local), (0, Presence::Present));
    assert_eq!(warnings, ["no sums of 2026-05-28_20-26-40 are known, so nothing can verify it"]);
    let mut unlisted = Catalogue::default();
    adopt(&stock, &mut unlisted);
    assert_eq!(unlisted, Catalogue::default());
}

#[test]
fn a_store_that_could_not_be_looked_at_keeps_what_is_known_of_it() {
    let old = catalogue([
        (full(0), 'a', lying(Presence::Present, Presence::Present)),
        (full(1), 'a', lying(Presence::Absent, Presence::Present)),
    ]);
    let mut stock = stock([found(&full(0), StoreName::Local, 'a')]);
    stock.report.s3_count = None;
    let (new, warnings) = rebuilt(&stock, Some(&old), at(9));
    let s3: Vec<_> = new.entries.values().map(|entry| entry.s3).collect();
    assert_eq!((s3, warnings), (vec![Presence::Present; 2], vec![]));
}

#[test]
fn an_adopted_backup_is_entered_and_a_finished_copy_is_noticed() {
    let mut known = catalogue([
        (full(0), 'a', lying(Presence::Present, Presence::Unfinished)),
        (full(1), 'a', Entry { removing: Some(at(3)), ..lying(Presence::Present, Presence::Absent) }),
        (full(2), 'a', lying(Presence::Damaged, Presence::Absent)),
    ]);
    let before = known.clone();
    let unreadable = FoundBackup { trouble: Some("no manifest".to_owned()), ..found(&full(4), StoreName::Local, 'a') };
    let stock = stock([
        found(&full(0), StoreName::S3, 'a'),
        found(&full(1), StoreName::Local, 'a'),
        found(&full(2), StoreName::Local, 'a'),
        found(&full(3), StoreName::S3, 'a'),
        unreadable,
    ]);
    adopt(&stock, &mut known);
    assert_eq!(known.entries[&full(0)].s3, Presence::Present);
    assert_eq!(known.entry(&full(1)), before.entry(&full(1)), "what is being removed stays so");
    assert_eq!(known.entry(&full(2)), before.entry(&full(2)), "damage stays");
    assert_eq!((known.entries[&full(3)].local, known.entries[&full(3)].s3), (Presence::Absent, Presence::Present));
    assert_eq!(known.entry(&full(4)), None);
}

#[test]
fn nothing_is_adopted_from_a_place_that_bears_the_mark_of_another_cluster() {
    let mut stock = stock([found(&full(0), StoreName::S3, 'a'), found(&full(1), StoreName::Local, 'a')]);
    stock.report.s3_mark = Some("theirs".to_owned());
    for owner in [None, Some("ours".to_owned())] {
        let mut catalogue = Catalogue { owner, ..Catalogue::default() };
        adopt(&stock, &mut catalogue);
        assert_eq!(catalogue.backups(), [full(1)]);
    }
    let mut theirs = Catalogue { owner: Some("theirs".to_owned()), ..Catalogue::default() };
    adopt(&stock, &mut theirs);
    assert_eq!(theirs.backups(), [full(0), full(1)]);
}

fn any_presence() -> impl Strategy<Value = Presence> {
    prop_oneof![
        Just(Presence::Absent),
        Just(Presence::Present),
        Just(Presence::Unfinished),
        Just(Presence::Missing),
        Just(Presence::Damaged),
    ]
}

fn any_old() -> impl Strategy<Value = Catalogue> {
    let flags = proptest::array::uniform3(any::<bool>());
    let backup = (0..5i64, prop_oneof![Just('a'), Just('b')], any_presence(), any_presence(), flags);
    proptest::collection::vec(backup, 0..6).prop_map(|backups| {
        catalogue(backups.into_iter().map(|(day, digit, local, s3, [removing, quarantined, verified])| {
            let marked = |is: bool| is.then(|| at(8));
            let marks = Entry { removing: marked(removing), quarantined: marked(quarantined), ..lying(local, s3) };
            (full(day), digit, Entry { verified: marked(verified), ..marks })
        }))
    })
}

fn any_found() -> impl Strategy<Value = Vec<FoundBackup>> {
    let one = (0..5i64, any::<bool>(), prop_oneof![Just('a'), Just('b')], 0..6u8).prop_map(|(day, s3, digit, fate)| {
        let store = if s3 { StoreName::S3 } else { StoreName::Local };
        let found = found(&full(day), store, digit);
        let trouble = (fate == 0).then(|| "cannot be read".to_owned());
        let files = if fate <= 1 { BTreeMap::new() } else { found.files };
        FoundBackup { files, trouble, ..found }
    });
    proptest::collection::vec(one, 0..8)
}

proptest! {
    #[test]
    fn a_rebuild_of_a_rebuilt_catalogue_changes_nothing(found in any_found(), old in any_old()) {
        let stock = stock(found);
        let (once, _) = rebuilt(&stock, Some(&old), at(9));
        let (twice, _) = rebuilt(&stock, Some(&once), at(9));
        prop_assert_eq!(twice, once);
    }

    #[test]
    fn a_rebuild_lists_as_present_exactly_what_was_found(found in any_found(), old in any_old()) {
        let stock = stock(found);
        let (new, _) = rebuilt(&stock, Some(&old), at(9));
        for (backup, entry) in &new.entries {
            for store in STORES {
                let is_there = stock.found.get(backup).is_some_and(|by_store| by_store.contains_key(&store));
                prop_assert!(entry.presence(store) != Presence::Present || is_there);
            }
        }
        prop_assert!(stock.found.keys().all(|backup| new.entries.contains_key(backup)));
    }

    #[test]
    fn what_is_being_removed_stays_so_through_rebuild_and_adoption(found in any_found(), old in any_old()) {
        let stock = stock(found);
        let (new, _) = rebuilt(&stock, Some(&old), at(9));
        let mut adopted = old.clone();
        adopt(&stock, &mut adopted);
        for (backup, entry) in old.entries.iter().filter(|(_, entry)| !entry.is_listed()) {
            prop_assert_eq!(new.entries[backup].removing, entry.removing);
            prop_assert_eq!(&adopted.entries[backup], entry);
        }
    }

    #[test]
    fn adopting_twice_is_adopting_once_and_loses_nothing(found in any_found(), old in any_old()) {
        let stock = stock(found);
        let mut once = old.clone();
        adopt(&stock, &mut once);
        let mut twice = once.clone();
        adopt(&stock, &mut twice);
        prop_assert_eq!(&twice, &once);
        prop_assert!(old.entries.keys().all(|backup| once.entries.contains_key(backup)));
        prop_assert!(old.files.iter().all(|(path, sum)| once.files.get(path) == Some(sum)));
    }

    #[test]
    fn the_order_in_which_backups_are_heard_of_and_repetitions_do_not_matter(found in any_found()) {
        let mut distinct = found;
        distinct.sort_by_key(|found| (found.backup.clone(), found.store));
        distinct.dedup_by_key(|found| (found.backup.clone(), found.store));
        let backwards_and_again = distinct.iter().rev().chain(&distinct).cloned();
        prop_assert_eq!(stock(backwards_and_again), stock(distinct.clone()));
    }
}

#[test]
fn a_backup_of_another_cluster_in_the_same_place_is_not_taken_over() {
    let told = |cluster: &str| FoundBackup { cluster: Some(cluster.to_owned()), ..found(&full(4), StoreName::S3, 'a') };
    assert_eq!(crate::inventory::of_cluster(told("shop/db"), "shop/db").trouble, None);
    let other = crate::inventory::of_cluster(told("test/db"), "shop/db");
    assert_eq!(other.trouble.as_deref(), Some("it is a backup of test/db"));
    let mut stock = Stock::default();
    stock.add(other);
    let mut catalogue = Catalogue::default();
    adopt(&stock, &mut catalogue);
    assert_eq!(catalogue.listed(), []);
}
