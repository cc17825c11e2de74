//! What is owed to the cluster: by dead runs, and by this very one when it is stopped.

use super::Context;
use crate::model::event::{EventKind, Phase};
use crate::model::obligation::Obligation;
use crate::model::outcome::Failure;
use crate::obligations;

/// Settles what a dead run left, and returns it; `None` when nothing was owed.
pub(super) async fn settle(context: &Context<'_>) -> Result<Option<Obligation>, Failure> {
    let ports = context.ports;
    let view = ports.cluster.view().await.map_err(|error| Failure::of(&error))?;
    let Some(owed) = view.obligation else { return Ok(None) };
    let message = format!("run {} left an obligation at {}; settling it first", owed.run, owed.since);
    ports.events.step(Phase::Isolate, message);
    let settled = obligations::settle(&owed, context.settings.resync_timeout, ports).await;
    settled.map(|()| Some(owed)).map_err(|error| Failure::of(&error))
}

/// Settles what this very run owes when it was stopped in the middle; the pod's grace period is made for it.
///
/// A record left behind would end a desync that somebody else asks for later.
pub(super) async fn settle_own(context: &Context<'_>) {
    let ports = context.ports;
    let Ok(view) = ports.cluster.view().await else { return };
    let Some(owed) = view.obligation.filter(|owed| owed.run == context.job) else { return };
    if let Err(error) = obligations::settle(&owed, context.settings.resync_timeout, ports).await {
        ports.events.send(Phase::Copy, EventKind::Warned { message: error.to_string() });
    }
}
