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
use crate::plugin::away::{AWAY, BACK};
use crate::plugin::cli::StatusFlags;
use crate::plugin::connect::Session;
use crate::plugin::job::is_look;
use crate::render::output::Machine;
use crate::render::screen::Screen;

/// What changes together is shown together.
const SETTLE: Duration = Duration::from_millis(500);

/// The least time between two runs that ask the replicas.
const ASK_EVERY: Duration = Duration::from_secs(15);

/// How old the ages on a page may be.
const AGES_EVERY: Duration = Duration::from_secs(5);

/// Shows the page until somebody presses Ctrl-C.
pub(super) async fn run(
    place: &Place,
    form: Option<&Machine>,
    flags: &StatusFlags,
    session: &Session,
    screen: &mut Screen,
) -> CommandResult {
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
                Err(failure) if failure.code == ExitCode::Interrupted => return Err(failure),
                Err(failure) => {
                    (told, is_stale) = (None, true);
                    screen.fail(&failure);
                }
            }
        }
        let status = gathered(place, told.clone(), session, screen).await?;
        let page = || written(&status, form, !flags.no_headers);
        match form {
            None => screen.redraw(&page()),
            Some(machine) => screen.data(&format!("{}{}", page(), machine.separator())),
        }
        let is_page = form.is_none() && screen.can_redraw();
        let seen = while_aging(until_changed(&mut changes, is_stale, session), is_page, &page, screen).await?;
        is_stale |= match seen {
            Seen::Replica => true,
            Seen::Other => false,
            Seen::Nothing if changes.are_in_reach().await => false,
            Seen::Nothing => {
                screen.note(AWAY);
                while_aging(changes.until_in_reach(), is_page, &page, screen).await;
                screen.note(BACK);
                true
            }
        };
    }
}

/// What has come to be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Seen {
    /// Something that is no replica has changed.
    Other,
    /// A replica has changed.
    Replica,
    /// A watch broke off.
    Nothing,
}

impl From<Change> for Seen {
    fn from(change: Change) -> Self {
        match change {
            Change::Broken => Self::Nothing,
            Change::Replica => Self::Replica,
            // Of those that follow, a watch on one cluster tells none.
            Change::Other | Change::ConfigMap(_) | Change::Set(_) | Change::Of(_) | Change::Several => Self::Other,
        }
    }
}

/// Waits for something. Nothing is asked for meanwhile: only the ages on the page go on.
async fn while_aging<T>(
    waiting: impl Future<Output = T>,
    is_page: bool,
    page: &impl Fn() -> String,
    screen: &mut Screen,
) -> T {
    tokio::pin!(waiting);
    loop {
        tokio::select! {
            done = &mut waiting => return done,
            () = sleep(AGES_EVERY), if is_page => screen.redraw(&page()),
        }
    }
}

/// Waits until there is something new to show; what changes together is seen together.
async fn until_changed(changes: &mut Changes, is_stale: bool, session: &Session) -> Result<Seen, Failure> {
    let failed = |error| session.failure(&error);
    let first = if is_stale {
        // Whoever could not be asked yet is asked when it is time again, change or none.
        tokio::select! {
            change = changes.next() => change.map_err(failed)?,
            () = sleep(ASK_EVERY) => return Ok(Seen::Replica),
        }
    } else {
        changes.next().await.map_err(failed)?
    };
    let mut seen = Seen::from(first);
    let settled = Instant::now() + SETTLE;
    while let Ok(change) = timeout(settled.saturating_duration_since(Instant::now()), changes.next()).await {
        seen = seen.max(change.map_err(failed)?.into());
    }
    Ok(seen)
}
