//! `describe`: everything about one backup.
//!
//! What the catalogue knows is at hand; the rest stands in the manifest beside the data, which a run
//! reads. Where that cannot be had it is said, and the catalogue's part is shown all the same.

mod page;
mod shape;

use std::collections::BTreeMap;
use std::time::Duration;

use super::cli::DescribeFlags;
use super::connect::Session;
use super::follow::Followed;
use super::order::{another_answer, ask, order};
use super::{CommandResult, backups, find};
use crate::adapters::kubernetes::finder::Place;
use crate::adapters::system_clock::SystemClock;
use crate::exit_code::ExitCode;
use crate::model::backup_id::BackupId;
use crate::model::order::{InventoryRequest, Task};
use crate::model::outcome::{End, Failure};
use crate::model::report::{FoundBackup, RunReport};
use crate::ports::Clock;
use crate::render::age;
use crate::render::screen::Screen;
use shape::Description;

pub(crate) async fn run(flags: &DescribeFlags, session: &Session, screen: &mut Screen) -> CommandResult {
    let statefulset = find::cluster_or_remains(session, flags.statefulset.as_deref()).await?;
    let chosen = backups::choose(std::slice::from_ref(&flags.backup), &statefulset, session, screen).await?;
    let Some(backup) = chosen.wanted.first() else {
        return Err(Failure::new(ExitCode::NotFound, format!("there is no backup {}", flags.backup)));
    };
    let found = match look(backup, flags.timeout, &statefulset, session, screen).await {
        Ok(Seen::Interrupted) => return Ok(ExitCode::Interrupted),
        Ok(Seen::Found(found)) => Ok(found),
        Err(failure) if failure.code == ExitCode::Interrupted => return Err(failure),
        Err(failure) => Err(failure),
    };
    let place = Place::new(&session.connection()?.target.namespace, statefulset);
    let told = found.as_ref().map(Vec::as_slice).unwrap_or_default();
    let description = Description::of(backup, &chosen.catalogue, told, &place);
    session.show_warnings(screen);
    match &flags.output {
        Some(machine) => screen.data(&machine.write(&description, true)),
        None => screen.page(&page::text(&description, SystemClock.now())),
    }
    let Err(failure) = found else { return Ok(ExitCode::Done) };
    screen.warn("its manifest could not be read; what is shown is what the catalogue knows");
    screen.fail(&failure);
    Ok(ExitCode::DoneWithWarnings)
}

/// What came of reading the manifest.
enum Seen {
    /// As each store holds it.
    Found(Vec<FoundBackup>),
    Interrupted,
}

async fn look(
    backup: &BackupId,
    timeout: Duration,
    statefulset: &str,
    session: &Session,
    screen: &mut Screen,
) -> Result<Seen, Failure> {
    let request = InventoryRequest { only: Some(backup.clone()) };
    let order = order(statefulset, Task::Inventory(request), BTreeMap::new());
    let (job, followed) = ask(&order, timeout, session, screen).await?;
    let ended = match followed {
        Followed::GoesOn(ExitCode::Interrupted) => return Ok(Seen::Interrupted),
        Followed::GoesOn(code) => {
            let what = format!("the stores did not answer within {} (--timeout)", age::human(timeout));
            return Err(Failure::new(code, what).with_hint(session.logs_of(&job)));
        }
        Followed::Ended(ended) => ended,
    };
    match ended.outcome.end {
        End::Done(RunReport::Inventory(_)) => Ok(Seen::Found(ended.found)),
        End::Done(_) => Err(another_answer(&job, session)),
        End::Failed(failure) => Err(failure),
    }
}
