//! How a backup ended: what it is, what it cost, where it lies.

use super::Shown;
use super::words::{millis, span};
use crate::model::catalogue::Presence;
use crate::model::report::CopyReport;
use crate::render::bytes;

pub(super) fn shown(report: &CopyReport) -> Shown {
    let took = report.finished.duration_since(report.started);
    let kind = if report.backup.base().is_some() { "incremental" } else { "full" };
    let what = format!(
        "{kind} backup of {} done in {}: {} stored {}, replica desynced for {}",
        bytes::human(report.stream_bytes),
        span(took),
        bytes::human(report.stream.size),
        places(report.local, report.s3),
        millis(report.desync.window_millis),
    );
    let because = report.full_because.as_ref().map(|why| format!("it is a full one, not an incremental: {why}"));
    let parent = report.parent.as_ref().map(|parent| format!("it builds on backup/{}", parent.name()));
    // What finishes a copy to S3 that is not whole was said by the warning of it, with the command that does.
    Shown {
        headers: None,
        lines: vec![format!("backup/{} created", report.backup.name())],
        warnings: vec![],
        summary: [Some(what), because, parent].into_iter().flatten().collect(),
    }
}

fn places(local: Presence, s3: Presence) -> &'static str {
    match (local == Presence::Present, s3) {
        (true, Presence::Present) => "in the local store and in S3",
        (true, Presence::Unfinished) => "in the local store, not yet whole in S3",
        (false, Presence::Present) => "in S3",
        (true, _) => "in the local store",
        (false, _) => "nowhere",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::galera::Position;
    use crate::model::manifest::{DesyncTimes, StoredFile};

    fn report() -> CopyReport {
        let file = StoredFile { size: 1_500_000_000, sha256: "a".repeat(64) };
        CopyReport {
            backup: "incr/2026-01-01_00-00-00/2026-01-02_00-00-00".parse().unwrap(),
            started: "2026-01-02T00:00:00Z".parse().unwrap(),
            finished: "2026-01-02T00:12:14Z".parse().unwrap(),
            stream_bytes: 5_000_000_000,
            stream: file.clone(),
            manifest: file,
            position: Position { uuid: "u".to_owned(), seqno: 4711 },
            desync: DesyncTimes { window_millis: 65_000, ..DesyncTimes::default() },
            local: Presence::Present,
            s3: Presence::Unfinished,
            full_because: None,
            parent: Some("base/2026-01-01_00-00-00".parse().unwrap()),
            room: None,
        }
    }

    #[test]
    fn the_end_says_what_it_is_and_where_it_lies() {
        insta::assert_snapshot!(shown(&report()).summary.join("\n"), @r"
        incremental backup of 4.66GiB done in 12m: 1.4GiB stored in the local store, not yet whole in S3, replica desynced for 65s
        it builds on backup/2026-01-01_00-00-00
        ");
    }

    #[test]
    fn a_full_one_instead_of_an_incremental_says_why() {
        let full = CopyReport {
            backup: "base/2026-01-02_00-00-00".parse().unwrap(),
            s3: Presence::Present,
            parent: None,
            full_because: Some("replica mariadb-server-2 was rebuilt since".to_owned()),
            ..report()
        };
        insta::assert_snapshot!(shown(&full).summary.join("\n"), @r"
        full backup of 4.66GiB done in 12m: 1.4GiB stored in the local store and in S3, replica desynced for 65s
        it is a full one, not an incremental: replica mariadb-server-2 was rebuilt since
        ");
    }
}
