//! One store or two, in the simulated world: what is where in the end, and what is said of it.

use super::*;
use crate::model::catalogue::Presence;
use crate::model::manifest::MANIFEST_FILE;
use crate::work::follow::tests::{Memory, MemoryStore};

const NAME: &str = "base/2026-01-31_23-59-59";

/// The simulated clock runs fast; the threads of the second store do not.
fn patient_order() -> CopyOrder {
    CopyOrder { copy_timeout_secs: 1 << 30, ..order() }
}

async fn run_with_second(world: &Arc<World>, second: &Memory, stop: stop::Stop) -> Outcome<CopyReport> {
    let ports = RunnerPorts { follower: Some(Arc::new(second.clone())), ..ports(world) };
    run(&patient_order(), &ports, stop).await
}

fn second(fails: Option<&'static str>) -> Memory {
    Memory(Arc::new(MemoryStore { fails, ..MemoryStore::default() }))
}

fn published_event(world: &World) -> Option<CopyReport> {
    let events = world.events.lock().unwrap();
    events.iter().find_map(|kind| match kind {
        EventKind::Published { report } => Some((**report).clone()),
        _ => None,
    })
}

#[tokio::test]
async fn both_stores_have_the_same_backup_and_the_first_is_told_before_the_second() {
    let (world, second) = (Arc::new(World::default()), second(None));
    let (_stopper, stop) = stop::channel();
    let outcome = run_with_second(&world, &second, stop).await;
    assert_eq!(outcome.code(), ExitCode::Done, "{outcome:?}");
    let End::Done(report) = outcome.end else { panic!() };
    assert_eq!((report.local, report.s3), (Presence::Present, Presence::Present));
    let files = second.0.files.lock().unwrap();
    assert!(files[&format!("{NAME}/{STREAM_FILE}")] == world.stream.bytes());
    assert_eq!(files.get(&format!("{NAME}/{MANIFEST_FILE}")), world.published.lock().unwrap().as_ref());
    assert_eq!(files.len(), 5);
    let first = published_event(&world).unwrap();
    assert_eq!((first.local, first.s3), (Presence::Present, Presence::Unfinished));
    assert_eq!(CopyReport { s3: Presence::Present, ..first }, report);
}

#[tokio::test]
async fn a_second_store_that_fails_takes_nothing_from_the_first_and_is_a_warning() {
    for (fails, s3) in [
        ("begin", Presence::Absent),
        ("send", Presence::Unfinished),
        ("durable", Presence::Unfinished),
        ("publish", Presence::Unfinished),
    ] {
        let (world, second) = (Arc::new(World::default()), second(Some(fails)));
        let (_stopper, stop) = stop::channel();
        let outcome = run_with_second(&world, &second, stop).await;
        assert_eq!(outcome.code(), ExitCode::DoneWithWarnings, "{fails}: {outcome:?}");
        assert!(outcome.warnings[0].contains("s3://bucket/shop/db") && outcome.warnings[0].contains("sync"));
        let End::Done(report) = outcome.end else { panic!() };
        assert_eq!((report.local, report.s3), (Presence::Present, s3), "{fails}");
        assert!(world.published.lock().unwrap().is_some());
    }
}

#[tokio::test]
async fn a_stop_after_the_first_copy_leaves_the_second_for_a_later_run() {
    let gate = Arc::new(Default::default());
    let second = Memory(Arc::new(MemoryStore { gate: Some(Arc::clone(&gate)), ..MemoryStore::default() }));
    let world = Arc::new(World::default());
    let (stopper, stop) = stop::channel();
    let stopping = async {
        while published_event(&world).is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        stopper.stop();
    };
    let (outcome, ()) = tokio::join!(run_with_second(&world, &second, stop), stopping);
    assert_eq!(outcome.code(), ExitCode::DoneWithWarnings, "{outcome:?}");
    assert!(outcome.warnings[0].contains("the run was stopped"), "{:?}", outcome.warnings);
    let End::Done(report) = outcome.end else { panic!() };
    assert_eq!((report.local, report.s3), (Presence::Present, Presence::Unfinished));
    second.open_gate();
}

#[tokio::test]
async fn a_volume_that_cannot_be_read_back_costs_only_the_second_store() {
    let (world, second) = (World { fails: Some("open unfinished"), ..World::default() }, second(None));
    let world = Arc::new(world);
    let (_stopper, stop) = stop::channel();
    let outcome = run_with_second(&world, &second, stop).await;
    assert_eq!(outcome.code(), ExitCode::DoneWithWarnings, "{outcome:?}");
    let End::Done(report) = outcome.end else { panic!() };
    assert_eq!((report.local, report.s3), (Presence::Present, Presence::Absent));
}

#[tokio::test]
async fn a_copy_that_failed_leaves_nothing_in_the_second_store() {
    for world in [
        World { engine: Misbehaviour::NoMark, ..World::default() },
        World { fails: Some("publish"), ..World::default() },
    ] {
        let (world, second) = (Arc::new(world), second(None));
        let (_stopper, stop) = stop::channel();
        let outcome = run_with_second(&world, &second, stop).await;
        assert_eq!(outcome.code(), ExitCode::FailedInCluster);
        // The run waits for that only for a while; here nothing keeps it from being done.
        while !second.0.unfinished.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(second.0.files.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_bucket_alone_takes_the_stream_itself_and_no_room_is_asked_for() {
    let (world, bucket) = (Arc::new(World::default()), second(None));
    let (_stopper, stop) = stop::channel();
    let ports = RunnerPorts { store: Arc::new(bucket.clone()), volume: None, ..ports(&world) };
    let order = CopyOrder { required_space_ratio: 100.0, ..order() };
    let End::Done(report) = run(&order, &ports, stop).await.end else { panic!() };
    assert_eq!((report.local, report.s3, report.room), (Presence::Absent, Presence::Present, None));
    assert_eq!(bucket.0.files.lock().unwrap().len(), 5);
    assert!(!world.has("begin") && !world.has("sweep"));
    assert_eq!(published_event(&world), None);
}

#[tokio::test]
async fn what_dead_runs_left_in_a_bucket_goes_but_for_what_is_wanted() {
    let wanted: Vec<BackupId> = vec![super::PARENT.parse().unwrap()];
    let order = CopyOrder { wanted_uploads: wanted.clone(), ..order() };
    let (world, first, follower) = (Arc::new(World::default()), second(None), second(None));
    let (_stopper, stop) = stop::channel();
    let alone = RunnerPorts { store: Arc::new(first.clone()), volume: None, ..ports(&world) };
    run(&order, &alone, stop.clone()).await;
    let beside = RunnerPorts { follower: Some(Arc::new(follower.clone())), ..ports(&world) };
    run(&order, &beside, stop).await;
    for bucket in [first, follower] {
        assert_eq!(*bucket.0.swept.lock().unwrap(), std::slice::from_ref(&wanted));
    }
}

#[tokio::test]
async fn a_fresh_backup_is_sealed_and_tells_the_room_that_is_left() {
    let world = Arc::new(World::default());
    let (_stopper, stop) = stop::channel();
    let End::Done(report) = run_in(&world, stop).await.end else { panic!() };
    assert_eq!(report.room, Some((1 << 30, 1 << 31)));
    let sealed = world.sealed.lock().unwrap();
    let names = sealed.iter().map(|path| path.strip_prefix(NAME).unwrap());
    let expected = [
        "/backup.mbstream.zst",
        "/manifest.json",
        "/mariadb_backup_checkpoints",
        "/mariadb_backup_galera_info",
        "/mariadb_backup_info",
    ];
    assert!(names.eq(expected), "{sealed:?}");
}
