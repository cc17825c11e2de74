//! `prune`: says what retention no longer keeps, asks for the cluster's name, and orders a run that removes it.
//!
//! What is shown is decided as the run decides it: by the catalogue and the cluster's settings.

use std::collections::BTreeMap;
use std::io::BufRead;

use super::ask::{confirm_name, unasked};
use super::cli::PruneFlags;
use super::connect::Session;
use super::order::{order, see_through};
use super::overrides::{self, Given};
use super::removal::{Going, shown};
use super::{CommandResult, find, list};
use crate::model::order::{PruneRequest, Task};
use crate::model::outcome::Failure;
use crate::model::retention;
use crate::render::screen::Screen;

pub(crate) async fn run(
    flags: &PruneFlags,
    session: &Session,
    screen: &mut Screen,
    asking: Option<Box<dyn BufRead + Send>>,
) -> CommandResult {
    let settings = overrides::checked(&[Given::new("MARIADB_BACKUPS_TO_KEEP", "--keep", flags.keep.clone())])?;
    let asks = !flags.dry_run && !flags.yes;
    if asks && asking.is_none() {
        return Err(unasked("prune"));
    }
    let statefulset = find::cluster(session, flags.cluster.wanted()).await?;
    if asks {
        match outlived(&statefulset, &settings, session, screen).await? {
            Some(what) => confirm_name(&what, (&session.namespace()?, &statefulset), "prune", screen, asking).await?,
            None => screen.note("No backup has to go; the run only tidies up what dead runs left."),
        }
    }
    let order = order(&statefulset, Task::Prune(PruneRequest { dry_run: flags.dry_run }), settings);
    see_through(&order, &flags.run, session, screen).await
}

/// Says what goes; `None` when nothing does.
async fn outlived(
    statefulset: &str,
    given: &BTreeMap<String, String>,
    session: &Session,
    screen: &mut Screen,
) -> Result<Option<String>, Failure> {
    let settings = overrides::settings(session, screen, statefulset, given).await?;
    let catalogue = list::read(session, &session.connection()?.target.namespace, statefulset, &settings).await?;
    let outlived = retention::plan(&catalogue, settings.backups_to_keep, settings.stores);
    if outlived.is_empty() {
        return Ok(None);
    }
    let stay = match settings.backups_to_keep.max(1) {
        1 => format!("The newest good full backup of {statefulset} stays, with its increments."),
        number => format!("The newest {number} good full backups of {statefulset} stay, with their increments."),
    };
    let going: Vec<Going> = outlived.into_iter().map(|backup| Going { backup, why: None }).collect();
    Ok(Some(shown(&format!("{stay} These are deleted from every store:"), &going)))
}
