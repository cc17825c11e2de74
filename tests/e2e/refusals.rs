//! Bad input and bad states: a clear error with its code, and nothing changed.

use crate::ground::{Cluster, Ran, ground, kubectl, only_on_the_ground, run, scratch_file, until};

/// Everything a refused run must leave as it was, as one text.
fn state_of(cluster: &Cluster) -> String {
    let set = cluster.kubectl_json(&["get", "statefulset", "mariadb-server"]);
    let desynced: Vec<_> =
        (0..3).map(|n| cluster.status(&format!("mariadb-server-{n}"), "wsrep_desync_count")).collect();
    let annotations = &set["metadata"]["annotations"];
    format!("{annotations} {} {desynced:?} {:?}", set["metadata"]["generation"], cluster.listed())
}

#[track_caller]
fn changes_nothing(cluster: &Cluster, refused: impl FnOnce() -> Ran) -> Ran {
    let before = state_of(cluster);
    let ran = refused();
    assert_eq!(state_of(cluster), before, "something was changed by:\n{}", ran.stderr);
    assert!(ran.stderr.contains("error: "), "no error was told:\n{}", ran.stderr);
    ran
}

#[test]
fn a_replica_that_is_not_synced_is_refused_and_a_foreign_desync_is_left_alone() {
    only_on_the_ground();
    let cluster = Cluster::demo();
    cluster.healthy();
    cluster.sql("mariadb-server-1", "SET GLOBAL wsrep_desync = ON");
    until("the replica is desynced", || {
        (cluster.status("mariadb-server-1", "wsrep_local_state_comment") == "Donor/Desynced").then_some(())
    });
    changes_nothing(&cluster, || cluster.plugin(&["create"]).ends_with(6)).says("mariadb-server-1 is Donor/Desynced");
    assert_ne!(cluster.status("mariadb-server-1", "wsrep_desync_count"), "0", "somebody else's desync was ended");
    cluster.sql("mariadb-server-1", "SET GLOBAL wsrep_desync = OFF");
    cluster.healthy();
}

#[test]
fn an_unknown_context_and_an_unknown_namespace_are_named() {
    only_on_the_ground();
    let cluster = Cluster::demo();
    changes_nothing(&cluster, || cluster.plugin(&["create", "--context", "nowhere"]).ends_with(1)).says("nowhere");
    let ran = run("kubectl", &["mariadb-backup", "create", "-n", "nowhere"]).ends_with(1);
    ran.says("nowhere").says("hint: ");
}

#[test]
fn a_wrong_password_is_a_matter_of_credentials() {
    only_on_the_ground();
    let cluster = Cluster::demo();
    for (secret, flag) in [("wrong-operator", "--operator-secret"), ("wrong-backup", "--backup-secret")] {
        run("kubectl", &["delete", "secret", secret, "-n", &cluster.namespace, "--ignore-not-found"]);
        let literals = ["--from-literal=username=backup", "--from-literal=password=wrong"];
        cluster.kubectl(&[&["create", "secret", "generic", secret][..], &literals].concat());
        changes_nothing(&cluster, || cluster.plugin(&["create", flag, secret]).ends_with(12)).says("1045");
        cluster.kubectl(&["delete", "secret", secret]);
    }
}

#[test]
fn a_claim_that_cannot_be_bound_is_refused_with_its_reason() {
    only_on_the_ground();
    let cluster = Cluster::demo();
    let claim = r#"{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"never"},"spec":{
        "accessModes":["ReadWriteOnce"],"storageClassName":"ground-none","resources":{"requests":{"storage":"1Gi"}}}}"#;
    let file = scratch_file("never-claim", claim);
    cluster.kubectl(&["apply", "-f", file.to_str().unwrap()]);
    std::fs::remove_file(file).unwrap();
    changes_nothing(&cluster, || cluster.plugin(&["create", "--store-claim", "never"]).ends_with(6)).says("never");
    cluster.kubectl(&["delete", "pvc", "never"]);
    changes_nothing(&cluster, || cluster.plugin(&["create", "--store-claim", "missing"]).ends_with(10)).says("missing");
}

#[test]
fn a_user_without_rights_is_told_which_one_is_missing() {
    only_on_the_ground();
    let cluster = Cluster::demo();
    let ran = changes_nothing(&cluster, || cluster.plugin(&["create", "--as", "nobody"]).ends_with(1));
    ran.says("forbidden").says("hint: ");
}

#[test]
fn two_clusters_in_a_namespace_have_to_be_told_apart() {
    only_on_the_ground();
    let cluster = Cluster::demo();
    let mut copy = cluster.kubectl_json(&["get", "statefulset", "mariadb-server"]);
    copy["metadata"] = serde_json::json!({"name": "mariadb-other", "namespace": cluster.namespace});
    copy["spec"]["replicas"] = serde_json::json!(0);
    let file = scratch_file("second-cluster", &copy.to_string());
    kubectl(&["apply", "-f", file.to_str().unwrap()]);
    std::fs::remove_file(file).unwrap();
    // Its settings are what would tell them apart, so this asks without any.
    let settings = cluster.kubectl(&["get", "configmap", "mariadb-server-backup", "-o", "json"]);
    cluster.kubectl(&["delete", "configmap", "mariadb-server-backup"]);
    let ran = cluster.plugin(&["create"]);
    let saved = scratch_file("settings", &settings);
    kubectl(&["create", "-f", saved.to_str().unwrap()]);
    std::fs::remove_file(saved).unwrap();
    kubectl(&["delete", "statefulset", "mariadb-other", "-n", &cluster.namespace]);
    ran.ends_with(2).says("mariadb-other").says("mariadb-server");
}

