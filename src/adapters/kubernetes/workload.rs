//! The StatefulSet of a cluster, to be stopped and started: looked at, scaled, and its volumes watched.

use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ConfigMap, Node, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::VolumeAttachment;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use super::backoff::Pause;
use super::error::port_error;
use super::workload_view::{self as view, Use};
use crate::model::cluster::ClaimView;
use crate::model::names::{MANAGER, MANAGER_LABEL};
use crate::model::obligation::{OBLIGATION_ANNOTATION, Obligation};
use crate::model::outcome::in_full;
use crate::model::report::{LAST_RESTORE_ANNOTATION, LastRestore};
use crate::model::workload::{ClaimUser, Flavour, Replica, Scale, Started, Workload};
use crate::ports::conductor::Cluster;
use crate::ports::restore::WorkloadControl;
use crate::ports::{PortError, Reason};

/// So many changes are looked at together at most.
const CHANGES_AT_ONCE: usize = 1000;

/// The first minor version of Kubernetes 1 in which `spec.ordinals` can be relied on.
const ORDINALS_SINCE: u32 = 31;

/// One StatefulSet, with rights to scale it.
pub struct KubernetesWorkload<'a> {
    client: Client,
    namespace: String,
    statefulset: String,
    /// Who looks at claims.
    cluster: &'a dyn Cluster,
    /// In which way its servers start; found out where nobody says it.
    flavour: Option<Flavour>,
}

impl<'a> KubernetesWorkload<'a> {
    /// The StatefulSet of that cluster.
    #[must_use]
    pub fn new(client: Client, namespace: &str, statefulset: &str, cluster: &'a dyn Cluster) -> Self {
        Self { client, namespace: namespace.to_owned(), statefulset: statefulset.to_owned(), cluster, flavour: None }
    }

    /// The same, with what somebody says of the way in which its servers start.
    #[must_use]
    pub fn in_the_way_of(self, flavour: Option<Flavour>) -> Self {
        Self { flavour, ..self }
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn name(&self) -> String {
        format!("StatefulSet {}/{}", self.namespace, self.statefulset)
    }

    async fn statefulset(&self) -> Result<StatefulSet, PortError> {
        let what = format!("cannot read {}", self.name());
        self.api::<StatefulSet>().get(&self.statefulset).await.map_err(|error| port_error(what, error))
    }

    async fn patch(&self, what: &str, patch: Value) -> Result<(), PortError> {
        let what = format!("cannot {what} {}", self.name());
        let patched =
            self.api::<StatefulSet>().patch(&self.statefulset, &PatchParams::default(), &Patch::Merge(patch)).await;
        patched.map(drop).map_err(|error| port_error(what, error))
    }

    /// Says in the ConfigMap of servers in the way of openstack-helm how the cluster is, and who starts it.
    async fn tell(&self, config_map: &str, state: &str, pod: Option<&str>, how: PatchParams) -> Result<(), PortError> {
        let what = format!("cannot annotate ConfigMap {}/{config_map}", self.namespace);
        let patch = json!({"metadata": {"annotations": view::state_annotations(state, pod)}});
        let patched = self.api::<ConfigMap>().patch(config_map, &how, &Patch::Merge(patch)).await;
        patched.map(drop).map_err(|error| port_error(what, error))
    }

    /// Autoscalers of this StatefulSet. Without the right to list them there are none to be seen.
    async fn autoscalers(&self) -> Result<Vec<String>, PortError> {
        let what = format!("cannot list HorizontalPodAutoscalers in namespace {}", self.namespace);
        let listed = self.api::<HorizontalPodAutoscaler>().list(&ListParams::default()).await;
        let listed = if_allowed(listed.map_err(|error| port_error(what, error)))?;
        let scales = |scaler: &HorizontalPodAutoscaler| {
            let target = scaler.spec.as_ref().map(|spec| &spec.scale_target_ref);
            target.is_some_and(|target| target.kind == "StatefulSet" && target.name == self.statefulset)
        };
        let listed = listed.map(|list| list.items).unwrap_or_default();
        Ok(listed.iter().filter(|of| scales(of)).map(ResourceExt::name_any).collect())
    }

    /// Replicas on nodes that do not answer, in words. Without the right to read nodes there are none to be
    /// seen.
    async fn lost(&self, replicas: &[(Replica, Option<ClaimView>)], pods: &[Pod]) -> Result<Vec<String>, PortError> {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let is_one = |pod: &&Pod| replicas.iter().any(|(replica, _)| replica.pod == pod.name_any());
        let mut lost = Vec::new();
        for pod in pods.iter().filter(is_one) {
            let Some(name) = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()) else { continue };
            let what = format!("cannot read node {name}");
            let node = if_allowed(nodes.get(&name).await.map_err(|error| port_error(what, error)))?;
            if node.is_some_and(|node| !view::node_answers(&node)) {
                lost.push(format!(
                    "node {name} of pod {} is not Ready, so nobody can know whether its server still runs",
                    pod.name_any()
                ));
            }
        }
        Ok(lost)
    }

