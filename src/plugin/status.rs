//! `status`: how a cluster and its backups are, on one page; of several clusters, a line each.
//!
//! What the replicas say is asked for by a run, as only the cluster's own network reaches them. What
//! cannot be had is said and left out: the rest is still worth knowing, on a bad day more than ever.

mod facts;
mod failed;
mod judged;
mod overview;
mod page;
mod shape;
mod watch;

use std::collections::BTreeMap;

use super::cli::StatusFlags;
use super::connect::Session;
use super::follow::Followed;
use super::order::{another_answer, ask, order};
use super::{CommandResult, find};
use crate::adapters::kubernetes::finder::Place;
use crate::adapters::system_clock::SystemClock;
use crate::exit_code::ExitCode;
use crate::model::order::{StatusRequest, Task};
use crate::model::outcome::{End, Failure};
use crate::model::report::{RunReport, StatusReport};
use crate::ports::Clock;
use crate::render::age;
use crate::render::output::{ListOutput, Machine};
use crate::render::screen::Screen;
pub(crate) use page::drill_text;
pub(crate) use shape::Status;

pub(crate) async fn run(flags: &StatusFlags, session: &Session, screen: &mut Screen) -> CommandResult {
    if flags.scope.is_given() {
        return overview::run(flags, session, screen).await;
    }
    let form = form(flags)?;
    let statefulset = find::cluster(session, flags.cluster.wanted()).await?;
    let place = Place::new(&session.connection()?.target.namespace, statefulset);
    if flags.watch {
        return watch::run(&place, form, flags, session, screen).await;
    }
    let answer = match replicas(flags, &place.statefulset, session, screen).await {
        Ok(Answer::Interrupted) => return Ok(ExitCode::Interrupted),
        Ok(Answer::Told(report)) => Ok(report),
        Err(failure) if failure.code == ExitCode::Interrupted => return Err(failure),
        Err(failure) => Err(failure),
    };
    let status = gathered(&place, answer.as_ref().ok().cloned(), session, screen).await?;
    session.show_warnings(screen);
    let text = written(&status, form, !flags.no_headers);
    if form.is_none() {
        screen.page(&text);
        if status.lacks_backup() {
            let command = |words: &str| session.command_in(&place.namespace, &format!("{words} {}", place.statefulset));
            screen.note(&format!(
                "the catalogue has no backup that a restore could use; to take one:\n  {}\nto look into the stores themselves:\n  {}",
                command("create"),
                command("list --live")
            ));
        }
    } else {
        screen.data(&text);
    }
    if let Err(failure) = &answer {
        screen.warn("the replicas could not be asked; what is shown of them is what Kubernetes knows");
        screen.fail(failure);
    }
    Ok(status.code())
}

/// The form that was asked for, which is one for a single cluster; none is the page.
fn form(flags: &StatusFlags) -> Result<Option<&Machine>, Failure> {
    match &flags.output {
        None => Ok(None),
        Some(ListOutput::Machine(machine)) => Ok(Some(machine)),
        Some(ListOutput::Wide | ListOutput::Name) => {
            let what = "-o wide and -o name are forms of the table of several clusters, and this is the page of one";
            let hint = "add -A or -l LABELS, or choose json, yaml, jsonpath= or custom-columns=";
            Err(Failure::new(ExitCode::Usage, what).with_hint(hint))
        }
    }
}

/// The status in that form.
fn written(status: &Status, form: Option<&Machine>, with_headers: bool) -> String {
    match form {
        Some(machine) => machine.write(status, with_headers),
        None => page::text(status, SystemClock.now(), with_headers),
    }
}

/// What Kubernetes alone knows, with a sentence about each part that could not be had.
pub(crate) async fn seen(place: &Place, session: &Session) -> Result<(Status, Vec<String>), Failure> {
    let (facts, gaps) = facts::gather(place, session).await?;
    Ok((Status::of(facts, None), gaps))
}

/// Puts together what Kubernetes knows, and what the replicas have told.
async fn gathered(
    place: &Place,
    told: Option<StatusReport>,
    session: &Session,
    screen: &mut Screen,
) -> Result<Status, Failure> {
    let (facts, gaps) = facts::gather(place, session).await?;
    for gap in gaps {
        screen.warn(&gap);
    }
    Ok(Status::of(facts, told))
}

/// What came of asking the replicas.
enum Answer {
    Told(StatusReport),
    Interrupted,
}

async fn replicas(
    flags: &StatusFlags,
    statefulset: &str,
    session: &Session,
    screen: &mut Screen,
) -> Result<Answer, Failure> {
    let order = order(statefulset, Task::Status(StatusRequest {}), BTreeMap::new());
    let (job, followed) = ask(&order, flags.timeout, session, screen).await?;
    match followed {
        Followed::GoesOn(ExitCode::Interrupted) => Ok(Answer::Interrupted),
        Followed::GoesOn(code) => {
            let what = format!("the replicas did not answer within {} (--timeout)", age::human(flags.timeout));
            Err(Failure::new(code, what).with_hint(session.logs_of(&job)))
        }
        Followed::Ended(ended) => match ended.outcome.end {
            End::Done(RunReport::Status(report)) => Ok(Answer::Told(report)),
            End::Done(_) => Err(another_answer(&job, session)),
            End::Failed(failure) => Err(failure),
        },
    }
}
