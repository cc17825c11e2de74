//! Where a restore can neither be finished nor undone, a person chooses the replica that the cluster is started from.

use mariadb_backup::exit_code::ExitCode;
use mariadb_backup::model::order::RestoreRequest;

use crate::restore_sweep::{sick, stopped, without_siblings};
use crate::restore_world::{Data, NEW, OLD, RestoreWorld, request};
use crate::world::Fault;

/// The leader gave its old data up for restored ones that do not serve, and nobody else has any.
fn without_old_data() -> RestoreWorld {
    let world = sick(without_siblings(RestoreWorld::new(3)));
    for n in [1, 2] {
        world.lock().volumes.get_mut(&n).unwrap().data = Data::Empty;
    }
    let failure = world.restore("job").unwrap().unwrap_err();
    assert_eq!(failure.code, ExitCode::NeedsPerson, "{failure:?}");
    assert!(failure.hint.unwrap().ends_with("kubectl mariadb-backup recover --leader ORDINAL"));
    world.lock().restored_is_sick = false;
    world
}

/// Nobody could say which of two histories is the cluster's.
fn of_two_histories() -> RestoreWorld {
    let world = stopped(sick(without_siblings(RestoreWorld::new(3))));
    world.lock().volumes.get_mut(&2).unwrap().data =
        Data::Whole { history: "another".to_owned(), seqno: 900, safe: true };
    let failure = world.restore_as("job", &RestoreRequest { no_rollback: true, ..request() }).unwrap().unwrap_err();
    assert_eq!(failure.code, ExitCode::NeedsPerson, "{failure:?}");
    assert!(failure.message.contains("different histories"), "{}", failure.message);
    world
}

/// Nothing is left, and all serve that history.
#[track_caller]
fn all_serve(world: &RestoreWorld, history: &str, case: &str) {
    let state = world.lock();
    assert_eq!(state.unfinished(), [""; 0], "{case}: {:#?}", state.journal);
    assert_eq!(state.history().as_deref(), Some(history), "{case}");
}

#[test]
fn the_cluster_is_started_from_the_replica_that_is_chosen_and_the_others_get_everything_from_it() {
    let world = without_old_data();
    let told = world.recover_from("chosen", 0).unwrap().unwrap();
    assert!(told.starts_with("db-0 was chosen to start the cluster"), "{told}");
    all_serve(&world, NEW, "restored data");
    for (ordinal, history) in [(1, OLD), (2, "another")] {
        let world = of_two_histories();
        world.recover_from("chosen", ordinal).unwrap().unwrap();
        all_serve(&world, history, history);
    }
}

#[test]
fn who_cannot_start_it_is_refused_before_anything_is_changed_or_told_with_the_cluster_stopped() {
    let world = without_old_data();
    let before = world.lock().journal.len();
    let refused = world.recover_from("chosen", 7).unwrap().unwrap_err();
    assert_eq!(refused.code, ExitCode::Refused, "{refused:?}");
    assert!(refused.message.contains("the ordinals of its replicas are 0, 1, 2"), "{}", refused.message);
    assert_eq!(world.lock().journal.len(), before, "{:#?}", world.lock().journal);
    let empty = world.recover_from("chosen", 1).unwrap().unwrap_err();
    assert_eq!(empty.code, ExitCode::NeedsPerson, "{empty:?}");
    assert!(empty.message.contains("db-1 has no data"), "{}", empty.message);
    assert!(world.lock().pods.is_empty(), "{:?}", world.lock().pods);
    world.recover_from("again", 0).unwrap().unwrap();
    all_serve(&world, NEW, "chosen again");
}

#[test]
fn no_single_fault_keeps_the_chosen_one_from_starting_the_cluster_in_the_end() {
    for (make, ordinal, history) in [(without_old_data as fn() -> RestoreWorld, 0, NEW), (of_two_histories, 1, OLD)] {
        let quiet = make();
        let before = quiet.effects();
        quiet.recover_from("chosen", ordinal).unwrap().unwrap();
        let after = quiet.effects();
        assert!(after > before + 10, "the sweep would prove nothing over {} effects", after - before);
        for fault in Fault::ALL {
            for at in before..after {
                let case = format!("{history}, {fault:?} at effect {at}");
                let world = make().with_fault(at, fault);
                world.recover_from("chosen", ordinal);
                for again in 0..3 {
                    if world.lock().obligation.is_some() {
                        world.recover_from(&format!("again-{again}"), ordinal);
                    }
                }
                world.remove_orphans();
                all_serve(&world, history, &case);
            }
        }
    }
}
