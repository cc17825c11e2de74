//! How a drill ended: what the booted server held, and how long each step took.

use super::Shown;
use super::words::{count, millis};
use crate::model::report::{DrillReport, ProveReport};
use crate::render::bytes;

pub(super) fn shown(report: &DrillReport) -> Shown {
    let proof = &report.proof;
    let rows = proof.query_result.as_ref();
    let lines = rows.map(|result| result.rows.iter().map(|row| row.join("\t")).collect()).unwrap_or_default();
    let cut = rows.is_some_and(|result| result.truncated);
    let mut summary = vec![steps(report)];
    summary.extend(cut.then(|| "the query had more to say than is shown".to_owned()));
    summary.extend([found(proof), verdict(report)]);
    let headers = rows.map(|result| result.columns.join("\t")).filter(|headers| !headers.is_empty());
    Shown { headers, lines, warnings: Vec::new(), summary }
}

fn steps(report: &DrillReport) -> String {
    let ProveReport { stored_bytes, unpacked_bytes, .. } = report.proof;
    let proof = &report.proof;
    let from: Vec<_> = report.from.iter().map(|store| store.word()).collect();
    format!(
        "{} from {} unpacked to {} in {}, prepared in {}, booted in {}, checked in {}",
        bytes::human(stored_bytes),
        from.join(" and "),
        bytes::human(unpacked_bytes),
        millis(proof.unpack_millis),
        millis(proof.prepare_millis),
        millis(proof.boot_millis),
        millis(proof.check_millis),
    )
}

fn verdict(report: &DrillReport) -> String {
    let proof = &report.proof;
    let with = match (report.members, &report.base) {
        (0 | 1, _) | (_, None) => String::new(),
        (2, Some(base)) => format!(" on {}", base.name()),
        (members, Some(base)) => format!(" on {} and {}", base.name(), count(members - 2, "increment")),
    };
    format!("backup {}{with} can be restored; the drill took {}", proof.backup.name(), millis(report.took_millis))
}

fn found(proof: &ProveReport) -> String {
    let logins: Vec<_> = proof.logins.operator.iter().chain(&proof.logins.backup).map(String::as_str).collect();
    let logins = if logins.is_empty() { String::new() } else { format!("; {} can log in", logins.join(" and ")) };
    let (tables, schemas) = (count(proof.tables, "table"), count(proof.schemas, "schema"));
    format!("server {} opened {tables} in {schemas}{logins}", proof.server_version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::galera::Position;
    use crate::model::order::StoreName;
    use crate::model::report::{ProvenLogins, QueryResult};

    fn report() -> DrillReport {
        DrillReport {
            proof: ProveReport {
                backup: "incr/2026-01-01_00-00-00/2026-01-03_00-00-00".parse().unwrap(),
                stored_bytes: 5 << 20,
                unpacked_bytes: 50 << 20,
                tables: 12,
                schemas: 1,
                server_version: "10.11.18-MariaDB".to_owned(),
                history_uuid: None,
                position: Some(Position { uuid: "u".to_owned(), seqno: 7 }),
                logins: ProvenLogins { operator: Some("backup-operator".to_owned()), backup: None },
                query_result: None,
                unpack_millis: 1200,
                prepare_millis: 800,
                boot_millis: 4100,
                check_millis: 90,
            },
            base: Some("base/2026-01-01_00-00-00".parse().unwrap()),
            members: 3,
            from: vec![StoreName::Local, StoreName::S3],
            took_millis: 61_000,
        }
    }

    #[test]
    fn a_drill_says_what_can_be_relied_on_and_how_long_each_step_took() {
        let shown = shown(&report());
        assert_eq!(shown.lines, [""; 0]);
        insta::assert_snapshot!(shown.summary.join("\n"), @r"
        5MiB from local and s3 unpacked to 50MiB in 1.2s, prepared in 0.8s, booted in 4.1s, checked in 0.1s
        server 10.11.18-MariaDB opened 12 tables in 1 schema; backup-operator can log in
        backup 2026-01-03_00-00-00 on 2026-01-01_00-00-00 and 1 increment can be restored; the drill took 61s
        ");
    }

    #[test]
    fn rows_of_the_query_are_the_data() {
        let rows = vec![vec!["7".to_owned(), "NULL".to_owned()]];
        let mut report = report();
        report.proof.query_result =
            Some(QueryResult { columns: vec!["id".to_owned(), "name".to_owned()], rows, truncated: true });
        (report.members, report.base) = (1, None);
        let shown = shown(&report);
        assert_eq!((shown.headers.as_deref(), shown.lines), (Some("id\tname"), vec!["7\tNULL".to_owned()]));
        insta::assert_snapshot!(shown.summary.join("\n"), @r"
        5MiB from local and s3 unpacked to 50MiB in 1.2s, prepared in 0.8s, booted in 4.1s, checked in 0.1s
        the query had more to say than is shown
        server 10.11.18-MariaDB opened 12 tables in 1 schema; backup-operator can log in
        backup 2026-01-03_00-00-00 can be restored; the drill took 61s
        ");
    }
}
