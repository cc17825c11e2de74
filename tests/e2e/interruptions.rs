//! Runs that are ended from outside, in each of their phases: what they owe outlives them, and the
//! next run settles it.

use crate::ground::{Cluster, Ledger, ground, kubectl, run, scratch_file, until};
use crate::oracle::Oracle;
use crate::run::{Run, Signal, Who, signal_container};

/// The ways a run can meet its end.
const ENDS: [(Who, Signal); 5] = [
    (Who::Conductor, Signal::Term),
    (Who::Conductor, Signal::Kill),
    (Who::Runner, Signal::Term),
    (Who::Runner, Signal::Kill),
    (Who::Both, Signal::Kill),
];

/// Ends a run in every way at the moment `reach` finds, and returns the oracle to be asked at last.
///
/// Each next run is the one that settles what the last one owes.
#[must_use]
fn ended_in_every_way(cluster: &Cluster, reach: impl Fn(&Run<'_>) -> String) -> Oracle<'_> {
    let ledger = Ledger::start(cluster);
    let oracle = Oracle::new(cluster);
    for (who, signal) in ENDS {
        let run = Run::order(cluster, &["create"]);
        let runner = reach(&run);
        run.signal(who, &runner, signal);
        run.signal(Who::Conductor, &runner, Signal::Continue);
        let ran = run.end();
        assert_eq!(ran.code, 4, "after {signal:?} to {who:?}:\n{}", ran.stderr);
        oracle.nothing_came_of_it();
        ledger.goes_on();
    }
    cluster.copies_fast();
    oracle
}

#[test]
fn a_run_ended_before_it_desyncs_has_changed_nothing() {
    let cluster = Cluster::with_data();
    let oracle = ended_in_every_way(&cluster, |run| {
        let runner = run.runner("copy");
        // A conductor that stands still cannot let its runner go ahead.
        run.signal(Who::Conductor, &runner, Signal::Stop);
        run.until_reported(&runner, "the runner is ready", |event| event["kind"] == "ready");
        runner
    });
    oracle.all_is_well();
}

#[test]
fn a_run_ended_in_mid_copy_is_settled_by_the_next() {
    let cluster = Cluster::with_data();
    cluster.copies_for_minutes();
    ended_in_every_way(&cluster, |run| run.copying()).all_is_well();
}

#[test]
fn a_run_ended_while_it_waits_for_the_server_s_lock_is_settled_by_the_next() {
    let cluster = Cluster::with_data();
    let target = cluster.target();
    let held = cluster.hold(&target, "SET SESSION wsrep_on = OFF; CREATE TABLE shop.held SELECT SLEEP(3000)");
    let oracle = ended_in_every_way(&cluster, |run| {
        let runner = run.runner("copy");
        cluster.until_sql_runs(&target, "BACKUP STAGE");
        runner
    });
    drop(held);
    oracle.all_is_well();
}

#[test]
fn a_killed_run_leaves_an_obligation_and_the_next_create_says_that_it_settles_it() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    cluster.copies_for_minutes();
    let run = Run::order(&cluster, &["create"]);
    let runner = run.copying();
    let target = cluster.target();
    // The conductor first: a living one would bring the replica back at once.
    run.signal(Who::Conductor, &runner, Signal::Kill);
    run.signal(Who::Runner, &runner, Signal::Kill);
    run.end().ends_with(4);
    let owed = cluster.obligation().expect("a killed run leaves its obligation");
    assert_eq!(owed["debt"]["pod"], target.as_str());
    assert_ne!(cluster.status(&target, "wsrep_desync_count"), "0", "the replica is still desynced");
    oracle.nothing_came_of_it();

    cluster.copies_fast();
    cluster.plugin(&["create"]).ends_with(0).says("settling it first");
    assert_eq!(oracle.new_backups().len(), 1);
    oracle.nothing_is_left();
}

#[test]
fn a_killed_runner_is_made_up_for_by_its_conductor() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    cluster.copies_for_minutes();
    let run = Run::order(&cluster, &["create"]);
    let runner = run.copying();
    run.signal(Who::Runner, &runner, Signal::Kill);
    run.end().ends_with(4).says("SIGKILL");
    assert_eq!(cluster.obligation(), None, "the conductor lived and has settled it");
    oracle.nothing_came_of_it();
    cluster.copies_fast();
    oracle.all_is_well();
}

#[test]
fn a_runner_ended_after_the_copy_and_before_the_manifest_leaves_no_backup() {
    let cluster = Cluster::with_data();
    cluster.plugin(&["create"]).ends_with(0);
    for signal in [Signal::Term, Signal::Kill] {
        // One that is asked to end may as well finish what is all but done.
        let oracle = Oracle::new(&cluster);
        let run = Run::order(&cluster, &["create"]);
        let runner = run.runner("copy");
        // The copy goes into the machine's memory at once; making it durable takes long.
        ground(&["fault", "volume-slow", "mariadb-phy-backup-data", "--bps", "500000"]);
        run.until_reported(&runner, "the replica is back", |event| {
            event["message"].as_str().is_some_and(|message| message.contains("is Synced again"))
        });
        run.signal(Who::Runner, &runner, signal);
        ground(&["fault", "volume-normal", "mariadb-phy-backup-data"]);
        let ran = run.end();
        if signal == Signal::Kill {
            ran.ends_with(4);
            oracle.nothing_came_of_it();
        }
    }
    Oracle::new(&cluster).all_is_well();
}

