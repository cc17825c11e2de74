//! The plugin as a person meets it: the real binary, its output and its exit codes.
//!
//! Where an API server is needed to show how an answer looks, a loopback one gives fixed answers.
//! Whether the cluster does what it is asked is not shown here; ring 3 does that.

use std::net::TcpListener;

use mariadb_backup::plugin::command_line;
use serde_json::{Value, json};

use crate::loopback_api::{Answer, Api, galera, kubeconfig, plugin};

/// The words that lead to every command; none lead to the whole.
fn commands(command: &clap::Command, words: &[&str]) -> Vec<Vec<String>> {
    let here = words.iter().map(|word| (*word).to_owned()).collect();
    let below = command.get_subcommands().filter(|command| !command.is_hide_set());
    let below = below.flat_map(|command| commands(command, &[words, &[command.get_name()]].concat()));
    std::iter::once(here).chain(below).collect()
}

#[test]
fn the_help_of_every_command() {
    for words in commands(&command_line(), &[]) {
        let arguments: Vec<&str> = words.iter().map(String::as_str).chain(["--help"]).collect();
        let name = ["help"].into_iter().chain(arguments[..words.len()].iter().copied()).collect::<Vec<_>>().join("_");
        insta::assert_snapshot!(name, plugin(&arguments, ""));
    }
}

/// The command that these words lead to.
fn command(words: &[String]) -> clap::Command {
    words.iter().fold(command_line(), |command, word| command.find_subcommand(word).unwrap().clone())
}

#[test]
fn what_a_help_ends_with_is_shown_line_by_line_on_80_columns_so_that_its_examples_can_be_pasted() {
    for words in commands(&command_line(), &[]) {
        let Some(after) = command(&words).get_after_help().map(ToString::to_string) else { continue };
        for line in after.lines() {
            assert!(line.chars().count() <= 78, "{words:?}: {line}");
        }
        let arguments: Vec<&str> = words.iter().map(String::as_str).chain(["--help"]).collect();
        let shown = plugin(&arguments, "");
        assert!(shown.contains(&format!("\n{after}\n")), "{words:?}: {shown}");
    }
}

