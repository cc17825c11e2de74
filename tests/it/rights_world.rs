//! An API server that judges every request as Kubernetes' RBAC does, over a namespace with one cluster.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cli_views::{of_two_clusters, version};
use crate::loopback_api::{Answer, Api, Asked, plugin};

/// Namespaces in which more is needed than in the usual one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum World {
    /// One cluster that was set up, and has everything.
    Usual,
    /// The cluster was not set up.
    NotSetUp,
    /// There is another cluster beside the one that was set up.
    TwoClusters,
    /// The claim of backups is missing.
    NoClaim,
    /// The service accounts of runs are missing.
    NoAccounts,
    /// No pod can be made, and an Event says why.
    NoPods,
}

/// What a request asks for, as `verb resource.group`; and where.
struct Right {
    verb: &'static str,
    group: String,
    resource: String,
    is_namespaced: bool,
}

impl Right {
    fn text(&self) -> String {
        let dot = if self.group.is_empty() { "" } else { "." };
        format!("{} {}{dot}{}", self.verb, self.resource, self.group)
    }

    /// The sentence in which Kubernetes refuses it.
    fn refusal(&self) -> String {
        let place = if self.is_namespaced { "in the namespace \"db\"" } else { "at the cluster scope" };
        format!(
            "{0} is forbidden: User \"alice\" cannot {1} resource \"{0}\" in API group \"{2}\" {place}",
            self.resource, self.verb, self.group
        )
    }

    /// What Kubernetes' RBAC is asked for such a request; `None` where it asks nothing.
    fn of(asked: &Asked) -> Option<Self> {
        let mut parts: Vec<&str> = asked.path.trim_matches('/').split('/').collect();
        let group = match *parts.first()? {
            "api" => String::new(),
            "apis" => parts.remove(1).to_owned(),
            _ => return None,
        };
        let is_namespaced = parts.get(2) == Some(&"namespaces") && parts.len() > 4;
        let rest = if is_namespaced { &parts[4..] } else { &parts[2..] };
        let resource = match rest {
            [resource, _, subresource] => format!("{resource}/{subresource}"),
            [resource, ..] => (*resource).to_owned(),
            [] => return None,
        };
        let verb = match (asked.method.as_str(), rest.len()) {
            ("GET", 1) if asked.query.contains("watch=true") => "watch",
            ("GET", 1) => "list",
            ("GET", _) => "get",
            ("POST", _) => "create",
            ("PATCH", _) => "patch",
            ("PUT", _) => "update",
            ("DELETE", _) => "delete",
            (other, _) => panic!("{other} {}", asked.path),
        };
        Some(Self { verb, group, resource, is_namespaced })
    }
}

/// The rights of a published Role, as `verb resource.group`.
pub(crate) fn rights_of(role: &str) -> BTreeSet<String> {
    let path = format!("{}/docs/roles/{role}.yaml", env!("CARGO_MANIFEST_DIR"));
    rights_in(&serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap())
}

/// The rights of a Role.
pub(crate) fn rights_in(role: &Value) -> BTreeSet<String> {
    let mut rights = BTreeSet::new();
    for rule in role["rules"].as_array().unwrap() {
        let texts = |field: &str| rule[field].as_array().unwrap().iter().map(|of| of.as_str().unwrap().to_owned());
        for (group, resource) in
            texts("apiGroups").flat_map(|group| texts("resources").map(move |of| (group.clone(), of)))
        {
            let dot = if group.is_empty() { "" } else { "." };
            rights.extend(texts("verbs").map(|verb| format!("{verb} {resource}{dot}{group}")));
        }
    }
    rights
}

/// A cluster that gives somebody these rights, and remembers which of them were used.
pub(crate) struct Guarded {
    api: Api,
    /// What was used of them.
    pub(crate) used: Arc<Mutex<BTreeSet<String>>>,
}

impl Guarded {
    pub(crate) fn start(rights: BTreeSet<String>, outcome: Value) -> Self {
        Self::start_in(World::Usual, rights, outcome)
    }

    pub(crate) fn start_in(world: World, rights: BTreeSet<String>, outcome: Value) -> Self {
        let used = Arc::new(Mutex::new(BTreeSet::new()));
        let looks = AtomicUsize::new(0);
        let seen = Arc::clone(&used);
        let api = Api::judging(move |asked| {
            if asked.path == "/version" {
                return Answer::ok(&version());
            }
            let Some(right) = Right::of(asked) else { return Answer::status(404, "not found") };
            if !right.is_namespaced || !rights.contains(&right.text()) {
                return Answer::status(403, &right.refusal());
            }
            // What is applied and is not there is created.
            let created = Right { verb: "create", ..Right::of(asked).unwrap() };
            if right.verb == "patch" && is_new(asked) && !rights.contains(&created.text()) {
                return Answer::status(403, &created.refusal());
            }
            let mut used = seen.lock().unwrap();
            used.insert(right.text());
            if right.verb == "patch" && is_new(asked) {
                used.insert(created.text());
            }
            drop(used);
            answer_in(world, asked, &outcome, &looks)
        });
        Self { api, used }
    }

