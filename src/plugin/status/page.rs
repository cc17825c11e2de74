//! A cluster's status as a page to read: facts as `kubectl describe` writes them, lists as tables.

use jiff::Timestamp;

use super::failed::Failed;
use super::shape::{Act, Fact, Health, Holder, Last, Run, Status, what_is_owed};
use crate::model::catalogue::RoomSeen;
use crate::model::obligation::Obligation;
use crate::model::report::{LastDrill, LastRestore, MemberStatus, ReplicaStatus};
use crate::plugin::schedule::brief;
use crate::render::table::{Table, harmless};
use crate::render::{age, bytes};

const NONE: &str = "<none>";
const UNKNOWN: &str = "<unknown>";

/// Writes the page; every line ends with a line break.
pub(super) fn text(status: &Status, now: Timestamp, with_headers: bool) -> String {
    let mut parts = vec![facts(status, now)];
    if !status.replicas.is_empty() {
        parts.push(replicas(&status.replicas).text(with_headers));
    }
    if !status.findings.is_empty() {
        let lines: Vec<String> = status.findings.iter().map(|finding| format!("  {}\n", harmless(finding))).collect();
        parts.push(format!("Findings:\n{}", lines.concat()));
    }
    if let Some(schedules) = status.schedules.as_ref().filter(|schedules| !schedules.is_empty()) {
        parts.push(brief(schedules, now).text(with_headers));
    }
    if !status.act.is_empty() {
        let lines: Vec<String> = status.act.iter().map(|act| format!("{}\n", harmless(&act_text(act)))).collect();
        parts.push(lines.concat());
    }
    parts.join("\n")
}

fn facts(status: &Status, now: Timestamp) -> String {
    let mut rows = vec![
        ("Cluster", status.statefulset.clone()),
        ("Namespace", status.namespace.clone()),
        ("Health", health(status)),
        ("Owed", fact(&status.obligation, |owed| owed_text(owed, now))),
        ("Lease", fact(&status.lease, |held| lease_text(held, now))),
        ("Last full", fact(&status.last_full, |last| last_text(last, now))),
        ("Last incremental", fact(&status.last_incremental, |last| last_text(last, now))),
        ("Free space", status.room.as_ref().map_or_else(|| UNKNOWN.to_owned(), |room| room_text(room, now))),
        ("Full in", full_text(&status.full_in_days)),
    ];
    if let Fact::Known(last) = &status.last_restore {
        rows.push(("Last restore", restore_text(last, now)));
    }
    if let Fact::Known(last) = &status.last_drill {
        rows.push(("Last drill", drill_text(last, now)));
    }
    if let Fact::Known(failed) = &status.last_failed {
        rows.push(("Last failed run", failed_text(failed, now)));
    }
    match &status.running {
        None => rows.push(("Running", UNKNOWN.to_owned())),
        Some(runs) if runs.is_empty() => rows.push(("Running", NONE.to_owned())),
        Some(runs) => rows.extend(runs.iter().map(|run| ("Running", run_text(run, now)))),
    }
    rows.extend(status.unknown_settings.iter().map(|key| ("Unknown setting", key.clone())));
    let lines: Vec<String> =
        rows.iter().map(|(name, text)| format!("{:<19}{}\n", format!("{name}:"), harmless(text))).collect();
    lines.concat()
}

fn fact<T>(fact: &Fact<T>, text: impl FnOnce(&T) -> String) -> String {
    match fact {
        Fact::Unknown => UNKNOWN.to_owned(),
        Fact::Nothing => NONE.to_owned(),
        Fact::Known(it) => text(it),
    }
}

fn health(status: &Status) -> String {
    let ready = status.replicas.iter().filter(|replica| replica.pod_ready).count();
    let wanted = status.wanted_replicas.map_or(UNKNOWN.to_owned(), |wanted| wanted.to_string());
    let word = match status.health {
        Health::Healthy => "healthy",
        Health::Unhealthy => "unhealthy",
        Health::Unknown => "unknown",
        Health::Restoring => {
            return format!("being restored ({ready} replicas ready); leave it alone until that has ended");
        }
    };
    format!("{word} ({ready}/{wanted} replicas ready)")
}

