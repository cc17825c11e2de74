//! The ground as the tests use it: real commands, their output and exit code, nothing in between.

mod commands;
mod ledger;

use std::cell::RefCell;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use commands::command;
pub(crate) use commands::{Ran, Started, ground, kubectl, kubectl_json, must, run};
pub(crate) use ledger::{Client, Ledger, seqno};

/// How long anything a test waits for may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_mins(3);

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
    /// The client that writes while the test goes on, where it has one.
    pub(crate) client: RefCell<Option<Client>>,
}

impl Cluster {
    /// The one every ground has, set up for backups.
    pub(crate) fn demo() -> Self {
        let cluster = Self { namespace: "demo".to_owned(), own: false, client: RefCell::default() };
        cluster.set_up();
        cluster
    }

    /// One for a test that leaves ruins, or needs another shape.
    pub(crate) fn new(namespace: &str, options: &[&str]) -> Self {
        run("ground", &["galera", "delete", "--namespace", namespace]);
        // One of the same name that was there before has left its place in the bucket.
        run("ground", &["s3", "remove", &format!("{namespace}/mariadb-server/")]);
        let arguments: Vec<_> =
            ["galera", "create", "--namespace", namespace].into_iter().chain(options.iter().copied()).collect();
        ground(&arguments);
        let cluster = Self { namespace: namespace.to_owned(), own: true, client: RefCell::default() };
        cluster.set_up();
        cluster
    }

    /// The demo with enough data that a copy can be held up.
    pub(crate) fn with_data() -> Self {
        only_on_the_ground();
        let cluster = Self::demo();
        if cluster.obligation().is_some() {
            // What a test that failed owes is no concern of this one.
            let recovered = cluster.plugin(&["recover"]);
            assert!([0, 14].contains(&recovered.code), "{}", recovered.stderr);
        }
        cluster.healthy();
        cluster.empty_stores();
        let bytes = "SELECT COALESCE(SUM(data_length), 0) FROM information_schema.tables WHERE table_schema = 'shop'";
        let bytes: u64 = cluster.sql("mariadb-server-0", bytes).parse().unwrap();
        if bytes < 50 << 20 {
            ground(&["load", "--namespace", &cluster.namespace, "--mb", "80"]);
        }
        cluster
    }

    /// Nothing a test before this one stored is in the way: no test stands on another.
    fn empty_stores(&self) {
        let (catalogue, figures) = ("mariadb-server-backup-hash", "mariadb-server-backup-metrics");
        run("kubectl", &["delete", "configmap", catalogue, figures, "-n", &self.namespace, "--ignore-not-found"]);
        let ours = "app.kubernetes.io/managed-by=kubectl-mariadb-backup";
        run("kubectl", &["delete", "jobs", "-l", ours, "-n", &self.namespace]);
        for folder in [format!("{}/mariadb-server/", self.namespace), ".uploads/".to_owned()] {
            run("ground", &["s3", "remove", &folder]);
        }
        let claim = ["volume-path", "--namespace", &self.namespace, "mariadb-phy-backup-data"];
        let volume = run("ground", &claim);
        if volume.code != 0 {
            return;
        }
        for folder in ["base", "incr", ".seals", ".unfinished", ".quarantine"] {
            // A folder that is not there yet is as empty as can be.
            let _ = std::fs::remove_dir_all(std::path::Path::new(volume.stdout.trim()).join(folder));
        }
    }

    /// Every setting a test before this one may have changed is as it was.
    fn set_up(&self) {
        run("kubectl", &["delete", "configmap", "mariadb-server-backup", "-n", &self.namespace, "--ignore-not-found"]);
        let image = ground(&["agent", "--print"]);
        self.plugin(&["setup", "--agent-image", &image, "--keep", "3", "--bootstrap", "grastate"]).ends_with(0);
    }

    /// Changes a setting for the rest of the test.
    #[track_caller]
    pub(crate) fn set(&self, key: &str, value: &str) {
        let patch = serde_json::json!({"data": {key: value}}).to_string();
        self.kubectl(&["patch", "configmap", "mariadb-server-backup", "--type", "merge", "-p", &patch]);
    }

    /// Makes copies so slow that none ends before the test ends it.
    #[track_caller]
    pub(crate) fn copies_for_minutes(&self) {
        self.set("MARIADB_BACKUP_THROTTLE", "1");
    }

    /// Makes copies take some ten seconds.
    #[track_caller]
    pub(crate) fn copies_for_seconds(&self) {
        self.set("MARIADB_BACKUP_THROTTLE", "60");
    }

