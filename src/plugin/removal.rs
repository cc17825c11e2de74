//! What is shown of backups before they are removed for good.

use crate::model::backup_id::BackupId;

/// How many backups are named before a question.
const NAMED: usize = 20;

/// A backup that is about to go, and why where that has to be said.
pub(crate) struct Going {
    pub(crate) backup: BackupId,
    pub(crate) why: Option<&'static str>,
}

/// What goes, below a sentence about it.
pub(crate) fn shown(sentence: &str, going: &[Going]) -> String {
    let lines: String = going.iter().take(NAMED).map(line).collect();
    let untold = going.len().saturating_sub(NAMED);
    let more = if untold > 0 { format!("  and {untold} more\n") } else { String::new() };
    format!("{sentence}\n{lines}{more}They cannot be brought back.")
}

fn line(going: &Going) -> String {
    let kind = if going.backup.base().is_some() { "incremental" } else { "full" };
    let why = going.why.map(|why| format!(", {why}")).unwrap_or_default();
    format!("  backup/{} ({kind}{why})\n", going.backup.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_backups_than_anybody_reads_are_counted() {
        let backup = |day: usize| format!("base/2026-01-{day:02}_00-00-00").parse().unwrap();
        let going: Vec<Going> = (1..=22).map(|day| Going { backup: backup(day), why: None }).collect();
        let shown = shown("They go:", &going);
        let end: Vec<&str> = shown.lines().skip(20).collect();
        assert_eq!(end, ["  backup/2026-01-20_00-00-00 (full)", "  and 2 more", "They cannot be brought back."]);
    }
}
