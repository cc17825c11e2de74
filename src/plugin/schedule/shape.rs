//! Schedules as other programs see them, and as a table.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use crate::adapters::kubernetes::schedules::Scheduled;
use crate::model::order::{BackupKind, Order, Task};
use crate::plugin::connect::quoted;
use crate::plugin::overrides;
use crate::render::age;
use crate::render::table::Table;

const NONE: &str = "<none>";
const UNKNOWN: &str = "<unknown>";

/// One schedule as other programs see it; what is not known is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Schedule {
    /// Told where it may not be known by what it is told in.
    #[serde(skip)]
    pub(super) namespace: String,
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) statefulset: Option<String>,
    #[serde(rename = "schedule")]
    cron: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_zone: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    suspended: bool,
    #[serde(rename = "lastSchedule", skip_serializing_if = "Option::is_none")]
    last: Option<Timestamp>,
    #[serde(rename = "nextSchedule", skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_image: Option<String>,
    /// What else it was made with, as flags with a space before each.
    #[serde(skip)]
    more_flags: String,
}

impl Schedule {
    pub(super) fn of(scheduled: Scheduled, next: Option<Timestamp>) -> Self {
        let kind = scheduled.order.as_ref().and_then(|order| match &order.task {
            Task::Backup(request) if request.kind == BackupKind::Incremental => Some("incremental"),
            Task::Backup(_) => Some("full"),
            _ => None,
        });
        let more_flags = scheduled.order.as_ref().map(more_flags).unwrap_or_default();
        Self {
            namespace: scheduled.namespace,
            name: scheduled.name,
            statefulset: scheduled.statefulset,
            cron: scheduled.schedule,
            time_zone: scheduled.time_zone,
            kind,
            suspended: scheduled.is_suspended,
            last: scheduled.last,
            next: next.filter(|_| !scheduled.is_suspended),
            created: scheduled.made,
            agent_image: scheduled.image,
            more_flags,
        }
    }

    /// The words of the command that makes it again as it is, with what it would be made of now.
    pub(crate) fn made_again(&self) -> String {
        let kind = self.kind.map(|kind| format!(" --type {kind}")).unwrap_or_default();
        let zone = self.time_zone.as_ref().map(|zone| format!(" --time-zone {}", quoted(zone))).unwrap_or_default();
        let suspend = if self.suspended { " --suspend" } else { "" };
        let (name, cron) = (quoted(&self.name), quoted(&self.cron));
        format!("schedule create {name} --schedule {cron}{kind}{zone}{suspend}{}", self.more_flags)
    }

    /// Whether its runs use another image than that one.
    pub(crate) fn uses_another(&self, image: &str) -> bool {
        self.agent_image.as_deref().is_some_and(|used| used != image)
    }

    fn cells(&self, now: Timestamp) -> Vec<String> {
        let since =
            |time: Option<Timestamp>, without: &str| time.map_or(without.to_owned(), |time| age::since(time, now));
        vec![
            self.name.clone(),
            self.cron.clone(),
            self.time_zone.clone().unwrap_or_else(|| NONE.to_owned()),
            self.kind.unwrap_or(UNKNOWN).to_owned(),
            if self.suspended { "True" } else { "False" }.to_owned(),
            since(self.last, NONE),
            self.next.map_or(NONE.to_owned(), |next| age::since(now, next)),
        ]
    }

    fn more_cells(&self, now: Timestamp) -> [String; 3] {
        let or_unknown = |text: &Option<String>| text.clone().unwrap_or_else(|| UNKNOWN.to_owned());
        let age = self.created.map_or(UNKNOWN.to_owned(), |created| age::since(created, now));
        [age, or_unknown(&self.statefulset), or_unknown(&self.agent_image)]
    }
}

/// What an order was given beside the kind of backup. The image is left out: that of now is to be used.
fn more_flags(order: &Order) -> String {
    let replica = match &order.task {
        Task::Backup(request) => request.replica.as_ref().map(|pod| format!(" --replica {}", quoted(pod))),
        _ => None,
    };
    replica.unwrap_or_default() + &overrides::as_flags(&order.settings)
}

/// One of a list, as other programs see it.
#[derive(Serialize)]
struct Listed<'a> {
    namespace: &'a str,
    #[serde(flatten)]
    schedule: &'a Schedule,
}

/// The list as other programs see it; with its namespace where it is of one only.
pub(super) fn list(items: &[Schedule], namespace: Option<&str>) -> Value {
    let items: Vec<Listed> = items.iter().map(|schedule| Listed { namespace: &schedule.namespace, schedule }).collect();
    let mut list = json!({"apiVersion": "mariadb-backup.io/v1", "kind": "ScheduleList", "items": items});
    if let Some(namespace) = namespace {
        list["namespace"] = json!(namespace);
    }
    list
}

