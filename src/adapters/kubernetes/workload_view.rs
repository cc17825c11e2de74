//! From Kubernetes' objects to what a restore has to know of them: pure.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ContainerStatus, Node, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::VolumeAttachment;
use kube::ResourceExt;

use super::view;
use super::workload::is_ours;
use crate::model::cluster::ServerSpec;
use crate::model::names::REBOOT_NODE_ANNOTATION;
use crate::model::workload::{ClaimUser, Flavour, Keeper, Pace, Scale};
use crate::ports::{PortError, Reason};

/// The environment variable by which servers in the way of openstack-helm know their ConfigMap.
const STATE_CONFIG_MAP: &str = "STATE_CONFIGMAP";

/// What begins the annotations on that ConfigMap.
const STATE_PREFIX: &str = "openstackhelm.openstack.org";

/// The API groups of mariadb-operator, now and before.
const OPERATOR_GROUPS: [&str; 3] = ["k8s.mariadb.com", "enterprise.mariadb.com", "mariadb.mmontes.io"];

/// A server that ended so often will not come up by waiting.
const HOPELESS_RESTARTS: i32 = 3;

/// `terminationGracePeriodSeconds` where it is not said.
const DEFAULT_GRACE_SECONDS: i64 = 30;

/// Whose use of a claim counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Use<'a> {
    /// Everybody's, but that of the pod of that name.
    AnyBut(Option<&'a str>),
    /// Everybody's but this product's.
    Foreign,
}

/// How far a pod is on its way to be Ready.
pub(super) enum Readiness {
    Ready,
    NotYet(String),
    Hopeless(String),
}

pub(super) fn scale(set: &StatefulSet) -> Scale {
    let spec = set.spec.as_ref();
    Scale {
        replicas: spec.and_then(|spec| spec.replicas).unwrap_or(1),
        first: spec.and_then(|spec| spec.ordinals.as_ref()?.start).unwrap_or(0),
    }
}

/// The name of the claim template the data lie on.
pub(super) fn claim_template(set: &StatefulSet) -> Result<String, PortError> {
    server(set).map(|server| server.claim_template)
}

/// The image the servers run in.
pub(super) fn server_image(set: &StatefulSet) -> Result<String, PortError> {
    server(set).map(|server| server.image)
}

fn server(set: &StatefulSet) -> Result<ServerSpec, PortError> {
    let server = view::server(set).map_err(|error| {
        PortError::new(Reason::Other, format!("cannot find the MariaDB server in StatefulSet {}", set.name_any()))
            .caused_by(error)
    })?;
    Ok(server.0)
}

pub(super) fn deletes_claims(set: &StatefulSet) -> bool {
    let policy = set.spec.as_ref().and_then(|spec| spec.persistent_volume_claim_retention_policy.as_ref());
    policy.and_then(|policy| policy.when_scaled.as_deref()) == Some("Delete")
}

/// The object of an operator that owns the StatefulSet.
pub(super) fn controller(set: &StatefulSet) -> Option<Keeper> {
    let owner = set.owner_references().iter().find(|owner| owner.controller == Some(true))?;
    let (kind, name) = (&owner.kind, &owner.name);
    let pause = if is_mariadb_operators(&owner.api_version) {
        let namespace = set.namespace().map(|namespace| format!(" -n {namespace}")).unwrap_or_default();
        format!("kubectl patch mariadb {name}{namespace} --type merge -p '{{\"spec\":{{\"suspend\":true}}}}'")
    } else {
        format!("as its documentation says, or by scaling the operator of {kind} to 0")
    };
    Some(Keeper { name: format!("the operator of {kind} {name}"), pause })
}

fn is_mariadb_operators(api_version: &str) -> bool {
    OPERATOR_GROUPS.iter().any(|group| api_version.starts_with(group))
}

