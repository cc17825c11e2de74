//! A fault at every effect of every kind of run, then the next run.
//!
//! For each effect: it fails; it happens but its answer is lost; the conductor dies before it; the
//! conductor dies after it. Whatever happens, these hold at once: a desynced replica has a recorded
//! obligation, and nothing is listed that is not whole. And the next run, undisturbed, succeeds and
//! leaves nothing owed.

use crate::world::{Fault, RunnerScript, World};

fn holds(world: &World, case: &str) {
    assert_eq!(world.broken_promises(), [""; 0], "{case}: {:#?}", world.lock().journal);
}

fn sweep(script: RunnerScript) {
    sweep_over(script, World::default);
}

fn sweep_over(script: RunnerScript, make: impl Fn() -> World) {
    let quiet = make().with_script(script);
    quiet.back_up("first").expect("an undisturbed run does not die").ok();
    let effects = quiet.effects();
    assert!(effects > 3, "the sweep would prove nothing over {effects} effects");
    for fault in Fault::ALL {
        for at in 0..effects {
            let case = format!("{script:?}, {fault:?} at effect {at}");
            let world = make().with_script(script).with_fault(at, fault);
            world.back_up("first");
            holds(&world, &case);
            world.lock().script = RunnerScript::Good;
            let second = world.back_up("second").expect("the second run is undisturbed");
            assert!(second.is_ok(), "{case}: the second run failed: {second:?}\n{:#?}", world.lock().journal);
            holds(&world, &case);
            let state = world.lock();
            assert_eq!((state.desynced, &state.obligation), ([false; 3], &None), "{case}: {:#?}", state.journal);
            assert!(!state.runner_at_work(), "{case}: a runner was left behind: {:#?}", state.journal);
        }
    }
}

#[test]
fn no_single_fault_of_a_good_run_leaves_a_desync_unrecorded_or_a_partial_backup_listed() {
    sweep(RunnerScript::Good);
}

#[test]
fn no_single_fault_of_a_run_whose_copy_fails_does() {
    sweep(RunnerScript::CopyFails);
}

#[test]
fn no_single_fault_of_a_run_whose_runner_is_killed_does() {
    sweep(RunnerScript::Killed);
}

#[test]
fn no_single_fault_of_a_run_whose_runner_refuses_does() {
    sweep(RunnerScript::Refuses);
}

#[test]
fn no_single_fault_of_a_run_to_both_stores_does_however_its_upload_ends() {
    let both = || World::default().with_setting("MARIADB_BACKUP_STORE", "both");
    for script in [RunnerScript::Good, RunnerScript::UploadFails, RunnerScript::KilledUploading] {
        sweep_over(script, both);
    }
}
