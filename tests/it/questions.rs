//! What is asked on a terminal before something is lost for good, and what each answer leads to.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use assert_cmd::cargo::cargo_bin;
use serde_json::{Value, json};

use crate::cli_runs::{answer, ended_pod};
use crate::loopback_api::{Answer, Api};
use crate::terminal::{Terminal, at_work, without_controls};

/// With what every question ends.
const QUESTION: &str = "Type the name of the cluster in namespace db (one) to go on:";

const DELETE: [&str; 4] = ["delete", "2000-01-01_00-00-00", "-n", "db"];
const PRUNE: [&str; 3] = ["prune", "-n", "db"];
pub(crate) const RESTORE: [&str; 4] = ["restore", "2000-01-03_00-00-00", "-n", "db"];

/// A cluster that is restored once it was asked whether it shall be.
pub(crate) fn restored_when_asked() -> (Api, Arc<AtomicUsize>) {
    cluster(1, vec![plan(), restored()])
}

/// A cluster with two full backups, one of them with an increment, that counts the runs which are ordered;
/// they end one after the other like this.
fn cluster(keep: u32, outcomes: Vec<Value>) -> (Api, Arc<AtomicUsize>) {
    let ordered = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&ordered);
    let file = json!({"checksum": "aa", "size": 5});
    let table = json!({"base/2000-01-01_00-00-00/backup.mbstream.zst": file,
        "incr/2000-01-01_00-00-00/2000-01-02_00-00-00/backup.mbstream.zst": file,
        "base/2000-01-03_00-00-00/backup.mbstream.zst": file});
    let server = Api::judging(move |asked| {
        if asked.method == "POST" && asked.path.ends_with("/jobs") {
            counter.fetch_add(1, Ordering::SeqCst);
        }
        let outcome = outcomes.get(counter.load(Ordering::SeqCst).saturating_sub(1)).unwrap_or(&Value::Null);
        match asked.path.as_str() {
            "/api/v1/namespaces/db/configmaps/one-backup-hash" => {
                Answer::ok(&json!({"metadata": {}, "data": {"hash_table": table.to_string()}}))
            }
            "/api/v1/namespaces/db/configmaps/one-backup" => {
                Answer::ok(&json!({"metadata": {}, "data": {"MARIADB_BACKUPS_TO_KEEP": keep.to_string()}}))
            }
            path => answer(path, &[], &ended_pod(outcome)),
        }
    });
    (server, ordered)
}

fn kept() -> Value {
    json!({"schema": 1, "done": {"keep": {"removed": ["base/2000-01-01_00-00-00"], "removedCount": 1}}})
}

fn plan() -> Value {
    json!({"schema": 1, "done": {"preview": {"cluster": "db/one", "backup": "base/2000-01-03_00-00-00",
        "chain": [["base/2000-01-03_00-00-00", "local"]], "asked": "2000-01-03T00:00:09Z", "flavour": "plain",
        "leader": "one-2", "leaderBecause": "it was asked for", "volumes": [], "scratch": "a volume",
        "scratchBytes": 5, "steps": ["stop"], "outage": "short"}}})
}

fn restored() -> Value {
    json!({"schema": 1, "done": {"restore": {"backup": "base/2000-01-03_00-00-00", "leader": "one-2",
        "replicas": 3, "history": "h", "outageMillis": 1000, "fullStrengthMillis": 2000}}})
}

/// What somebody sees who types this at the question: the exit code, what was asked and what came then.
fn answered(line: &[&str], server: &Api, keys: &str) -> (Option<i32>, String, String) {
    let mut terminal = Terminal::run(line, server, 100);
    terminal.until(QUESTION);
    terminal.press(keys);
    let (code, written) = terminal.end();
    let written = without_controls(&written).replace('\r', "");
    let (before, behind) = written.split_once(QUESTION).unwrap();
    (code, before.to_owned(), behind.to_owned())
}

