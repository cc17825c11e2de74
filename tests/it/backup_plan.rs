//! What is decided from what is seen: every refusal, and which replica is chosen.

use std::collections::BTreeMap;

use mariadb_backup::backup::findings::{Finding, Trouble};
use mariadb_backup::backup::{self, BackupPlan, Observed, Refusal, Run};
use mariadb_backup::exit_code::ExitCode;
use mariadb_backup::model::backup_id::BackupName;
use mariadb_backup::model::galera::Member;
use mariadb_backup::model::order::{BackupRequest, RunnerTask};
use mariadb_backup::model::outcome::Explain;
use mariadb_backup::model::settings::Settings;

use crate::world::World;

fn three_synced() -> Observed {
    World::default().observed()
}

fn member(observed: &mut Observed, n: usize) -> &mut Member {
    observed.members[n].1.as_mut().unwrap()
}

fn plan_for(observed: &Observed, request: &BackupRequest) -> Result<BackupPlan, Refusal> {
    let settings = Settings::read("db", &BTreeMap::new(), &BTreeMap::new()).unwrap();
    let now = "2026-01-31T23:59:59Z".parse().unwrap();
    let run = Run { job: "job".to_owned(), backup: BackupName::at(now), now };
    backup::plan(observed, request, &settings, &run)
}

fn plan(observed: &Observed) -> Result<BackupPlan, Refusal> {
    plan_for(observed, &BackupRequest::default())
}

fn findings(observed: &Observed) -> Vec<Finding> {
    match plan(observed) {
        Err(Refusal::Unhealthy(findings)) => findings,
        other => panic!("expected findings, got {other:?}"),
    }
}

fn about(pod: &str, trouble: Trouble) -> Finding {
    Finding::Pod { pod: pod.to_owned(), trouble }
}

#[test]
fn a_healthy_cluster_gives_its_highest_ordinal() {
    let plan = plan(&three_synced()).unwrap();
    assert_eq!((plan.target.pod.as_str(), plan.target.why.as_str()), ("db-2", "the highest ordinal"));
    let RunnerTask::Copy(order) = &plan.runner.order.task else { panic!("a backup copies") };
    assert_eq!((order.datadir.as_str(), order.server.host.as_str()), ("/var/lib/mysql", "10.0.0.2"));
    assert_eq!(plan.warnings, [""; 0]);
}

#[test]
fn every_finding_is_told_at_once() {
    let mut observed = three_synced();
    observed.cluster.pods[0].ready = false;
    member(&mut observed, 0).state = "Joined".to_owned();
    member(&mut observed, 1).cluster_size = 2;
    member(&mut observed, 2).aborts_backups = true;
    assert_eq!(
        findings(&observed),
        [
            about("db-0", Trouble::NotReady),
            about("db-0", Trouble::NotSynced("Joined".to_owned())),
            about("db-1", Trouble::SizeDiffers { wanted: 3, sees: 2 }),
            about("db-2", Trouble::AbortsBackups),
        ]
    );
}

#[test]
fn each_trouble_refuses_before_any_change() {
    type Change = (fn(&mut Member), Trouble);
    let changes: [Change; 6] = [
        (|member| member.ready = false, Trouble::WsrepNotReady),
        (|member| member.connected = false, Trouble::NotConnected),
        (|member| member.cluster_status = "non-Primary".to_owned(), Trouble::NotPrimary("non-Primary".to_owned())),
        (|member| member.state = "Donor/Desynced".to_owned(), Trouble::NotSynced("Donor/Desynced".to_owned())),
        (|member| member.desync_count = 1, Trouble::Desynced),
        (|member| member.sync_donor = true, Trouble::SyncDonor),
    ];
    for (change, trouble) in changes {
        let mut observed = three_synced();
        change(member(&mut observed, 1));
        let refusal = plan(&observed).unwrap_err();
        assert_eq!(refusal, Refusal::Unhealthy(vec![about("db-1", trouble)]));
        assert_eq!(refusal.code(), ExitCode::Refused);
    }
}

