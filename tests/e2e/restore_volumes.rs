//! Volumes that break, are not there, or are not the server's own, and what a restore makes of them.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use crate::ground::{Cluster, ground, kubectl, kubectl_json, scratch_file, until};
use crate::restore_shapes::all_serve;
use crate::restores::{
    backed_up_and_lost, beside_data, data_volume, incarnations, is_as_it_was, is_back, nothing_is_left, ordered,
    until_in,
};

/// The claim of a replica of the demo.
fn claim_of(pod: &str) -> String {
    format!("mysql-data-{pod}")
}

#[test]
fn a_leader_whose_volume_turns_read_only_in_the_outage_is_left_out_until_it_is_mended_and_the_old_cluster_serves() {
    let cluster = Cluster::with_data();
    let name = backed_up_and_lost(&cluster);
    let [other, _] = cluster.others();
    let [target, claim] = [cluster.target(), claim_of(&cluster.target())];
    let run = ordered(&cluster, &name, &["--restore-start-timeout", "40s", "--restore-join-timeout", "60s"]);
    until_in(&cluster, &run, &["switching"]);
    ground(&["fault", "volume-readonly", &claim]);
    let ran = run.end();
    // What there was serves without it, and takes writes.
    let served = cluster.sql(&other, "CREATE TABLE regret.meanwhile (n INT PRIMARY KEY)");
    let again = cluster.plugin(&["recover"]);
    ground(&["fault", "volume-writable", &claim]);
    let left_out = "the old cluster serves again, but not whole";
    // Where another one has the last commits, the cluster is started from that, and this one cannot join.
    let why = [format!("{target} is left out"), format!("{target} is not Ready")];
    let ran = ran.ends_with(15).says(left_out).says("Read-only file system");
    assert!(why.iter().any(|why| ran.stderr.contains(why)), "{}", ran.stderr);
    assert_eq!(served, "");
    again.ends_with(15).says(left_out);
    let before = cluster.status(&other, "wsrep_gcomm_uuid");
    cluster.plugin(&["recover"]).ends_with(14);
    assert_eq!(cluster.status(&other, "wsrep_gcomm_uuid"), before, "who serves was stopped");
    cluster.healthy();
    cluster.sql(&target, "DROP TABLE regret.meanwhile");
    is_as_it_was(&cluster);
    nothing_is_left(&cluster, 3);
}

#[test]
fn a_joiner_whose_volume_is_read_only_is_named_and_joins_once_it_is_mended() {
    let cluster = Cluster::with_data();
    let name = backed_up_and_lost(&cluster);
    let [_, other] = cluster.others();
    let run = ordered(&cluster, &name, &["--restore-join-timeout", "40s"]);
    until_in(&cluster, &run, &["switching", "starting"]);
    ground(&["fault", "volume-readonly", &claim_of(&other)]);
    let ran = run.end();
    ground(&["fault", "volume-writable", &claim_of(&other)]);
    // The leader serves; whoever is told so finds the volume by the replica's name.
    ran.ends_with(4).says(&format!("the volume of {other}")).says("Read-only file system");
    cluster.plugin(&["recover"]).ends_with(0);
    cluster.healthy();
    is_back(&cluster, 3);
    nothing_is_left(&cluster, 3);
}

#[test]
fn what_belongs_to_somebody_else_in_the_data_directory_is_in_nobody_s_way() {
    let cluster = Cluster::with_data();
    let name = backed_up_and_lost(&cluster);
    let target = cluster.target();
    let data = data_volume(&cluster, &target).join("mysql");
    let owner = data.metadata().unwrap().uid();
    let foreign = data.join("foreign");
    std::fs::create_dir(&foreign).unwrap();
    std::fs::write(foreign.join("notes.txt"), "of root").unwrap();
    std::fs::set_permissions(&foreign, std::fs::Permissions::from_mode(0o700)).unwrap();
    let refused = cluster.plugin(&["create"]);
    let ran = cluster.plugin(&["restore", &name, "--yes"]);
    let left = beside_data(&cluster, &target);
    for place in [&foreign, &data_volume(&cluster, &target).join(".mariadb-backup")] {
        let _ = std::fs::remove_dir_all(place);
    }
    // A server that cannot read its own data directory has no backup.
    refused.ends_with(6).says("/mysql/foreign").says("ls -ln");
    ran.ends_with(3).says("foreign");
    assert_eq!(left.len(), 1, "the old data that could not be removed: {left:?}");
    cluster.healthy();
    is_back(&cluster, 3);
    belong_to(&data, owner);
    nothing_is_left(&cluster, 3);
}