    /// Whether nodes, and which volumes are attached to them, may be looked at: one right comes with the other.
    async fn sees_nodes(&self) -> Result<bool, PortError> {
        let attachments: Api<VolumeAttachment> = Api::all(self.client.clone());
        let asked = attachments.list(&ListParams::default().limit(1)).await;
        Ok(if_allowed(asked.map_err(|error| port_error("cannot list VolumeAttachments", error)))?.is_some())
    }

    /// What would be found out in the outage otherwise: servers that cannot be stopped, rights that lack.
    async fn trouble(&self, flavour: &Flavour, lost: &[String]) -> Result<Vec<String>, PortError> {
        if !lost.is_empty() {
            return Ok(lost.to_vec());
        }
        let Some(state_config_map) = flavour.state_config_map() else { return Ok(Vec::new()) };
        match self.tell(state_config_map, "live", None, PatchParams::default().dry_run()).await {
            Err(error) if [Reason::Forbidden, Reason::Missing].contains(&error.reason) => Ok(vec![format!(
                "{}, by which the servers are told who starts the cluster; for the right to it: kubectl mariadb-backup setup",
                in_full(&error)
            )]),
            Err(error) => Err(error),
            Ok(()) => Ok(Vec::new()),
        }
    }

    /// The replicas with their claims. A StatefulSet that stands at 0 does not say how many it had: its claims
    /// do, up to the highest ordinal.
    async fn replicas(
        &self,
        scale: Scale,
        template: &str,
        if_stopped: Option<i32>,
    ) -> Result<Vec<(Replica, Option<ClaimView>)>, PortError> {
        let count = match (scale.replicas, if_stopped) {
            (0, Some(wanted)) => wanted,
            (0, None) => self.claimed(scale.first, template).await?,
            (asked, _) => asked,
        };
        let mut replicas = Vec::new();
        for ordinal in scale.first..scale.first.saturating_add(count) {
            let pod = format!("{}-{ordinal}", self.statefulset);
            let claim = format!("{template}-{pod}");
            let seen = self.claim(&claim).await?;
            replicas.push((Replica { ordinal, pod, claim }, seen));
        }
        Ok(replicas)
    }

    /// How many replicas there are claims for, from the first ordinal to the highest.
    async fn claimed(&self, first: i32, template: &str) -> Result<i32, PortError> {
        let what = format!("cannot list claims in namespace {}", self.namespace);
        let listed = self.api::<PersistentVolumeClaim>().list(&ListParams::default()).await;
        let listed = listed.map_err(|error| port_error(what, error))?.items;
        Ok(view::claimed(&listed, &format!("{template}-{}-", self.statefulset), first))
    }

