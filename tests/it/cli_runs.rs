//! Commands that have the cluster do something, against an API server that answers as if it had:
//! what is shown of the answer, and the exit code. Every run has ended before it is looked at.

use serde_json::{Value, json};

use crate::loopback_api::{Answer, Api, Asked, galera, plugin};

/// A cluster whose every run ends with these reports and this outcome.
pub(crate) fn cluster(reports: Vec<Value>, outcome: Value) -> Api {
    Api::start(move |path| answer(path, &reports, &ended_pod(&outcome)))
}

/// What such a cluster answers: with the run's reports, and the pod of its conductor.
pub(crate) fn answer(path: &str, reports: &[Value], pod: &Value) -> Answer {
    match path {
        "/apis/apps/v1/namespaces/db/statefulsets" => {
            Answer::ok(&json!({"metadata": {"resourceVersion": "1"}, "items": [galera("one")]}))
        }
        "/apis/apps/v1/namespaces/db/statefulsets/one" => Answer::ok(&statefulset()),
        "/api/v1/namespaces/db/configmaps" => Answer::ok(&json!({"metadata": {}, "items": []})),
        "/api/v1/namespaces/db/configmaps/one-backup" => Answer::ok(&json!({"metadata": {}, "data": {
            "MARIADB_BACKUP_STORE": "both", "MARIADB_BACKUP_S3_BUCKET": "b"}})),
        "/api/v1/namespaces/db/configmaps/one-backup-hash" => Answer::ok(&json!({"metadata": {}, "data": {
            "hash_table": r#"{"base/2000-01-01_00-00-00/backup.mbstream.zst": {"checksum": "aa", "size": 5},
                "incr/2000-01-01_00-00-00/2000-01-02_00-00-00/backup.mbstream.zst": {"checksum": "aa", "size": 5}}"#}})),
        "/api/v1/namespaces/db/persistentvolumeclaims/mariadb-phy-backup-data" => {
            Answer::ok(&json!({"metadata": {}, "status": {"phase": "Bound"}}))
        }
        "/apis/batch/v1/namespaces/db/jobs" => {
            Answer::ok(&json!({"metadata": {"name": "run-x", "resourceVersion": "1"}, "items": [
            {"metadata": {"name": "run-x"}, "status": {"conditions": [{"type": "Complete", "status": "True"}]}}]}))
        }
        "/apis/batch/v1/namespaces/db/cronjobs" => {
            Answer::ok(&json!({"metadata": {"resourceVersion": "1"}, "items": [cron_job()]}))
        }
        "/apis/coordination.k8s.io/v1/namespaces/db/leases" => {
            Answer::ok(&json!({"metadata": {"resourceVersion": "1"}, "items": []}))
        }
        "/apis/batch/v1/namespaces/db/cronjobs/nightly" => Answer::ok(&cron_job()),
        "/api/v1/namespaces/db/pods" => Answer::ok(&json!({"metadata": {"resourceVersion": "1"}, "items": [pod]})),
        "/api/v1/namespaces/db/pods/run-x-pod/log" => Answer::lines(reports),
        path if path.contains("/secrets/") || path.contains("/serviceaccounts/") => {
            Answer::ok(&json!({"metadata": {"name": "there"}}))
        }
        _ => Answer::status(404, "not found"),
    }
}

pub(crate) fn statefulset() -> Value {
    json!({"metadata": {"name": "one", "uid": "set", "annotations": {"mariadb-backup.io/obligation": json!({
            "schema": 1, "run": "run-w", "since": "2000-01-02T00:00:00Z", "debt": {"kind": "desync",
            "pod": "one-2", "podUid": "u", "gcommUuid": "g", "runner": "r"}}).to_string()}},
        "spec": {"replicas": 3, "selector": {}, "serviceName": "s", "volumeClaimTemplates": [{"metadata": {"name": "data"}}],
            "template": {"spec": {"containers": [{"name": "c", "image": "mariadb",
                "volumeMounts": [{"name": "data", "mountPath": "/var/lib/mysql"}]}]}}}})
}

fn cron_job() -> Value {
    let order = json!({"version": 1, "statefulset": "one", "task": {"backup": {"kind": "incremental"}}});
    json!({"metadata": {"name": "nightly", "namespace": "db", "uid": "c", "labels": {
            "app.kubernetes.io/managed-by": "kubectl-mariadb-backup", "mariadb-backup.io/statefulset": "one"}},
        "spec": {"schedule": "30 2 * * *", "timeZone": "Etc/UTC", "suspend": true,
            "jobTemplate": {"metadata": {"labels": {"mariadb-backup.io/schedule": "nightly"}}, "spec": {"template": {"spec":
                {"containers": [{"name": "conductor", "image": "agent", "args": ["conduct", "--order", order.to_string()]}]}}}}}})
}

pub(crate) fn ended_pod(outcome: &Value) -> Value {
    pod("Succeeded", &json!({"terminated": {"exitCode": 0, "message": outcome.to_string()}}))
}

/// The pod of the conductor, whose container is in that state.
pub(crate) fn pod(phase: &str, state: &Value) -> Value {
    json!({"metadata": {"name": "run-x-pod", "uid": "p", "resourceVersion": "1"}, "spec": {"containers": []},
        "status": {"phase": phase, "containerStatuses": [{"name": "conductor", "ready": false, "restartCount": 0,
            "image": "i", "imageID": "i", "state": state}]}})
}

pub(crate) fn report(seq: u32, kind: &Value) -> Value {
    let mut report = json!({"schema": 1, "seq": seq, "time": "2000-01-03T00:00:00Z", "phase": "store"});
    report.as_object_mut().unwrap().extend(kind.as_object().unwrap().clone());
    report
}

/// Shows several commands one after the other.
pub(crate) fn all(server: &Api, lines: &[&[&str]]) -> String {
    let shown = lines.iter().map(|line| {
        let line = [*line, &["-n", "db"]].concat();
        format!("$ {}\n{}", line.join(" "), plugin(&line, server.kubeconfig()))
    });
    shown.collect::<Vec<_>>().join("\n")
}

#[test]
fn what_was_copied_or_removed_is_told_line_by_line() {
    let summary = json!({"schema": 1, "done": {"keep": {
        "removed": ["incr/2000-01-01_00-00-00/2000-01-02_00-00-00", "base/2000-01-01_00-00-00"], "removedCount": 2}}});
    let step = report(1, &json!({"kind": "step", "message": "2 backups to remove"}));
    let server = cluster(vec![step], summary);
    let lines: [&[&str]; 3] =
        [&["delete", "2000-01-01_00-00-00", "--yes"], &["prune", "--yes", "-o", "json"], &["sync", "--no-wait"]];
    insta::assert_snapshot!(all(&server, &lines));
}

#[test]
fn a_warning_of_the_run_is_told_once_and_ends_with_3() {
    let outcome = json!({"schema": 1, "done": {"keep": {"uploaded": ["base/2000-01-01_00-00-00"], "uploadedCount": 1,
        "bytes": 5}}, "warnings": ["backup 2000-01-02_00-00-00 could not be copied: quota"]});
    let warned =
        report(1, &json!({"kind": "warned", "message": "backup 2000-01-02_00-00-00 could not be copied: quota"}));
    insta::assert_snapshot!(all(&cluster(vec![warned], outcome), &[&["sync", "--to", "s3"]]));
}

#[test]
fn a_run_that_is_followed_as_json_gives_one_report_a_line_and_its_outcome_last() {
    let step = report(1, &json!({"kind": "step", "message": "2 backups to copy"}));
    let progress =
        json!({"kind": "progress", "doneBytes": 5, "totalBytes": 5, "writtenBytes": 5, "runner": "run-x-sync-0"});
    let outcome = json!({"schema": 1, "done": {"keep": {"uploaded": ["base/2000-01-01_00-00-00"], "uploadedCount": 1,
        "bytes": 5}}});
    let server = cluster(vec![step, report(2, &progress)], outcome);
    let lines: [&[&str]; 5] = [
        &["sync", "-o", "json"],
        &["create", "-o", "json"],
        &["logs", "run-x", "-o", "json"],
        &["logs", "run-x", "--timestamps"],
        &["sync", "-o", "yaml"],
    ];
    insta::assert_snapshot!(all(&server, &lines));
}

#[test]
fn what_a_tool_wrote_that_failed_is_shown_by_logs_and_not_where_the_error_is_told() {
    let said = |seq, line: &str| report(seq, &json!({"kind": "said", "by": "mariadb-backup", "line": line}));
    let failed = json!({"schema": 1, "failed": {"code": "failed-in-cluster",
        "message": "cannot prepare: mariadb-backup ended with exit code 1"}});
    let server = cluster(vec![said(1, "[00] Loading"), said(2, "[ERROR] no")], failed);
    let lines: [&[&str]; 3] = [&["logs", "run-x"], &["logs", "run-x", "--timestamps"], &["sync"]];
    insta::assert_snapshot!(all(&server, &lines));
}

#[test]
fn a_limit_that_runs_out_is_named_also_where_only_a_plan_was_asked_for() {
    let at_work = pod("Running", &json!({"running": {}}));
    let server = Api::judging(move |asked| answer_at_work(asked, &[], &at_work));
    let restore = ["restore", "2000-01-01_00-00-00", "--statefulset", "one", "--timeout", "1s", "--dry-run"];
    insta::assert_snapshot!(all(&server, &[&["prune", "--dry-run", "--timeout", "1s"], &restore]));
}

/// What a cluster answers whose run is at work: nothing changes there.
pub(crate) fn answer_at_work(asked: &Asked, reports: &[Value], pod: &Value) -> Answer {
    if asked.query.contains("watch=") {
        std::thread::sleep(std::time::Duration::from_secs(1));
        return Answer::lines(&[]);
    }
    answer(&asked.path, reports, pod)
}

#[test]
fn a_catalogue_that_nobody_can_read_or_that_is_lost_is_answered_with_the_way_to_make_it_again() {
    let outcome = json!({"schema": 1, "done": {"verify": {"good": [], "goodCount": 2, "bad": [], "badCount": 0,
        "unlisted": [], "bytes": 10}}});
    let with = |catalogue: Answer| {
        let pod = ended_pod(&outcome);
        Api::start(move |path| match path {
            "/api/v1/namespaces/db/configmaps/one-backup-hash" => catalogue.clone(),
            path => answer(path, &[], &pod),
        })
    };
    let unreadable = with(Answer::ok(&json!({"metadata": {}, "data": {"hash_table": "{"}})));
    let lost = with(Answer::status(404, "not found"));
    let rebuild = ["verify", "--rebuild-catalogue"];
    let of_unreadable = all(&unreadable, &[&["list"], &["restore", "2000-01-01_00-00-00", "--yes"], &rebuild]);
    let of_lost = all(&lost, &[&["list"], &["restore", "2000-01-01_00-00-00", "--yes"], &["verify"], &rebuild]);
    insta::assert_snapshot!(of_unreadable + "\n" + &of_lost);
}

#[test]
fn nothing_owed_and_something_settled() {
    let nothing = cluster(vec![], json!({"schema": 1, "done": {"recover": {"run": null, "what": null}}}));
    let settled = cluster(
        vec![],
        json!({"schema": 1, "done": {"recover": {"run": "run-w", "what": "wsrep_desync=OFF on one-2"}}}),
    );
    insta::assert_snapshot!([all(&nothing, &[&["recover"]]), all(&settled, &[&["recover"]])].join("\n"));
}

#[test]
fn nobody_is_asked_about_a_leader_where_there_is_none_to_choose() {
    let server = cluster(vec![], json!({}));
    let replica = |n: u32| json!({"ordinal": n, "pod": format!("one-{n}"), "claim": format!("data-one-{n}")});
    let debt = json!({"kind": "restore", "backup": "base/2000-01-01_00-00-00", "stage": "rolling-back",
        "leader": replica(0), "others": [replica(1)], "saved": {"replicas": 2, "first": 0}, "stoodAtZero": false, "keepOldData": false,
        "place": {"directory": "mysql"}, "scratch": {"store": ".restore_run-w"}, "lentIsWhole": false,
        "startsAtAnyOrdinal": true, "reached": "joining", "opened": true});
    let owing = Api::start(move |path| {
        let mut set = statefulset();
        let owed = json!({"schema": 1, "run": "run-w", "since": "2000-01-02T00:00:00Z", "debt": debt});
        set["metadata"]["annotations"]["mariadb-backup.io/obligation"] = json!(owed.to_string());
        if path.ends_with("/statefulsets/one") {
            return Answer::ok(&set);
        }
        answer(path, &[], &ended_pod(&json!({})))
    });
    let shown =
        [all(&server, &[&["recover", "--leader", "0"]]), all(&owing, &[&["recover", "--leader", "7", "--yes"]])];
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn a_live_listing_shows_the_stores_and_ends_with_3_where_they_differ() {
    let found = |seq, store: &str, directory: &str| {
        let files = json!({format!("{directory}/backup.mbstream.zst"): {"checksum": "aa", "size": 7}});
        let found = json!({"store": store, "backup": directory, "files": files, "entry": {}});
        report(seq, &json!({"kind": "found", "found": found}))
    };
    let reports = vec![
        report(1, &json!({"kind": "step", "message": "looking"})),
        found(2, "local", "base/2000-01-01_00-00-00"),
        found(3, "s3", "base/1999-12-31_00-00-00"),
    ];
    let outcome = json!({"schema": 1, "done": {"inventory": {"localCount": 1, "s3Count": 1}}});
    let server = cluster(reports, outcome);
    let shown = all(&server, &[&["list", "--live", "--no-headers"]]);
    insta::with_settings!({filters => vec![(r"\d+y(\d+d)?\n", "[age]\n")]}, { insta::assert_snapshot!(shown) });
}

#[test]
fn a_page_of_status_says_what_is_owed_and_ends_with_6() {
    let member = json!({"ready": true, "state": "Synced", "clusterStatus": "Primary", "size": 3, "queue": 0,
        "desyncCount": 1, "seqno": 4711, "version": "10.11.6"});
    let replica = json!({"pod": "one-2", "node": "node-2", "podReady": false, "role": "backup", "member": member,
        "noAnswer": null});
    let outcome = json!({"schema": 1, "done": {"status": {"replicas": [replica],
        "findings": ["one-2 is desynced"]}}});
    let server = cluster(vec![], outcome);
    let shown = [all(&server, &[&["status"]]), all(&server, &[&["status", "-o", "json"]])].join("\n");
    let ages = vec![(r"\d+y(\d+d)?", "[age]"), (r"[\d-]+T02:30:00Z", "[next]")];
    insta::with_settings!({filters => ages}, { insta::assert_snapshot!(shown) });
}

#[test]
fn a_replica_that_cannot_be_asked_leaves_what_kubernetes_knows() {
    let failed = json!({"schema": 1, "failed": {"code": "credentials", "message": "cannot ask replica one-0",
        "causes": ["Access denied"]}});
    let shown = all(&cluster(vec![], failed), &[&["status"]]);
    insta::with_settings!({filters => vec![(r"\d+y(\d+d)?", "[age]")]}, { insta::assert_snapshot!(shown) });
}

#[test]
fn a_schedule_is_found_by_name_changed_and_run_at_once() {
    let server = cluster(vec![], json!({}));
    let lines: [&[&str]; 9] = [
        &["schedule", "list"],
        &["schedule", "list", "-o", "name"],
        &["schedule", "suspend", "nightly"],
        &["schedule", "resume", "nightli"],
        &["schedule", "delete", "cronjob.batch/nightly"],
        &["schedule", "create", "weekly", "--schedule", "@weekly", "--dry-run"],
        &["create", "--from-schedule", "nightly", "--dry-run", "-o", "json"],
        &["create", "--from-schedule", "nightly", "--keep", "3"],
        &["create", "two", "--from-schedule", "nightly"],
    ];
    let printed = vec![(r"mariadb-phy-backup-\d{8}-\d{6}", "mariadb-phy-backup-[printed]")];
    insta::with_settings!({filters => printed}, { insta::assert_snapshot!(all(&server, &lines)) });
}
