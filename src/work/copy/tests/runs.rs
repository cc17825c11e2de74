//! Whole copies in the simulated world.

use super::*;

/// Runs in that world and returns the failure, after checking what must hold after every failure.
async fn fail_in(world: World) -> (Failure, Arc<World>) {
    let world = Arc::new(world);
    let (_stopper, stop) = stop::channel();
    let outcome = run_in(&world, stop).await;
    assert_eq!(*world.published.lock().unwrap(), None, "nothing is published");
    match outcome.end {
        End::Failed(failure) => (failure, world),
        End::Done(report) => panic!("{report:?}"),
    }
}

#[tokio::test]
async fn a_good_copy_is_signed_off_after_the_replica_is_back() {
    let world = Arc::new(World::default());
    let (_stopper, stop) = stop::channel();
    let outcome = run_in(&world, stop).await;
    let End::Done(report) = outcome.end else { panic!("{outcome:?}") };
    assert_eq!(report.position.to_string(), format!("{MEMBER}:4711"));
    let journal = world.journal.lock().unwrap().clone();
    assert_eq!(journal, ["sweep", "go-ahead", "begin", "desync on", "start", "desync off", "close"]);
    let manifest: Manifest = serde_json::from_slice(world.published.lock().unwrap().as_ref().unwrap()).unwrap();
    assert_eq!(manifest.files.len(), 4);
    assert_eq!(manifest.stream.bytes, report.stream_bytes);
    assert_eq!(manifest.origin.lsn.to, 47);
}

#[tokio::test]
async fn whatever_fails_the_replica_is_never_left_desynced() {
    let effects = ["sweep", "go-ahead", "begin", "create", "desync on", "start", "write", "publish"];
    for fails in effects.into_iter().chain(["fill the volume"]) {
        let (_, world) = fail_in(World { fails: Some(fails), ..World::default() }).await;
        assert_eq!(*world.desync_count.lock().unwrap(), 0, "{fails}");
    }
}

#[tokio::test]
async fn a_desync_that_cannot_be_taken_back_is_told_with_what_came_before_it() {
    let world = World { fails: Some("desync off"), engine: Misbehaviour::ExitCode, ..World::default() };
    let (failure, world) = fail_in(world).await;
    assert_eq!(*world.desync_count.lock().unwrap(), 1);
    assert_eq!(
        failure.message,
        "mariadb-backup ended with exit code 1; then the replica could not be brought back by its runner: \
         its server did not take wsrep_desync=OFF"
    );
}

#[tokio::test]
async fn every_way_the_tool_can_fail_is_a_failed_copy_and_still_rejoins() {
    let cases = [
        (Misbehaviour::ExitCode, "mariadb-backup ended with exit code 1"),
        (Misbehaviour::NoMark, "mariadb-backup ended with exit code 0, but without its mark of success"),
        (Misbehaviour::CutStream, "the stream of mariadb-backup is not whole"),
        (Misbehaviour::Hangs, "mariadb-backup sent nothing for 90 seconds"),
    ];
    for (engine, message) in cases {
        let (failure, world) = fail_in(World { engine, ..World::default() }).await;
        assert_eq!((failure.message.as_str(), failure.code), (message, ExitCode::FailedInCluster));
        assert!(world.has("desync off"));
        assert_eq!(world.has("interrupt"), engine == Misbehaviour::Hangs);
        assert_eq!(world.has("end sessions"), engine == Misbehaviour::Hangs);
    }
}

#[tokio::test]
async fn a_wall_clock_that_is_set_neither_ends_a_copy_nor_lengthens_its_times() {
    let world = Arc::new(World::default());
    let (_stopper, stop) = stop::channel();
    let End::Done(report) = run_in(&world, stop).await.end else { panic!() };
    let DesyncTimes { window_millis, before_millis, after_millis, resync_millis } = report.desync;
    for millis in [window_millis, before_millis, after_millis, resync_millis] {
        assert!(millis < 3_600_000, "{:?}", report.desync);
    }
    let (failure, world) = fail_in(World { engine: Misbehaviour::Hangs, ..World::default() }).await;
    assert_eq!(failure.message, "mariadb-backup sent nothing for 90 seconds");
    let elapsed = *world.elapsed.lock().unwrap();
    assert!(elapsed >= Duration::from_secs(90), "{elapsed:?}");
}

#[tokio::test]
async fn a_full_volume_is_named_as_the_cause_and_not_the_tools_broken_pipe() {
    let world = World { fails: Some("fill the volume"), engine: Misbehaviour::ExitCode, ..World::default() };
    let (failure, _) = fail_in(world).await;
    assert!(failure.message.starts_with("cannot write the backup"), "{}", failure.message);
    assert!(failure.hint.is_some());
}

