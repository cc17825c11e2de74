//! Orders: Jobs, and the pods they become.
//!
//! A Job says little about itself: its pod may be late for reasons only its events tell (a quota, a
//! service account that is not there), and gone long before the Job is.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event as KubernetesEvent, Pod, PodSpec};
use kube::api::{Api, ListParams, PostParams};
use kube::{Client, ResourceExt};
use tokio::time::{Instant, sleep, timeout};

use super::backoff::Pause;
use super::error::port_error;
use super::pod_state::{End, Stage, stage};
use crate::exit_code::ExitCode;
use crate::model::names::{CONDUCTOR_CONTAINER, JOB_LABEL, MANAGER, MANAGER_LABEL, STATEFULSET_LABEL, TASK_LABEL};
use crate::model::order::Order;
use crate::model::outcome::{self, Outcome};
use crate::ports::{PortError, Reason};

/// How long a Job that cannot make its pod may still come right.
const REFUSED_GRACE: Duration = Duration::from_secs(10);

/// How long one look may take before it counts as failed.
const LOOK_LIMIT: Duration = Duration::from_secs(10);

/// Jobs of one namespace.
pub struct Orders {
    jobs: Api<Job>,
    pods: Api<Pod>,
    events: Api<KubernetesEvent>,
    namespace: String,
}

/// A run that was ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderedRun {
    /// The Job's name.
    pub job: String,
    /// When it was ordered.
    pub ordered: Option<Timestamp>,
    /// The word for its task.
    pub task: Option<String>,
    /// Whether it has not ended yet.
    pub is_running: bool,
    /// Why it has not even started, where its pod tells it.
    pub waits: Option<String>,
    /// How its Job ended.
    pub end: Option<RunEnd>,
    /// Whether it is only asked what would be done.
    pub only_asks: bool,
    /// Why it did not do what was asked, where its pod still tells it.
    pub failed: Option<ExitCode>,
}

/// How a Job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunEnd {
    /// Whether Kubernetes calls it complete.
    pub is_good: bool,
    /// When.
    pub at: Option<Timestamp>,
    /// Its condition, such as `Failed (DeadlineExceeded)`.
    pub how: String,
}

/// What is left of how a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Its conductor's last word; `None` when it could not say one.
    pub last_word: Option<String>,
    /// How its pod ended: a phrase.
    pub how: String,
}

/// What a conductor's pod says of its run.
enum Told {
    /// It is over: why it did not do what was asked, where it says so.
    Over(Option<ExitCode>),
    /// It has not started, and why.
    Waits(String),
    /// It is at work.
    Runs,
}

/// One look at a Job that is to make a pod.
enum Look {
    Pod(String),
    Refused(String),
    Nothing,
}

impl Orders {
    /// Orders in one namespace.
    #[must_use]
    pub fn new(client: Client, namespace: &str) -> Self {
        Self {
            jobs: Api::namespaced(client.clone(), namespace),
            pods: Api::namespaced(client.clone(), namespace),
            events: Api::namespaced(client, namespace),
            namespace: namespace.to_owned(),
        }
    }

    /// Creates a Job, or only has the server check it.
    pub async fn create(&self, job: &Job, dry_run: bool) -> Result<Job, PortError> {
        let wishes = PostParams { dry_run, field_manager: Some(MANAGER.to_owned()) };
        let what = format!("cannot create a Job in namespace {}", self.namespace);
        self.jobs.create(&wishes, job).await.map_err(|error| port_error(what, error))
    }

    /// Lists the runs that were ordered here and are remembered, the newest first.
    pub async fn runs(&self, statefulset: Option<&str>) -> Result<Vec<OrderedRun>, PortError> {
        let of_set = statefulset.map(|name| format!(",{STATEFULSET_LABEL}={name}")).unwrap_or_default();
        let ours = ListParams::default().labels(&format!("{MANAGER_LABEL}={MANAGER}{of_set}"));
        let what = format!("cannot list Jobs in namespace {}", self.namespace);
        let jobs = self.jobs.list(&ours).await.map_err(|error| port_error(what, error))?;
        let told = self.told(&ours).await?;
        let mut runs = join_all(jobs.items.iter().map(|job| self.seen(job, told.as_ref()))).await;
        runs.sort_by(|a, b| (b.ordered, &b.job).cmp(&(a.ordered, &a.job)));
        Ok(runs)
    }

    /// Looks at one run; `None` when nothing is remembered of it.
    pub async fn run(&self, job: &str) -> Result<Option<OrderedRun>, PortError> {
        let what = format!("cannot read Job {}/{job}", self.namespace);
        let Some(found) = self.jobs.get_opt(job).await.map_err(|error| port_error(what, error))? else {
            return Ok(None);
        };
        let told = self.told(&ListParams::default().labels(&format!("{JOB_LABEL}={job}"))).await?;
        Ok(Some(self.seen(&found, told.as_ref()).await))
    }

