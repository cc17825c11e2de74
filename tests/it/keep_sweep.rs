//! A fault at every effect of a prune, a delete, a sync, a rebuild and a recover, then the next run.
//!
//! Whatever happens: what has to stay stays whole in a store, nothing is listed that is not whole, no
//! increment outlives its base, and the next run, undisturbed, ends where an undisturbed first one
//! would have ended.

use mariadb_backup::exit_code::ExitCode;
use mariadb_backup::inventory;
use mariadb_backup::keep::{self, Wish};
use mariadb_backup::model::backup_id::BackupId;
use mariadb_backup::model::catalogue::Catalogue;
use mariadb_backup::model::catalogue::Presence::{self, Absent, Damaged, Missing, Present, Unfinished};
use mariadb_backup::model::obligation::{Debt, Desync, OBLIGATION_SCHEMA, Obligation};
use mariadb_backup::model::outcome::{Explain, Failure};

use crate::world::shelf::Shelves;
use crate::world::{Fault, RunnerScript, World};

const OLD: &str = "base/2026-01-01_00-00-00";
const OLD_CHILD: &str = "incr/2026-01-01_00-00-00/2026-01-02_00-00-00";
const OLD_GRANDCHILD: &str = "incr/2026-01-01_00-00-00/2026-01-03_00-00-00";
const MIDDLE: &str = "base/2026-01-04_00-00-00";
const NEW: &str = "base/2026-01-05_00-00-00";
const NEW_CHILD: &str = "incr/2026-01-05_00-00-00/2026-01-06_00-00-00";

fn id(directory: &str) -> BackupId {
    directory.parse().unwrap()
}

/// Two stores, two full backups to keep, three there, the oldest with two increments.
fn full_house() -> World {
    let world = World::default().with_setting("MARIADB_BACKUP_STORE", "both");
    let world = world.with_setting("MARIADB_BACKUPS_TO_KEEP", "2");
    let backups = [OLD, OLD_CHILD, OLD_GRANDCHILD, MIDDLE, NEW, NEW_CHILD];
    backups.into_iter().fold(world, |world, backup| world.with_backup(backup, Present, Present))
}

/// The same, with a catalogue that was lost.
fn forgotten() -> World {
    let world = full_house();
    world.lock().catalogue = Catalogue::default();
    world
}

/// Two stores that differ in every way they can.
fn mixed_up() -> World {
    let world = World::default().with_setting("MARIADB_BACKUP_STORE", "both");
    let lying: [(&str, Presence, Presence); 6] = [
        (OLD, Present, Absent),
        (OLD_CHILD, Present, Unfinished),
        (OLD_GRANDCHILD, Missing, Present),
        (MIDDLE, Present, Damaged),
        (NEW, Damaged, Present),
        (NEW_CHILD, Present, Missing),
    ];
    lying.into_iter().fold(world, |world, (backup, local, s3)| world.with_backup(backup, local, s3))
}

/// What a person or a schedule asks for.
#[derive(Clone, Debug)]
enum Asked {
    Keep(Wish),
    Rebuild,
    Recover,
}

fn run(world: &World, job: &str, asked: &Asked) -> Option<Result<(), Failure>> {
    let (settings, cluster) = (world.settings(), world.cluster());
    world.conduct(async |ports| {
        world.settle_what_is_owed(ports).await?;
        match asked {
            Asked::Keep(wish) => {
                let (catalogue, _) = ports.catalogue.read().await.map_err(|error| Failure::of(&error))?;
                let inputs = keep::Inputs { catalogue: &catalogue, settings: &settings, cluster: &cluster, job };
                let plan = keep::plan(&inputs, wish).map_err(Explain::into_failure)?;
                keep::run(&plan, ports).await.map(drop).map_err(Explain::into_failure)
            }
            Asked::Rebuild => {
                let plan = inventory::plan(&settings, &cluster, job, None);
                inventory::rebuild(&plan, ports).await.map_err(Explain::into_failure)
            }
            Asked::Recover => Ok(()),
        }
    })
}

