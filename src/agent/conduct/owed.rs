//! What is owed to the cluster: by dead runs, and by this very one when it is stopped.

use super::Context;
use crate::model::event::{EventKind, Phase};
use crate::model::obligation::{Debt, Obligation};
use crate::model::outcome::{Explain, Failure, in_full};
use crate::model::report::RecoverReport;
use crate::obligations;

/// Settles what a dead run left, and returns it; `None` when nothing was owed.
pub(super) async fn settle(context: &Context<'_>) -> Result<Option<Obligation>, Failure> {
    let ports = context.ports;
    let view = ports.cluster.view().await.map_err(Explain::into_failure)?;
    let Some(owed) = view.obligation else { return Ok(None) };
    let message = format!("run {} left an obligation at {}; settling it first", owed.run, owed.since);
    ports.events.step(Phase::Isolate, message);
    let settled = obligations::settle(&owed, context.settings.resync_timeout, ports).await;
    settled.map(|()| Some(owed)).map_err(Explain::into_failure)
}

/// Removes the runners of dead runs: those that still work could write where this run is about to.
///
/// What an obligation names is gone already. One that cannot be removed, because its node is lost, is
/// told and left to Kubernetes: it holds nothing of the cluster.
pub(super) async fn remove_orphans(context: &Context<'_>) {
    let ports = context.ports;
    let told = |message: String| ports.events.step(Phase::Isolate, message);
    let orphans = match ports.runners.orphans().await {
        Ok(orphans) => orphans,
        Err(error) => return told(in_full(&error)),
    };
    for orphan in orphans {
        let removed = tokio::select! {
            removed = ports.runners.remove(&orphan) => removed.map_err(|error| in_full(&error)),
            () = ports.clock.sleep(context.settings.start_timeout) => Err("its node may be lost".to_owned()),
        };
        told(match removed {
            Ok(()) => format!("removed runner {orphan} of a run that is gone"),
            Err(why) => format!("runner {orphan} of a run that is gone is still there: {why}"),
        });
    }
}

/// Says what was owed and is settled.
pub(super) fn report(owed: Option<Obligation>) -> RecoverReport {
    let Some(owed) = owed else { return RecoverReport::default() };
    let what = match &owed.debt {
        Debt::Desync(desync) => format!("replica {} was desynced, or about to be, at {}", desync.pod, owed.since),
        Debt::Restore(debt) => format!("the restore of {} of {} was under way", debt.backup.name(), owed.since),
    };
    RecoverReport { run: Some(owed.run), what: Some(what) }
}

/// Settles what this very run owes when it was stopped in the middle; the pod's grace period is made for it.
///
/// A record left behind would end a desync that somebody else asks for later.
pub(super) async fn settle_own(context: &Context<'_>) {
    let ports = context.ports;
    let Ok(view) = ports.cluster.view().await else { return };
    let Some(owed) = view.obligation.filter(|owed| owed.run == context.job) else { return };
    if let Err(error) = obligations::settle(&owed, context.settings.resync_timeout, ports).await {
        ports.events.send(Phase::Copy, EventKind::Warned { message: in_full(&error) });
    }
}
