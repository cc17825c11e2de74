//! Stores in memory, whole and damaged.

use std::collections::BTreeMap;

use super::*;
use crate::model::backup_id::BackupId;
use crate::model::catalogue::Checksum;
use crate::model::order::{Depth, ExpectedBackup, OnCorrupt, S3Store, Stores};
use crate::model::report::{Verdict, Verdicts};
use crate::work::memory::{self, FULL, Fault, Memory, ORIGINAL, manifest, stored};
use crate::work::stop;

mod two_stores;

fn id(directory: &str) -> BackupId {
    directory.parse().unwrap()
}

fn expected_in(backup: &str, local: bool, s3: bool) -> ExpectedBackup {
    ExpectedBackup { backup: id(backup), local, s3 }
}

/// A volume with a backup of ours and one of the original, and the order to read all of both.
fn world() -> (Memory, CheckOrder) {
    let store = Memory::default();
    let mut expected = memory::put_backup(&store, FULL, &vec![7; 3 << 20]);
    expected.extend(memory::put_original(&store));
    let order = CheckOrder {
        stores: Stores { local: Some("/store".to_owned()), s3: None },
        backups: vec![expected_in(ORIGINAL, true, false), expected_in(FULL, true, false)],
        expected,
        known: vec![id(FULL), id(ORIGINAL)],
        depth: Depth::Full,
        repair: false,
        on_corrupt: OnCorrupt::Fail,
    };
    (store, order)
}

async fn check(store: &Memory, order: &CheckOrder) -> Result<CheckReport, CheckError> {
    let (_stopper, stop) = stop::channel();
    super::check(order.clone(), &memory::ports(Some(store), None).0, stop).await.map(|(report, _)| report)
}

async fn findings(change: impl FnOnce(&Memory, &mut CheckOrder)) -> Vec<String> {
    let (store, mut order) = world();
    change(&store, &mut order);
    let report = check(&store, &order).await.unwrap();
    assert_eq!(report.bad.len(), report.bad_count as usize);
    report.bad
}

/// What is said of a file whose bytes are others.
fn differ(path: &str, found: &[u8], expected: &[u8]) -> String {
    let short = |bytes: &[u8]| stored(bytes).sha256[..12].to_owned();
    let (found, expected) = (short(found), short(expected));
    format!("{path}: its bytes are not the ones that were recorded (SHA-256 {found}…, not {expected}…)")
}

#[tokio::test]
async fn whole_backups_of_both_kinds_are_good() {
    let (store, mut order) = world();
    store.put("base/2026-02-01_00-00-00/manifest.json", "");
    let report = check(&store, &order).await.unwrap();
    let whole = CheckReport {
        good: vec![id(ORIGINAL), id(FULL)],
        good_count: 2,
        unlisted: vec![id("base/2026-02-01_00-00-00")],
        local: Verdicts(vec![Verdict::Read; 2]),
        s3: Verdicts(vec![Verdict::Unseen; 2]),
        bytes: (3 << 20) + 4 + 5,
        ..CheckReport::default()
    };
    assert_eq!(report, whole);
    order.backups.clear();
    assert_eq!(check(&store, &order).await.unwrap(), whole);
}

#[tokio::test]
async fn every_kind_of_damage_is_named() {
    let stream = format!("{FULL}/backup.mbstream.zst");
    let bytes = vec![7; 3 << 20];
    let mut other = bytes.clone();
    other[3 << 19] ^= 1;
    assert_eq!(findings(|store, _| store.damage(&stream)).await, [differ(&stream, &other, &bytes)]);
    let shorter = findings(|store, _| store.put(&stream, &bytes[..5])).await;
    assert_eq!(shorter, [format!("{stream}: is 5 bytes long, not 3145728")]);
    let longer = findings(|store, _| store.put(&stream, vec![7; (3 << 20) + 1])).await;
    assert_eq!(longer, [format!("{stream}: is 3145729 bytes long, not 3145728")]);
    let info = format!("{FULL}/mariadb_backup_info");
    let missing = findings(|store, _| store.take(&info)).await;
    assert_eq!(missing, [format!("{info}: is missing")]);
    let original = format!("{ORIGINAL}/backup.stream.gz");
    let other = findings(|store, _| store.put(&original, "hellO")).await;
    let what = "its bytes are not the ones that were recorded (MD5 06612c0d9c73…, not 5d41402abc4b…)";
    assert_eq!(other, [format!("{original}: {what}")]);
}

#[tokio::test]
async fn a_backup_of_which_nothing_is_there_is_named_once_and_missing() {
    let (store, order) = world();
    store.inside().files.retain(|path, _| !path.starts_with(FULL));
    let report = check(&store, &order).await.unwrap();
    assert_eq!(report.local, Verdicts(vec![Verdict::Read, Verdict::Missing]));
    assert_eq!((report.bad, report.bad_count), (vec![format!("{FULL}: is missing")], 1));
    assert_eq!(report.good, [id(ORIGINAL)]);
}

