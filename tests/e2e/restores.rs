//! Restores on the real thing: what comes back, what an outage it costs, and that a failed one is undone.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::Value;

use crate::damage::{damage_in_bucket, flip_a_bit, stream};
use crate::ground::{Client, Cluster, Ledger, ground, run, scratch_file, until};
use crate::interruptions::evict;
use crate::oracle::{item, volume};
use crate::run::{Run, Signal, Who, signal_container};

/// The servers' pods, by their ordinals.
pub(crate) fn pods(replicas: u32) -> Vec<String> {
    (0..replicas).map(|n| format!("mariadb-server-{n}")).collect()
}

/// Makes a database with one row, and a backup of it; then does what a person regrets. A client writes all the time,
/// and goes on to.
#[track_caller]
pub(crate) fn backed_up_and_lost(cluster: &Cluster) -> String {
    let ledger = Ledger::start(cluster);
    let name = backed_up_and_lost_in_silence(cluster);
    let client = Client::until_well_past(cluster, &name, ledger);
    cluster.client.replace(Some(client));
    name
}

/// The same of a cluster that nobody else uses.
#[track_caller]
pub(crate) fn backed_up_and_lost_in_silence(cluster: &Cluster) -> String {
    cluster.sql("mariadb-server-0", "DROP DATABASE IF EXISTS regret");
    cluster.sql("mariadb-server-0", "CREATE DATABASE regret");
    cluster.sql("mariadb-server-0", "CREATE TABLE regret.kept (n INT PRIMARY KEY)");
    cluster.sql("mariadb-server-0", "INSERT INTO regret.kept VALUES (7)");
    let name = cluster.created(&["create"]);
    cluster.sql("mariadb-server-0", "DROP TABLE regret.kept");
    cluster.sql("mariadb-server-0", "CREATE TABLE regret.later (n INT PRIMARY KEY)");
    name
}

/// Fails the test unless every replica has what was in the backup, nothing from after it, and takes part.
#[track_caller]
pub(crate) fn is_back(cluster: &Cluster, replicas: u32) {
    let tables = "SELECT GROUP_CONCAT(table_name) FROM information_schema.tables WHERE table_schema = 'regret'";
    for pod in pods(replicas) {
        assert_eq!(cluster.sql(&pod, tables), "kept", "on {pod}");
        assert_eq!(cluster.sql(&pod, "SELECT SUM(n) FROM regret.kept"), "7", "on {pod}");
    }
    writes_are_seen_everywhere(cluster, replicas);
    if let Some(client) = cluster.client.take() {
        client.has_what_the_backup_has(cluster, replicas);
    }
    all_equal_everywhere(cluster, replicas);
}

/// A write on each replica is seen on all.
#[track_caller]
fn writes_are_seen_everywhere(cluster: &Cluster, replicas: u32) {
    cluster.sql("mariadb-server-0", "CREATE TABLE regret.seen (n INT PRIMARY KEY)");
    for (n, pod) in pods(replicas).iter().enumerate() {
        cluster.sql(pod, &format!("INSERT INTO regret.seen VALUES ({n})"));
    }
    for pod in pods(replicas) {
        let all = || (cluster.sql(&pod, "SELECT COUNT(*) FROM regret.seen") == replicas.to_string()).then_some(());
        until(&format!("{pod} sees every write"), all);
    }
    cluster.sql("mariadb-server-0", "DROP TABLE regret.seen");
}

/// Every table of the users is the same on all replicas.
#[track_caller]
fn all_equal_everywhere(cluster: &Cluster, replicas: u32) {
    let tables = "SELECT GROUP_CONCAT(CONCAT(table_schema, '.', table_name)) FROM information_schema.tables \
                  WHERE table_schema IN ('regret', 'ledger', 'shop') AND table_type = 'BASE TABLE'";
    let checksums = format!("CHECKSUM TABLE {}", cluster.sql("mariadb-server-0", tables));
    let sums = |pod: &String| ground(&["sql", "--namespace", &cluster.namespace, pod, &checksums]);
    until("all tables are the same on all replicas", || {
        let sums: BTreeSet<_> = pods(replicas).iter().map(sums).collect();
        (sums.len() == 1).then_some(())
    });
}

