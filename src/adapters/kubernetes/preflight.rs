//! What can be looked at cheaply before a run is ordered: ConfigMap, claim, Secrets, accounts.
//!
//! Each question is answered with `None` where the caller may not know: whoever orders a run needs
//! fewer rights than the run has, and a missing right to look must not stop it.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Event as KubernetesEvent, PersistentVolumeClaim, Secret, ServiceAccount};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::Client;
use kube::api::{Api, ListParams};
use serde::de::DeserializeOwned;

use super::cluster::BIND_LIMIT;
use super::error::port_error;
use super::{event_text, workload_view};
use crate::model::settings::Settings;
use crate::model::workload::Flavour;
use crate::ports::{PortError, Reason};

/// Looks at what a run needs.
pub struct Preflight {
    client: Client,
    namespace: String,
}

/// A claim, as far as it matters before a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimSight {
    /// `Bound`, `Pending`, `Lost`.
    pub phase: String,
    /// Whether it is bound only when its first pod comes; `None` when we may not know.
    pub waits_for_consumer: Option<bool>,
    /// Whether it was made a moment ago, so that its volume may still be on its way.
    pub is_new: bool,
    /// Its newest event, while it is not bound.
    pub newest_event: Option<String>,
}

/// What is known about a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimAnswer {
    /// We may not know.
    Unknown,
    /// It is not there.
    Missing,
    /// It is there.
    There(ClaimSight),
}

impl Preflight {
    /// Looks in one namespace.
    #[must_use]
    pub fn new(client: Client, namespace: &str) -> Self {
        Self { client, namespace: namespace.to_owned() }
    }

    /// Finds out in which way the servers of a StatefulSet start.
    pub async fn flavour(&self, statefulset: &str) -> Result<Flavour, PortError> {
        let what = format!("cannot read StatefulSet {}/{statefulset}", self.namespace);
        let set = self.api::<StatefulSet>().get(statefulset).await.map_err(|error| port_error(what, error))?;
        Ok(workload_view::flavour(&set))
    }

    /// The image that the servers of a StatefulSet run in.
    pub async fn server_image(&self, statefulset: &str) -> Result<String, PortError> {
        let what = format!("cannot read StatefulSet {}/{statefulset}", self.namespace);
        let set = self.api::<StatefulSet>().get(statefulset).await.map_err(|error| port_error(what, error))?;
        workload_view::server_image(&set)
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The stored settings of a cluster; empty when there are none.
    pub async fn settings(&self, statefulset: &str) -> Result<BTreeMap<String, String>, PortError> {
        let name = Settings::config_map_name(statefulset);
        let what = format!("cannot read ConfigMap {}/{name}", self.namespace);
        let map = self.api::<ConfigMap>().get_opt(&name).await.map_err(|error| port_error(what, error))?;
        Ok(map.and_then(|map| map.data).unwrap_or_default())
    }

    /// Whether a Secret is there.
    pub async fn has_secret(&self, name: &str) -> Result<Option<bool>, PortError> {
        self.has::<Secret>("Secret", name).await
    }

    /// Whether a ConfigMap is there.
    pub async fn has_config_map(&self, name: &str) -> Result<Option<bool>, PortError> {
        self.has::<ConfigMap>("ConfigMap", name).await
    }

    /// Whether a service account is there.
    pub async fn has_account(&self, name: &str) -> Result<Option<bool>, PortError> {
        self.has::<ServiceAccount>("ServiceAccount", name).await
    }

    async fn has<K>(&self, kind: &str, name: &str) -> Result<Option<bool>, PortError>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
        K::DynamicType: Default,
    {
        // Metadata only: the content of a Secret is none of our business here.
        let found = self.api::<K>().get_metadata_opt(name).await;
        let what = format!("cannot read {kind} {}/{name}", self.namespace);
        unless_forbidden(found.map(|found| found.is_some()).map_err(|error| port_error(what, error)))
    }

    /// Looks at a claim.
    pub async fn claim(&self, name: &str) -> Result<ClaimAnswer, PortError> {
        let what = format!("cannot read PersistentVolumeClaim {}/{name}", self.namespace);
        let found = self.api::<PersistentVolumeClaim>().get_opt(name).await.map_err(|error| port_error(what, error));
        let Some(found) = unless_forbidden(found)? else { return Ok(ClaimAnswer::Unknown) };
        let Some(claim) = found else { return Ok(ClaimAnswer::Missing) };
        let phase = claim.status.and_then(|status| status.phase).unwrap_or_default();
        let made = claim.metadata.creation_timestamp.as_ref();
        let is_new = made.is_some_and(|made| jiff::Timestamp::now().duration_since(made.0) < BIND_LIMIT);
        let mut sight = ClaimSight { phase, waits_for_consumer: None, is_new, newest_event: None };
        if sight.phase != "Bound" {
            let class = claim.spec.and_then(|spec| spec.storage_class_name);
            sight.waits_for_consumer = self.waits_for_consumer(class.as_deref()).await;
            sight.newest_event = self.newest_event("PersistentVolumeClaim", name).await;
        }
        Ok(ClaimAnswer::There(sight))
    }

    async fn waits_for_consumer(&self, class: Option<&str>) -> Option<bool> {
        let classes: Api<StorageClass> = Api::all(self.client.clone());
        let class = classes.get_opt(class?).await.ok()??;
        Some(class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer"))
    }

    async fn newest_event(&self, kind: &str, name: &str) -> Option<String> {
        let about = ListParams::default().fields(&format!("involvedObject.kind={kind},involvedObject.name={name}"));
        let events = self.api::<KubernetesEvent>().list(&about).await.ok()?;
        event_text::newest(events.items)
    }
}

fn unless_forbidden<T>(answer: Result<T, PortError>) -> Result<Option<T>, PortError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.reason == Reason::Forbidden => Ok(None),
        Err(error) => Err(error),
    }
}
