//! Restores: what one would do, doing it, and going on with one whose run died.

use std::collections::BTreeMap;

use super::Context;
use crate::backup;
use crate::exit_code::ExitCode;
use crate::model::catalogue::Catalogue;
use crate::model::cluster::ClaimView;
use crate::model::event::Phase;
use crate::model::order::{RestoreRequest, Task};
use crate::model::outcome::{Explain, Failure, in_full};
use crate::model::report::{RecoverReport, RunReport};
use crate::ports::Reason;
use crate::ports::restore::RestorePorts;
use crate::restore::{self, Observed, Resumed};

/// Restores a backup, or says what that would do.
pub(super) async fn restore(request: &RestoreRequest, context: &Context<'_>) -> Result<RunReport, Failure> {
    let ports = ports(context);
    let mut observed = observe(request, context).await?;
    let plan = restore::settle(&mut observed, request, &ports).await.map_err(Explain::into_failure)?;
    if request.dry_run {
        return Ok(RunReport::Preview(Box::new(restore::preview(&plan, &observed))));
    }
    let report = restore::run(&plan, context.job, &ports).await.map_err(Explain::into_failure)?;
    Ok(RunReport::Restore(Box::new(report)))
}

fn ports<'a>(context: &Context<'a>) -> RestorePorts<'a> {
    RestorePorts { conductor: context.ports, workload: context.workload, go_aheads: context.go_aheads }
}

async fn observe<'a>(request: &RestoreRequest, context: &Context<'a>) -> Result<Observed<'a>, Failure> {
    let Context { job, settings, cluster, ports, workload, .. } = *context;
    let catalogue = match &request.of_another {
        Some(foreign) => {
            let (files, entries) = (foreign.files.clone(), foreign.entries.clone());
            Catalogue { files, entries, ..Catalogue::default() }
        }
        None => ports.catalogue.read().await.map_err(Explain::into_failure)?.0,
    };
    let store = store(request, context).await?;
    Ok(Observed {
        cluster,
        settings,
        catalogue,
        workload: workload.look(request.replicas).await.map_err(Explain::into_failure)?,
        // Of a cluster that is to be restored nobody expects that it answers.
        members: backup::observe::ask_all(cluster, ports.galera).await.unwrap_or_else(|error| {
            let why = in_full(&error);
            cluster.pods.iter().map(|pod| (pod.name.clone(), Err(why.clone()))).collect()
        }),
        store,
        looks: BTreeMap::new(),
        job,
        now: ports.clock.now(),
    })
}

/// The claim of a volume to unpack on: the one that was named, or that of backups.
async fn store(request: &RestoreRequest, context: &Context<'_>) -> Result<Option<ClaimView>, Failure> {
    let Context { settings, ports, workload, .. } = *context;
    if let Some(named) = &request.scratch_claim {
        let claim = ports.cluster.settled_claim(named).await.map_err(|error| {
            let hint = "name one that is there; to see which are: kubectl get persistentvolumeclaims";
            let code = if error.reason == Reason::Missing { ExitCode::NotFound } else { error.code() };
            Failure { code, hint: Some(hint.to_owned()), ..Failure::of(&error) }
        })?;
        let users = workload.users(std::slice::from_ref(named), None).await.map_err(Explain::into_failure)?;
        if let Some(user) = users.first() {
            let what = format!("claim {named} is not free to unpack on: {} has it", user.by);
            return Err(Failure::new(ExitCode::Refused, what));
        }
        return Ok(Some(claim));
    }
    if !settings.stores.local() {
        return Ok(None);
    }
    match ports.cluster.settled_claim(&settings.store_claim).await {
        Ok(claim) => Ok(Some(claim)),
        // On the day the volume of backups is lost, there is S3.
        Err(error) if error.reason == Reason::Missing => Ok(None),
        Err(error) => Err(error.into_failure()),
    }
}

/// Goes on with a restore whose run died, for those tasks that may: it is finished, or the old cluster is
/// brought back. `None` when there is none, or when it was given up before it touched anything, which any
/// task may do.
pub(super) async fn resume(task: &Task, context: &Context<'_>) -> Result<Option<RunReport>, Failure> {
    let view = context.ports.cluster.view().await.map_err(Explain::into_failure)?;
    let Some((owed, debt)) = view.obligation.as_ref().and_then(|owed| Some((owed, owed.debt.restore()?))) else {
        return chosen(task).map_or(Ok(None), |ordinal| Err(nothing_to_lead(ordinal)));
    };
    let is_for_it = match task {
        Task::Recover(_) => true,
        // Whoever wants another backup must know first what became of the one that is under way.
        Task::Restore(request) => request.backup == debt.backup && debt.chosen.is_none(),
        _ => false,
    };
    if !is_for_it && debt.has_left_proving() {
        return Ok(None);
    }
    let words = debt.stage.words();
    let message = format!("run {} did not bring the restore of {} to its end; it was {words}", owed.run, debt.backup);
    context.ports.events.step(Phase::Start, message);
    let Context { settings, job, .. } = *context;
    let choice = match chosen(task) {
        Some(ordinal) => {
            let choice = restore::check_choice(ordinal, owed, debt, settings, job, &ports(context)).await;
            Some(choice.map_err(Explain::into_failure)?)
        }
        None => None,
    };
    remove_runners(context).await?;
    let recovered = |what: String| RunReport::Recover(RecoverReport { run: Some(owed.run.clone()), what: Some(what) });
    if let Some(replica) = choice {
        let started = restore::resume_from(&replica, owed, debt, settings, job, &ports(context)).await;
        return started.map(|report| Some(RunReport::Restore(Box::new(report)))).map_err(Explain::into_failure);
    }
    let resumed = restore::resume(owed, debt, context.settings, context.job, &ports(context)).await;
    match resumed.map_err(Explain::into_failure)? {
        Resumed::Done(report) => Ok(Some(RunReport::Restore(report))),
        Resumed::GivenUp if matches!(task, Task::Recover(_)) => {
            let what = format!("the restore of {} had not touched the cluster yet, and was given up", debt.backup);
            Ok(Some(recovered(what)))
        }
        Resumed::GivenUp => Ok(None),
    }
}

/// The replica that a person has chosen to start the cluster.
fn chosen(task: &Task) -> Option<i32> {
    if let Task::Recover(request) = task { request.leader } else { None }
}

fn nothing_to_lead(ordinal: i32) -> Failure {
    let what =
        format!("no restore is owed to the cluster, so ordinal {ordinal} has nothing to lead; nothing was changed");
    Failure::new(ExitCode::Refused, what).with_hint("to settle whatever else is owed: kubectl mariadb-backup recover")
}

/// Removes every runner there is: those of the dead run may still be writing, also where its conductor only
/// seems to live, on a node that nobody reaches.
async fn remove_runners(context: &Context<'_>) -> Result<(), Failure> {
    let runners = context.ports.runners;
    for runner in runners.all().await.map_err(Explain::into_failure)? {
        runners.remove(&runner).await.map_err(|error| {
            Failure::of(&error).with_cause("a runner of the dead run may still write to a volume of the cluster")
        })?;
    }
    Ok(())
}
