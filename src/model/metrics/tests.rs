use super::*;
use crate::model::catalogue::{Checksum, Entry, Presence};
use crate::model::galera::Position;
use crate::model::manifest::{DesyncTimes, StoredFile};

fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

fn run(task: &'static str, job: &str, began: &str) -> Run {
    let (namespace, statefulset) = ("db".to_owned(), "mariadb-server".to_owned());
    Run { job: job.to_owned(), task, namespace, statefulset, began: at(began) }
}

fn copy() -> RunReport {
    let file = |size| StoredFile { size, sha256: "aa".to_owned() };
    RunReport::Backup(CopyReport {
        backup: "base/2026-01-31_23-00-02".parse().unwrap(),
        started: at("2026-01-31T23:00:02Z"),
        finished: at("2026-01-31T23:03:20.5Z"),
        stream_bytes: 12 << 30,
        stream: file(4 << 30),
        manifest: file(900),
        position: Position { uuid: "5b2c7e4c".to_owned(), seqno: 1 },
        desync: DesyncTimes { window_millis: 187_042, ..DesyncTimes::default() },
        local: Presence::Present,
        s3: Presence::Absent,
        full_because: None,
        parent: None,
        room: None,
    })
}

fn catalogue() -> Catalogue {
    let mut catalogue = Catalogue::default();
    let good = Entry { local: Presence::Present, ..Entry::default() };
    let damaged = Entry { local: Presence::Damaged, ..Entry::default() };
    for (backup, entry) in [
        ("base/2026-01-30_23-00-02", &good),
        ("incr/2026-01-30_23-00-02/2026-01-31_11-00-02", &good),
        ("base/2026-01-31_23-00-02", &good),
        ("base/2026-02-01_23-00-02", &damaged),
        ("incr/2026-02-01_23-00-02/2026-02-02_11-00-02", &good),
    ] {
        let backup: crate::model::backup_id::BackupId = backup.parse().unwrap();
        let sum = Checksum { checksum: "aa".to_owned(), algorithm: None, size: Some(1) };
        catalogue.files.insert(format!("{}/manifest.json", backup.directory()), sum);
        catalogue.entries.insert(backup, entry.clone());
    }
    catalogue.room = Some(RoomSeen { free_bytes: 20 << 30, total_bytes: 100 << 30, at: at("2026-01-31T23:03:20Z") });
    catalogue
}

fn ended<'a>(done: &'a Result<RunReport, Failure>, at_time: &str) -> Ending<'a> {
    Ending { done, has_warnings: false, at: at(at_time) }
}

fn failed(code: ExitCode) -> Result<RunReport, Failure> {
    Err(Failure::new(code, "no"))
}

#[test]
fn a_good_night_and_a_bad_one_as_prometheus_reads_them() {
    let mut figures = Figures::default();
    let good = run("backup", "one", "2026-01-31T23:00:00Z");
    figures.begin(&good);
    figures.end(&good, &ended(&Ok(copy()), "2026-01-31T23:03:21Z"));
    let restored = RunReport::Restore(Box::new(RestoreReport {
        stopped_at: None,
        restored_to: None,
        backup: "base/2026-01-31_23-00-02".parse().unwrap(),
        leader: "mariadb-server-0".to_owned(),
        replicas: 3,
        history: "u".to_owned(),
        outage_millis: 34_500,
        full_strength_millis: 71_000,
        kept_in: None,
        kept_on: None,
        outage_parts: None,
        rows: None,
        resumed: false,
        is_chosen: false,
    }));
    figures.end(&run("restore", "two", "2026-02-01T08:00:00Z"), &ended(&Ok(restored), "2026-02-01T08:05:00Z"));
    let bad = run("backup", "three", "2026-02-01T23:00:00Z");
    figures.end(&bad, &ended(&failed(ExitCode::Refused), "2026-02-01T23:00:04.2Z"));
    figures.begin(&run("drill", "four", "2026-02-02T01:00:00Z"));
    figures.stock = Some(Stock::of(&catalogue()));
    figures.owed = Owed::Since(at("2026-02-01T23:00:02Z"));
    insta::assert_snapshot!(figures.write("db", "mariadb-server")[TEXT_KEY]);
}

