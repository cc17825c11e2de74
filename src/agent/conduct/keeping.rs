//! Prune, delete, sync and taking stock, and what each of them is given.

use super::Context;
use crate::inventory;
use crate::keep::{self, KeepPlan, Wish};
use crate::model::order::InventoryRequest;
use crate::model::outcome::{Explain, Failure};
use crate::model::report::RunReport;

/// Says what would be done. Changes nothing.
pub(super) async fn tell(wish: &Wish, context: &Context<'_>) -> Result<RunReport, Failure> {
    planned(wish, context).await.map(|plan| RunReport::Keep(plan.summary()))
}

/// Removes and copies.
pub(super) async fn run(wish: &Wish, context: &Context<'_>) -> Result<RunReport, Failure> {
    let plan = planned(wish, context).await?;
    keep::run(&plan, context.ports).await.map(RunReport::Keep).map_err(Explain::into_failure)
}

async fn planned(wish: &Wish, context: &Context<'_>) -> Result<KeepPlan, Failure> {
    let Context { job, settings, cluster, ports, .. } = *context;
    let (catalogue, _) = ports.catalogue.read().await.map_err(Explain::into_failure)?;
    keep::plan(&keep::Inputs { catalogue: &catalogue, settings, cluster, job }, wish).map_err(Explain::into_failure)
}

/// Looks into the stores and tells the backups in them that are asked for.
pub(super) async fn take_stock(request: &InventoryRequest, context: &Context<'_>) -> Result<RunReport, Failure> {
    let plan = inventory::plan(context.settings, context.cluster, context.job, request.only.clone());
    let stock = inventory::run(&plan, context.ports).await.map_err(Explain::into_failure)?;
    stock.tell(context.ports);
    Ok(RunReport::Inventory(stock.report))
}

/// Makes the catalogue again from what is in the stores.
pub(super) async fn rebuild(context: &Context<'_>) -> Result<(), Failure> {
    let plan = inventory::plan(context.settings, context.cluster, context.job, None);
    inventory::rebuild(&plan, context.ports).await.map_err(Explain::into_failure)
}
