//! A fault at every effect of a restore, then whoever comes next.
//!
//! For each effect: it fails; it happens but its answer is lost; the conductor dies before it; the
//! conductor dies after it, while its runners go on. For each runner: it can do nothing, or gets half way, or is
//! killed there. Whatever happens: no volume is written while a pod may
//! hold it, nothing is given up before a booted copy is there, no server starts from a half-filled or an
//! empty volume, and the next `recover` leaves a cluster that serves one history whole, the restored one or
//! the old one, with nothing owed and nothing left behind.

use mariadb_backup::exit_code::ExitCode;
use mariadb_backup::model::order::{ForeignBackup, Refill, RestoreRequest};
use mariadb_backup::ports::Reason;

use crate::restore_world::{Data, NEW, OLD, RestoreWorld, RunnerFault, request};
use crate::world::Fault;

fn recovered(world: &RestoreWorld, case: &str) {
    let mut tries = 0;
    while world.lock().obligation.is_some() {
        tries += 1;
        let is_broken = world.lock().put_backs_fail > 0;
        assert!(tries < 3, "{case}: still owed: {:?}\n{:#?}", world.lock().obligation, world.lock().journal);
        let end = world.recover(&format!("recover-{tries}")).expect("it is undisturbed");
        let undone = |code| code == ExitCode::RolledBack || (is_broken && code == ExitCode::NeedsPerson);
        let fine = end.as_ref().map_or_else(|failure| undone(failure.code), |_| true);
        assert!(fine, "{case}: {end:?}\n{:#?}", world.lock().journal);
    }
}

pub(crate) fn sweep(name: &str, make: impl Fn() -> RestoreWorld) {
    sweep_with(&Fault::ALL, name, make);
}

fn sweep_with(faults: &[Fault], name: &str, make: impl Fn() -> RestoreWorld) {
    let quiet = make();
    quiet.restore("first").expect("an undisturbed run does not die").ok();
    let effects = quiet.effects();
    assert!(effects > 10, "the sweep would prove nothing over {effects} effects");
    for fault in faults.iter().copied() {
        for at in 0..effects {
            let case = format!("{name}, {fault:?} at effect {at}");
            let world = make().with_fault(at, fault);
            let first = world.restore("first");
            recovered(&world, &case);
            world.remove_orphans();
            let mut state = world.lock();
            if state.failing != Reason::Unreachable {
                // What could not be removed from the volume of backups goes with the sweep of the next run there.
                state.lent = false;
            }
            assert_eq!(state.unfinished(), [""; 0], "{case}: {:#?}", state.journal);
            let history = state.history().unwrap();
            assert!([OLD, NEW].contains(&history.as_str()), "{case}: {history}");
            if matches!(first, Some(Ok(_))) {
                assert_eq!(history, NEW, "{case}: it said that it had restored: {:#?}", state.journal);
            }
        }
    }
}

/// The same for the runners: each in turn does not end its work.
fn sweep_runners(name: &str, make: impl Fn() -> RestoreWorld) {
    let quiet = make();
    quiet.restore("first").expect("an undisturbed run does not die").ok();
    let runs = quiet.lock().runner_runs;
    assert!(runs > 3, "the sweep would prove nothing over {runs} runners");
    for fault in RunnerFault::ALL {
        for at in 0..runs {
            let case = format!("{name}, {fault:?} of runner {at}");
            let world = make().with(|state| state.runner_fault = Some((at, fault)));
            let first = world.restore("first").expect("its conductor lives");
            recovered(&world, &case);
            let mut state = world.lock();
            // What could not be removed from the volume of backups goes with the sweep of the next run there.
            state.lent = false;
            assert_eq!(state.unfinished(), [""; 0], "{case}: {:#?}", state.journal);
            let history = state.history().unwrap();
            assert!([OLD, NEW].contains(&history.as_str()), "{case}: {history}");
            if first.is_ok() {
                assert_eq!(history, NEW, "{case}: it said that it had restored: {:#?}", state.journal);
            }
        }
    }
}

pub(crate) fn sick(world: RestoreWorld) -> RestoreWorld {
    world.with(|state| state.restored_is_sick = true)
}

/// The volume of backups can be mounted beside every replica.
pub(crate) fn shared(world: RestoreWorld) -> RestoreWorld {
    world.with(|state| state.shared_store = true)
}

/// A cluster that somebody scaled to 0.
pub(crate) fn stopped(world: RestoreWorld) -> RestoreWorld {
    world.with(|state| {
        state.stopped = std::mem::take(&mut state.scale.replicas);
        state.pods.clear();
    })
}