    /// Looks how the run of an ended Job ended; `None` when its pod is gone, or does not know either.
    pub async fn ending(&self, job: &str) -> Result<Option<Ending>, PortError> {
        let of_job = ListParams::default().labels(&format!("{JOB_LABEL}={job}"));
        let what = format!("cannot list the pods of Job {}/{job}", self.namespace);
        let pods = self.pods.list(&of_job).await.map_err(|error| port_error(what, error))?;
        Ok(pods.items.first().and_then(|pod| match stage(pod, CONDUCTOR_CONTAINER) {
            Stage::Ended(end) => Some(Ending { last_word: end.last_word, how: end.how }),
            Stage::NeverRan(how) | Stage::Stuck(how) => Some(Ending { last_word: None, how }),
            Stage::Waiting(_) | Stage::Running => None,
        }))
    }

    /// What pods say of their runs, by Job: a Job itself says seconds later that it is over, and never why. `None` to
    /// whoever may see Jobs alone.
    async fn told(&self, ours: &ListParams) -> Result<Option<BTreeMap<String, Told>>, PortError> {
        let what = format!("cannot list pods in namespace {}", self.namespace);
        let pods = match self.pods.list(ours).await.map_err(|error| port_error(what, error)) {
            Ok(pods) => pods.items,
            Err(error) if error.reason == Reason::Forbidden => return Ok(None),
            Err(error) => return Err(error),
        };
        let told = pods.iter().filter_map(|pod| Some((pod.labels().get(JOB_LABEL)?.clone(), told_by(pod))));
        Ok(Some(told.collect()))
    }

    /// A run, with what its pod says; or why it has none.
    async fn seen(&self, job: &Job, told: Option<&BTreeMap<String, Told>>) -> OrderedRun {
        let name = job.name_any();
        let Some(told) = told else { return ordered_run(job, None) };
        if told.contains_key(&name) || end_of(job).is_some() {
            return ordered_run(job, told.get(&name));
        }
        let why = self.refusal(&name).await.unwrap_or_else(|| "it has no pod yet".to_owned());
        ordered_run(job, Some(&Told::Waits(why)))
    }

    /// Waits for the pod of a Job and returns its name.
    ///
    /// # Errors
    /// Says why there is none: the Job is gone, its pod is gone, or it cannot make one.
    pub async fn pod_of(&self, job: &str, limit: Duration) -> Result<String, PortError> {
        let deadline = Instant::now() + limit;
        let mut pauses = Pause::default();
        let mut refused_since = None;
        loop {
            let look = timeout(LOOK_LIMIT, self.look(job)).await.unwrap_or(Ok(Look::Nothing));
            let why = match look {
                Ok(Look::Pod(pod)) => return Ok(pod),
                Ok(Look::Refused(why)) => {
                    let since = *refused_since.get_or_insert_with(Instant::now);
                    if since.elapsed() > REFUSED_GRACE {
                        return Err(self.no_pod(job, Reason::Other).caused_by(why));
                    }
                    Some(why)
                }
                Ok(Look::Nothing) => None,
                Err(error) if error.reason == Reason::Unreachable => Some(error.to_string()),
                Err(error) => return Err(error),
            };
            if Instant::now() >= deadline {
                let error = self.no_pod(job, Reason::TimedOut);
                return Err(error.caused_by(why.unwrap_or_else(|| format!("nothing came within {limit:?}"))));
            }
            sleep(pauses.next().unwrap_or(LOOK_LIMIT)).await;
        }
    }

    fn no_pod(&self, job: &str, reason: Reason) -> PortError {
        PortError::new(reason, format!("Job {}/{job} has no pod", self.namespace))
            .with_hint(format!("kubectl describe job {job} -n {}", self.namespace))
    }

    async fn look(&self, job: &str) -> Result<Look, PortError> {
        let of_job = ListParams::default().labels(&format!("{JOB_LABEL}={job}"));
        let what = format!("cannot list the pods of Job {}/{job}", self.namespace);
        let pods = self.pods.list(&of_job).await.map_err(|error| port_error(what, error))?;
        let newest =
            pods.items.into_iter().max_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0));
        if let Some(pod) = newest {
            return Ok(Look::Pod(pod.name_any()));
        }
        let what = format!("cannot read Job {}/{job}", self.namespace);
        let found = self.jobs.get_opt(job).await.map_err(|error| port_error(&what, error))?;
        let Some(found) = found else {
            let gone = PortError::new(Reason::Missing, format!("there is no Job {}/{job}", self.namespace));
            return Err(gone.with_hint(format!("kubectl get jobs -n {} -l {MANAGER_LABEL}={MANAGER}", self.namespace)));
        };
        if let Some(end) = end_of(&found) {
            let gone = PortError::new(Reason::Missing, format!("the pod of Job {}/{job} is gone", self.namespace));
            return Err(gone.caused_by(format!("the Job is {}, but only its pod could say more", end.how)));
        }
        Ok(self.refusal(job).await.map_or(Look::Nothing, Look::Refused))
    }

    /// Why the Job's controller could not make a pod, when it said so.
    async fn refusal(&self, job: &str) -> Option<String> {
        let about = format!("involvedObject.kind=Job,involvedObject.name={job},reason=FailedCreate");
        let events = self.events.list(&ListParams::default().fields(&about)).await.ok()?;
        events.items.into_iter().filter_map(|event| event.message).next_back()
    }
}

