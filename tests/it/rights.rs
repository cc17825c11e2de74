//! The published Roles: each command works with its own, uses all of it, and names what is missing.
//!
//! The API server here judges every request as Kubernetes' RBAC does, by the Role in `docs/roles`.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

use crate::cli_views::version;
use crate::loopback_api::{Answer, Api, Asked, plugin};

/// A command line for each of the ways a command takes, and the Role it has.
const COMMANDS: [(&str, &[&[&str]]); 17] = [
    ("create", &[&["create"], &["create", "one"], &["create", "--from-schedule", "nightly"]]),
    ("list", &[&["list"], &["list", "one"]]),
    ("list-live", &[&["list", "--live"], &["list", "one", "--live"]]),
    ("verify", &[&["verify"], &["verify", "--statefulset", "one"]]),
    ("drill", &[&["drill"], &["drill", "--statefulset", "one"]]),
    ("restore", &[&["restore", BACKUP, "--dry-run"]]),
    ("sync", &[&["sync"], &["sync", "--statefulset", "one"]]),
    ("delete", &[&["delete", BACKUP, "--yes"], &["delete", BACKUP, "--yes", "--statefulset", "one"]]),
    ("prune", &[&["prune", "--yes"], &["prune", "--yes", "--statefulset", "one"]]),
    (
        "schedule",
        &[
            &["schedule", "create", "weekly", "--schedule", "@weekly"],
            &["schedule", "create", "weekly", "--schedule", "@weekly", "--statefulset", "one"],
            &["schedule", "list"],
            &["schedule", "suspend", "nightly"],
            &["schedule", "delete", "nightly"],
        ],
    ),
    ("recover", &[&["recover"], &["recover", "--statefulset", "one"]]),
    ("status", &[&["status"], &["status", "one"]]),
    ("describe", &[&["describe", BACKUP], &["describe", BACKUP, "--statefulset", "one"]]),
    ("setup", &[&["setup"], &["setup", "one", "--store-claim", "new"]]),
    ("logs", &[&["logs"]]),
    ("report", &[&["report", "--file", "-"], &["report", "one", "--file", "-"]]),
    ("version", &[&["version"], &["version", "one"]]),
];

const BACKUP: &str = "2000-01-01_00-00-00";

/// Those whose way through the API is that of no other: what each right is missed by is tried with them.
const SWEPT: [&str; 7] = ["create", "list", "restore", "schedule", "status", "setup", "logs"];

/// What setup may grant although it does not do it itself; Kubernetes would refuse it to grant what it lacks.
const ONLY_GRANTED: [&str; 31] = [
    "patch statefulsets.apps",
    "get jobs.batch",
    "list jobs.batch",
    "create jobs.batch",
    "get pods",
    "list pods",
    "watch pods",
    "create pods",
    "delete pods",
    "get pods/log",
    "list events",
    "create events",
    "list persistentvolumeclaims",
    "watch persistentvolumeclaims",
    "get cronjobs.batch",
    "create cronjobs.batch",
    "patch cronjobs.batch",
    "delete cronjobs.batch",
    "get leases.coordination.k8s.io",
    "create leases.coordination.k8s.io",
    "update leases.coordination.k8s.io",
    "list horizontalpodautoscalers.autoscaling",
    "list endpointslices.discovery.k8s.io",
    "watch endpointslices.discovery.k8s.io",
    "list configmaps",
    "watch configmaps",
    "watch statefulsets.apps",
    "watch jobs.batch",
    "watch cronjobs.batch",
    "list leases.coordination.k8s.io",
    "watch leases.coordination.k8s.io",
];

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
fn rights_of(role: &str) -> BTreeSet<String> {
    let path = format!("{}/docs/roles/{role}.yaml", env!("CARGO_MANIFEST_DIR"));
    let role: Value = serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
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
struct Guarded {
    api: Api,
    used: Arc<Mutex<BTreeSet<String>>>,
}

impl Guarded {
    fn start(rights: BTreeSet<String>, outcome: Value) -> Self {
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
            answer(asked, &outcome, &looks)
        });
        Self { api, used }
    }

    /// Runs a command line; its exit code, and all it printed.
    fn run(&self, line: &[&str]) -> (String, String) {
        let shown = plugin(&[line, &["-n", "db"]].concat(), self.api.kubeconfig());
        (shown.lines().next().unwrap().to_owned(), shown)
    }
}

