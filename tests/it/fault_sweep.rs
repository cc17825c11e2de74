//! A fault at every effect of every kind of run, then the next run.
//!
//! For each effect: it fails; it happens but its answer is lost; the conductor dies before it; the
//! conductor dies after it. Whatever happens, these hold at once: a desynced replica has a recorded
//! obligation, and nothing is listed that is not whole. And the next run, undisturbed, succeeds and
//! leaves nothing owed.

use mariadb_backup::model::catalogue::Presence::{Damaged, Present, Unfinished};
use mariadb_backup::model::order::BackupKind;

use crate::world::{Fault, RunnerScript, World};

const FULL: &str = "base/2026-05-27_00-00-00";
const INCREMENT: &str = "incr/2026-05-27_00-00-00/2026-05-27_12-00-00";
const NEWER: &str = "base/2026-05-28_00-00-00";

fn holds(world: &World, case: &str) {
    assert_eq!(world.broken_promises(), [""; 0], "{case}: {:#?}", world.lock().journal);
}

/// Sweeps over one kind of run: from the world it begins in, with the runner behaving like that.
fn sweep(name: &str, script: RunnerScript, make: impl Fn() -> World) {
    let quiet = make().with_script(script);
    quiet.back_up("first").expect("an undisturbed run does not die").ok();
    let effects = quiet.effects();
    assert!(effects > 3, "the sweep would prove nothing over {effects} effects");
    for fault in Fault::ALL {
        for at in 0..effects {
            let case = format!("{name}, {script:?}, {fault:?} at effect {at}");
            let world = make().with_script(script).with_fault(at, fault);
            world.back_up("first");
            holds(&world, &case);
            {
                let mut state = world.lock();
                (state.script, state.impatient) = (RunnerScript::Good, true);
            }
            let second = world.back_up("second").expect("the second run is undisturbed");
            assert!(second.is_ok(), "{case}: the second run failed: {second:?}\n{:#?}", world.lock().journal);
            holds(&world, &case);
            converged(&world, &case);
            if !world.lock().unlisted().is_empty() {
                // With nothing in the catalogue, the second run had no reason to look into the stores.
                assert!(world.back_up("third").expect("the third run is undisturbed").is_ok(), "{case}");
                assert_eq!(world.lock().unlisted(), [], "{case}: {:#?}", world.lock().journal);
            }
        }
    }
}

/// Nothing is owed, at work, half removed or half sent after an undisturbed run.
fn converged(world: &World, case: &str) {
    let state = world.lock();
    assert_eq!((state.desynced, &state.obligation), ([false; 3], &None), "{case}: {:#?}", state.journal);
    assert!(!state.runner_at_work(), "{case}: a runner was left behind: {:#?}", state.journal);
    let half: Vec<_> = state.catalogue.entries.iter().filter(|(_, entry)| entry.removing.is_some()).collect();
    assert!(half.is_empty(), "{case}: half removed: {half:?}\n{:#?}", state.journal);
}

fn both() -> World {
    World::default().with_setting("MARIADB_BACKUP_STORE", "both")
}

fn incremental(world: World) -> World {
    world.lock().request.kind = BackupKind::Incremental;
    world
}

#[test]
fn no_single_fault_of_a_run_to_the_volume_leaves_a_desync_unrecorded_or_a_partial_backup_listed() {
    for script in [RunnerScript::Good, RunnerScript::CopyFails, RunnerScript::Killed, RunnerScript::Refuses] {
        sweep("local", script, World::default);
    }
}

#[test]
fn no_single_fault_of_a_run_to_both_stores_does_however_its_upload_ends() {
    for script in [RunnerScript::Good, RunnerScript::UploadFails, RunnerScript::KilledUploading] {
        sweep("both", script, both);
    }
}

#[test]
fn no_single_fault_of_a_run_to_s3_alone_does() {
    for script in [RunnerScript::Good, RunnerScript::CopyFails] {
        sweep("s3", script, || World::default().with_setting("MARIADB_BACKUP_STORE", "s3"));
    }
}

#[test]
fn no_single_fault_of_an_incremental_run_does() {
    let chain = || incremental(both().with_backup(FULL, Present, Present).with_backup(INCREMENT, Present, Present));
    sweep("incremental", RunnerScript::Good, chain);
    sweep("incremental on other files", RunnerScript::Good, || {
        let world = chain();
        world.lock().files_replaced = true;
        world
    });
}

#[test]
fn no_single_fault_while_a_primary_drains_does() {
    sweep("drain", RunnerScript::Good, || World::default().with_primary_target());
}

#[test]
fn no_single_fault_of_a_run_that_repairs_or_sets_aside_does() {
    let damaged = |s3| both().with_backup(FULL, Damaged, s3).with_backup(INCREMENT, Present, Present);
    sweep("repair", RunnerScript::Good, || damaged(Present));
    sweep("quarantine", RunnerScript::Good, || {
        damaged(Damaged).with_setting("MARIADB_BACKUP_ON_CORRUPT", "quarantine")
    });
}

#[test]
fn no_single_fault_of_a_run_that_lists_what_a_dead_one_left_does() {
    sweep("adoption", RunnerScript::Good, || {
        let left = both().with_backup(FULL, Present, Present).with_backup(INCREMENT, Present, Unfinished);
        left.lock().catalogue.forget(&INCREMENT.parse().unwrap());
        left
    });
}

#[test]
fn no_single_fault_of_a_run_that_removes_old_backups_does() {
    sweep("retention", RunnerScript::Good, || {
        let old = both().with_backup(FULL, Present, Present).with_backup(INCREMENT, Present, Present);
        old.with_backup(NEWER, Present, Unfinished).with_setting("MARIADB_BACKUPS_TO_KEEP", "1")
    });
}
