//! `sync`: orders a run that brings the volume and S3 to the same set of backups.

use super::cli::SyncFlags;
use super::connect::Session;
use super::order::{order, see_through};
use super::overrides::{self, Given};
use super::{CommandResult, backups, find};
use crate::exit_code::ExitCode;
use crate::model::order::{SyncRequest, Task};
use crate::render::screen::Screen;

pub(crate) async fn run(flags: &SyncFlags, session: &Session, screen: &mut Screen) -> CommandResult {
    let settings = overrides::checked(&[Given::new("MARIADB_BACKUP_BWLIMIT", "--bwlimit", flags.bwlimit.clone())])?;
    let statefulset = find::cluster(session, flags.statefulset.as_deref()).await?;
    let chosen = backups::choose(&flags.backups, &statefulset, session, screen).await?;
    if chosen.catalogue.listed().is_empty() {
        screen.note(&format!("No backups found of {statefulset}; there is nothing to copy."));
        return Ok(ExitCode::Done);
    }
    let request = SyncRequest { backups: chosen.wanted, to: flags.to.map(Into::into), dry_run: flags.dry_run };
    let order = order(&statefulset, Task::Sync(request), settings);
    see_through(&order, &flags.run, session, screen).await
}
