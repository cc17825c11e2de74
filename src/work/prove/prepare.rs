//! Preparing: the tool brings the files to one moment, and increments into them, one after the other.
//!
//! An apply that was broken off or failed has ruined what it was applied to; whoever tries again begins
//! with unpacking.

use std::time::Duration;

use super::error::ProveError;
use super::plan::{self, Link};
use super::{TICK, Work};
use crate::model::event::Phase;
use crate::ports::Clock;
use crate::ports::prove::{Preparation, PrepareRun};
use crate::ports::runner::EngineEnd;

/// The tool ends within this after SIGINT, or is killed.
const INTERRUPT_LIMIT: Duration = Duration::from_secs(5);

/// Prepares the full backup, or applies an increment to it.
pub(super) async fn prepare(work: &mut Work<'_>, link: &Link, is_increment: bool) -> Result<(), ProveError> {
    let preparer = &work.ports.preparer;
    let wish = work.order.prepare_memory_bytes;
    let step = Preparation {
        base: plan::BASE.to_owned(),
        increment: is_increment.then(|| link.directory.clone()),
        memory_bytes: plan::memory(wish, link.redo_bytes, preparer.memory_limit()),
    };
    let mut run = preparer.start(&step).await.map_err(ProveError::Start)?;
    match watch(work, run.as_mut()).await {
        Ok(end) if end.exit_ok && end.completed => Ok(()),
        Ok(EngineEnd { exit_ok, how, complaints, last_lines, .. }) => {
            work.ports.stores.events.said(Phase::Prove, "mariadb-backup", last_lines);
            let how = if exit_ok { "exit code 0, but without its mark of success".to_owned() } else { how };
            Err(ProveError::Prepare { backup: link.backup.clone(), how, complaints })
        }
        Err(cause) => {
            end_early(run.as_mut(), work.ports.stores.clock.as_ref()).await;
            Err(cause)
        }
    }
}

/// Waits for the tool's end, or for a reason not to.
async fn watch(work: &mut Work<'_>, run: &mut dyn PrepareRun) -> Result<EngineEnd, ProveError> {
    let limit = Duration::from_secs(work.order.prepare_timeout_secs);
    let clock = &work.ports.stores.clock;
    let begun = clock.elapsed();
    loop {
        let mut stop = work.stop.clone();
        tokio::select! {
            biased;
            () = stop.requested() => return Err(ProveError::Stopped),
            end = run.wait() => return end.map_err(ProveError::Start),
            () = clock.sleep(TICK) => work.report(),
        }
        if clock.elapsed().saturating_sub(begun) >= limit {
            return Err(ProveError::PreparedTooLong { secs: limit.as_secs() });
        }
    }
}

/// Ends the tool: SIGINT, which it heeds, then SIGKILL. SIGTERM it blocks.
async fn end_early(run: &mut dyn PrepareRun, clock: &dyn Clock) {
    run.interrupt();
    let ended = tokio::select! {
        _ = run.wait() => true,
        () = clock.sleep(INTERRUPT_LIMIT) => false,
    };
    if !ended {
        run.kill();
        tokio::select! {
            _ = run.wait() => {}
            () = clock.sleep(INTERRUPT_LIMIT) => {}
        }
    }
}
