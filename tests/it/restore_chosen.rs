//! Where a restore can neither be finished nor undone, a person chooses the replica that the cluster is started from.

use mariadb_backup::exit_code::ExitCode;
use mariadb_backup::model::order::RestoreRequest;

use crate::restore_sweep::{sick, stopped, without_siblings};
use crate::restore_world::{Data, NEW, OLD, RestoreWorld, Volume, request};
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

/// The leader's old data are set aside on a volume that turned read-only, and nobody else has any.
fn with_old_data_that_cannot_be_put_back() -> RestoreWorld {
    let world = sick(RestoreWorld::new(3)).with(|state| state.put_backs_fail = 9);
    for n in [1, 2] {
        world.lock().volumes.get_mut(&n).unwrap().data = Data::Empty;
    }
    let failure = world.restore("job").unwrap().unwrap_err();
    assert_eq!(failure.code, ExitCode::NeedsPerson, "{failure:?}");
    world.with(|state| (state.restored_is_sick, state.put_backs_fail) = (false, 0))
}

/// What was done so far, but for looking.
fn changes(world: &RestoreWorld) -> Vec<String> {
    let state = world.lock();
    state.journal.iter().filter(|effect| !effect.contains("look") && !effect.starts_with("ask ")).cloned().collect()
}

/// Nothing is left but what was set aside, and all serve that history.
#[track_caller]
fn all_serve(world: &RestoreWorld, history: &str, case: &str) {
    let state = world.lock();
    assert_eq!(state.unfinished(), [""; 0], "{case}: {:#?}", state.journal);
    assert_eq!(state.history().as_deref(), Some(history), "{case}");
}

#[test]
fn the_cluster_is_started_from_the_replica_that_is_chosen_and_the_others_get_everything_from_it() {
    let world = without_old_data();
    let report = world.recover_from("chosen", 0).unwrap().unwrap();
    assert_eq!((report.leader.as_str(), report.is_chosen), ("db-0", true));
    all_serve(&world, NEW, "restored data");
    for (ordinal, history) in [(1, OLD), (2, "another")] {
        let world = of_two_histories();
        world.recover_from("chosen", ordinal).unwrap().unwrap();
        all_serve(&world, history, history);
        let state = world.lock();
        let emptied = state.journal.iter().filter(|effect| effect.contains("-empty-") && effect.starts_with("hear"));
        assert_eq!(emptied.count(), 2, "also one with the same history: {:#?}", state.journal);
    }
}

#[test]
fn what_was_set_aside_is_kept_and_named_by_the_pod_that_has_it() {
    let world = with_old_data_that_cannot_be_put_back();
    let report = world.recover_from("chosen", 0).unwrap().unwrap();
    assert_eq!((report.kept_on(), report.kept_in.as_deref()), ("db-0", Some(".mariadb-backup/old-job")));
    assert!(world.lock().volumes[&0].old.is_some());
    all_serve(&world, NEW, "set aside");
}

#[test]
fn who_cannot_start_it_is_refused_before_anything_is_changed_or_told_with_the_cluster_stopped() {
    let world = without_old_data();
    let before = changes(&world);
    let refused = world.recover_from("chosen", 7).unwrap().unwrap_err();
    assert_eq!(refused.code, ExitCode::Refused, "{refused:?}");
    assert!(refused.message.contains("the ordinals of its replicas are 0, 1, 2"), "{}", refused.message);
    assert_eq!(changes(&world), before);
    let empty = world.recover_from("chosen", 1).unwrap().unwrap_err();
    assert_eq!(empty.code, ExitCode::NeedsPerson, "{empty:?}");
    assert!(empty.message.contains("db-1 has no whole data"), "{}", empty.message);
    assert!(world.lock().pods.is_empty());
    world.recover_from("again", 0).unwrap().unwrap();
    all_serve(&world, NEW, "chosen again");
}

/// The leader gives its old data up, and of the others one is the furthest and was ended in a state transfer.
fn of_a_donor_that_gave_its_data_up() -> RestoreWorld {
    sick(without_siblings(RestoreWorld::new(3))).with(|state| {
        for (n, seqno) in [(0, 510), (1, 500), (2, 510)] {
            state.volumes.get_mut(&n).unwrap().data = Data::Whole { history: OLD.to_owned(), seqno, safe: false };
        }
        state.in_doubt = [2].into();
    })
}

