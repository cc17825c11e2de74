//! `schedule`: each a `CronJob` whose Jobs are the very ones that `create` orders.

mod list;
mod manifest;
mod shape;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::cli::{DryRun, NamedSchedule, ScheduleCommand, ScheduleCreateFlags, ScheduleFlags};
use super::connect::Session;
use super::order::order;
use super::{CommandResult, backups, find, overrides, preflight};
use crate::adapters::kubernetes::apply::{Applied, Applier};
use crate::adapters::kubernetes::finder::Place;
use crate::adapters::kubernetes::schedules::{self, Scheduled, Schedules};
use crate::adapters::system_clock::SystemClock;
use crate::exit_code::ExitCode;
use crate::model::cron::Cron;
use crate::model::order::{BackupRequest, Task};
use crate::model::outcome::Failure;
use crate::ports::Clock;
use crate::render::age;
use crate::render::document::document;
use crate::render::screen::Screen;
use manifest::{CronWish, check_name, cron_job};
pub(crate) use shape::{Schedule, brief};

/// What is said beside a manifest that was printed: somebody may have thought it was applied, too.
pub(super) const PRINTED_ONLY: &str = "nothing was made; leave out -o to make it";

pub(crate) async fn run(flags: &ScheduleFlags, session: &Session, screen: &mut Screen) -> CommandResult {
    match &flags.command {
        ScheduleCommand::Create(flags) => create(flags, session, screen).await,
        ScheduleCommand::List(flags) => list::run(flags, session, screen).await,
        ScheduleCommand::Suspend(named) => set_suspended(named, Switch::Suspended, session, screen).await,
        ScheduleCommand::Resume(named) => set_suspended(named, Switch::Resumed, session, screen).await,
        ScheduleCommand::Delete(named) => delete(named, session, screen).await,
    }
}

async fn create(flags: &ScheduleCreateFlags, session: &Session, screen: &mut Screen) -> CommandResult {
    let usage = |message: String| Failure::new(ExitCode::Usage, message);
    check_name(&flags.name).map_err(|bad| {
        let example = session.command("schedule create nightly --schedule \"30 2 * * *\"");
        usage(bad).with_hint(format!("an example: {example}"))
    })?;
    let cron = cron(&flags.schedule)?;
    check_zone(&flags.time_zone)?;
    let settings = overrides::of_flags(&flags.settings)?;
    let statefulset = find::cluster(session, flags.statefulset.as_deref()).await?;
    let request = BackupRequest { replica: flags.replica.clone(), allow_unsafe: false, kind: flags.backup_type.into() };
    let order = order(&statefulset, Task::Backup(request), settings);
    let settings = overrides::settings(session, screen, &statefulset, &order.settings).await?;
    let namespace = session.namespace()?;
    let wish = CronWish {
        name: &flags.name,
        schedule: &flags.schedule,
        time_zone: &flags.time_zone,
        is_suspended: flags.suspend,
    };
    let manifest = cron_job(&wish, &order, &namespace, &settings);
    let title = format!("cronjob.batch/{}", flags.name);
    let printed_only = flags.output.is_some() && flags.dry_run.is_none();
    if printed_only || flags.dry_run == Some(DryRun::Client) {
        match flags.output {
            None => screen.line(&format!("{title} created (dry run)")),
            Some(form) => screen.data(&document(&manifest, form.into())),
        }
        if printed_only {
            not_another_s(&flags.name, &statefulset, session).await?;
            screen.note(PRINTED_ONLY);
        }
        return Ok(ExitCode::Done);
    }
    not_another_s(&flags.name, &statefulset, session).await?;
    preflight::check(session, &order, &settings).await?;
    let is_dry = flags.dry_run.is_some();
    let server = Applier::new(session.connection()?.client.clone(), is_dry);
    let applied = server.apply(&manifest).await.map_err(|error| session.failure(&error))?;
    session.show_warnings(screen);
    match flags.output {
        None => screen.line(&format!("{title} {}{}", word(applied), if is_dry { " (server dry run)" } else { "" })),
        Some(form) => screen.data(&document(&manifest, form.into())),
    }
    if !flags.suspend {
        say_when(&cron, &flags.time_zone, screen);
    }
    Ok(ExitCode::Done)
}

/// Reads when a schedule shall order backups, and refuses one that never would.
fn cron(text: &str) -> Result<Cron, Failure> {
    let usage = |message: String| {
        Failure::new(ExitCode::Usage, message)
            .with_hint("an example: --schedule \"30 2 * * *\" is every night at half past two")
    };
    let cron = Cron::parse(text).map_err(|bad| usage(bad.to_string()))?;
    if cron.never_comes() {
        return Err(usage(format!("schedule \"{text}\" never comes: none of its months has such a day")));
    }
    Ok(cron)
}

/// Refuses a time zone that Kubernetes would refuse, as far as this machine knows the zones.
fn check_zone(zone: &str) -> Result<(), Failure> {
    let known: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
    if known.is_empty() || TimeZone::get(zone).is_ok() {
        return Ok(());
    }
    let names: Vec<&str> = known.iter().map(String::as_str).collect();
    let failure = Failure::new(ExitCode::Usage, format!("there is no time zone {zone}"));
    Err(match backups::nearest(zone, &names) {
        Some(near) => failure.with_hint(format!("did you mean {near}?")),
        None => failure.with_hint("an example: --time-zone Europe/Berlin"),
    })
}

