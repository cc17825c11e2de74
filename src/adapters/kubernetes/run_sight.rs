//! A look at a run that goes on: the newest of its reports.

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, LogParams};
use kube::{Client, ResourceExt};

use super::error::port_error;
use crate::model::event::Event;
use crate::model::names::{CONDUCTOR_CONTAINER, JOB_LABEL};
use crate::ports::PortError;

/// How many reports are read: the last may be of a kind that shows nothing.
const REPORTS: i64 = 20;

/// Reads the newest reports of a Job's run, oldest first; none while its pod has not begun.
pub async fn newest_reports(client: Client, namespace: &str, job: &str) -> Result<Vec<Event>, PortError> {
    let pods: Api<Pod> = Api::namespaced(client, namespace);
    let of_job = ListParams::default().labels(&format!("{JOB_LABEL}={job}"));
    let what = format!("cannot list the pods of Job {namespace}/{job}");
    let found = pods.list(&of_job).await.map_err(|error| port_error(what, error))?;
    let Some(pod) = found.items.first().map(ResourceExt::name_any) else { return Ok(vec![]) };
    let tail = LogParams {
        container: Some(CONDUCTOR_CONTAINER.to_owned()),
        tail_lines: Some(REPORTS),
        ..LogParams::default()
    };
    let what = format!("cannot read the log of pod {namespace}/{pod}");
    let text = pods.logs(&pod, &tail).await.map_err(|error| port_error(what, error))?;
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}
