//! The CronJob of a schedule: a value from values.

use serde_json::{Value, json};

use crate::model::names::{APP, APP_LABEL, MANAGER, MANAGER_LABEL, SCHEDULE_LABEL, STATEFULSET_LABEL};
use crate::model::order::Order;
use crate::model::settings::Settings;
use crate::plugin::job;

/// The time zone of a schedule that names none.
pub(super) const USUAL_ZONE: &str = "Etc/UTC";

/// Kubernetes makes Jobs' names of it by adding eleven characters, and takes 63 for those.
const LONGEST_NAME: usize = 52;

/// How late a backup may begin that could not begin in time: one that is missed by more waits for the next.
const STARTING_DEADLINE_SECS: u32 = 3600;

/// How many ended runs of each kind are kept, with their logs.
const HISTORY: u32 = 3;

/// What is wished for beside the order.
pub(super) struct CronWish<'a> {
    pub(super) name: &'a str,
    pub(super) schedule: &'a str,
    pub(super) time_zone: &'a str,
    pub(super) is_suspended: bool,
}

/// Says why a name cannot be a schedule's.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || !name.chars().all(plain) || name.starts_with('-') || name.ends_with('-') {
        return Err(format!("\"{name}\" is no name for a schedule: small letters, digits, and dashes inside"));
    }
    if name.len() > LONGEST_NAME {
        return Err(format!(
            "\"{name}\" is too long for a schedule: it has {} characters, and Kubernetes takes {LONGEST_NAME}",
            name.len()
        ));
    }
    Ok(())
}

/// Makes the CronJob.
pub(super) fn cron_job(wish: &CronWish<'_>, order: &Order, namespace: &str, settings: &Settings) -> Value {
    json!({
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {
            "name": wish.name,
            "namespace": namespace,
            "labels": {
                APP_LABEL: APP,
                MANAGER_LABEL: MANAGER,
                STATEFULSET_LABEL: order.statefulset,
                SCHEDULE_LABEL: wish.name,
            },
        },
        "spec": {
            "schedule": wish.schedule,
            "timeZone": wish.time_zone,
            "suspend": wish.is_suspended,
            // Two backups of one cluster exclude each other anyway; the second would only fail.
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": STARTING_DEADLINE_SECS,
            "successfulJobsHistoryLimit": HISTORY,
            "failedJobsHistoryLimit": HISTORY,
            "jobTemplate": job::template(order, settings, Some(wish.name)),
        },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::order::{BackupKind, BackupRequest, Task};
    use crate::plugin::order::order;
    use crate::render::document::{Form, document};

    #[test]
    fn a_schedule_s_cron_job() {
        let request = BackupRequest { kind: BackupKind::Incremental, ..BackupRequest::default() };
        let order = order("mariadb-server", Task::Backup(request), BTreeMap::new());
        let settings = Settings::read("mariadb-server", &BTreeMap::new(), &BTreeMap::new()).unwrap();
        let wish =
            CronWish { name: "nightly", schedule: "30 2 * * *", time_zone: "Europe/Berlin", is_suspended: false };
        insta::assert_snapshot!(document(&cron_job(&wish, &order, "db", &settings), Form::Yaml));
    }

    #[test]
    fn a_name_that_kubernetes_would_refuse_later_is_refused_now() {
        assert_eq!(check_name(&"a".repeat(52)), Ok(()));
        for name in ["", "Nightly", "-a", "a-", "a.b", "a_b", &"a".repeat(53)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