/// What sets the StatefulSet back to what stands in a repository, by the marks that Argo CD and Flux leave on
/// what they apply. Flux itself passes over an object that says so.
pub(super) fn keepers(set: &StatefulSet) -> Vec<Keeper> {
    let mark = |key: &str| set.labels().get(key).or_else(|| set.annotations().get(key)).map(String::as_str);
    let mut found = Vec::new();
    // A tracking id is `<application>:<group>/<kind>:<namespace>/<name>`.
    let tracked = mark("argocd.argoproj.io/tracking-id").and_then(|id| id.split(':').next());
    if let Some(name) = tracked.or_else(|| mark("argocd.argoproj.io/instance")) {
        let pause = format!("argocd app set {name} --sync-policy none");
        found.push(Keeper { name: format!("Argo CD application {name}"), pause });
    }
    for (group, kind) in [("kustomize", "Kustomization"), ("helm", "HelmRelease")] {
        let of = |what: &str| mark(&format!("{group}.toolkit.fluxcd.io/{what}"));
        let Some(name) = of("name").filter(|_| of("reconcile") != Some("disabled")) else { continue };
        let namespace = of("namespace").unwrap_or("flux-system");
        let pause = format!("flux suspend {} {name} -n {namespace}", kind.to_lowercase());
        found.push(Keeper { name: format!("Flux {kind} {namespace}/{name}"), pause });
    }
    found
}

/// How long the servers take to stop at most, and how long the quickest of those that run took to start: another may have
/// waited for a state transfer.
pub(super) fn pace(set: &StatefulSet, pods: &[Pod]) -> Pace {
    let spec = set.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    let grace = spec.and_then(|spec| spec.termination_grace_period_seconds).unwrap_or(DEFAULT_GRACE_SECONDS);
    let container = server(set).map(|server| server.container).unwrap_or_default();
    let is_one = |pod: &&Pod| view::ordinal(&pod.name_any(), &set.name_any()).is_some();
    Pace {
        stop_at_most: Duration::from_secs(u64::try_from(grace).unwrap_or_default()),
        start: pods.iter().filter(is_one).filter_map(|pod| took_to_start(pod, &container)).min(),
    }
}

/// From the start of a pod's server to the pod being Ready.
fn took_to_start(pod: &Pod, container: &str) -> Option<Duration> {
    let status = pod.status.as_ref().filter(|_| view::is_ready(pod))?;
    let ready = status.conditions.iter().flatten().find(|condition| condition.type_ == "Ready")?;
    let server = status.container_statuses.iter().flatten().find(|status| status.name == container)?;
    let started = server.state.as_ref()?.running.as_ref()?.started_at.as_ref()?;
    ready.last_transition_time.as_ref()?.0.duration_since(started.0).try_into().ok()
}

/// Finds out in which way the servers start.
pub(super) fn flavour(set: &StatefulSet) -> Flavour {
    if set.owner_references().iter().any(|owner| is_mariadb_operators(&owner.api_version)) {
        return Flavour::MariadbOperator;
    }
    let containers = set.spec.iter().filter_map(|spec| spec.template.spec.as_ref()).flat_map(|pod| &pod.containers);
    let variables: Vec<_> = containers.flat_map(|container| container.env.iter().flatten()).collect();
    let state = variables.iter().find(|variable| variable.name == STATE_CONFIG_MAP);
    if let Some(state_config_map) = state.and_then(|variable| variable.value.clone()) {
        return Flavour::OpenstackHelm { state_config_map };
    }
    let is_chart = set.labels().get("app.kubernetes.io/name").is_some_and(|name| name == "mariadb-galera");
    let is_bitnami = variables.iter().any(|variable| variable.name.starts_with("MARIADB_GALERA_CLUSTER_"));
    if is_chart || is_bitnami { Flavour::Bitnami } else { Flavour::Plain }
}

/// What tells servers in the way of openstack-helm how the cluster is, and who starts it; nobody without a
/// pod.
pub(super) fn state_annotations(state: &str, pod: Option<&str>) -> BTreeMap<String, Option<String>> {
    BTreeMap::from([
        (format!("{STATE_PREFIX}/cluster.state"), Some(state.to_owned())),
        (REBOOT_NODE_ANNOTATION.to_owned(), pod.map(str::to_owned)),
    ])
}