fn word(applied: Applied) -> &'static str {
    match applied {
        Applied::Created => "created",
        Applied::Configured => "configured",
        Applied::Unchanged => "unchanged",
    }
}

fn say_when(cron: &Cron, time_zone: &str, screen: &mut Screen) {
    let now = SystemClock.now();
    if let Some(next) = next(cron, time_zone, now) {
        screen.note(&format!("The next backup begins at {next}, in {}.", age::since(now, next)));
    }
}

/// When a schedule orders something next; `None` where its time zone is not known here.
fn next(cron: &Cron, time_zone: &str, now: Timestamp) -> Option<Timestamp> {
    cron.next(now, &TimeZone::get(time_zone).ok()?)
}

/// Refuses a name under which somebody else's CronJob, or another cluster's schedule, would be changed.
async fn not_another_s(name: &str, statefulset: &str, session: &Session) -> Result<(), Failure> {
    let refused = |what: String| Err(Failure::new(ExitCode::Refused, what).with_hint("choose another name"));
    let place = format!("{}/{name}", session.namespace()?);
    match schedules(session)?.find(name).await.map_err(|error| session.failure(&error))? {
        Some(there) if !there.is_ours => {
            refused(format!("there is a CronJob {place} already, and this command did not make it"))
        }
        Some(Scheduled { statefulset: Some(other), .. }) if other != statefulset => {
            refused(format!("schedule {place} takes backups of {other}, not of {statefulset}"))
        }
        Some(_) | None => Ok(()),
    }
}

fn schedules(session: &Session) -> Result<Schedules, Failure> {
    let connection = session.connection()?;
    Ok(Schedules::new(connection.client.clone(), &connection.target.namespace))
}

/// The schedules of a cluster.
pub(crate) async fn of_cluster(session: &Session, place: &Place) -> Result<Vec<Schedule>, Failure> {
    found(session, Some(&place.namespace), Some(&place.statefulset)).await
}

/// Lists the schedules of one namespace or of all, of one cluster or of every one.
async fn found(
    session: &Session,
    namespace: Option<&str>,
    statefulset: Option<&str>,
) -> Result<Vec<Schedule>, Failure> {
    let client = session.connection()?.client.clone();
    let found = schedules::schedules(client, namespace, statefulset).await.map_err(|error| session.failure(&error))?;
    let now = SystemClock.now();
    let view = |scheduled: Scheduled| {
        let zone = scheduled.time_zone.clone().unwrap_or_else(|| manifest::USUAL_ZONE.to_owned());
        let next = Cron::parse(&scheduled.schedule).ok().and_then(|cron| next(&cron, &zone, now));
        Schedule::of(scheduled, next)
    };
    Ok(found.into_iter().map(view).collect())
}

/// A schedule's two states.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Switch {
    Suspended,
    Resumed,
}

async fn set_suspended(named: &NamedSchedule, to: Switch, session: &Session, screen: &mut Screen) -> CommandResult {
    let there = ours(&named.name, session).await?;
    let word = if to == Switch::Suspended { "suspended" } else { "resumed" };
    if there.is_suspended == (to == Switch::Suspended) {
        screen.line(&format!("cronjob.batch/{} {word} (no change)", there.name));
        return Ok(ExitCode::Done);
    }
    let changed = schedules(session)?.set_suspended(&there.name, to == Switch::Suspended).await;
    changed.map_err(|error| session.failure(&error))?;
    session.show_warnings(screen);
    screen.line(&format!("cronjob.batch/{} {word}", there.name));
    if let (Switch::Resumed, Ok(cron), Some(zone)) = (to, Cron::parse(&there.schedule), &there.time_zone) {
        say_when(&cron, zone, screen);
    }
    Ok(ExitCode::Done)
}

async fn delete(named: &NamedSchedule, session: &Session, screen: &mut Screen) -> CommandResult {
    let there = ours(&named.name, session).await?;
    schedules(session)?.remove(&there.name).await.map_err(|error| session.failure(&error))?;
    session.show_warnings(screen);
    screen.line(&format!("cronjob.batch \"{}\" deleted", there.name));
    Ok(ExitCode::Done)
}

/// Finds a schedule that this product made.
pub(crate) async fn ours(name: &str, session: &Session) -> Result<Scheduled, Failure> {
    let name = name.trim_start_matches("cronjob.batch/").trim_start_matches("cronjob/");
    let place = format!("{}/{name}", session.namespace()?);
    let failed = |error| session.failure(&error);
    match schedules(session)?.find(name).await.map_err(failed)? {
        Some(there) if there.is_ours => Ok(there),
        Some(_) => {
            let what = format!("CronJob {place} is no schedule of this product");
            Err(Failure::new(ExitCode::Refused, what).with_hint(session.command("schedule list")))
        }
        None => {
            let all = schedules(session)?.all(None).await.map_err(failed)?;
            if all.is_empty()
                && let Some(failure) = find::named_in_vain(session, None).await
            {
                return Err(failure);
            }
            let names: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
            let failure = Failure::new(ExitCode::NotFound, format!("there is no schedule {place}"));
            Err(match backups::nearest(name, &names) {
                Some(near) => failure.with_hint(format!("did you mean {near}?")),
                None => failure.with_hint(session.command("schedule list")),
            })
        }
    }
}
