//! `create`: checks what can be checked from here, orders a backup, follows it.

use std::io::BufRead;

use k8s_openapi::api::batch::v1::Job;
use serde_json::Value;

use super::ask::confirm;
use super::cli::{CreateFlags, DryRun, ObjectForm, RunForm};
use super::connect::Session;
use super::follow::{FollowWishes, Followed, Reports, follow_new};
use super::job::{self, job, name, shown};
use super::order::{order, place};
use super::report::Wish;
use super::{CommandResult, find, overrides, preflight, replicas, report, schedule};
use crate::adapters::system_clock::SystemClock;
use crate::exit_code::ExitCode;
use crate::model::order::{BackupRequest, Order, Task};
use crate::model::outcome::Failure;
use crate::model::settings::Settings;
use crate::ports::Clock;
use crate::render::document::{Form, document};
use crate::render::screen::Screen;

/// A run that is about to be ordered.
struct Planned {
    order: Order,
    settings: Settings,
    manifest: Job,
}

pub(crate) async fn run(
    flags: &CreateFlags,
    session: &Session,
    screen: &mut Screen,
    asking: Option<Box<dyn BufRead + Send>>,
) -> CommandResult {
    // A manifest is for `kubectl apply -f`: whoever asks for one orders nothing here.
    let printed_only = flags.output == Some(ObjectForm::Yaml) && flags.dry_run.is_none();
    let planned = match &flags.from_schedule {
        Some(name) => of_schedule(name, flags, session, screen).await?,
        None => of_flags(flags, session, screen).await?,
    };
    if flags.allow_unsafe_backup && !flags.yes && flags.dry_run.is_none() && !printed_only {
        let cluster = &planned.order.statefulset;
        let question = format!("Back up {cluster} although it may not be healthy? The backup may be useless. (y/N)");
        confirm(&question, "--allow-unsafe-backup", screen, asking).await?;
    }
    let manifest = &planned.manifest;
    if printed_only || flags.dry_run == Some(DryRun::Client) {
        let named = job::named(manifest, SystemClock.now());
        show_job((&name(manifest), &shown(&named)), flags.output, " created (dry run)", screen);
        return Ok(ExitCode::Done);
    }
    preflight::check(session, &planned.order, &planned.settings).await?;
    let created = place(session, manifest, flags.dry_run.is_some()).await?;
    session.show_warnings(screen);
    let job = name(&created);
    let placed = (job.as_str(), &shown(&created));
    if flags.dry_run.is_some() {
        show_job(placed, flags.output, " created (server dry run)", screen);
        return Ok(ExitCode::Done);
    }
    if flags.wait.no_wait {
        show_job(placed, flags.output, " created", screen);
        screen.note(&format!("To follow it:\n  {}", session.logs_of(&job)));
        return Ok(ExitCode::Done);
    }
    followed(&job, flags, &planned.settings, session, screen).await
}

async fn followed(
    job: &str,
    flags: &CreateFlags,
    settings: &Settings,
    session: &Session,
    screen: &mut Screen,
) -> CommandResult {
    let form = Some(RunForm::Json).filter(|_| flags.output == Some(ObjectForm::Json));
    let reports = if form.is_some() { Reports::Json } else { Reports::Aside };
    let wishes = FollowWishes::of(&flags.wait, settings.start_timeout, reports);
    match follow_new(job, &wishes, session, screen).await? {
        Followed::GoesOn(code) => Ok(code),
        Followed::Ended(ended) if flags.output == Some(ObjectForm::Name) => {
            Ok(report::name_only(&ended.outcome, screen))
        }
        Followed::Ended(ended) => Ok(report::run(job, &ended.outcome, Wish { form, ..Wish::default() }, screen)),
    }
}

async fn of_flags(flags: &CreateFlags, session: &Session, screen: &mut Screen) -> Result<Planned, Failure> {
    let overrides = overrides::of_flags(&flags.settings)?;
    let statefulset = find::cluster(session, flags.cluster.wanted()).await?;
    let again = session.command(&format!("create {statefulset}"));
    let replica = match &flags.replica {
        Some(wanted) => Some(replicas::to_copy(wanted, &statefulset, &again, session).await?),
        None => None,
    };
    let request = BackupRequest { replica, allow_unsafe: flags.allow_unsafe_backup, kind: flags.backup_type.into() };
    let order = order(&statefulset, Task::Backup(request), overrides);
    let settings = overrides::settings(session, screen, &statefulset, &order.settings).await?;
    let manifest = job(&order, &session.connection()?.target.namespace, &settings);
    Ok(Planned { order, settings, manifest })
}

/// The run that a schedule would order now.
async fn of_schedule(
    name: &str,
    flags: &CreateFlags,
    session: &Session,
    screen: &mut Screen,
) -> Result<Planned, Failure> {
    let usage = |what: String| Failure::new(ExitCode::Usage, what);
    if !overrides::of_flags(&flags.settings)?.is_empty() {
        return Err(usage(
            "--from-schedule takes the schedule's own settings, so none can be given with it".to_owned(),
        ));
    }
    let there = schedule::ours(name, session).await?;
    let Some(order) = there.order else {
        let what = format!("the order in schedule {} is not understood by this version", there.name);
        let by_hand = format!("kubectl create job --from=cronjob/{} NAME -n {}", there.name, session.namespace()?);
        return Err(Failure::new(ExitCode::Error, what).with_hint(session.reached(&by_hand)));
    };
    if let Some(other) = flags.cluster.wanted().filter(|wanted| *wanted != order.statefulset) {
        return Err(usage(format!("schedule {} takes backups of {}, not of {other}", there.name, order.statefulset)));
    }
    let settings = overrides::settings(session, screen, &order.statefulset, &order.settings).await?;
    let manifest = job::of_schedule(&there.object, &session.connection()?.target.namespace);
    Ok(Planned { order, settings, manifest })
}

fn show_job((name, object): (&str, &Value), form: Option<ObjectForm>, what_happened: &str, screen: &mut Screen) {
    match form {
        None => screen.line(&format!("job.batch/{name}{what_happened}")),
        Some(ObjectForm::Name) => screen.line(&format!("job.batch/{name}")),
        Some(ObjectForm::Json) => screen.data(&document(object, Form::Json)),
        Some(ObjectForm::Yaml) => screen.data(&document(object, Form::Yaml)),
    }
}
