//! What happens to nodes and servers while a backup runs, and that the backup neither lies nor hurts.

use crate::ground::{Cluster, Ledger, Rotated, ground, kubectl, until};
use crate::oracle::Oracle;
use crate::run::{Run, Signal, signal_container, signal_process};

/// The number of the node a replica is on.
fn node_of(cluster: &Cluster, pod: &str) -> String {
    let pod = cluster.kubectl_json(&["get", "pod", pod]);
    pod["spec"]["nodeName"].as_str().unwrap().trim_start_matches("node-").to_owned()
}

#[test]
fn a_node_that_loses_its_power_costs_the_backup_of_its_replica_and_nothing_else() {
    let cluster = Cluster::with_data();
    let ledger = Ledger::start(&cluster);
    let oracle = Oracle::new(&cluster);
    cluster.copies_for_minutes();
    let run = Run::order(&cluster, &["create"]);
    run.copying();
    let node = node_of(&cluster, &cluster.target());
    ground(&["fault", "node-off", &node]);
    ledger.goes_on();
    ground(&["fault", "node-on", &node]);
    assert_ne!(run.end().code, 0);
    kubectl(&["wait", "--for=condition=Ready", "node", "--all", "--timeout=120s"]);
    cluster.healthy();
    oracle.nothing_came_of_it();
    cluster.copies_fast();
    oracle.all_is_well();
}

#[test]
fn a_server_killed_in_mid_copy_fails_the_backup_and_nothing_else() {
    let cluster = Cluster::with_data();
    let ledger = Ledger::start(&cluster);
    let oracle = Oracle::new(&cluster);
    cluster.copies_for_minutes();
    let run = Run::order(&cluster, &["create"]);
    run.copying();
    signal_container(&cluster, &cluster.target(), "mariadb", Signal::Kill);
    run.end().ends_with(4);
    oracle.nothing_came_of_it();
    cluster.healthy();
    ledger.goes_on();
    cluster.copies_fast();
    oracle.all_is_well();
}

#[test]
fn a_server_that_comes_back_elsewhere_is_not_resynced_for_the_old_one() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    cluster.copies_for_minutes();
    let run = Run::order(&cluster, &["create"]);
    run.copying();
    let target = cluster.target();
    ground(&["fault", "delete-pod", &target, "--force"]);
    run.end().ends_with(4);
    cluster.healthy();
    oracle.nothing_came_of_it();
    cluster.copies_fast();
    oracle.all_is_well();
}

/// Takes a replica's data away, so that it needs a state transfer, and returns once it is down.
pub(crate) fn lose_data(cluster: &Cluster, pod: &str) {
    let claim = format!("mysql-data-{pod}");
    let data = ground(&["volume-path", "--namespace", &cluster.namespace, &claim]);
    let wipe = || {
        for entry in std::fs::read_dir(format!("{data}/mysql")).unwrap().flatten() {
            let path = entry.path();
            // A server that starts already is no hindrance: it will miss what is gone.
            let _ = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        }
    };
    signal_container(cluster, pod, "mariadb", Signal::Kill);
    wipe();
}

#[test]
fn a_replica_that_needs_a_state_transfer_meanwhile_gets_it_from_one_that_is_not_copied() {
    let cluster = Cluster::with_data();
    let ledger = Ledger::start(&cluster);
    let oracle = Oracle::new(&cluster);
    cluster.copies_for_seconds();
    let run = Run::order(&cluster, &["create"]);
    run.copying();
    let [joiner, _] = cluster.others();
    lose_data(&cluster, &joiner);
    run.end().ends_with(0);
    cluster.healthy();
    ledger.goes_on();
    cluster.copies_fast();
    assert_eq!(oracle.new_backups().len(), 1);
    oracle.all_is_well();
}

#[test]
fn a_server_that_waits_for_a_long_statement_is_given_up_in_bounded_time_and_comes_back() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    let target = cluster.target();
    let held = cluster.hold(&target, "SET SESSION wsrep_on = OFF; CREATE TABLE shop.held SELECT SLEEP(3000)");
    let failed = cluster.plugin(&["create", "--ftwrl-wait-timeout", "3s"]).ends_with(4);
    assert!(failed.stderr.contains("mariadb-backup ended with"), "{}", failed.stderr);
    cluster.healthy();
    oracle.nothing_came_of_it();
    drop(held);
    oracle.all_is_well();
}

#[test]
fn a_long_open_transaction_does_not_hold_a_backup_up() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    let target = cluster.target();
    cluster.sql(&target, "CREATE DATABASE IF NOT EXISTS held");
    cluster.sql(&target, "CREATE TABLE IF NOT EXISTS held.rows (n INT PRIMARY KEY)");
    let held = cluster.hold(&target, "BEGIN; INSERT INTO held.rows VALUES (1); SELECT SLEEP(3000)");
    cluster.plugin(&["create"]).ends_with(0);
    drop(held);
    cluster.sql(&target, "DROP DATABASE held");
    oracle.nothing_is_left();
}