/// What is compared at the end: the stores, and the catalogue but for times.
fn picture(world: &World) -> (Shelves, Catalogue, [bool; 3], Option<Obligation>) {
    let state = world.lock();
    let catalogue = Catalogue { room: None, ..state.catalogue.clone() };
    (state.shelves.clone(), catalogue, state.desynced, state.obligation.clone())
}

fn whole_somewhere(shelves: &Shelves) -> Vec<BackupId> {
    let mut whole: Vec<_> = [&shelves.local, &shelves.s3]
        .into_iter()
        .flat_map(|shelf| shelf.signed_off().into_iter().filter(|backup| shelf.has_whole(backup)))
        .collect();
    whole.sort();
    whole.dedup();
    whole
}

fn holds(world: &World, needed: &[BackupId], case: &str) {
    assert_eq!(world.broken_promises(), [""; 0], "{case}: {:#?}", world.lock().journal);
    let state = world.lock();
    let whole = whole_somewhere(&state.shelves);
    let lost: Vec<_> = needed.iter().filter(|backup| !whole.contains(backup)).collect();
    assert!(lost.is_empty(), "{case}: {lost:?} was removed\n{:#?}", state.journal);
}

/// Breaks a run at every effect and has the next one asked for the same, or for what is left of it.
fn sweep(make: impl Fn() -> World, asked: &Asked, again: impl Fn(&World) -> Asked) {
    let quiet = make();
    let before = whole_somewhere(&quiet.lock().shelves);
    run(&quiet, "first", asked).expect("an undisturbed run does not die").expect("an undisturbed run succeeds");
    let ideal = picture(&quiet);
    let kept = whole_somewhere(&ideal.0);
    let needed: Vec<_> = before.into_iter().filter(|backup| kept.contains(backup)).collect();
    let effects = quiet.effects();
    assert!(effects > 3, "the sweep would prove nothing over {effects} effects");
    for fault in Fault::ALL {
        for at in 0..effects {
            let case = format!("{asked:?}, {fault:?} at effect {at}");
            let world = make().with_fault(at, fault);
            run(&world, "first", asked);
            holds(&world, &needed, &case);
            let second = run(&world, "second", &again(&world)).expect("the second run is undisturbed");
            assert!(second.is_ok(), "{case}: the second run failed: {second:?}\n{:#?}", world.lock().journal);
            holds(&world, &needed, &case);
            assert_eq!(picture(&world), ideal, "{case}: {:#?}", world.lock().journal);
            assert!(!world.lock().runner_at_work(), "{case}: a runner was left behind: {:#?}", world.lock().journal);
        }
    }
}

#[test]
fn no_single_fault_of_a_prune_removes_what_is_needed_or_leaves_half_of_what_is_not() {
    sweep(full_house, &Asked::Keep(Wish::Prune), |_| Asked::Keep(Wish::Prune));
}

#[test]
fn no_single_fault_of_the_end_of_a_backup_does() {
    sweep(full_house, &Asked::Keep(Wish::Finish(NEW_CHILD.parse().unwrap())), |_| {
        Asked::Keep(Wish::Finish(NEW_CHILD.parse().unwrap()))
    });
}

#[test]
fn no_single_fault_of_a_delete_does_and_any_later_prune_finishes_it() {
    let many = || full_house().with_setting("MARIADB_BACKUPS_TO_KEEP", "9");
    let delete = Asked::Keep(Wish::Delete(vec![id(OLD_CHILD), id(MIDDLE)]));
    sweep(many, &delete, |world| {
        let state = world.lock();
        let is_asked_for = |backup: &str| state.catalogue.entry(&id(backup)).is_some_and(|entry| entry.is_listed());
        if is_asked_for(MIDDLE) { delete.clone() } else { Asked::Keep(Wish::Prune) }
    });
}