    /// Runs a command line; its exit code, and all it printed.
    pub(crate) fn run(&self, line: &[&str]) -> (String, String) {
        let shown = plugin(&[line, &["-n", "db"]].concat(), self.api.kubeconfig());
        (shown.lines().next().unwrap().to_owned(), shown)
    }

    /// Runs a command line that goes on until it is interrupted; whether it came to use that right.
    pub(crate) fn watches(&self, line: &[&str], right: &str) -> bool {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin("kubectl-mariadb_backup"));
        command.args(line).args(["-n", "db"]).env_clear().env("KUBECONFIG", self.api.kubeconfig());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let is_used = || self.used.lock().unwrap().contains(right);
        let ended = (0..600).any(|_| {
            thread::sleep(LIMIT / 600);
            is_used() || child.try_wait().unwrap().is_some()
        });
        child.kill().ok();
        child.wait().unwrap();
        ended && is_used()
    }
}

/// How long something is waited for; it takes this long only where it never comes.
const LIMIT: Duration = Duration::from_mins(1);

/// Two clusters in two namespaces, and somebody with these rights in all of them.
pub(crate) fn everywhere(rights: BTreeSet<String>) -> Guarded {
    let api = Api::judging(move |asked| match Right::of(asked) {
        Some(right) if !rights.contains(&right.text()) => Answer::status(403, &right.refusal()),
        _ => of_two_clusters(&asked.path),
    });
    Guarded { api, used: Arc::default() }
}

fn is_new(asked: &Asked) -> bool {
    !asked.path.ends_with("/cronjobs/nightly")
}

fn answer_in(world: World, asked: &Asked, outcome: &Value, looks: &AtomicUsize) -> Answer {
    let list = |items: &[Value]| Answer::ok(&json!({"metadata": {"resourceVersion": "1"}, "items": items}));
    let name = asked.path.split("/namespaces/db/").nth(1).unwrap_or_default();
    match (world, name) {
        (World::NotSetUp, "configmaps/one-backup")
        | (World::NoClaim, "persistentvolumeclaims/mariadb-phy-backup-data") => Answer::status(404, "not found"),
        (World::TwoClusters, "statefulsets") => {
            let mut two = statefulset();
            two["metadata"]["name"] = json!("two");
            list(&[statefulset(), two])
        }
        (World::TwoClusters, "configmaps") => list(&[json!({"metadata": {"name": "one-backup"}})]),
        (World::NoAccounts, name) if name.starts_with("serviceaccounts/") => Answer::status(404, "not found"),
        (World::NoPods, "configmaps/one-backup") => Answer::ok(&json!({"metadata": {"name": "one-backup"}, "data": {
            "MARIADB_BACKUP_STORE": "both", "MARIADB_BACKUP_S3_BUCKET": "b", "MARIADB_BACKUP_START_TIMEOUT": "1"}})),
        (World::NoPods, "pods") if asked.query.contains("job-name") => list(&[]),
        (World::NoPods, "events") => list(&[json!({"metadata": {"name": "e"}, "involvedObject": {},
            "message": "exceeded quota: pods"})]),
        _ => answer(asked, outcome, looks),
    }
}

