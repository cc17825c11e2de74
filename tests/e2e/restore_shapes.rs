//! Restores of clusters of every shape: flavours, policies, numbers of replicas, stores.

use std::path::Path;

use crate::ground::{Cluster, ground, run, scratch_file, until};
use crate::restore_undone::{YoungerPassword, is_undone_by_the_next};
use crate::restores::{
    backed_up_and_lost, backed_up_and_lost_in_silence, is_as_it_was, is_back, killed_in, nothing_is_left, ordered,
    pods, until_in,
};
use crate::run::{Signal, Who};

/// Waits until every replica is a Synced member among that many.
#[track_caller]
pub(crate) fn all_serve(cluster: &Cluster, replicas: u32) {
    for pod in pods(replicas) {
        until(&format!("{pod} is Synced among {replicas}"), || {
            let statement = "SELECT GROUP_CONCAT(VARIABLE_VALUE ORDER BY VARIABLE_NAME) FROM \
                             information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME IN \
                             ('wsrep_cluster_size', 'wsrep_local_state_comment')";
            let said = run("ground", &["sql", "--namespace", &cluster.namespace, &pod, statement]).stdout;
            (said.lines().nth(1) == Some(&format!("{replicas},Synced"))).then_some(())
        });
    }
}

/// Backs a cluster up, loses a table, restores it while a client writes, and looks at what came of it.
#[track_caller]
fn comes_back(cluster: &Cluster, replicas: u32, flags: &[&str]) {
    let name = backed_up_and_lost(cluster);
    cluster.plugin(&[&["restore", &name, "--yes"], flags].concat()).ends_with(0).says("outage ");
    is_whole(cluster, replicas);
}

#[track_caller]
fn is_whole(cluster: &Cluster, replicas: u32) {
    all_serve(cluster, replicas);
    is_back(cluster, replicas);
    nothing_is_left(cluster, replicas);
    // A restart of every replica finds nothing of the restore either: nobody starts the cluster once more.
    for pod in pods(replicas) {
        cluster.kubectl(&["delete", "pod", &pod]);
        all_serve(cluster, replicas);
    }
    nothing_is_left(cluster, replicas);
}

#[test]
fn an_ordered_cluster_with_its_backups_in_s3_alone_comes_back_from_its_lowest_ordinal() {
    let cluster = Cluster::new("shape-ordered", &["--policy", "OrderedReady"]);
    cluster.store_in("s3");
    comes_back(&cluster, 3, &[]);
}

#[test]
fn an_ordered_cluster_comes_back_from_the_replica_beside_its_volume_of_backups() {
    let cluster = Cluster::new("shape-beside", &["--policy", "OrderedReady"]);
    comes_back(&cluster, 3, &[]);
}

#[test]
fn a_backup_of_one_cluster_is_restored_into_another_of_another_namespace_from_s3() {
    let cluster = Cluster::with_data();
    let other = Cluster::new("shape-other", &[]);
    let name = backed_up_and_lost(&cluster);
    let to = ["restore", &name, "--to", "shape-other/mariadb-server", "--yes"];
    cluster.plugin(&to).ends_with(6).says("lie on a volume");
    cluster.store_in("both");
    other.store_in("both");
    cluster.plugin(&["sync", "--to", "s3"]).ends_with(0);
    // The accounts in the data are the other one's: with Secrets that do not know them nobody would get in.
    cluster.plugin(&to).ends_with(12).says("the cluster was not touched");
    for secret in ["mariadb-root", "mariadb-config", "mariadb-backup-operator", "mariadb-backup", "mariadb-application"]
    {
        other.bring_secret(secret);
    }
    cluster.plugin(&to).ends_with(0).says("outage ");
    all_serve(&other, 3);
    is_back(&other, 3);
    nothing_is_left(&other, 3);
    nothing_is_left(&cluster, 3);
    // It is the other one's own data now: its backups are its own.
    other.plugin(&["create"]).ends_with(0);
}

#[test]
fn a_cluster_of_one_comes_back() {
    let cluster = Cluster::new("shape-one", &["--replicas", "1"]);
    comes_back(&cluster, 1, &[]);
}

#[test]
fn a_cluster_of_two_comes_back() {
    let cluster = Cluster::new("shape-two", &["--replicas", "2"]);
    comes_back(&cluster, 2, &[]);
    // Nobody writes to it: then the rows can be compared with those that were counted before the outage.
    let name = backed_up_and_lost_in_silence(&cluster);
    let ran = cluster.plugin(&["restore", &name, "--yes"]).ends_with(0).says("outage ");
    ran.says("tables with as many rows on mariadb-server-");
    is_whole(&cluster, 2);
}

#[test]
fn a_cluster_that_has_grown_since_its_backup_comes_back_whole() {
    let cluster = Cluster::new("shape-grown", &["--replicas", "2"]);
    let name = backed_up_and_lost(&cluster);
    // With the volume of the one that is new.
    ground(&["galera", "create", "--namespace", &cluster.namespace, "--replicas", "3"]);
    all_serve(&cluster, 3);
    cluster.plugin(&["restore", &name, "--yes"]).ends_with(0).says("outage ");
    all_serve(&cluster, 3);
    is_back(&cluster, 3);
    nothing_is_left(&cluster, 3);
}

#[test]
fn a_cluster_of_five_comes_back() {
    let cluster = Cluster::new("shape-five", &["--replicas", "5"]);
    comes_back(&cluster, 5, &[]);
}

