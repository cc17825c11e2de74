//! A whole backup over the simulated world: what is verified before, what kind it becomes, how a
//! primary drains, and what counts once it is whole in one store.

use mariadb_backup::exit_code::ExitCode;
use mariadb_backup::model::backup_id::BackupId;
use mariadb_backup::model::catalogue::Entry;
use mariadb_backup::model::catalogue::Presence::{Absent, Damaged, Present, Unfinished};
use mariadb_backup::model::order::BackupKind;
use mariadb_backup::model::report::CopyReport;

use crate::world::{Fault, RunnerScript, World};

const FULL: &str = "base/2026-05-27_00-00-00";
const INCREMENT: &str = "incr/2026-05-27_00-00-00/2026-05-27_12-00-00";

fn both() -> World {
    World::default().with_setting("MARIADB_BACKUP_STORE", "both")
}

fn id(directory: &str) -> BackupId {
    directory.parse().unwrap()
}

fn entry(world: &World, backup: &BackupId) -> Entry {
    world.lock().catalogue.entry(backup).unwrap()
}

fn made(world: &World) -> CopyReport {
    world.back_up("job").unwrap().unwrap()
}

fn place(world: &World, what: &str) -> usize {
    let state = world.lock();
    let found = state.journal.iter().position(|done| done == what);
    found.unwrap_or_else(|| panic!("\"{what}\" is not in {:#?}", state.journal))
}

fn warnings(world: &World) -> Vec<String> {
    world.lock().warnings.clone()
}

#[test]
fn a_backup_damaged_everywhere_fails_the_run_before_anything_is_touched() {
    let world = both().with_backup(FULL, Damaged, Damaged).with_backup(INCREMENT, Present, Present);
    let failure = world.back_up("job").unwrap().unwrap_err();
    assert_eq!(failure.code, ExitCode::VerificationFailed);
    assert!(failure.message.contains("2026-05-27_00-00-00/manifest.json"), "{}", failure.message);
    assert!(failure.hint.unwrap().contains("--on-corrupt=quarantine"));
    let state = world.lock();
    assert!(!state.journal.iter().any(|done| done.contains("gate") || done.contains("runner-2")));
    assert_eq!(state.catalogue.entry(&id(FULL)).unwrap().local, Damaged, "what was found is written down");
}

#[test]
fn a_whole_backup_that_its_run_died_too_early_to_list_is_listed_by_the_next() {
    let world = both().with_backup(FULL, Present, Present).with_backup(INCREMENT, Present, Absent);
    let catalogue = world.lock().catalogue.clone();
    world.lock().catalogue.forget(&id(INCREMENT));
    made(&world);
    // The end of the run has brought S3 to the same set.
    let expected = Entry { s3: Present, ..catalogue.entry(&id(INCREMENT)).unwrap() };
    assert_eq!(entry(&world, &id(INCREMENT)), expected);
    assert_eq!(world.lock().catalogue.files_of(&id(INCREMENT)), catalogue.files_of(&id(INCREMENT)));
    assert_eq!(warnings(&world), [""; 0]);
}

#[test]
fn a_quarantined_backup_is_warned_of_once_and_never_looked_at_again() {
    let world = both().with_backup(FULL, Damaged, Damaged).with_setting("MARIADB_BACKUP_ON_CORRUPT", "quarantine");
    made(&world);
    assert_eq!(warnings(&world).len(), 1, "{:?}", warnings(&world));
    assert!(entry(&world, &id(FULL)).quarantined.is_some());
    made(&world);
    assert_eq!(warnings(&world).len(), 1, "{:?}", warnings(&world));
}

#[test]
fn a_backup_repaired_from_s3_is_good_again_and_no_reason_to_warn() {
    let world = both().with_backup(FULL, Damaged, Present);
    made(&world);
    let entry = entry(&world, &id(FULL));
    assert_eq!((entry.local, entry.s3, entry.damaged), (Present, Present, None));
    assert!(entry.verified.is_some());
    assert_eq!(warnings(&world), [""; 0]);
}

#[test]
fn damage_in_one_store_is_a_warning_and_what_to_do() {
    let world = World::default().with_backup(FULL, Present, Damaged);
    world.lock().settings.insert("MARIADB_BACKUP_STORE".to_owned(), "both".to_owned());
    made(&world);
    let warnings = warnings(&world);
    assert!(warnings[0].contains("to send it again: kubectl mariadb-backup sync"), "{warnings:?}");
    // The end of the run has sent it already.
    assert_eq!(entry(&world, &id(FULL)).s3, Present);
}

#[test]
fn without_a_catalogue_nothing_is_verified_and_that_is_said() {
    let world = World::default();
    made(&world);
    assert!(
        world
            .lock()
            .steps
            .contains(&"the catalogue lists no backup in the stores used, so none is verified".to_owned())
    );
}

#[test]
fn a_cluster_that_is_refused_anyway_does_not_wait_for_its_old_backups() {
    let world = World::default().with_backup(FULL, Present, Absent);
    world.lock().desynced[0] = true;
    assert_eq!(world.back_up("job").unwrap().unwrap_err().code, ExitCode::Refused);
    assert!(!world.lock().journal.iter().any(|done| done.starts_with("start ")));
}

fn incremental(world: World) -> World {
    world.lock().request.kind = BackupKind::Incremental;
    world
}

