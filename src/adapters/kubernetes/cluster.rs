//! A cluster as Kubernetes holds it: read into our own view, and its obligation kept as an annotation.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use jiff::SignedDuration;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::runtime::wait::await_condition;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use serde_json::json;

use super::backoff::Pause;
use super::error::port_error;
use super::view;
use crate::model::cluster::{ClaimView, ClusterView, PodView};
use crate::model::obligation::{OBLIGATION_ANNOTATION, Obligation};
use crate::model::report::LAST_RESTORE_ANNOTATION;
use crate::model::settings::Settings;
use crate::ports::conductor::{Cluster, Sight};
use crate::ports::{PortError, Reason};

/// How often a write that meets somebody else's change of the StatefulSet looks again.
const ATTEMPTS: u32 = 5;

/// So many changes are looked at together at most.
const CHANGES_AT_ONCE: usize = 1000;

/// How long a claim may take to get its volume: a provisioner makes a disk in that time.
pub(super) const BIND_LIMIT: SignedDuration = SignedDuration::from_secs(30);

/// One StatefulSet and what belongs to it.
pub struct KubernetesCluster {
    client: Client,
    namespace: String,
    statefulset: String,
}

impl KubernetesCluster {
    /// The cluster of that StatefulSet.
    #[must_use]
    pub fn new(client: Client, namespace: &str, statefulset: &str) -> Self {
        Self { client, namespace: namespace.to_owned(), statefulset: statefulset.to_owned() }
    }

    /// The Secrets with which that pod's images were pulled: runners need those of their conductor, for the same agent.
    /// None where that cannot be found out; a pod that cannot pull its image says so.
    pub async fn pull_secrets(&self, pod: &str) -> Vec<String> {
        match self.api::<Pod>().get(pod).await {
            Ok(pod) => {
                let secrets = pod.spec.and_then(|spec| spec.image_pull_secrets).unwrap_or_default();
                secrets.into_iter().map(|secret| secret.name).collect()
            }
            Err(error) => {
                tracing::debug!(%error, pod, "the Secrets for pulling images are not known");
                Vec::new()
            }
        }
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn statefulset_name(&self) -> String {
        format!("StatefulSet {}/{}", self.namespace, self.statefulset)
    }

    async fn statefulset(&self) -> Result<StatefulSet, PortError> {
        let what = format!("cannot read {}", self.statefulset_name());
        self.api::<StatefulSet>().get(&self.statefulset).await.map_err(|error| port_error(what, error))
    }

    /// Finds the pods the StatefulSet owns; a pod that merely carries its labels is none of them.
    async fn pods(&self, owner_uid: &str) -> Result<Vec<Pod>, PortError> {
        let what = format!("cannot list pods in namespace {}", self.namespace);
        let pods = self.api::<Pod>().list(&ListParams::default()).await.map_err(|error| port_error(what, error))?;
        let owned = |pod: &Pod| pod.owner_references().iter().any(|owner| owner.uid == owner_uid);
        Ok(pods.items.into_iter().filter(owned).collect())
    }

    async fn claim_of(&self, pod: &Pod, mount: &view::DataMount) -> Result<Option<ClaimView>, PortError> {
        match view::claim_name(pod, &mount.volume) {
            Some(name) => self.claim(&name).await.map(Some),
            None => Ok(None),
        }
    }

    /// The nodes a claim's volume can be mounted on; `None` when there is no restriction that can be seen.
    async fn nodes_of(&self, claim: &PersistentVolumeClaim) -> Option<Vec<String>> {
        let name = claim.spec.as_ref()?.volume_name.as_ref()?;
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        // Reading volumes is a cluster-wide right which a conductor need not have: without it the
        // scheduler has the last word, and a runner that does not fit is reported by its name.
        view::nodes_of(&volumes.get_opt(name).await.ok()??)
    }

    async fn waits_for_consumer(&self, claim: &PersistentVolumeClaim) -> bool {
        let Some(class) = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_ref()) else { return true };
        let classes: Api<StorageClass> = Api::all(self.client.clone());
        match classes.get_opt(class).await {
            Ok(Some(class)) => class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer"),
            Ok(None) => false,
            Err(_) => true,
        }
    }
}