pub(crate) fn without_siblings(world: RestoreWorld) -> RestoreWorld {
    world.with(|state| state.has_siblings = false)
}

/// No room for a second copy beside the data.
pub(crate) fn full(world: RestoreWorld) -> RestoreWorld {
    world.with(|state| state.free_bytes = 1 << 20)
}

/// One of the original, of which is recorded neither how large it is nor where it stands.
fn of_the_original(world: RestoreWorld) -> RestoreWorld {
    world.with(|state| {
        let entry = state.catalogue.known(&request().backup).unwrap();
        (entry.stream_bytes, entry.position) = (None, None);
    })
}

#[test]
fn no_runner_that_does_not_end_its_work_leaves_anything_but_one_whole_cluster() {
    sweep_runners("siblings", || RestoreWorld::new(3));
    sweep_runners("no siblings", || without_siblings(RestoreWorld::new(3)));
    sweep_runners("named", || RestoreWorld::new(3).with(|state| state.named_claim = true));
    sweep_runners("full", || full(RestoreWorld::new(3)));
    sweep_runners("sick, full", || sick(full(RestoreWorld::new(3))));
    sweep_runners("shared", || shared(RestoreWorld::new(3)));
    sweep_runners("shared, no siblings", || shared(without_siblings(RestoreWorld::new(3))));
    sweep_runners("deaf", || RestoreWorld::new(3).with(|state| state.deaf = true));
    sweep_runners("sick", || sick(RestoreWorld::new(3)));
    sweep_runners("sick, no siblings", || sick(without_siblings(RestoreWorld::new(3))));
    sweep_runners("sick, alone", || sick(RestoreWorld::new(1)));
}

#[test]
fn a_switch_that_fails_without_any_other_old_data_is_done_again_or_has_changed_nothing() {
    let alone = || without_siblings(RestoreWorld::new(1));
    let wish = RestoreRequest { no_rollback: true, ..request() };
    let quiet = alone();
    quiet.restore_as("job", &wish).unwrap().unwrap();
    let runs = quiet.lock().runner_runs;
    let mut finished = 0;
    for fault in RunnerFault::ALL {
        for at in 0..runs {
            let world = alone().with(|state| state.runner_fault = Some((at, fault)));
            let case = format!("runner {at} {fault:?}");
            let first = world.restore_as("first", &wish).unwrap();
            if first.as_ref().is_err_and(|failure| failure.code == ExitCode::NeedsPerson) {
                world.recover("second").unwrap().unwrap_or_else(|failure| panic!("{case}: {failure:?}"));
                assert_eq!(world.lock().history().as_deref(), Some(NEW), "{case}");
                finished += 1;
            }
            let state = world.lock();
            assert_eq!(state.unfinished(), [""; 0], "{case}: {first:?} {:#?}", state.journal);
        }
    }
    assert!(finished > 0, "none was left for a person");
}

#[test]
fn an_undisturbed_restore_ends_with_all_replicas_in_the_new_history_and_nothing_left() {
    for replicas in [1, 2, 3, 5] {
        let world = RestoreWorld::new(replicas);
        let report = world.restore("job").unwrap().unwrap();
        let state = world.lock();
        assert_eq!(state.unfinished(), [""; 0], "{:#?}", state.journal);
        assert_eq!((state.history().as_deref(), report.history.as_str()), (Some(NEW), NEW));
        assert_eq!(state.last.as_ref().map(|last| &last.report), Some(&report));
    }
}

#[test]
fn no_single_fault_of_a_restore_leaves_anything_but_one_whole_cluster() {
    sweep("three replicas", || RestoreWorld::new(3));
    sweep("two replicas", || RestoreWorld::new(2));
}

#[test]
fn no_single_refusal_of_kubernetes_that_no_patience_helps_against_does() {
    let forbidden = |world: RestoreWorld| world.with(|state| state.failing = Reason::Forbidden);
    sweep_with(&[Fault::Fail], "forbidden", || forbidden(RestoreWorld::new(3)));
    sweep_with(&[Fault::Fail], "forbidden, shared", || forbidden(shared(RestoreWorld::new(3))));
    sweep_with(&[Fault::Fail], "forbidden, no siblings", || forbidden(without_siblings(RestoreWorld::new(3))));
    sweep_with(&[Fault::Fail], "forbidden, sick", || forbidden(sick(RestoreWorld::new(3))));
}

#[test]
fn no_single_fault_of_a_restore_whose_runner_cannot_be_told_does() {
    sweep("deaf", || RestoreWorld::new(3).with(|state| state.deaf = true));
}

