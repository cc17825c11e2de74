//! Runner pods: made, waited for, followed and removed.

use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};

use super::backoff::Pause;
use super::error::port_error;
use super::pod_follow::PodFollower;
use super::runner_pod::{COMPONENT_LABEL, CONTAINER, Owner, RUNNER, manifest};
use crate::model::cluster::ServerSpec;
use crate::model::names::{MANAGER, MANAGER_LABEL, STATEFULSET_LABEL};
use crate::ports::conductor::{Runner, RunnerSpec, Runners};
use crate::ports::{EventSink, PortError, Reason};

/// How much longer than its grace period a deleted pod may take before its node counts as lost.
const REMOVAL_MARGIN: Duration = Duration::from_mins(1);

/// Runner pods beside one cluster's servers.
pub struct RunnerPods<'a> {
    client: Client,
    owner: Owner,
    server: ServerSpec,
    events: &'a dyn EventSink,
}

impl<'a> RunnerPods<'a> {
    /// Runners of that owner, fitted to that server.
    #[must_use]
    pub fn new(client: Client, owner: Owner, server: ServerSpec, events: &'a dyn EventSink) -> Self {
        Self { client, owner, server, events }
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.owner.namespace)
    }

    /// Waits until a deleted pod is gone; its UID tells it from a successor.
    async fn wait_until_gone(&self, name: &str, uid: &str) {
        let mut sights = watcher::watch_object(self.pods(), name).backoff(Pause::default()).boxed();
        while let Some(sight) = sights.next().await {
            match sight {
                Ok(Some(pod)) if pod.uid().as_deref() == Some(uid) => {}
                Ok(_) => return,
                Err(error) => tracing::debug!(pod = name, %error, "watch interrupted, trying again"),
            }
        }
    }
}

#[async_trait]
impl Runners for RunnerPods<'_> {
    async fn start(&self, spec: &RunnerSpec, limit: Duration) -> Result<Box<dyn Runner>, PortError> {
        let pod = manifest(spec, &self.owner, &self.server);
        let what = format!("cannot create runner pod {}/{}", self.owner.namespace, spec.name);
        self.pods().create(&PostParams::default(), &pod).await.map_err(|error| port_error(what, error))?;
        let mut follower = PodFollower::new(self.client.clone(), &self.owner.namespace, &spec.name, CONTAINER);
        let phase = spec.order.task.phase();
        let mut tell = |why: &str| self.events.step(phase, format!("{} has not started yet: {why}", spec.name));
        follower.wait_until_started(limit, &mut tell).await?;
        Ok(Box::new(follower))
    }

    async fn remove(&self, name: &str) -> Result<(), PortError> {
        let what = || format!("cannot remove runner pod {}/{name}", self.owner.namespace);
        let Some(pod) = self.pods().get_opt(name).await.map_err(|error| port_error(what(), error))? else {
            return Ok(());
        };
        let deleted = self.pods().delete(name, &DeleteParams::default()).await;
        match deleted.map_err(|error| port_error(what(), error)) {
            Err(error) if error.reason == Reason::Missing => return Ok(()),
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        let grace = pod.spec.and_then(|spec| spec.termination_grace_period_seconds).unwrap_or(30);
        let limit = Duration::from_secs(u64::try_from(grace).unwrap_or(0)) + REMOVAL_MARGIN;
        let uid = pod.metadata.uid.unwrap_or_default();
        tokio::time::timeout(limit, self.wait_until_gone(name, &uid)).await.map_err(|_| {
            PortError::new(Reason::TimedOut, what())
                .caused_by(format!("it is still there after {} s: its node may be lost", limit.as_secs()))
        })
    }

    async fn dismiss(&self, name: &str) -> Result<(), PortError> {
        let what = format!("cannot remove runner pod {}/{name}", self.owner.namespace);
        match self.pods().delete(name, &DeleteParams::default()).await.map_err(|error| port_error(what, error)) {
            Err(error) if error.reason != Reason::Missing => Err(error),
            _ => Ok(()),
        }
    }

    async fn all(&self) -> Result<Vec<String>, PortError> {
        Ok(self.ours().await?.iter().filter(|pod| is_runner(pod)).map(ResourceExt::name_any).collect())
    }

    async fn orphans(&self) -> Result<Vec<String>, PortError> {
        Ok(orphans_among(&self.ours().await?))
    }
}

impl RunnerPods<'_> {
    /// The pods of every run of this cluster.
    async fn ours(&self) -> Result<Vec<Pod>, PortError> {
        let ours = format!("{MANAGER_LABEL}={MANAGER},{STATEFULSET_LABEL}={}", self.owner.statefulset);
        let what = format!("cannot list the runner pods in namespace {}", self.owner.namespace);
        let pods = self.pods().list(&ListParams::default().labels(&ours)).await;
        Ok(pods.map_err(|error| port_error(what, error))?.items)
    }
}

fn is_runner(pod: &Pod) -> bool {
    pod.labels().get(COMPONENT_LABEL).is_some_and(|component| component == RUNNER)
}

/// Names the runners among pods of one cluster whose owner is not among them, or is over.
fn orphans_among(pods: &[Pod]) -> Vec<String> {
    let phase = |pod: &Pod| pod.status.as_ref().and_then(|status| status.phase.clone());
    let lives = |pod: &&Pod| !matches!(phase(pod).as_deref(), Some("Succeeded" | "Failed"));
    let living: Vec<_> = pods.iter().filter(lives).filter_map(ResourceExt::uid).collect();
    let owner_lives = |pod: &Pod| pod.owner_references().iter().any(|owner| living.contains(&owner.uid));
    pods.iter().filter(|pod| is_runner(pod) && !owner_lives(pod)).map(ResourceExt::name_any).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, component: Option<&str>, phase: &str, owner: &str) -> Pod {
        let labels = component.map(|component| serde_json::json!({COMPONENT_LABEL: component})).unwrap_or_default();
        let owner = serde_json::json!({"apiVersion": "v1", "kind": "Pod", "name": owner, "uid": owner});
        let pod = serde_json::json!({
            "metadata": {"name": name, "uid": name, "labels": labels, "ownerReferences": [owner]},
            "status": {"phase": phase},
        });
        serde_json::from_value(pod).unwrap()
    }

    #[test]
    fn a_runner_is_an_orphan_when_its_conductor_is_over_or_gone() {
        let pods = [
            pod("at-work", None, "Running", "job-1"),
            pod("killed", None, "Failed", "job-2"),
            pod("runner-of-at-work", Some(RUNNER), "Running", "at-work"),
            pod("ended-runner-of-at-work", Some(RUNNER), "Succeeded", "at-work"),
            pod("runner-of-killed", Some(RUNNER), "Running", "killed"),
            pod("runner-of-gone", Some(RUNNER), "Failed", "gone"),
        ];
        assert_eq!(orphans_among(&pods), ["runner-of-killed", "runner-of-gone"]);
    }
}