#[test]
fn a_command_line_that_makes_no_sense_ends_with_2() {
    let lines: [&[&str]; 37] = [
        &["lst"],
        &["list", "--timeout", "5s"],
        &["create", "--timeout", "5d"],
        &["create", "a", "--statefulset", "b"],
        &["create", "--type", "differential"],
        &["create", "--store", "tape"],
        &["create", "--bwlimit", "fast"],
        &["prune", "--keep", "0"],
        &["delete"],
        &["verify", "2026-01-01_00-00-00", "--rebuild-catalogue"],
        &["list", "-o", "xml"],
        &["list", "-o", "jsonpath"],
        &["list", "-o", "jsonpath={.items[*}"],
        &["list", "-o", "custom-columns=NAME"],
        &["list", "-o", "jsonpath="],
        &["schedule", "list", "-o", "custom-columns="],
        &["status", "one", "-o", "wide"],
        &["status", "-w", "-o", "name"],
        &["describe", "2026-01-01_00-00-00", "-o", "wide"],
        &["version", "-o", "name"],
        &["logs", "-o", "wide"],
        &["report", "-o", "json"],
        &["list", "--headers"],
        &["list", "one", "-A"],
        &["list", "--live", "--watch"],
        &["setup", "db", "-n", "ns", "--dry-run", "--store", "both"],
        &["schedule", "create", "Nightly", "--schedule", "30 2 * * *"],
        &["schedule", "create", "nightly", "--schedule", "30 25 * * *"],
        &["schedule", "create", "nightly", "--schedule", "@nightly"],
        &["schedule", "create", "nightly", "--schedule", "@daily", "--time-zone", "Europe/Berlinn", "--dry-run"],
        &["create", "--from-schedule", "nightly", "--type", "full"],
        &["schedule", "create", "nightly", "--schedule", "0 0 31 2 *"],
        &["list", "-l", "a in"],
        &["restore", "2026-01-01_00-00-00", "--to", "/"],
        &["restore", "2026-01-01_00-00-00", "--to", "staging/"],
        &["list", "--bad", "--color", "never"],
        &["list", "-n", "Bad NS"],
    ];
    let all: Vec<String> = lines.iter().map(|line| format!("$ {}\n{}", line.join(" "), plugin(line, ""))).collect();
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn a_connection_that_cannot_be_made_says_where_it_would_lead() {
    let file = kubeconfig("http://127.0.0.1:1");
    let path = file.path().to_str().unwrap().to_owned();
    let cases: [(&[&str], &str); 5] = [
        (&["list", "--certificate-authority", "/nowhere/ca.crt"], &path),
        (&["list"], "/nowhere/missing"),
        (&["list", "--kubeconfig", "/nowhere/config"], ""),
        (&["list", "--context", "tets"], &path),
        (&["create"], &path),
    ];
    let all: Vec<String> =
        cases.iter().map(|(line, config)| format!("$ {}\n{}", line.join(" "), plugin(line, config))).collect();
    insta::assert_snapshot!(all.join("\n").replace(&path, "KUBECONFIG"));
}

#[test]
fn setup_prints_everything_without_a_cluster() {
    let shown = plugin(&["setup", "db", "-n", "ns", "--dry-run", "--keep", "3"], "");
    insta::assert_snapshot!(shown);
}

#[test]
fn a_listing_is_data_and_everything_else_is_not() {
    let server = Api::start(|path| match path {
        "/apis/apps/v1/namespaces/db/statefulsets" => Answer::ok(&json!({"metadata": {}, "items": [galera("one")]})),
        "/api/v1/namespaces/db/configmaps/one-backup" => {
            Answer::ok(&json!({"metadata": {}, "data": {"MARIADB_BACKUP_TIMOUT": "1"}})).warning("this API is old")
        }
        "/api/v1/namespaces/db/configmaps/one-backup-hash" => Answer::ok(&json!({"metadata": {}, "data": {
            "hash_table": r#"{"base/2000-01-01_00-00-00/backup.mbstream.zst": {"checksum": "aa", "size": 5}}"#}})),
        "/api/v1/namespaces/db/configmaps" => Answer::ok(&json!({"metadata": {}, "items": []})),
        _ => Answer::status(404, "not found"),
    });
    let listed = plugin(&["list", "-n", "db", "-o", "json"], server.kubeconfig());
    insta::assert_snapshot!(listed);
    assert!(plugin(&["list", "-n", "db"], server.kubeconfig()).contains("2000-01-01_00-00-00   full   5B     yes"));
    assert!(
        plugin(&["list", "-n", "db", "-o", "name"], server.kubeconfig()).contains("\nbackup/2000-01-01_00-00-00\n")
    );
}

/// A cluster with a full backup and an increment, whose settings are given.
fn with_backups(settings: &Value) -> Api {
    let settings = settings.clone();
    Api::start(move |path| match path {
        "/apis/apps/v1/namespaces/db/statefulsets" => Answer::ok(&json!({"metadata": {}, "items": [galera("one")]})),
        "/api/v1/namespaces/db/configmaps/one-backup" => Answer::ok(&json!({"metadata": {}, "data": settings})),
        "/api/v1/namespaces/db/configmaps/one-backup-hash" => Answer::ok(&json!({"metadata": {}, "data": {
            "hash_table": r#"{"base/2000-01-01_00-00-00/backup.mbstream.zst": {"checksum": "aa", "size": 5},
                "incr/2000-01-01_00-00-00/2000-01-02_00-00-00/backup.mbstream.zst": {"checksum": "aa", "size": 5}}"#}})),
        "/api/v1/namespaces/db/configmaps" => Answer::ok(&json!({"metadata": {}, "items": []})),
        "/api/v1/namespaces/db/persistentvolumeclaims/mariadb-phy-backup-data" => {
            Answer::ok(&json!({"metadata": {}, "status": {"phase": "Bound"}}))
        }
        _ => Answer::status(404, "not found"),
    })
}

#[test]
fn what_cannot_be_done_is_said_before_anything_is_ordered() {
    let local = with_backups(&json!({}));
    let both = with_backups(&json!({"MARIADB_BACKUP_STORE": "both"}));
    let s3 = with_backups(&json!({"MARIADB_BACKUP_STORE": "s3", "MARIADB_BACKUP_S3_BUCKET": "b",
        "MARIADB_BACKUP_S3_SECRET": "keys"}));
    let wrong = with_backups(&json!({"MARIADB_BACKUP_S3_ENDPOINT": "s3.example"}));
    let cases: [(&Api, &[&str]); 10] = [
        (&local, &["delete", "2000-01-01_00-00-00"]),
        (&local, &["prune", "--keep", "3"]),
        (&local, &["delete", "2000-01-01_00-00-01", "--yes"]),
        (&local, &["verify", "yesterday"]),
        (&local, &["verify", "--store", "s3"]),
        (&local, &["sync"]),
        (&local, &["create", "--type", "incremental"]),
        (&both, &["create", "--type", "incremental"]),
        (&s3, &["list", "--live"]),
        (&wrong, &["prune", "--keep", "3", "--yes"]),
    ];
    let all: Vec<String> = cases
        .iter()
        .map(|(server, line)| {
            let line = [*line, &["-n", "db"]].concat();
            format!("$ {}\n{}", line.join(" "), plugin(&line, server.kubeconfig()))
        })
        .collect();
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn two_clusters_or_none_are_an_error_that_names_them() {
    let two = Api::start(|path| match path {
        "/apis/apps/v1/namespaces/db/statefulsets" => {
            Answer::ok(&json!({"metadata": {}, "items": [galera("one"), galera("two")]}))
        }
        "/api/v1/namespaces/db/configmaps" | "/apis/apps/v1/namespaces/gone/statefulsets" => {
            Answer::ok(&json!({"metadata": {}, "items": []}))
        }
        _ => Answer::status(404, "not found"),
    });
    let shown =
        [plugin(&["create", "-n", "db"], two.kubeconfig()), plugin(&["create", "-n", "gone"], two.kubeconfig())];
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn a_missing_right_is_named_with_the_way_to_it() {
    let server = Api::start(|_| Answer::status(403, "statefulsets.apps is forbidden: User \"u\" cannot list"));
    let far = ["list", "two", "-n", "db", "--context", "test", "--as", "u"];
    let shown = [plugin(&["list", "-n", "db"], server.kubeconfig()), plugin(&far, server.kubeconfig())];
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn an_overloaded_server_is_asked_again_but_not_for_long() {
    let server = Api::start(|_| Answer::status(503, "the server is starting"));
    let start = std::time::Instant::now();
    let shown = plugin(&["list", "-n", "db"], server.kubeconfig());
    assert!(shown.starts_with("exit 1\n") && shown.contains("the server is starting"), "{shown}");
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

#[test]
fn a_server_that_does_not_answer_is_left_after_the_request_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let file = kubeconfig(&format!("http://{}", listener.local_addr().unwrap()));
    for (line, limit) in [(&["list", "-n", "db"][..], "300ms"), (&["status", "-A"], "1ms"), (&["list", "-A"], "1ms")] {
        let line = [line, &["--request-timeout", limit]].concat();
        let shown = plugin(&line, file.path().to_str().unwrap());
        assert!(shown.contains(&format!("no answer within {limit} (--request-timeout)")), "{line:?}: {shown}");
    }
}
