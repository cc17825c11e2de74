//! `verify`: orders a run that compares stored backups with what was recorded, and shows its verdicts.

use std::collections::BTreeMap;

use super::cli::VerifyFlags;
use super::connect::Session;
use super::order::{order, see_through};
use super::{CommandResult, backups, find};
use crate::exit_code::ExitCode;
use crate::model::order::{Task, VerifyRequest};
use crate::render::screen::Screen;

pub(crate) async fn run(flags: &VerifyFlags, session: &Session, screen: &mut Screen) -> CommandResult {
    let statefulset = find::cluster(session, flags.statefulset.as_deref()).await?;
    let mut wanted = Vec::new();
    // One that is to be made again may be one that nobody can read.
    if !flags.rebuild_catalogue || !flags.backups.is_empty() {
        let chosen = backups::choose(&flags.backups, &statefulset, session, screen).await?;
        if chosen.catalogue.listed().is_empty() && !flags.rebuild_catalogue {
            screen.note(&nothing(&statefulset, session));
            // Whoever lets this run by the clock would never learn that there are none, or that the catalogue is lost.
            return Ok(ExitCode::DoneWithWarnings);
        }
        wanted = chosen.wanted;
    }
    let request = VerifyRequest {
        backups: wanted,
        deep: flags.deep,
        store: flags.store.map(Into::into),
        rebuild_catalogue: flags.rebuild_catalogue,
    };
    let order = order(&statefulset, Task::Verify(request), BTreeMap::new());
    see_through(&order, &flags.run, session, screen).await
}

fn nothing(statefulset: &str, session: &Session) -> String {
    format!(
        "The catalogue has no backups of {statefulset}, so there is nothing to verify. To look into the stores:\n  {}",
        session.command("verify --rebuild-catalogue")
    )
}
