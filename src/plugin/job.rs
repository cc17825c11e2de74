//! From an order to the Job that carries it out: a value from values.
//!
//! The pod is tried once and never restarted: what is to be done after a conductor died is decided
//! by the next run, which looks at the cluster first. A backup's deadline is only a last resort,
//! beyond every limit the conductor keeps itself; a verification has none, for nobody can say how
//! long a store takes to read. It passes Pod Security `restricted`.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::{Value, json};

use crate::adapters::kubernetes::orders::OrderedRun;
use crate::model::names::{
    APP, APP_LABEL, CONDUCTOR_ACCOUNT, CONDUCTOR_CONTAINER, CONDUCTOR_CREDENTIALS, JOB_LABEL, JOB_PREFIX, MANAGER,
    MANAGER_LABEL, SCHEDULE_LABEL, STATEFULSET_LABEL, TASK_LABEL,
};
use crate::model::order::{Order, Task};
use crate::model::settings::Settings;

/// How long a finished Job, and with it its log, is kept.
const KEPT: Duration = Duration::from_hours(7 * 24);
/// The same for one that only looked, which may be asked for every minute.
const LOOK_KEPT: Duration = Duration::from_mins(10);
/// What a runner has over twice the replica's way back when its pod is deleted.
const RUNNER_GRACE_MARGIN: Duration = Duration::from_secs(90);
/// How long after its grace period a deleted runner's node counts as lost.
const REMOVAL_MARGIN: Duration = Duration::from_mins(1);
/// What the conductor's limit of a copy has over those of its parts.
const COPY_MARGIN: Duration = Duration::from_mins(2);
/// What the deadline has over the sum of the conductor's own limits.
const DEADLINE_MARGIN: Duration = Duration::from_mins(10);
/// What a conductor that is asked to end has over settling what it owes.
const GRACE_MARGIN: Duration = Duration::from_mins(1);
/// User and group in the agent's image; any other but root would do.
const USER: i64 = 65_532;

/// Makes the Job for an order.
#[must_use]
pub(crate) fn job(order: &Order, namespace: &str, settings: &Settings) -> Job {
    from_template(template(order, settings, None), order.task.word(), namespace)
}

/// Makes the Job that a schedule would make now, as `kubectl create job --from` does.
pub(crate) fn of_schedule(cron_job: &CronJob, namespace: &str) -> Job {
    let template = cron_job.spec.as_ref().map(|spec| &spec.job_template);
    let template = serde_json::to_value(template).expect("a template that was read can be written");
    let mut job = from_template(template, "backup", namespace);
    let manual = ("cronjob.kubernetes.io/instantiate".to_owned(), "manual".to_owned());
    job.metadata.annotations.get_or_insert_default().extend([manual]);
    // Not blocking its deletion, which would need one right more.
    job.metadata.owner_references = Some(vec![OwnerReference {
        api_version: "batch/v1".to_owned(),
        kind: "CronJob".to_owned(),
        name: cron_job.metadata.name.clone().unwrap_or_default(),
        uid: cron_job.metadata.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: None,
    }]);
    job
}

fn from_template(mut template: Value, word: &str, namespace: &str) -> Job {
    template["apiVersion"] = json!("batch/v1");
    template["kind"] = json!("Job");
    template["metadata"]["generateName"] = json!(format!("{JOB_PREFIX}{word}-"));
    template["metadata"]["namespace"] = json!(namespace);
    serde_json::from_value(template).expect("a template of ours, with a name, is a Job")
}

/// Makes what a Job for an order consists of, for one Job or for those of a schedule.
pub(crate) fn template(order: &Order, settings: &Settings, schedule: Option<&str>) -> Value {
    let mut labels = json!({
        APP_LABEL: APP,
        MANAGER_LABEL: MANAGER,
        STATEFULSET_LABEL: order.statefulset,
        TASK_LABEL: order.task.word(),
    });
    if let Some(schedule) = schedule {
        labels[SCHEDULE_LABEL] = json!(schedule);
    }
    let mut spec = json!({
        "backoffLimit": 0,
        // A pod that is being ended still works on its way out; until it is gone, nothing has failed.
        "podReplacementPolicy": "Failed",
        "ttlSecondsAfterFinished": if order.task.only_looks() { LOOK_KEPT } else { KEPT }.as_secs(),
        "template": {"metadata": {"labels": labels}, "spec": pod(order, settings)},
    });
    // Nobody can say how long a store takes to read, or a slow link to a bucket: only backups have one.
    if let Task::Backup(_) = order.task {
        spec["activeDeadlineSeconds"] = json!(backup_deadline(settings).as_secs());
    }
    json!({"metadata": {"labels": labels}, "spec": spec})
}

/// Whether the task of that word only looks.
pub(crate) fn is_look(task: &str) -> bool {
    ["status", "inventory"].contains(&task)
}

/// Whether a run only looks, or is only asked what would be done.
pub(crate) fn only_looks(run: &OrderedRun) -> bool {
    run.only_asks || run.task.as_deref().is_some_and(is_look)
}

/// The longest a conductor may take to settle an obligation: the runner's end, then the replica's way back.
fn settle_limit(settings: &Settings) -> Duration {
    let way_back = 2 * settings.resync_timeout;
    let removal = 2 * settings.resync_timeout + RUNNER_GRACE_MARGIN + REMOVAL_MARGIN;
    way_back + removal
}