fn owed_text(owed: &Obligation, now: Timestamp) -> String {
    format!("{}, by run {}, for {}", what_is_owed(owed), owed.run, age::since(owed.since, now))
}

fn lease_text(held: &Holder, now: Timestamp) -> String {
    let since = held.since.map(|since| format!(", for {}", age::since(since, now))).unwrap_or_default();
    let renewed = held.renewed.map(|renewed| format!(" (renewed {} ago)", age::since(renewed, now)));
    format!("run {}{since}{}", held.run, renewed.unwrap_or_default())
}

fn last_text(last: &Last, now: Timestamp) -> String {
    format!("{}, {} ago", last.name, age::since(last.created, now))
}

fn restore_text(last: &LastRestore, now: Timestamp) -> String {
    let report = &last.report;
    let kept = report.kept_in.as_ref();
    let kept = kept.map(|place| format!("; old data kept on the volume of {} in {place}", report.leader));
    let kept = kept.unwrap_or_default();
    format!("{}, {} ago{kept}", report.backup.name(), age::since(last.at, now))
}

/// When which backup was booted last, how long that took, and what came of it.
pub(crate) fn drill_text(last: &LastDrill, now: Timestamp) -> String {
    let (name, when, took) = (last.backup.name(), age::since(last.at, now), age::took_millis(last.took_millis));
    match &last.failed {
        None => format!("{name}, {when} ago: it boots; took {took}"),
        Some(why) => format!("{name}, {when} ago: failed after {took}: {why} (run {})", last.run),
    }
}

fn failed_text(failed: &Failed, now: Timestamp) -> String {
    let Failed { job, task, why, .. } = failed;
    let code = failed.code.map(|code| format!(", exit code {code}")).unwrap_or_default();
    let since = if failed.good_since { " (a later one went well)" } else { "" };
    let log = failed.command.as_ref().map(|command| format!("; its log: {command}")).unwrap_or_default();
    format!("{job} ({task}){since}, {} ago{code}: {why}{log}", age::since(failed.ended, now))
}

fn room_text(room: &RoomSeen, now: Timestamp) -> String {
    let (free, total) = (bytes::human(room.free_bytes), bytes::human(room.total_bytes));
    format!("{free} of {total} in the local store (the volume of backups), seen {} ago", age::since(room.at, now))
}

fn run_text(run: &Run, now: Timestamp) -> String {
    let since = run.since.map(|since| format!(", for {}", age::since(since, now))).unwrap_or_default();
    let phase = run.phase.as_ref().map(|phase| format!(", in phase {phase}")).unwrap_or_default();
    let doing = run.doing.as_ref().map(|doing| format!(": {doing}")).unwrap_or_default();
    format!("{} ({}){since}{phase}{doing}", run.job, run.task.as_deref().unwrap_or("run"))
}

fn full_text(days: &Fact<u64>) -> String {
    match days {
        Fact::Unknown => UNKNOWN.to_owned(),
        Fact::Nothing => "never, at the present rate".to_owned(),
        Fact::Known(0) => "less than a day: the next backup may not fit".to_owned(),
        Fact::Known(days) => format!("{days}d, at the present rate"),
    }
}

/// Why somebody has to do something, and the command where one does it: the last that is read.
fn act_text(act: &Act) -> String {
    let command = act.command.as_ref().map(|command| format!("\n  {command}")).unwrap_or_default();
    format!("A person should act: {}{command}", act.why)
}

