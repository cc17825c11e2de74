//! Schedules: each a `CronJob` that orders backups regularly.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::CronJob;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::json;

use super::error::port_error;
use super::orders::order_of;
use crate::model::names::{CONDUCTOR_CONTAINER, MANAGER, MANAGER_LABEL, STATEFULSET_LABEL};
use crate::model::order::Order;
use crate::ports::PortError;

/// A schedule as it is there.
#[derive(Clone, Debug, PartialEq)]
pub struct Scheduled {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Whether this product made it.
    pub is_ours: bool,
    /// The StatefulSet whose backups it orders.
    pub statefulset: Option<String>,
    /// When.
    pub schedule: String,
    /// In which time zone; that of Kubernetes' controller when missing.
    pub time_zone: Option<String>,
    /// Whether it orders nothing at present.
    pub is_suspended: bool,
    /// When it last ordered something.
    pub last: Option<Timestamp>,
    /// When it was made.
    pub made: Option<Timestamp>,
    /// What it orders; `None` when this version does not understand it.
    pub order: Option<Order>,
    /// Image with the agent that carries it out.
    pub image: Option<String>,
    /// The CronJob itself.
    pub object: CronJob,
}

/// Lists the schedules of one namespace or of all, of one cluster or of all, by namespace and name.
pub async fn schedules(
    client: Client,
    namespace: Option<&str>,
    statefulset: Option<&str>,
) -> Result<Vec<Scheduled>, PortError> {
    let (jobs, place): (Api<CronJob>, _) = match namespace {
        Some(name) => (Api::namespaced(client, name), format!("namespace {name}")),
        None => (Api::all(client), "all namespaces".to_owned()),
    };
    let of_set = statefulset.map(|name| format!(",{STATEFULSET_LABEL}={name}")).unwrap_or_default();
    let ours = ListParams::default().labels(&format!("{MANAGER_LABEL}={MANAGER}{of_set}"));
    let found =
        jobs.list(&ours).await.map_err(|error| port_error(format!("cannot list CronJobs in {place}"), error))?;
    let mut all: Vec<Scheduled> = found.items.into_iter().map(|job| scheduled(job, namespace)).collect();
    all.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    Ok(all)
}

/// Schedules of one namespace.
pub struct Schedules {
    client: Client,
    jobs: Api<CronJob>,
    namespace: String,
}

impl Schedules {
    /// Schedules in one namespace.
    #[must_use]
    pub fn new(client: Client, namespace: &str) -> Self {
        Self { jobs: Api::namespaced(client.clone(), namespace), client, namespace: namespace.to_owned() }
    }

    fn cannot(&self, verb: &str, name: &str) -> String {
        format!("cannot {verb} CronJob {}/{name}", self.namespace)
    }

    /// Reads the CronJob of that name.
    pub async fn find(&self, name: &str) -> Result<Option<Scheduled>, PortError> {
        let found = self.jobs.get_opt(name).await.map_err(|error| port_error(self.cannot("read", name), error))?;
        Ok(found.map(|job| scheduled(job, Some(&self.namespace))))
    }

    /// Lists the schedules of a cluster, or of all in the namespace, by name.
    pub async fn all(&self, statefulset: Option<&str>) -> Result<Vec<Scheduled>, PortError> {
        schedules(self.client.clone(), Some(&self.namespace), statefulset).await
    }

    /// Suspends a schedule, or lets it go on.
    pub async fn set_suspended(&self, name: &str, suspended: bool) -> Result<(), PortError> {
        let patch = Patch::Merge(json!({"spec": {"suspend": suspended}}));
        let patched = self.jobs.patch(name, &PatchParams::default(), &patch).await;
        patched.map(drop).map_err(|error| port_error(self.cannot("change", name), error))
    }

    /// Removes a schedule. What it ordered goes on, and stays to be looked at.
    pub async fn remove(&self, name: &str) -> Result<(), PortError> {
        let removed = self.jobs.delete(name, &DeleteParams::orphan()).await;
        removed.map(drop).map_err(|error| port_error(self.cannot("delete", name), error))
    }
}

/// What a CronJob is as a schedule; the namespace is the one it was looked for in.
fn scheduled(object: CronJob, namespace: Option<&str>) -> Scheduled {
    let spec = object.spec.as_ref();
    let template = spec.and_then(|spec| spec.job_template.spec.as_ref()?.template.spec.as_ref());
    let conductor =
        template.and_then(|pod| pod.containers.iter().find(|container| container.name == CONDUCTOR_CONTAINER));
    let last = object.status.as_ref().and_then(|status| status.last_schedule_time.as_ref());
    Scheduled {
        namespace: object.namespace().or_else(|| namespace.map(str::to_owned)).unwrap_or_default(),
        name: object.name_any(),
        is_ours: object.labels().get(MANAGER_LABEL).is_some_and(|manager| manager == MANAGER),
        statefulset: object.labels().get(STATEFULSET_LABEL).cloned(),
        schedule: spec.map(|spec| spec.schedule.clone()).unwrap_or_default(),
        time_zone: spec.and_then(|spec| spec.time_zone.clone()),
        is_suspended: spec.and_then(|spec| spec.suspend).unwrap_or(false),
        last: last.map(|time| time.0),
        made: object.creation_timestamp().map(|time| time.0),
        order: template.and_then(order_of),
        image: conductor.and_then(|container| container.image.clone()),
        object,
    }
}
