//! Telling those who watch a cluster how its runs go: Kubernetes' Events, and figures for monitoring.
//!
//! Nothing here can fail or hold up a run: each word has a short limit, and what cannot be told is told
//! once, as a step in the run's own log. It is no warning, as that would change the run's exit code.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::model::event::Phase;
use crate::model::metrics::{Ending, Figures, Owed, Stock};
use crate::model::notice::{Notice, Run};
use crate::model::outcome::Failure;
use crate::model::report::RunReport;
use crate::ports::monitor::MonitorPorts;
use crate::ports::{PortError, Reason};

/// The longest that telling one thing may take.
const LIMIT: Duration = Duration::from_secs(5);

/// How often it is looked whether something is owed while a run works.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// How often figures are written again that somebody else has changed meanwhile.
const ATTEMPTS: u32 = 5;

/// Tells how one run goes.
pub struct Monitor<'a> {
    run: Run,
    ports: MonitorPorts<'a>,
    /// Whether the log holds already that something could not be told.
    complained: AtomicBool,
}

impl<'a> Monitor<'a> {
    /// Of that run.
    #[must_use]
    pub fn new(run: Run, ports: MonitorPorts<'a>) -> Self {
        Self { run, ports, complained: AtomicBool::new(false) }
    }

    /// Tells that the run holds the Lease and begins to work.
    pub async fn begun(&self) {
        self.announce(self.run.started(self.ports.clock.now())).await;
        let owed = self.owed().await;
        self.enter(|figures| {
            figures.begin(&self.run);
            figures.owed = owed.unwrap_or(figures.owed);
        })
        .await;
    }

    /// Keeps the figures true while the run works: should it be killed, they say what it owed.
    pub async fn watch(&self) -> Infallible {
        let mut known = None;
        loop {
            self.ports.clock.sleep(LOOK_EVERY).await;
            let Some(owed) = self.owed().await else { continue };
            if known != Some(owed) {
                self.enter(|figures| figures.owed = owed).await;
                known = Some(owed);
            }
        }
    }

    /// Tells how the run ended, and what is there now; `None` where that could not be seen.
    pub async fn ended(&self, done: &Result<RunReport, Failure>, has_warnings: bool, stock: Option<Stock>) {
        let at = self.ports.clock.now();
        let owed = self.owed().await;
        self.enter(|figures| {
            figures.end(&self.run, &Ending { done, has_warnings, at });
            figures.owed = owed.unwrap_or(figures.owed);
            figures.stock = stock.clone().or(figures.stock.take());
        })
        .await;
        self.announce(self.run.ended(done, has_warnings, at)).await;
    }

    async fn announce(&self, notice: Notice) {
        if let Err(error) = self.within_limit(self.ports.board.announce(&notice)).await {
            self.complain(&error);
        }
    }

    /// What is owed to the cluster; `None` where that cannot be seen.
    async fn owed(&self) -> Option<Owed> {
        let found = self.within_limit(self.ports.board.obligation()).await.ok()?;
        Some(found.map_or(Owed::Nothing, |obligation| Owed::Since(obligation.since)))
    }

    async fn enter(&self, change: impl Fn(&mut Figures) + Sync) {
        if let Err(error) = self.within_limit(self.try_enter(change)).await {
            self.complain(&error);
        }
    }

    async fn try_enter(&self, change: impl Fn(&mut Figures)) -> Result<(), PortError> {
        let mut attempt = 1;
        loop {
            let (mut figures, version) = self.ports.board.figures().await?;
            change(&mut figures);
            match self.ports.board.publish(&figures, version.as_deref()).await {
                Err(error) if error.reason == Reason::Conflict && attempt < ATTEMPTS => attempt += 1,
                done => return done,
            }
        }
    }

    async fn within_limit<T>(&self, act: impl Future<Output = Result<T, PortError>>) -> Result<T, PortError> {
        tokio::select! {
            done = act => done,
            () = self.ports.clock.sleep(LIMIT) => {
                let what = format!("no answer within {} s", LIMIT.as_secs());
                Err(PortError::new(Reason::TimedOut, what))
            }
        }
    }

    fn complain(&self, error: &PortError) {
        if self.complained.swap(true, Ordering::Relaxed) {
            return;
        }
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        let message = format!("those who watch the cluster were not told of this run: {error}{cause}");
        self.ports.events.step(Phase::Record, message);
    }
}

#[cfg(test)]
mod tests;
