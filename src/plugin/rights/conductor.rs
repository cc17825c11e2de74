//! The conductor's rights.
//!
//! Where an object's name is known, the right is for that name only. Creating and listing cannot be
//! restricted by name in Kubernetes.

use serde_json::Value;

use super::rule;
use crate::model::names::metrics_config_map;
use crate::model::settings::Settings;

/// Rules of the conductor, in its namespace.
pub(crate) fn rules(statefulset: &str, settings: &Settings, state_config_map: Option<&str>) -> Vec<Value> {
    let mut maps =
        vec![Settings::config_map_name(statefulset), settings.hash_config_map.clone(), metrics_config_map(statefulset)];
    // Where the servers are told who starts the cluster.
    maps.extend(state_config_map.map(str::to_owned));
    let lease = [Settings::config_map_name(statefulset)];
    let set = [statefulset.to_owned()];
    vec![
        // Runners, and whether the replica is Ready.
        rule("", &["pods"], &["get", "list", "watch", "create", "delete"], &[]),
        rule("", &["pods/log"], &["get"], &[]),
        // Why a runner does not start; and how the run goes, told on the StatefulSet.
        rule("", &["events"], &["list", "create"], &[]),
        rule("", &["persistentvolumeclaims"], &["get", "list", "watch"], &[]),
        // The obligation's annotation.
        rule("apps", &["statefulsets"], &["get", "patch"], &set),
        rule("", &["configmaps"], &["get", "patch"], &maps),
        rule("", &["configmaps"], &["create"], &[]),
        // What would start a cluster again that is stopped for a restore.
        rule("autoscaling", &["horizontalpodautoscalers"], &["list"], &[]),
        // Whether traffic has left a desynced replica.
        rule("discovery.k8s.io", &["endpointslices"], &["list", "watch"], &[]),
        rule("coordination.k8s.io", &["leases"], &["get", "update"], &lease),
        rule("coordination.k8s.io", &["leases"], &["create"], &[]),
    ]
}

/// Rules of the conductor beyond its namespace: on which nodes a volume can be mounted, and on which it is;
/// and whether a node answers.
///
/// Without them a claim that cannot be mounted beside the replica shows only when the runner waits, and a
/// restore goes by pods alone to tell whether a volume is free, and learns in the outage that a node is lost.
pub(crate) fn beyond_its_namespace() -> Vec<Value> {
    vec![
        rule("", &["persistentvolumes"], &["get"], &[]),
        rule("storage.k8s.io", &["storageclasses"], &["get"], &[]),
        rule("storage.k8s.io", &["volumeattachments"], &["list", "watch"], &[]),
        rule("", &["nodes"], &["get"], &[]),
    ]
}
