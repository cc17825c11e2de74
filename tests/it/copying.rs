//! How a cluster is shown while a backup is taken of it: its replica is out of the group, and nothing is wrong.

use mariadb_backup::backup::findings;
use mariadb_backup::model::cluster::{ClusterView, PodView, ServerSpec};
use mariadb_backup::model::galera::Member;
use serde_json::{Value, json};

use crate::cli_runs::{all, answer, ended_pod, statefulset};
use crate::cli_views::in_namespace;
use crate::loopback_api::{Answer, Api, plugin};

fn pod(ordinal: u32) -> Value {
    json!({"metadata": {"name": format!("one-{ordinal}"), "uid": format!("u{ordinal}"), "namespace": "db",
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "one", "uid": "set"}]},
        "spec": {"containers": [], "nodeName": format!("node-{}", ordinal % 2)},
        "status": {"phase": "Running", "podIP": format!("10.0.0.{ordinal}"),
            "conditions": [{"type": "Ready", "status": if ordinal == 2 { "False" } else { "True" }}]}})
}

/// What the replicas say of themselves then, as the findings of a real look.
fn status_report() -> Value {
    let pod = |ordinal: u32| PodView {
        name: format!("one-{ordinal}"),
        ordinal,
        uid: format!("u{ordinal}"),
        ip: None,
        node: Some(format!("node-{ordinal}")),
        ready: ordinal != 2,
        terminating: false,
        role: None,
        claim: None,
    };
    let view = ClusterView {
        namespace: "db".to_owned(),
        statefulset: "one".to_owned(),
        uid: "set".to_owned(),
        replicas: 3,
        pods: (0..3).map(pod).collect(),
        server: ServerSpec::default(),
        flavour: mariadb_backup::model::workload::Flavour::Plain,
        obligation: None,
        last_restore: None,
    };
    let state = |ordinal| if ordinal == 2 { "Donor/Desynced" } else { "Synced" };
    let member = |ordinal| Member {
        ready: true,
        connected: true,
        cluster_status: "Primary".to_owned(),
        state: state(ordinal).to_owned(),
        cluster_size: 3,
        desync_count: u32::from(ordinal == 2),
        ..Member::default()
    };
    let members: Vec<_> = (0..3).map(|ordinal| (format!("one-{ordinal}"), Ok(member(ordinal)))).collect();
    let found = findings::among(&view, &members);
    assert_eq!(found.len(), 2, "{found:?}");
    let follow = found.iter().filter(|finding| finding.follows_from_desync_of("one-2", 2));
    let follow: Vec<String> = follow.map(ToString::to_string).collect();
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    let replica = |ordinal: u32| {
        json!({"pod": format!("one-{ordinal}"), "node": format!("node-{ordinal}"), "podReady": ordinal != 2, "role": null,
            "noAnswer": null, "member": {"ready": true, "state": state(ordinal), "clusterStatus": "Primary", "size": 3,
                "queue": 0, "desyncCount": 0, "seqno": 4711, "version": "10.11.6"}})
    };
    let replicas: Vec<Value> = (0..3).map(replica).collect();
    json!({"replicas": replicas, "findings": found, "desynced": {"pod": "one-2", "findings": follow}})
}

/// A cluster of three whose last replica a run has desynced; that run lives, or has died.
fn desynced(is_alive: bool) -> Api {
    let outcome = json!({"schema": 1, "done": {"status": status_report()}});
    Api::judging(move |asked| match asked.path.as_str() {
        "/apis/apps/v1/statefulsets" => {
            Answer::ok(&json!({"metadata": {}, "items": [in_namespace(statefulset(), "db")]}))
        }
        "/apis/batch/v1/namespaces/db/jobs" => {
            let end = json!([{"type": "Failed", "status": "True"}]);
            let conditions = if is_alive { json!([]) } else { end };
            let labels = json!({"mariadb-backup.io/task": "backup"});
            let asks = json!({"metadata": {"name": "run-x"}, "status": {"conditions": [{"type": "Complete", "status": "True"}]}});
            let backup = json!({"metadata": {"name": "run-w", "labels": labels}, "status": {"conditions": conditions}});
            Answer::ok(&json!({"metadata": {"name": "run-x", "resourceVersion": "1"}, "items": [asks, backup]}))
        }
        "/api/v1/namespaces/db/pods" if asked.query.is_empty() => {
            Answer::ok(&json!({"metadata": {"resourceVersion": "1"}, "items": [pod(0), pod(1), pod(2)]}))
        }
        path => answer(path, &[], &ended_pod(&outcome)),
    })
}

