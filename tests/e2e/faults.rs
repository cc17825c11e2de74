//! What is left when something dies or fills up, and that the next run settles it.

use crate::ground::{Cluster, Ledger, ground, kubectl, only_on_the_ground, run, until};

/// A cluster with enough data that a copy takes a while.
fn with_data() -> Cluster {
    only_on_the_ground();
    let cluster = Cluster::demo();
    cluster.healthy();
    let bytes: u64 = cluster
        .sql(
            "mariadb-server-0",
            "SELECT COALESCE(SUM(data_length), 0) FROM information_schema.tables WHERE table_schema = 'shop'",
        )
        .parse()
        .unwrap();
    if bytes < 250 << 20 {
        ground(&["load", "--namespace", &cluster.namespace, "--mb", "300"]);
    }
    cluster
}

/// SIGKILLs every process of a pod's container; the pod's object stays.
fn kill(cluster: &Cluster, pod: &str, container: &str) {
    ground(&["fault", "kill-container", "--namespace", &cluster.namespace, pod, container]);
}

fn conductor_pod(cluster: &Cluster) -> String {
    let obligation = cluster.obligation().unwrap();
    let job = format!("batch.kubernetes.io/job-name={}", obligation["run"].as_str().unwrap());
    let pods = cluster.kubectl_json(&["get", "pods", "-l", &job]);
    pods["items"][0]["metadata"]["name"].as_str().unwrap().to_owned()
}

#[test]
fn a_killed_run_leaves_an_obligation_and_no_listed_backup_and_the_next_create_settles_it() {
    let cluster = with_data();
    let ledger = Ledger::start(&cluster);
    let before = cluster.listed();
    let create = cluster.start_plugin(&["create"]);
    let runner = cluster.copying_runner();
    let target = cluster.obligation().unwrap()["debt"]["pod"].as_str().unwrap().to_owned();
    // The conductor first: a living one would bring the replica back at once.
    kill(&cluster, &conductor_pod(&cluster), "conductor");
    kill(&cluster, &runner, "runner");
    create.end().ends_with(4);

    let owed = cluster.obligation().expect("a killed run leaves its obligation");
    assert_eq!(owed["debt"]["pod"], target.as_str());
    assert_ne!(cluster.status(&target, "wsrep_desync_count"), "0", "the replica is still desynced");
    assert_eq!(cluster.listed(), before, "a partial backup is listed");

    let second = cluster.plugin(&["create"]).ends_with(0);
    assert!(second.stderr.contains("settling it first"), "{}", second.stderr);
    assert_eq!(cluster.obligation(), None);
    assert_eq!(cluster.listed().len(), before.len() + 1);
    cluster.healthy();
    drop(ledger);
}

#[test]
fn a_killed_runner_is_made_up_for_by_its_conductor() {
    let cluster = with_data();
    let before = cluster.listed();
    let create = cluster.start_plugin(&["create"]);
    let runner = cluster.copying_runner();
    kill(&cluster, &runner, "runner");
    create.end().ends_with(4).says("SIGKILL");
    assert_eq!(cluster.obligation(), None, "the conductor lived and has settled it");
    assert_eq!(cluster.listed(), before, "a partial backup is listed");
    cluster.healthy();
}

#[test]
fn a_deleted_job_brings_its_replica_back() {
    let cluster = with_data();
    let before = cluster.listed();
    let create = cluster.start_plugin(&["create"]);
    cluster.copying_runner();
    let job = cluster.obligation().unwrap()["run"].as_str().unwrap().to_owned();
    cluster.kubectl(&["delete", "job", &job]);
    assert_ne!(create.end().code, 0);
    cluster.healthy();
    assert_eq!(cluster.listed(), before, "a partial backup is listed");
    cluster.plugin(&["create"]).ends_with(0);
    assert_eq!(cluster.obligation(), None);
}

#[test]
fn a_server_killed_in_mid_copy_fails_the_backup_and_nothing_else() {
    let cluster = with_data();
    let before = cluster.listed();
    let create = cluster.start_plugin(&["create"]);
    cluster.copying_runner();
    let target = cluster.obligation().unwrap()["debt"]["pod"].as_str().unwrap().to_owned();
    kill(&cluster, &target, "mariadb");
    create.end().ends_with(4);
    assert_eq!(cluster.listed(), before, "a partial backup is listed");
    cluster.healthy();
    cluster.plugin(&["create"]).ends_with(0);
    assert_eq!(cluster.obligation(), None);
}

#[test]
fn a_full_volume_fails_cleanly() {
    let cluster = with_data();
    let before = cluster.listed();
    let claim = r#"{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"small"},"spec":{
        "accessModes":["ReadWriteOnce"],"storageClassName":"ground-small","resources":{"requests":{"storage":"32Mi"}}}}"#;
    let file = crate::ground::scratch_file("small-claim", claim);
    cluster.kubectl(&["apply", "-f", file.to_str().unwrap()]);
    std::fs::remove_file(file).unwrap();

    cluster.plugin(&["create", "--store-claim", "small"]).ends_with(6).says("bytes free");
    let failed = cluster.plugin(&["create", "--store-claim", "small", "--required-space-ratio", "0.01"]).ends_with(4);
    assert!(failed.stderr.contains("No space left on device"), "{}", failed.stderr);
    assert_eq!(cluster.listed(), before, "a partial backup is listed");
    assert_eq!(cluster.obligation(), None);
    cluster.healthy();
    cluster.kubectl(&["delete", "pvc", "small"]);
}

#[test]
fn of_two_creates_at_once_one_runs_and_one_is_locked_out() {
    let cluster = with_data();
    let before = cluster.listed().len();
    let first = cluster.start_plugin(&["create"]);
    let second = cluster.start_plugin(&["create"]);
    let mut codes = [first.end().code, second.end().code];
    codes.sort_unstable();
    assert_eq!(codes, [0, 11]);
    assert_eq!(cluster.listed().len(), before + 1);
    assert_eq!(cluster.obligation(), None);
    cluster.healthy();
}

#[test]
fn an_api_server_away_in_mid_copy_costs_nothing() {
    let cluster = with_data();
    let before = cluster.listed().len();
    let create = cluster.start_plugin(&["create"]);
    cluster.copying_runner();
    // Shorter than the Lease's term: the conductor keeps it.
    ground(&["fault", "api-down", "--for", "5"]);
    create.end().ends_with(0);
    until("the API answers", || (run("kubectl", &["get", "--raw", "/readyz"]).code == 0).then_some(()));
    assert_eq!(cluster.listed().len(), before + 1);
    assert_eq!(cluster.obligation(), None);
    kubectl(&["wait", "--for=condition=Ready", "node", "--all", "--timeout=120s"]);
    cluster.healthy();
}
