//! `status --watch`: the page, anew whenever something on it changes.
//!
//! The replicas are asked again when a pod of theirs has changed, and not more often than every so
//! many seconds: each time takes a run.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::{Answer, gathered, replicas, written};
use crate::adapters::kubernetes::changes::{Change, Changes};
use crate::adapters::kubernetes::finder::Place;
use crate::exit_code::ExitCode;
use crate::model::outcome::Failure;
use crate::model::report::StatusReport;
use crate::model::settings::Settings;
use crate::plugin::CommandResult;
use crate::plugin::cli::StatusFlags;
use crate::plugin::connect::Session;
use crate::plugin::job::is_look;
use crate::render::screen::Screen;

/// What changes together is shown together.
const SETTLE: Duration = Duration::from_millis(500);

/// The least time between two runs that ask the replicas.
const ASK_EVERY: Duration = Duration::from_secs(15);

/// How old the ages on a page may be.
const AGES_EVERY: Duration = Duration::from_secs(5);

/// Shows the page until somebody presses Ctrl-C.
pub(super) async fn run(place: &Place, flags: &StatusFlags, session: &Session, screen: &mut Screen) -> CommandResult {
    let mut changes = Changes::new(session.connection()?.client.clone());
    let lease = Settings::config_map_name(&place.statefulset);
    changes.cluster(&place.namespace, &place.statefulset, &lease, is_look);
    let mut told: Option<StatusReport> = None;
    let mut asked: Option<Instant> = None;
    let mut is_stale = true;
    loop {
        if is_stale && asked.is_none_or(|at| at.elapsed() >= ASK_EVERY) {
            (asked, is_stale) = (Some(Instant::now()), false);
            match replicas(flags, &place.statefulset, session, screen).await {
                Ok(Answer::Interrupted) => return Ok(ExitCode::Interrupted),
                Ok(Answer::Told(report)) => told = Some(report),
                Err(failure) => {
                    (told, is_stale) = (None, true);
                    screen.fail(&failure);
                }
            }
        }
        let status = gathered(place, told.clone(), session, screen).await?;
        match &flags.output {
            None => screen.redraw(&written(&status, flags)),
            Some(machine) => screen.data(&format!("{}{}", written(&status, flags), machine.separator())),
        }
        let waiting = until_changed(&mut changes, is_stale, session);
        tokio::pin!(waiting);
        let is_page = flags.output.is_none() && screen.can_redraw();
        is_stale |= loop {
            tokio::select! {
                of_replica = &mut waiting => break of_replica?,
                // Nothing is asked for this: only the ages on the page go on.
                () = sleep(AGES_EVERY), if is_page => screen.redraw(&written(&status, flags)),
            }
        };
    }
}

/// Waits until there is something new to show; tells whether it is about a replica.
async fn until_changed(changes: &mut Changes, is_stale: bool, session: &Session) -> Result<bool, Failure> {
    let failed = |error| session.failure(&error);
    let first = if is_stale {
        // Whoever could not be asked yet is asked when it is time again, change or none.
        tokio::select! {
            change = changes.next() => change.map_err(failed)?,
            () = sleep(ASK_EVERY) => return Ok(true),
        }
    } else {
        changes.next().await.map_err(failed)?
    };
    let mut of_replica = first == Change::Replica;
    let settled = Instant::now() + SETTLE;
    while let Ok(change) = timeout(settled.saturating_duration_since(Instant::now()), changes.next()).await {
        of_replica |= change.map_err(failed)? == Change::Replica;
    }
    Ok(of_replica)
}
