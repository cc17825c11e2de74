//! The ground as the tests use it: real commands, their output and exit code, nothing in between.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything a test waits for may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_mins(3);

/// What a command printed and how it ended.
#[derive(Clone, Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Fails the test unless the command ended with that code.
    #[track_caller]
    pub(crate) fn ends_with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Fails the test unless the text is in what went to stderr.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "expected \"{text}\" in:\n{}", self.stderr);
        self
    }
}

fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).env("NO_COLOR", "1").env_remove("COLUMNS");
    command
}

pub(crate) fn run(program: &str, arguments: &[&str]) -> Ran {
    Ran::of(command(program, arguments).output().unwrap_or_else(|error| panic!("cannot start {program}: {error}")))
}

/// Runs a command that must succeed and returns its standard output without the last newline.
#[track_caller]
pub(crate) fn must(program: &str, arguments: &[&str]) -> String {
    run(program, arguments).ends_with(0).stdout.trim_end().to_owned()
}

#[track_caller]
pub(crate) fn ground(arguments: &[&str]) -> String {
    must("ground", arguments)
}

#[track_caller]
pub(crate) fn kubectl(arguments: &[&str]) -> String {
    must("kubectl", arguments)
}

#[track_caller]
pub(crate) fn kubectl_json(arguments: &[&str]) -> Value {
    let all: Vec<_> = arguments.iter().copied().chain(["-o", "json"]).collect();
    serde_json::from_str(&kubectl(&all)).unwrap()
}

/// Refuses any cluster but the ground's own: the tests break what they run on.
pub(crate) fn only_on_the_ground() {
    let context = kubectl(&["config", "current-context"]);
    assert_eq!(context, "ground", "these tests only run on the ground; use make ring3");
}

/// Waits until something is so, looking again every 200 ms.
#[track_caller]
pub(crate) fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    until_within(PATIENCE, what, look)
}

#[track_caller]
pub(crate) fn until_within<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < limit, "waited {} s in vain until {what}", limit.as_secs());
        sleep(Duration::from_millis(200));
    }
}

/// A Galera cluster on the ground, in a namespace of its own or the ground's demo.
pub(crate) struct Cluster {
    pub(crate) namespace: String,
    own: bool,
}

impl Cluster {
    /// The one every ground has, set up for backups.
    pub(crate) fn demo() -> Self {
        let cluster = Self { namespace: "demo".to_owned(), own: false };
        cluster.set_up();
        cluster
    }

    /// One for a test that leaves ruins, or needs another shape.
    pub(crate) fn new(namespace: &str, options: &[&str]) -> Self {
        run("ground", &["galera", "delete", "--namespace", namespace]);
        let arguments: Vec<_> =
            ["galera", "create", "--namespace", namespace].into_iter().chain(options.iter().copied()).collect();
        ground(&arguments);
        let cluster = Self { namespace: namespace.to_owned(), own: true };
        cluster.set_up();
        cluster
    }

    fn set_up(&self) {
        let image = ground(&["agent", "--print"]);
        self.plugin(&["setup", "--agent-image", &image]).ends_with(0);
    }