#[test]
fn a_server_image_without_the_tool_is_refused_by_name() {
    only_on_the_ground();
    let cluster = Cluster::new("toolless", &["--without-tool"]);
    cluster.healthy();
    changes_nothing(&cluster, || cluster.plugin(&["create"]).ends_with(6)).says("mariadb-backup");
    assert_eq!(cluster.obligation(), None);
}

#[test]
fn a_missing_grant_is_named_before_anything_is_touched() {
    let cluster = Cluster::with_data();
    let [other, _] = cluster.others();
    cluster.sql(&other, "REVOKE RELOAD ON *.* FROM backup");
    let before = state_of(&cluster);
    let refused = cluster.plugin(&["create"]);
    cluster.sql(&other, "GRANT RELOAD ON *.* TO backup");
    refused.ends_with(6).says("RELOAD");
    assert_eq!(state_of(&cluster), before);
    cluster.plugin(&["create"]).ends_with(0);
}

#[test]
fn a_server_set_to_abort_backups_is_refused() {
    let cluster = Cluster::with_data();
    let target = cluster.target();
    cluster.sql(&target, "SET GLOBAL wsrep_mode = 'BF_ABORT_MARIABACKUP'");
    let before = state_of(&cluster);
    let refused = cluster.plugin(&["create"]);
    cluster.sql(&target, "SET GLOBAL wsrep_mode = ''");
    refused.ends_with(6).says(&target).says("BF_ABORT_MARIABACKUP");
    assert_eq!(state_of(&cluster), before);
}

#[test]
fn the_last_replica_that_could_send_a_state_transfer_is_not_taken_out_and_every_finding_is_told() {
    let cluster = Cluster::with_data();
    let others = cluster.others();
    for other in &others {
        cluster.sql(other, "SET GLOBAL wsrep_desync = ON");
        until("the replica is desynced", || (cluster.status(other, "wsrep_desync_count") == "1").then_some(()));
    }
    let refused = cluster.plugin(&["create"]);
    for other in &others {
        assert_eq!(cluster.status(other, "wsrep_desync_count"), "1", "somebody else's desync was ended");
        cluster.sql(other, "SET GLOBAL wsrep_desync = OFF");
    }
    let refused = refused.ends_with(6).says("fewer than two replicas are Synced");
    assert!(
        others.iter().all(|other| refused.stderr.contains(other)),
        "not every finding is told:\n{}",
        refused.stderr
    );
    cluster.healthy();
    assert_eq!(cluster.obligation(), None);
}

#[test]
fn a_replica_outside_the_primary_component_is_found() {
    let cluster = Cluster::with_data();
    let [other, _] = cluster.others();
    cluster.sql(&other, "SET GLOBAL wsrep_provider_options = 'gmcast.isolate=1'");
    until("it is alone", || (cluster.status(&other, "wsrep_cluster_status") == "non-Primary").then_some(()));
    let refused = cluster.plugin(&["create"]);
    cluster.sql(&other, "SET GLOBAL wsrep_provider_options = 'gmcast.isolate=0'");
    refused.ends_with(6).says(&other).says("non-Primary");
    cluster.healthy();
    assert_eq!(cluster.obligation(), None);
}

#[test]
fn files_that_belong_to_another_server_are_not_copied() {
    let cluster = Cluster::with_data();
    let claim = format!("mysql-data-{}", cluster.target());
    let view = std::path::PathBuf::from(ground(&["volume-path", &claim])).join("mysql/gvwstate.dat");
    let own = std::fs::read_to_string(&view).unwrap();
    let line = own.lines().find(|line| line.starts_with("my_uuid:")).unwrap();
    let before = state_of(&cluster);
    std::fs::write(&view, own.replace(line, "my_uuid: 00000000-0000-11ee-8000-000000000000")).unwrap();
    let refused = cluster.plugin(&["create"]);
    std::fs::write(&view, &own).unwrap();
    refused.ends_with(6).says("belong to member");
    assert_eq!(state_of(&cluster), before);
    cluster.plugin(&["create"]).ends_with(0);
}

#[test]
fn a_replica_the_volume_cannot_be_mounted_beside_is_refused_with_both_nodes() {
    let cluster = Cluster::with_data();
    // From here on the claim is bound to the node of the replica that was copied.
    cluster.plugin(&["create"]).ends_with(0);
    let [other, _] = cluster.others();
    let node_of = |pod: &str| {
        let pod = cluster.kubectl_json(&["get", "pod", pod]);
        pod["spec"]["nodeName"].as_str().unwrap().to_owned()
    };
    let refused = changes_nothing(&cluster, || cluster.plugin(&["create", "--replica", &other]).ends_with(6));
    refused.says(&node_of(&other)).says(&node_of(&cluster.target()));
}
