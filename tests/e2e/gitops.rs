//! What is printed for GitOps is what the commands make: applied by kubectl, they find nothing to change.

use serde_json::Value;

use crate::ground::{Cluster, Ran, kubectl, only_on_the_ground, run, scratch_file};

const NAMESPACE: &str = "gitops";

/// A namespace with a cluster of no replicas, gone when dropped.
struct Empty;

impl Empty {
    #[track_caller]
    fn new() -> Self {
        only_on_the_ground();
        drop(Self);
        kubectl(&["create", "namespace", NAMESPACE]);
        let mut set: Value =
            serde_json::from_str(&kubectl(&["get", "statefulset", "mariadb-server", "-n", "demo", "-o", "json"]))
                .unwrap();
        set["metadata"] = serde_json::json!({"name": "mariadb-server", "namespace": NAMESPACE});
        set["spec"]["replicas"] = serde_json::json!(0);
        apply(&set.to_string());
        for secret in ["mariadb-backup-operator", "mariadb-backup"] {
            kubectl(&["create", "secret", "generic", secret, "--from-literal=username=u", "-n", NAMESPACE]);
        }
        Self
    }
}

impl Drop for Empty {
    fn drop(&mut self) {
        run("kubectl", &["delete", "namespace", NAMESPACE, "--ignore-not-found"]);
        let binding = format!("mariadb-backup-conductor-volumes-{NAMESPACE}");
        run("kubectl", &["delete", "clusterrolebinding", &binding, "--ignore-not-found"]);
    }
}

#[track_caller]
fn apply(document: &str) {
    let file = scratch_file("applied", document);
    kubectl(&["apply", "-f", file.to_str().unwrap()]);
    std::fs::remove_file(file).unwrap();
}

fn plugin(line: &[&str]) -> Ran {
    run("kubectl", &[&["mariadb-backup"], line, &["-n", NAMESPACE]].concat())
}

/// What a command prints, the same every time.
#[track_caller]
fn printed(line: &[&str]) -> String {
    let print = || plugin(&[line, &["--dry-run=client", "-o", "yaml"]].concat()).ends_with(0).stdout;
    let first = print();
    assert_eq!(print(), first, "two calls print two things");
    assert!(!first.contains("status:") && !first.contains("creationTimestamp"), "{first}");
    first
}

#[test]
fn what_is_printed_and_applied_by_kubectl_is_what_the_commands_would_make() {
    let _empty = Empty::new();
    let setup = ["setup", "mariadb-server", "--agent-image", "agent:1", "--storage-class", "ground-backup", "--roles"];
    apply(&printed(&setup));
    let ran = plugin(&setup).ends_with(0);
    let changed: Vec<&str> = ran.stdout.lines().filter(|line| !line.ends_with(" unchanged")).collect();
    assert!(ran.stdout.lines().count() > 20 && changed.is_empty(), "{}", ran.stdout);

    let schedule = ["schedule", "create", "nightly", "--schedule", "30 2 * * *", "--suspend"];
    apply(&printed(&schedule));
    assert_eq!(plugin(&schedule).ends_with(0).stdout, "cronjob.batch/nightly unchanged\n");

    let printed = plugin(&["create", "-o", "yaml"]).ends_with(0).stdout;
    let file = scratch_file("job", &printed);
    let server = ["apply", "--dry-run=server", "-o", "json", "-n", NAMESPACE];
    let by_kubectl = kubectl(&[&server[..], &["-f", file.to_str().unwrap()]].concat());
    std::fs::remove_file(file).unwrap();
    let by_plugin = plugin(&["create", "--dry-run=server", "-o", "json"]).ends_with(0).stdout;
    assert_eq!(without_names(&by_kubectl), without_names(&by_plugin));
}

#[test]
fn a_run_that_is_printed_and_applied_by_kubectl_makes_the_backup() {
    let cluster = Cluster::with_data();
    let before = cluster.listed();
    let file = scratch_file("run", &cluster.plugin(&["create", "-o", "yaml"]).ends_with(0).stdout);
    let made = cluster.kubectl(&["apply", "-f", file.to_str().unwrap()]);
    let run = made.trim().trim_end_matches(" created").trim_start_matches("job.batch/");
    cluster.plugin(&["logs", run]).ends_with(0);
    let again = cluster.kubectl(&["apply", "-f", file.to_str().unwrap()]);
    std::fs::remove_file(&file).unwrap();
    assert!(again.contains("unchanged"), "{again}");
    assert_eq!(cluster.listed().len(), before.len() + 1);
}

/// A Job without what is of this very one.
fn without_names(text: &str) -> Value {
    let job: Value = serde_json::from_str(text).unwrap();
    let of = |field: &str| job["metadata"][field].as_str().unwrap().to_owned();
    let text = job.to_string().replace(&of("name"), "NAME").replace(&of("uid"), "UID");
    let mut job: Value = serde_json::from_str(&text).unwrap();
    let metadata = job["metadata"].as_object_mut().unwrap();
    for field in ["creationTimestamp", "managedFields", "generateName"] {
        metadata.remove(field);
    }
    // What kubectl writes down of what it applied.
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
    metadata.retain(|_, value| value.as_object().is_none_or(|object| !object.is_empty()));
    job
}
