//! The throwaway server's life: it is booted, waited for by its answers, and shut down.

use std::sync::Arc;
use std::time::Duration;

use super::error::ProveError;
use super::{TICK, Work, plan};
use crate::model::event::Phase;
use crate::ports::prove::{Answer, ServerEnd, ThrowawayRun};
use crate::ports::{Clock, PortError, Reason};
use crate::work::blocking::blocking;

/// How often it is asked whether it answers.
const LOOK: Duration = Duration::from_millis(100);

/// A killed process is gone within this.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// A server that answers.
pub(super) struct Booted {
    /// It.
    pub run: Box<dyn ThrowawayRun>,
    /// Its version.
    pub version: String,
    /// The fresh history it began, when it runs with Galera.
    pub history_uuid: Option<String>,
}

/// Boots it and waits until it answers, and with Galera until it is the member of a cluster of its own.
pub(super) async fn boot(work: &mut Work<'_>) -> Result<Booted, ProveError> {
    let scratch = Arc::clone(&work.ports.scratch);
    blocking(move || scratch.forget_cluster(plan::BASE)).await.map_err(ProveError::Scratch)?;
    work.ports.stores.events.step(Phase::Prove, "booting a throwaway server".to_owned());
    let mut run = work.ports.throwaway.boot(plan::BASE).await.map_err(ProveError::Start)?;
    match wait_for_answer(work, run.as_mut()).await {
        Ok(Answer { version, history_uuid }) => Ok(Booted { run, version, history_uuid }),
        Err(error) => {
            end(run.as_mut(), work.ports.stores.clock.as_ref()).await;
            Err(error)
        }
    }
}

async fn wait_for_answer(work: &mut Work<'_>, run: &mut dyn ThrowawayRun) -> Result<Answer, ProveError> {
    let limit = Duration::from_secs(work.order.boot_timeout_secs);
    let clock = Arc::clone(&work.ports.stores.clock);
    let begun = clock.elapsed();
    let sql = Arc::clone(&work.ports.sql);
    loop {
        let has_galera = run.has_galera();
        let look = async {
            clock.sleep(LOOK).await;
            Ok(sql.answer().await)
        };
        let why = match beside(work, run, look).await? {
            Ok(answer) if answer.history_uuid.is_some() || !has_galera => return Ok(answer),
            Ok(_) => PortError::new(Reason::TimedOut, "it answers, but is no member of a cluster of its own"),
            Err(error) if error.reason == Reason::Credentials => return Err(ProveError::Sql(error)),
            // It does not listen yet, or is not ready yet and says so.
            Err(error) => error,
        };
        if clock.elapsed().saturating_sub(begun) >= limit {
            return Err(ProveError::NoAnswer { secs: limit.as_secs(), complaints: said(work, run), why });
        }
    }
}

/// Does something while the server runs: ends when it does, or when the stop is asked for.
pub(super) async fn beside<T>(
    work: &Work<'_>,
    run: &mut dyn ThrowawayRun,
    task: impl Future<Output = Result<T, ProveError>>,
) -> Result<T, ProveError> {
    tokio::pin!(task);
    loop {
        let mut stop = work.stop.clone();
        let ended = tokio::select! {
            biased;
            () = stop.requested() => return Err(ProveError::Stopped),
            result = &mut task => return result,
            ended = run.wait() => ended,
            () = work.ports.stores.clock.sleep(TICK) => {
                work.report();
                continue;
            }
        };
        let ServerEnd { how, .. } = ended.map_err(ProveError::Start)?;
        return Err(ProveError::Died { how, complaints: said(work, run) });
    }
}

/// Shuts it down in good order: only then is what it leaves a data directory to start from.
pub(super) async fn shut_down(work: &mut Work<'_>, run: &mut dyn ThrowawayRun) -> Result<(), ProveError> {
    let limit = Duration::from_secs(work.order.boot_timeout_secs);
    let clock = Arc::clone(&work.ports.stores.clock);
    work.ports.sql.close().await;
    run.terminate();
    let begun = clock.elapsed();
    loop {
        let mut stop = work.stop.clone();
        let why_not = tokio::select! {
            biased;
            () = stop.requested() => ProveError::Stopped,
            ended = run.wait() => match ended {
                Ok(ServerEnd { exit_ok: true, .. }) => return Ok(()),
                Ok(ServerEnd { how, .. }) => return Err(ProveError::EndedBadly { how, complaints: said(work, run) }),
                Err(error) => ProveError::Start(error),
            },
            () = clock.sleep(TICK) => {
                work.report();
                if clock.elapsed().saturating_sub(begun) < limit {
                    continue;
                }
                ProveError::DoesNotEnd { secs: limit.as_secs(), complaints: said(work, run) }
            }
        };
        end(run, clock.as_ref()).await;
        return Err(why_not);
    }
}

/// What it said last that tells how it is; all it said last is told for the log.
fn said(work: &Work<'_>, run: &dyn ThrowawayRun) -> Vec<String> {
    work.ports.stores.events.said(Phase::Prove, "mariadbd", run.last_lines());
    run.complaints()
}

/// Ends it at once: what it ran on is not worth a clean end any more.
pub(super) async fn end(run: &mut dyn ThrowawayRun, clock: &dyn Clock) {
    run.kill();
    tokio::select! {
        _ = run.wait() => {}
        () = clock.sleep(KILL_LIMIT) => {}
    }
}
