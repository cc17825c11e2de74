//! Those who watch a cluster are told of its runs; and what a run makes passes Pod Security `restricted`.

use crate::ground::{Cluster, run};

/// A namespace in which Kubernetes refuses every new pod that is not `restricted`, until dropped; but for the servers',
/// which the ground exempts: a StatefulSet makes those.
pub(crate) struct Restricted<'a>(&'a Cluster);

impl<'a> Restricted<'a> {
    #[track_caller]
    pub(crate) fn enforced(cluster: &'a Cluster) -> Self {
        let label = "pod-security.kubernetes.io/enforce=restricted";
        run("kubectl", &["label", "namespace", &cluster.namespace, label, "--overwrite"]).ends_with(0);
        Self(cluster)
    }
}

impl Drop for Restricted<'_> {
    fn drop(&mut self) {
        run("kubectl", &["label", "namespace", &self.0.namespace, "pod-security.kubernetes.io/enforce-"]);
    }
}

/// One figure of the backups, by the one-liner of docs/monitoring.md.
#[track_caller]
fn figure(cluster: &Cluster, name: &str, label: &str) -> String {
    let template = r#"go-template={{index .data "metrics.prom"}}"#;
    let text = cluster.kubectl(&["get", "configmap", "mariadb-server-backup-metrics", "-o", template]);
    let labels = format!("{{namespace=\"{}\",statefulset=\"mariadb-server\"{label}}} ", cluster.namespace);
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(&labels));
    line.unwrap_or_else(|| panic!("no {name}{label} in:\n{text}")).to_owned()
}

#[test]
fn a_run_is_told_by_events_on_the_statefulset_and_by_figures_for_prometheus() {
    let cluster = Cluster::with_data();
    let restricted = Restricted::enforced(&cluster);
    let name = cluster.created(&["create"]);
    cluster.plugin(&["drill", &name]).ends_with(0);
    drop(restricted);
    let backup = ",task=\"backup\"";
    let success = figure(&cluster, "mariadb_backup_last_success_timestamp_seconds", backup);
    assert_eq!(figure(&cluster, "mariadb_backup_last_run_success", backup), "1");
    let desync: f64 = figure(&cluster, "mariadb_backup_last_copy_desync_seconds", ",type=\"full\"").parse().unwrap();
    assert!(desync > 0.0);
    assert!(cluster.plugin(&["create", "--required-space-ratio", "100"]).code != 0);
    assert_eq!(figure(&cluster, "mariadb_backup_last_run_success", backup), "0");
    assert_eq!(figure(&cluster, "mariadb_backup_last_success_timestamp_seconds", backup), success);
    assert_eq!(figure(&cluster, "mariadb_backup_obligations_open", ""), "0");
    let described = cluster.kubectl(&["describe", "statefulset", "mariadb-server"]);
    let told = |reason: &str, text: &str| {
        let is_told = described.lines().any(|line| line.contains(&format!(" {reason} ")) && line.contains(text));
        assert!(is_told, "no {reason} with \"{text}\" in:\n{described}");
    };
    told("BackupStarted", "begins");
    told("BackupCompleted", &format!("full backup {name}: "));
    told("DrillCompleted", &name);
    told("BackupFailed", "not enough room in the store");
    told("BackupFailed", "kubectl mariadb-backup logs ");
}
