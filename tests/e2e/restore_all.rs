//! Restores in which every replica gets what was proven, and restores of clusters that do not run at all.

use crate::ground::{Cluster, ground, kubectl, kubectl_json, run, until};
use crate::restore_shapes::all_serve;
use crate::restores::{backed_up_and_lost, is_back, nothing_is_left, ordered, until_in};
use crate::run::{Signal, Who};

/// A volume of backups that any number of nodes mount at once, in the place of the cluster's own claim.
struct Shared(String);

impl Shared {
    fn of(cluster: &Cluster) -> Self {
        let namespace = &cluster.namespace;
        let name = format!("{namespace}-shared");
        let local = kubectl_json(&["get", "pv", &format!("{namespace}-backup-1")]);
        let nodes = serde_json::json!([{"key": "kubernetes.io/hostname", "operator": "Exists"}]);
        let spec = serde_json::json!({
            "accessModes": ["ReadWriteMany"],
            "capacity": local["spec"]["capacity"],
            "local": local["spec"]["local"],
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": nodes}]}},
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "shared",
        });
        let volume = serde_json::json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec});
        let wanted = serde_json::json!({"requests": {"storage": "1Gi"}});
        let claim = serde_json::json!({
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "mariadb-phy-backup-data", "namespace": namespace},
            "spec": {"accessModes": ["ReadWriteMany"], "resources": wanted, "storageClassName": "shared"},
        });
        cluster.kubectl(&["delete", "pvc", "mariadb-phy-backup-data"]);
        let both = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": [volume, claim]});
        let file = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        std::fs::write(&file, both.to_string()).unwrap();
        kubectl(&["apply", "-f", file.to_str().unwrap()]);
        std::fs::remove_file(file).unwrap();
        Self(name)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        run("kubectl", &["delete", "pv", &self.0, "--wait=false"]);
    }
}

#[test]
fn every_replica_gets_what_was_proven_where_the_volume_of_backups_can_be_mounted_beside_each() {
    let cluster = Cluster::new("shape-shared", &[]);
    let _shared = Shared::of(&cluster);
    let name = backed_up_and_lost(&cluster);
    let restored = cluster.plugin(&["restore", &name, "--yes", "--refill", "all"]).ends_with(0);
    let restored = restored.says("copy the restored data to the volumes of mariadb-server-1, mariadb-server-2");
    assert!(!restored.stderr.contains("instead"), "{}", restored.stderr);
    all_serve(&cluster, 3);
    for pod in ["mariadb-server-1", "mariadb-server-2"] {
        // It only asked for the write-sets since the proof; its script for a whole transfer said so, too.
        let logs = cluster.kubectl(&["logs", pod]);
        assert!(logs.contains("IST received"), "{pod} says nothing of an incremental transfer: {logs}");
        assert!(!logs.contains("SST completed on joiner"), "{pod} needed a whole state transfer: {logs}");
    }
    is_back(&cluster, 3);
    nothing_is_left(&cluster, 3);
}

#[test]
fn a_runner_killed_while_it_copies_to_another_replica_leaves_that_one_to_a_state_transfer() {
    let cluster = Cluster::new("shape-fill", &[]);
    let _shared = Shared::of(&cluster);
    let name = backed_up_and_lost(&cluster);
    let slow = [1, 2].map(|n| format!("mysql-data-mariadb-server-{n}"));
    let restore = ordered(&cluster, &name, &["--refill", "all"]);
    until_in(&cluster, &restore, &["stopping"]);
    for claim in &slow {
        ground(&["fault", "volume-slow", "--namespace", &cluster.namespace, claim, "--bps", "10000000"]);
    }
    let runner = restore.refiller("fill");
    restore.until_reported(&runner, "bytes are copied", |event| event["doneBytes"].as_u64() > Some(0));
    restore.signal(Who::Runner, &runner, Signal::Kill);
    for claim in &slow {
        ground(&["fault", "volume-normal", "--namespace", &cluster.namespace, claim]);
    }
    restore.end().ends_with(0).says("outage ");
    all_serve(&cluster, 3);
    is_back(&cluster, 3);
    nothing_is_left(&cluster, 3);
}

#[test]
fn a_cluster_that_is_scaled_to_0_comes_back_with_as_many_replicas_as_it_has_claims() {
    let cluster = Cluster::with_data();
    let name = backed_up_and_lost(&cluster);
    cluster.kubectl(&["scale", "statefulset", "mariadb-server", "--replicas", "0"]);
    until("the cluster is stopped", || {
        let pods = cluster.kubectl(&["get", "pods", "-l", "application=mariadb", "-o", "name"]);
        pods.is_empty().then_some(())
    });
    let restored = cluster.plugin(&["restore", &name, "--yes"]).ends_with(0);
    restored.says("claims of 3 replicas are there");
    all_serve(&cluster, 3);
    is_back(&cluster, 3);
    nothing_is_left(&cluster, 3);
}