    async fn claim(&self, name: &str) -> Result<Option<ClaimView>, PortError> {
        match self.cluster.claim(name).await {
            Ok(claim) => Ok(Some(claim)),
            Err(error) if error.reason == Reason::Missing => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn starts_at_any_ordinal(&self) -> Result<bool, PortError> {
        let what = "cannot ask the API server for its version";
        let version = self.client.apiserver_version().await.map_err(|error| port_error(what, error))?;
        let number = |text: &str| text.trim_end_matches(|c: char| !c.is_ascii_digit()).parse::<u32>().unwrap_or(0);
        Ok(number(&version.major) > 1 || number(&version.minor) >= ORDINALS_SINCE)
    }

    async fn pods(&self) -> Result<Vec<Pod>, PortError> {
        let what = format!("cannot list pods in namespace {}", self.namespace);
        Ok(self.api::<Pod>().list(&ListParams::default()).await.map_err(|error| port_error(what, error))?.items)
    }

    /// Attachments of the claims' volumes to nodes; without the right to list them, pods alone tell.
    async fn attachments(&self, claims: &[String]) -> Result<Vec<ClaimUser>, PortError> {
        let attachments: Api<VolumeAttachment> = Api::all(self.client.clone());
        let listed = attachments.list(&ListParams::default()).await;
        let listed = if_allowed(listed.map_err(|error| port_error("cannot list VolumeAttachments", error)))?;
        let Some(attachments) = listed.filter(|list| !list.items.is_empty()) else { return Ok(Vec::new()) };
        let what = format!("cannot list claims in namespace {}", self.namespace);
        let listed = self.api::<PersistentVolumeClaim>().list(&ListParams::default()).await;
        let listed = listed.map_err(|error| port_error(what, error))?.items;
        Ok(view::attached(claims, &listed, &attachments.items))
    }

    /// Everything that happens to pods and could change who holds a volume.
    fn changes(&self) -> impl futures::Stream<Item = ()> + Send + 'static {
        let pods = watcher(self.api::<Pod>(), watcher::Config::default());
        // Many changes at once, as at the beginning of a watch, are one reason to look.
        pods.backoff(Pause::default()).map(drop).ready_chunks(CHANGES_AT_ONCE).map(drop)
    }
}

#[async_trait]
impl WorkloadControl for KubernetesWorkload<'_> {
    async fn look(&self, if_stopped: Option<i32>) -> Result<Workload, PortError> {
        let set = self.statefulset().await?;
        let (scale, template) = (view::scale(&set), view::claim_template(&set)?);
        let replicas = self.replicas(scale, &template, if_stopped).await?;
        let flavour = self.flavour.clone().unwrap_or_else(|| view::flavour(&set));
        let pods = self.pods().await?;
        let lost = self.lost(&replicas, &pods).await?;
        Ok(Workload {
            scale,
            replicas,
            deletes_claims: view::deletes_claims(&set),
            starts_at_any_ordinal: self.starts_at_any_ordinal().await?,
            autoscalers: self.autoscalers().await?,
            controller: view::controller(&set),
            trouble: self.trouble(&flavour, &lost).await?,
            flavour,
            keepers: view::keepers(&set),
            pace: view::pace(&set, &pods),
            sees_nodes: self.sees_nodes().await?,
        })
    }

    async fn scale(&self, scale: Scale) -> Result<(), PortError> {
        let ordinals = if scale.first == 0 { Value::Null } else { json!({"start": scale.first}) };
        self.patch("scale", json!({"spec": {"replicas": scale.replicas, "ordinals": ordinals}})).await
    }

    async fn end_pod(&self, pod: &str) -> Result<(), PortError> {
        let what = format!("cannot end pod {}/{pod}", self.namespace);
        match self.api::<Pod>().delete(pod, &DeleteParams::default()).await.map_err(|error| port_error(what, error)) {
            Err(error) if error.reason != Reason::Missing => Err(error),
            _ => Ok(()),
        }
    }

    async fn users(&self, claims: &[String], but: Option<&str>) -> Result<Vec<ClaimUser>, PortError> {
        let pods = self.pods().await?;
        let mut users = view::users(claims, &pods, Use::AnyBut(but));
        let kept = but.map(|but| view::kept_by_runner(but, &pods)).unwrap_or_default();
        let loose: Vec<_> = claims.iter().filter(|claim| !kept.contains(claim)).cloned().collect();
        users.extend(self.attachments(&loose).await?);
        Ok(users)
    }

    async fn wait_until_free(
        &self,
        claims: &[String],
        but: Option<&str>,
        limit: Duration,
    ) -> Result<Vec<ClaimUser>, PortError> {
        let begun = std::time::Instant::now();
        let waiting = async {
            let mut changes = self.changes().boxed();
            while changes.next().await.is_some() {
                let users = view::users(claims, &self.pods().await?, Use::AnyBut(but));
                if users.is_empty() || users.iter().any(|user| !user.terminating) {
                    return Ok(());
                }
            }
            Ok(())
        };
        if let Ok(Err(error)) = tokio::time::timeout(limit, waiting).await {
            return Err(error);
        }
        self.detached(claims, but, limit.saturating_sub(begun.elapsed())).await
    }

    async fn next_user(&self, claims: &[String]) -> Result<ClaimUser, PortError> {
        let mut changes = self.changes().boxed();
        while changes.next().await.is_some() {
            // What cannot be seen now is seen at the next change.
            let Ok(pods) = self.pods().await else { continue };
            if let Some(user) = view::users(claims, &pods, Use::Foreign).into_iter().next() {
                return Ok(user);
            }
        }
        Err(PortError::new(Reason::Other, format!("cannot watch the pods in namespace {}", self.namespace)))
    }

