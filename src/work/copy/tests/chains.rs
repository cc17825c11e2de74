//! Increments in the simulated world: made on proven files, full ones otherwise.

use serde_json::{Value, json};

use super::*;
use crate::work::copy::increment::{self, FoundParent};

const INCREMENT: &str = "incr/2026-01-01_00-00-00/2026-01-31_23-59-59";

fn increment_order() -> CopyOrder {
    CopyOrder { backup: INCREMENT.parse().unwrap(), parent: Some(PARENT.parse().unwrap()), ..order() }
}

/// The manifest of a parent that was made of the very files the world has.
fn parent() -> Value {
    json!({
        "schema": 1,
        "backup": PARENT,
        "source": order().source,
        "origin": {
            "serverVersion": "10.11.18-MariaDB-log",
            "toolVersion": "mariadb-backup based on MariaDB server 10.11.18-MariaDB",
            "gcommUuid": "another start of the server",
            "ibdata1Inode": 7,
            "ibdata1BirthNanos": 5,
            "position": format!("{MEMBER}:4700"),
            "lsn": { "from": 0, "to": 47, "last": 51 },
        },
        "stream": { "bytes": 1, "members": { "ibdata1": 1 } },
    })
}

fn world_with(parent: &Value) -> World {
    World { parent: Some(serde_json::to_vec(parent).unwrap()), increment_to: 55, ..World::default() }
}

async fn made_in(order: &CopyOrder, world: World) -> (CopyReport, Manifest, Arc<World>) {
    let world = Arc::new(world);
    let (_stopper, stop) = stop::channel();
    let End::Done(report) = run_order(order, &world, stop).await.end else { panic!("no backup") };
    let manifest = serde_json::from_slice(world.published.lock().unwrap().as_ref().unwrap()).unwrap();
    (report, manifest, world)
}

#[tokio::test]
async fn an_increment_is_made_from_where_its_parent_ends_and_names_it() {
    let (report, manifest, world) = made_in(&increment_order(), world_with(&parent())).await;
    assert_eq!((report.backup, report.parent), (INCREMENT.parse().unwrap(), Some(PARENT.parse().unwrap())));
    assert_eq!((report.full_because, manifest.full_because), (None, None));
    assert_eq!(*world.since.lock().unwrap(), Some(47));
    assert_eq!((manifest.origin.lsn.from, manifest.origin.lsn.to), (47, 55));
    assert_eq!(manifest.backup, INCREMENT.parse().unwrap());
    let sum = <sha2::Sha256 as sha2::Digest>::digest(world.parent.as_ref().unwrap());
    assert_eq!(manifest.parent.unwrap().manifest_sha256, crate::model::manifest::hex(&sum));
}

#[tokio::test]
async fn nobody_is_told_a_total_of_an_increment_that_is_not_known() {
    for (order, total) in [(increment_order(), 0), (order(), 1000)] {
        let (_, _, world) = made_in(&order, world_with(&parent())).await;
        let events = world.events.lock().unwrap();
        let told: Vec<u64> = events.iter().filter_map(total_of).collect();
        assert!(told.iter().all(|told| *told == total) && !told.is_empty(), "{total}: {told:?}");
    }
}

fn total_of(kind: &EventKind) -> Option<u64> {
    match kind {
        EventKind::Progress { total_bytes, .. } => Some(*total_bytes),
        _ => None,
    }
}

