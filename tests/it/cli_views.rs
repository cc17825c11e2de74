//! Listings and pages in every form: tables, templates, several clusters, watching, one backup, an archive.

use std::io::Read;

use serde_json::{Value, json};

use crate::cli_runs::{all, cluster, report};
use crate::loopback_api::{Answer, Api, galera, plugin};

/// The catalogue of a cluster with backups of those days.
pub(crate) fn catalogue(days: &[u32]) -> Value {
    let file = |day: &u32| {
        (format!("base/2000-01-{day:02}_00-00-00/backup.mbstream.zst"), json!({"checksum": "aa", "size": 5 << 20}))
    };
    let entry = |day: &u32| {
        (format!("base/2000-01-{day:02}_00-00-00"), json!({"durationSecs": 0, "s3": "present", "streamBytes": 9 << 20}))
    };
    let files: serde_json::Map<String, Value> = days.iter().map(file).collect();
    let entries: serde_json::Map<String, Value> = days.iter().map(entry).collect();
    json!({"metadata": {"name": "one-backup-hash", "namespace": "db", "resourceVersion": "1"}, "data": {
        "hash_table": Value::Object(files).to_string(), "backups": Value::Object(entries).to_string(),
        "room": json!({"freeBytes": 50 << 20, "totalBytes": 100 << 20, "at": "2000-01-03T00:00:00Z"}).to_string()}})
}

pub(crate) fn in_namespace(mut object: Value, namespace: &str) -> Value {
    object["metadata"]["namespace"] = json!(namespace);
    object
}

/// Two clusters in two namespaces: one with backups, one that was never backed up.
pub(crate) fn two_clusters() -> Api {
    Api::start(of_two_clusters)
}

/// What is answered where they are.
pub(crate) fn of_two_clusters(path: &str) -> Answer {
    match path {
        "/apis/apps/v1/statefulsets" | "/apis/apps/v1/namespaces/db/statefulsets" => {
            let sets = [in_namespace(galera("one"), "db"), in_namespace(galera("two"), "shop")];
            let here = if path.contains("/db/") { &sets[..1] } else { &sets[..] };
            Answer::ok(&json!({"metadata": {}, "items": here}))
        }
        "/apis/apps/v1/namespaces/db/statefulsets/one" => Answer::ok(&set("one", 3)),
        "/apis/apps/v1/namespaces/shop/statefulsets/two" => Answer::ok(&set("two", 1)),
        "/api/v1/namespaces/db/configmaps/one-backup-hash" => Answer::ok(&catalogue(&[1, 2, 3])),
        "/api/v1/namespaces/attic/configmaps/old-backup-hash" => Answer::ok(&catalogue(&[4])),
        "/api/v1/configmaps" => {
            let map = |name: &str, namespace: &str| json!({"metadata": {"name": name, "namespace": namespace}});
            let left = [map("one-backup-hash", "db"), map("old-backup-hash", "attic"), map("two-backup", "shop")];
            Answer::ok(&json!({"metadata": {}, "items": left}))
        }
        path if path.ends_with("/pods") => Answer::ok(&json!({"metadata": {}, "items": []})),
        path if path.ends_with("/jobs") || path.ends_with("/cronjobs") => {
            Answer::ok(&json!({"metadata": {}, "items": []}))
        }
        _ => Answer::status(404, "not found"),
    }
}