fn is_new(asked: &Asked) -> bool {
    !asked.path.ends_with("/cronjobs/nightly")
}

fn answer(asked: &Asked, outcome: &Value, looks: &AtomicUsize) -> Answer {
    let Some(name) = asked.path.split("/namespaces/db/").nth(1) else { return Answer::status(404, "not found") };
    let list = |items: &[Value]| Answer::ok(&json!({"metadata": {"resourceVersion": "1"}, "items": items}));
    match (asked.method.as_str(), name) {
        ("GET", "statefulsets") => list(&[statefulset()]),
        ("GET", "statefulsets/one") => Answer::ok(&statefulset()),
        ("GET", "configmaps" | "events") => list(&[]),
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
    let pod = |status: Value| json!({"metadata": {"name": "run-x-pod", "uid": "p", "resourceVersion": "1"}, "spec": {"containers": []}, "status": status});
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
        () if is_of_the_cluster => list(&[replica()]),
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

/// How a run of that command ends.
fn outcome(role: &str) -> Value {
    let done = match role {
        "status" => json!({"status": {"replicas": [], "findings": []}}),
        "list-live" | "describe" => json!({"inventory": {"localCount": 0, "s3Count": 0}}),
        _ => json!({"recover": {"run": null, "what": null}}),
    };
    json!({"schema": 1, "done": done})
}

/// Does something for every item, some of them at once: most of the time is waiting.
fn at_once<I: Send + Sync, T: Send>(items: &[I], act: impl Fn(&I) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                while let Some((at, item)) =
                    Some(next.fetch_add(1, Ordering::SeqCst)).and_then(|at| Some((at, items.get(at)?)))
                {
                    let result = act(item);
                    done.lock().unwrap().push((at, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap();
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

#[test]
fn every_command_works_with_its_own_role_and_uses_all_of_it() {
    let wrong = at_once(&COMMANDS, |(role, lines)| {
        let mut rights = rights_of(role);
        let server = Guarded::start(rights.clone(), outcome(role));
        let mut wrong = Vec::new();
        for line in *lines {
            let (_, shown) = server.run(line);
            // Without a cluster admin's rights setup cannot make the ClusterRole, which is optional, and says so.
            let told = shown.lines().filter(|line| line.contains("may not") && !line.contains("cluster"));
            wrong.extend(told.map(|told| format!("{}: {told}", line.join(" "))));
            if shown.contains("error: ") {
                wrong.push(format!("{}: {shown}", line.join(" ")));
            }
        }
        if *role == "setup" {
            rights.retain(|right| !ONLY_GRANTED.contains(&right.as_str()));
        }
        let used = server.used.lock().unwrap();
        wrong.extend(rights.difference(&used).map(|right| format!("{role}: nothing uses {right}")));
        wrong
    });
    assert_eq!(wrong.concat(), [""; 0]);
}

#[test]
fn whatever_right_is_missing_is_named_or_not_missed() {
    let cases: Vec<(&str, &[&[&str]], String)> = COMMANDS
        .iter()
        .filter(|(role, _)| SWEPT.contains(role))
        .flat_map(|(role, lines)| rights_of(role).into_iter().map(move |missing| (*role, *lines, missing)))
        .filter(|(role, _, missing)| *role != "setup" || !ONLY_GRANTED.contains(&missing.as_str()))
        .collect();
    let told = at_once(&cases, |(role, lines, missing)| {
        let mut rights = rights_of(role);
        let full = Guarded::start(rights.clone(), outcome(role));
        rights.remove(missing);
        let less = Guarded::start(rights, outcome(role));
        let mut told = BTreeSet::new();
        for line in *lines {
            let (code, _) = full.run(line);
            let (less_code, shown) = less.run(line);
            let name = format!("may not {missing} in namespace db");
            let is_named = shown.contains(&name);
            if less_code != code {
                assert!(is_named, "{} without {missing}: {shown}", line.join(" "));
                assert!(shown.contains("\nhint: "), "{} without {missing}: {shown}", line.join(" "));
                told.insert(format!("{less_code}, named"));
            } else if is_named {
                told.insert("goes on, named".to_owned());
            }
        }
        let told =
            if told.is_empty() { "not missed".to_owned() } else { told.into_iter().collect::<Vec<_>>().join("; ") };
        format!("{role} without {missing}: {told}")
    });
    insta::assert_snapshot!(told.join("\n"));
}