#[tokio::test]
async fn a_manifest_that_disagrees_is_named() {
    let path = format!("{FULL}/manifest.json");
    let replace = |new: Vec<u8>| {
        let path = path.clone();
        findings(move |store, order| {
            order.expected.insert(path.clone(), Checksum::of(&stored(&new)));
            store.put(&path, new);
        })
    };
    let stream = format!("{FULL}/backup.mbstream.zst");
    let disagrees = replace(manifest(FULL, &[("backup.mbstream.zst", b"other")])).await;
    assert_eq!(disagrees, [format!("{stream}: the catalogue and the backup's manifest disagree about it")]);
    let of_another = replace(manifest(ORIGINAL, &[])).await;
    assert_eq!(of_another, [format!("{path}: is the manifest of 2025-01-31_23-59-59")]);
    let outside = replace(manifest(FULL, &[("../x", b"")])).await;
    assert_eq!(outside, [format!("{path}: lists \"../x\", which is no file of a backup")]);
    assert_eq!(replace(b"{".to_vec()).await.len(), 1);
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_a_finding_and_stops_nothing() {
    let stream = format!("{FULL}/backup.mbstream.zst");
    for (fault, what) in [
        (Fault::Breaks, "cannot be read: Input/output error (os error 5)"),
        (Fault::Panics, "reading it ended by a fault of this program"),
        (Fault::Refused(Reason::Other), "cannot be opened"),
    ] {
        let (store, order) = world();
        store.inside().faults.insert(stream.clone(), fault);
        let report = check(&store, &order).await.unwrap();
        assert_eq!(report.bad, [format!("{stream}: {what}")]);
        assert_eq!(report.local, Verdicts(vec![Verdict::Read, Verdict::Damaged]));
    }
}

#[tokio::test]
async fn paths_of_the_catalogue_that_are_no_files_of_a_backup_are_named_and_never_opened() {
    let (store, mut order) = world();
    let sum = order.expected[&format!("{FULL}/manifest.json")].clone();
    for path in ["../../etc/passwd", "base/x/y", &format!("{FULL}/..")] {
        order.expected.insert(path.to_owned(), sum.clone());
    }
    let report = check(&store, &order).await.unwrap();
    assert_eq!(
        report.bad,
        [
            "../../etc/passwd: the catalogue's path is not that of a backup's file".to_owned(),
            "base/x/y: the catalogue's path is not that of a backup's file".to_owned(),
            format!("{FULL}/..: the catalogue's path leads out of the backup"),
        ]
    );
    assert!(store.opened().iter().all(|path| !path.contains("..") && path.starts_with("base/20")));
}

#[tokio::test]
async fn a_quick_check_reads_nothing_but_manifests_and_sees_sizes() {
    let (store, mut order) = world();
    order.depth = Depth::Quick;
    store.damage(&format!("{FULL}/backup.mbstream.zst"));
    let report = check(&store, &order).await.unwrap();
    assert_eq!((&report.local, report.bytes), (&Verdicts(vec![Verdict::Good; 2]), 0));
    assert_eq!(store.opened(), [format!("{FULL}/manifest.json")]);
    store.put(&format!("{FULL}/mariadb_backup_info"), "longer");
    let report = check(&store, &order).await.unwrap();
    assert_eq!(report.bad, [format!("{FULL}/mariadb_backup_info: is 6 bytes long, not 4")]);
    store.damage(&format!("{FULL}/manifest.json"));
    assert!(check(&store, &order).await.unwrap().bad[0].contains("manifest.json: its bytes are not the ones"));
}

#[tokio::test]
async fn what_was_read_once_is_read_again_only_after_a_change() {
    let (store, mut order) = world();
    order.depth = Depth::Changed;
    let read = Verdicts(vec![Verdict::Read; 2]);
    assert_eq!(check(&store, &order).await.unwrap().local, read);
    store.opened();
    let report = check(&store, &order).await.unwrap();
    assert_eq!((&report.local, report.bytes), (&Verdicts(vec![Verdict::Good; 2]), 0));
    assert_eq!(store.opened(), [format!("{FULL}/manifest.json")]);

    store.damage(&format!("{FULL}/backup.mbstream.zst"));
    let report = check(&store, &order).await.unwrap();
    assert_eq!(report.local, Verdicts(vec![Verdict::Good, Verdict::Damaged]));
    assert_eq!(check(&store, &order).await.unwrap().local, report.local, "what is damaged is never sealed");

    store.damage(&format!("{FULL}/backup.mbstream.zst"));
    assert_eq!(check(&store, &order).await.unwrap().local, Verdicts(vec![Verdict::Good, Verdict::Read]));
    order.depth = Depth::Full;
    assert_eq!(check(&store, &order).await.unwrap().local, read);
}

#[tokio::test]
async fn a_catalogue_that_wants_other_bytes_breaks_the_seal() {
    let (store, mut order) = world();
    order.depth = Depth::Changed;
    check(&store, &order).await.unwrap();
    order.expected.get_mut(&format!("{ORIGINAL}/backup.stream.gz")).unwrap().checksum = "0".repeat(32);
    assert_eq!(check(&store, &order).await.unwrap().local, Verdicts(vec![Verdict::Damaged, Verdict::Good]));
}

#[tokio::test]
async fn a_stop_ends_the_check_without_a_verdict() {
    let (store, order) = world();
    let (stopper, stop) = stop::channel();
    stopper.stop();
    let error = super::check(order, &memory::ports(Some(&store), None).0, stop).await.unwrap_err();
    assert!(matches!(error, CheckError::Stopped), "{error}");
    assert_eq!(store.inside().seals, BTreeMap::new());
}

#[tokio::test]
async fn a_store_that_is_not_there_is_no_such_store() {
    let (_, order) = world();
    let store = crate::ports::runner::StorePorts { local: None, ..memory::ports(None, None).0 };
    let (_stopper, stop) = stop::channel();
    let error = super::check(order.clone(), &store, stop).await.unwrap_err();
    assert_eq!(error.code(), ExitCode::Usage);
    let down = Memory::default();
    down.inside().is_down = true;
    assert_eq!(check(&down, &order).await.unwrap_err().code(), ExitCode::FailedInCluster);
}
