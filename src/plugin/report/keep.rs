//! How copying between the stores and removing ended.

use super::Shown;
use super::words::{count, unnamed};
use crate::model::backup_id::BackupId;
use crate::model::report::KeepSummary;
use crate::render::bytes;

pub(super) fn shown(summary: &KeepSummary) -> Shown {
    let end = if summary.dry_run { " (dry run)" } else { "" };
    let lines: Vec<String> = [
        (&summary.removed, summary.removed_count, "deleted"),
        (&summary.uploaded, summary.uploaded_count, "copied to s3"),
        (&summary.downloaded, summary.downloaded_count, "copied to local"),
    ]
    .into_iter()
    .flat_map(|(named, number, what)| told(named, number, &format!("{what}{end}")))
    .collect();
    let nothing = lines.is_empty().then(|| format!("Nothing to do{end}."));
    let copied = (summary.bytes > 0).then(|| format!("{} copied", bytes::human(summary.bytes)));
    Shown { lines, warnings: vec![], summary: [nothing, copied].into_iter().flatten().collect() }
}

fn told(named: &[BackupId], number: u32, what: &str) -> Vec<String> {
    let more = unnamed(number, named.len());
    let more = (more > 0).then(|| format!("{} {what}", count(more, "more backup")));
    named.iter().map(|backup| format!("backup/{} {what}", backup.name())).chain(more).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_backup_that_was_touched_is_a_line() {
        let summary = KeepSummary {
            dry_run: true,
            removed: vec!["base/2026-01-01_00-00-00".parse().unwrap()],
            removed_count: 3,
            uploaded: vec!["incr/2026-01-02_00-00-00/2026-01-03_00-00-00".parse().unwrap()],
            uploaded_count: 1,
            ..KeepSummary::default()
        };
        insta::assert_snapshot!(shown(&summary).lines.join("\n"), @r"
        backup/2026-01-01_00-00-00 deleted (dry run)
        2 more backups deleted (dry run)
        backup/2026-01-03_00-00-00 copied to s3 (dry run)
        ");
        assert_eq!(shown(&KeepSummary::default()).summary, ["Nothing to do."]);
    }
}
