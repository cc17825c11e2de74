//! Orders on stores in memory.

use super::*;
use crate::model::order::Stores;
use crate::model::outcome::End;
use crate::work::memory::{self, FULL, Memory, put_backup};
use crate::work::stop;

const FIRST: &str = "incr/2026-01-31_23-59-59/2026-02-01_00-00-00";
const SECOND: &str = "incr/2026-01-31_23-59-59/2026-02-02_00-00-00";
const OTHER: &str = "base/2026-02-03_00-00-00";

fn id(directory: &str) -> BackupId {
    directory.parse().unwrap()
}

fn nothing() -> KeepOrder {
    KeepOrder {
        stores: Stores::default(),
        remove: Vec::new(),
        upload: Vec::new(),
        download: Vec::new(),
        expected: BTreeMap::new(),
        wanted_uploads: Vec::new(),
        limit_secs: None,
    }
}

/// A volume with a chain of three and a full backup of its own, and a bucket with the chain.
fn world() -> (Memory, Memory, KeepOrder) {
    let (local, s3) = (Memory::default(), Memory::default());
    let mut expected = BTreeMap::new();
    for backup in [FULL, FIRST, SECOND, OTHER] {
        expected.extend(put_backup(&local, backup, backup.as_bytes()));
        put_backup(&s3, backup, backup.as_bytes());
    }
    s3.remove_all_of(OTHER);
    (local, s3, KeepOrder { expected, ..nothing() })
}

async fn keep(local: &Memory, s3: &Memory, order: KeepOrder) -> KeepReport {
    let (_stopper, stop) = stop::channel();
    let outcome = run(order, &memory::ports(Some(local), Some(s3)).0, stop).await;
    let End::Done(report) = outcome.end else { panic!("{outcome:?}") };
    report
}

fn left(store: &Memory) -> Vec<BackupId> {
    crate::ports::runner::Store::backups(store).unwrap()
}

#[tokio::test]
async fn what_is_ordered_is_removed_from_both_stores_and_copied_to_the_other() {
    let (local, s3, order) = world();
    local.remove_all_of(FULL);
    let order = KeepOrder {
        remove: vec![id(SECOND), id(FIRST)],
        upload: vec![id(OTHER)],
        download: vec![id(FULL)],
        wanted_uploads: vec![id(FIRST)],
        ..order
    };
    let report = keep(&local, &s3, order).await;
    let marks = |count| Marks(vec![true; count]);
    let bytes = report.bytes;
    let expected = KeepReport {
        removed: marks(2),
        uploaded: marks(1),
        downloaded: marks(1),
        bytes,
        room: Some((1 << 40, 1 << 41)),
        ..KeepReport::default()
    };
    assert_eq!(report, expected);
    assert_eq!(bytes, (OTHER.len() + FULL.len() + 2 * "info".len()) as u64);
    assert_eq!((left(&local), left(&s3)), (vec![id(FULL), id(OTHER)], vec![id(FULL), id(OTHER)]));
    assert_eq!(s3.inside().swept, Some(vec![id(FIRST), id(OTHER)]));
    assert_eq!(local.inside().swept, Some(Vec::new()));
}

#[tokio::test]
async fn what_a_backup_that_could_not_be_removed_builds_on_stays() {
    let (local, s3, order) = world();
    s3.inside().stuck.insert(id(SECOND));
    let report =
        keep(&local, &s3, KeepOrder { remove: vec![id(SECOND), id(FIRST), id(FULL), id(OTHER)], ..order }).await;
    assert_eq!(report.removed, Marks(vec![false, false, false, true]));
    let [first, name] = [FIRST, SECOND].map(|directory| directory.strip_prefix("incr/").unwrap());
    assert_eq!(
        report.failed,
        [
            format!("remove {name}: cannot remove {name}"),
            format!("remove {first}: {name}, which needs it, could not be removed"),
            format!("remove {}: {first}, which needs it, could not be removed", FULL.strip_prefix("base/").unwrap()),
        ]
    );
    assert_eq!((left(&local), report.failed_count), (vec![id(FULL), id(FIRST)], 3));
}

#[tokio::test]
async fn everything_is_tried_and_all_failures_are_counted() {
    let (local, s3, order) = world();
    local.damage(&format!("{OTHER}/backup.mbstream.zst"));
    let gone: Vec<_> = (0..20).map(|second| id(&format!("base/2025-01-01_00-00-{second:02}"))).collect();
    let upload = gone.into_iter().chain([id(OTHER), id(FULL)]).collect();
    let report = keep(&local, &s3, KeepOrder { upload, remove: vec![id(SECOND)], ..order }).await;
    assert_eq!((report.failed_count, report.failed.len()), (21, 10));
    assert_eq!(report.uploaded.0.iter().filter(|done| **done).count(), 1);
    assert_eq!(report.removed, Marks(vec![true]));
    assert!(!left(&s3).contains(&id(OTHER)));
}

#[tokio::test]
async fn a_bucket_that_is_down_is_asked_once_and_stops_nothing_on_the_volume() {
    let (local, s3, order) = world();
    s3.inside().is_down = true;
    let order = KeepOrder { remove: vec![id(SECOND)], upload: vec![id(OTHER)], ..order };
    let report = keep(&local, &s3, order).await;
    assert_eq!((report.removed, report.uploaded), (Marks(vec![false]), Marks(vec![false])));
    let name = SECOND.strip_prefix("incr/").unwrap();
    assert_eq!(
        report.failed,
        [
            format!("remove {name}: cannot reach the store"),
            "sweep s3: s3 did not answer before".to_owned(),
            format!("copy {} to s3: s3 did not answer before", OTHER.strip_prefix("base/").unwrap()),
        ]
    );
    assert!(!left(&local).contains(&id(SECOND)));
}

#[tokio::test]
async fn a_stop_leaves_the_rest_undone_and_says_so() {
    let (local, s3, order) = world();
    let (stopper, stop) = stop::channel();
    stopper.stop();
    let order = KeepOrder { remove: vec![id(SECOND)], upload: vec![id(OTHER)], ..order };
    let outcome = run(order, &memory::ports(Some(&local), Some(&s3)).0, stop).await;
    let End::Done(report) = outcome.end else { panic!("{outcome:?}") };
    assert_eq!((report.removed, report.uploaded, report.failed_count), (Marks(vec![false]), Marks(vec![false]), 2));
    assert_eq!((left(&local).len(), left(&s3).len()), (4, 3));
}

#[tokio::test]
async fn what_is_over_its_limit_is_left_to_the_next_run_and_said() {
    let (local, s3, order) = world();
    let report = keep(&local, &s3, KeepOrder { upload: vec![id(OTHER)], limit_secs: Some(0), ..order }).await;
    assert_eq!((report.uploaded, report.failed_count), (Marks(vec![false]), 1));
    assert!(report.failed[0].contains("stopped"), "{:?}", report.failed);
    assert!(!left(&s3).contains(&id(OTHER)));
}

#[tokio::test]
async fn what_may_not_be_removed_from_s3_stays_on_the_volume_too_and_the_next_step_is_said() {
    let (local, s3, order) = world();
    s3.inside().forbidden = Some(("it is the place of another cluster", "move out"));
    let report = keep(&local, &s3, KeepOrder { remove: vec![id(SECOND)], ..order }).await;
    assert_eq!((report.removed, left(&local).contains(&id(SECOND))), (Marks(vec![false]), true));
    assert!(report.failed[0].ends_with("it is the place of another cluster; move out"), "{:?}", report.failed);
}
