//! Kubernetes' Pod Security Standard `restricted`, as far as it can be judged from a pod's manifest.

use k8s_openapi::api::core::v1::{Container, PodSpec};
use serde_json::Value;

/// Kinds of volumes that the standard allows.
const VOLUMES: [&str; 8] =
    ["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"];

/// Names everything in a pod that the standard forbids, or wants and does not find.
pub(crate) fn violations(pod: &PodSpec) -> Vec<String> {
    let security = pod.security_context.clone().unwrap_or_default();
    let mut found: Vec<String> = [
        (pod.host_network == Some(true), "hostNetwork"),
        (pod.host_pid == Some(true), "hostPID"),
        (pod.host_ipc == Some(true), "hostIPC"),
        (security.sysctls.is_some(), "sysctls"),
        (security.run_as_non_root != Some(true), "runAsNonRoot"),
        (security.run_as_user == Some(0), "runAsUser"),
        (security.seccomp_profile.as_ref().map(|of| of.type_.as_str()) != Some("RuntimeDefault"), "seccompProfile"),
    ]
    .into_iter()
    .filter(|(is_wrong, _)| *is_wrong)
    .map(|(_, what)| what.to_owned())
    .collect();
    let volumes = serde_json::to_value(&pod.volumes).unwrap();
    for volume in volumes.as_array().into_iter().flatten() {
        let kinds = volume.as_object().into_iter().flatten().map(|(kind, _)| kind).filter(|kind| *kind != "name");
        found.extend(kinds.filter(|kind| !VOLUMES.contains(&kind.as_str())).map(|kind| format!("volume {kind}")));
    }
    let containers = pod.containers.iter().chain(pod.init_containers.iter().flatten());
    found.extend(containers.flat_map(of_container));
    found
}

fn of_container(container: &Container) -> Vec<String> {
    let security = serde_json::to_value(&container.security_context).unwrap();
    let at = |path: &str| security.pointer(path).cloned().unwrap_or_default();
    let drops_all = at("/capabilities/drop").as_array().is_some_and(|of| of.contains(&Value::from("ALL")));
    let ports = container.ports.iter().flatten();
    [
        (at("/privileged") == true, "privileged"),
        (at("/allowPrivilegeEscalation") != false, "allowPrivilegeEscalation"),
        (!drops_all, "capabilities"),
        (!at("/capabilities/add").is_null(), "capabilities added"),
        (at("/runAsNonRoot") == false, "runAsNonRoot"),
        (at("/runAsUser") == 0, "runAsUser"),
        (at("/procMount").is_string(), "procMount"),
        (ports.into_iter().any(|port| port.host_port.is_some()), "hostPort"),
    ]
    .into_iter()
    .filter(|(is_wrong, _)| *is_wrong)
    .map(|(_, what)| format!("{what} of container {}", container.name))
    .collect()
}

#[test]
fn a_pod_that_asks_for_nothing_is_refused_for_all_it_leaves_open() {
    let pod: PodSpec = serde_json::from_value(serde_json::json!({
        "hostNetwork": true,
        "containers": [{"name": "c", "ports": [{"containerPort": 1, "hostPort": 1}],
            "securityContext": {"privileged": true}}],
        "volumes": [{"name": "v", "hostPath": {"path": "/"}}, {"name": "w", "emptyDir": {}}],
    }))
    .unwrap();
    assert_eq!(
        violations(&pod),
        [
            "hostNetwork",
            "runAsNonRoot",
            "seccompProfile",
            "volume hostPath",
            "privileged of container c",
            "allowPrivilegeEscalation of container c",
            "capabilities of container c",
            "hostPort of container c",
        ]
    );
}
