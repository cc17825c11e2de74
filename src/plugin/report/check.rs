//! How a verification ended: every backup by name, as far as a report can hold them.

use super::Shown;
use super::words::{count, unnamed};
use crate::model::report::CheckReport;
use crate::render::bytes;

pub(super) fn shown(report: &CheckReport) -> Shown {
    let good = report.good.iter().map(|backup| format!("backup/{} good", backup.name()));
    let more_good = unnamed(report.good_count, report.good.len());
    let more_good = (more_good > 0).then(|| format!("{} good", count(more_good, "more backup")));
    let bad = report.bad.iter().map(|line| format!("wrong: {line}"));
    let more_bad = unnamed(report.bad_count, report.bad.len());
    let more_bad = (more_bad > 0).then(|| format!("wrong: {}", count(more_bad, "more file")));
    let unlisted = |backup| format!("backup {backup} is in a store but not in the catalogue");
    Shown {
        headers: None,
        lines: good.chain(more_good).chain(bad).chain(more_bad).collect(),
        warnings: report.unlisted.iter().map(unlisted).collect(),
        summary: vec![summary(report)],
    }
}

fn summary(report: &CheckReport) -> String {
    let done = |number: u32, word, what: &str| (number > 0).then(|| format!("{} {what}", count(number, word)));
    let parts = [
        Some(format!("{} good", count(report.good_count, "backup"))),
        Some(count(report.bad_count, "wrong file")),
        done(report.repaired_count, "file", "fetched from S3"),
        done(report.quarantined_count, "backup", "set aside"),
        Some(format!("{} read", bytes::human(report.bytes))),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_name_every_backup_and_count_what_is_not_told() {
        let report = CheckReport {
            good: vec!["base/2026-01-01_00-00-00".parse().unwrap()],
            good_count: 2,
            bad: vec!["base/2026-01-02_00-00-00/manifest.json: missing".to_owned()],
            bad_count: 3,
            repaired_count: 1,
            bytes: 5,
            ..CheckReport::default()
        };
        let shown = shown(&report);
        insta::assert_snapshot!([shown.lines, shown.summary].concat().join("\n"), @r"
        backup/2026-01-01_00-00-00 good
        1 more backup good
        wrong: base/2026-01-02_00-00-00/manifest.json: missing
        wrong: 2 more files
        2 backups good, 3 wrong files, 1 file fetched from S3, 5B read
        ");
    }
}
