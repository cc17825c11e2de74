//! `create`: checks what can be checked from here, orders a backup, follows it.

use std::io::BufRead;

use serde_json::Value;

use super::ask::confirm;
use super::cli::{CreateFlags, DryRun, ObjectForm};
use super::connect::Session;
use super::follow::{Followed, follow_new};
use super::job::{job, name, shown};
use super::order::{order, place};
use super::{CommandResult, find, overrides, preflight, report};
use crate::exit_code::ExitCode;
use crate::model::order::{BackupRequest, Task};
use crate::render::document::{Form, document};
use crate::render::screen::Screen;

pub(crate) async fn run(
    flags: &CreateFlags,
    session: &Session,
    screen: &mut Screen,
    asking: Option<Box<dyn BufRead + Send>>,
) -> CommandResult {
    let overrides = overrides::of_flags(&flags.settings)?;
    let statefulset = find::cluster(session, flags.cluster.wanted()).await?;
    // A document is for `kubectl create -f`: whoever asks for one orders nothing here.
    let printed_only = matches!(flags.output, Some(ObjectForm::Json | ObjectForm::Yaml)) && flags.dry_run.is_none();
    if flags.allow_unsafe_backup && !flags.yes && flags.dry_run.is_none() && !printed_only {
        let question =
            format!("Back up {statefulset} although it may not be healthy? The backup may be useless. (y/N)");
        let unasked = "--allow-unsafe-backup has to be confirmed, and there is no terminal to ask on";
        confirm(&question, unasked, screen, asking)?;
    }
    let request = BackupRequest {
        replica: flags.replica.clone(),
        allow_unsafe: flags.allow_unsafe_backup,
        kind: flags.backup_type.into(),
    };
    let order = order(&statefulset, Task::Backup(request), overrides);
    let settings = overrides::settings(session, screen, &order.statefulset, &order.settings).await?;
    let namespace = &session.connection()?.target.namespace;
    let manifest = job(&order, namespace, &settings);
    if printed_only || flags.dry_run == Some(DryRun::Client) {
        show_job((&name(&manifest), &shown(&manifest)), flags.output, " created (dry run)", screen);
        return Ok(ExitCode::Done);
    }
    preflight::check(session, &order, &settings).await?;
    let created = place(session, &manifest, flags.dry_run.is_some()).await?;
    session.show_warnings(screen);
    let job = name(&created);
    let placed = (job.as_str(), &shown(&created));
    if flags.dry_run.is_some() {
        show_job(placed, flags.output, " created (server dry run)", screen);
        return Ok(ExitCode::Done);
    }
    if flags.wait.no_wait {
        show_job(placed, flags.output, " created", screen);
        screen.note(&format!("To follow it:\n  {}", session.command(&format!("logs {job}"))));
        return Ok(ExitCode::Done);
    }
    match follow_new(&job, &flags.wait, settings.start_timeout, session, screen).await? {
        Followed::GoesOn(code) => Ok(code),
        Followed::Ended(ended) if flags.output.is_some() => Ok(report::name_only(&ended.outcome, screen)),
        Followed::Ended(ended) => Ok(report::run(&job, &ended.outcome, None, screen)),
    }
}

fn show_job((name, object): (&str, &Value), form: Option<ObjectForm>, what_happened: &str, screen: &mut Screen) {
    match form {
        None => screen.line(&format!("job.batch/{name}{what_happened}")),
        Some(ObjectForm::Name) => screen.line(&format!("job.batch/{name}")),
        Some(ObjectForm::Json) => screen.data(&document(object, Form::Json)),
        Some(ObjectForm::Yaml) => screen.data(&document(object, Form::Yaml)),
    }
}