#[test]
fn who_may_have_half_of_what_the_leader_gave_up_never_starts_the_cluster_unless_a_person_says_so() {
    for (ordinal, in_doubt) in [(1, false), (2, true)] {
        let world = of_a_donor_that_gave_its_data_up();
        let failure = world.restore("job").unwrap().unwrap_err();
        assert_eq!(failure.code, ExitCode::NeedsPerson, "{failure:?}");
        assert!(failure.message.contains("db-2 may be the furthest, or torn"), "{failure:?}");
        let is_new = |volume: &Volume| matches!(&volume.data, Data::Whole { history, .. } if history == NEW);
        assert!(is_new(&world.lock().volumes[&0]), "the leader keeps what it has");
        // What may be torn is for that person to see.
        world.lock().in_doubt = if in_doubt { [2].into() } else { [].into() };
        world.recover_from("chosen", ordinal).unwrap().unwrap();
        all_serve(&world, OLD, "chosen");
        let warned = world.lock().warnings.iter().any(|text| text.starts_with("the data of db-2 are in doubt"));
        assert_eq!(warned, in_doubt);
    }
}

#[test]
fn as_long_as_anybody_serves_nobody_is_chosen() {
    let world = sick(RestoreWorld::new(3)).with(|state| state.put_backs_fail = 9);
    let partly = world.restore("job").unwrap().unwrap_err();
    assert!(partly.message.contains("the old cluster serves again, but not whole"), "{}", partly.message);
    let before = changes(&world);
    for ordinal in 0..3 {
        let refused = world.recover_from("chosen", ordinal).unwrap().unwrap_err();
        assert_eq!(refused.code, ExitCode::Refused, "{refused:?}");
        assert!(refused.message.contains("db-1 serves"), "{}", refused.message);
    }
    assert_eq!(changes(&world), before);
}

/// Goes on after a fault as people do: who has chosen chooses again as long as nothing came of it, and others go on
/// without choosing, or order the restore once more.
fn goes_on(world: &RestoreWorld, ordinal: i32, case: &str) {
    for again in 0..4 {
        let Some(owed) = world.lock().obligation.clone() else { return };
        let is_chosen = owed.debt.restore().unwrap().chosen.is_some();
        let job = format!("again-{again}");
        match (is_chosen, again % 2) {
            (false, _) => drop(world.recover_from(&job, ordinal)),
            (true, 0) => drop(world.recover(&job)),
            (true, _) => drop(world.restore(&job)),
        }
    }
    let state = world.lock();
    assert!(state.obligation.is_none(), "{case}: {:#?}", state.journal);
}

#[test]
fn one_that_does_not_start_is_stopped_again_and_then_it_or_another_can_be_chosen() {
    for (ordinal, history) in [(0, NEW), (1, OLD)] {
        let world = of_two_histories();
        let sick = world.recover_from("chosen", 0).unwrap().unwrap_err();
        assert_eq!(sick.code, ExitCode::NeedsPerson, "{sick:?}");
        assert!(sick.message.contains("db-0 was chosen to start the cluster"), "{}", sick.message);
        assert!(world.lock().pods.is_empty(), "what does not serve is not left running");
        world.lock().restored_is_sick = false;
        if ordinal == 0 {
            world.recover("mended").unwrap().unwrap();
        } else {
            world.recover_from("another", ordinal).unwrap().unwrap();
        }
        all_serve(&world, history, history);
    }
}

fn sweep(name: &str, make: fn() -> RestoreWorld, ordinal: i32, history: &str) {
    let quiet = make();
    let before = quiet.effects();
    quiet.recover_from("chosen", ordinal).unwrap().unwrap();
    let after = quiet.effects();
    assert!(after > before + 10, "the sweep would prove nothing over {} effects", after - before);
    for fault in Fault::ALL {
        for at in before..after {
            let case = format!("{name}, {fault:?} at effect {at}");
            let world = make().with_fault(at, fault);
            world.recover_from("chosen", ordinal);
            goes_on(&world, ordinal, &case);
            world.remove_orphans();
            all_serve(&world, history, &case);
        }
    }
}

#[test]
fn no_single_fault_keeps_the_chosen_one_from_starting_the_cluster_in_the_end() {
    sweep("without old data", without_old_data, 0, NEW);
    sweep("two histories", of_two_histories, 1, OLD);
    sweep("set aside", with_old_data_that_cannot_be_put_back, 0, NEW);
}
