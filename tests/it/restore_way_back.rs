//! The way back of a restore: whence the old cluster comes, and what is told where it cannot, not whole, or not at once.

use mariadb_backup::exit_code::ExitCode;
use mariadb_backup::model::order::RestoreRequest;

use crate::restore_sweep::{died_after, sick, stopped, sweep, without_siblings};
use crate::restore_world::{Data, OLD, RestoreWorld, Volume, request};

#[test]
fn a_cluster_that_was_stopped_is_so_again_when_its_restore_is_undone() {
    let world = stopped(sick(RestoreWorld::new(3)));
    let failure = world.restore("job").unwrap().unwrap_err();
    assert_eq!(failure.code, ExitCode::RolledBack, "{failure:?}");
    assert!(failure.message.contains("stopped as it was"), "{}", failure.message);
    let state = world.lock();
    assert_eq!((state.scale.replicas, &state.obligation, &state.broken), (0, &None, &vec![]), "{:#?}", state.journal);
    let is_old = |volume: &Volume| matches!(&volume.data, Data::Whole { history, .. } if history == OLD);
    assert!(state.volumes.values().all(is_old), "{:?}", state.volumes);
}

#[test]
fn a_stopped_cluster_whose_old_data_are_on_other_volumes_gets_them_everywhere_before_it_is_stopped_again() {
    let world = stopped(sick(without_siblings(RestoreWorld::new(3))));
    // A clean stop leaves the position behind, and nobody answers who could tell the history, or promise a way back.
    let wish = RestoreRequest { no_rollback: true, ..request() };
    let failure = world.restore_as("job", &wish).unwrap().unwrap_err();
    assert_eq!(failure.code, ExitCode::RolledBack, "{failure:?}");
    let state = world.lock();
    assert_eq!((state.scale.replicas, &state.obligation, &state.broken), (0, &None, &vec![]), "{:#?}", state.journal);
    let is_old = |volume: &Volume| matches!(&volume.data, Data::Whole { history, .. } if history == OLD);
    assert!(state.volumes.values().all(is_old), "{:?}", state.volumes);
}

#[test]
fn no_single_fault_of_the_way_back_does() {
    sweep("sick", || sick(RestoreWorld::new(3)));
    sweep("sick, alone", || sick(RestoreWorld::new(1)));
    sweep("sick, no siblings", || sick(without_siblings(RestoreWorld::new(3))));
}

#[test]
fn restored_data_that_do_not_start_are_undone_to_the_furthest_of_the_old_ones() {
    for make in [|| sick(RestoreWorld::new(3)), || sick(without_siblings(RestoreWorld::new(3)))] {
        let world = make();
        let failure = world.restore("job").unwrap().unwrap_err();
        assert_eq!(failure.code, ExitCode::RolledBack, "{failure:?}");
        let state = world.lock();
        assert_eq!(state.unfinished(), [""; 0], "{:#?}", state.journal);
        assert_eq!(state.history().as_deref(), Some(OLD));
        // db-2 was the furthest of them.
        assert!(state.journal.contains(&"scale to 1 from 2".to_owned()), "{:#?}", state.journal);
    }
}

#[test]
fn who_was_ended_in_the_middle_of_a_state_transfer_never_starts_the_old_cluster_in_the_place_of_its_donor() {
    for torn in [0, 1] {
        let world = sick(RestoreWorld::new(3)).with(|state| {
            let data = &mut state.volumes.get_mut(&torn).unwrap().data;
            *data = Data::Whole { history: OLD.to_owned(), seqno: 502, safe: true };
            state.in_doubt = [torn].into();
        });
        let failure = world.restore("job").unwrap().unwrap_err();
        assert_eq!(failure.code, ExitCode::RolledBack, "{failure:?}");
        let state = world.lock();
        assert_eq!((state.unfinished(), state.history().as_deref()), (vec![], Some(OLD)), "{:#?}", state.journal);
        assert!(state.journal.contains(&"scale to 1 from 2".to_owned()), "{:#?}", state.journal);
        let doubt = format!("db-{torn} is at {OLD}:502, in doubt");
        assert!(state.steps.iter().any(|step| step.starts_with(&doubt)), "{:#?}", state.steps);
    }
}