#[test]
fn a_storm_of_ddl_does_not_spoil_a_backup() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    let [other, _] = cluster.others();
    cluster.sql(&other, "CREATE DATABASE IF NOT EXISTS storm");
    let group = "CREATE TABLE storm.a (n INT PRIMARY KEY); ALTER TABLE storm.a ADD t TEXT; INSERT INTO storm.a VALUES \
                 (1, 'x'); RENAME TABLE storm.a TO storm.b; ALTER TABLE storm.b FORCE; DROP TABLE storm.b; ";
    let storm = cluster.start_sql(&other, &(group.repeat(400) + "SELECT 1"));
    cluster.until_sql_runs(&other, "storm");
    let name = cluster.created(&["create"]);
    storm.end().ends_with(0);
    let server = crate::stock_tools::StockServer::start(&cluster, &name);
    assert!(!server.numbers("SELECT COUNT(*) FROM shop.orders").is_empty());
    drop(server);
    cluster.sql(&other, "DROP DATABASE storm");
    oracle.nothing_is_left();
}

#[test]
fn heavy_writes_are_caught_up_with_before_the_replica_takes_part_again() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    cluster.copies_for_seconds();
    let run = Run::order(&cluster, &["create"]);
    run.copying();
    ground(&["load", "--namespace", &cluster.namespace, "--mb", "20"]);
    run.end().ends_with(0);
    cluster.copies_fast();
    oracle.nothing_is_left();
}

#[test]
fn a_data_volume_about_to_be_full_ends_the_copy_and_frees_the_replica() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    cluster.copies_for_minutes();
    let run = Run::order(&cluster, &["create"]);
    run.copying();
    let claim = format!("mysql-data-{}", cluster.target());
    ground(&["fault", "volume-fill", &claim, "--leave", "128Mi"]);
    let ran = run.end();
    ground(&["fault", "volume-free", &claim]);
    ran.ends_with(4).says("left on the data volume");
    cluster.healthy();
    oracle.nothing_came_of_it();
    cluster.copies_fast();
    oracle.all_is_well();
}

#[test]
fn a_tool_that_hangs_is_ended_and_the_replica_comes_back() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    cluster.copies_for_minutes();
    let run = Run::order(&cluster, &["create", "--stall-timeout", "5s", "--ftwrl-wait-timeout", "1s"]);
    let runner = run.copying();
    signal_process(&cluster, &runner, "runner", "mariadb-backup", Signal::Stop);
    run.end().ends_with(4).says("sent nothing for");
    cluster.healthy();
    oracle.nothing_came_of_it();
    cluster.copies_fast();
    oracle.all_is_well();
}

#[test]
fn a_password_changed_in_mid_run_is_told_and_the_replica_is_owed_until_it_is_right_again() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    cluster.copies_for_minutes();
    let run = Run::order(&cluster, &["create"]);
    let runner = run.copying();
    let rotated = Rotated::new(&cluster, "backup_operator", "mariadb-backup-operator");
    run.signal(crate::run::Who::Runner, &runner, Signal::Kill);
    let ran = run.end();
    assert!([4, 12].contains(&ran.code), "{}", ran.stderr);
    oracle.nothing_came_of_it();
    assert!(cluster.obligation().is_some(), "nobody could bring the replica back, and nothing says so");
    cluster.plugin(&["create"]).ends_with(12);
    drop(rotated);
    cluster.copies_fast();
    oracle.all_is_well();
}

#[test]
fn a_replica_that_stands_still_is_found_before_anything_is_touched() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    let [other, _] = cluster.others();
    signal_process(&cluster, &other, "mariadb", "mariadbd", Signal::Stop);
    until("the others miss it", || (cluster.status(&cluster.target(), "wsrep_cluster_size") == "2").then_some(()));
    let refused = cluster.plugin(&["create"]);
    signal_process(&cluster, &other, "mariadb", "mariadbd", Signal::Continue);
    refused.ends_with(6).says(&other).says("sees 2 members, not 3");
    oracle.nothing_came_of_it();
    cluster.healthy();
    oracle.all_is_well();
}

#[test]
fn a_state_transfer_that_is_going_on_is_reason_enough_not_to_begin() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    let [joiner, _] = cluster.others();
    let claim = format!("mysql-data-{joiner}");
    ground(&["fault", "volume-slow", &claim, "--bps", "10000000"]);
    lose_data(&cluster, &joiner);
    let donor = || {
        let answers = cluster.pods_that_answer();
        answers.into_iter().find(|pod| cluster.status(pod, "wsrep_local_state_comment") == "Donor/Desynced")
    };
    until("a donor sends a state transfer", donor);
    let refused = cluster.plugin(&["create"]);
    ground(&["fault", "volume-normal", &claim]);
    refused.ends_with(6).says(&joiner);
    cluster.healthy();
    oracle.nothing_came_of_it();
    oracle.all_is_well();
}

#[test]
fn a_global_read_lock_of_somebody_else_is_left_alone() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    let target = cluster.target();
    let held = cluster.hold(&target, "FLUSH TABLES WITH READ LOCK; SELECT SLEEP(3000)");
    cluster.plugin(&["create"]).ends_with(6).says(&target);
    cluster.until_sql_runs(&target, "SLEEP(3000)");
    drop(held);
    cluster.healthy();
    oracle.nothing_came_of_it();
    oracle.all_is_well();
}