#[test]
fn the_cluster_s_name_typed_after_all_that_goes_was_shown_has_it_done() {
    let keep = || cluster(1, vec![kept()]);
    let restore = restored_when_asked();
    let mut seen = Vec::new();
    for (line, (server, ordered), runs) in
        [(&DELETE[..], keep(), 1), (&PRUNE[..], keep(), 1), (&RESTORE[..], restore, 2)]
    {
        let (code, before, behind) = answered(line, &server, "one\n");
        assert_eq!((code, ordered.load(Ordering::SeqCst)), (Some(0), runs), "{before}{behind}");
        // What moves while the plan is made differs from run to run.
        let asked = before.split_once("Restore of").map_or(before.clone(), |(_, plan)| format!("Restore of{plan}"));
        seen.push(format!("$ {}\n{asked}{QUESTION}", line.join(" ")));
    }
    insta::assert_snapshot!(seen.join("\n\n"));
}

#[test]
fn another_name_or_a_mere_yes_at_the_question_does_nothing() {
    for (line, outcomes, asked_before) in
        [(&DELETE[..], vec![], 0), (&PRUNE[..], vec![], 0), (&RESTORE[..], vec![plan()], 1)]
    {
        for typed in ["two\n", "y\n", "\n"] {
            let (server, ordered) = cluster(1, outcomes.clone());
            let (code, _, behind) = answered(line, &server, typed);
            assert_eq!((code, ordered.load(Ordering::SeqCst)), (Some(1), asked_before), "{line:?}");
            let told = "error: not confirmed: that is not the cluster's name, which is one; nothing was changed";
            assert_eq!(behind, format!("\n{typed}{told}\n"), "{line:?}");
        }
    }
}

#[test]
fn ctrl_c_at_the_question_does_nothing_and_says_so() {
    for (line, outcomes, asked_before) in
        [(&DELETE[..], vec![], 0), (&PRUNE[..], vec![], 0), (&RESTORE[..], vec![plan()], 1)]
    {
        let (server, ordered) = cluster(1, outcomes);
        let (code, _, behind) = answered(line, &server, "\x03");
        assert_eq!((code, ordered.load(Ordering::SeqCst)), (Some(130), asked_before), "{line:?}");
        assert_eq!(behind, "\n^C\nerror: interrupted; nothing was ordered\n", "{line:?}");
    }
}

#[test]
fn a_prune_that_removes_nothing_asks_nothing_and_tidies_up() {
    let (server, ordered) = cluster(3, vec![json!({"schema": 1, "done": {"keep": {}}})]);
    let (code, written) = Terminal::run(&PRUNE, &server, 100).end();
    assert_eq!((code, ordered.load(Ordering::SeqCst)), (Some(0), 1), "{written}");
    assert!(written.contains("No backup has to go") && !written.contains(QUESTION), "{written}");
}

#[test]
fn ctrl_c_while_a_restore_waits_for_its_plan_restores_nothing_and_says_how_to_see_the_run_again() {
    let server = at_work();
    let mut terminal = Terminal::run(&["restore", "2000-01-01_00-00-00", "-n", "db"], &server, 100);
    terminal.until("200MiB/400MiB");
    terminal.press("\x03");
    let (code, written) = terminal.end();
    assert_eq!(code, Some(130), "{written}");
    let told = "The run goes on in the cluster. To see it again, from its start:\r\n  kubectl mariadb-backup logs \
        run-x -n db\r\nThe plan was not waited for, and nothing is restored.\r\n";
    assert!(written.ends_with(told), "{written}");
}

#[test]
fn where_stdin_is_closed_nobody_is_asked_and_nothing_is_ordered() {
    let (server, ordered) = cluster(1, vec![]);
    for line in [&DELETE[..], &PRUNE[..], &RESTORE[..]] {
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$@\" <&-", "sh"]).arg(cargo_bin("kubectl-mariadb_backup")).args(line);
        command.env_clear().env("HOME", "/nowhere").env("KUBECONFIG", server.kubeconfig());
        let output = command.output().unwrap();
        let told = format!(
            "error: {} has to be confirmed, and there is no terminal to ask on\n\
            hint: add --yes, or --dry-run to see what would be done\n",
            line[0]
        );
        assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap()), (Some(2), told));
    }
    assert_eq!(ordered.load(Ordering::SeqCst), 0);
}