#[tokio::test]
async fn a_restarted_server_fails_the_copy_at_once_and_gets_no_off() {
    let (failure, world) = fail_in(World { restarts: Restart::DuringCopy, ..World::default() }).await;
    assert!(failure.message.contains("restarted"), "{}", failure.message);
    assert!(world.has("interrupt") && !world.has("desync off"));
}

/// Runs in that world and returns the warnings of a backup that was signed off.
async fn warned_in(world: World) -> (Vec<String>, Arc<World>) {
    let world = Arc::new(world);
    let (_stopper, stop) = stop::channel();
    let outcome = run_in(&world, stop).await;
    assert_eq!(outcome.code(), ExitCode::DoneWithWarnings, "{outcome:?}");
    assert!(world.published.lock().unwrap().is_some(), "it is published");
    (outcome.warnings, world)
}

#[tokio::test]
async fn a_good_copy_is_kept_although_the_replica_could_not_be_brought_back() {
    let (warnings, world) = warned_in(World { fails: Some("desync off"), ..World::default() }).await;
    assert_eq!(*world.desync_count.lock().unwrap(), 1);
    let message = "the replica could not be brought back by its runner: \
                   its server did not take wsrep_desync=OFF: cannot desync off";
    assert_eq!(warnings, [message]);
}

#[tokio::test]
async fn a_good_copy_is_kept_although_the_server_was_restarted_after_it() {
    let (warnings, world) = warned_in(World { restarts: Restart::AfterCopy, ..World::default() }).await;
    assert!(!world.has("desync off"));
    assert_eq!(warnings, ["the server was restarted after the copy, which also ended its desync"]);
}

#[tokio::test]
async fn files_that_changed_hands_during_the_copy_are_no_backup() {
    for restarts in [Restart::Never, Restart::AfterCopy] {
        let world = World { files_change_hands: true, restarts, ..World::default() };
        let (failure, _) = fail_in(world).await;
        let text = format!("{} {:?}", failure.message, failure.causes);
        assert!(text.contains(if restarts == Restart::AfterCopy { "restarted" } else { "changed hands" }), "{text}");
    }
}

#[tokio::test]
async fn a_copy_that_failed_stays_failed_when_the_server_was_restarted_after_it() {
    let world = World { engine: Misbehaviour::NoMark, restarts: Restart::AfterCopy, ..World::default() };
    let (failure, _) = fail_in(world).await;
    assert!(failure.message.contains("restarted"), "{}", failure.message);
}

#[tokio::test]
async fn a_broken_pulse_or_two_end_no_copy_but_three_in_a_row_do() {
    for (broken_pulses, message) in
        [(2, "mariadb-backup sent nothing for 90 seconds"), (3, "the server went away during the copy")]
    {
        let world = World { engine: Misbehaviour::Hangs, broken_pulses, ..World::default() };
        let (failure, _) = fail_in(world).await;
        assert_eq!(failure.message, message);
    }
}

#[tokio::test]
async fn a_conductor_that_is_gone_means_that_nothing_is_touched() {
    let (failure, world) = fail_in(World { abandoned: true, ..World::default() }).await;
    assert!(failure.message.contains("conductor of this run is gone"));
    assert!(!world.has("begin") && !world.has("desync on"));
}

#[tokio::test]
async fn a_stop_during_the_copy_interrupts_the_tool_and_rejoins() {
    let world = Arc::new(World { engine: Misbehaviour::Hangs, ..World::default() });
    let (stopper, stop) = stop::channel();
    let stopping = async {
        while !world.has("start") {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        stopper.stop();
    };
    let (outcome, ()) = tokio::join!(run_in(&world, stop), stopping);
    assert_eq!(outcome.code(), ExitCode::FailedInCluster);
    assert!(world.has("interrupt") && world.has("desync off"));
    assert_eq!(*world.published.lock().unwrap(), None);
}

#[tokio::test]
async fn a_copy_is_given_up_before_the_servers_own_volume_is_full() {
    let world = World { engine: Misbehaviour::Hangs, data_volume_fills: true, ..World::default() };
    let (failure, world) = fail_in(world).await;
    assert_eq!(failure.message, "only 99B are left on the data volume; the copy was given up below 100B");
    assert!(failure.hint.is_some() && world.has("interrupt") && world.has("desync off"));
}

#[tokio::test]
async fn a_copy_waits_for_traffic_to_leave_and_goes_on_without_when_it_does_not() {
    let drained = CopyOrder { drain_secs: 60, ..order() };
    for (traffic_stays, code) in [(false, ExitCode::Done), (true, ExitCode::DoneWithWarnings)] {
        let world = Arc::new(World { traffic_stays, ..World::default() });
        let (_stopper, stop) = stop::channel();
        let outcome = run_order(&drained, &world, stop).await;
        assert_eq!(outcome.code(), code, "{outcome:?}");
        let journal = world.journal.lock().unwrap().clone();
        let expected = ["sweep", "go-ahead", "begin", "desync on", "drain", "start", "desync off", "close"];
        assert_eq!(journal, expected);
    }
}