#[async_trait]
impl Cluster for KubernetesCluster {
    async fn view(&self) -> Result<ClusterView, PortError> {
        let set = self.statefulset().await?;
        let (server, mount) = view::server(&set).map_err(|error| {
            PortError::new(Reason::Other, format!("cannot find the MariaDB server in {}", self.statefulset_name()))
                .caused_by(error)
        })?;
        let uid = set.uid().unwrap_or_default();
        let mut pods = Vec::new();
        for pod in self.pods(&uid).await? {
            let Some(ordinal) = view::ordinal(&pod.name_any(), &self.statefulset) else { continue };
            let claim = self.claim_of(&pod, &mount).await?;
            pods.push(view::pod(&pod, ordinal, claim));
        }
        pods.sort_by_key(|pod: &PodView| pod.ordinal);
        Ok(ClusterView {
            namespace: self.namespace.clone(),
            statefulset: self.statefulset.clone(),
            uid,
            replicas: set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1),
            pods,
            server,
            flavour: super::workload_view::flavour(&set),
            obligation: standing(&set, &self.statefulset_name())?,
            // Of what a newer version wrote there, nothing depends.
            last_restore: set
                .annotations()
                .get(LAST_RESTORE_ANNOTATION)
                .and_then(|text| serde_json::from_str(text).ok()),
        })
    }

    async fn claim(&self, name: &str) -> Result<ClaimView, PortError> {
        let what = format!("cannot read PersistentVolumeClaim {}/{name}", self.namespace);
        let claim = self.api::<PersistentVolumeClaim>().get(name).await.map_err(|error| {
            let error = port_error(what, error);
            let is_missing = error.reason == Reason::Missing;
            if is_missing {
                error.with_hint("to make that of the local store: kubectl mariadb-backup setup")
            } else {
                error
            }
        })?;
        let nodes = self.nodes_of(&claim).await;
        let bound = claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound");
        let waits_for_consumer = !bound && self.waits_for_consumer(&claim).await;
        Ok(view::claim(&claim, nodes, waits_for_consumer))
    }

    async fn settled_claim(&self, name: &str) -> Result<ClaimView, PortError> {
        let claim = self.claim(name).await?;
        if claim.phase != "Pending" || claim.waits_for_consumer {
            return Ok(claim);
        }
        let is_bound = |claim: Option<&PersistentVolumeClaim>| {
            claim.and_then(|claim| claim.status.as_ref()?.phase.as_deref()) != Some("Pending")
        };
        // However the wait ends, what the claim is then is what counts.
        let wait = await_condition(self.api::<PersistentVolumeClaim>(), name, is_bound);
        if let Ok(Err(error)) = tokio::time::timeout(BIND_LIMIT.unsigned_abs(), wait).await {
            tracing::debug!(%error, claim = name, "cannot watch a claim");
        }
        self.claim(name).await
    }

    async fn lacks_class(&self, class: &str) -> bool {
        Api::<StorageClass>::all(self.client.clone()).get_opt(class).await.is_ok_and(|found| found.is_none())
    }

    async fn settings(&self) -> Result<BTreeMap<String, String>, PortError> {
        let name = Settings::config_map_name(&self.statefulset);
        let what = format!("cannot read ConfigMap {}/{name}", self.namespace);
        let map = self.api::<ConfigMap>().get_opt(&name).await.map_err(|error| port_error(what, error))?;
        Ok(map.and_then(|map| map.data).unwrap_or_default())
    }

    async fn record_obligation(&self, obligation: &Obligation) -> Result<(), PortError> {
        let text = serde_json::to_string(obligation).expect("an obligation is plain strings");
        for _ in 0..ATTEMPTS {
            let set = self.statefulset().await?;
            if let Some(other) = standing(&set, &self.statefulset_name())? {
                let what = format!("{} is owed something already, by run {}", self.statefulset_name(), other.run);
                return Err(PortError::new(Reason::Other, what));
            }
            match self.annotate(&set, Some(&text)).await {
                Err(error) if error.reason == Reason::Conflict => {}
                done => return done,
            }
        }
        Err(self.keeps_changing())
    }

    async fn clear_obligation(&self, run: &str) -> Result<(), PortError> {
        for _ in 0..ATTEMPTS {
            let set = self.statefulset().await?;
            match standing(&set, &self.statefulset_name())? {
                Some(obligation) if obligation.run == run => {}
                _ => return Ok(()),
            }
            match self.annotate(&set, None).await {
                Err(error) if error.reason == Reason::Conflict => {}
                done => return done,
            }
        }
        Err(self.keeps_changing())
    }

    async fn next_sight(&self, pod: &str, last: Option<&Sight>) -> Result<Sight, PortError> {
        let pods = watcher::watch_object(self.api::<Pod>(), pod).backoff(Pause::default()).map(drop);
        let slices = watcher(self.api::<EndpointSlice>(), watcher::Config::default());
        let slices = slices.backoff(Pause::default()).map(drop);
        // Many changes at once, as at the beginning of a watch, are one reason to look.
        let mut changes = futures::stream::select(pods.boxed(), slices.boxed()).ready_chunks(CHANGES_AT_ONCE);
        while changes.next().await.is_some() {
            // What cannot be seen now is seen at the next change: nothing depends on a single sight.
            if let Ok(sight) = self.sight(pod).await
                && last != Some(&sight)
            {
                return Ok(sight);
            }
        }
        Err(PortError::new(Reason::Other, format!("cannot watch pod {}/{pod}", self.namespace)))
    }

    async fn wait_until_ready(&self, pod: &str, uid: &str, limit: Duration) -> Result<bool, PortError> {
        let mut sights = watcher::watch_object(self.api::<Pod>(), pod).backoff(Pause::default()).boxed();
        let wait = async {
            while let Some(sight) = sights.next().await {
                match sight {
                    Ok(Some(found)) if found.uid().as_deref() == Some(uid) && view::is_ready(&found) => return true,
                    Ok(Some(found)) if found.uid().as_deref() != Some(uid) => return false,
                    Ok(None) => return false,
                    Ok(Some(_)) | Err(_) => {}
                }
            }
            false
        };
        Ok(tokio::time::timeout(limit, wait).await.unwrap_or(false))
    }
}

