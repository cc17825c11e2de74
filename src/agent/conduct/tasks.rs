//! Which workflow does which task, and what each is given.

use super::{Context, keeping, owed, restoring, status};
use crate::backup;
use crate::catalogue;
use crate::drill;
use crate::keep::Wish;
use crate::model::event::{EventKind, Phase};
use crate::model::order::{BackupRequest, DeleteRequest, DrillRequest, SyncRequest, Task, VerifyRequest};
use crate::model::outcome::{Explain, Failure};
use crate::model::report::RunReport;
use crate::verify;

/// Does a task under the cluster's Lease, once nothing is owed any more.
pub(super) async fn carry_out(task: &Task, context: &Context<'_>) -> Result<RunReport, Failure> {
    if let Some(resumed) = restoring::resume(task, context).await? {
        return Ok(resumed);
    }
    let owed = owed::settle(context).await?;
    owed::remove_orphans(context).await;
    match task {
        Task::Recover(_) => Ok(RunReport::Recover(owed::report(owed))),
        _ => perform(task, context).await,
    }
}

/// Does a task.
pub(super) async fn perform(task: &Task, context: &Context<'_>) -> Result<RunReport, Failure> {
    match task {
        Task::Backup(request) => back_up(request, context).await,
        Task::Verify(request) => verify_stores(request, context).await,
        Task::Drill(request) => drill(request, context).await,
        Task::Restore(request) => restoring::restore(request, context).await,
        Task::Sync(SyncRequest { backups, to, .. }) => {
            keep(Wish::Sync { backups: backups.clone(), to: *to }, task, context).await
        }
        Task::Delete(DeleteRequest { backups, .. }) => keep(Wish::Delete(backups.clone()), task, context).await,
        Task::Prune(_) => keep(Wish::Prune, task, context).await,
        // Whatever was owed is settled by now.
        Task::Recover(_) => Ok(RunReport::Recover(owed::report(None))),
        Task::Status(_) => status::ask(context).await,
        Task::Inventory(request) => keeping::take_stock(request, context).await,
    }
}

async fn keep(wish: Wish, task: &Task, context: &Context<'_>) -> Result<RunReport, Failure> {
    if task.only_asks() {
        return keeping::tell(&wish, context).await;
    }
    own(context).await?;
    keeping::run(&wish, context).await
}

/// Makes sure, before anything may be written to S3, that it is known whose place it is written to.
async fn own(context: &Context<'_>) -> Result<(), Failure> {
    if !context.settings.stores.s3() {
        return Ok(());
    }
    catalogue::own(context.ports, &context.cluster.uid).await.map_err(Explain::into_failure)
}

async fn back_up(request: &BackupRequest, context: &Context<'_>) -> Result<RunReport, Failure> {
    let Context { job, settings, ports, .. } = *context;
    own(context).await?;
    backup::take(request, settings, job, ports).await.map(RunReport::Backup).map_err(Explain::into_failure)
}

async fn drill(request: &DrillRequest, context: &Context<'_>) -> Result<RunReport, Failure> {
    let Context { job, settings, cluster, ports, .. } = *context;
    let (catalogue, _) = ports.catalogue.read().await.map_err(Explain::into_failure)?;
    let inputs = drill::Inputs { catalogue: &catalogue, settings, cluster, job };
    let plan = drill::plan(&inputs, request).map_err(Explain::into_failure)?;
    let report = drill::run(&plan, ports).await.map_err(Explain::into_failure)?;
    // A backup that boots is of little use where no restore could be begun: better known now than on the day.
    let workload = context.workload.look(None).await.ok();
    if let Some(why) = workload.and_then(|of| of.flavour.unknown_start(settings.bootstrap.is_some())) {
        let message = format!("a restore of it would be refused now: {why}");
        ports.events.send(Phase::Prove, EventKind::Warned { message });
    }
    Ok(RunReport::Drill(Box::new(report)))
}

async fn verify_stores(request: &VerifyRequest, context: &Context<'_>) -> Result<RunReport, Failure> {
    let Context { job, settings, cluster, ports, .. } = *context;
    if request.rebuild_catalogue {
        keeping::rebuild(context).await?;
    }
    let (catalogue, _) = ports.catalogue.read().await.map_err(Explain::into_failure)?;
    let inputs = verify::Inputs { catalogue: &catalogue, settings, cluster, job };
    let plan = verify::plan(&inputs, request).map_err(Explain::into_failure)?;
    verify::run(&plan, ports).await.map(RunReport::Verify).map_err(Explain::into_failure)
}
