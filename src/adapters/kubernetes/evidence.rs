//! What Kubernetes holds about a cluster and its backups, as it stands, for somebody else to look at.
//!
//! Read only, and never a Secret. What of it may be shown is decided by whoever asked.

use std::fmt::Debug;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Event, PersistentVolumeClaim, Pod};
use kube::Client;
use kube::api::{Api, ListParams, LogParams};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::port_error;
use crate::model::names::{MANAGER, MANAGER_LABEL};
use crate::ports::PortError;

/// Of a log the last lines are read: what went wrong stands at its end.
const LOG_LINES: i64 = 20_000;

/// How much of a container's log is read.
const LOG_BYTES: i64 = 4 << 20;

/// Kinds of objects that can be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Of one name.
    StatefulSet,
    /// Of one name.
    Lease,
    /// All of the namespace.
    Pods,
    /// Those of this product.
    Jobs,
    /// Those of this product.
    CronJobs,
    /// All of the namespace.
    Claims,
    /// All of the namespace.
    Events,
}

/// An object of a namespace that becomes a document.
trait Evident:
    kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
    + Clone
    + Debug
    + Serialize
    + DeserializeOwned
{
}

impl<K> Evident for K where
    K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned
{
}

fn documents(objects: impl IntoIterator<Item = impl Serialize>) -> Vec<Value> {
    objects.into_iter().map(|object| serde_json::to_value(object).unwrap_or_default()).collect()
}

/// Reads evidence in one namespace.
pub struct Evidence {
    client: Client,
    namespace: String,
}

impl Evidence {
    /// Evidence in that namespace.
    #[must_use]
    pub fn new(client: Client, namespace: &str) -> Self {
        Self { client, namespace: namespace.to_owned() }
    }

    /// Reads the objects of a kind; the name only matters for kinds of which one is read.
    pub async fn objects(&self, kind: Kind, name: &str) -> Result<Vec<Value>, PortError> {
        let ours = || ListParams::default().labels(&format!("{MANAGER_LABEL}={MANAGER}"));
        match kind {
            Kind::StatefulSet => self.one::<StatefulSet>(name).await,
            Kind::Lease => self.one::<Lease>(name).await,
            Kind::Pods => self.list::<Pod>(ListParams::default()).await,
            Kind::Jobs => self.list::<Job>(ours()).await,
            Kind::CronJobs => self.list::<CronJob>(ours()).await,
            Kind::Claims => self.list::<PersistentVolumeClaim>(ListParams::default()).await,
            Kind::Events => self.list::<Event>(ListParams::default()).await,
        }
    }

    async fn one<K: Evident>(&self, name: &str) -> Result<Vec<Value>, PortError> {
        let api: Api<K> = Api::namespaced(self.client.clone(), &self.namespace);
        let what = format!("cannot read {} {}/{name}", K::kind(&()), self.namespace);
        Ok(documents(api.get_opt(name).await.map_err(|error| port_error(what, error))?))
    }

    async fn list<K: Evident>(&self, which: ListParams) -> Result<Vec<Value>, PortError> {
        let api: Api<K> = Api::namespaced(self.client.clone(), &self.namespace);
        let what = format!("cannot list {}s in namespace {}", K::kind(&()), self.namespace);
        Ok(documents(api.list(&which).await.map_err(|error| port_error(what, error))?))
    }

    /// Reads the end of a container's log.
    pub async fn log(&self, pod: &str, container: &str) -> Result<String, PortError> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let end = LogParams {
            container: Some(container.to_owned()),
            limit_bytes: Some(LOG_BYTES),
            tail_lines: Some(LOG_LINES),
            timestamps: true,
            ..LogParams::default()
        };
        let what = format!("cannot read the log of {pod}/{container} in namespace {}", self.namespace);
        pods.logs(pod, &end).await.map_err(|error| port_error(what, error))
    }

    /// The API server's version.
    pub async fn server_version(&self) -> Result<String, PortError> {
        let version = self.client.apiserver_version().await;
        version.map(|info| info.git_version).map_err(|error| port_error("cannot read the API server's version", error))
    }
}
