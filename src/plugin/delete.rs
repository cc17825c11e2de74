//! `delete`: says what goes, asks, and orders a run that removes it from every store.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;

use super::ask::confirm;
use super::cli::DeleteFlags;
use super::connect::Session;
use super::order::{order, see_through};
use super::{CommandResult, backups, find};
use crate::model::backup_id::BackupId;
use crate::model::catalogue::Catalogue;
use crate::model::chain;
use crate::model::order::{DeleteRequest, Task};
use crate::render::screen::Screen;

/// How many backups are named before a question.
const NAMED: usize = 20;

pub(crate) async fn run(
    flags: &DeleteFlags,
    session: &Session,
    screen: &mut Screen,
    asking: Option<Box<dyn BufRead + Send>>,
) -> CommandResult {
    let statefulset = find::cluster(session, flags.statefulset.as_deref()).await?;
    let chosen = backups::choose(&flags.backups, &statefulset, session, screen).await?;
    if !flags.dry_run && !flags.yes {
        let what = "delete has to be confirmed, and there is no terminal to ask on";
        let needing = needing(&chosen.wanted, &chosen.catalogue);
        confirm(&question(&chosen.wanted, &needing, &statefulset), what, screen, asking).await?;
    }
    let request = DeleteRequest { backups: chosen.wanted, dry_run: flags.dry_run };
    let order = order(&statefulset, Task::Delete(request), BTreeMap::new());
    see_through(&order, &flags.run, session, screen).await
}

/// The increments that are worth nothing without a wanted backup, and are not wanted themselves.
fn needing(wanted: &[BackupId], catalogue: &Catalogue) -> Vec<BackupId> {
    let needing: BTreeSet<BackupId> = wanted.iter().flat_map(|backup| chain::needs(catalogue, backup)).collect();
    needing.into_iter().filter(|backup| !wanted.contains(backup)).collect()
}

fn question(wanted: &[BackupId], needing: &[BackupId], statefulset: &str) -> String {
    let kind = |id: &BackupId| if id.base().is_some() { "incremental" } else { "full" };
    let line = |id: &BackupId, why: &str| format!("  backup/{} ({}{why})\n", id.name(), kind(id));
    let named = wanted.iter().map(|id| line(id, ""));
    let needing_lines = needing.iter().map(|id| line(id, ", needs what is deleted"));
    let all: Vec<String> = named.chain(needing_lines).collect();
    let untold = all.len().saturating_sub(NAMED);
    let more = if untold > 0 { format!("  and {untold} more\n") } else { String::new() };
    let lines = all.iter().take(NAMED).map(String::as_str).collect::<String>();
    format!(
        "These backups of {statefulset} will be deleted from every store, for good:\n{lines}{more}Delete them? (y/N)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::catalogue::Entry;

    #[test]
    fn whatever_needs_a_deleted_backup_is_named_before_it_goes_too() {
        let there: Vec<BackupId> = [
            "base/2026-01-01_00-00-00",
            "incr/2026-01-01_00-00-00/2026-01-02_00-00-00",
            "incr/2026-01-01_00-00-00/2026-01-03_00-00-00",
            "base/2026-01-04_00-00-00",
        ]
        .map(|directory| directory.parse().unwrap())
        .to_vec();
        let entries = there.iter().map(|id| (id.clone(), Entry::default())).collect();
        let catalogue = Catalogue { entries, ..Catalogue::default() };
        assert_eq!(needing(&there[..1], &catalogue), there[1..3]);
        assert_eq!(needing(&there[..3], &catalogue), []);
        insta::assert_snapshot!(question(&there[1..2], &needing(&there[1..2], &catalogue), "db"), @r"
        These backups of db will be deleted from every store, for good:
          backup/2026-01-02_00-00-00 (incremental)
          backup/2026-01-03_00-00-00 (incremental, needs what is deleted)
        Delete them? (y/N)
        ");
    }
}
