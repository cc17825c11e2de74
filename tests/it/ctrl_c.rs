//! Ctrl-C on a terminal, at every moment at which it can be pressed: what goes on in the cluster is said, with the
//! command that shows it again, and the terminal is left as it was.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cli_runs::{answer, answer_at_work, pod};
use crate::loopback_api::{Answer, Api, Asked};
use crate::terminal::{Terminal, without_controls};

const BACKUP: &str = "2000-01-01_00-00-00";

/// A line of every command that orders a run and follows it.
const FOLLOWING: [&[&str]; 12] = [
    &["create"],
    &["create", "--from-schedule", "nightly"],
    &["verify"],
    &["drill", BACKUP],
    &["restore", BACKUP, "--to", "one", "--yes"],
    &["sync"],
    &["delete", BACKUP, "--yes"],
    &["prune", "--yes"],
    &["recover"],
    &["list", "--live"],
    &["status"],
    &["describe", BACKUP],
];

/// A line of every command that goes on until it is interrupted.
const WATCHING: [&[&str]; 6] = [
    &["list", "-w"],
    &["list", "-A", "-w"],
    &["status", "one", "-w"],
    &["status", "-A", "-w"],
    &["schedule", "list", "-w"],
    &["schedule", "list", "-A", "-w"],
];

/// What is told of a run that goes on.
const GOES_ON: &str =
    "The run goes on in the cluster. To see it again, from its start:\r\n  kubectl mariadb-backup logs run-x -n db\r\n";

/// A cluster without obligations, whose runs have this pod.
fn of_pod(asked: &Asked, pods: &[Value]) -> Answer {
    match asked.path.as_str() {
        "/apis/apps/v1/namespaces/db/statefulsets/one" => {
            let mut set = crate::cli_runs::statefulset();
            set["metadata"]["annotations"] = json!({});
            Answer::ok(&set)
        }
        "/api/v1/namespaces/db/pods" if !asked.query.contains("watch=") => {
            Answer::ok(&json!({"metadata": {"resourceVersion": "1"}, "items": pods}))
        }
        "/apis/batch/v1/namespaces/db/jobs/run-x" => Answer::ok(&json!({"metadata": {"name": "run-x"}})),
        _ => answer_at_work(asked, &[], &Value::Null),
    }
}

/// Presses Ctrl-C once this is seen; the exit code, and all that was written. It ends at once.
#[track_caller]
fn interrupted_at(line: &[&str], what: &str, server: &Api) -> String {
    let mut terminal = Terminal::run(&[line, &["-n", "db"]].concat(), server, 200);
    terminal.until(what);
    let pressed = Instant::now();
    terminal.press("\x03");
    let (code, written) = terminal.end();
    assert_eq!(code, Some(130), "{line:?}: {written}");
    assert!(pressed.elapsed() < Duration::from_secs(5), "{line:?} took {:?} to end", pressed.elapsed());
    assert!(!written.contains("\x1b[?25l"), "{line:?}: the cursor was hidden");
    written
}

#[test]
fn ctrl_c_before_the_pod_of_a_run_has_started_says_that_it_goes_on_and_how_to_see_it_again() {
    let waiting = pod("Pending", &json!({"waiting": {"reason": "ContainerCreating"}}));
    let made = Api::judging(move |asked| of_pod(asked, std::slice::from_ref(&waiting)));
    let not_made = Api::judging(|asked| of_pod(asked, &[]));
    for line in FOLLOWING.into_iter().chain([&["logs", "run-x"][..]]) {
        for (server, seen) in
            [(&made, "waiting for pod run-x-pod to start"), (&not_made, "waiting for the pod of run-x")]
        {
            let written = interrupted_at(line, seen, server);
            let told = written.rsplit_once(GOES_ON).unwrap_or_else(|| panic!("{line:?}: {written}"));
            let rest =
                if line[0] == "restore" { "The plan was not waited for, and nothing is restored.\r\n" } else { "" };
            assert_eq!(told.1, rest, "{line:?}");
        }
    }
}