#[test]
fn an_increment_builds_on_the_newest_of_the_newest_chain() {
    let world =
        incremental(World::default().with_backup(FULL, Present, Absent).with_backup(INCREMENT, Present, Absent));
    let report = made(&world);
    assert_eq!((report.backup.base(), report.parent), (Some(id(FULL).name()), Some(id(INCREMENT))));
    let listed = entry(&world, &report.backup);
    assert_eq!(listed.parent.as_ref(), Some(id(INCREMENT).name()));
}

#[test]
fn an_increment_that_cannot_be_made_is_a_full_one_with_its_reason() {
    let nothing = incremental(World::default());
    assert_eq!(made(&nothing).full_because.as_deref(), Some("there is no full backup yet"));
    let damaged = World::default().with_setting("MARIADB_BACKUP_ON_CORRUPT", "quarantine");
    let damaged = incremental(damaged.with_backup(FULL, Damaged, Absent));
    let report = made(&damaged);
    assert!(matches!(report.backup, BackupId::Full(_)));
    assert!(report.full_because.unwrap().contains("quarantined"));
}

#[test]
fn what_the_runner_made_is_listed_and_not_what_was_wished_for() {
    let world = incremental(World::default().with_backup(FULL, Present, Absent));
    world.lock().files_replaced = true;
    let report = made(&world);
    assert!(matches!(report.backup, BackupId::Full(_)));
    assert_eq!(world.lock().catalogue.listed(), [id(FULL), report.backup]);
}

#[test]
fn a_primary_is_copied_when_traffic_has_left_it_and_every_change_is_told() {
    let world = World::default().with_primary_target();
    made(&world);
    assert!(place(&world, "runner: desync ON") < place(&world, "tell that traffic has left"));
    assert!(place(&world, "tell that traffic has left") < place(&world, "runner: copy"));
    let steps = world.lock().steps.clone();
    for told in [
        "db-2 is not Ready any more, as is usual for a desynced replica",
        "the role label of db-2 went from primary to backup",
        "no traffic is sent to db-2 any more by Service db-primary",
        "traffic has left db-2",
    ] {
        assert_eq!(steps.iter().filter(|step| *step == told).count(), 1, "{told}: {steps:#?}");
    }
}

#[test]
fn traffic_that_does_not_leave_in_time_is_a_warning() {
    let world = World::default().with_primary_target();
    {
        let mut state = world.lock();
        state.sights.clear();
        state.impatient = true;
    }
    made(&world);
    assert_eq!(warnings(&world), ["traffic has not left db-2 within 60 s; it is copied all the same"]);
}

#[test]
fn a_replica_that_clients_do_not_write_to_is_copied_at_once() {
    let world = World::default();
    made(&world);
    place(&world, "open the gate");
    assert!(!world.lock().journal.contains(&"tell that traffic has left".to_owned()));
}

#[test]
fn a_backup_counts_before_its_upload_is_done() {
    let world = both();
    let report = made(&world);
    assert!(place(&world, "clear the obligation") < place(&world, "hear that the runner ended"));
    assert!(place(&world, "write the catalogue") < place(&world, "remove job-runner-2"));
    assert_eq!(entry(&world, &report.backup).s3, Present);
    assert_eq!(warnings(&world), [""; 0]);
}

#[test]
fn an_upload_whose_runner_died_is_made_up_for_at_the_end_of_the_run() {
    let world = both().with_script(RunnerScript::KilledUploading);
    let report = made(&world);
    assert_eq!((report.s3, entry(&world, &report.backup).s3), (Present, Present));
    assert_eq!(warnings(&world), [""; 0]);
    assert_eq!(world.lock().obligation, None);
}

#[test]
fn an_upload_that_is_not_made_up_for_is_a_warning_with_the_next_command() {
    let quiet = both().with_script(RunnerScript::KilledUploading);
    made(&quiet);
    let at = place(&quiet, "start job-keep-0");
    let world = both().with_script(RunnerScript::KilledUploading).with_fault(at, Fault::Fail);
    let report = made(&world);
    assert_eq!(report.s3, Unfinished);
    assert_eq!(entry(&world, &report.backup), Entry { s3: Unfinished, ..entry(&quiet, &report.backup) });
    let warnings = warnings(&world);
    assert!(warnings.last().unwrap().ends_with("to finish it: kubectl mariadb-backup sync"), "{warnings:?}");
}

#[test]
fn s3_alone_needs_no_claim_and_leaves_nothing_on_the_volume() {
    let world = World::default().with_setting("MARIADB_BACKUP_STORE", "s3");
    let report = made(&world);
    assert_eq!((report.local, report.s3), (Absent, Present));
    let state = world.lock();
    assert!(!state.journal.iter().any(|done| done.starts_with("look at claim")));
    assert_eq!((state.shelves.local.signed_off(), state.shelves.s3.signed_off()), (vec![], vec![report.backup]));
}

#[test]
fn the_room_left_on_the_volume_is_remembered() {
    let world = World::default();
    made(&world);
    let room = world.lock().catalogue.room.unwrap();
    assert_eq!((room.free_bytes, room.total_bytes), (10, 20));
}

#[test]
fn old_backups_are_removed_children_first_once_the_new_one_is_listed() {
    let world = World::default().with_setting("MARIADB_BACKUPS_TO_KEEP", "1");
    let world = world.with_backup(FULL, Present, Absent).with_backup(INCREMENT, Present, Absent);
    let report = made(&world);
    assert_eq!(world.lock().catalogue.backups(), [report.backup]);
    assert_eq!(world.lock().shelves.local.signed_off().len(), 1);
}