#[test]
fn a_cluster_of_which_a_backup_is_taken_calls_nobody_and_one_whose_backup_has_died_does() {
    let lines: [&[&str]; 3] = [&["status", "one", "-n", "db"], &["status", "-A"], &["status", "-A", "-o", "json"]];
    for line in lines {
        let living = plugin(line, desynced(true).kubeconfig());
        assert!(living.starts_with("exit 0\n"), "{line:?}: {living}");
        assert!(!living.contains("erson") && living.contains("desync"), "{line:?}: {living}");
        let dead = plugin(line, desynced(false).kubeconfig());
        assert!(dead.starts_with("exit 6\n") && dead.contains("erson"), "{line:?}: {dead}");
    }
    let page = plugin(lines[0], desynced(true).kubeconfig());
    assert!(page.contains("one-2   node-2   False   <none>   Donor/Desynced"), "its state is still shown: {page}");
}

#[test]
fn a_node_with_two_replicas_is_named_once() {
    let wide = plugin(&["status", "-A", "-o", "jsonpath={.items[*].replicas[*].node}"], desynced(true).kubeconfig());
    assert!(wide.contains("node-0 node-1 node-0"), "{wide}");
    let wide = plugin(&["status", "-A", "-o", "wide"], desynced(true).kubeconfig());
    assert!(wide.contains(" node-0,node-1\n"), "{wide}");
}

/// A cluster that a run restores, or has left in the middle of that.
fn being_restored(is_alive: bool) -> Api {
    let owed = json!({"schema": 1, "run": "run-w", "since": "2026-01-03T12:00:00Z", "debt": {"kind": "restore",
        "backup": "base/2000-01-01_00-00-00", "stage": "starting", "reached": "starting", "others": [],
        "leader": {"ordinal": 0, "pod": "one-0", "claim": "data-one-0"}, "saved": {"replicas": 3, "first": 0},
        "place": {"directory": "mysql"}, "scratch": "beside"}});
    let mut set = statefulset();
    set["metadata"]["annotations"]["mariadb-backup.io/obligation"] = json!(owed.to_string());
    Api::start(move |path| match path {
        "/apis/apps/v1/namespaces/db/statefulsets/one" => Answer::ok(&set),
        "/apis/batch/v1/namespaces/db/jobs/run-w" if is_alive => {
            Answer::ok(&json!({"metadata": {"name": "run-w"}, "status": {}}))
        }
        path => answer(path, &[], &json!({"metadata": {"name": "other"}})),
    })
}

#[test]
fn a_restore_beside_one_that_is_at_work_is_locked_out_and_beside_one_that_was_left_is_told_what_settles_it() {
    let lines: [&[&str]; 4] = [
        &["restore", "2000-01-01_00-00-00", "--statefulset", "one", "--dry-run"],
        &["restore", "2000-01-01_00-00-00", "--statefulset", "one", "--yes"],
        &["restore", "nope", "--statefulset", "one", "--dry-run"],
        &["restore", "nope", "--statefulset", "one", "--yes"],
    ];
    for line in lines {
        let shown = all(&being_restored(true), &[line]);
        assert!(shown.contains("exit 11\n") && !shown.contains("recover"), "{shown}");
    }
    let left = all(&being_restored(false), &[lines[0], lines[2], lines[3]]);
    insta::assert_snapshot!(all(&being_restored(true), &lines[..1]) + "\n" + &left, @r"
    $ restore 2000-01-01_00-00-00 --statefulset one --dry-run -n db
    exit 11
    --- stdout
    --- stderr
    error: run run-w restores 2000-01-01_00-00-00 since 2026-01-03T12:00:00Z, and nothing else can be restored before it has ended
      it is starting the restored data on one replica
    hint: kubectl mariadb-backup logs run-w -n db

    $ restore 2000-01-01_00-00-00 --statefulset one --dry-run -n db
    exit 6
    --- stdout
    --- stderr
    Run run-w began to restore 2000-01-01_00-00-00 at 2026-01-03T12:00:00Z and has ended while starting the restored data on one replica.
    To finish it, or to bring the old cluster back:
      kubectl mariadb-backup recover --statefulset one -n db

    $ restore nope --statefulset one --dry-run -n db
    exit 6
    --- stdout
    --- stderr
    Run run-w began to restore 2000-01-01_00-00-00 at 2026-01-03T12:00:00Z and has ended while starting the restored data on one replica.
    nope is another backup; it cannot be restored before that restore is at its end.
    To finish it, or to bring the old cluster back:
      kubectl mariadb-backup recover --statefulset one -n db

    $ restore nope --statefulset one --yes -n db
    exit 6
    --- stdout
    --- stderr
    Run run-w began to restore 2000-01-01_00-00-00 at 2026-01-03T12:00:00Z and has ended while starting the restored data on one replica.
    error: another restore is not at its end, and it has to be before this one can begin
    hint: kubectl mariadb-backup recover --statefulset one -n db
    ");
}
