//! The next command to type: it leads whoever reads it to the cluster they were at, and somebody else there by
//! nothing that is this reader's own.

use serde_json::{Value, json};

use crate::cli_runs::{answer, statefulset};
use crate::loopback_api::{Answer, Api, galera, plugin};

/// By what the reader reaches the cluster.
const MINE: [&str; 8] = ["--context", "test", "--cluster", "test", "--user", "test", "--as", "alice"];

/// What is said beside the data, and how it ends, by somebody with a kubeconfig and flags of their own.
fn told(server: &Api, line: &[&str], mine: &[&str]) -> String {
    let config = server.kubeconfig();
    let own: Vec<&str> = if mine.is_empty() { vec![] } else { [&["--kubeconfig", config], mine].concat() };
    let shown = plugin(&[line, &["-n", "db"], &own].concat(), config);
    let address = std::fs::read_to_string(config).unwrap();
    let address: Value = serde_json::from_str(&address).unwrap();
    let address = address["clusters"][0]["cluster"]["server"].as_str().unwrap();
    let told = shown.split("--- stderr\n").nth(1).unwrap().replace(config, "MINE").replace(address, "SERVER");
    format!("$ {}  # {}\n{told}", line.join(" "), shown.lines().next().unwrap())
}

/// A namespace in which much is missing.
fn wanting() -> Api {
    Api::start(|path| match path {
        "/apis/apps/v1/namespaces/db/statefulsets" => Answer::ok(&json!({"metadata": {}, "items": [galera("one")]})),
        "/apis/apps/v1/namespaces/db/statefulsets/one" | "/apis/apps/v1/namespaces/shop/statefulsets/two" => {
            let mut set = statefulset();
            set["metadata"]["annotations"] = json!({});
            Answer::ok(&set)
        }
        "/api/v1/namespaces/db/configmaps/one-backup" => Answer::ok(&json!({"metadata": {}, "data": {
            "MARIADB_BACKUP_STORE": "both", "MARIADB_BACKUP_S3_BUCKET": "b", "MARIADB_BACKUP_S3_CA_CONFIGMAP": "ca"}})),
        "/api/v1/namespaces/db/configmaps/two-backup" => {
            Answer::ok(&json!({"metadata": {}, "data": {"MARIADB_BACKUPS_TO_KEEP": "many"}}))
        }
        "/apis/apps/v1/namespaces/db/statefulsets/two" => Answer::ok(&galera("two")),
        "/api/v1/namespaces/db" => Answer::ok(&json!({"metadata": {"name": "db"}})),
        "/api/v1/namespaces/db/persistentvolumeclaims/mariadb-phy-backup-data" => {
            Answer::ok(&json!({"metadata": {}, "status": {"phase": "Lost"}}))
        }
        path if path.contains("/configmaps/one-backup-hash") => answer(path, &[], &Value::Null),
        path if path.ends_with("/pods") || path.ends_with("/cronjobs") => {
            Answer::ok(&json!({"metadata": {}, "items": []}))
        }
        _ => Answer::status(404, "not found"),
    })
}

#[test]
fn a_command_to_type_leads_its_reader_to_the_same_cluster() {
    let server = wanting();
    let lines: [&[&str]; 8] = [
        &["status", "three-hundred"],
        &["create"],
        &["list", "two"],
        &["delete", "2000-01-01_00-00-01", "--yes"],
        &["create", "--replica", "7"],
        &["list", "one", "--live"],
        &["schedule", "suspend", "nightly"],
        // The backup is one of the cluster it was made of, whichever is restored.
        &["restore", "2000-01-01_00-00-01", "--statefulset", "one", "--to", "shop/two", "--yes"],
    ];
    let all: Vec<String> = lines.iter().map(|line| told(&server, line, &MINE)).collect();
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn a_command_that_somebody_else_types_holds_nothing_of_its_reader_s_own() {
    let refusal = "pods is forbidden: User \"alice\" cannot list resource \"statefulsets\" in API group \"apps\" \
        in the namespace \"db\"";
    let server = Api::start(move |_| Answer::status(403, refusal));
    let shared = ["--context", "test", "--as", "alice", "--token", "secret"];
    let with = |mine: &[&str]| plugin(&[&["list", "-n", "db"], mine].concat(), server.kubeconfig());
    let all = [told(&server, &["list"], &MINE), with(&shared)];
    assert!(!all[1].contains("--as alice") && !all[1].contains("secret"), "{}", all[1]);
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn a_kubeconfig_that_has_something_else_is_looked_into_and_no_other() {
    let server = wanting();
    let all = [&["--context", "tets"][..], &["--cluster", "none"], &["--user", "nobody"]];
    let all: Vec<String> = all.iter().map(|mine| told(&server, &["list"], mine)).collect();
    insta::assert_snapshot!(all.join("\n"));
}

/// A cluster with one empty namespace, in which a StatefulSet stands that was never backed up.
fn nearly_empty() -> Api {
    Api::start(|path| match path {
        "/api/v1/namespaces/db" => Answer::ok(&json!({"metadata": {"name": "db"}})),
        "/apis/apps/v1/namespaces/db/statefulsets" => Answer::ok(&json!({"metadata": {}, "items": [galera("one")]})),
        "/apis/apps/v1/namespaces/db/statefulsets/one" => Answer::ok(&statefulset()),
        path if ["/statefulsets", "/configmaps", "/cronjobs", "/jobs", "/pods"]
            .iter()
            .any(|end| path.ends_with(end)) =>
        {
            Answer::ok(&json!({"metadata": {}, "items": []}))
        }
        _ => Answer::status(404, "not found"),
    })
}

#[test]
fn what_is_named_and_not_there_is_never_told_as_nothing_found() {
    let server = nearly_empty();
    let lines: [&[&str]; 12] = [
        &["schedule", "list", "nope", "-n", "db"],
        &["schedule", "list", "one", "-n", "db"],
        &["schedule", "list", "-n", "nope"],
        &["schedule", "list", "nope", "-n", "db", "-o", "json"],
        &["schedule", "suspend", "x", "-n", "nope"],
        &["schedule", "suspend", "x", "-n", "db"],
        &["logs", "--statefulset", "nope", "-n", "db"],
        &["logs", "--statefulset", "one", "-n", "db"],
        &["logs", "-n", "nope"],
        &["logs", "run-x", "-n", "nope"],
        &["list", "-n", "nope", "-l", "a=b"],
        &["describe", "", "-n", "db"],
    ];
    let shown = |line: &&[&str]| format!("$ {}\n{}", line.join(" "), plugin(line, server.kubeconfig()));
    insta::assert_snapshot!(lines.iter().map(shown).collect::<Vec<_>>().join("\n"));
}