/// Fails the test unless everything there is the server's own.
#[track_caller]
fn belong_to(directory: &Path, owner: u32) {
    for entry in directory.read_dir().unwrap() {
        let path = entry.unwrap().path();
        let found = path.symlink_metadata().unwrap();
        assert_eq!(found.uid(), owner, "{} is not the server's", path.display());
        if found.is_dir() {
            belong_to(&path, owner);
        }
    }
}

/// The third replica's claim in a cluster of its own, which is made in other ways.
const CLAIM: &str = "mysql-data-mariadb-server-2";

/// Takes the third replica away and its claim with it; its volume can be claimed in that way afterwards, by one of
/// that name.
#[track_caller]
fn unclaimed(cluster: &Cluster, replicas: &str, mode: &str, by: &str) {
    cluster.kubectl(&["scale", "statefulset", "mariadb-server", "--replicas", replicas]);
    cluster.kubectl(&["wait", "--for=delete", "pod/mariadb-server-2", "--timeout=120s"]);
    cluster.kubectl(&["delete", "persistentvolumeclaim", CLAIM]);
    let name = format!("{}-data-2", cluster.namespace);
    let mut volume = kubectl_json(&["get", "persistentvolume", &name]);
    let labels = volume["metadata"]["labels"].take();
    volume["metadata"] = serde_json::json!({"name": name, "labels": labels});
    volume["spec"]["claimRef"] = serde_json::json!({"namespace": cluster.namespace, "name": by});
    volume["spec"]["accessModes"] = serde_json::json!([mode]);
    kubectl(&["delete", "persistentvolume", &name]);
    apply(cluster, &volume);
}

#[track_caller]
fn apply(cluster: &Cluster, object: &serde_json::Value) {
    let file = scratch_file(&cluster.namespace, &object.to_string());
    cluster.kubectl(&["apply", "-f", file.to_str().unwrap()]);
    std::fs::remove_file(file).unwrap();
}

/// A claim for the third replica, and the replica that uses it.
#[track_caller]
fn claimed(cluster: &Cluster, class: &str, mode: &str) {
    apply(
        cluster,
        &serde_json::json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": CLAIM},
            "spec": {
                "accessModes": [mode], "storageClassName": class, "resources": {"requests": {"storage": "1Gi"}},
            },
        }),
    );
    cluster.kubectl(&["scale", "statefulset", "mariadb-server", "--replicas", "3"]);
}

#[test]
fn a_claim_for_one_pod_only_or_that_waits_refuses_and_one_that_is_gone_is_made_anew() {
    let cluster = Cluster::new("volume-claims", &[]);
    cluster.store_in("both");
    let name = backed_up_and_lost(&cluster);
    let class = cluster.kubectl(&["get", "persistentvolumeclaim", CLAIM, "-o", "jsonpath={.spec.storageClassName}"]);

    unclaimed(&cluster, "2", "ReadWriteOncePod", CLAIM);
    claimed(&cluster, class.trim(), "ReadWriteOncePod");
    all_serve(&cluster, 3);
    let before = incarnations(&cluster);
    let refused = cluster.plugin(&["restore", &name, "--yes"]).ends_with(6);
    refused.says(&format!("claim {CLAIM} is ReadWriteOncePod"));
    assert_eq!(incarnations(&cluster), before, "a server was restarted");

    unclaimed(&cluster, "2", "ReadWriteOnce", "somebody-else-s");
    claimed(&cluster, "nowhere", "ReadWriteOnce");
    until("the third replica waits for its volume", || {
        let claim = cluster.kubectl_json(&["get", "persistentvolumeclaim", CLAIM]);
        (claim["status"]["phase"] == "Pending").then_some(())
    });
    let refused = cluster.plugin(&["restore", &name, "--yes"]).ends_with(6);
    refused.says(&format!("claim {CLAIM} is Pending")).says("--replicas");
    let two = ["mariadb-server-0", "mariadb-server-1"].map(|pod| cluster.status(pod, "wsrep_gcomm_uuid"));
    assert_eq!(two[..], before[..2], "a server was restarted");

    unclaimed(&cluster, "0", "ReadWriteOnce", CLAIM);
    // The volume of backups is on the node of the third replica, which has no claim.
    let restore = ["restore", &name, "--replicas", "3", "--store", "s3"];
    let plan = cluster.plugin(&[&restore[..], &["--dry-run"]].concat()).ends_with(0);
    assert!(plan.stdout.contains(&format!("claim {CLAIM} is not there; it will be made anew")), "{}", plan.stdout);
    cluster.plugin(&[&restore[..], &["--yes"]].concat()).ends_with(0);
    all_serve(&cluster, 3);
    is_back(&cluster, 3);
    nothing_is_left(&cluster, 3);
}