pub(crate) fn set(name: &str, replicas: u32) -> Value {
    let mut set = galera(name);
    set["metadata"]["uid"] = json!("uid");
    set["spec"]["replicas"] = json!(replicas);
    set["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] =
        json!([{"name": "data", "mountPath": "/var/lib/mysql"}]);
    set
}

/// Ages grow, and the columns they stand in with them.
pub(crate) fn ages() -> Vec<(&'static str, &'static str)> {
    vec![
        (r"\d+y(\d+d)? +", "[age]   "),
        (r"\d+y(\d+d)?", "[age]"),
        (r"<none> +", "<none>   "),
        (r"FULL +INCREMENT", "FULL   INCREMENT"),
    ]
}

#[test]
fn a_list_can_be_had_in_every_form_that_kubectl_knows() {
    let server = two_clusters();
    let lines: [&[&str]; 8] = [
        &["list"],
        &["list", "-o", "wide", "--no-headers"],
        &["list", "-o", "json"],
        &["list", "-o", "jsonpath={range .items[?(@.sizeBytes>1)]}{.name}{\"\\t\"}{.statefulset}{\"\\n\"}{end}"],
        &["list", "-o", "jsonpath={.items[*].name}"],
        &["list", "-o", "custom-columns=NAME:.name,BYTES:.sizeBytes,BASE:.base"],
        &["list", "-o", "custom-columns=NAME:.name", "--no-headers"],
        &["list", "-o", "name"],
    ];
    insta::with_settings!({filters => ages()}, { insta::assert_snapshot!(all(&server, &lines)) });
}

#[test]
fn clusters_of_all_namespaces_are_shown_at_once() {
    let server = two_clusters();
    let lines: [&[&str]; 9] = [
        &["list", "-A"],
        &["list", "-l", "app=one"],
        &["list", "-A", "-o", "json"],
        &["status", "-A"],
        &["status", "-A", "-o", "wide"],
        &["status", "-A", "-o", "name"],
        &["status", "-l", "app=one", "--no-headers"],
        &["status", "-A", "-o", "json"],
        &["status", "-A", "-o", "custom-columns=NS:.namespace,NAME:.statefulset,HEALTH:.health,FULL:.fullInDays"],
    ];
    insta::with_settings!({filters => ages()}, { insta::assert_snapshot!(all(&server, &lines)) });
}

#[test]
fn where_there_is_no_cluster_it_is_said_and_is_no_error() {
    let none = Api::start(|path| match path {
        "/apis/apps/v1/statefulsets" | "/apis/apps/v1/namespaces/db/statefulsets" | "/api/v1/configmaps" => {
            Answer::ok(&json!({"metadata": {}, "items": []}))
        }
        "/api/v1/namespaces/db" => Answer::ok(&json!({"metadata": {"name": "db"}})),
        _ => Answer::status(404, "not found"),
    });
    let lines: [&[&str]; 3] = [&["list", "-A"], &["list", "-l", "app=one"], &["status", "-A", "-l", "app=one"]];
    insta::assert_snapshot!(all(&none, &lines));
}

#[test]
fn schedules_of_all_namespaces_are_listed_in_every_form_that_kubectl_knows() {
    let cron_job = |namespace: &str, name: &str, cluster: &str| {
        json!({"metadata": {"name": name, "namespace": namespace, "creationTimestamp": "2000-01-01T00:00:00Z", "labels": {
                "app.kubernetes.io/managed-by": "kubectl-mariadb-backup", "mariadb-backup.io/statefulset": cluster}},
            "spec": {"schedule": "30 2 * * *", "suspend": true, "timeZone": "Etc/UTC", "jobTemplate": {}}})
    };
    let of_two = [cron_job("shop", "nightly", "two"), cron_job("db", "weekly", "one"), cron_job("db", "odd", "other")];
    let server = Api::start(move |path| match path {
        "/apis/batch/v1/cronjobs" => Answer::ok(&json!({"metadata": {}, "items": of_two})),
        "/api/v1/namespaces/db" => Answer::ok(&json!({"metadata": {"name": "db"}})),
        "/apis/batch/v1/namespaces/db/cronjobs" => Answer::ok(&json!({"metadata": {}, "items": of_two[1..]})),
        "/apis/apps/v1/statefulsets" => {
            let sets = [in_namespace(galera("one"), "db"), in_namespace(galera("two"), "shop")];
            Answer::ok(&json!({"metadata": {}, "items": sets}))
        }
        "/apis/apps/v1/namespaces/db/statefulsets" => Answer::ok(&json!({"metadata": {}, "items": []})),
        _ => Answer::status(404, "not found"),
    });
    let lines: [&[&str]; 8] = [
        &["schedule", "list"],
        &["schedule", "list", "-A"],
        &["schedule", "list", "-A", "-o", "wide", "--no-headers"],
        &["schedule", "list", "-A", "-o", "name"],
        &["schedule", "list", "-A", "-o", "json"],
        &["schedule", "list", "-A", "-o", "custom-columns=NS:.namespace,NAME:.name,CLUSTER:.statefulset"],
        &["schedule", "list", "-A", "-l", "app=one", "-o", "jsonpath={.items[*].name}"],
        &["schedule", "list", "-l", "app=one"],
    ];
    insta::with_settings!({filters => ages()}, { insta::assert_snapshot!(all(&server, &lines)) });
}

/// What an API server says of its version.
pub(crate) fn version() -> Value {
    json!({"major": "1", "minor": "34", "gitVersion": "v1.34.0", "gitCommit": "", "gitTreeState": "", "buildDate": "",
        "goVersion": "", "compiler": "", "platform": ""})
}

/// A cluster whose servers and whose agent are of those images.
fn of_images(server: &'static str, agent: &'static str) -> Api {
    Api::start(move |path| match path {
        "/apis/apps/v1/namespaces/db/statefulsets/one" => {
            let mut set = galera("one");
            set["spec"]["template"]["spec"]["containers"][0] = json!({"name": "c", "image": server, "volumeMounts": [{"name": "data", "mountPath": "/var/lib/mysql"}]});
            Answer::ok(&set)
        }
        "/api/v1/namespaces/db/configmaps/one-backup" => {
            Answer::ok(&json!({"metadata": {}, "data": {"MARIADB_BACKUP_AGENT_IMAGE": agent}}))
        }
        "/version" => Answer::ok(&version()),
        _ => Answer::status(404, "not found"),
    })
}

#[test]
fn versions_are_those_of_all_that_meet_in_a_cluster_and_an_agent_of_another_one_ends_with_3() {
    let own = of_images("docker.io/library/mariadb:10.11.6-jammy", "agent:0.1.0");
    let other = of_images("mariadb:lts", "registry.example:5000/agent:v0.9.0");
    let unknown = of_images("mariadb", "agent:latest");
    let image = ["version", "one", "-o", "jsonpath={.mariadbImage} {.compatible}{\"\\n\"}"];
    let columns = ["version", "one", "-o", "custom-columns=PLUGIN:.plugin,KUBERNETES:.kubernetes"];
    let shown = [
        all(&own, &[&["version", "one"], &["version", "one", "-o", "json"], &image, &columns]),
        all(&other, &[&["version", "one"], &["version", "one", "-o", "yaml"]]),
        all(&unknown, &[&["version", "one"], &["version", "--client", "-o", "json"], &["version", "two"]]),
    ];
    insta::assert_snapshot!(shown.join("\n"));
}

fn manifest(backup: &str) -> Value {
    json!({"schema": 1, "backup": backup, "started": "2000-01-01T00:00:00Z", "finished": "2000-01-01T00:12:14Z",
        "agentVersion": "0.1.0", "allowUnsafe": false, "source": {"namespace": "db", "statefulset": "one", "replicas": 3,
            "pod": "one-2", "podUid": "u", "node": "node-2", "claim": "data-one-2", "claimUid": "c", "serverImage": "mariadb:10.11"},
        "origin": {"serverVersion": "10.11.6-MariaDB", "toolVersion": "10.11.6", "gcommUuid": "g", "ibdata1Inode": 7,
            "ibdata1BirthNanos": null, "position": "5b2c7e4c-f1d0-11ef-8a4c-0242ac110002:4711",
            "lsn": {"from": 0, "to": 47, "last": 51}},
        "stream": {"bytes": 5_000_000, "members": {}}, "desync": {"windowMillis": 65_000, "beforeMillis": 900,
            "afterMillis": 3000, "resyncMillis": 5000},
        "files": {"backup.mbstream.zst": {"size": 5, "sha256": "aa"}, "mariadb_backup_info": {"size": 200, "sha256": "bb"}}})
}

#[test]
fn everything_about_one_backup_on_a_page_and_as_a_document() {
    let backup = "base/2000-01-01_00-00-00";
    let found = json!({"store": "local", "backup": backup, "files": {}, "entry": {"local": "present", "s3": "absent"},
        "manifest": manifest(backup)});
    let told = report(1, &json!({"kind": "found", "found": found}));
    let server = cluster(vec![told], json!({"schema": 1, "done": {"inventory": {"localCount": 1, "s3Count": 0}}}));
    let lines: [&[&str]; 4] = [
        &["describe", "2000-01-01_00-00-00"],
        &["describe", "backup/2000-01-01_00-00-00", "-o", "json"],
        &["describe", "2000-01-01_00-00-00", "-o", "jsonpath={.manifest.origin.lsn.to}"],
        &["describe", "2000-01-01_00-00-01"],
    ];
    insta::with_settings!({filters => ages()}, { insta::assert_snapshot!(all(&server, &lines)) });
}

#[test]
fn where_the_manifest_cannot_be_read_the_catalogue_s_part_is_shown_with_3() {
    let failed = json!({"schema": 1, "failed": {"code": "failed-in-cluster", "message": "cannot look into the stores",
        "causes": ["the volume is gone"]}});
    let shown = all(&cluster(vec![], failed), &[&["describe", "2000-01-02_00-00-00"]]);
    insta::with_settings!({filters => ages()}, { insta::assert_snapshot!(shown) });
}

#[test]
fn logs_are_data_to_the_last_line_and_a_wrong_name_is_answered_with_a_near_one() {
    let step = report(1, &json!({"kind": "step", "message": "2 backups to remove"}));
    let outcome = json!({"schema": 1, "done": {"keep": {"removed": ["base/2000-01-01_00-00-00"], "removedCount": 1}}});
    let lines: [&[&str]; 5] = [
        &["logs"],
        &["logs", "job/run-x", "-o", "json"],
        &["logs", "run-x", "-o", "yaml"],
        &["logs", "run-y"],
        &["logs", "other"],
    ];
    insta::assert_snapshot!(all(&cluster(vec![step], outcome), &lines));
}

/// What must be in no archive, wherever it stood.
const SECRET: &str = "hunter2-marker";

/// A cluster in which every place where a secret could stand holds one.
fn full_of_secrets() -> Api {
    Api::start(|path| {
        assert!(!path.contains("/secrets"), "{path} was asked for");
        let list = |items: Value| Answer::ok(&json!({"metadata": {}, "items": items}));
        let hidden = |name: &str| {
            json!({"name": name, "namespace": "db", "uid": "u", "annotations": {"x": SECRET,
                "kubectl.kubernetes.io/last-applied-configuration": format!("{{\"env\": \"{SECRET}\"}}")},
                "managedFields": [{"manager": SECRET}]})
        };
        let container = json!({"name": "server", "image": "mariadb", "command": ["sh", "-c", SECRET], "args": [SECRET],
            "env": [{"name": "MYSQL_ROOT_PASSWORD", "value": SECRET}],
            "volumeMounts": [{"name": "data", "mountPath": "/var/lib/mysql"}],
            "livenessProbe": {"exec": {"command": ["mysqladmin", format!("-p{SECRET}")]}}});
        let mut one = set("one", 3);
        one["metadata"] = hidden("one");
        one["spec"]["template"]["spec"]["containers"][0] = container.clone();
        let mut runner = json!({"metadata": hidden("run-x-pod"), "kind": "Pod", "spec": {"containers": [{"name": "conductor", "image": "agent"}]}});
        runner["metadata"]["labels"] = json!({"app.kubernetes.io/managed-by": "kubectl-mariadb-backup"});
        match path {
            "/apis/apps/v1/namespaces/db/statefulsets" => list(json!([one])),
            "/apis/apps/v1/namespaces/db/statefulsets/one" => Answer::ok(&one),
            "/api/v1/namespaces/db/configmaps/one-backup" => Answer::ok(&json!({"metadata": {}, "data": {
                "MARIADB_BACKUPS_TO_KEEP": "3", "MY_OWN": SECRET,
                "MARIADB_BACKUP_S3_ENDPOINT": format!("https://me:{SECRET}@s3.example")}})),
            "/api/v1/namespaces/db/configmaps/one-backup-hash" => Answer::ok(&catalogue(&[1])),
            "/api/v1/namespaces/db/pods" => list(json!([
                {"metadata": hidden("one-0"), "spec": {"containers": [container]},
                    "status": {"phase": "Running", "message": format!("password: {SECRET}")}}, runner])),
            "/api/v1/namespaces/db/pods/run-x-pod/log" => Answer::lines(&[
                json!({"password": SECRET}),
                json!(format!("CREATE USER a IDENTIFIED BY '{SECRET}'")),
                json!(format!("authorization: Bearer {SECRET}")),
                json!({"kind": "step", "message": "3 replicas are Synced"}),
            ]),
            "/apis/batch/v1/namespaces/db/jobs" => list(json!([{"metadata": {"name": "run-x", "labels": {
                "app.kubernetes.io/managed-by": "kubectl-mariadb-backup"}}}])),
            "/api/v1/namespaces/db/events" => list(json!([
                {"metadata": hidden("e"), "involvedObject": {"kind": "StatefulSet", "name": "one"},
                    "message": format!("cannot log in with token={SECRET}")},
                {"metadata": hidden("f"), "involvedObject": {"kind": "Pod", "name": "of-others"}}])),
            path if path.ends_with("/cronjobs") || path.ends_with("/leases") || path.ends_with("claims") => {
                list(json!([]))
            }
            "/version" => Answer::ok(&version()),
            _ => Answer::status(404, "not found"),
        }
    })
}

#[test]
fn no_secret_is_in_a_report_and_what_is_in_it_is_told() {
    let server = full_of_secrets();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.tar.gz");
    let name = path.to_str().unwrap();
    let shown = plugin(&["report", "-n", "db", "--file", name], server.kubeconfig());
    let bytes = std::fs::read(&path).unwrap();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()));
    let mut all = String::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        all.push_str(&entry.path().unwrap().to_string_lossy());
        entry.read_to_string(&mut all).unwrap();
    }
    assert!(!all.contains(SECRET) && !all.contains("of-others"), "{all}");
    for kept in [
        "v1.34.0",
        "3 replicas are Synced",
        "\"MARIADB_BACKUPS_TO_KEEP\": \"3\"",
        "2000-01-01_00-00-00",
        "cannot log in",
    ] {
        assert!(all.contains(kept), "{kept} is not in\n{all}");
    }
    let filters = vec![(r"[\d.]+(B|KiB)\n", "[size]\n"), (folder.path().to_str().unwrap(), "FOLDER")];
    insta::with_settings!({filters => filters}, { insta::assert_snapshot!(shown) });
    let again = plugin(&["report", "-n", "db", "--file", name], server.kubeconfig());
    assert!(again.starts_with("exit 1\n") && again.contains("File exists"), "{again}");
}