#[test]
fn a_cluster_without_any_run_has_only_what_is_known() {
    assert_eq!(
        Figures::default().write("db", "mariadb-server")[TEXT_KEY],
        "# HELP mariadb_backup_obligations_open What is owed to the cluster, such as a replica to be brought back.\n\
         # TYPE mariadb_backup_obligations_open gauge\n\
         mariadb_backup_obligations_open{namespace=\"db\",statefulset=\"mariadb-server\"} 0\n"
    );
}

#[test]
fn a_failed_run_does_not_make_the_last_good_one_forgotten() {
    let mut figures = Figures::default();
    figures.end(&run("backup", "one", "2026-01-31T23:00:00Z"), &ended(&Ok(copy()), "2026-01-31T23:03:21Z"));
    let (success, copies) = (figures.success.clone(), figures.copies.clone());
    figures.end(
        &run("backup", "two", "2026-02-01T23:00:00Z"),
        &ended(&failed(ExitCode::FailedInCluster), "2026-02-01T23:00:04Z"),
    );
    assert_eq!((&figures.success, &figures.copies), (&success, &copies));
    assert_eq!(figures.last["backup"].code, 4);
}

#[test]
fn a_failed_run_is_remembered_with_why_until_another_one_fails() {
    let mut figures = Figures::default();
    let why = Failure::new(ExitCode::FailedInCluster, "the copy failed").with_cause("no space\nleft");
    figures.end(&run("backup", "one", "2026-01-31T23:00:00Z"), &ended(&Err(why), "2026-01-31T23:00:04Z"));
    figures.end(&run("backup", "two", "2026-02-01T23:00:00Z"), &ended(&Ok(copy()), "2026-02-01T23:03:21Z"));
    let failed = figures.failures["backup"].clone();
    assert_eq!((failed.job.as_str(), failed.code, failed.why.as_str()), ("one", 4, "the copy failed: no space left"));
}

#[test]
fn a_run_that_is_locked_out_does_not_end_the_one_at_work() {
    let mut figures = Figures::default();
    figures.begin(&run("backup", "at-work", "2026-01-31T23:00:00Z"));
    figures.end(
        &run("backup", "locked-out", "2026-01-31T23:01:00Z"),
        &ended(&failed(ExitCode::Locked), "2026-01-31T23:01:01Z"),
    );
    assert_eq!(figures.running.as_ref().map(|running| running.job.as_str()), Some("at-work"));
    assert!(figures.last.is_empty() && figures.failures.is_empty(), "it calls nobody: {figures:?}");
}

#[test]
fn a_drill_that_was_given_a_query_which_is_none_calls_nobody() {
    let mut figures = Figures::default();
    let drill = run("drill", "mistyped", "2026-01-31T23:00:00Z");
    figures.begin(&drill);
    figures.end(&drill, &ended(&failed(ExitCode::Usage), "2026-01-31T23:01:01Z"));
    assert!(figures.running.is_none() && figures.last.is_empty() && figures.failures.is_empty(), "{figures:?}");
}

#[test]
fn warnings_are_success_with_a_code_of_their_own() {
    let mut figures = Figures::default();
    let done = Ok(copy());
    let ending = Ending { done: &done, has_warnings: true, at: at("2026-01-31T23:03:21Z") };
    figures.end(&run("backup", "one", "2026-01-31T23:00:00Z"), &ending);
    assert_eq!(figures.last["backup"].code, 3);
    assert!(figures.success.contains_key("backup"));
}

#[test]
fn an_increment_is_only_good_with_all_it_builds_on() {
    let stock = Stock::of(&catalogue());
    assert_eq!(stock.newest[&Kind::Full], at("2026-01-31T23:00:02Z"));
    assert_eq!(stock.newest[&Kind::Incremental], at("2026-01-31T11:00:02Z"));
    assert_eq!(stock.count, BTreeMap::from([(Kind::Full, 3), (Kind::Incremental, 2)]));
}

#[test]
fn figures_come_back_as_they_were_written_and_what_cannot_be_read_is_begun_anew() {
    let mut figures = Figures::default();
    figures.end(&run("backup", "one", "2026-01-31T23:00:00Z"), &ended(&Ok(copy()), "2026-01-31T23:03:21Z"));
    figures.stock = Some(Stock::of(&catalogue()));
    figures.owed = Owed::Since(at("2026-02-01T23:00:02Z"));
    let data = figures.write("db", "mariadb-server");
    assert_eq!(Figures::read(&data), figures);
    assert_eq!(Figures::read(&BTreeMap::from([(FIGURES_KEY.to_owned(), "{".to_owned())])), Figures::default());
}