#[test]
fn no_single_fault_of_a_sync_loses_a_copy_or_lists_half_of_one() {
    let sync = || Asked::Keep(Wish::Sync { backups: Vec::new(), to: None });
    sweep(mixed_up, &sync(), |_| sync());
}

#[test]
fn no_single_fault_of_a_rebuild_loses_a_backup() {
    sweep(forgotten, &Asked::Rebuild, |_| Asked::Rebuild);
}

#[test]
fn no_single_fault_of_a_rebuild_of_a_catalogue_that_makes_no_sense_does() {
    let nonsense = || {
        let world = full_house();
        world.lock().malformed = Some("cannot understand the catalogue");
        world
    };
    sweep(nonsense, &Asked::Rebuild, |_| Asked::Rebuild);
}

#[test]
fn no_single_fault_of_a_recover_leaves_a_debt() {
    let owing = || {
        let world = World::default();
        let mut state = world.lock();
        let debt = Debt::Desync(Desync {
            pod: "db-2".to_owned(),
            pod_uid: "pod-uid-2".to_owned(),
            gcomm_uuid: state.incarnation.clone(),
            runner: "dead-runner-2".to_owned(),
        });
        let since = "2026-01-01T00:00:00Z".parse().unwrap();
        state.obligation = Some(Obligation { schema: OBLIGATION_SCHEMA, debt, run: "dead".to_owned(), since });
        state.desynced[2] = true;
        drop(state);
        world
    };
    sweep(owing, &Asked::Recover, |_| Asked::Recover);
}

#[test]
fn a_removal_that_fails_fails_a_prune_and_is_a_warning_after_a_backup() {
    let broken = |asked: &Asked| {
        let quiet = full_house();
        run(&quiet, "quiet", asked);
        let journal = quiet.lock().journal.clone();
        let removal = format!("runner: remove {} from local", id(OLD));
        let at = journal.iter().position(|effect| *effect == removal).unwrap();
        let world = full_house().with_fault(at, Fault::Fail);
        (run(&world, "job", asked).unwrap(), world)
    };
    let left = "not everything could be done: remove 2026-01-01_00-00-00";
    let (pruned, world) = broken(&Asked::Keep(Wish::Prune));
    let failure = pruned.unwrap_err();
    assert_eq!((failure.message.as_str(), failure.code), (left, ExitCode::FailedInCluster));
    assert_eq!(world.lock().warnings, [""; 0]);
    let (finished, world) = broken(&Asked::Keep(Wish::Finish(NEW_CHILD.parse().unwrap())));
    assert_eq!((finished, world.lock().warnings.clone()), (Ok(()), vec![left.to_owned()]));
}

#[test]
fn backups_that_were_told_and_lost_on_the_way_are_asked_for_once_more() {
    let heard_of_all = forgotten();
    run(&heard_of_all, "job", &Asked::Rebuild).unwrap().unwrap();
    for (lost, ends_well) in [(1, true), (20, false)] {
        let world = forgotten();
        world.lock().events_lost = lost;
        let done = run(&world, "job", &Asked::Rebuild).unwrap();
        assert_eq!(done.is_ok(), ends_well, "{done:?}");
        assert_eq!(picture(&world) == picture(&heard_of_all), ends_well);
    }
}

#[test]
fn a_runner_that_shows_no_sign_of_work_is_given_up_and_the_next_run_does_the_work() {
    let world = full_house();
    world.lock().script = RunnerScript::Mute;
    let failure = run(&world, "mute", &Asked::Keep(Wish::Prune)).unwrap().unwrap_err();
    assert_eq!(failure.code, ExitCode::FailedInCluster);
    assert!(failure.message.contains("showed no sign of work for 3h"), "{}", failure.message);
    world.lock().script = RunnerScript::Good;
    assert_eq!(run(&world, "next", &Asked::Keep(Wish::Prune)), Some(Ok(())));
    let quiet = full_house();
    run(&quiet, "quiet", &Asked::Keep(Wish::Prune));
    assert_eq!(picture(&world), picture(&quiet));
}