/// Nothing is owed, no runner, scratch or old data are left, and the StatefulSet asks for what it did.
#[track_caller]
pub(crate) fn nothing_is_left(cluster: &Cluster, replicas: u32) {
    assert_eq!(cluster.obligation(), None, "an obligation is left");
    let set = cluster.kubectl_json(&["get", "statefulset", "mariadb-server"]);
    let first = set["spec"]["ordinals"]["start"].as_i64().unwrap_or(0);
    assert_eq!((set["spec"]["replicas"].as_u64(), first), (Some(u64::from(replicas)), 0));
    let histories: BTreeSet<_> =
        pods(replicas).iter().map(|pod| cluster.status(pod, "wsrep_cluster_state_uuid")).collect();
    assert_eq!(histories.len(), 1, "replicas are in different histories: {histories:?}");
    for pod in pods(replicas) {
        assert_eq!(beside_data(cluster, &pod), [""; 0], "left beside the data of {pod}");
    }
    let unfinished = volume(cluster).map(|root| root.join(".unfinished"));
    let left: Vec<_> = unfinished.and_then(|path| path.read_dir().ok()).into_iter().flatten().flatten().collect();
    assert!(left.is_empty(), "unfinished work is left on the volume of backups: {left:?}");
}

/// What lies in this product's directory on a data volume.
pub(crate) fn beside_data(cluster: &Cluster, pod: &str) -> Vec<String> {
    let entries = std::fs::read_dir(data_volume(cluster, pod).join(".mariadb-backup")).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

/// Where this machine sees the root of a replica's data volume.
#[track_caller]
pub(crate) fn data_volume(cluster: &Cluster, pod: &str) -> PathBuf {
    let template = "jsonpath={.spec.volumeClaimTemplates[0].metadata.name}";
    let template = cluster.kubectl(&["get", "statefulset", "mariadb-server", "-o", template]);
    let claim = format!("{}-{pod}", template.trim());
    PathBuf::from(ground(&["volume-path", "--namespace", &cluster.namespace, &claim]))
}

/// The ids the servers have in the group: new with each start.
pub(crate) fn incarnations(cluster: &Cluster) -> Vec<String> {
    pods(3).iter().map(|pod| cluster.status(pod, "wsrep_gcomm_uuid")).collect()
}

#[test]
fn a_dropped_table_comes_back_from_a_chain_under_load_with_every_commit_up_to_it_and_none_after() {
    let cluster = Cluster::with_data();
    let ledger = Ledger::start(&cluster);
    let base = backed_up_and_lost_in_silence(&cluster);
    cluster.sql("mariadb-server-0", "DROP TABLE regret.later");
    cluster.sql("mariadb-server-0", "CREATE TABLE regret.kept (n INT PRIMARY KEY)");
    cluster.sql("mariadb-server-0", "INSERT INTO regret.kept VALUES (3), (4)");
    let child = cluster.created(&["create", "--type", "incremental"]);
    assert_eq!(item(&cluster, &child)["base"], base.as_str());
    cluster.sql("mariadb-server-0", "DROP TABLE regret.kept");
    let client = Client::until_well_past(&cluster, &child, ledger);
    cluster.client.replace(Some(client));
    let ran = cluster.plugin(&["restore", &child, "--yes"]).ends_with(0);
    assert!(ran.stderr.contains("outage "), "the outage is told:\n{}", ran.stderr);
    // Counted while the ledger is written.
    ran.says("tables with equal row counts on all replicas: ");
    is_back(&cluster, 3);
    nothing_is_left(&cluster, 3);
    // No flag of the restore is left that would start a second cluster: every replica alone comes back.
    for pod in pods(3) {
        cluster.kubectl(&["delete", "pod", &pod]);
        cluster.healthy();
    }
    nothing_is_left(&cluster, 3);
    // And the chain is not gone on with: the data are others now.
    let next = cluster.plugin(&["create", "--type", "incremental", "-o", "name"]);
    let name = next.stdout.trim().trim_start_matches("backup/").to_owned();
    assert_eq!(item(&cluster, &name)["type"], "full", "{}", next.stderr);
}

#[test]
fn a_backup_that_is_damaged_is_refused_before_the_cluster_is_touched() {
    let cluster = Cluster::with_data();
    let name = backed_up_and_lost(&cluster);
    let before = incarnations(&cluster);
    let stream = stream(&cluster, &name);
    flip_a_bit(&stream);
    cluster.plugin(&["restore", &name, "--yes"]).ends_with(13).says("the cluster was not touched");
    assert_eq!(incarnations(&cluster), before, "a server was restarted");
    nothing_is_left(&cluster, 3);
    flip_a_bit(&stream);
}

#[test]
fn a_backup_that_is_damaged_in_both_stores_is_refused_before_the_cluster_is_touched() {
    let cluster = Cluster::with_data();
    cluster.store_in("both");
    let name = backed_up_and_lost(&cluster);
    let before = incarnations(&cluster);
    flip_a_bit(&stream(&cluster, &name));
    damage_in_bucket(&cluster, &name);
    let refused = cluster.plugin(&["restore", &name, "--yes"]).ends_with(13);
    refused.says("trying what lies in the other store").says("the cluster was not touched");
    assert_eq!(incarnations(&cluster), before, "a server was restarted");
    is_as_it_was(&cluster);
    nothing_is_left(&cluster, 3);
}

#[test]
fn a_backup_that_is_damaged_on_the_volume_is_restored_from_s3() {
    let cluster = Cluster::with_data();
    cluster.store_in("both");
    let name = backed_up_and_lost(&cluster);
    let stream = stream(&cluster, &name);
    flip_a_bit(&stream);
    let ran = cluster.plugin(&["restore", &name, "--yes"]);
    flip_a_bit(&stream);
    ran.says("trying what lies in the other store").says("outage ");
    cluster.healthy();
    is_back(&cluster, 3);
    nothing_is_left(&cluster, 3);
}

#[test]
fn a_dry_run_tells_the_plan_and_changes_nothing_and_without_a_terminal_nothing_is_done_unasked() {
    let cluster = Cluster::with_data();
    let name = backed_up_and_lost(&cluster);
    let before = incarnations(&cluster);
    let shown = cluster.plugin(&["restore", &name, "--dry-run"]).ends_with(0).stdout;
    for wanted in ["Lost: ", "Chain: ", "First: ", "Steps: ", "Outage: ", "Way back: "] {
        assert!(shown.contains(wanted), "{wanted}:\n{shown}");
    }
    let plan = cluster.plugin(&["restore", &name, "--dry-run", "-o", "json"]).ends_with(0).stdout;
    let plan: Value = serde_json::from_str(&plan).unwrap();
    assert_eq!(plan["done"]["preview"]["leader"], cluster.target().as_str());
    assert!(plan["done"]["preview"]["predictedOutage"]["mostSeconds"].as_u64() >= Some(1), "{plan}");
    cluster.plugin(&["restore", &name]).ends_with(2).says("--yes");
    assert_eq!(incarnations(&cluster), before, "a server was restarted");
    nothing_is_left(&cluster, 3);
}

/// Waits until the restore is in that stage, or past it.
#[track_caller]
pub(crate) fn until_in(cluster: &Cluster, run: &Run<'_>, stages: &[&str]) {
    until(&format!("{} is in {stages:?}", run.job), || {
        let owed = cluster.obligation()?;
        let stage = owed["debt"]["stage"].as_str()?.to_owned();
        stages.contains(&stage.as_str()).then_some(())
    });
}

/// Kills a restore's conductor in that stage, then lets `recover` go on; returns how that ended.
#[track_caller]
pub(crate) fn killed_in(cluster: &Cluster, stage: &str) -> i32 {
    killed_and(cluster, stage, |_| vec!["recover"])
}

/// The same, with another command to go on.
#[track_caller]
fn killed_and(cluster: &Cluster, stage: &str, command: fn(&str) -> Vec<&str>) -> i32 {
    let name = backed_up_and_lost(cluster);
    let run = ordered(cluster, &name, &[]);
    until_in(cluster, &run, &[stage]);
    run.signal(Who::Conductor, "", Signal::Kill);
    assert_eq!(run.end().code, 4);
    // Nothing else may be done meanwhile, but where nothing was touched yet: then it is given up.
    let next = cluster.plugin(&["create"]);
    if stage == "proving" {
        next.ends_with(0)
    } else {
        next.ends_with(6).says("recover")
    };
    let gone_on = cluster.plugin(&command(&name));
    cluster.healthy();
    nothing_is_left(cluster, 3);
    gone_on.code
}

/// Orders a restore and returns once it is at work: its first Job only made the plan.
#[track_caller]
pub(crate) fn ordered<'a>(cluster: &'a Cluster, backup: &str, flags: &[&str]) -> Run<'a> {
    let run = Run::order(cluster, &[&["restore", backup, "--yes"], flags].concat());
    let job = until("the restore is ordered", || {
        let owed = cluster.obligation()?;
        owed["run"].as_str().filter(|job| *job != run.job).map(str::to_owned)
    });
    run.with_job(job)
}