#[test]
fn ctrl_c_while_a_run_is_being_ordered_tells_what_came_of_the_order() {
    for line in FOLLOWING {
        let is_sent = Arc::new(AtomicBool::new(false));
        let sent = Arc::clone(&is_sent);
        let server = Api::judging(move |asked| {
            if asked.method == "POST" && asked.path.ends_with("/jobs") {
                sent.store(true, Ordering::SeqCst);
                thread::sleep(Duration::from_secs(1));
                return answer(&asked.path, &[], &Value::Null);
            }
            of_pod(asked, &[])
        });
        let mut terminal = Terminal::run(&[line, &["-n", "db"]].concat(), &server, 200);
        while !is_sent.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(10));
        }
        terminal.press("\x03");
        let (code, written) = terminal.end();
        let told = "error: interrupted, and the run was ordered all the same: job.batch/run-x goes on in the cluster\n\
            hint: to see it, from its start: kubectl mariadb-backup logs run-x -n db\n";
        let written = without_controls(&written).replace('\r', "");
        assert_eq!(code, Some(130), "{line:?}: {written}");
        assert!(written.ends_with(told), "{line:?}: {written}");
    }
}

/// How Ctrl-C is answered while an order is under way of which this comes.
fn interrupted_while_ordering(answer: Answer) -> String {
    let is_sent = Arc::new(AtomicBool::new(false));
    let sent = Arc::clone(&is_sent);
    let server = Api::judging(move |asked| {
        if asked.method == "POST" && asked.path.ends_with("/jobs") {
            sent.store(true, Ordering::SeqCst);
            thread::sleep(Duration::from_secs(1));
            return answer.clone();
        }
        of_pod(asked, &[])
    });
    let mut terminal = Terminal::run(&["sync", "-n", "db"], &server, 200);
    while !is_sent.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_millis(10));
    }
    terminal.press("\x03");
    let (code, written) = terminal.end();
    assert_eq!(code, Some(130), "{written}");
    without_controls(&written).replace('\r', "")
}

#[test]
fn only_a_refusal_proves_to_ctrl_c_that_nothing_was_ordered() {
    let refused = interrupted_while_ordering(Answer::status(403, "exceeded quota"));
    assert!(refused.contains("error: interrupted; nothing was ordered\n"), "{refused}");
    for unclear in [Answer::status(500, "etcdserver: request timed out"), Answer::lines(&[json!("cut o")])] {
        let told = interrupted_while_ordering(unclear);
        let unsure = "error: interrupted, and the API server does not say whether the run was ordered\n";
        assert!(told.contains(unsure) && !told.contains("nothing was ordered"), "{told}");
        let look = "\nhint: to see it, if it was: kubectl mariadb-backup logs -n db\n";
        assert!(told.ends_with(look), "{told}");
    }
}

#[test]
fn ctrl_c_ends_whatever_is_watched_at_once() {
    let server = Api::judging(|asked| match asked.path.as_str() {
        "/apis/apps/v1/statefulsets" if !asked.query.contains("watch=") => {
            let mut set = crate::loopback_api::galera("one");
            set["metadata"]["namespace"] = json!("db");
            Answer::ok(&json!({"metadata": {"resourceVersion": "1"}, "items": [set]}))
        }
        "/apis/batch/v1/cronjobs" => answer("/apis/batch/v1/namespaces/db/cronjobs", &[], &Value::Null),
        "/api/v1/namespaces/db/pods" if asked.query.contains("job-name") && !asked.query.contains("watch=") => {
            let told = json!({"schema": 1, "done": {"status": {"replicas": [], "findings": []}}});
            Answer::ok(&json!({"metadata": {"resourceVersion": "1"}, "items": [crate::cli_runs::ended_pod(&told)]}))
        }
        _ => of_pod(asked, &[]),
    });
    for line in WATCHING {
        let seen = if line.contains(&"one") { "Last full:" } else { "one" };
        let seen = if line[0] == "schedule" { "nightly" } else { seen };
        interrupted_at(line, if line[..2] == ["list", "-w"] { BACKUP } else { seen }, &server);
    }
}
