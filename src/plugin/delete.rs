//! `delete`: says what goes, asks for the cluster's name, and orders a run that removes it from every store.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;

use super::ask::{confirm_name, unasked};
use super::cli::DeleteFlags;
use super::connect::Session;
use super::order::{order, see_through};
use super::removal::{Going, shown};
use super::{CommandResult, backups, find};
use crate::model::backup_id::BackupId;
use crate::model::catalogue::Catalogue;
use crate::model::chain;
use crate::model::order::{DeleteRequest, Task};
use crate::render::screen::Screen;

pub(crate) async fn run(
    flags: &DeleteFlags,
    session: &Session,
    screen: &mut Screen,
    asking: Option<Box<dyn BufRead + Send>>,
) -> CommandResult {
    let asks = !flags.dry_run && !flags.yes;
    if asks && asking.is_none() {
        return Err(unasked("delete"));
    }
    let statefulset = find::cluster(session, flags.statefulset.as_deref()).await?;
    let chosen = backups::choose(&flags.backups, &statefulset, session, screen).await?;
    if asks {
        let sentence = format!("These backups of {statefulset} are deleted from every store:");
        let what = shown(&sentence, &going(&chosen.wanted, &chosen.catalogue));
        confirm_name(&what, (&session.namespace()?, &statefulset), "delete", screen, asking).await?;
    }
    let request = DeleteRequest { backups: chosen.wanted, dry_run: flags.dry_run };
    let order = order(&statefulset, Task::Delete(request), BTreeMap::new());
    see_through(&order, &flags.run, session, screen).await
}

/// What is wanted, then the increments that are worth nothing without it and are not wanted themselves.
fn going(wanted: &[BackupId], catalogue: &Catalogue) -> Vec<Going> {
    let needing: BTreeSet<BackupId> = wanted.iter().flat_map(|backup| chain::needs(catalogue, backup)).collect();
    let needing = needing.into_iter().filter(|backup| !wanted.contains(backup));
    let wanted = wanted.iter().map(|backup| Going { backup: backup.clone(), why: None });
    wanted.chain(needing.map(|backup| Going { backup, why: Some("needs what is deleted") })).collect()
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
        insta::assert_snapshot!(shown("Of the first:", &going(&there[..1], &catalogue)), @r"
        Of the first:
          backup/2026-01-01_00-00-00 (full)
          backup/2026-01-02_00-00-00 (incremental, needs what is deleted)
          backup/2026-01-03_00-00-00 (incremental, needs what is deleted)
        They cannot be brought back.
        ");
        insta::assert_snapshot!(shown("Of all of a chain:", &going(&there[..3], &catalogue)), @r"
        Of all of a chain:
          backup/2026-01-01_00-00-00 (full)
          backup/2026-01-02_00-00-00 (incremental)
          backup/2026-01-03_00-00-00 (incremental)
        They cannot be brought back.
        ");
    }
}