#[test]
fn who_asked_for_a_state_transfer_and_got_nothing_starts_the_old_cluster_where_nobody_else_is_as_far() {
    let world = sick(RestoreWorld::new(3)).with(|state| state.in_doubt = [2].into());
    let failure = world.restore("job").unwrap().unwrap_err();
    assert_eq!(failure.code, ExitCode::RolledBack, "{failure:?}");
    let state = world.lock();
    assert_eq!((state.unfinished(), state.history().as_deref()), (vec![], Some(OLD)), "{:#?}", state.journal);
    assert!(state.journal.contains(&"scale to 1 from 2".to_owned()), "{:#?}", state.journal);
}

#[test]
fn a_cluster_that_comes_up_by_itself_after_its_restore_died_untouched_is_not_stopped_again() {
    let world = died_after("record Stopping", || RestoreWorld::new(3));
    world.lock().silent = 3;
    let failure = world.recover("next").unwrap().unwrap_err();
    assert_eq!(failure.code, ExitCode::RolledBack, "{failure:?}");
    let state = world.lock();
    assert_eq!((state.unfinished(), state.history().as_deref()), (vec![], Some(OLD)), "{:#?}", state.journal);
    assert_eq!(state.times("scale to 0 from 0"), 0, "{:#?}", state.journal);
    assert!(state.volumes.values().all(|volume| volume.old.is_none()), "nothing is set aside");
}

#[test]
fn where_all_were_ended_in_the_middle_of_a_change_of_tables_the_furthest_starts_the_old_cluster() {
    for replicas in [1, 3] {
        let world = sick(RestoreWorld::new(replicas)).with(|state| state.in_doubt = (0..replicas).collect());
        let failure = world.restore("job").unwrap().unwrap_err();
        assert_eq!(failure.code, ExitCode::RolledBack, "{failure:?}");
        let state = world.lock();
        assert_eq!((state.unfinished(), state.history().as_deref()), (vec![], Some(OLD)), "{:#?}", state.journal);
        assert!(state.journal.contains(&format!("scale to 1 from {}", replicas - 1)), "{:#?}", state.journal);
    }
}

#[test]
fn a_pod_that_does_not_end_keeps_its_volume_and_the_old_cluster_comes_back() {
    let world = RestoreWorld::new(3).with(|state| state.pods.get_mut(&1).unwrap().stuck = true);
    let failure = world.restore("job").unwrap().unwrap_err();
    assert_eq!(failure.code, ExitCode::RolledBack, "{failure:?}");
    assert!(failure.message.contains("pod db-1 on node n1"), "{}", failure.message);
    let state = world.lock();
    assert_eq!(state.broken, [""; 0]);
    let begun = ["record Switching", "hear job-switch-1"];
    assert!(state.journal.iter().all(|effect| !begun.contains(&effect.as_str())), "{:#?}", state.journal);
    assert_eq!((state.scale.replicas, &state.obligation), (3, &None));
}

#[test]
fn a_pod_that_somebody_starts_while_a_volume_is_written_ends_the_writing_and_is_stopped_again() {
    let world = RestoreWorld::new(3).with(|state| state.intruders = 1);
    world.restore("job").unwrap().unwrap();
    assert_eq!(world.lock().unfinished(), [""; 0]);
    let stubborn = RestoreWorld::new(3).with(|state| state.intruders = 3);
    let failure = stubborn.restore("job").unwrap().unwrap_err();
    assert_eq!(failure.code, ExitCode::RolledBack, "{failure:?}");
    assert_eq!(stubborn.lock().history().as_deref(), Some(OLD));
}

#[test]
fn a_cluster_that_somebody_starts_again_and_again_is_given_up_untouched_and_it_is_told_why() {
    let world = RestoreWorld::new(3).with(|state| state.is_scaled_back = true);
    let failure = world.restore("job").unwrap().unwrap_err();
    assert_eq!(failure.code, ExitCode::RolledBack, "{failure:?}");
    assert!(failure.message.contains("times more, so somebody else scales it"), "{}", failure.message);
    let state = world.lock();
    assert_eq!((state.history().as_deref(), &state.broken[..]), (Some(OLD), &[][..]));
    let begun = ["record Switching", "hear job-switch-1"];
    assert!(state.journal.iter().all(|effect| !begun.contains(&effect.as_str())), "{:#?}", state.journal);
}