/// Pods that have, or may still have, one of the claims.
pub(super) fn users(claims: &[String], pods: &[Pod], whose: Use<'_>) -> Vec<ClaimUser> {
    let is_meant = |pod: &Pod| match whose {
        Use::AnyBut(but) => but.is_none_or(|but| pod.name_any() != but),
        Use::Foreign => !is_ours(pod),
    };
    let counts = |pod: &&Pod| !is_over(pod) && is_meant(pod);
    let user = |pod: &Pod, claim: &String| ClaimUser {
        claim: claim.clone(),
        by: format!("pod {}", pod.name_any()),
        node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        terminating: pod.metadata.deletion_timestamp.is_some(),
    };
    let of = |pod: &Pod| {
        mounted(pod).filter(|claim| claims.contains(claim)).map(|claim| user(pod, claim)).collect::<Vec<_>>()
    };
    pods.iter().filter(counts).flat_map(of).collect()
}

/// The claims that the pod of that name has mounted: as long as it lives, their volumes stay attached.
pub(super) fn kept_by_runner(name: &str, pods: &[Pod]) -> Vec<String> {
    pods.iter().filter(|pod| pod.name_any() == name).flat_map(mounted).cloned().collect()
}

/// How many ordinals, from the first one on, lie up to the highest that has a claim.
pub(super) fn claimed(claims: &[PersistentVolumeClaim], prefix: &str, first: i32) -> i32 {
    let names = claims.iter().map(ResourceExt::name_any);
    let ordinals = names.filter_map(|name| name.strip_prefix(prefix)?.parse::<i32>().ok());
    ordinals.filter(|ordinal| *ordinal >= first).max().map_or(0, |highest| highest - first + 1)
}

/// Whether a pod has ended for good: its processes are gone, whatever stands of it.
fn is_over(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

fn mounted(pod: &Pod) -> impl Iterator<Item = &String> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes.filter_map(|volume| volume.persistent_volume_claim.as_ref()).map(|claim| &claim.claim_name)
}

/// Attachments of the claims' volumes to nodes.
pub(super) fn attached(
    claims: &[String],
    listed: &[PersistentVolumeClaim],
    attachments: &[VolumeAttachment],
) -> Vec<ClaimUser> {
    let volume_of = |claim: &PersistentVolumeClaim| claim.spec.as_ref()?.volume_name.clone();
    let wanted = listed.iter().filter(|claim| claims.contains(&claim.name_any()));
    let volumes: BTreeMap<_, _> = wanted.filter_map(|claim| Some((volume_of(claim)?, claim.name_any()))).collect();
    let of = |attachment: &VolumeAttachment| {
        let claim = volumes.get(attachment.spec.source.persistent_volume_name.as_ref()?)?;
        Some(ClaimUser {
            claim: claim.clone(),
            by: format!("attachment {}", attachment.name_any()),
            node: Some(attachment.spec.node_name.clone()),
            // Without a pod, it ends by itself.
            terminating: true,
        })
    };
    attachments.iter().filter_map(of).collect()
}

/// Whether a node's kubelet reports that all is well.
pub(super) fn node_answers(node: &Node) -> bool {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.filter(|condition| condition.type_ == "Ready").all(|condition| condition.status == "True")
}

pub(super) fn readiness(pod: &Pod) -> Readiness {
    if pod.metadata.deletion_timestamp.is_some() {
        return Readiness::NotYet("its last pod is still being deleted".to_owned());
    }
    if view::is_ready(pod) {
        return Readiness::Ready;
    }
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    let mut worst = None;
    for status in statuses {
        if status.restart_count >= HOPELESS_RESTARTS {
            return Readiness::Hopeless(format!(
                "its container {} ended {} times{}",
                status.name,
                status.restart_count,
                last_end(status)
            ));
        }
        worst = worst.or_else(|| waits(status));
    }
    Readiness::NotYet(worst.unwrap_or_else(|| "its probe does not call it ready".to_owned()))
}

fn last_end(status: &ContainerStatus) -> String {
    let ended = status.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    ended.map(|ended| format!(", last with exit code {}", ended.exit_code)).unwrap_or_default()
}

