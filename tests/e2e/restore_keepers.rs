//! Who starts a cluster again while it is restored, or deletes its volumes: autoscalers, operators, GitOps
//! tools, people.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::ground::{Cluster, kubectl, run, scratch_file};
use crate::restores::{backed_up_and_lost, incarnations, is_as_it_was, is_back, nothing_is_left, ordered, until_in};

#[test]
fn a_cluster_that_somebody_starts_again_in_the_middle_is_stopped_again() {
    let cluster = Cluster::with_data();
    let name = backed_up_and_lost(&cluster);
    let run = ordered(&cluster, &name, &[]);
    until_in(&cluster, &run, &["stopping"]);
    cluster.kubectl(&["scale", "statefulset", "mariadb-server", "--replicas", "3"]);
    run.end().ends_with(0);
    cluster.healthy();
    is_back(&cluster, 3);
    nothing_is_left(&cluster, 3);
}

#[test]
fn a_stateful_set_that_would_delete_its_claims_is_refused() {
    let cluster = Cluster::with_data();
    let name = backed_up_and_lost(&cluster);
    let before = incarnations(&cluster);
    let policy =
        |when: &str| format!("{{\"spec\":{{\"persistentVolumeClaimRetentionPolicy\":{{\"whenScaled\":\"{when}\"}}}}}}");
    cluster.kubectl(&["patch", "statefulset", "mariadb-server", "--type", "merge", "-p", &policy("Delete")]);
    let refused = cluster.plugin(&["restore", &name, "--yes"]);
    cluster.kubectl(&["patch", "statefulset", "mariadb-server", "--type", "merge", "-p", &policy("Retain")]);
    refused.ends_with(6).says("whenScaled: Delete");
    assert_eq!(incarnations(&cluster), before, "a server was restarted");
    nothing_is_left(&cluster, 3);
}

#[test]
fn a_stateful_set_that_a_gitops_tool_keeps_is_refused_until_somebody_says_that_it_is_paused() {
    let cluster = Cluster::with_data();
    let name = backed_up_and_lost(&cluster);
    let mark = "argocd.argoproj.io/tracking-id";
    let tracked = format!("{mark}=shop:apps/StatefulSet:demo/mariadb-server");
    cluster.kubectl(&["annotate", "statefulset", "mariadb-server", &tracked]);
    let asked = cluster.plugin(&["restore", &name, "--dry-run"]);
    let jobs = cluster.kubectl(&["get", "jobs", "--sort-by=.metadata.creationTimestamp", "-o", "name"]);
    let refused = cluster.plugin(&["restore", &name, "--yes"]);
    let paused = cluster.plugin(&["restore", &name, "--dry-run", "--gitops-paused"]);
    cluster.kubectl(&["annotate", "statefulset", "mariadb-server", &format!("{mark}-")]);
    asked.ends_with(6).says("Argo CD application shop");
    // Whoever only asked has an answer, and nobody is called for a Job that failed.
    cluster.kubectl(&["wait", "--for=condition=Complete", jobs.lines().last().unwrap(), "--timeout=60s"]);
    refused.ends_with(6).says("Argo CD application shop").says("argocd app set shop --sync-policy none");
    assert!(paused.ends_with(0).stdout.contains("resume it when the restore is done"));
    nothing_is_left(&cluster, 3);
}

/// A kind as that of an operator, and an object of it that owns the StatefulSet.
fn owned_by_an_operator(cluster: &Cluster) {
    let definition = serde_json::json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "mariadbs.k8s.mariadb.com"},
        "spec": {
            "group": "k8s.mariadb.com", "scope": "Namespaced",
            "names": {"kind": "MariaDB", "singular": "mariadb", "plural": "mariadbs"},
            "versions": [{
                "name": "v1alpha1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            }],
        },
    });
    let object = serde_json::json!({
        "apiVersion": "k8s.mariadb.com/v1alpha1", "kind": "MariaDB", "metadata": {"name": "shop"},
    });
    for (name, what) in [("definition", definition), ("object", object)] {
        let file = scratch_file(name, &what.to_string());
        cluster.kubectl(&["apply", "-f", file.to_str().unwrap()]);
        std::fs::remove_file(file).unwrap();
        kubectl(&["wait", "--for=condition=Established", "crd/mariadbs.k8s.mariadb.com", "--timeout=60s"]);
    }
    let uid = cluster.kubectl(&["get", "mariadb", "shop", "-o", "jsonpath={.metadata.uid}"]);
    let owner = serde_json::json!({
        "apiVersion": "k8s.mariadb.com/v1alpha1", "kind": "MariaDB", "name": "shop", "uid": uid.trim(), "controller": true,
    });
    owners(cluster, &serde_json::json!([owner]));
}