fn replicas(replicas: &[ReplicaStatus]) -> Table {
    let mut table = Table::new(&["POD", "NODE", "READY", "ROLE", "STATE", "SIZE", "QUEUE", "SEQNO"]);
    for replica in replicas {
        let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| NONE.to_owned());
        let said = |text: fn(&MemberStatus) -> String| replica.member.as_ref().map_or_else(|| UNKNOWN.to_owned(), text);
        table.row(&[
            replica.pod.clone(),
            or_none(&replica.node),
            if replica.pod_ready { "True" } else { "False" }.to_owned(),
            or_none(&replica.role),
            said(|member| member.state.clone()),
            said(|member| member.size.to_string()),
            said(|member| member.queue.to_string()),
            said(|member| member.seqno.to_string()),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::kubernetes::lease_sight::LeaseSight;
    use crate::exit_code::ExitCode;
    use crate::model::catalogue::{Catalogue, Entry, Presence};
    use crate::model::cluster::{ClusterView, PodView, ServerSpec};
    use crate::model::obligation::{Debt, Desync};
    use crate::model::report::StatusReport;
    use crate::plugin::status::shape::Facts;
    use crate::render::document::{Form, document};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn now() -> Timestamp {
        at("2026-01-03T12:00:00Z")
    }

    fn pod(ordinal: u32, ready: bool) -> PodView {
        PodView {
            name: format!("mariadb-server-{ordinal}"),
            ordinal,
            uid: format!("uid-{ordinal}"),
            ip: None,
            node: Some(format!("node-{ordinal}")),
            ready,
            terminating: false,
            role: None,
            claim: None,
        }
    }

    fn catalogue() -> Catalogue {
        let backups = [
            ("base/2026-01-01_00-00-00", Entry::default()),
            ("incr/2026-01-01_00-00-00/2026-01-02_00-00-00", Entry::default()),
            ("base/2026-01-03_00-00-00", Entry { local: Presence::Damaged, ..Entry::default() }),
        ];
        let room = RoomSeen { free_bytes: 10 << 30, total_bytes: 50 << 30, at: at("2026-01-03T00:10:00Z") };
        let entries = backups.into_iter().map(|(id, entry)| (id.parse().unwrap(), entry)).collect();
        Catalogue { entries, room: Some(room), ..Catalogue::default() }
    }

    fn facts(pods: Vec<PodView>, obligation: Option<Obligation>) -> Facts {
        let view = ClusterView {
            namespace: "db".to_owned(),
            statefulset: "mariadb-server".to_owned(),
            uid: "uid".to_owned(),
            replicas: 3,
            pods,
            server: ServerSpec::default(),
            obligation,
            last_restore: None,
        };
        Facts {
            namespace: "db".to_owned(),
            statefulset: "mariadb-server".to_owned(),
            is_gone: false,
            view: Some(view),
            lease: Fact::Nothing,
            running: Some(vec![]),
            failed: Fact::Nothing,
            schedules: Some(vec![]),
            catalogue: Some(catalogue()),
            keep: Some(10),
            unknown_settings: vec![],
            recover: "kubectl mariadb-backup recover mariadb-server -n db".to_owned(),
        }
    }

    fn told(state: &str, findings: &[&str]) -> StatusReport {
        let member = MemberStatus {
            ready: true,
            state: state.to_owned(),
            cluster_status: "Primary".to_owned(),
            size: 3,
            queue: 0,
            desync_count: 0,
            seqno: 4711,
            version: "10.11.6".to_owned(),
        };
        let replica = |ordinal: u32| ReplicaStatus {
            pod: format!("mariadb-server-{ordinal}"),
            node: Some(format!("node-{ordinal}")),
            pod_ready: true,
            role: (ordinal == 0).then(|| "primary".to_owned()),
            member: (ordinal < 2).then(|| member.clone()),
            no_answer: (ordinal == 2).then(|| "connection refused".to_owned()),
        };
        StatusReport {
            replicas: (0..3).map(replica).collect(),
            findings: findings.iter().map(|finding| (*finding).to_owned()).collect(),
        }
    }

    fn owed() -> Obligation {
        Obligation {
            schema: 1,
            debt: Debt::Desync(Desync {
                pod: "mariadb-server-2".to_owned(),
                pod_uid: "u".to_owned(),
                gcomm_uuid: "g".to_owned(),
                runner: "r".to_owned(),
            }),
            run: "mariadb-phy-backup-abcde".to_owned(),
            since: at("2026-01-03T11:50:00Z"),
        }
    }

    #[test]
    fn a_bad_day_on_one_page() {
        let run = Run {
            job: "mariadb-phy-backup-abcde".to_owned(),
            task: Some("backup".to_owned()),
            since: Some(at("2026-01-03T11:49:00Z")),
            phase: Some("copy".to_owned()),
            doing: Some("400MiB/0.98GiB 100MiB/s ETA 6s".to_owned()),
        };
        let lease = LeaseSight {
            run: "mariadb-phy-backup-abcde".to_owned(),
            since: Some(at("2026-01-03T11:49:10Z")),
            renewed: Some(at("2026-01-03T11:59:58Z")),
        };
        let facts = Facts {
            lease: Fact::Known(lease),
            running: Some(vec![run]),
            unknown_settings: vec!["MARIADB_BACKUP_TIMOUT".to_owned()],
            ..facts((0..3).map(|n| pod(n, true)).collect(), Some(owed()))
        };
        let status = Status::of(facts, Some(told("Synced", &["mariadb-server-2 does not answer: connection refused"])));
        insta::assert_snapshot!(text(&status, now(), true), @r"
        Cluster:           mariadb-server
        Namespace:         db
        Health:            unhealthy (3/3 replicas ready)
        Owed:              wsrep_desync=OFF on mariadb-server-2, by run mariadb-phy-backup-abcde, for 10m
        Lease:             run mariadb-phy-backup-abcde, for 10m (renewed 2s ago)
        Last full:         2026-01-01_00-00-00, 2d12h ago
        Last incremental:  2026-01-02_00-00-00, 36h ago
        Free space:        10GiB of 50GiB in the local store (the volume of backups), seen 11h ago
        Full in:           <unknown>
        Running:           mariadb-phy-backup-abcde (backup), for 11m, in phase copy: 400MiB/0.98GiB 100MiB/s ETA 6s
        Unknown setting:   MARIADB_BACKUP_TIMOUT

        POD                NODE     READY   ROLE      STATE       SIZE        QUEUE       SEQNO
        mariadb-server-0   node-0   True    primary   Synced      3           0           4711
        mariadb-server-1   node-1   True    <none>    Synced      3           0           4711
        mariadb-server-2   node-2   True    <none>    <unknown>   <unknown>   <unknown>   <unknown>

        Findings:
          mariadb-server-2 does not answer: connection refused

        A person should act: mariadb-server-2 does not answer: connection refused
        ");
        assert_eq!(status.code(), ExitCode::Refused);
    }

    #[test]
    fn what_a_living_run_owes_is_no_trouble_and_what_a_dead_one_owes_is() {
        let status = |is_running| {
            let run = Run { job: owed().run, task: None, since: None, phase: None, doing: None };
            let running = if is_running { vec![run] } else { vec![] };
            let pods = (0..3).map(|n| pod(n, true)).collect();
            Status::of(Facts { running: Some(running), ..facts(pods, Some(owed())) }, Some(told("Synced", &[])))
        };
        assert_eq!(status(true).code(), ExitCode::Done);
        assert_eq!(status(false).code(), ExitCode::Refused);
        let with_recover = |phase: Option<&str>| {
            let (task, phase) = (Some("recover".to_owned()), phase.map(str::to_owned));
            let run = Run { job: "mariadb-phy-recover-x".to_owned(), task, since: None, phase, doing: None };
            let pods = (0..3).map(|n| pod(n, true)).collect();
            Status::of(Facts { running: Some(vec![run]), ..facts(pods, Some(owed())) }, Some(told("Synced", &[])))
        };
        assert_eq!(with_recover(Some("copy")).code(), ExitCode::Done, "it is being settled");
        assert_eq!(with_recover(None).code(), ExitCode::Refused, "nobody knows whether that one ever begins");
        let last = text(&status(false), now(), true).lines().rev().take(2).collect::<Vec<_>>().join("\n");
        insta::assert_snapshot!(last, @r"
          kubectl mariadb-backup recover mariadb-server -n db
        A person should act: run mariadb-phy-backup-abcde has ended and still owes wsrep_desync=OFF on mariadb-server-2
        ");
    }

    #[test]
    fn nobody_is_called_to_act_on_a_cluster_that_a_restore_has_stopped() {
        let owed: Obligation = serde_json::from_value(serde_json::json!({
            "schema": crate::model::obligation::OBLIGATION_SCHEMA, "run": "mariadb-phy-restore-abcde", "since": "2026-01-03T12:00:00Z",
            "debt": {"kind": "restore", "backup": "base/2026-01-01_00-00-00", "stage": "starting", "reached": "starting",
                "leader": {"ordinal": 0, "pod": "mariadb-server-0", "claim": "data-mariadb-server-0"}, "others": [],
                "saved": {"replicas": 3, "first": 0}, "place": {"directory": "mysql"}, "scratch": "beside"},
        }))
        .unwrap();
        let status = |is_running| {
            let run = Run { job: owed.run.clone(), task: None, since: None, phase: None, doing: None };
            let running = if is_running { vec![run] } else { vec![] };
            let stopped =
                StatusReport { replicas: vec![], findings: vec!["the StatefulSet is scaled to 0".to_owned()] };
            Status::of(Facts { running: Some(running), ..facts(vec![], Some(owed.clone())) }, Some(stopped))
        };
        let page = text(&status(true), now(), true);
        assert!(page.contains("being restored (0 replicas ready); leave it alone"), "{page}");
        assert!(!page.contains("A person should act"), "{page}");
        assert_eq!(status(true).code(), ExitCode::DoneWithWarnings);
        assert!(text(&status(false), now(), true).contains("kubectl mariadb-backup recover"), "its run has died");
        assert_eq!(status(false).code(), ExitCode::Refused);
    }

    #[test]
    fn the_page_tells_of_the_last_drill_and_how_it_ended() {
        let drill = |failed: Option<&str>| LastDrill {
            run: "mariadb-phy-drill-abcde".to_owned(),
            at: at("2026-01-03T09:00:00Z"),
            backup: "base/2026-01-01_00-00-00".parse().unwrap(),
            took_millis: 61_000,
            failed: failed.map(str::to_owned),
        };
        insta::assert_snapshot!(drill_text(&drill(None), now()), @"2026-01-01_00-00-00, 3h ago: it boots; took 61s");
        insta::assert_snapshot!(
            drill_text(&drill(Some("a table does not open")), now()),
            @"2026-01-01_00-00-00, 3h ago: failed after 61s: a table does not open (run mariadb-phy-drill-abcde)"
        );
        let drilled = Catalogue { drill: Some(drill(None)), ..catalogue() };
        let page = text(&Status::of(Facts { catalogue: Some(drilled), ..facts(vec![], None) }, None), now(), true);
        assert!(page.contains("\nLast drill:        2026-01-01_00-00-00, 3h ago"), "{page}");
    }

    #[test]
    fn a_run_that_failed_is_shown_and_calls_a_person_until_a_later_one_went_well() {
        let failed = |good_since| Failed {
            job: "mariadb-phy-backup-abcde".to_owned(),
            task: "backup".to_owned(),
            ended: at("2026-01-03T09:00:00Z"),
            code: Some(4),
            why: "the copy failed: no space left".to_owned(),
            good_since,
            command: Some("kubectl mariadb-backup logs mariadb-phy-backup-abcde -n db".to_owned()),
        };
        let status = |good_since| {
            let pods = (0..3).map(|n| pod(n, true)).collect();
            Status::of(
                Facts { failed: Fact::Known(failed(good_since)), ..facts(pods, None) },
                Some(told("Synced", &[])),
            )
        };
        insta::assert_snapshot!(failed_text(&failed(true), now()), @"mariadb-phy-backup-abcde (backup) (a later one went well), 3h ago, exit code 4: the copy failed: no space left; its log: kubectl mariadb-backup logs mariadb-phy-backup-abcde -n db");
        assert_eq!((status(true).code(), status(false).code()), (ExitCode::Done, ExitCode::Refused));
        let page = text(&status(false), now(), true);
        let last: Vec<&str> = page.lines().rev().take(2).collect();
        insta::assert_snapshot!(last.join("\n"), @r"
          kubectl mariadb-backup logs mariadb-phy-backup-abcde -n db
        A person should act: the last backup failed, and none went well since: the copy failed: no space left
        ");
    }

    #[test]
    fn a_usual_page_fits_a_usual_terminal() {
        let status = Status::of(facts((0..3).map(|n| pod(n, true)).collect(), None), Some(told("Synced", &[])));
        let text = replicas(&status.replicas[..2]).text(true);
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    }

    #[test]
    fn a_cluster_is_only_called_healthy_when_its_replicas_said_so() {
        let all = || facts((0..3).map(|n| pod(n, true)).collect(), None);
        assert_eq!(Status::of(all(), Some(told("Synced", &[]))).code(), ExitCode::Done);
        let unasked = Status::of(all(), None);
        insta::assert_snapshot!(text(&unasked, now(), true), @r"
        Cluster:           mariadb-server
        Namespace:         db
        Health:            unknown (3/3 replicas ready)
        Owed:              <none>
        Lease:             <none>
        Last full:         2026-01-01_00-00-00, 2d12h ago
        Last incremental:  2026-01-02_00-00-00, 36h ago
        Free space:        10GiB of 50GiB in the local store (the volume of backups), seen 11h ago
        Full in:           <unknown>
        Running:           <none>

        POD                NODE     READY   ROLE     STATE       SIZE        QUEUE       SEQNO
        mariadb-server-0   node-0   True    <none>   <unknown>   <unknown>   <unknown>   <unknown>
        mariadb-server-1   node-1   True    <none>   <unknown>   <unknown>   <unknown>   <unknown>
        mariadb-server-2   node-2   True    <none>   <unknown>   <unknown>   <unknown>   <unknown>
        ");
        assert_eq!(unasked.code(), ExitCode::DoneWithWarnings);
        let two = Status::of(facts(vec![pod(0, true), pod(1, false)], None), None);
        assert_eq!(two.findings, ["2 of 3 pods exist", "pod mariadb-server-1 is not Ready"]);
        assert_eq!(two.code(), ExitCode::Refused);
    }

    #[test]
    fn what_could_not_be_had_is_unknown_and_not_none() {
        let blind = Facts { namespace: "db".to_owned(), statefulset: "x".to_owned(), ..Facts::default() };
        insta::assert_snapshot!(text(&Status::of(blind.clone(), None), now(), true), @r"
        Cluster:           x
        Namespace:         db
        Health:            unknown (0/<unknown> replicas ready)
        Owed:              <unknown>
        Lease:             <unknown>
        Last full:         <unknown>
        Last incremental:  <unknown>
        Free space:        <unknown>
        Full in:           <unknown>
        Running:           <unknown>
        ");
        insta::assert_snapshot!(document(&Status::of(blind, None), Form::Yaml), @r"
        act: []
        apiVersion: mariadb-backup.io/v1
        findings: []
        health: unknown
        kind: ClusterStatus
        namespace: db
        replicas: []
        statefulset: x
        unknownSettings: []
        ");
    }
}
