//! The backup's three phases over the simulated world: the journal of a good run, and what each kind
//! of failure leaves behind.

use mariadb_backup::exit_code::ExitCode;

use crate::world::{Fault, RunnerScript, World};

#[test]
fn a_good_run_records_before_it_desyncs_and_clears_before_it_lists() {
    let world = World::default();
    let report = world.back_up("job").unwrap().unwrap();
    let state = world.lock();
    assert_eq!(
        state.journal,
        [
            "look at claim mariadb-phy-backup-data",
            "read the catalogue",
            "look at the cluster",
            "ask db-0",
            "ask db-1",
            "ask db-2",
            "close the gate of db-2",
            "start job-runner-2",
            "hear that the runner is ready",
            "look at the cluster",
            "look at the target",
            "record the obligation",
            "open the gate",
            "runner: desync ON",
            "runner: copy",
            "runner: desync OFF",
            "runner: publish 2026-05-28_20-27-40 on local",
            "hear that the runner ended",
            "remove job-runner-2",
            "look at the cluster",
            "ask db-2",
            "ask db-2",
            "wait until db-2 is Ready",
            "clear the obligation",
            "read the catalogue",
            "write the catalogue",
            "remove job-runner-2",
            "read the catalogue",
        ]
    );
    assert_eq!(state.catalogue.backups(), [report.backup]);
    assert_eq!(state.obligation, None);
}

#[test]
fn a_failed_copy_brings_the_replica_back_and_lists_nothing() {
    let world = World::default().with_script(RunnerScript::CopyFails);
    let failure = world.back_up("job").unwrap().unwrap_err();
    let state = world.lock();
    assert_eq!(failure.code, ExitCode::FailedInCluster);
    assert_eq!(failure.causes, ["no space left on the volume"]);
    assert_eq!((state.desynced, state.obligation.is_none(), state.catalogue.backups().len()), ([false; 3], true, 0));
}

#[test]
fn a_killed_runner_is_made_up_for_by_its_conductor() {
    let world = World::default().with_script(RunnerScript::Killed);
    let failure = world.back_up("job").unwrap().unwrap_err();
    let state = world.lock();
    assert_eq!(failure.causes, ["the runner ended before it could say why (exit code 137 (SIGKILL))"]);
    assert!(state.journal.contains(&"desync OFF on db-2".to_owned()), "{:?}", state.journal);
    assert_eq!((state.desynced, state.obligation.is_none(), state.catalogue.backups().len()), ([false; 3], true, 0));
}

#[test]
fn a_desync_of_a_server_restarted_since_is_somebody_elses_and_is_left_alone() {
    let world = World::default().with_script(RunnerScript::Killed).with_fault(14, Fault::DieBefore);
    assert!(world.back_up("first").is_none(), "the conductor was meant to die");
    assert!(world.lock().obligation.is_some() && world.lock().desynced[2]);
    world.lock().incarnation = "restarted".to_owned();
    let failure = world.back_up("second").unwrap().unwrap_err();
    let state = world.lock();
    assert_eq!(failure.code, ExitCode::Refused, "a replica that somebody has desynced is not backed up");
    assert!(state.desynced[2], "somebody else's desync was ended");
    assert_eq!(state.obligation, None, "what was owed ended with the server");
}

#[test]
fn a_good_copy_is_listed_even_when_the_replica_does_not_come_back() {
    let world = World::default().with_script(RunnerScript::Stuck);
    let failure = world.back_up("job").unwrap().unwrap_err();
    let state = world.lock();
    assert_eq!(failure.code, ExitCode::FailedInCluster);
    assert!(failure.message.contains("is whole and listed"), "{}", failure.message);
    assert_eq!((state.catalogue.backups().len(), state.obligation.is_some()), (1, true));
}

#[test]
fn a_runner_that_refuses_leaves_nothing() {
    let world = World::default().with_script(RunnerScript::Refuses);
    let failure = world.back_up("job").unwrap().unwrap_err();
    let state = world.lock();
    assert_eq!(failure.code, ExitCode::Refused);
    assert!(!state.journal.contains(&"record the obligation".to_owned()), "{:?}", state.journal);
    assert!(!state.runner_exists());
}