fn answer(asked: &Asked, outcome: &Value, looks: &AtomicUsize) -> Answer {
    let Some(name) = asked.path.split("/namespaces/db/").nth(1) else { return Answer::status(404, "not found") };
    let list = |items: &[Value]| Answer::ok(&json!({"metadata": {"resourceVersion": "1"}, "items": items}));
    match (asked.method.as_str(), name) {
        ("GET", "statefulsets") => list(&[statefulset()]),
        ("GET", "statefulsets/one") => Answer::ok(&statefulset()),
        ("GET", "configmaps" | "events" | "leases") => list(&[]),
        ("GET", "configmaps/one-backup") => Answer::ok(&json!({"metadata": {"name": "one-backup"}, "data": {
            "MARIADB_BACKUP_STORE": "both", "MARIADB_BACKUP_S3_BUCKET": "b"}})),
        ("GET", "configmaps/one-backup-hash") => Answer::ok(&json!({"metadata": {}, "data": {
            "hash_table": r#"{"base/2000-01-01_00-00-00/backup.mbstream.zst": {"checksum": "aa", "size": 5}}"#}})),
        ("GET", "persistentvolumeclaims/mariadb-phy-backup-data" | "persistentvolumeclaims/data-one-0") => {
            Answer::ok(&json!({"metadata": {}, "status": {"phase": "Bound"}}))
        }
        ("POST", "jobs") => {
            looks.store(0, Ordering::SeqCst);
            Answer::ok(&job())
        }
        ("GET", "jobs") => list(&[job()]),
        ("GET", "jobs/run-x") => Answer::ok(&job()),
        ("GET", "pods") => pods(asked, outcome, looks),
        ("GET", "pods/run-x-pod/log") => Answer::lines(&[]),
        ("GET", "cronjobs") => list(&[cron_job()]),
        ("GET" | "PATCH", "cronjobs/nightly" | "cronjobs/weekly")
            if asked.method == "PATCH" || name.ends_with("nightly") =>
        {
            Answer::ok(&cron_job())
        }
        ("DELETE", _) => Answer::ok(&json!({"kind": "Status", "apiVersion": "v1", "status": "Success"})),
        ("PATCH", _) => Answer::ok(&json!({"apiVersion": "v1", "kind": "Applied", "metadata": {"name": "x"}})),
        ("GET", account) if account.starts_with("serviceaccounts/") => {
            Answer::ok(&json!({"metadata": {"name": "there"}}))
        }
        _ => Answer::status(404, "not found"),
    }
}

/// The pod of a run comes late, starts, and ends.
fn pods(asked: &Asked, outcome: &Value, looks: &AtomicUsize) -> Answer {
    let pod = |status: Value| {
        json!({"kind": "Pod", "metadata": {"name": "run-x-pod", "uid": "p", "resourceVersion": "1",
                "labels": {"app.kubernetes.io/managed-by": "kubectl-mariadb-backup"}},
            "spec": {"containers": [{"name": "conductor", "image": "agent"}]}, "status": status})
    };
    let state = |phase: &str, state: Value| {
        pod(json!({"phase": phase, "containerStatuses": [{"name": "conductor", "ready": false, "restartCount": 0,
            "image": "i", "imageID": "i", "state": state}]}))
    };
    let list = |items: &[Value]| Answer::ok(&json!({"metadata": {"resourceVersion": "1"}, "items": items}));
    if asked.query.contains("watch=true") {
        let ended = json!({"terminated": {"exitCode": 0, "message": outcome.to_string()}});
        return Answer::lines(&[
            json!({"type": "MODIFIED", "object": state("Running", json!({"running": {}}))}),
            json!({"type": "MODIFIED", "object": state("Succeeded", ended)}),
        ]);
    }
    let is_first = asked.query.contains("job-name") && looks.fetch_add(1, Ordering::SeqCst) == 0;
    let is_of_the_cluster = !asked.query.contains("Selector");
    match () {
        () if is_of_the_cluster => list(&[replica(), pod(json!({"phase": "Pending"}))]),
        () if is_first => list(&[]),
        () => list(&[pod(json!({"phase": "Pending"}))]),
    }
}

fn replica() -> Value {
    let owner = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "one", "uid": "set"});
    json!({"metadata": {"name": "one-0", "uid": "r", "ownerReferences": [owner]}, "spec": {"containers": [],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data-one-0"}}]}})
}

fn statefulset() -> Value {
    json!({"metadata": {"name": "one", "uid": "set"}, "spec": {"replicas": 1, "selector": {}, "serviceName": "s",
        "volumeClaimTemplates": [{"metadata": {"name": "data"}}],
        "template": {"spec": {"containers": [{"name": "c", "image": "mariadb",
            "volumeMounts": [{"name": "data", "mountPath": "/var/lib/mysql"}]}]}}}})
}

fn job() -> Value {
    json!({"metadata": {"name": "run-x", "labels": {"mariadb-backup.io/task": "backup"}}, "spec": {"template": {}}})
}

fn cron_job() -> Value {
    let order = json!({"version": 1, "statefulset": "one", "task": {"backup": {}}});
    json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "nightly", "namespace": "db", "uid": "c",
            "labels": {"app.kubernetes.io/managed-by": "kubectl-mariadb-backup", "mariadb-backup.io/statefulset": "one"}},
        "spec": {"schedule": "30 2 * * *", "timeZone": "Etc/UTC", "jobTemplate": {"metadata": {}, "spec": {"template": {
            "spec": {"containers": [{"name": "conductor", "image": "agent", "args": ["conduct", "--order", order.to_string()]}]}}}}}})
}
