use super::*;
use crate::model::catalogue::Presence;
use crate::model::galera::Position;
use crate::model::manifest::{DesyncTimes, StoredFile};
use crate::model::report::{CheckReport, KeepSummary, RecoverReport};

fn run(task: &'static str) -> Run {
    Run {
        job: format!("mariadb-phy-{task}-x7k2d"),
        task,
        namespace: "db".to_owned(),
        statefulset: "mariadb-server".to_owned(),
        began: at("2026-01-31T23:00:00Z"),
    }
}

fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

fn file(size: u64) -> StoredFile {
    StoredFile { size, sha256: "aa".to_owned() }
}

fn copy() -> RunReport {
    RunReport::Backup(CopyReport {
        backup: "base/2026-01-31_23-00-02".parse().unwrap(),
        started: at("2026-01-31T23:00:02Z"),
        finished: at("2026-01-31T23:03:20Z"),
        stream_bytes: 12 << 30,
        stream: file(4 << 30),
        manifest: file(900),
        position: Position { uuid: "5b2c7e4c".to_owned(), seqno: 1 },
        desync: DesyncTimes { window_millis: 187_000, ..DesyncTimes::default() },
        local: Presence::Present,
        s3: Presence::Absent,
        full_because: None,
        parent: None,
        room: None,
    })
}

fn lines(notices: &[Notice]) -> String {
    let line = |notice: &Notice| {
        let kind = if notice.is_warning { "Warning" } else { "Normal" };
        format!("{kind} {}: {}\n", notice.reason, notice.message)
    };
    notices.iter().map(line).collect()
}

#[test]
fn every_turn_of_a_run_is_told_in_one_line() {
    let end = at("2026-01-31T23:03:21Z");
    let rolled_back = Failure::new(ExitCode::RolledBack, "restored data did not serve; the old cluster is back");
    let keep = KeepSummary { removed_count: 2, uploaded_count: 1, bytes: 5 << 20, ..KeepSummary::default() };
    let check = CheckReport { good_count: 12, bytes: 3 << 30, ..CheckReport::default() };
    let notices = [
        run("backup").started(at("2026-01-31T23:00:00Z")),
        run("backup").ended(&Ok(copy()), false, end),
        run("backup").ended(&Ok(copy()), true, end),
        run("verify").ended(&Ok(RunReport::Verify(check)), false, end),
        run("sync").ended(&Ok(RunReport::Keep(keep)), false, end),
        run("recover").ended(&Ok(RunReport::Recover(RecoverReport::default())), false, end),
        run("restore").ended(&Err(rolled_back), false, end),
    ];
    insta::assert_snapshot!(lines(&notices), @r"
    Normal BackupStarted: run mariadb-phy-backup-x7k2d begins: backup
    Normal BackupCompleted: full backup 2026-01-31_23-00-02: 12GiB copied, 4GiB stored, replica desynced for 3m7s; took 3m21s; run mariadb-phy-backup-x7k2d
    Warning BackupCompletedWithWarnings: full backup 2026-01-31_23-00-02: 12GiB copied, 4GiB stored, replica desynced for 3m7s; took 3m21s; for its warnings: kubectl mariadb-backup logs mariadb-phy-backup-x7k2d -n db
    Normal VerifyCompleted: 12 backups are as recorded, 3GiB read; took 3m21s; run mariadb-phy-verify-x7k2d
    Normal SyncCompleted: 2 backups removed, 1 copied to S3 and 0 to the local store (5MiB); took 3m21s; run mariadb-phy-sync-x7k2d
    Normal RecoverCompleted: nothing was owed; took 3m21s; run mariadb-phy-recover-x7k2d
    Warning RestoreRolledBack: restored data did not serve; the old cluster is back; after 3m21s; next: kubectl mariadb-backup logs mariadb-phy-restore-x7k2d -n db
    ");
}

#[test]
fn a_failure_is_told_with_its_reason_and_the_next_command() {
    let failure = Failure::new(ExitCode::Refused, "cluster db/mariadb-server is not fit for a backup")
        .with_cause("mariadb-server-1 is Donor/Desynced")
        .with_hint("kubectl mariadb-backup status -n db");
    let notice = run("backup").ended(&Err(failure), true, at("2026-01-31T23:00:05Z"));
    assert!(notice.is_warning);
    assert_eq!(
        format!("{}: {}", notice.reason, notice.message),
        "BackupFailed: cluster db/mariadb-server is not fit for a backup: mariadb-server-1 is Donor/Desynced; after 5s; \
         next: kubectl mariadb-backup status -n db; the whole story: kubectl mariadb-backup logs \
         mariadb-phy-backup-x7k2d -n db"
    );
}

#[test]
fn a_text_that_is_too_long_for_an_event_is_cut_in_its_reasons_and_never_in_the_command_to_type() {
    let failure = Failure::new(ExitCode::Error, "備".repeat(1000)).with_hint("to settle it: kubectl x");
    let message = run("backup").ended(&Err(failure), false, at("2026-01-31T23:00:05Z")).message;
    assert!(message.len() <= LONGEST_BYTES && message.len() > LONGEST_BYTES - 4, "{}", message.len());
    let next =
        "; next: to settle it: kubectl x; the whole story: kubectl mariadb-backup logs mariadb-phy-backup-x7k2d -n db";
    assert!(message.starts_with('備') && message.contains("…; after 5s"), "{message}");
    assert!(message.ends_with(next), "{message}");

    let endless = Failure::new(ExitCode::Error, "no room").with_hint("h".repeat(2000));
    let message = run("backup").ended(&Err(endless), false, at("2026-01-31T23:00:05Z")).message;
    assert_eq!(
        message, "no room; after 5s; next: kubectl mariadb-backup logs mariadb-phy-backup-x7k2d -n db",
        "a hint without an end gives way to where the whole story is"
    );
}