#[test]
fn a_state_transfer_that_is_running_is_named_on_both_sides() {
    let mut observed = three_synced();
    member(&mut observed, 0).state = "Joining: receiving State Transfer".to_owned();
    member(&mut observed, 1).state = "Donor/Desynced".to_owned();
    let told: Vec<_> = findings(&observed).iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "db-0 is Joining: receiving State Transfer, not Synced (it receives a state transfer, or catches up after one)",
            "db-1 is Donor/Desynced, not Synced (it sends a state transfer, or somebody has desynced it)",
            "fewer than two replicas are Synced, so none could send a state transfer meanwhile",
        ]
    );
}

#[test]
fn a_missing_pod_a_silent_server_and_a_split_history_are_found() {
    let mut observed = three_synced();
    observed.cluster.pods.remove(0);
    observed.members = observed.members.split_off(1);
    observed.members[0].1 = Err("connection refused".to_owned());
    member(&mut observed, 1).state_uuid = "another".to_owned();
    assert_eq!(
        findings(&observed),
        [
            Finding::PodsMissing { wanted: 3, found: 2 },
            about("db-1", Trouble::NoAnswer("connection refused".to_owned())),
            Finding::NoDonorLeft,
        ]
    );
    let mut observed = three_synced();
    member(&mut observed, 0).state_uuid = "another".to_owned();
    assert_eq!(findings(&observed), [Finding::HistoriesDiffer]);
}

#[test]
fn what_is_overridden_is_said_and_a_foreign_desync_is_never_overridden() {
    let unsafely = BackupRequest { allow_unsafe: true, ..BackupRequest::default() };
    let mut observed = three_synced();
    observed.cluster.pods[0].ready = false;
    assert_eq!(plan_for(&observed, &unsafely).unwrap().warnings, ["overridden: db-0 is not Ready"]);
    member(&mut observed, 2).desync_count = 1;
    assert!(matches!(plan_for(&observed, &unsafely), Err(Refusal::TargetUnusable { pod, .. }) if pod == "db-2"));
}

#[test]
fn the_replica_beside_the_stores_volume_is_chosen() {
    let mut observed = three_synced();
    observed.store.as_mut().unwrap().nodes = Some(vec!["n1".to_owned()]);
    let target = plan(&observed).unwrap().target;
    assert_eq!(target.pod, "db-1");
    assert_eq!(target.why, "the highest ordinal on n1, where the store's volume is");
}

#[test]
fn a_replica_asked_for_is_taken_or_refused_by_name() {
    let ask = |name: &str| BackupRequest { replica: Some(name.to_owned()), ..BackupRequest::default() };
    let mut observed = three_synced();
    assert_eq!(plan_for(&observed, &ask("db-0")).unwrap().target.pod, "db-0");
    assert_eq!(plan_for(&observed, &ask("db-7")).unwrap_err().code(), ExitCode::Refused);
    observed.store.as_mut().unwrap().nodes = Some(vec!["n1".to_owned()]);
    let refusal = plan_for(&observed, &ask("db-0")).unwrap_err();
    let text = refusal.to_string();
    assert!(text.contains("n0") && text.contains("n1"), "both nodes are named: {text}");
}

#[test]
fn a_store_or_a_data_volume_that_cannot_be_mounted_is_refused() {
    let mut observed = three_synced();
    observed.store.as_mut().unwrap().phase = "Pending".to_owned();
    assert!(matches!(plan(&observed), Err(Refusal::StoreUnusable { .. })));
    observed.store.as_mut().unwrap().waits_for_consumer = true;
    assert!(plan(&observed).is_ok());
    let mut observed = three_synced();
    observed.cluster.pods[2].claim.as_mut().unwrap().access_modes = vec!["ReadWriteOncePod".to_owned()];
    assert!(matches!(plan(&observed), Err(Refusal::DataVolumeExclusive { .. })));
    let mut observed = three_synced();
    observed.store.as_mut().unwrap().nodes = Some(vec!["n9".to_owned()]);
    assert!(matches!(plan(&observed), Err(Refusal::StoreBesideNone { .. })));
}