    async fn wait_until_started(&self, pod: &str, limit: Duration) -> Result<Started, PortError> {
        let mut sights = watcher::watch_object(self.api::<Pod>(), pod).backoff(Pause::default()).boxed();
        let mut last = "it has no pod".to_owned();
        let waiting = async {
            while let Some(sight) = sights.next().await {
                let Ok(found) = sight else { continue };
                match found.as_ref().map(view::readiness) {
                    Some(view::Readiness::Ready) => return Started::Ready,
                    Some(view::Readiness::Hopeless(why)) => return Started::Not(why),
                    Some(view::Readiness::NotYet(why)) => last = why,
                    None => "it has no pod".clone_into(&mut last),
                }
            }
            Started::Not("it cannot be watched".to_owned())
        };
        Ok(match tokio::time::timeout(limit, waiting).await {
            Ok(started) => started,
            Err(_) => Started::Not(format!("{last}, after {} s", limit.as_secs())),
        })
    }

    async fn name_bootstrap(&self, config_map: &str, pod: &str) -> Result<(), PortError> {
        self.tell(config_map, "reboot", Some(pod), PatchParams::default()).await
    }

    async fn forget_bootstrap(&self, config_map: &str) -> Result<(), PortError> {
        self.tell(config_map, "live", None, PatchParams::default()).await
    }

    async fn record_stage(&self, obligation: &Obligation) -> Result<(), PortError> {
        let set = self.statefulset().await?;
        self.still_owes(&set, &obligation.run)?;
        let text = serde_json::to_string(obligation).expect("an obligation is plain strings and numbers");
        let patch = json!({"metadata": {
            "resourceVersion": set.resource_version(),
            "annotations": {OBLIGATION_ANNOTATION: text},
        }});
        self.patch("annotate", patch).await
    }

    async fn finish(&self, run: &str, last: &LastRestore) -> Result<(), PortError> {
        let set = self.statefulset().await?;
        let text = remembered(&set, last);
        if self.still_owes(&set, run).is_err() {
            // The answer to an earlier try was lost.
            return Ok(());
        }
        let patch = json!({"metadata": {
            "resourceVersion": set.resource_version(),
            "annotations": {OBLIGATION_ANNOTATION: null, LAST_RESTORE_ANNOTATION: text},
        }});
        self.patch("annotate", patch).await
    }
}

/// A restore as its annotation has it, with what the one before it left behind.
fn remembered(set: &StatefulSet, last: &LastRestore) -> String {
    let before = set.annotations().get(LAST_RESTORE_ANNOTATION).and_then(|text| serde_json::from_str(text).ok());
    let last = last.clone().after(before.as_ref());
    serde_json::to_string(&last).expect("a report is plain strings and numbers")
}

impl KubernetesWorkload<'_> {
    fn still_owes(&self, set: &StatefulSet, run: &str) -> Result<(), PortError> {
        let owed = set.annotations().get(OBLIGATION_ANNOTATION).and_then(|text| serde_json::from_str(text).ok());
        if owed.is_some_and(|owed: Obligation| owed.run == run) {
            return Ok(());
        }
        let what = format!("{} is not owed anything by run {run} any more", self.name());
        Err(PortError::new(Reason::Missing, what))
    }

    /// After the pods are gone: waits until the volumes are detached too, and returns who still has them.
    async fn detached(
        &self,
        claims: &[String],
        but: Option<&str>,
        limit: Duration,
    ) -> Result<Vec<ClaimUser>, PortError> {
        let attachments: Api<VolumeAttachment> = Api::all(self.client.clone());
        let mut users = self.users(claims, but).await?;
        let is_over = |users: &[ClaimUser]| users.is_empty() || users.iter().any(|user| !user.terminating);
        if is_over(&users) || attachments.list(&ListParams::default().limit(1)).await.is_err() {
            return Ok(users);
        }
        let mut changes = watcher(attachments, watcher::Config::default()).backoff(Pause::default()).map(drop).boxed();
        let waiting = async {
            while !is_over(&users) && changes.next().await.is_some() {
                if let Ok(now) = self.users(claims, but).await {
                    users = now;
                }
            }
        };
        // What still stands when time runs out is the answer.
        let _in_time = tokio::time::timeout(limit, waiting).await;
        Ok(users)
    }
}

/// Takes "you may not ask" and "there is no such thing here" for "nothing to be seen"; any other error is one.
fn if_allowed<T>(asked: Result<T, PortError>) -> Result<Option<T>, PortError> {
    match asked {
        Err(error) if [Reason::Forbidden, Reason::Missing].contains(&error.reason) => Ok(None),
        other => other.map(Some),
    }
}

/// Whether a pod is this product's own.
pub(super) fn is_ours(pod: &Pod) -> bool {
    pod.labels().get(MANAGER_LABEL).is_some_and(|manager| manager == MANAGER)
}
