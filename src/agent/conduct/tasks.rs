//! Which workflow does which task, and what each is given.

use super::Context;
use crate::backup::{self, BackupError};
use crate::exit_code::ExitCode;
use crate::model::order::{BackupRequest, Task, VerifyRequest};
use crate::model::outcome::Failure;
use crate::model::report::RunReport;
use crate::verify::{self, VerifyError};

/// Whether a task changes nothing, so that it needs no Lease and may be done beside another run.
pub(super) fn only_looks(task: &Task) -> bool {
    matches!(task, Task::Status(_) | Task::Inventory(_))
}

/// Does a task under the cluster's Lease, once nothing is owed any more.
pub(super) async fn carry_out(task: &Task, context: &Context<'_>) -> Result<RunReport, Failure> {
    super::owed::settle(context).await?;
    super::owed::remove_orphans(context).await;
    perform(task, context).await
}

/// Does a task.
pub(super) async fn perform(task: &Task, context: &Context<'_>) -> Result<RunReport, Failure> {
    match task {
        Task::Backup(request) => back_up(request, context).await,
        Task::Verify(request) => verify_stores(request, context).await,
        other => Err(not_yet(other)),
    }
}

fn not_yet(task: &Task) -> Failure {
    Failure::new(ExitCode::Usage, format!("this agent does not do {} yet", task.word()))
}

async fn back_up(request: &BackupRequest, context: &Context<'_>) -> Result<RunReport, Failure> {
    let Context { job, settings, ports, .. } = *context;
    backup::take(request, settings, job, ports).await.map(RunReport::Backup).map_err(BackupError::into_failure)
}

async fn verify_stores(request: &VerifyRequest, context: &Context<'_>) -> Result<RunReport, Failure> {
    let Context { job, settings, cluster, ports } = *context;
    let (catalogue, _) = ports.catalogue.read().await.map_err(|error| Failure::of(&error))?;
    let inputs = verify::Inputs { catalogue: &catalogue, settings, cluster, job };
    let plan = verify::plan(&inputs, request).map_err(VerifyError::into_failure)?;
    verify::run(&plan, ports).await.map(RunReport::Verify).map_err(VerifyError::into_failure)
}