#[test]
fn without_any_old_data_left_a_person_is_told_exactly_what_there_is() {
    let world = sick(without_siblings(RestoreWorld::new(2)));
    world.lock().volumes.get_mut(&1).unwrap().data = Data::Empty;
    let failure = world.restore("job").unwrap().unwrap_err();
    assert_eq!(failure.code, ExitCode::NeedsPerson, "{failure:?}");
    let hint = failure.hint.unwrap();
    assert!(hint.contains("recover") && hint.contains("what one of them has instead (0, 1)"), "{hint}");
    assert!(world.lock().obligation.is_some(), "the record stays for whoever goes on");
}

/// The leader's volume turned read-only once the restored data were there; it is mended after so many tries.
fn broken(world: RestoreWorld, tries: u32) -> RestoreWorld {
    world.with(|state| state.put_backs_fail = tries)
}

#[test]
fn no_single_fault_of_a_way_back_without_the_leader_does() {
    sweep("broken", || broken(sick(RestoreWorld::new(3)), 1));
    sweep("broken, no siblings", || broken(sick(without_siblings(RestoreWorld::new(3))), 1));
}

#[test]
fn where_the_leader_s_volume_cannot_be_written_the_old_cluster_serves_without_it_until_it_is_mended() {
    for make in [|| sick(RestoreWorld::new(3)), || sick(without_siblings(RestoreWorld::new(3)))] {
        let world = broken(make(), 2);
        for tries in ["job", "again"] {
            let failure = match tries {
                "job" => world.restore(tries).unwrap().unwrap_err(),
                _ => world.recover(tries).unwrap().unwrap_err(),
            };
            assert_eq!(failure.code, ExitCode::NeedsPerson, "{failure:?}");
            assert!(failure.message.contains("the old cluster serves again, but not whole"), "{}", failure.message);
            let hint = failure.hint.unwrap();
            assert!(hint.contains("do not scale it") && hint.contains("recover"), "{hint}");
            let state = world.lock();
            assert!(state.obligation.is_some(), "whoever mends the volume goes on");
            // What is on the leader's volume could start a cluster of its own.
            let serving: Vec<_> = state.pods.iter().map(|(n, server)| (*n, server.serves.as_deref())).collect();
            assert_eq!(serving, [(1, Some(OLD)), (2, Some(OLD))], "{:#?}", state.journal);
            assert_eq!(state.broken, [""; 0]);
        }
        let stops = |world: &RestoreWorld| {
            world.lock().journal.iter().filter(|effect| effect.starts_with("scale to 0")).count()
        };
        let before = stops(&world);
        assert!(before > 0, "it was stopped for the restore");
        let failure = world.recover("mended").unwrap().unwrap_err();
        assert_eq!(failure.code, ExitCode::RolledBack, "{failure:?}");
        assert_eq!(stops(&world), before, "the cluster that serves was stopped again");
        let state = world.lock();
        assert_eq!((state.unfinished(), state.history().as_deref()), (vec![], Some(OLD)), "{:#?}", state.journal);
    }
}

#[test]
fn a_leader_that_has_more_than_what_went_on_without_it_gets_everything_anew_and_its_own_is_kept() {
    let world = broken(sick(RestoreWorld::new(3)), 1).with(|state| {
        // It was the last to end, and nobody knows what its last write-sets were.
        state.volumes.get_mut(&0).unwrap().data = Data::Whole { history: OLD.to_owned(), seqno: 900, safe: false };
    });
    assert_eq!(world.restore("job").unwrap().unwrap_err().code, ExitCode::NeedsPerson);
    let failure = world.recover("mended").unwrap().unwrap_err();
    assert_eq!(failure.code, ExitCode::RolledBack, "{failure:?}");
    let state = world.lock();
    assert!(state.pods.values().all(|server| server.serves.as_deref() == Some(OLD)), "{:?}", state.pods);
    let kept = state.volumes[&0].old.as_ref();
    assert!(matches!(kept, Some(Data::Whole { seqno: 900, .. })), "{kept:?}");
    let told = "the old data of db-0 stay in .mariadb-backup/old-job on claim data-db-0";
    assert!(state.warnings.iter().any(|warning| warning.starts_with(told)), "{:?}", state.warnings);
    assert_eq!((&state.broken, &state.obligation), (&vec![], &None));
}
