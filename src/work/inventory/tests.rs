//! Stores in memory, with good backups and with troubled ones.

use super::*;
use crate::model::order::Stores;
use crate::model::outcome::End;
use crate::work::memory::{self, FULL, Fault, Memory, ORIGINAL, manifest, put_backup, put_original, stored};
use crate::work::stop;

async fn take_stock(local: Option<&Memory>, s3: Option<&Memory>) -> (Outcome<InventoryReport>, Vec<FoundBackup>) {
    look(None, local, s3).await
}

async fn look(
    only: Option<&str>,
    local: Option<&Memory>,
    s3: Option<&Memory>,
) -> (Outcome<InventoryReport>, Vec<FoundBackup>) {
    let order = InventoryOrder { stores: Stores::default(), only: only.map(|id| id.parse().unwrap()) };
    let (_stopper, stop) = stop::channel();
    let (ports, events) = memory::ports(local, s3);
    let outcome = run(&order, &ports, stop).await;
    let found = events.all().into_iter().filter_map(|kind| match kind {
        EventKind::Found { found } => Some(*found),
        _ => None,
    });
    (outcome, found.collect())
}

#[tokio::test]
async fn every_backup_of_both_stores_is_told_as_a_catalogue_would_hold_it() {
    let (local, s3) = (Memory::default(), Memory::default());
    let files = put_backup(&local, FULL, b"stream");
    put_backup(&s3, FULL, b"stream");
    put_original(&local);
    let (outcome, found) = take_stock(Some(&local), Some(&s3)).await;
    let report =
        InventoryReport { local_count: Some(2), s3_count: Some(1), s3_mark: None, room: Some((1 << 40, 1 << 41)) };
    assert_eq!(outcome, Outcome::done(report, Vec::new()));
    let sizes = |size| Checksum { checksum: String::new(), algorithm: None, size: Some(size) };
    let entry = |local, s3| Entry { local, s3, ..Entry::default() };
    let (here, nowhere) = (Presence::Present, Presence::Absent);
    let ours = |store, local, s3| FoundBackup {
        store,
        backup: FULL.parse().unwrap(),
        files: files.clone(),
        entry: Entry {
            duration_secs: Some(90),
            finished: Some(jiff::Timestamp::from_second(90).unwrap()),
            position: Some("5b2c7e4c-f1d0-11ef-8a4c-0242ac110002:1".parse().unwrap()),
            stream_bytes: Some(1),
            ..entry(local, s3)
        },
        trouble: None,
        cluster: Some("/".to_owned()),
        manifest: None,
    };
    let originals = FoundBackup {
        store: StoreName::Local,
        backup: ORIGINAL.parse().unwrap(),
        files: BTreeMap::from([
            (format!("{ORIGINAL}/backup.stream.gz"), sizes(5)),
            (format!("{ORIGINAL}/backup.successful"), sizes(0)),
        ]),
        entry: entry(here, nowhere),
        trouble: None,
        cluster: None,
        manifest: None,
    };
    let expected = [originals, ours(StoreName::Local, here, nowhere), ours(StoreName::S3, nowhere, here)];
    assert_eq!(found, expected);
    assert_eq!(local.opened(), [format!("{FULL}/manifest.json")]);
}

#[tokio::test]
async fn of_the_one_that_is_asked_for_all_that_its_manifest_says_is_told() {
    let (local, s3) = (Memory::default(), Memory::default());
    put_backup(&local, FULL, b"stream");
    put_original(&local);
    put_backup(&s3, FULL, b"stream");
    let (outcome, found) = look(Some(FULL), Some(&local), Some(&s3)).await;
    let End::Done(report) = outcome.end else { panic!() };
    assert_eq!((report.local_count, report.s3_count), (Some(1), Some(1)));
    let told: Vec<_> = found.iter().map(|one| one.manifest.as_ref().map(|told| told.backup.directory())).collect();
    assert_eq!(told, [Some(FULL.to_owned()), Some(FULL.to_owned())]);
    let (_, originals) = look(Some(ORIGINAL), Some(&local), Some(&s3)).await;
    assert_eq!(originals.iter().map(|one| one.manifest.is_some()).collect::<Vec<_>>(), [false]);
}

#[tokio::test]
async fn what_is_wrong_with_a_backup_is_told_with_it() {
    let (path, stream) = (format!("{FULL}/manifest.json"), format!("{FULL}/backup.mbstream.zst"));
    let trouble = async |change: &dyn Fn(&Memory)| {
        let store = Memory::default();
        put_backup(&store, FULL, b"stream");
        change(&store);
        let (outcome, mut found) = take_stock(Some(&store), None).await;
        assert!(matches!(outcome.end, End::Done(InventoryReport { local_count: Some(1), s3_count: None, .. })));
        found.pop().unwrap().trouble.unwrap()
    };
    let fault = |fault| {
        let path = path.clone();
        move |store: &Memory| store.inside().faults.extend([(path.clone(), fault)])
    };
    assert_eq!(trouble(&fault(Fault::Breaks)).await, "manifest.json cannot be read: Input/output error (os error 5)");
    assert_eq!(trouble(&fault(Fault::Panics)).await, "looking at it ended by a fault of this program");
    assert_eq!(trouble(&|store| store.take(&stream)).await, "backup.mbstream.zst is missing");
    assert_eq!(trouble(&|store| store.put(&stream, "short")).await, "backup.mbstream.zst is 5 bytes long, not 6");
    let no_stream = |store: &Memory| store.put(&path, manifest(FULL, &[]));
    assert_eq!(trouble(&no_stream).await, "manifest.json lists no backup.mbstream.zst");
    let of_another = |store: &Memory| store.put(&path, manifest(ORIGINAL, &[]));
    assert_eq!(trouble(&of_another).await, "manifest.json is the manifest of 2025-01-31_23-59-59");
    assert!(trouble(&|store| store.put(&path, "{")).await.starts_with("manifest.json is no manifest: "));
}

#[tokio::test]
async fn a_store_that_is_down_is_named_and_fails_only_alone() {
    let (local, s3) = (Memory::default(), Memory::default());
    put_backup(&local, FULL, b"stream");
    s3.inside().is_down = true;
    let (outcome, found) = take_stock(Some(&local), Some(&s3)).await;
    assert_eq!(
        (outcome.warnings.as_slice(), found.len()),
        (["nothing is known of s3: cannot reach the store".to_owned()].as_slice(), 1)
    );
    let End::Done(report) = outcome.end else { panic!() };
    assert_eq!((report.local_count, report.s3_count), (Some(1), None));
    let (outcome, _) = take_stock(None, Some(&s3)).await;
    assert_eq!(outcome.code(), ExitCode::FailedInCluster);
    assert_eq!(take_stock(None, None).await.0.code(), ExitCode::Usage);
}

#[tokio::test]
async fn the_sums_told_are_those_of_the_bytes_there() {
    let store = Memory::default();
    put_backup(&store, FULL, b"stream");
    let (_, found) = take_stock(None, Some(&store)).await;
    let manifest = store.bytes(&format!("{FULL}/manifest.json")).unwrap();
    assert_eq!(found[0].files[&format!("{FULL}/manifest.json")], Checksum::of(&stored(&manifest)));
}