#[test]
fn a_cluster_in_the_way_of_openstack_helm_comes_back_by_copy_into_the_root_of_its_volume() {
    let cluster = Cluster::new("shape-mosk", &["--flavour", "mosk"]);
    comes_back(&cluster, 3, &[]);
}

/// A claim to unpack on, which its first pod binds: there is a volume for it on every node.
fn claim_to_unpack_on(cluster: &Cluster) {
    let claim = serde_json::json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": "spare", "namespace": cluster.namespace},
        "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": "ground-backup",
            "resources": {"requests": {"storage": "1Gi"}},
        },
    });
    let file = scratch_file("spare-claim", &claim.to_string());
    cluster.kubectl(&["apply", "-f", file.to_str().unwrap()]);
    std::fs::remove_file(file).unwrap();
}

/// What a restore has left there.
fn left_on_the_claim(cluster: &Cluster) -> Vec<String> {
    let root = ground(&["volume-path", "--namespace", &cluster.namespace, "spare"]);
    let entries = std::fs::read_dir(Path::new(root.trim())).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name != "lost+found").collect()
}

#[test]
fn at_the_root_of_its_volume_with_its_backups_in_s3_alone_a_cluster_comes_back_by_a_claim_named_to_unpack_on() {
    let cluster = Cluster::new("shape-unpack", &["--flavour", "mosk"]);
    cluster.store_in("s3");
    claim_to_unpack_on(&cluster);
    comes_back(&cluster, 3, &["--scratch-claim", "spare"]);
    assert_eq!(left_on_the_claim(&cluster), [""; 0]);
    let name = cluster.listed().pop().unwrap();
    let refused = cluster.plugin(&["restore", &name, "--yes"]).ends_with(6);
    refused.says("so there is no place to unpack").says("--scratch-claim NAME");
    cluster.plugin(&["restore", &name, "--yes", "--scratch-claim", "nowhere"]).ends_with(10).says("nowhere");
    let data = "mysql-data-mariadb-server-1";
    cluster
        .plugin(&["restore", &name, "--yes", "--scratch-claim", data])
        .ends_with(6)
        .says("pod mariadb-server-1 has it");
}

#[test]
fn a_restore_from_a_claim_named_to_unpack_on_is_finished_after_it_was_killed() {
    let cluster = Cluster::new("shape-unpack-killed", &["--flavour", "mosk"]);
    cluster.store_in("s3");
    claim_to_unpack_on(&cluster);
    let name = backed_up_and_lost(&cluster);
    let run = ordered(&cluster, &name, &["--scratch-claim", "spare"]);
    until_in(&cluster, &run, &["switching"]);
    run.signal(Who::Conductor, "", Signal::Kill);
    assert_eq!(run.end().code, 4);
    cluster.plugin(&["recover"]).ends_with(0);
    all_serve(&cluster, 3);
    is_back(&cluster, 3);
    nothing_is_left(&cluster, 3);
    assert_eq!(left_on_the_claim(&cluster), [""; 0]);
}

#[test]
fn at_the_root_of_its_volume_restored_data_that_do_not_serve_are_undone_from_a_replica_that_nobody_touched() {
    let cluster = Cluster::new("shape-undone", &["--flavour", "mosk"]);
    let name = backed_up_and_lost(&cluster);
    let younger = YoungerPassword::new(&cluster);
    let against_advice = ["restore", &name, "--yes", "--ignore-logins", "--restore-start-timeout", "40s"];
    cluster.plugin(&against_advice).ends_with(14).says("the old cluster is back");
    younger.the_old_cluster_is_back();
}

#[test]
fn at_the_root_of_its_volume_a_restore_killed_while_the_data_are_copied_into_place_is_finished() {
    let cluster = Cluster::new("shape-killed", &["--flavour", "mosk"]);
    assert_eq!(killed_in(&cluster, "switching"), 0);
    is_back(&cluster, 3);
}

#[test]
fn at_the_root_of_its_volume_a_runner_killed_in_the_middle_of_the_copy_is_undone_from_a_replica_that_nobody_touched() {
    let cluster = Cluster::new("shape-runner", &["--flavour", "mosk"]);
    let name = backed_up_and_lost(&cluster);
    let claim = format!("mysql-data-{}", cluster.target());
    let run = ordered(&cluster, &name, &[]);
    until_in(&cluster, &run, &["stopping"]);
    ground(&["fault", "volume-slow", "--namespace", &cluster.namespace, &claim, "--bps", "10000000"]);
    let runner = run.refiller("switch");
    run.until_reported(&runner, "bytes are copied", |event| event["doneBytes"].as_u64() > Some(0));
    run.signal(Who::Runner, &runner, Signal::Kill);
    ground(&["fault", "volume-normal", "--namespace", &cluster.namespace, &claim]);
    run.end().ends_with(14).says("the old cluster is back");
    all_serve(&cluster, 3);
    is_as_it_was(&cluster);
    nothing_is_left(&cluster, 3);
}

#[test]
fn at_the_root_of_its_volume_a_restore_killed_while_it_is_undone_is_undone_by_the_next() {
    let cluster = Cluster::new("shape-killed-back", &["--flavour", "mosk"]);
    is_undone_by_the_next(&cluster);
}

#[test]
fn a_cluster_in_the_way_of_bitnami_comes_back_from_its_ordinal_0() {
    let cluster = Cluster::new("shape-bitnami", &["--flavour", "bitnami"]);
    cluster.store_in("s3");
    comes_back(&cluster, 3, &[]);
}