#[test]
fn no_single_fault_of_a_restore_of_a_single_replica_does() {
    sweep("one replica", || RestoreWorld::new(1));
}

#[test]
fn no_single_fault_of_a_restore_without_room_beside_the_data_does() {
    sweep("no siblings", || without_siblings(RestoreWorld::new(3)));
    sweep("full", || full(RestoreWorld::new(3)));
    sweep("full, sick", || sick(full(RestoreWorld::new(3))));
}

#[test]
fn no_single_fault_of_a_restore_of_a_backup_of_the_original_does() {
    sweep("of the original", || of_the_original(without_siblings(RestoreWorld::new(3))));
}

#[test]
fn a_backup_that_turns_out_too_large_for_the_volume_never_stops_the_cluster() {
    let world = of_the_original(without_siblings(RestoreWorld::new(3))).with(|state| state.unpacked_bytes = 30 << 30);
    let failure = world.restore("first").unwrap().unwrap_err();
    assert_eq!(failure.code, ExitCode::Refused, "{failure:?}");
    let state = world.lock();
    assert!(state.journal.iter().all(|effect| !effect.contains("scale")), "{:#?}", state.journal);
    assert!(state.pods.values().all(|server| server.serves.as_deref() == Some(OLD)));
    assert_eq!((state.obligation.is_none(), state.unfinished()), (true, vec![]));
}

#[test]
fn no_single_fault_of_a_restore_that_is_unpacked_on_a_named_claim_does() {
    sweep("named", || RestoreWorld::new(3).with(|state| state.named_claim = true));
}

#[test]
fn no_single_fault_of_a_restore_that_gives_all_replicas_what_was_proven_does() {
    sweep("shared", || shared(RestoreWorld::new(3)));
    sweep("shared, no siblings", || shared(without_siblings(RestoreWorld::new(3))));
}

#[test]
fn replicas_that_were_lent_what_was_proven_are_filled_and_not_emptied() {
    for make in [|| shared(RestoreWorld::new(3)), || shared(without_siblings(RestoreWorld::new(3)))] {
        let world = make();
        world.restore("job").unwrap().unwrap();
        let state = world.lock();
        let (filled, emptied) = (state.times("to fill"), state.times("to empty"));
        assert_eq!((filled, emptied, state.unfinished()), (2, 0, vec![]), "{:#?}", state.journal);
    }
}

#[test]
fn without_room_for_another_copy_the_others_get_everything_from_the_leader_unless_it_was_asked_for() {
    let full = || shared(RestoreWorld::new(3)).with(|state| state.no_room_to_lend = true);
    let world = full();
    world.restore("job").unwrap().unwrap();
    let state = world.lock();
    assert!(state.steps.iter().any(|step| step.contains("from db-0 instead")), "{:?}", state.steps);
    assert_eq!(state.warnings, [""; 0], "nobody asked for it");
    assert_eq!((state.times("to fill"), state.times("to empty"), state.unfinished()), (0, 2, vec![]));
    let world = full();
    let all = RestoreRequest { refill: Some(Refill::All), ..request() };
    let failure = world.restore_as("job", &all).unwrap().unwrap_err();
    assert_eq!(failure.code, ExitCode::Refused, "{failure:?}");
    let state = world.lock();
    assert_eq!((state.history().as_deref(), state.unfinished()), (Some(OLD), vec![]), "{:#?}", state.journal);
    assert!(state.journal.iter().all(|effect| !effect.starts_with("scale")), "{:#?}", state.journal);
}

#[test]
fn a_cluster_that_is_scaled_to_0_is_restored_with_as_many_replicas_as_have_claims() {
    let world = stopped(RestoreWorld::new(3));
    let report = world.restore("job").unwrap().unwrap();
    let state = world.lock();
    assert_eq!((state.unfinished(), report.replicas), (vec![], 3), "{:#?}", state.journal);
    assert_eq!(state.history().as_deref(), Some(NEW));
}

/// A world whose restore died right after an effect.
pub(crate) fn died_after(effect: &str, make: impl Fn() -> RestoreWorld) -> RestoreWorld {
    let quiet = make();
    quiet.restore("job").unwrap().unwrap();
    let number = quiet.lock().journal.iter().position(|done| done == effect).unwrap();
    let world = make().with_fault(number, Fault::DieAfter);
    assert!(world.restore("job").is_none(), "it died");
    world
}

/// A restore that died when the leader served, and a leader that crashed since; the others hold what was lent.
fn crashed_leader(seqno: i64) -> RestoreWorld {
    died_after("record Joining", || shared(RestoreWorld::new(3))).with(|state| {
        state.pods.clear();
        state.scale.replicas = 3;
        for (n, volume) in &mut state.volumes {
            let seqno = if *n == 0 { seqno } else { 3 };
            volume.data = Data::Whole { history: NEW.to_owned(), seqno, safe: false };
        }
    })
}

