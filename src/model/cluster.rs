//! Our own view of a cluster as Kubernetes holds it: only what decisions need.

use super::accounts::AccountSource;
use super::obligation::Obligation;
use super::report::LastRestore;
use super::workload::Flavour;

/// A cluster: a StatefulSet, its pods, the claim backups go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterView {
    /// Namespace of everything below.
    pub namespace: String,
    /// The StatefulSet's name.
    pub statefulset: String,
    /// Its UID.
    pub uid: String,
    /// Replicas it asks for.
    pub replicas: i32,
    /// Its pods that exist, by ordinal.
    pub pods: Vec<PodView>,
    /// How its server is run.
    pub server: ServerSpec,
    /// In which way its servers start, as far as the StatefulSet tells.
    pub flavour: Flavour,
    /// What is owed to it.
    pub obligation: Option<Obligation>,
    /// The last restore of it.
    pub last_restore: Option<LastRestore>,
}

/// One replica's pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodView {
    /// Its name, `<statefulset>-<ordinal>`.
    pub name: String,
    /// Its ordinal.
    pub ordinal: u32,
    /// Its UID.
    pub uid: String,
    /// Its address, once it has one.
    pub ip: Option<String>,
    /// Its node, once scheduled.
    pub node: Option<String>,
    /// Its Ready condition.
    pub ready: bool,
    /// Whether it is being deleted.
    pub terminating: bool,
    /// The value of its role label (see [`super::names::ROLE_LABELS`]), such as `primary`.
    pub role: Option<String>,
    /// The claim of its data volume.
    pub claim: Option<ClaimView>,
}

/// A PersistentVolumeClaim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimView {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its phase: `Bound`, `Pending`, `Lost`.
    pub phase: String,
    /// Access modes as Kubernetes writes them.
    pub access_modes: Vec<String>,
    /// Size of its volume in bytes, once it is bound.
    pub capacity_bytes: Option<u64>,
    /// Nodes its volume can be mounted on; `None` when any will do or it is not bound yet.
    pub nodes: Option<Vec<String>>,
    /// Whether an unbound claim waits for its first pod, as it should under `WaitForFirstConsumer`.
    pub waits_for_consumer: bool,
}

/// How a cluster's server is run, for a runner that must fit beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerSpec {
    /// Name of the server's container.
    pub container: String,
    /// Its image, which also holds the right mariadb-backup.
    pub image: String,
    /// When the node pulls the image.
    pub image_pull_policy: Option<String>,
    /// Secrets for pulling it.
    pub image_pull_secrets: Vec<String>,
    /// Name of the volumeClaimTemplate the data lies on.
    pub claim_template: String,
    /// Its storage class; `None` for the cluster's default.
    pub storage_class: Option<String>,
    /// Where the container mounts it.
    pub mount_path: String,
    /// Which directory of the volume it mounts; empty for the root.
    pub sub_path: String,
    /// SQL port.
    pub port: u16,
    /// What its pods tolerate, as Kubernetes writes it.
    pub tolerations: serde_json::Value,
    /// User the server runs as.
    pub run_as_user: Option<i64>,
    /// Group the server runs as.
    pub run_as_group: Option<i64>,
    /// Group that owns its volumes.
    pub fs_group: Option<i64>,
    /// Accounts that its pods log in with by themselves.
    pub accounts: Vec<AccountSource>,
}

/// The user and the group of servers whose manifest names none: `mysql` in the official images.
const USUAL_ID: i64 = 999;

impl ServerSpec {
    /// The user that owns its data.
    #[must_use]
    pub fn user(&self) -> i64 {
        self.run_as_user.unwrap_or(USUAL_ID)
    }

    /// The group that owns its data.
    #[must_use]
    pub fn group(&self) -> i64 {
        self.run_as_group.or(self.fs_group).unwrap_or(USUAL_ID)
    }
}

impl ClusterView {
    /// Returns the pod of that name.
    #[must_use]
    pub fn pod(&self, name: &str) -> Option<&PodView> {
        self.pods.iter().find(|pod| pod.name == name)
    }
}