/// What a conductor's pod says of its run.
fn told_by(pod: &Pod) -> Told {
    match stage(pod, CONDUCTOR_CONTAINER) {
        Stage::Ended(End { last_word, .. }) => Told::Over(last_word.as_deref().and_then(failure)),
        Stage::NeverRan(_) => Told::Over(None),
        Stage::Waiting(why) | Stage::Stuck(why) => Told::Waits(why),
        Stage::Running => Told::Runs,
    }
}

fn failure(last_word: &str) -> Option<ExitCode> {
    match serde_json::from_str::<Outcome<serde_json::Value>>(last_word).ok()?.end {
        outcome::End::Failed(failure) => Some(failure.code),
        outcome::End::Done(_) => None,
    }
}

fn ordered_run(job: &Job, told: Option<&Told>) -> OrderedRun {
    let pod = job.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    let order = pod.and_then(order_of);
    let end = end_of(job);
    let is_running = end.is_none() && !matches!(told, Some(Told::Over(_)));
    let (failed, waits) = match told {
        Some(Told::Over(failed)) => (*failed, None),
        Some(Told::Waits(why)) => (None, Some(why.clone()).filter(|_| is_running)),
        Some(Told::Runs) | None => (None, None),
    };
    OrderedRun {
        job: job.name_any(),
        ordered: job.creation_timestamp().map(|time| time.0),
        task: job.labels().get(TASK_LABEL).cloned(),
        is_running,
        waits,
        only_asks: order.is_some_and(|order| order.task.only_asks()),
        failed,
        end,
    }
}

/// Reads the order out of a conductor's command line.
pub(super) fn order_of(pod: &PodSpec) -> Option<Order> {
    let conductor = pod.containers.iter().find(|container| container.name == CONDUCTOR_CONTAINER)?;
    let value = conductor.args.as_ref()?.iter().skip_while(|word| *word != "--order").nth(1)?;
    serde_json::from_str(value).ok()
}

fn end_of(job: &Job) -> Option<RunEnd> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let end =
        conditions.iter().find(|one| one.status == "True" && ["Complete", "Failed"].contains(&one.type_.as_str()))?;
    let reason = end.reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    Some(RunEnd {
        is_good: end.type_ == "Complete",
        at: end.last_transition_time.as_ref().map(|time| time.0),
        how: format!("{}{reason}", end.type_),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn job(conditions: &serde_json::Value) -> Job {
        let order = json!({"version": 1, "statefulset": "one", "task": {"prune": {"dryRun": true}}}).to_string();
        let container = json!({"name": CONDUCTOR_CONTAINER, "args": ["conduct", "--order", order]});
        serde_json::from_value(json!({"metadata": {"name": "run-x"}, "status": {"conditions": conditions},
            "spec": {"template": {"spec": {"containers": [container]}}}}))
        .unwrap()
    }

    fn pod(state: &serde_json::Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "run-x-pod"}, "spec": {"containers": []},
            "status": {"phase": "Running", "containerStatuses": [{"name": CONDUCTOR_CONTAINER, "image": "", "imageID": "",
                "ready": false, "restartCount": 0, "state": state}]}}))
        .unwrap()
    }

    #[test]
    fn a_run_is_over_as_soon_as_its_container_is() {
        let locked = json!({"schema": 1, "failed": {"code": "locked", "message": "held"}}).to_string();
        let end = told_by(&pod(&json!({"terminated": {"exitCode": 11, "message": locked}})));
        let run = ordered_run(&job(&json!([])), Some(&end));
        assert_eq!((run.is_running, run.failed), (false, Some(ExitCode::Locked)));
        let end = told_by(&pod(&json!({"running": {}})));
        assert!(ordered_run(&job(&json!([])), Some(&end)).is_running);
        let waiting = told_by(&pod(&json!({"waiting": {"reason": "ErrImagePull", "message": "not found"}})));
        let waits = ordered_run(&job(&json!([])), Some(&waiting));
        assert_eq!(
            (waits.is_running, waits.waits.as_deref()),
            (true, Some("container conductor: ErrImagePull: not found"))
        );
        assert!(!ordered_run(&job(&json!([{"type": "Complete", "status": "True"}])), None).is_running);
    }

    #[test]
    fn a_run_that_is_only_asked_is_known_by_its_order() {
        assert!(ordered_run(&job(&json!([])), None).only_asks);
    }
}