#[tokio::test]
async fn what_is_not_proven_becomes_a_full_backup_that_says_why() {
    let cases = [
        ("/origin/ibdata1Inode", json!(8), "ibdata1 was made anew"),
        ("/origin/ibdata1BirthNanos", json!(6), "ibdata1 was made anew"),
        ("/origin/ibdata1BirthNanos", Value::Null, "their birth is not kept"),
        ("/source/pod", json!("db-1"), "was made of replica db-1, this one is made of db-2"),
        ("/source/claimUid", json!("d"), "the data claim with UID d"),
        ("/origin/position", json!("ffffffff-f1d0-11ef-8a4c-0242ac110002:4700"), "another history"),
        ("/origin/position", json!(format!("{MEMBER}:4713")), "write-set 4712, there 4713"),
        ("/origin/lsn/last", json!(61), "redo at 60, there 61"),
        ("/origin/serverVersion", json!("10.6.18-MariaDB"), "series"),
        ("/schema", json!(2), "is not that of this backup"),
        ("/backup", json!("base/2025-01-01_00-00-00"), "is not that of this backup"),
        ("/origin", json!(null), "is damaged"),
    ];
    for (place, value, why) in cases {
        let mut parent = parent();
        *parent.pointer_mut(place).unwrap() = value;
        let (report, manifest, world) = made_in(&increment_order(), world_with(&parent)).await;
        assert_eq!((report.backup.directory(), report.parent), ("base/2026-01-31_23-59-59".to_owned(), None));
        assert_eq!((manifest.backup, &manifest.full_because), (report.backup, &report.full_because));
        assert_eq!((manifest.parent, *world.since.lock().unwrap()), (None, None));
        let because = report.full_because.unwrap();
        assert!(because.contains(why), "{place}: {because}");
    }
}

#[test]
fn a_server_started_anew_that_may_have_got_its_rows_by_rsync_makes_a_full_one() {
    let found = |sst_keeps_files, process: &str| {
        let mut parent = parent();
        parent["origin"]["gcommUuid"] = json!(process);
        let parent: FoundParent = serde_json::from_value(parent).unwrap();
        let member = Member { sst_keeps_files, ..healthy().member };
        plan(&increment_order(), &Observed { parent: Some(Ok(parent)), member, ..healthy() }).unwrap().backup
    };
    let (same, increment) = (healthy().member.gcomm_uuid, INCREMENT.parse().unwrap());
    assert_eq!(found(false, "another start of the server"), increment);
    assert_eq!(found(true, &same), increment);
    assert_eq!(found(true, "another start of the server"), "base/2026-01-31_23-59-59".parse().unwrap());
}

#[tokio::test]
async fn a_parent_that_is_missing_or_another_one_than_recorded_makes_it_a_full_one() {
    let recorded = CopyOrder { parent_sha256: Some("0".repeat(64)), ..increment_order() };
    let no_parent = CopyOrder { parent: None, ..increment_order() };
    for (order, world, why) in [
        (increment_order(), World::default(), "cannot be read: cannot open"),
        (recorded, world_with(&parent()), "is not the one that was recorded"),
        (no_parent, world_with(&parent()), "no backup to build on"),
    ] {
        let (report, _, _) = made_in(&order, world).await;
        let because = report.full_because.unwrap();
        assert!(because.contains(why), "{because}");
    }
}

#[tokio::test]
async fn an_increment_that_ends_before_it_begins_is_no_backup() {
    let world = Arc::new(World { increment_to: 46, ..world_with(&parent()) });
    let (_stopper, stop) = stop::channel();
    let End::Failed(failure) = run_order(&increment_order(), &world, stop).await.end else { panic!() };
    assert_eq!(failure.message, "mariadb-backup copied the redo from 47 to 46, not on from 47");
    assert_eq!(*world.published.lock().unwrap(), None);
    assert!(world.has("desync off"));
}

#[test]
fn a_server_that_tells_no_redo_position_proves_nothing() {
    let mut found = healthy();
    found.parent = Some(Ok(serde_json::from_value::<FoundParent>(parent()).unwrap()));
    let series = crate::model::version::Series { major: 10, minor: 11 };
    let (_, kind) = increment::decide(&increment_order(), &found, series);
    assert_eq!(kind.since(), Some(47));
    found.member.lsn = 0;
    let (_, kind) = increment::decide(&increment_order(), &found, series);
    assert!(matches!(kind, Kind::Full { because: Some(_) }));
}