fn waits(status: &ContainerStatus) -> Option<String> {
    let waiting = status.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref().unwrap_or("it waits");
    let message = waiting.message.as_ref().map(|message| format!(" ({message})")).unwrap_or_default();
    Some(format!("its container {} is not running: {reason}{message}", status.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(value: serde_json::Value) -> StatefulSet {
        serde_json::from_value(value).unwrap()
    }

    fn with_env(name: &str, value: &str) -> StatefulSet {
        let container = serde_json::json!({"name": "mariadb", "env": [{"name": name, "value": value}]});
        let template = serde_json::json!({"spec": {"containers": [container]}});
        set(serde_json::json!({"spec": {"selector": {}, "serviceName": "s", "template": template}}))
    }

    #[test]
    fn each_flavour_is_told_by_what_its_servers_go_by() {
        let state_config_map = "mariadb-mariadb-state".to_owned();
        assert_eq!(
            flavour(&with_env(STATE_CONFIG_MAP, "mariadb-mariadb-state")),
            Flavour::OpenstackHelm { state_config_map }
        );
        assert_eq!(flavour(&with_env("MARIADB_GALERA_CLUSTER_BOOTSTRAP", "no")), Flavour::Bitnami);
        assert_eq!(flavour(&with_env("X", "y")), Flavour::Plain);
        let owner = serde_json::json!({"apiVersion": "k8s.mariadb.com/v1alpha1", "kind": "MariaDB", "name": "m", "uid": "u", "controller": true});
        let set = set(serde_json::json!({"metadata": {"name": "m", "ownerReferences": [owner]}}));
        assert_eq!(flavour(&set), Flavour::MariadbOperator);
        let by = controller(&set).unwrap();
        assert_eq!(by.name, "the operator of MariaDB m");
        assert_eq!(by.pause, "kubectl patch mariadb m --type merge -p '{\"spec\":{\"suspend\":true}}'");
    }

    #[test]
    fn what_keeps_a_statefulset_is_named_with_the_command_that_pauses_it() {
        let found = |labels: serde_json::Value, annotations: serde_json::Value| -> Vec<(String, String)> {
            let set = set(serde_json::json!({"metadata": {"name": "m", "labels": labels, "annotations": annotations}}));
            keepers(&set).into_iter().map(|by| (by.name, by.pause)).collect()
        };
        let none = serde_json::json!({});
        let tracked = serde_json::json!({"argocd.argoproj.io/tracking-id": "shop:apps/StatefulSet:db/m"});
        let argo = ("Argo CD application shop".to_owned(), "argocd app set shop --sync-policy none".to_owned());
        assert_eq!(found(none.clone(), tracked), std::slice::from_ref(&argo));
        assert_eq!(found(serde_json::json!({"argocd.argoproj.io/instance": "shop"}), none.clone()), [argo]);
        let helm = serde_json::json!({"helm.toolkit.fluxcd.io/name": "m", "helm.toolkit.fluxcd.io/namespace": "db"});
        let flux = ("Flux HelmRelease db/m".to_owned(), "flux suspend helmrelease m -n db".to_owned());
        assert_eq!(found(helm, none.clone()), [flux]);
        let kustomization = serde_json::json!({"kustomize.toolkit.fluxcd.io/name": "apps"});
        assert_eq!(found(kustomization.clone(), none.clone()).len(), 1);
        let passed_over = serde_json::json!({"kustomize.toolkit.fluxcd.io/reconcile": "disabled"});
        assert_eq!(found(kustomization, passed_over), []);
        assert_eq!(found(none.clone(), none), []);
    }

    #[test]
    fn the_quickest_start_tells_how_long_one_takes_and_the_grace_period_how_long_a_stop_may() {
        let mount = serde_json::json!({"name": "data", "mountPath": "/var/lib/mysql"});
        let container = serde_json::json!({"name": "server", "volumeMounts": [mount]});
        let set = |pod: serde_json::Value| {
            let claims = serde_json::json!([{"metadata": {"name": "data"}}]);
            let spec = serde_json::json!({"selector": {}, "template": {"spec": pod}, "volumeClaimTemplates": claims});
            set(serde_json::json!({"metadata": {"name": "db"}, "spec": spec}))
        };
        let pod = |name: &str, ready: &str, started: &str, since: &str| -> Pod {
            let server = serde_json::json!({"name": "server", "image": "", "imageID": "", "ready": true,
                "restartCount": 0, "state": {"running": {"startedAt": started}}});
            let ready = serde_json::json!({"type": "Ready", "status": ready, "lastTransitionTime": since});
            let status = serde_json::json!({"conditions": [ready], "containerStatuses": [server]});
            serde_json::from_value(serde_json::json!({"metadata": {"name": name}, "status": status})).unwrap()
        };
        let pods = [
            pod("db-0", "True", "2026-01-01T00:00:00Z", "2026-01-01T02:00:00Z"),
            pod("db-1", "True", "2026-01-01T00:00:00Z", "2026-01-01T00:00:07Z"),
            pod("db-2", "False", "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"),
            pod("other-0", "True", "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"),
        ];
        let seconds = Duration::from_secs;
        let said = set(serde_json::json!({"terminationGracePeriodSeconds": 600, "containers": [container]}));
        assert_eq!(pace(&said, &pods), Pace { stop_at_most: seconds(600), start: Some(seconds(7)) });
        let usual = set(serde_json::json!({"containers": [container]}));
        assert_eq!(pace(&usual, &pods[2..]), Pace { stop_at_most: seconds(30), start: None });
    }

    fn pod(phase: &str, claim: &str, ours: bool) -> Pod {
        let labels = if ours {
            serde_json::json!({"app.kubernetes.io/managed-by": "kubectl-mariadb-backup"})
        } else {
            serde_json::json!({})
        };
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": "p", "labels": labels},
            "spec": {"containers": [], "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": claim}}]},
            "status": {"phase": phase},
        }))
        .unwrap()
    }

    #[test]
    fn a_volume_that_is_attached_is_in_use_as_long_as_it_is() {
        let claim: PersistentVolumeClaim = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "data-0"}, "spec": {"volumeName": "pv-0"},
        }))
        .unwrap();
        let attachment = |volume: &str| -> VolumeAttachment {
            let source = serde_json::json!({"persistentVolumeName": volume});
            let spec = serde_json::json!({"attacher": "a", "nodeName": "n1", "source": source});
            serde_json::from_value(serde_json::json!({"metadata": {"name": "va"}, "spec": spec})).unwrap()
        };
        let attachments = [attachment("pv-0"), attachment("pv-9")];
        let found = attached(&["data-0".to_owned()], std::slice::from_ref(&claim), &attachments);
        assert_eq!(found.iter().map(|user| user.claim.as_str()).collect::<Vec<_>>(), ["data-0"]);
        assert_eq!(attached(&["data-1".to_owned()], &[claim], &attachments), []);
        assert_eq!(kept_by_runner("p", &[pod("Running", "data-0", true)]), ["data-0"]);
    }

    #[test]
    fn claims_tell_how_many_replicas_a_stopped_cluster_had() {
        let claim = |name: &str| -> PersistentVolumeClaim {
            serde_json::from_value(serde_json::json!({"metadata": {"name": name}})).unwrap()
        };
        let claims = ["data-db-0", "data-db-2", "data-db-2-copy", "data-other-7", "data-db-"].map(claim);
        assert_eq!((claimed(&claims, "data-db-", 0), claimed(&claims, "data-db-", 1)), (3, 2));
        assert_eq!(claimed(&claims, "data-db-", 3), 0);
    }

    #[test]
    fn whoever_mounts_a_claim_counts_until_it_is_over() {
        let claims = ["data-0".to_owned()];
        let pods = [pod("Running", "data-0", false), pod("Failed", "data-0", false), pod("Running", "other", false)];
        assert_eq!(users(&claims, &pods, Use::AnyBut(None)).len(), 1);
        let ours = [pod("Pending", "data-0", true)];
        assert_eq!((users(&claims, &ours, Use::AnyBut(None)).len(), users(&claims, &ours, Use::Foreign).len()), (1, 0));
    }
}