/// The sum of every limit the conductor keeps itself, and a margin.
fn backup_deadline(settings: &Settings) -> Duration {
    // Once for what an earlier run owes, once for what this one does.
    let settle = settle_limit(settings);
    let way_back = 2 * settings.resync_timeout;
    // Runners: one that verifies what is there, the copy's, one that brings the stores to the same set.
    let start = 3 * 2 * settings.start_timeout;
    let copy = settings.copy_timeout + way_back + COPY_MARGIN;
    // Nobody can say how long stores take to read, or a slow link to S3. Each of the three gets the time
    // of a whole copy: to verify, to finish the upload, to bring the stores to the same set.
    let stores = 3 * settings.copy_timeout;
    settle + start + copy + stores + settle + DEADLINE_MARGIN
}

/// The Job's name; while the server has not seen it, how it will begin.
pub(crate) fn name(job: &Job) -> String {
    let begins = || job.metadata.generate_name.as_deref().unwrap_or_default();
    job.metadata.name.clone().unwrap_or_else(|| format!("{}<generated>", begins()))
}

/// The Job under a name of its own, after the time at which it was printed: what is applied needs one, and
/// applied twice it is one run.
pub(crate) fn named(job: &Job, printed: Timestamp) -> Job {
    let mut job = job.clone();
    let begins = job.metadata.generate_name.take().unwrap_or_default();
    job.metadata.name = Some(format!("{begins}{}", printed.strftime("%Y%m%d-%H%M%S")));
    job
}

/// The Job as it is shown: without the server's bookkeeping.
pub(crate) fn shown(job: &Job) -> Value {
    let mut job = job.clone();
    job.metadata.managed_fields = None;
    serde_json::to_value(job).expect("a Job becomes JSON")
}

fn pod(order: &Order, settings: &Settings) -> Value {
    json!({
        "restartPolicy": "Never",
        "serviceAccountName": CONDUCTOR_ACCOUNT,
        "automountServiceAccountToken": true,
        // The agent is built for nothing else; a runner is beside a server, whose node it has to fit.
        "nodeSelector": {"kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux"},
        "terminationGracePeriodSeconds": (settle_limit(settings) + GRACE_MARGIN).as_secs(),
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [conductor(order, settings)],
        "volumes": [
            {"name": "operator", "secret": {"secretName": settings.operator_secret, "defaultMode": 0o440}},
            {"name": "tmp", "emptyDir": {}},
        ],
    })
}

fn conductor(order: &Order, settings: &Settings) -> Value {
    let order = serde_json::to_string(order).expect("an order is texts and numbers");
    let field = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    json!({
        "name": CONDUCTOR_CONTAINER,
        "image": settings.agent_image,
        "imagePullPolicy": "IfNotPresent",
        "args": ["conduct", "--order", order],
        "env": [
            field("POD_NAME", "metadata.name"),
            field("POD_UID", "metadata.uid"),
            field("POD_NAMESPACE", "metadata.namespace"),
            field("POD_IP", "status.podIP"),
            field("JOB_NAME", &format!("metadata.labels['{JOB_LABEL}']")),
        ],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "operator", "mountPath": CONDUCTOR_CREDENTIALS, "readOnly": true},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::adapters::kubernetes::pod_security::violations;
    use crate::model::order::{BackupRequest, ORDER_VERSION, VerifyRequest};
    use crate::render::document::{Form, document};

    fn order(task: Task) -> Order {
        Order {
            version: ORDER_VERSION,
            statefulset: "mariadb-server".to_owned(),
            task,
            settings: BTreeMap::from([("MARIADB_BACKUPS_TO_KEEP".to_owned(), "3".to_owned())]),
        }
    }

    fn job_of(task: Task, stored: &[(&str, &str)]) -> Job {
        let stored = stored.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let order = order(task);
        job(&order, "db", &Settings::read("mariadb-server", &stored, &order.settings).unwrap())
    }

    #[test]
    fn a_printed_job_has_a_name_by_which_it_is_applied() {
        let backup = Task::Backup(BackupRequest::default());
        let named = named(&job_of(backup, &[]), "2026-01-31T23:59:59Z".parse().unwrap());
        assert_eq!(name(&named), "mariadb-phy-backup-20260131-235959");
        assert_eq!(named.metadata.generate_name, None);
    }

    #[test]
    fn a_backup_s_job() {
        let task =
            Task::Backup(BackupRequest { replica: Some("mariadb-server-1".to_owned()), ..BackupRequest::default() });
        insta::assert_snapshot!(document(&job_of(task, &[]), Form::Yaml));
    }

    #[test]
    fn a_backup_s_deadline_is_beyond_every_limit_the_conductor_keeps() {
        let limits = [
            ("MARIADB_BACKUP_TIMEOUT", "10000000"),
            ("MARIADB_BACKUP_START_TIMEOUT", "100000"),
            ("MARIADB_BACKUP_RESYNC_TIMEOUT", "1000"),
        ];
        let job = job_of(Task::Backup(BackupRequest::default()), &limits);
        // Settling before and after, starts, copy, work on the stores, margin.
        let settle = 4 * 1000 + 90 + 60;
        let sum = 2 * settle + 3 * 2 * 100_000 + (10_000_000 + 2 * 1000 + 120) + 3 * 10_000_000 + 600;
        assert_eq!(job.spec.unwrap().active_deadline_seconds, Some(sum));
    }

    #[test]
    fn the_conductor_s_pod_passes_pod_security_restricted() {
        for task in [Task::Backup(BackupRequest::default()), Task::Verify(VerifyRequest::default())] {
            let pod = job_of(task, &[]).spec.unwrap().template.spec.unwrap();
            assert_eq!(violations(&pod), [""; 0]);
        }
    }

    #[test]
    fn a_verification_takes_the_time_the_store_needs() {
        let job = job_of(Task::Verify(VerifyRequest::default()), &[]);
        assert_eq!(job.spec.unwrap().active_deadline_seconds, None);
    }
}