    /// Lets copies go as fast as they can.
    #[track_caller]
    pub(crate) fn copies_fast(&self) {
        self.set("MARIADB_BACKUP_THROTTLE", "0");
    }

    /// Turns S3 on, beside the volume (`both`) or instead of it (`s3`).
    #[track_caller]
    pub(crate) fn store_in(&self, stores: &str) {
        let image = ground(&["agent", "--print"]);
        let same = ["--agent-image", &image, "--keep", "3"];
        self.bring_secret("s3-credentials");
        let s3 = ["--s3-endpoint", "http://s3.demo:8333", "--s3-bucket", "backups", "--s3-secret", "s3-credentials"];
        self.plugin(&[&["setup", "--store", stores][..], &same, &s3].concat()).ends_with(0);
    }

    /// Gives a cluster with a namespace of its own a Secret of the demo's.
    pub(crate) fn bring_secret(&self, name: &str) {
        if self.namespace == "demo" {
            return;
        }
        let mut secret = kubectl_json(&["get", "secret", name, "-n", "demo"]);
        secret["metadata"] = serde_json::json!({"name": name, "namespace": self.namespace});
        let file = scratch_file(&self.namespace, &secret.to_string());
        kubectl(&["apply", "-f", file.to_str().unwrap()]);
        std::fs::remove_file(file).unwrap();
    }

    /// Whether S3 is one of the stores.
    #[track_caller]
    pub(crate) fn uses_s3(&self) -> bool {
        let settings = self.kubectl_json(&["get", "configmap", "mariadb-server-backup"]);
        settings["data"]["MARIADB_BACKUP_STORE"].as_str().is_some_and(|stores| stores != "local")
    }

    /// The replica the backup volume is bound to, which is the one that is copied.
    #[track_caller]
    pub(crate) fn target(&self) -> String {
        let claim = self.kubectl_json(&["get", "pvc", "mariadb-phy-backup-data"]);
        let Some(volume) = claim["spec"]["volumeName"].as_str() else { return "mariadb-server-2".to_owned() };
        let volume = self.kubectl_json(&["get", "pv", volume]);
        let terms = &volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"];
        let node = terms[0]["matchExpressions"][0]["values"][0].as_str().unwrap();
        self.pod_on(node).unwrap_or_else(|| "mariadb-server-2".to_owned())
    }

    fn pod_on(&self, node: &str) -> Option<String> {
        let pods = self.servers();
        let pod = pods.iter().find(|pod| pod["spec"]["nodeName"] == node)?;
        Some(pod["metadata"]["name"].as_str()?.to_owned())
    }

    /// The pods of its servers that there are.
    #[track_caller]
    fn servers(&self) -> Vec<Value> {
        let mut pods = self.kubectl_json(&["get", "pods", "-l", "application=mariadb"]);
        let mut pods = std::mem::take(pods["items"].as_array_mut().unwrap());
        pods.retain(|pod| pod["metadata"]["name"].as_str().is_some_and(|name| name.starts_with("mariadb-server-")));
        pods
    }

    /// How many of them are Ready.
    #[track_caller]
    pub(crate) fn ready(&self) -> usize {
        let is_ready = |pod: &&Value| {
            let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
            conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True")
        };
        self.servers().iter().filter(is_ready).count()
    }

    /// Two replicas that are not copied.
    #[track_caller]
    pub(crate) fn others(&self) -> [String; 2] {
        let target = self.target();
        let others: Vec<_> = (0..3).map(|n| format!("mariadb-server-{n}")).filter(|pod| *pod != target).collect();
        others.try_into().unwrap()
    }

    /// The replicas whose server answers now.
    pub(crate) fn pods_that_answer(&self) -> Vec<String> {
        let answers = |pod: &String| run("ground", &["sql", "--namespace", &self.namespace, pod, "SELECT 1"]).code == 0;
        (0..3).map(|n| format!("mariadb-server-{n}")).filter(answers).collect()
    }