/// The old data, with what was done after the backup.
#[track_caller]
pub(crate) fn is_as_it_was(cluster: &Cluster) {
    let tables = "SELECT GROUP_CONCAT(table_name) FROM information_schema.tables WHERE table_schema = 'regret'";
    for pod in pods(3) {
        assert_eq!(cluster.sql(&pod, tables), "later", "on {pod}");
    }
    if let Some(client) = cluster.client.take() {
        client.has_everything(cluster);
    }
}

#[test]
fn a_restore_killed_while_it_proves_has_not_touched_the_cluster() {
    let cluster = Cluster::with_data();
    let before = incarnations(&cluster);
    assert_eq!(killed_in(&cluster, "proving"), 0);
    assert_eq!(incarnations(&cluster), before, "a server was restarted");
    is_as_it_was(&cluster);
}

#[test]
fn a_runner_killed_while_it_proves_costs_the_restore_and_nothing_else() {
    let cluster = Cluster::with_data();
    let name = backed_up_and_lost(&cluster);
    let before = incarnations(&cluster);
    let run = ordered(&cluster, &name, &[]);
    let runner = run.runner("prove");
    run.until_reported(&runner, "the runner is at work", |_| true);
    run.signal(Who::Runner, &runner, Signal::Kill);
    run.end().ends_with(4).says("the cluster was not touched");
    assert_eq!(incarnations(&cluster), before, "a server was restarted");
    is_as_it_was(&cluster);
    nothing_is_left(&cluster, 3);
}

