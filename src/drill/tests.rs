//! Which backup, from where, and onto what: as tables.

use crate::model::catalogue::Presence;
use std::collections::BTreeMap;

use super::*;
use crate::model::catalogue::{Checksum, Entry};
use crate::model::cluster::{ClusterView, ServerSpec};
use crate::model::settings::Settings;

const BASE: &str = "base/2026-01-01_00-00-00";
const CHILD: &str = "incr/2026-01-01_00-00-00/2026-01-02_00-00-00";
const NEWER: &str = "base/2026-01-03_00-00-00";

fn id(directory: &str) -> BackupId {
    directory.parse().unwrap()
}

fn lying(local: Presence, s3: Presence) -> Entry {
    Entry { local, s3, stream_bytes: Some(10 << 30), ..Entry::default() }
}

/// The base in both stores, its increment in S3 alone, and a newer full one that is damaged.
fn catalogue() -> Catalogue {
    let mut catalogue = Catalogue::default();
    for (backup, entry) in [
        (BASE, lying(Presence::Present, Presence::Present)),
        (CHILD, lying(Presence::Absent, Presence::Present)),
        (NEWER, lying(Presence::Damaged, Presence::Missing)),
    ] {
        let sum = Checksum { checksum: "a".repeat(64), algorithm: None, size: Some(1) };
        catalogue.files.insert(format!("{backup}/manifest.json"), sum);
        catalogue.entries.insert(id(backup), entry);
    }
    catalogue
}

fn planned(stores: &str, request: &DrillRequest) -> Result<DrillPlan, DrillError> {
    planned_of(&catalogue(), stores, request)
}

fn planned_of(catalogue: &Catalogue, stores: &str, request: &DrillRequest) -> Result<DrillPlan, DrillError> {
    let given = BTreeMap::from([
        ("MARIADB_BACKUP_STORE".to_owned(), stores.to_owned()),
        ("MARIADB_BACKUP_S3_BUCKET".to_owned(), "backups".to_owned()),
        ("MARIADB_OPENSSL_KEK_SECRET".to_owned(), "kek".to_owned()),
    ]);
    let settings = Settings::read("db", &given, &BTreeMap::new()).unwrap();
    let server = ServerSpec { storage_class: Some("fast".to_owned()), ..ServerSpec::default() };
    let cluster = ClusterView {
        namespace: "demo".to_owned(),
        statefulset: "db".to_owned(),
        uid: "uid".to_owned(),
        replicas: 3,
        pods: Vec::new(),
        server,
        flavour: crate::model::workload::Flavour::Plain,
        obligation: None,
        last_restore: None,
    };
    plan(&Inputs { catalogue, settings: &settings, cluster: &cluster, job: "job" }, request)
}

fn order(plan: &DrillPlan) -> &ProveOrder {
    let RunnerTask::Prove(order) = &plan.runner.order.task else { panic!("{:?}", plan.runner) };
    order
}

#[test]
fn the_newest_backup_that_can_be_relied_on_is_taken_each_member_from_where_it_lies_nearest() {
    let plan = planned("both", &DrillRequest::default()).unwrap();
    assert_eq!(plan.chain.members, [id(BASE), id(CHILD)]);
    assert_eq!(plan.chain.from, [StoreName::Local, StoreName::S3]);
    assert_eq!(order(&plan).expected.len(), 2);
    assert_eq!(
        told(&plan),
        "booting 2026-01-01_00-00-00/2026-01-02_00-00-00 with the one it builds on in a throwaway pod, from local and s3"
    );
}

#[test]
fn it_is_unpacked_among_unfinished_work_on_the_volume_unless_a_volume_is_wished_for_or_there_is_none() {
    let on_store = planned("both", &DrillRequest::default()).unwrap();
    assert_eq!(
        (on_store.runner.scratch.clone(), order(&on_store).scratch.as_str()),
        (None, "/var/backup/.unfinished/drill_job")
    );
    let made = |class: &str| Some(ScratchVolume { bytes: (24 << 30) + GROWTH_BYTES, class: Some(class.to_owned()) });
    let alone = planned("s3", &DrillRequest::default()).unwrap();
    assert_eq!((alone.runner.scratch.clone(), alone.runner.store_claim.clone()), (made("fast"), None));
    assert_eq!(order(&alone).scratch, "/var/scratch/drill");
    let wished = DrillRequest { scratch_class: Some("slow".to_owned()), ..DrillRequest::default() };
    let wished = planned("both", &wished).unwrap();
    assert_eq!(wished.runner.scratch, made("slow"));
    assert!(wished.runner.store_claim.is_some(), "the base is taken from the volume");
}

#[test]
fn the_key_of_the_original_is_handed_out_for_its_backups_alone_and_its_sums_are_enough_to_find_one() {
    let original = "base/2025-01-01_00-00-00";
    let mut catalogue = catalogue();
    let md5 = Checksum { checksum: "a".repeat(32), algorithm: None, size: None };
    catalogue.files.insert(format!("{original}/backup.stream.gz"), md5);
    let of = |backup: &str| DrillRequest { backup: Some(id(backup)), ..DrillRequest::default() };
    let key_of = |backup: &str| order(&planned_of(&catalogue, "local", &of(backup)).unwrap()).original_key.clone();
    assert_eq!(key_of(original).map(|key| key.secret).as_deref(), Some("kek"));
    assert_eq!(key_of(BASE), None);
}

#[test]
fn from_one_store_alone_nothing_of_the_other_is_mounted() {
    let from = |store| DrillRequest { backup: Some(id(BASE)), store: Some(store), ..DrillRequest::default() };
    let local = planned("both", &from(StoreName::Local)).unwrap();
    assert!(local.runner.s3.is_none() && order(&local).stores.s3.is_none());
    let s3 = planned("both", &from(StoreName::S3)).unwrap();
    assert_eq!(order(&s3).stores.local, None);
    assert!(s3.runner.store_claim.is_some(), "it is unpacked there");
}

#[test]
fn what_cannot_be_put_together_is_refused_with_what_is_missing() {
    let of = |backup: &str, store| DrillRequest { backup: Some(id(backup)), store, ..DrillRequest::default() };
    let refused = |request: &DrillRequest| planned("both", request).unwrap_err();
    let error = refused(&of(CHILD, Some(StoreName::Local)));
    assert_eq!((error.code(), error.to_string().contains("is not in local")), (ExitCode::NotFound, true), "{error}");
    let error = refused(&of(NEWER, None));
    assert_eq!(error.code(), ExitCode::VerificationFailed);
    assert_eq!(error.into_failure().causes, ["2026-01-03_00-00-00 of the chain is damaged"]);
    assert_eq!(refused(&of("base/2020-01-01_00-00-00", None)).code(), ExitCode::NotFound);
    let empty = planned_of(&Catalogue::default(), "both", &DrillRequest::default());
    assert!(matches!(empty, Err(DrillError::NoBackup)), "{empty:?}");
    let mut old = catalogue();
    old.entries.get_mut(&id(BASE)).unwrap().stream_bytes = None;
    assert!(matches!(planned_of(&old, "s3", &of(BASE, None)), Err(DrillError::UnknownSize(_))));
    assert!(planned_of(&old, "both", &of(BASE, None)).is_ok());
}