#[test]
fn what_was_lent_never_stands_for_a_leader_of_which_nobody_knows_how_far_it_is() {
    let world = crashed_leader(-1);
    let failure = world.recover("next").unwrap().unwrap_err();
    assert_eq!(failure.code, ExitCode::FailedInCluster, "{failure:?}");
    assert!(failure.message.contains("how far the data of db-0 are"), "{}", failure.message);
    let state = world.lock();
    assert!(state.journal.iter().all(|effect| !effect.contains("crown")), "{:#?}", state.journal);
    assert!(state.obligation.is_some(), "a person can go on");
    drop(state);
    let world = crashed_leader(9);
    world.recover("next").unwrap().unwrap();
    let state = world.lock();
    assert_eq!((state.unfinished(), state.history().as_deref()), (vec![], Some(NEW)), "{:#?}", state.journal);
    assert!(state.journal.contains(&"scale to 1 from 0".to_owned()), "{:#?}", state.journal);
}

#[test]
fn a_leader_that_crashed_is_never_replaced_by_who_was_joining_it_then() {
    for leader_in_doubt in [false, true] {
        let world = crashed_leader(9).with(|state| {
            state.in_doubt = [1].into();
            if leader_in_doubt {
                state.in_doubt.insert(0);
                state.volumes.get_mut(&2).unwrap().data = Data::Empty;
            }
            let torn = Data::Whole { history: NEW.to_owned(), seqno: 9, safe: false };
            state.volumes.get_mut(&1).unwrap().data = torn;
        });
        world.recover("next").unwrap().unwrap();
        let state = world.lock();
        assert_eq!((state.unfinished(), state.history().as_deref()), (vec![], Some(NEW)), "{:#?}", state.journal);
        assert!(state.journal.contains(&"scale to 1 from 0".to_owned()), "{:#?}", state.journal);
    }
}

#[test]
fn a_replica_that_falls_out_of_the_group_while_it_joins_is_started_again() {
    let world = RestoreWorld::new(3).with(|state| state.stray = Some(2));
    world.restore("job").unwrap().unwrap();
    let state = world.lock();
    assert_eq!((state.unfinished(), state.history().as_deref()), (vec![], Some(NEW)), "{:#?}", state.journal);
    assert!(state.steps.contains(&"db-2 has left the group; starting it again".to_owned()), "{:?}", state.steps);
}

#[test]
fn a_leader_that_is_left_alone_without_a_majority_is_started_again_and_not_waited_for() {
    let world = died_after("wait for db-1", || RestoreWorld::new(3)).with(|state| {
        state.loses_majority = true;
        state.pods.get_mut(&2).unwrap().serves = None;
        state.volumes.get_mut(&2).unwrap().data = Data::Empty;
    });
    let before = world.lock().now;
    world.recover("next").unwrap().unwrap();
    let state = world.lock();
    assert_eq!((state.unfinished(), state.history().as_deref()), (vec![], Some(NEW)), "{:#?}", state.journal);
    assert!(state.steps.iter().any(|step| step.contains("has lost its majority")), "{:?}", state.steps);
    assert!(state.now - before < 60, "it was waited for as long as a leader may take to start");
}

#[test]
fn row_counts_of_all_replicas_are_compared_and_a_difference_keeps_the_old_data() {
    let rows = |world: &RestoreWorld| world.restore("job").unwrap().unwrap();
    let equal = rows(&RestoreWorld::new(3));
    assert_eq!(equal.rows.map(|rows| (rows.equal, rows.left_out)), Some((2, 0)));
    assert_eq!(equal.kept_in, None);

    let world = RestoreWorld::new(3).with(|state| state.has_a_row_more = Some(2));
    let differs = rows(&world);
    assert_eq!(differs.kept_in.as_deref(), Some(".mariadb-backup/old-job"));
    let told = "replicas differ: shop.orders has these rows: 7 on db-0, 7 on db-1, 8 on db-2";
    assert!(world.lock().warnings.iter().any(|warning| warning == told), "{:?}", world.lock().warnings);

    let closed = RestoreWorld::new(3).with(|state| state.tables_are_closed = true);
    assert_eq!(rows(&closed).rows, None);
    assert!(closed.lock().warnings.is_empty());
}