#[test]
fn a_runner_killed_as_it_is_to_put_the_data_into_place_costs_a_moment_and_nothing_else() {
    let cluster = Cluster::with_data();
    let name = backed_up_and_lost(&cluster);
    let run = ordered(&cluster, &name, &[]);
    let runner = run.refiller("switch");
    let running = ["get", "pod", &runner, "-o", "jsonpath={.status.containerStatuses[0].state.running}"];
    until("the runner for the switch waits for its word", || (!cluster.kubectl(&running).is_empty()).then_some(()));
    // What it is told it never hears.
    run.signal(Who::Runner, &runner, Signal::Stop);
    until_in(&cluster, &run, &["switching"]);
    run.signal(Who::Runner, &runner, Signal::Kill);
    run.end().ends_with(0).says("once more");
    cluster.healthy();
    is_back(&cluster, 3);
    nothing_is_left(&cluster, 3);
}

/// A node that takes no further pod, until dropped.
pub(crate) struct Cordoned(String);

impl Cordoned {
    #[track_caller]
    pub(crate) fn new(node: String) -> Self {
        run("kubectl", &["cordon", &node]).ends_with(0);
        Self(node)
    }
}

impl Drop for Cordoned {
    fn drop(&mut self) {
        run("kubectl", &["uncordon", &self.0]);
    }
}

#[test]
fn a_runner_deleted_before_it_has_emptied_a_volume_is_sent_again() {
    let cluster = Cluster::with_data();
    let name = backed_up_and_lost(&cluster);
    let [other, _] = cluster.others();
    let node = cluster.kubectl(&["get", "pod", &other, "-o", "jsonpath={.spec.nodeName}"]);
    let restore = ordered(&cluster, &name, &[]);
    until_in(&cluster, &restore, &["stopping"]);
    let cordoned = Cordoned::new(node);
    let of_other = format!("mysql-data-{other}");
    let runner = until("a runner waits for the node", || {
        let pods = cluster.kubectl_json(&["get", "pods", "-l", "app.kubernetes.io/component=runner"]);
        let has = |pod: &&Value| pod["spec"]["volumes"].to_string().contains(&of_other);
        let pod = pods["items"].as_array()?.iter().find(has)?;
        Some(pod["metadata"]["name"].as_str()?.to_owned())
    });
    cluster.kubectl(&["delete", "pod", &runner]);
    drop(cordoned);
    restore.end().ends_with(0).says("once more");
    cluster.healthy();
    is_back(&cluster, 3);
    nothing_is_left(&cluster, 3);
}

