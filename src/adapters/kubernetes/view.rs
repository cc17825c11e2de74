//! From Kubernetes' objects to our own view of them: pure, and the only reader of their shapes.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Container, PersistentVolume, PersistentVolumeClaim, Pod, PodSpec, VolumeMount};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use kube::ResourceExt;

use super::server_accounts;
use crate::model::bytes;
use crate::model::cluster::{ClaimView, PodView, ServerSpec};
use crate::model::names::ROLE_LABELS;

/// Where a MariaDB image keeps its data when nothing else is said.
const USUAL_DATA_PATHS: [&str; 2] = ["/var/lib/mysql", "/bitnami/mariadb"];

/// The standard SQL port.
const SQL_PORT: u16 = 3306;

/// The mount of the data volume in the server's container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DataMount {
    /// Name of the pod's volume, which is that of the volumeClaimTemplate.
    pub(crate) volume: String,
}

/// Finds the server's container and its data volume in a StatefulSet.
pub(crate) fn server(set: &StatefulSet) -> Result<(ServerSpec, DataMount), String> {
    let spec = set.spec.as_ref().ok_or("it has no spec")?;
    let pod = spec.template.spec.as_ref().ok_or("its template has no spec")?;
    let templates: Vec<_> = spec.volume_claim_templates.iter().flatten().map(ResourceExt::name_any).collect();
    let candidates =
        pod.containers.iter().filter_map(|container| Some((container, data_mount(container, &templates)?)));
    let (container, mount) = candidates
        .max_by_key(|(container, mount)| likelihood(container, mount))
        .ok_or("no container of it mounts a volume from its volumeClaimTemplates")?;
    let server = ServerSpec {
        container: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        image_pull_policy: container.image_pull_policy.clone(),
        image_pull_secrets: pod.image_pull_secrets.iter().flatten().map(|secret| secret.name.clone()).collect(),
        claim_template: mount.name.clone(),
        storage_class: storage_class(spec.volume_claim_templates.as_deref().unwrap_or_default(), &mount.name),
        mount_path: mount.mount_path.clone(),
        sub_path: mount.sub_path.clone().unwrap_or_default(),
        port: sql_port(container),
        tolerations: serde_json::to_value(pod.tolerations.as_deref().unwrap_or_default()).unwrap_or_default(),
        run_as_user: user(pod, container),
        run_as_group: group(pod, container),
        fs_group: pod.security_context.as_ref().and_then(|context| context.fs_group),
        accounts: server_accounts::of(pod, container),
    };
    Ok((server, DataMount { volume: mount.name.clone() }))
}

fn storage_class(templates: &[PersistentVolumeClaim], name: &str) -> Option<String> {
    let template = templates.iter().find(|template| template.name_any() == name)?;
    template.spec.as_ref()?.storage_class_name.clone()
}

fn data_mount<'a>(container: &'a Container, templates: &[String]) -> Option<&'a VolumeMount> {
    let of_template = |mount: &&VolumeMount| templates.contains(&mount.name);
    let mounts: Vec<_> = container.volume_mounts.iter().flatten().filter(of_template).collect();
    let usual = |mount: &&&VolumeMount| USUAL_DATA_PATHS.contains(&mount.mount_path.trim_end_matches('/'));
    mounts.iter().find(usual).or_else(|| mounts.first()).copied()
}

/// How much a container looks like the server, beside sidecars that mount the same volume.
fn likelihood(container: &Container, mount: &VolumeMount) -> (bool, bool, bool) {
    let galera = |port: i32| port == 4567 || port == i32::from(SQL_PORT);
    let serves = container.ports.iter().flatten().any(|port| galera(port.container_port));
    let named = ["mariadb", "mysql", "galera"].iter().any(|word| container.name.contains(word));
    (serves, USUAL_DATA_PATHS.contains(&mount.mount_path.trim_end_matches('/')), named)
}

fn sql_port(container: &Container) -> u16 {
    let named = |name: &str| container.ports.iter().flatten().find(|port| port.name.as_deref() == Some(name));
    let port = named("mysql").or_else(|| named("mariadb")).or_else(|| named("sql")).map(|port| port.container_port);
    port.and_then(|port| u16::try_from(port).ok()).unwrap_or(SQL_PORT)
}

fn user(pod: &PodSpec, container: &Container) -> Option<i64> {
    let own = container.security_context.as_ref().and_then(|context| context.run_as_user);
    own.or_else(|| pod.security_context.as_ref().and_then(|context| context.run_as_user))
}

fn group(pod: &PodSpec, container: &Container) -> Option<i64> {
    let own = container.security_context.as_ref().and_then(|context| context.run_as_group);
    own.or_else(|| pod.security_context.as_ref().and_then(|context| context.run_as_group))
}

/// Reads the ordinal out of a pod's name.
pub(crate) fn ordinal(pod: &str, statefulset: &str) -> Option<u32> {
    pod.strip_prefix(statefulset)?.strip_prefix('-')?.parse().ok()
}

/// Names the claim behind one of a pod's volumes.
pub(crate) fn claim_name(pod: &Pod, volume: &str) -> Option<String> {
    let volumes = pod.spec.as_ref()?.volumes.as_ref()?;
    let volume = volumes.iter().find(|candidate| candidate.name == volume)?;
    Some(volume.persistent_volume_claim.as_ref()?.claim_name.clone())
}