    /// Starts statements that end with a `SELECT SLEEP(3000)` of some kind, and returns once that is
    /// what they do. They hold what they hold until the guard is dropped.
    #[track_caller]
    pub(crate) fn hold(&self, pod: &str, statements: &str) -> Held<'_> {
        let command = command("ground", &["sql", "--namespace", &self.namespace, pod, statements]);
        let client = Started::of(command);
        let held = Held { cluster: self, pod: pod.to_owned(), client: Some(client) };
        self.until_sql_runs(pod, HELD);
        held
    }

    /// Starts statements that take a while.
    pub(crate) fn start_sql(&self, pod: &str, statements: &str) -> Started {
        let command = command("ground", &["sql", "--namespace", &self.namespace, pod, statements]);
        Started::of(command)
    }

    /// Waits until a statement with that text is at work in a replica.
    #[track_caller]
    pub(crate) fn until_sql_runs(&self, pod: &str, text: &str) {
        let others = "ID <> CONNECTION_ID()";
        let find =
            format!("SELECT COUNT(*) FROM information_schema.processlist WHERE INFO LIKE '%{text}%' AND {others}");
        until(&format!("{text} runs in {pod}"), || (self.sql(pod, &find) != "0").then_some(()));
    }

    /// Runs the plugin through the real kubectl.
    pub(crate) fn plugin(&self, arguments: &[&str]) -> Ran {
        let all = self.plugin_arguments(arguments);
        run("kubectl", &all.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Makes a backup and returns its name.
    #[track_caller]
    pub(crate) fn created(&self, arguments: &[&str]) -> String {
        let ran = self.plugin(&[arguments, &["-o", "name"]].concat()).ends_with(0);
        ran.stdout.trim().trim_start_matches("backup/").to_owned()
    }

    /// Starts the plugin and does not wait for it.
    pub(crate) fn start_plugin(&self, arguments: &[&str]) -> Started {
        let all = self.plugin_arguments(arguments);
        let command = command("kubectl", &all.iter().map(String::as_str).collect::<Vec<_>>());
        Started::of(command)
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

    /// Whether a replica answers, is Synced, and nobody has desynced it; one that was killed a moment
    /// ago may still be called Ready.
    fn is_synced(&self, pod: &str) -> bool {
        let statement = "SELECT GROUP_CONCAT(VARIABLE_VALUE ORDER BY VARIABLE_NAME) FROM \
                         information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME IN \
                         ('wsrep_cluster_size', 'wsrep_desync_count', 'wsrep_local_state_comment')";
        let answer = run("ground", &["sql", "--namespace", &self.namespace, pod, statement]);
        answer.stdout.lines().nth(1) == Some("3,0,Synced")
    }

    /// Waits until every replica is Synced without any desync, and Ready.
    #[track_caller]
    pub(crate) fn healthy(&self) {
        until("every replica is Synced and Ready", || (self.ready() == 3 && self.servers().len() == 3).then_some(()));
        // A replica that was the donor of a state transfer is Ready a moment before it is Synced.
        for pod in (0..3).map(|n| format!("mariadb-server-{n}")) {
            until(&format!("{pod} is Synced"), || self.is_synced(&pod).then_some(()));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.client.take();
        if self.own {
            run("ground", &["galera", "delete", "--namespace", &self.namespace]);
        }
    }
}
/// By this a statement that holds something is found.
const HELD: &str = "SLEEP(3000)";

/// A session of somebody else that holds something in a replica; ended when dropped.
pub(crate) struct Held<'a> {
    cluster: &'a Cluster,
    pod: String,
    client: Option<Started>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let find = format!(
            "SELECT ID FROM information_schema.processlist WHERE INFO LIKE '%{HELD}%' AND ID <> CONNECTION_ID()"
        );
        let namespace = &self.cluster.namespace;
        let found = run("ground", &["sql", "--namespace", namespace, &self.pod, &find]).stdout;
        for id in found.lines().skip(1) {
            run("ground", &["sql", "--namespace", namespace, &self.pod, &format!("KILL {id}")]);
        }
        if let Some(client) = self.client.take() {
            client.end();
        }
    }
}

/// An account with another password than its Secret has; given its own back when dropped.
pub(crate) struct Rotated<'a> {
    cluster: &'a Cluster,
    account: &'static str,
    password: String,
}

impl<'a> Rotated<'a> {
    /// Changes the password of an account, in all replicas.
    #[track_caller]
    pub(crate) fn new(cluster: &'a Cluster, account: &'static str, secret: &str) -> Self {
        let template = "go-template={{.data.password | base64decode}}";
        let password = cluster.kubectl(&["get", "secret", secret, "-o", template]);
        cluster.sql("mariadb-server-0", &format!("ALTER USER {account} IDENTIFIED BY 'rotated'"));
        Self { cluster, account, password }
    }
}

impl Drop for Rotated<'_> {
    fn drop(&mut self) {
        let statement = format!("ALTER USER {} IDENTIFIED BY '{}'", self.account, self.password);
        run("ground", &["sql", "--namespace", &self.cluster.namespace, "0", &statement]);
    }
}

/// A file that is gone with the test.
pub(crate) fn scratch_file(name: &str, text: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("mariadb-backup-e2e-{}-{name}", std::process::id()));
    std::fs::write(&path, text).unwrap();
    path
}