fn owners(cluster: &Cluster, owners: &serde_json::Value) {
    let patch = serde_json::json!({"metadata": {"ownerReferences": owners}}).to_string();
    cluster.kubectl(&["patch", "statefulset", "mariadb-server", "--type", "merge", "-p", &patch]);
}

#[test]
fn a_stateful_set_of_an_operator_is_refused_until_somebody_says_that_it_is_suspended() {
    let cluster = Cluster::with_data();
    let name = backed_up_and_lost(&cluster);
    owned_by_an_operator(&cluster);
    let refused = cluster.plugin(&["restore", &name, "--yes"]);
    let its_own_way = cluster.plugin(&["restore", &name, "--yes", "--operator-suspended"]);
    let told = cluster.plugin(&["restore", &name, "--dry-run", "--operator-suspended", "--flavour", "plain"]);
    owners(&cluster, &serde_json::json!([]));
    kubectl(&["delete", "crd", "mariadbs.k8s.mariadb.com"]);
    refused.ends_with(6).says("the operator of MariaDB shop").says("kubectl patch mariadb shop -n demo --type merge");
    its_own_way.ends_with(6).says("1-bootstrap.cnf");
    assert!(told.ends_with(0).stdout.contains("resume it when the restore is done"));
    nothing_is_left(&cluster, 3);
}

#[test]
fn who_scales_the_cluster_back_all_the_time_never_gets_a_half_filled_volume_started() {
    let cluster = Cluster::with_data();
    let name = backed_up_and_lost(&cluster);
    let is_over = AtomicBool::new(false);
    let ran = std::thread::scope(|scope| {
        let restore = ordered(&cluster, &name, &["--restore-stop-timeout", "60s"]);
        until_in(&cluster, &restore, &["stopping"]);
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let namespace = ["-n", &cluster.namespace];
                run(
                    "kubectl",
                    &[&["scale", "statefulset", "mariadb-server", "--replicas", "3"][..], &namespace].concat(),
                );
                std::thread::sleep(Duration::from_secs(1));
            }
        });
        let ran = restore.end();
        is_over.store(true, Ordering::Relaxed);
        ran
    });
    let is_done = ran.code == 0;
    if !is_done {
        // Whose turn it is when the time is over is a matter of luck.
        assert!([14, 15].contains(&ran.code), "{}", ran.code);
        let ran = ran.says("so somebody else scales it");
        if ran.code == 15 {
            ran.says("mariadb-backup recover");
            cluster.plugin(&["recover"]).ends_with(14);
        }
    }
    cluster.healthy();
    if is_done {
        is_back(&cluster, 3);
    } else {
        is_as_it_was(&cluster);
    }
    nothing_is_left(&cluster, 3);
}

#[test]
fn an_autoscaler_that_would_start_the_cluster_again_is_refused() {
    let cluster = Cluster::with_data();
    let name = backed_up_and_lost(&cluster);
    cluster.kubectl(&["autoscale", "statefulset", "mariadb-server", "--min", "3", "--max", "5"]);
    let refused = cluster.plugin(&["restore", &name, "--yes"]);
    cluster.kubectl(&["delete", "horizontalpodautoscaler", "mariadb-server"]);
    refused.ends_with(6).says("delete horizontalpodautoscaler mariadb-server");
    nothing_is_left(&cluster, 3);
}