/// Our view of a pod.
pub(crate) fn pod(pod: &Pod, ordinal: u32, claim: Option<ClaimView>) -> PodView {
    PodView {
        name: pod.name_any(),
        ordinal,
        uid: pod.uid().unwrap_or_default(),
        ip: pod.status.as_ref().and_then(|status| status.pod_ip.clone()),
        node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        ready: is_ready(pod),
        terminating: pod.metadata.deletion_timestamp.is_some(),
        role: role(pod),
        claim,
    }
}

/// The value of a pod's role label.
pub(crate) fn role(pod: &Pod) -> Option<String> {
    ROLE_LABELS.iter().find_map(|label| pod.labels().get(*label)).cloned()
}

/// Whether a pod's Ready condition is true.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// The Services whose EndpointSlices call a pod ready, by name.
pub(crate) fn services_sending_to(pod: &str, slices: &[EndpointSlice]) -> Vec<String> {
    let names_pod =
        |endpoint: &Endpoint| endpoint.target_ref.as_ref().and_then(|target| target.name.as_deref()) == Some(pod);
    let is_ready =
        |endpoint: &Endpoint| endpoint.conditions.as_ref().and_then(|conditions| conditions.ready) != Some(false);
    let sends =
        |slice: &&EndpointSlice| slice.endpoints.iter().any(|endpoint| names_pod(endpoint) && is_ready(endpoint));
    let service = |slice: &EndpointSlice| slice.labels().get("kubernetes.io/service-name").cloned();
    let mut services: Vec<_> = slices.iter().filter(sends).filter_map(service).collect();
    services.sort();
    services.dedup();
    services
}

/// Our view of a claim.
pub(crate) fn claim(claim: &PersistentVolumeClaim, nodes: Option<Vec<String>>, waits_for_consumer: bool) -> ClaimView {
    let spec = claim.spec.as_ref();
    ClaimView {
        name: claim.name_any(),
        uid: claim.uid().unwrap_or_default(),
        phase: claim.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_else(|| "Pending".to_owned()),
        access_modes: spec.and_then(|spec| spec.access_modes.clone()).unwrap_or_default(),
        capacity_bytes: capacity(claim),
        nodes,
        waits_for_consumer,
    }
}

fn capacity(claim: &PersistentVolumeClaim) -> Option<u64> {
    bytes::of_quantity(&claim.status.as_ref()?.capacity.as_ref()?.get("storage")?.0)
}

/// The host names a volume's node affinity names; `None` when it names none.
///
/// Affinity by other labels (a zone) is left to the scheduler.
pub(crate) fn nodes_of(volume: &PersistentVolume) -> Option<Vec<String>> {
    let affinity = volume.spec.as_ref()?.node_affinity.as_ref()?.required.as_ref()?;
    let by_host = affinity.node_selector_terms.iter().flat_map(|term| term.match_expressions.iter().flatten());
    let hosts: Vec<_> = by_host
        .filter(|rule| rule.key == "kubernetes.io/hostname" && rule.operator == "In")
        .flat_map(|rule| rule.values.clone().unwrap_or_default())
        .collect();
    (!hosts.is_empty()).then_some(hosts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statefulset(containers: &serde_json::Value) -> StatefulSet {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": "db"},
            "spec": {
                "selector": {}, "serviceName": "db",
                "template": {"spec": {"securityContext": {"runAsUser": 999, "fsGroup": 998}, "containers": containers}},
                "volumeClaimTemplates": [{"metadata": {"name": "data"}}, {"metadata": {"name": "config"}}],
            }
        }))
        .unwrap()
    }

    #[test]
    fn the_server_is_told_from_a_sidecar_on_the_same_volume() {
        let set = statefulset(&serde_json::json!([
            {"name": "metrics", "image": "m", "volumeMounts": [{"name": "data", "mountPath": "/data"}]},
            {"name": "server", "image": "s", "ports": [{"containerPort": 4567}],
             "volumeMounts": [{"name": "config", "mountPath": "/etc/mysql"},
                              {"name": "data", "mountPath": "/var/lib/mysql", "subPath": "mysql"}]},
        ]));
        let (server, mount) = server(&set).unwrap();
        assert_eq!((server.container.as_str(), server.sub_path.as_str(), server.port), ("server", "mysql", 3306));
        assert_eq!((server.run_as_user, server.fs_group), (Some(999), Some(998)));
        assert_eq!(mount.volume, "data");
    }

    #[test]
    fn a_statefulset_without_a_data_claim_is_refused() {
        let set = statefulset(&serde_json::json!([{"name": "web", "image": "w"}]));
        assert_eq!(server(&set).unwrap_err(), "no container of it mounts a volume from its volumeClaimTemplates");
    }

    #[test]
    fn an_ordinal_is_read_only_from_pods_of_the_set() {
        assert_eq!(ordinal("db-2", "db"), Some(2));
        assert_eq!(ordinal("db-extra-2", "db"), None);
        assert_eq!(ordinal("other-2", "db"), None);
    }
}
