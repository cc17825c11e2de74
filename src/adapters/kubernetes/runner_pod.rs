//! The manifest of a runner's pod: the server's own image beside the server, with the agent put in.
//!
//! The pod passes Pod Security `restricted`. Its labels are its own: with the server's it would match
//! the cluster's Services and anti-affinity.

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use crate::model::accounts::AccountSource;
use crate::model::cluster::ServerSpec;
use crate::model::names;
use crate::model::order::{OriginalKey, RunnerTask};
use crate::ports::conductor::RunnerSpec;

/// The container with the agent.
pub(crate) const CONTAINER: &str = "runner";

/// The label that tells runners from conductors.
pub(crate) const COMPONENT_LABEL: &str = "app.kubernetes.io/component";

/// Its value on runners.
pub(crate) const RUNNER: &str = "runner";

/// Where the init container puts the agent.
const AGENT_DIRECTORY: &str = "/agent";

/// Who a runner belongs to.
#[derive(Clone, Debug)]
pub struct Owner {
    /// Namespace of everything.
    pub namespace: String,
    /// The StatefulSet of the cluster.
    pub statefulset: String,
    /// The conductor's pod: when it is deleted, Kubernetes stops its runners.
    pub pod: String,
    /// That pod's UID.
    pub pod_uid: String,
    /// Image with the agent.
    pub agent_image: String,
    /// Secrets for pulling images.
    pub image_pull_secrets: Vec<String>,
    /// Seconds a stopped runner gets to bring its replica back.
    pub grace_secs: u64,
}

/// Builds the manifest. A runner tolerates what the server tolerates.
pub(crate) fn manifest(spec: &RunnerSpec, owner: &Owner, server: &ServerSpec) -> Pod {
    let order = serde_json::to_string(&spec.order).expect("an order is plain strings and numbers");
    let group = server.group();
    // A fresh volume belongs to root.
    let is_fresh = spec.scratch.is_some() || spec.fresh_store;
    let fs_group = server.fs_group.or(is_fresh.then_some(group));
    let manifest = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": spec.name,
            "namespace": owner.namespace,
            "labels": {
                (names::APP_LABEL): names::APP,
                (COMPONENT_LABEL): RUNNER,
                (names::MANAGER_LABEL): names::MANAGER,
                (names::STATEFULSET_LABEL): owner.statefulset,
            },
            "ownerReferences": [{
                "apiVersion": "v1", "kind": "Pod", "name": owner.pod, "uid": owner.pod_uid, "controller": true,
            }],
        },
        "spec": {
            "restartPolicy": "Never",
            "serviceAccountName": names::RUNNER_ACCOUNT,
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "terminationGracePeriodSeconds": owner.grace_secs,
            "affinity": affinity(spec),
            "tolerations": server.tolerations,
            "imagePullSecrets": pull_secrets(owner, server),
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": server.user(),
                "runAsGroup": group,
                "fsGroup": fs_group,
                // Never chown -R a volume that a server is using.
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "initContainers": [{
                "name": "agent",
                "image": owner.agent_image,
                "imagePullPolicy": "IfNotPresent",
                "args": ["install", AGENT_DIRECTORY],
                "volumeMounts": [{"name": "agent", "mountPath": AGENT_DIRECTORY}],
                "securityContext": container_security(),
            }],
            "containers": [{
                "name": CONTAINER,
                "image": server.image,
                "imagePullPolicy": server.image_pull_policy,
                // One that cannot even begin says why, and writes no last word.
                "terminationMessagePolicy": "FallbackToLogsOnError",
                "command": [format!("{AGENT_DIRECTORY}/mariadb-backup-agent")],
                "args": ["run", "--order", order],
                "resources": {"requests": {"cpu": "100m", "memory": "192Mi"}},
                "volumeMounts": mounts(spec, server),
                "securityContext": container_security(),
            }],
            "volumes": volumes(spec),
        },
    });
    serde_json::from_value(manifest).expect("the manifest above is a pod")
}

fn affinity(spec: &RunnerSpec) -> Value {
    let beside = spec.beside.as_ref().map(|beside| &beside.pod);
    let beside = beside.or_else(|| spec.data.as_ref()?.beside.as_ref());
    let Some(pod) = beside.or(spec.near.as_ref()) else { return json!({}) };
    json!({"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{
        "labelSelector": {"matchLabels": {"statefulset.kubernetes.io/pod-name": pod}},
        "topologyKey": "kubernetes.io/hostname",
    }]}})
}

fn container_security() -> Value {
    json!({
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"]},
    })
}

fn pull_secrets(owner: &Owner, server: &ServerSpec) -> Vec<Value> {
    let mut names: Vec<_> = server.image_pull_secrets.iter().chain(&owner.image_pull_secrets).collect();
    names.sort();
    names.dedup();
    names.into_iter().map(|name| json!({"name": name})).collect()
}