    /// Runs the plugin through the real kubectl.
    pub(crate) fn plugin(&self, arguments: &[&str]) -> Ran {
        let all = self.plugin_arguments(arguments);
        run("kubectl", &all.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Starts the plugin and does not wait for it.
    pub(crate) fn start_plugin(&self, arguments: &[&str]) -> Started {
        let all = self.plugin_arguments(arguments);
        let mut command = command("kubectl", &all.iter().map(String::as_str).collect::<Vec<_>>());
        Started(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    fn plugin_arguments(&self, arguments: &[&str]) -> Vec<String> {
        let head = ["mariadb-backup"].into_iter().chain(arguments.iter().copied());
        head.chain(["-n", &self.namespace]).map(str::to_owned).collect()
    }

    #[track_caller]
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        kubectl(&arguments.iter().copied().chain(["-n", &self.namespace]).collect::<Vec<_>>())
    }

    #[track_caller]
    pub(crate) fn kubectl_json(&self, arguments: &[&str]) -> Value {
        kubectl_json(&arguments.iter().copied().chain(["-n", &self.namespace]).collect::<Vec<_>>())
    }

    /// One value from a replica, by SQL; empty for a statement without a result.
    #[track_caller]
    pub(crate) fn sql(&self, pod: &str, statement: &str) -> String {
        let table = ground(&["sql", "--namespace", &self.namespace, pod, statement]);
        table.lines().nth(1).unwrap_or_default().to_owned()
    }

    #[track_caller]
    pub(crate) fn status(&self, pod: &str, name: &str) -> String {
        let statement =
            format!("SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = '{name}'");
        self.sql(pod, &statement)
    }

    /// The names of the backups a listing shows.
    #[track_caller]
    pub(crate) fn listed(&self) -> Vec<String> {
        let list = self.plugin(&["list", "-o", "json"]).ends_with(0).stdout;
        let list: Value = serde_json::from_str(&list).unwrap();
        list["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
    }

    /// The obligation on the StatefulSet.
    #[track_caller]
    pub(crate) fn obligation(&self) -> Option<Value> {
        let set = self.kubectl_json(&["get", "statefulset", "mariadb-server"]);
        let text = set["metadata"]["annotations"]["mariadb-backup.io/obligation"].as_str()?;
        Some(serde_json::from_str(text).unwrap())
    }

    /// The runner that is at work now, once it is past its checks and copies.
    #[track_caller]
    pub(crate) fn copying_runner(&self) -> String {
        until("a runner copies", || {
            let runner = self.obligation()?["debt"]["runner"].as_str()?.to_owned();
            let log = run("kubectl", &["logs", &runner, "-n", &self.namespace]).stdout;
            let copied = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            copied.into_iter().any(|event| event["doneBytes"].as_u64() > Some(0)).then_some(runner)
        })
    }

    /// Waits until every replica is Synced without any desync, and Ready.
    #[track_caller]
    pub(crate) fn healthy(&self) {
        until("every replica is Synced and Ready", || {
            let pods = self.kubectl_json(&["get", "pods", "-l", "application=mariadb"]);
            let pods = pods["items"].as_array()?.clone();
            let ready = pods.iter().all(|pod| {
                let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
                conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True")
            });
            (ready && pods.len() == 3).then_some(())
        });
        for n in 0..3 {
            let pod = format!("mariadb-server-{n}");
            assert_eq!(self.status(&pod, "wsrep_local_state_comment"), "Synced", "{pod}");
            assert_eq!(self.status(&pod, "wsrep_desync_count"), "0", "{pod}");
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.own {
            run("ground", &["galera", "delete", "--namespace", &self.namespace]);
        }
    }
}

/// A command that runs beside the test.
pub(crate) struct Started(Child);

impl Started {
    /// Waits for its end.
    pub(crate) fn end(self) -> Ran {
        Ran::of(self.0.wait_with_output().unwrap())
    }
}

/// The ledger writer of one cluster, stopped when dropped.
pub(crate) struct Ledger<'a> {
    cluster: &'a Cluster,
}

impl<'a> Ledger<'a> {
    pub(crate) fn start(cluster: &'a Cluster) -> Self {
        ground(&["ledger", "start", "--namespace", &cluster.namespace]);
        let ledger = Self { cluster };
        until("the ledger has commits", || (ledger.commits().len() > 20).then_some(()));
        ledger
    }

    /// Every acknowledged commit: its number and the position the cluster gave it.
    pub(crate) fn commits(&self) -> BTreeMap<i64, i64> {
        let text = ground(&["ledger", "read", "--namespace", &self.cluster.namespace, "-o", "json"]);
        let commits: Value = serde_json::from_str(&text).unwrap();
        let pair = |commit: &Value| Some((commit["n"].as_i64()?, commit["seqno"].as_i64()?));
        commits.as_array().unwrap().iter().filter_map(pair).collect()
    }
}

impl Drop for Ledger<'_> {
    fn drop(&mut self) {
        run("ground", &["ledger", "stop", "--namespace", &self.cluster.namespace]);
    }
}

/// A file that is gone with the test.
pub(crate) fn scratch_file(name: &str, text: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("mariadb-backup-e2e-{}-{name}", std::process::id()));
    std::fs::write(&path, text).unwrap();
    path
}
