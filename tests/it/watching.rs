//! Listings and pages that are watched: what comes is shown as it comes, and Ctrl-C ends it.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cli_views::{catalogue, in_namespace, set, version};
use crate::loopback_api::{Answer, Api, galera};

/// How long a line is waited for; it takes this long only where it never comes.
const LIMIT: Duration = Duration::from_mins(1);

/// A command that goes on until it is interrupted.
struct Watching {
    child: Child,
    lines: Receiver<String>,
    told: Arc<Mutex<String>>,
}

impl Watching {
    fn start(line: &[&str], server: &Api) -> Self {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin("kubectl-mariadb_backup"));
        command.args(line).args(["-n", "db"]).env_clear().env("KUBECONFIG", server.kubeconfig());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (heard, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| heard.send(line)));
        let told = Arc::new(Mutex::new(String::new()));
        let (mut stderr, so_far) = (child.stderr.take().unwrap(), Arc::clone(&told));
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = stderr.read(&mut bytes) {
                so_far.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        Self { child, lines, told }
    }

    /// The next lines of data.
    #[track_caller]
    fn next(&self, count: usize) -> Vec<String> {
        let line = |_| {
            let line = self.lines.recv_timeout(LIMIT);
            let line = line.unwrap_or_else(|_| panic!("no more lines; {}", self.told.lock().unwrap()));
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        (0..count).map(line).collect()
    }

    /// Waits until all of this was told beside the data, in this order.
    #[track_caller]
    fn told(&self, all: &[&str]) {
        let is_told = |text: &str| {
            let found = |from: Option<usize>, what: &&str| {
                let from = from?;
                Some(from + text[from..].find(what)? + what.len())
            };
            all.iter().fold(Some(0), found).is_some()
        };
        for _ in 0..600 {
            if is_told(&self.told.lock().unwrap()) {
                return;
            }
            thread::sleep(LIMIT / 600);
        }
        panic!("{all:?} is not told: {}", self.told.lock().unwrap());
    }

    /// Interrupts it; the exit code, and the data that came since.
    fn interrupt(mut self) -> (Option<i32>, String) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let code = self.child.wait().unwrap().code();
        (code, self.lines.iter().collect::<Vec<_>>().join("\n"))
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        // One that a test gave up on goes on for ever.
        self.child.kill().ok();
    }
}

/// The answer to a watch on which nothing comes.
fn nothing_comes() -> Answer {
    thread::sleep(Duration::from_secs(2));
    Answer::lines(&[])
}

/// A list of objects.
fn sets(items: &[Value]) -> Answer {
    Answer::ok(&json!({"metadata": {"resourceVersion": "1"}, "items": items}))
}

/// What a watch tells of an object.
fn event(kind: &str, mut object: Value) -> Value {
    object["metadata"]["resourceVersion"] = json!("2");
    json!({"type": kind, "object": object})
}

#[test]
fn a_list_that_is_watched_shows_what_comes_until_it_is_interrupted() {
    let is_watched = Arc::new(AtomicBool::new(false));
    let server = Api::judging(move |asked| match asked.path.as_str() {
        "/apis/apps/v1/namespaces/db/statefulsets" => Answer::ok(&json!({"metadata": {}, "items": [galera("one")]})),
        "/api/v1/namespaces/db/configmaps" if asked.query.contains("watch=true") => {
            if is_watched.swap(true, Ordering::SeqCst) {
                return nothing_comes();
            }
            let mut changed = catalogue(&[1, 2]);
            changed["metadata"]["resourceVersion"] = json!("2");
            Answer::lines(&[json!({"type": "MODIFIED", "object": changed})])
        }
        "/api/v1/namespaces/db/configmaps" => Answer::ok(&json!({"metadata": {"resourceVersion": "1"}, "items": []})),
        "/api/v1/namespaces/db/configmaps/one-backup-hash" => {
            Answer::ok(&catalogue(if is_watched.load(Ordering::SeqCst) { &[1, 2] } else { &[1] }))
        }
        _ => Answer::status(404, "not found"),
    });
    let watching = Watching::start(&["list", "-w"], &server);
    let seen = watching.next(3);
    let starts: Vec<&str> = seen.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(starts, ["NAME", "2000-01-01_00-00-00", "2000-01-02_00-00-00"]);
    assert_eq!(watching.interrupt(), (Some(130), String::new()));
}