#[test]
fn a_restore_whose_command_is_killed_goes_on_and_is_followed_from_elsewhere_to_its_end() {
    let cluster = Cluster::with_data();
    let name = backed_up_and_lost(&cluster);
    let restore = ordered(&cluster, &name, &[]);
    until_in(&cluster, &restore, &["stopping"]);
    let job = restore.job.clone();
    restore.kill_the_plugin();
    let elsewhere = scratch_file("elsewhere", &cluster.kubectl(&["config", "view", "--raw", "--flatten"]));
    let followed = cluster.plugin(&["logs", &job, "--kubeconfig", elsewhere.to_str().unwrap()]);
    std::fs::remove_file(elsewhere).unwrap();
    let followed = followed.ends_with(0);
    // From its start, not only from where it was joined.
    for told in ["prove: unpacking ", "stop: stopping the cluster: the outage begins", "serves the restored data"] {
        assert!(followed.stdout.contains(told), "{told}: {}", followed.stdout);
    }
    cluster.healthy();
    is_back(&cluster, 3);
    nothing_is_left(&cluster, 3);
}

#[test]
fn a_restore_killed_while_the_cluster_stops_is_undone() {
    let cluster = Cluster::with_data();
    assert_eq!(killed_in(&cluster, "stopping"), 14);
    is_as_it_was(&cluster);
}

#[test]
fn a_restore_killed_while_the_data_get_into_place_is_finished() {
    let cluster = Cluster::with_data();
    assert_eq!(killed_in(&cluster, "switching"), 0);
    is_back(&cluster, 3);
}

#[test]
fn a_restore_whose_pod_is_evicted_while_the_cluster_is_stopped_goes_on_to_its_end() {
    let cluster = Cluster::with_data();
    let name = backed_up_and_lost(&cluster);
    let run = ordered(&cluster, &name, &[]);
    until_in(&cluster, &run, &["stopping"]);
    evict(&cluster, &run.conductor());
    run.end().ends_with(3).says("the restore goes on to its end");
    cluster.healthy();
    is_back(&cluster, 3);
    nothing_is_left(&cluster, 3);
}

#[test]
fn a_restore_killed_while_the_first_replica_starts_is_finished() {
    let cluster = Cluster::with_data();
    assert_eq!(killed_in(&cluster, "starting"), 0);
    is_back(&cluster, 3);
}

#[test]
fn a_restore_killed_while_the_others_join_is_finished_by_the_same_command_again() {
    let cluster = Cluster::with_data();
    assert_eq!(killed_and(&cluster, "joining", |name| vec!["restore", name, "--yes"]), 0);
    is_back(&cluster, 3);
}

#[test]
fn a_restore_killed_while_it_removes_what_is_left_is_finished() {
    let cluster = Cluster::with_data();
    assert_eq!(killed_in(&cluster, "tidying"), 0);
    is_back(&cluster, 3);
}

#[test]
fn a_password_that_the_backup_does_not_know_is_found_before_the_outage() {
    let cluster = Cluster::with_data();
    let name = backed_up_and_lost(&cluster);
    let before = incarnations(&cluster);
    let rotated = crate::ground::Rotated::new(&cluster, "backup@'%'", "mariadb-backup");
    let younger = serde_json::json!({"stringData": {"password": "rotated"}}).to_string();
    let old = cluster.kubectl(&["get", "secret", "mariadb-backup", "-o", "go-template={{.data.password}}"]);
    cluster.kubectl(&["patch", "secret", "mariadb-backup", "--type", "merge", "-p", &younger]);
    let refused = cluster.plugin(&["restore", &name, "--yes"]);
    let back = serde_json::json!({"data": {"password": old}}).to_string();
    cluster.kubectl(&["patch", "secret", "mariadb-backup", "--type", "merge", "-p", &back]);
    drop(rotated);
    refused.ends_with(12).says("the cluster was not touched");
    assert_eq!(incarnations(&cluster), before, "a server was restarted");
    nothing_is_left(&cluster, 3);
}

#[test]
fn a_first_replica_that_crashes_while_the_others_join_costs_time_and_nothing_else() {
    let cluster = Cluster::with_data();
    let name = backed_up_and_lost(&cluster);
    let leader = cluster.target();
    let restore = ordered(&cluster, &name, &["--restore-start-timeout", "40s"]);
    until_in(&cluster, &restore, &["joining"]);
    let joiners = cluster.others();
    until("a replica is sent everything", || {
        let logs = |pod: &String| run("kubectl", &["logs", "-n", &cluster.namespace, pod, "-c", "mariadb"]).stdout;
        joiners.iter().any(|pod| logs(pod).contains("WSREP_SST")).then_some(())
    });
    signal_container(&cluster, &leader, "mariadb", Signal::Kill);
    restore.end().ends_with(0);
    cluster.healthy();
    is_back(&cluster, 3);
    nothing_is_left(&cluster, 3);
}
