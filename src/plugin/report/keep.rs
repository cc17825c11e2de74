//! How copying between the stores and removing ended.

use super::Shown;
use super::words::{count, unnamed};
use crate::model::backup_id::BackupId;
use crate::model::order::StoreName;
use crate::model::report::{Freed, KeepSummary};
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
    Shown { lines, summary: [nothing, copied, freed(summary)].into_iter().flatten().collect(), ..Shown::default() }
}

/// How much room was made, by store and in all.
fn freed(summary: &KeepSummary) -> Option<String> {
    let Freed { local_bytes, s3_bytes, unknown_count } = summary.freed.filter(|_| summary.removed_count > 0)?;
    let verb = if summary.dry_run { "would free" } else { "freed" };
    let of = |store: StoreName, bytes: u64| (bytes > 0).then(|| format!("{} in {}", bytes::human(bytes), store.word()));
    let parts: Vec<String> =
        [of(StoreName::Local, local_bytes), of(StoreName::S3, s3_bytes)].into_iter().flatten().collect();
    let all = bytes::human(local_bytes.saturating_add(s3_bytes));
    let known = match parts.as_slice() {
        [] => format!("{verb} {all}"),
        [only] => format!("{verb} {only}"),
        both => format!("{verb} {all}: {}", both.join(", ")),
    };
    let unknown = match unknown_count {
        0 => String::new(),
        1 => "; the size of 1 backup is not recorded".to_owned(),
        more => format!("; the sizes of {more} backups are not recorded"),
    };
    Some(format!("{known}{unknown}"))
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

    #[test]
    fn the_room_that_was_made_is_told_by_store_and_in_all() {
        let summary = |dry_run, local_bytes, s3_bytes, unknown_count| {
            let freed = Some(Freed { local_bytes, s3_bytes, unknown_count });
            shown(&KeepSummary { dry_run, removed_count: 1, freed, ..KeepSummary::default() }).summary.pop().unwrap()
        };
        assert_eq!(summary(false, 3 << 30, 1 << 30, 0), "freed 4GiB: 3GiB in local, 1GiB in s3");
        assert_eq!(summary(true, 3 << 30, 0, 0), "would free 3GiB in local");
        assert_eq!(summary(false, 0, 0, 2), "freed 0B; the sizes of 2 backups are not recorded");
        assert_eq!(freed(&KeepSummary::default()), None);
    }
}
