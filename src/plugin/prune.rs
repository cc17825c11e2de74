//! `prune`: orders a run that removes what retention no longer keeps, as every backup does at its end.

use super::cli::PruneFlags;
use super::connect::Session;
use super::order::{order, see_through};
use super::overrides::{self, Given};
use super::{CommandResult, find};
use crate::model::order::{PruneRequest, Task};
use crate::render::screen::Screen;

pub(crate) async fn run(flags: &PruneFlags, session: &Session, screen: &mut Screen) -> CommandResult {
    let settings = overrides::checked(&[Given::new("MARIADB_BACKUPS_TO_KEEP", "--keep", flags.keep.clone())])?;
    let statefulset = find::cluster(session, flags.cluster.wanted()).await?;
    let order = order(&statefulset, Task::Prune(PruneRequest { dry_run: flags.dry_run }), settings);
    see_through(&order, &flags.run, session, screen).await
}
