//! That the simulated runners do what the real ones promise: sweeps over them prove nothing otherwise.

use std::time::Duration;

use mariadb_backup::model::backup_id::BackupId;
use mariadb_backup::model::catalogue::Presence::{Absent, Damaged, Present, Unfinished};
use mariadb_backup::model::order::{
    CheckOrder, Depth, ExpectedBackup, InventoryOrder, KeepOrder, ORDER_VERSION, OnCorrupt, RunnerOrder, RunnerTask,
    Stores,
};
use mariadb_backup::model::outcome::{End, Outcome};
use mariadb_backup::model::report::{CheckReport, InventoryReport, KeepReport};
use mariadb_backup::ports::conductor::{RunnerNews, RunnerSpec};
use mariadb_backup::stores;
use serde::de::DeserializeOwned;

use crate::world::{Fault, World};

const OLD: &str = "base/2026-01-01_00-00-00";
const CHILD: &str = "incr/2026-01-01_00-00-00/2026-01-02_00-00-00";
const NEW: &str = "base/2026-01-03_00-00-00";

fn id(directory: &str) -> BackupId {
    directory.parse().unwrap()
}

fn both() -> World {
    World::default().with_setting("MARIADB_BACKUP_STORE", "both")
}

fn places(world: &World) -> Stores {
    stores::of(&world.settings(), &world.cluster())
}

/// Has a runner do something and returns its last word, and how many events came before.
fn run<R: DeserializeOwned>(world: &World, task: RunnerTask) -> Option<(R, usize)> {
    let spec = RunnerSpec {
        name: "job-runner".to_owned(),
        order: RunnerOrder { version: ORDER_VERSION, task },
        beside: None,
        data: None,
        store_claim: None,
        s3: None,
        scratch: None,
        fresh_store: false,
        near: None,
        operator_secret: None,
        backup_secret: None,
    };
    world.conduct(async |ports| {
        let mut runner = ports.runners.start(&spec, Duration::from_mins(1)).await.unwrap();
        let mut events = 0;
        let last_word = loop {
            match runner.next().await.unwrap() {
                RunnerNews::Event(_) => events += 1,
                RunnerNews::Ended { last_word, .. } => break last_word,
            }
        };
        match serde_json::from_str::<Outcome<R>>(&last_word?).unwrap().end {
            End::Done(report) => Some((report, events)),
            End::Failed(failure) => panic!("{failure:?}"),
        }
    })?
}

fn check(world: &World, on_corrupt: OnCorrupt) -> RunnerTask {
    let expected = |backup: &str| ExpectedBackup { backup: id(backup), local: true, s3: true };
    RunnerTask::Check(CheckOrder {
        stores: places(world),
        backups: [OLD, NEW].map(expected).to_vec(),
        expected: std::collections::BTreeMap::new(),
        known: [OLD, NEW].map(id).to_vec(),
        depth: Depth::Changed,
        repair: true,
        on_corrupt,
    })
}

#[test]
fn a_check_repairs_what_s3_has_and_sets_aside_what_nobody_has() {
    let world = both().with_backup(OLD, Damaged, Present).with_backup(NEW, Damaged, Damaged);
    world.lock().shelves.local.0.insert(id(CHILD), crate::world::shelf::Stored::Whole);
    let (report, _) = run::<CheckReport>(&world, check(&world, OnCorrupt::Quarantine)).unwrap();
    assert_eq!((String::from(report.local), String::from(report.s3)), ("fq".to_owned(), "gq".to_owned()));
    assert_eq!((report.unlisted, report.repaired_count, report.quarantined_count), (vec![id(CHILD)], 1, 1));
    let state = world.lock();
    assert!(state.shelves.local.has_whole(&id(OLD)));
    assert_eq!(state.shelves.aside, [id(NEW)]);
}

#[test]
fn a_keeper_removes_children_first_copies_both_ways_and_sweeps() {
    let world = both().with_backup(OLD, Present, Present).with_backup(CHILD, Present, Absent);
    let world = world.with_backup(NEW, Present, Unfinished);
    let keep = |world: &World, remove: &[&str]| {
        RunnerTask::Keep(KeepOrder {
            stores: places(world),
            remove: remove.iter().copied().map(id).collect(),
            upload: vec![id(NEW)],
            download: Vec::new(),
            expected: std::collections::BTreeMap::new(),
            wanted_uploads: vec![id(NEW)],
            limit_secs: None,
        })
    };
    let (report, _) = run::<KeepReport>(&world, keep(&world, &[CHILD, OLD])).unwrap();
    assert_eq!((String::from(report.removed), String::from(report.uploaded)), ("yy".to_owned(), "y".to_owned()));
    let state = world.lock();
    assert_eq!((state.shelves.local.signed_off(), state.shelves.s3.signed_off()), (vec![id(NEW)], vec![id(NEW)]));
}

#[test]
fn an_inventory_tells_every_backup_of_each_store() {
    let world = both().with_backup(OLD, Present, Present).with_backup(NEW, Damaged, Unfinished);
    let order = InventoryOrder { stores: places(&world), only: None };
    let (report, events) = run::<InventoryReport>(&world, RunnerTask::Inventory(order)).unwrap();
    assert_eq!((report.local_count, report.s3_count, events), (Some(2), Some(1), 3));
}

#[test]
fn a_runner_dies_at_the_effect_with_the_fault_and_its_conductor_lives() {
    // The first effect is the runner's start, the second its look at the first backup.
    let world = both().with_backup(OLD, Present, Present).with_fault(1, Fault::DieBefore);
    assert!(run::<CheckReport>(&world, check(&world, OnCorrupt::Fail)).is_none());
    assert!(world.lock().journal.contains(&format!("runner: check {}: killed before", id(OLD))));
}