/// The names, one a line.
pub(super) fn names(schedules: &[Schedule]) -> String {
    let lines: Vec<String> = schedules.iter().map(|schedule| format!("cronjob.batch/{}\n", schedule.name)).collect();
    lines.concat()
}

/// Which columns the table has beyond the usual ones.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Columns {
    pub(super) namespace: bool,
    pub(super) wide: bool,
}

const USUAL: [&str; 7] = ["NAME", "SCHEDULE", "TIMEZONE", "TYPE", "SUSPEND", "LAST", "NEXT"];
const MORE: [&str; 3] = ["AGE", "CLUSTER", "IMAGE"];

/// The list as a table: how long ago each ordered something, and how long until it does again.
pub(super) fn table(schedules: &[Schedule], now: Timestamp, columns: Columns) -> Table {
    let first = if columns.namespace { &["NAMESPACE"][..] } else { &[] };
    let more = if columns.wide { &MORE[..] } else { &[] };
    let mut table = Table::new(&[first, &USUAL[..], more].concat());
    for schedule in schedules {
        let namespace = columns.namespace.then(|| schedule.namespace.clone());
        let more = if columns.wide { schedule.more_cells(now).to_vec() } else { vec![] };
        table.row(&namespace.into_iter().chain(schedule.cells(now)).chain(more).collect::<Vec<_>>());
    }
    table
}

/// The list as a part of a page: what was, and what will be.
pub(crate) fn brief(schedules: &[Schedule], now: Timestamp) -> Table {
    let mut table = Table::new(&["SCHEDULE", "WHEN", "TIMEZONE", "TYPE", "SUSPEND", "LAST", "NEXT"]);
    for schedule in schedules {
        table.row(&schedule.cells(now));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedules() -> Vec<Schedule> {
        let nightly = Schedule {
            namespace: "db".to_owned(),
            name: "nightly".to_owned(),
            statefulset: Some("mariadb-server".to_owned()),
            cron: "30 2 * * *".to_owned(),
            time_zone: Some("Etc/UTC".to_owned()),
            kind: Some("incremental"),
            suspended: false,
            last: Some("2026-01-03T02:30:00Z".parse().unwrap()),
            next: Some("2026-01-04T02:30:00Z".parse().unwrap()),
            created: Some("2026-01-01T00:00:00Z".parse().unwrap()),
            agent_image: Some("registry/agent:1".to_owned()),
            more_flags: " --keep 3".to_owned(),
        };
        let odd = Schedule {
            name: "odd".to_owned(),
            time_zone: None,
            kind: None,
            suspended: true,
            last: None,
            next: None,
            ..nightly.clone()
        };
        vec![nightly, odd]
    }

    #[test]
    fn schedules_are_listed_with_when_they_last_ordered_something_and_when_they_will_next() {
        let now = "2026-01-03T12:00:00Z".parse().unwrap();
        insta::assert_snapshot!(table(&schedules(), now, Columns::default()).text(true), @r"
        NAME      SCHEDULE     TIMEZONE   TYPE          SUSPEND   LAST     NEXT
        nightly   30 2 * * *   Etc/UTC    incremental   False     9h       14h
        odd       30 2 * * *   <none>     <unknown>     True      <none>   <none>
        ");
        let all = Columns { namespace: true, wide: true };
        insta::assert_snapshot!(table(&schedules(), now, all).text(true), @r"
        NAMESPACE   NAME      SCHEDULE     TIMEZONE   TYPE          SUSPEND   LAST     NEXT     AGE     CLUSTER          IMAGE
        db          nightly   30 2 * * *   Etc/UTC    incremental   False     9h       14h      2d12h   mariadb-server   registry/agent:1
        db          odd       30 2 * * *   <none>     <unknown>     True      <none>   <none>   2d12h   mariadb-server   registry/agent:1
        ");
    }

    #[test]
    fn the_command_that_makes_a_schedule_again_leaves_nothing_out() {
        let [nightly, odd] = <[Schedule; 2]>::try_from(schedules()).unwrap();
        assert_eq!(
            nightly.made_again(),
            "schedule create nightly --schedule '30 2 * * *' --type incremental --time-zone Etc/UTC --keep 3"
        );
        assert_eq!(odd.made_again(), "schedule create odd --schedule '30 2 * * *' --suspend --keep 3");
    }

    #[test]
    fn the_usual_columns_fit_a_usual_terminal() {
        let mut schedules = schedules();
        schedules[0].time_zone = Some("Europe/Berlin".to_owned());
        let text = table(&schedules, "2026-01-03T12:00:00Z".parse().unwrap(), Columns::default()).text(true);
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    }
}