#[test]
fn a_list_of_all_clusters_that_is_watched_shows_the_backups_of_one_that_comes_later_and_says_whose_go() {
    let stage = AtomicUsize::new(0);
    let server = Api::judging(move |asked| {
        let (one, two) = (in_namespace(galera("one"), "db"), in_namespace(galera("two"), "shop"));
        let is_watch = asked.query.contains("watch=true");
        match asked.path.as_str() {
            "/apis/apps/v1/statefulsets" if is_watch => {
                match stage.compare_exchange(0, 1, Ordering::SeqCst, Ordering::SeqCst) {
                    Ok(_) => Answer::lines(&[event("ADDED", two)]),
                    Err(_) => nothing_comes(),
                }
            }
            "/apis/apps/v1/statefulsets" => {
                let all = [one, two];
                sets(if stage.load(Ordering::SeqCst) == 0 { &all[..1] } else { &all })
            }
            "/api/v1/namespaces/db/configmaps" if is_watch && stage.load(Ordering::SeqCst) == 1 => {
                thread::sleep(Duration::from_secs(2));
                stage.store(2, Ordering::SeqCst);
                Answer::lines(&[event("MODIFIED", catalogue(&[]))])
            }
            _ if is_watch => nothing_comes(),
            "/api/v1/namespaces/db/configmaps/one-backup-hash" => {
                Answer::ok(&catalogue(if stage.load(Ordering::SeqCst) < 2 { &[1] } else { &[] }))
            }
            "/api/v1/namespaces/shop/configmaps/two-backup-hash" => Answer::ok(&catalogue(&[2])),
            path if path.ends_with('s') => sets(&[]),
            _ => Answer::status(404, "not found"),
        }
    });
    let watching = Watching::start(&["list", "-A", "-w"], &server);
    let seen = watching.next(3);
    let starts: Vec<String> = seen.iter().map(|row| row.split(' ').take(3).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(starts, ["NAMESPACE CLUSTER NAME", "db one 2000-01-01_00-00-00", "shop two 2000-01-02_00-00-00"]);
    watching.told(&["db/one: backup/2000-01-01_00-00-00 is no longer in the catalogue\n"]);
    assert_eq!(watching.interrupt().0, Some(130));
}

/// A cluster that is watched, and whose API server was away for a moment.
fn away_for_a_moment() -> Api {
    let asked_version = AtomicUsize::new(0);
    Api::judging(move |asked| match asked.path.as_str() {
        "/api/v1/namespaces/db" => Answer::ok(&json!({"metadata": {"name": "db"}})),
        "/apis/apps/v1/namespaces/db/statefulsets/one" => Answer::ok(&set("one", 3)),
        "/apis/apps/v1/statefulsets" if !asked.query.contains("watch=true") => {
            sets(&[in_namespace(galera("one"), "db")])
        }
        // Not one of the answers after which a client asks again by itself.
        "/version" if asked_version.fetch_add(1, Ordering::SeqCst) < 1 => Answer::status(500, "away"),
        "/version" => Answer::ok(&version()),
        _ if asked.query.contains("watch=true") => {
            let gone = json!({"kind": "Status", "status": "Failure", "message": "cut off", "reason": "", "code": 500});
            Answer::lines(&[json!({"type": "ERROR", "object": gone})])
        }
        path if path.ends_with('s') => Answer::ok(&json!({"metadata": {"resourceVersion": "1"}, "items": []})),
        _ => Answer::status(404, "not found"),
    })
}

#[test]
fn whatever_is_watched_says_when_nothing_can_be_seen_and_when_it_can_again() {
    let lines = [
        &["status", "one", "-w"][..],
        &["status", "-A", "-w"],
        &["list", "one", "-w"],
        &["list", "-A", "-w"],
        &["schedule", "list", "-w"],
    ];
    for line in lines {
        let server = away_for_a_moment();
        let watching = Watching::start(line, &server);
        watching.told(&[
            "the API server does not answer, so what is shown may be old; trying again\n",
            "the API server answers again\n",
        ]);
        assert_eq!(watching.interrupt().0, Some(130), "{line:?}");
    }
}

/// Clusters of all namespaces, of which one changes and another comes, and then goes again.
fn coming_and_going() -> Api {
    let (watched, stage) = (AtomicUsize::new(0), AtomicUsize::new(0));
    Api::judging(move |asked| {
        let (one, two) = (in_namespace(galera("one"), "db"), in_namespace(galera("two"), "shop"));
        let is_watch = asked.query.contains("watch=true");
        match asked.path.as_str() {
            "/apis/apps/v1/statefulsets" if is_watch => match watched.fetch_add(1, Ordering::SeqCst) {
                0 => {
                    stage.store(1, Ordering::SeqCst);
                    Answer::lines(&[event("MODIFIED", one), event("ADDED", two)])
                }
                1 => {
                    // When the ones before have been shown.
                    thread::sleep(Duration::from_secs(2));
                    stage.store(2, Ordering::SeqCst);
                    Answer::lines(&[event("DELETED", two)])
                }
                _ => nothing_comes(),
            },
            _ if is_watch => nothing_comes(),
            "/apis/apps/v1/statefulsets" => {
                let all = [one, two];
                sets(if stage.load(Ordering::SeqCst) == 1 { &all } else { &all[..1] })
            }
            "/apis/apps/v1/namespaces/db/statefulsets/one" => {
                Answer::ok(&set("one", if stage.load(Ordering::SeqCst) == 0 { 3 } else { 2 }))
            }
            "/apis/apps/v1/namespaces/shop/statefulsets/two" => Answer::ok(&set("two", 1)),
            path if path.ends_with('s') => sets(&[]),
            _ => Answer::status(404, "not found"),
        }
    })
}

#[test]
fn clusters_that_are_watched_are_a_row_each_time_they_change_and_a_note_when_they_go() {
    let server = coming_and_going();
    let watching = Watching::start(&["status", "-A", "-w"], &server);
    let nothing = "<none> <none> <none> <none> <none> <unknown>";
    assert_eq!(
        watching.next(4),
        [
            "NAMESPACE CLUSTER READY OWED RUNNING FULL INCREMENT NEXT FREE".to_owned(),
            format!("db one 0/3 {nothing}"),
            format!("db one 0/2 {nothing}"),
            format!("shop two 0/1 {nothing}"),
        ]
    );
    watching.told(&[
        "db/one needs a person: 0 of 3 pods exist\n",
        "db/one needs a person: 0 of 2 pods exist\n",
        "shop/two needs a person: 0 of 1 pods exist\n",
        "shop/two is no longer there\n",
    ]);
    assert_eq!(watching.interrupt(), (Some(130), String::new()), "a row that has not changed is not shown again");
}

#[test]
fn clusters_that_are_watched_for_other_programs_are_a_document_or_their_names_each_time() {
    let server = coming_and_going();
    let watching = Watching::start(&["status", "-A", "-w", "-o", "jsonpath={.items[*].wantedReplicas}"], &server);
    assert_eq!(watching.next(3), ["3", "2 1", "2"]);
    assert_eq!(watching.interrupt().0, Some(130));
    let server = coming_and_going();
    let watching = Watching::start(&["status", "-A", "-w", "-o", "name"], &server);
    assert_eq!(watching.next(3), ["statefulset.apps/one", "statefulset.apps/one", "statefulset.apps/two"]);
    assert_eq!(watching.interrupt().0, Some(130));
}

/// Two schedules, of which one is suspended while it is watched, and the other goes.
fn suspended_while_watched() -> Api {
    let watched = AtomicUsize::new(0);
    Api::judging(move |asked| {
        let cron_job = |name: &str, is_suspended: bool| {
            json!({"metadata": {"name": name, "namespace": "db", "labels": {
                    "app.kubernetes.io/managed-by": "kubectl-mariadb-backup", "mariadb-backup.io/statefulset": "one"}},
                "spec": {"schedule": "30 2 * * *", "suspend": is_suspended, "jobTemplate": {}}})
        };
        match asked.path.as_str() {
            "/apis/batch/v1/cronjobs" if asked.query.contains("watch=true") => {
                match watched.fetch_add(1, Ordering::SeqCst) {
                    0 => Answer::lines(&[event("MODIFIED", cron_job("nightly", true))]),
                    _ => nothing_comes(),
                }
            }
            "/apis/batch/v1/cronjobs" if watched.load(Ordering::SeqCst) == 0 => {
                sets(&[cron_job("nightly", false), cron_job("weekly", true)])
            }
            "/apis/batch/v1/cronjobs" => sets(&[cron_job("nightly", true)]),
            _ => Answer::status(404, "not found"),
        }
    })
}

#[test]
fn schedules_that_are_watched_are_a_row_each_time_they_change_and_a_note_when_they_go() {
    let server = suspended_while_watched();
    let watching = Watching::start(&["schedule", "list", "-A", "-w"], &server);
    let shown: Vec<String> =
        watching.next(4).iter().map(|row| row.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(shown, ["NAMESPACE NAME", "db nightly", "db weekly", "db nightly"]);
    watching.told(&["db: cronjob.batch/weekly is no longer there\n"]);
    assert_eq!(watching.interrupt().0, Some(130));
    let server = suspended_while_watched();
    let watching = Watching::start(&["schedule", "list", "-A", "-w", "-o", "jsonpath={.items[*].suspended}"], &server);
    assert_eq!(watching.next(2), ["false true", "true"]);
    assert_eq!(watching.interrupt().0, Some(130));
}
