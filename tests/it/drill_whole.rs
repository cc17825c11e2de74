//! Whole drills over the simulated world: what is remembered of them.

use mariadb_backup::drill;
use mariadb_backup::exit_code::ExitCode;
use mariadb_backup::model::backup_id::BackupId;
use mariadb_backup::model::catalogue::Presence::{Absent, Present};
use mariadb_backup::model::order::{DrillRequest, StoreName};
use mariadb_backup::model::outcome::{Explain, Failure};
use mariadb_backup::model::report::DrillReport;

use crate::world::shelf::Stored;
use crate::world::{Fault, World};

const BASE: &str = "base/2026-01-01_00-00-00";
const CHILD: &str = "incr/2026-01-01_00-00-00/2026-01-02_00-00-00";
const OTHER: &str = "base/2025-12-31_00-00-00";

fn world() -> World {
    [OTHER, BASE, CHILD].into_iter().fold(World::default(), |world, backup| world.with_backup(backup, Present, Absent))
}

fn drill(world: &World) -> Result<DrillReport, Failure> {
    drilled(world, &DrillRequest::default())
}

fn drilled(world: &World, request: &DrillRequest) -> Result<DrillReport, Failure> {
    let (settings, cluster) = (world.settings(), world.cluster());
    let catalogue = world.lock().catalogue.clone();
    let inputs = drill::Inputs { catalogue: &catalogue, settings: &settings, cluster: &cluster, job: "job" };
    let plan = drill::plan(&inputs, request).map_err(Explain::into_failure)?;
    let done = world.conduct(async |ports| drill::run(&plan, ports).await.map_err(Explain::into_failure));
    done.expect("nobody dies here")
}

fn verified(world: &World) -> Vec<String> {
    let state = world.lock();
    let is_verified = |backup: &&BackupId| state.catalogue.entry(backup).unwrap().verified.is_some();
    state.catalogue.backups().iter().filter(is_verified).map(BackupId::directory).collect()
}

#[test]
fn a_backup_that_booted_counts_as_verified_with_all_it_builds_on_and_the_drill_is_remembered() {
    let world = world();
    drill(&world).unwrap();
    assert_eq!(verified(&world), [BASE, CHILD]);
    let last = world.lock().catalogue.drill.clone().unwrap();
    assert_eq!((last.run.as_str(), last.backup.directory().as_str(), last.failed), ("job", CHILD, None));
}

#[test]
fn a_backup_that_did_not_boot_is_not_verified_and_why_is_remembered() {
    let world = world();
    world.lock().shelves.of(StoreName::Local).0.insert(BASE.parse().unwrap(), Stored::Damaged);
    let failure = drill(&world).unwrap_err();
    assert_eq!(failure.code, ExitCode::VerificationFailed);
    assert_eq!(verified(&world), [""; 0]);
    let last = world.lock().catalogue.drill.clone().unwrap();
    assert_eq!(last.failed.as_deref(), Some(failure.message.as_str()));
}

#[test]
fn a_query_that_is_none_is_told_and_counts_neither_for_nor_against_the_backup() {
    let world = world();
    let mistyped = DrillRequest { query: Some("SELEKT 1".to_owned()), ..DrillRequest::default() };
    assert_eq!(drilled(&world, &mistyped).unwrap_err().code, ExitCode::Usage);
    assert_eq!((verified(&world), world.lock().catalogue.drill.clone()), (vec![], None));
}

#[test]
fn no_single_fault_turns_a_drill_that_went_well_into_a_failed_one_or_verifies_half_a_chain() {
    let quiet = world();
    drill(&quiet).unwrap();
    for at in 0..quiet.effects() {
        for fault in [Fault::Fail, Fault::AnswerLost] {
            let world = world().with_fault(at, fault);
            let done = drill(&world);
            let of_runner = done.as_ref().is_err_and(|failure| failure.message.starts_with("the drill failed"));
            assert!(done.is_ok() || of_runner, "{fault:?} at {at}: {done:?}");
            let expected = if done.is_ok() { vec![BASE, CHILD] } else { vec![] };
            assert_eq!(verified(&world), expected, "{fault:?} at {at}: {:#?}", world.lock().journal);
        }
    }
}

#[test]
fn a_storage_class_that_is_not_there_is_told_at_once_and_no_pod_waits_for_its_volume() {
    let world = world();
    {
        let mut state = world.lock();
        state.missing_class = Some("fast");
        state.catalogue.entries.values_mut().for_each(|entry| entry.stream_bytes = Some(1 << 20));
    }
    let on_class = DrillRequest { scratch_class: Some("fast".to_owned()), ..DrillRequest::default() };
    let refused = drilled(&world, &on_class).unwrap_err();
    assert_eq!(
        (refused.code, refused.hint.as_deref()),
        (ExitCode::NotFound, Some("which there are: kubectl get storageclasses"))
    );
    assert!(refused.message.contains("there is no StorageClass fast"), "{}", refused.message);
    let journal = world.lock().journal.join("\n");
    assert!(!journal.contains("runner"), "{journal}");
    drill(&world).unwrap();
}
