use super::*;
use crate::adapters::kubernetes::lease_sight::LeaseSight;
use crate::exit_code::ExitCode;
use crate::model::catalogue::{Catalogue, Checksum, Entry, Presence};
use crate::model::cluster::{ClusterView, PodView, ServerSpec};
use crate::model::obligation::{Debt, Desync};
use crate::model::report::{DesyncSeen, KeptData, StatusReport};
use crate::plugin::status::shape::{Facts, Health};
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
        flavour: crate::model::workload::Flavour::Plain,
        obligation,
        last_restore: None,
    };
    Facts {
        restore_refused: None,
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
        make_room: Some("kubectl mariadb-backup prune mariadb-server --keep 2 --dry-run -n db".to_owned()),
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
        desynced: None,
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
fn a_run_that_has_not_started_is_not_shown_as_one_at_work() {
    let waits = Some("container conductor: ErrImagePull: not found".to_owned());
    let (job, task, since) = ("run-x".to_owned(), Some("backup".to_owned()), Some(at("2026-01-03T11:49:00Z")));
    let running = Some(vec![Run { job, task, since, waits, phase: None, doing: None }]);
    let facts = Facts { running, ..facts((0..3).map(|n| pod(n, true)).collect(), None) };
    let page = text(&Status::of(facts, None), now(), true);
    let wanted = "Not started:       run-x (backup), for 11m: container conductor: ErrImagePull: not found\n";
    assert!(page.contains(wanted), "{page}");
}

#[test]
fn a_cluster_that_could_not_be_restored_says_so_long_before_that_day() {
    let why = Some("it is not known how its servers start".to_owned());
    let facts = Facts { restore_refused: why, ..facts((0..3).map(|n| pod(n, true)).collect(), None) };
    let page = text(&Status::of(facts, None), now(), true);
    assert!(page.contains("Restore:           would be refused: it is not known how its servers start\n"), "{page}");
}

#[test]
fn a_bad_day_on_one_page() {
    let run = Run {
        job: "mariadb-phy-backup-abcde".to_owned(),
        task: Some("backup".to_owned()),
        since: Some(at("2026-01-03T11:49:00Z")),
        waits: None,
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
    Volume full in:    <unknown>
    Running:           mariadb-phy-backup-abcde (backup), for 11m, in phase copy: 400MiB/0.98GiB 100MiB/s ETA 6s
    Schedules:         <none>
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
        let run = Run { job: owed().run, task: None, since: None, waits: None, phase: None, doing: None };
        let running = if is_running { vec![run] } else { vec![] };
        let pods = (0..3).map(|n| pod(n, true)).collect();
        Status::of(Facts { running: Some(running), ..facts(pods, Some(owed())) }, Some(told("Synced", &[])))
    };
    assert_eq!(status(true).code(), ExitCode::Done);
    assert_eq!(status(false).code(), ExitCode::Refused);
    let with_recover = |phase: Option<&str>| {
        let (task, phase) = (Some("recover".to_owned()), phase.map(str::to_owned));
        let run = Run { job: "mariadb-phy-recover-x".to_owned(), task, since: None, waits: None, phase, doing: None };
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
fn a_replica_that_is_copied_calls_nobody_as_long_as_the_run_that_took_it_out_lives() {
    let seen = |findings: &[&str]| StatusReport {
        desynced: Some(DesyncSeen {
            pod: "mariadb-server-2".to_owned(),
            findings: vec!["mariadb-server-2 is not Ready".to_owned(), "mariadb-server-2 is desynced".to_owned()],
        }),
        ..told("Synced", findings)
    };
    let status = |owed: Option<Obligation>, is_running, told: Option<StatusReport>| {
        let run = Run { job: self::owed().run, task: None, since: None, waits: None, phase: None, doing: None };
        let running = if is_running { vec![run] } else { vec![] };
        let pods = (0..3).map(|n| pod(n, n < 2)).collect();
        Status::of(Facts { running: Some(running), ..facts(pods, owed) }, told)
    };
    let both = ["mariadb-server-2 is not Ready", "mariadb-server-2 is desynced"];
    let living = status(Some(owed()), true, Some(seen(&both)));
    assert_eq!((living.code(), living.act.len(), living.findings.len()), (ExitCode::Done, 0, 0));
    let page = text(&living, now(), true);
    assert!(page.contains("healthy (3/3 replicas ready; mariadb-server-2 is out of them to be copied)"), "{page}");
    let from_afar = status(Some(owed()), true, None);
    assert_eq!((from_afar.health, from_afar.act.len()), (Health::Unknown, 0));
    assert_eq!(status(Some(owed()), false, Some(seen(&both))).code(), ExitCode::Refused, "its run has died");
    assert_eq!(status(Some(owed()), false, None).code(), ExitCode::Refused, "its run has died");
    assert_eq!(status(None, false, Some(seen(&both))).code(), ExitCode::Done, "it has ended since it was seen");
    let other = status(Some(owed()), true, Some(seen(&[&both[..], &["mariadb-server-1 is not Ready"]].concat())));
    assert_eq!(other.act[0].why, "mariadb-server-1 is not Ready");
}

#[test]
fn a_next_backup_that_will_not_fit_calls_a_person_and_names_what_makes_room() {
    let sum = |day: u32| {
        let size = Checksum { checksum: "aa".to_owned(), algorithm: None, size: Some(20 << 30) };
        (format!("base/2026-01-{day:02}_00-00-00/backup.mbstream.zst"), size)
    };
    let id = |day: u32| (format!("base/2026-01-{day:02}_00-00-00").parse().unwrap(), Entry::default());
    let (files, entries) = ((1..4).map(sum).collect(), (1..4).map(id).collect());
    let full = Catalogue { files, entries, ..catalogue() };
    let pods = (0..3).map(|n| pod(n, true)).collect();
    let status = Status::of(Facts { catalogue: Some(full), ..facts(pods, None) }, Some(told("Synced", &[])));
    let page = text(&status, now(), true);
    assert!(page.contains("\nVolume full in:    now: the next backup may not fit\n"), "{page}");
    let last: Vec<&str> = page.lines().rev().take(2).collect();
    insta::assert_snapshot!(last.join("\n"), @r"
      kubectl mariadb-backup prune mariadb-server --keep 2 --dry-run -n db
    A person should act: the next backup may not fit: the volume of backups has less room than the ones before took
    ");
    assert_eq!(status.code(), ExitCode::Refused);
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
        let run = Run { job: owed.run.clone(), task: None, since: None, waits: None, phase: None, doing: None };
        let running = if is_running { vec![run] } else { vec![] };
        let stopped =
            StatusReport { findings: vec!["the StatefulSet is scaled to 0".to_owned()], ..StatusReport::default() };
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
        Status::of(Facts { failed: Fact::Known(failed(good_since)), ..facts(pods, None) }, Some(told("Synced", &[])))
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
fn old_data_that_restores_have_kept_are_shown_with_what_removes_them() {
    let report = serde_json::json!({"backup": "base/2026-01-01_00-00-00", "leader": "mariadb-server-0", "replicas": 3,
        "history": "h", "outageMillis": 1, "fullStrengthMillis": 2, "keptIn": ".mariadb-backup/old-b"});
    let before = KeptData {
        pod: "mariadb-server-1".to_owned(),
        place: ".mariadb-backup/old-a".to_owned(),
        at: at("2026-01-01T12:00:00Z"),
    };
    let last = LastRestore {
        run: "b".to_owned(),
        at: at("2026-01-03T09:00:00Z"),
        report: serde_json::from_value(report).unwrap(),
        kept_before: vec![before],
    };
    let rows = |sub_path: &str| {
        let mut facts = facts(vec![], None);
        let view = facts.view.as_mut().unwrap();
        let (container, mount_path, sub_path) =
            ("mariadb".to_owned(), "/bitnami/mariadb".to_owned(), sub_path.to_owned());
        (view.server, view.last_restore) =
            (ServerSpec { container, mount_path, sub_path, ..ServerSpec::default() }, Some(last.clone()));
        let page = text(&Status::of(facts, None), now(), true);
        page.lines()
            .filter(|row| row.starts_with("Last restore:") || row.starts_with("Old data"))
            .collect::<Vec<_>>()
            .join("\n")
    };
    insta::assert_snapshot!(rows(""), @r"
    Last restore:      2026-01-01_00-00-00, 3h ago
    Old data kept:     of 3h ago, in .mariadb-backup/old-b on the volume of mariadb-server-0, unless removed since; to remove: kubectl exec -n db mariadb-server-0 -c mariadb -- rm -r /bitnami/mariadb/.mariadb-backup/old-b
    Old data kept:     of 2d ago, in .mariadb-backup/old-a on the volume of mariadb-server-1, unless removed since; to remove: kubectl exec -n db mariadb-server-1 -c mariadb -- rm -r /bitnami/mariadb/.mariadb-backup/old-a
    ");
    assert!(rows("data").contains("to remove: docs/disk-full.md says how"), "the server's pod does not see it");
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
    Volume full in:    <unknown>
    Running:           <none>
    Schedules:         <none>

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
    Volume full in:    <unknown>
    Running:           <unknown>
    Schedules:         <unknown>
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