#[test]
fn rows_that_are_not_those_that_were_proven_undo_a_restore_as_long_as_no_client_has_written() {
    let world = RestoreWorld::new(3).with(|state| state.has_lost_a_row = true);
    let failure = world.restore("job").unwrap().unwrap_err();
    assert_eq!(failure.code, ExitCode::RolledBack, "{failure:?}");
    let told = "db-0 does not serve the rows that were proven: shop.orders has 6, and had 7";
    assert!(failure.message.contains(told), "{failure:?}");
    let state = world.lock();
    assert_eq!((state.history().as_deref(), state.unfinished()), (Some(OLD), vec![]), "{:#?}", state.journal);

    let told = |world: &RestoreWorld, wanted: &str| {
        world.restore("job").unwrap().unwrap();
        assert!(world.lock().steps.iter().any(|step| step.contains(wanted)), "{wanted}: {:?}", world.lock().steps);
    };
    told(&RestoreWorld::new(3), "tables with as many rows on db-0 as were proven: 1");
    let written = RestoreWorld::new(3).with(|state| (state.has_lost_a_row, state.is_written) = (true, true));
    told(&written, "clients have written to db-0 since it started");
    let closed = RestoreWorld::new(3).with(|state| state.tables_are_closed = true);
    told(&closed, "the rows of db-0 are not compared with those that were proven");
}

#[test]
fn a_backup_that_is_damaged_in_one_store_is_taken_from_the_other() {
    let world = RestoreWorld::new(3).with(|state| state.first_copy_is_damaged = true);
    world.restore("job").unwrap().unwrap();
    assert!(world.lock().warnings.iter().any(|warning| warning.contains("other store")), "{:?}", world.lock().warnings);
    assert_eq!(world.lock().history().as_deref(), Some(NEW));
}

#[test]
fn a_backup_that_booted_counts_as_verified_also_when_the_old_cluster_came_back() {
    for world in [RestoreWorld::new(3), sick(RestoreWorld::new(3))] {
        world.restore("job").unwrap().ok();
        let entry = world.lock().catalogue.entry(&request().backup).unwrap();
        assert!(entry.verified.is_some(), "{entry:?}");
    }
}

#[test]
fn a_backup_of_another_cluster_verifies_none_of_that_name() {
    let world = RestoreWorld::new(3);
    let catalogue = world.lock().catalogue.clone();
    let (files, entries) = (catalogue.files, catalogue.entries);
    let foreign = ForeignBackup { cluster: "shop/other".to_owned(), files, entries };
    let elsewhere = RestoreRequest { of_another: Some(Box::new(foreign)), ..request() };
    world.restore_as("job", &elsewhere).unwrap().unwrap();
    let entry = world.lock().catalogue.entry(&request().backup).unwrap();
    assert_eq!(entry.verified, None);
}

#[test]
fn a_backup_that_does_not_boot_never_stops_the_cluster() {
    let world = RestoreWorld::new(3).with(|state| {
        state.first_copy_is_damaged = true;
        state.settings.insert("MARIADB_BACKUP_STORE".to_owned(), "local".to_owned());
    });
    let failure = world.restore("job").unwrap().unwrap_err();
    assert_eq!(failure.code, ExitCode::VerificationFailed, "{failure:?}");
    let state = world.lock();
    assert_eq!(state.unfinished(), [""; 0]);
    assert!(state.journal.iter().all(|effect| !effect.starts_with("scale")), "{:#?}", state.journal);
}

/// A replica that is down, with data of a history that is long gone and seems far ahead.
fn with_stale_volume(world: RestoreWorld) -> RestoreWorld {
    world.with(|state| {
        state.pods.remove(&2);
        let history = "0ff00000-f1d0-11ef-8a4c-0242ac110002".to_owned();
        state.volumes.get_mut(&2).unwrap().data = Data::Whole { history, seqno: 9_000_000, safe: false };
    })
}

#[test]
fn old_data_of_another_history_are_never_taken_for_the_furthest() {
    let world = with_stale_volume(sick(RestoreWorld::new(3)));
    let failure = world.restore("job").unwrap().unwrap_err();
    assert_eq!(failure.code, ExitCode::RolledBack, "{failure:?}");
    let state = world.lock();
    assert_eq!((state.history().as_deref(), state.unfinished()), (Some(OLD), vec![]), "{:#?}", state.journal);
}

#[test]
fn where_nobody_said_which_history_is_the_present_one_a_person_chooses() {
    let world = with_stale_volume(sick(RestoreWorld::new(3)));
    world.lock().pods.clear();
    let failure = world.restore("job").unwrap().unwrap_err();
    assert_eq!(failure.code, ExitCode::NeedsPerson, "{failure:?}");
    assert!(failure.message.contains("different histories"), "{}", failure.message);
}