impl KubernetesCluster {
    async fn sight(&self, pod: &str) -> Result<Sight, PortError> {
        let what = format!("cannot look at pod {}/{pod}", self.namespace);
        let found = self.api::<Pod>().get_opt(pod).await.map_err(|error| port_error(&what, error))?;
        let slices = self.api::<EndpointSlice>().list(&ListParams::default()).await;
        let slices = slices.map_err(|error| port_error(&what, error))?.items;
        Ok(Sight {
            ready: found.as_ref().is_some_and(view::is_ready),
            role: found.as_ref().and_then(view::role),
            services: view::services_sending_to(pod, &slices),
        })
    }

    fn keeps_changing(&self) -> PortError {
        PortError::new(Reason::Other, format!("{} keeps changing", self.statefulset_name()))
    }

    /// Sets or removes the annotation on the very version of the StatefulSet that was looked at.
    async fn annotate(&self, set: &StatefulSet, value: Option<&str>) -> Result<(), PortError> {
        let patch = json!({"metadata": {
            "resourceVersion": set.resource_version(),
            "annotations": {OBLIGATION_ANNOTATION: value},
        }});
        let what = format!("cannot annotate {}", self.statefulset_name());
        let patched =
            self.api::<StatefulSet>().patch(&self.statefulset, &PatchParams::default(), &Patch::Merge(patch)).await;
        patched.map(drop).map_err(|error| port_error(what, error))
    }
}

/// Reads the obligation that stands on a StatefulSet.
fn standing(set: &StatefulSet, name: &str) -> Result<Option<Obligation>, PortError> {
    let Some(text) = set.annotations().get(OBLIGATION_ANNOTATION) else { return Ok(None) };
    serde_json::from_str(text).map(Some).map_err(|error| {
        PortError::new(Reason::Other, format!("cannot understand annotation {OBLIGATION_ANNOTATION} of {name}"))
            .caused_by(error)
            .with_hint("a newer version of this product may have written it; use that version")
    })
}

#[cfg(test)]
mod tests;