#[test]
fn a_deleted_job_brings_its_replica_back() {
    let cluster = Cluster::with_data();
    let ledger = Ledger::start(&cluster);
    let oracle = Oracle::new(&cluster);
    cluster.copies_for_minutes();
    let run = Run::order(&cluster, &["create"]);
    run.copying();
    cluster.kubectl(&["delete", "job", &run.job]);
    assert_ne!(run.end().code, 0);
    cluster.healthy();
    oracle.nothing_came_of_it();
    ledger.goes_on();
    cluster.copies_fast();
    oracle.all_is_well();
}

#[test]
fn a_job_at_its_deadline_brings_its_replica_back() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    cluster.copies_for_minutes();
    let run = Run::order(&cluster, &["create"]);
    run.copying();
    cluster.kubectl(&["patch", "job", &run.job, "-p", r#"{"spec":{"activeDeadlineSeconds":1}}"#]);
    run.end().ends_with(4);
    cluster.healthy();
    oracle.nothing_came_of_it();
    cluster.copies_fast();
    oracle.all_is_well();
}

/// Evicts a pod as a drain or a node under pressure does.
pub(crate) fn evict(cluster: &Cluster, pod: &str) {
    let namespace = &cluster.namespace;
    let eviction = serde_json::json!({
        "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": namespace},
    });
    let file = scratch_file("eviction", &eviction.to_string());
    let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}/eviction");
    kubectl(&["create", "--raw", &path, "-f", file.to_str().unwrap()]);
    std::fs::remove_file(file).unwrap();
}

#[test]
fn an_evicted_conductor_or_runner_brings_the_replica_back() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    cluster.copies_for_minutes();
    for who in [Who::Conductor, Who::Runner] {
        let run = Run::order(&cluster, &["create"]);
        let runner = run.copying();
        evict(&cluster, &if who == Who::Runner { runner } else { run.conductor() });
        assert_ne!(run.end().code, 0);
        cluster.healthy();
        oracle.nothing_came_of_it();
    }
    cluster.copies_fast();
    oracle.all_is_well();
}

#[test]
fn a_drained_node_ends_the_backup_of_its_replica_and_nothing_else() {
    let cluster = Cluster::with_data();
    let ledger = Ledger::start(&cluster);
    let oracle = Oracle::new(&cluster);
    cluster.copies_for_minutes();
    let run = Run::order(&cluster, &["create"]);
    run.copying();
    let target = cluster.kubectl_json(&["get", "pod", &cluster.target()]);
    let node = target["spec"]["nodeName"].as_str().unwrap().to_owned();
    let wishes = ["--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=120s"];
    kubectl(&[&["drain", &node][..], &wishes].concat());
    assert_ne!(run.end().code, 0);
    oracle.nothing_came_of_it();
    ledger.goes_on();
    kubectl(&["uncordon", &node]);
    cluster.healthy();
    cluster.copies_fast();
    oracle.all_is_well();
}

#[test]
fn of_two_creates_at_once_one_runs_and_one_is_locked_out() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    let first = cluster.start_plugin(&["create"]);
    let second = cluster.start_plugin(&["create"]);
    let mut codes = [first.end().code, second.end().code];
    codes.sort_unstable();
    assert_eq!(codes, [0, 11]);
    assert_eq!(oracle.new_backups().len(), 1);
    oracle.nothing_is_left();
}

#[test]
fn a_short_absence_of_the_api_server_in_mid_copy_costs_nothing() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    cluster.copies_for_seconds();
    let run = Run::order(&cluster, &["create"]);
    run.copying();
    // Shorter than the Lease's term: the conductor keeps it.
    ground(&["fault", "api-down", "--for", "5"]);
    run.end().ends_with(0);
    the_api_is_back();
    cluster.copies_fast();
    assert_eq!(oracle.new_backups().len(), 1);
    oracle.nothing_is_left();
}

#[test]
fn a_minute_without_the_api_server_costs_the_run_and_never_the_replica() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    cluster.copies_for_minutes();
    let run = Run::order(&cluster, &["create"]);
    run.copying();
    let target = cluster.target();
    ground(&["fault", "api-down", "--for", "60"]);
    assert_ne!(run.end().code, 0, "a run that lost its Lease is not done");
    the_api_is_back();
    oracle.every_desync_is_explained();
    assert!(cluster.obligation().is_some() || cluster.status(&target, "wsrep_desync_count") == "0");
    cluster.copies_fast();
    oracle.all_is_well();
}

fn the_api_is_back() {
    until("the API answers", || (run("kubectl", &["get", "--raw", "/readyz"]).code == 0).then_some(()));
    kubectl(&["wait", "--for=condition=Ready", "node", "--all", "--timeout=120s"]);
}

#[test]
fn a_replica_replaced_between_the_checks_and_the_copy_is_not_copied() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    let run = Run::order(&cluster, &["create"]);
    let runner = run.runner("copy");
    let conductor = run.conductor();
    signal_container(&cluster, &conductor, "conductor", Signal::Stop);
    run.until_reported(&runner, "the runner is ready", |event| event["kind"] == "ready");
    ground(&["fault", "delete-pod", &cluster.target(), "--force"]);
    cluster.healthy();
    signal_container(&cluster, &conductor, "conductor", Signal::Continue);
    let ran = run.end();
    assert!([4, 6].contains(&ran.code), "{}", ran.stderr);
    oracle.nothing_came_of_it();
    oracle.all_is_well();
}