/// What a secret is called as a volume, and where the order expects it.
fn secrets(spec: &RunnerSpec) -> Vec<(&'static str, &str, &str)> {
    let s3 = spec.s3.as_ref().and_then(|s3| s3.secret.as_deref()).map(|name| ("s3", name, names::S3_CREDENTIALS_PATH));
    let (operator, backup) = match &spec.order.task {
        RunnerTask::Copy(order) => (Some(&order.operator_credentials), Some(&order.backup_credentials)),
        RunnerTask::Prove(order) => (order.operator_credentials.as_ref(), order.backup_credentials.as_ref()),
        RunnerTask::Check(_) | RunnerTask::Keep(_) | RunnerTask::Inventory(_) | RunnerTask::Refill(_) => (None, None),
    };
    let operator = spec.operator_secret.as_deref().zip(operator).map(|(name, path)| ("operator", name, path.as_str()));
    let backup = spec.backup_secret.as_deref().zip(backup).map(|(name, path)| ("backup", name, path.as_str()));
    operator.into_iter().chain(backup).chain(s3).collect()
}

/// The Secrets of the server's own container that the order has accounts read from, each once.
fn server_secrets(spec: &RunnerSpec) -> Vec<&str> {
    let RunnerTask::Prove(order) = &spec.order.task else { return Vec::new() };
    let mut names: Vec<_> = order.server_accounts.iter().flat_map(AccountSource::secrets).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The Secret with the key for the original's encrypted backups.
fn original_key(spec: &RunnerSpec) -> Option<&OriginalKey> {
    let RunnerTask::Prove(order) = &spec.order.task else { return None };
    order.original_key.as_ref()
}

fn ca_config_map(spec: &RunnerSpec) -> Option<&str> {
    spec.s3.as_ref()?.ca_config_map.as_deref()
}

fn mounts(spec: &RunnerSpec, server: &ServerSpec) -> Vec<Value> {
    let mut mounts = vec![
        json!({"name": "agent", "mountPath": AGENT_DIRECTORY, "readOnly": true}),
        json!({"name": "tmp", "mountPath": "/tmp"}),
    ];
    if spec.store_claim.is_some() {
        mounts.push(json!({"name": "store", "mountPath": names::STORE_PATH}));
    }
    if spec.scratch.is_some() {
        mounts.push(json!({"name": "scratch", "mountPath": names::SCRATCH_VOLUME_PATH}));
    }
    if ca_config_map(spec).is_some() {
        mounts.push(json!({"name": "s3-ca", "mountPath": names::S3_CA_PATH, "readOnly": true}));
    }
    if spec.beside.is_some() {
        // The very path the server uses: mariadb-backup asks the server where its files are.
        let mut data = json!({"name": "data", "mountPath": server.mount_path, "readOnly": true});
        if !server.sub_path.is_empty() {
            data["subPath"] = json!(server.sub_path);
        }
        mounts.push(data);
    }
    if spec.data.is_some() {
        mounts.push(json!({"name": "volume", "mountPath": names::DATA_VOLUME_PATH}));
    }
    mounts
        .extend(secrets(spec).iter().map(|(name, _, path)| json!({"name": name, "mountPath": path, "readOnly": true})));
    let of_server = server_secrets(spec).into_iter().enumerate().map(|(n, secret)| {
        let path = format!("{}/{secret}", names::SERVER_SECRETS_PATH);
        json!({"name": format!("server-{n}"), "mountPath": path, "readOnly": true})
    });
    mounts.extend(of_server);
    if let Some(key) = original_key(spec) {
        mounts.push(json!({"name": "original-key", "mountPath": key.directory, "readOnly": true}));
    }
    mounts
}

fn volumes(spec: &RunnerSpec) -> Vec<Value> {
    let mut volumes = vec![json!({"name": "agent", "emptyDir": {}}), json!({"name": "tmp", "emptyDir": {}})];
    if let Some(claim) = &spec.store_claim {
        volumes.push(json!({"name": "store", "persistentVolumeClaim": {"claimName": claim}}));
    }
    if let Some(scratch) = &spec.scratch {
        let claim = json!({
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": scratch.class,
            "resources": {"requests": {"storage": scratch.bytes.to_string()}},
        });
        volumes.push(json!({"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"spec": claim}}}));
    }
    if let Some(name) = ca_config_map(spec) {
        volumes.push(json!({"name": "s3-ca", "configMap": {"name": name}}));
    }
    if let Some(beside) = &spec.beside {
        volumes.push(json!({"name": "data", "persistentVolumeClaim": {"claimName": beside.claim}}));
    }
    if let Some(data) = &spec.data {
        volumes.push(json!({"name": "volume", "persistentVolumeClaim": {"claimName": data.claim}}));
    }
    volumes
        .extend(secrets(spec).iter().map(|(name, secret, _)| json!({"name": name, "secret": {"secretName": secret}})));
    // One that is gone must not keep the runner from starting.
    let of_server = server_secrets(spec)
        .into_iter()
        .enumerate()
        .map(|(n, secret)| json!({"name": format!("server-{n}"), "secret": {"secretName": secret, "optional": true}}));
    volumes.extend(of_server);
    // That it is not there says the runner better than a pod that waits for it.
    if let Some(key) = original_key(spec) {
        volumes.push(json!({"name": "original-key", "secret": {"secretName": key.secret, "optional": true}}));
    }
    volumes
}

#[cfg(test)]
mod tests;
