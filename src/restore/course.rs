//! How a restore goes from stage to stage: each recorded before its first act, each able to be done again.

use std::time::Duration;

use super::error::RestoreError;
use super::{phase1_stop, phase2_refill, phase3_join, phase3_start, rollback};
use crate::model::event::Phase;
use crate::model::names::STORE_PATH;
use crate::model::obligation::{Debt, Obligation, RestoreDebt, Stage};
use crate::model::report::{OutageParts, RestoreReport};
use crate::model::rows::Counted;
use crate::model::settings::Settings;
use crate::patience::patiently;
use crate::ports::PortError;
use crate::ports::conductor::{Runner, RunnerSpec};
use crate::ports::restore::{GoAhead, RestorePorts};

/// The limits of a restore.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Limits {
    /// For a runner to start.
    pub start: Duration,
    /// For one runner to show no sign of work while it proves.
    pub patience: Duration,
    /// For the cluster to stop.
    pub stop: Duration,
    /// For the leader to serve.
    pub lead: Duration,
    /// For the others to join.
    pub join: Duration,
    /// The claim of the volume of backups, where the restore has not recorded it.
    pub store_claim: String,
    /// Threads that copy.
    pub parallel: u32,
}

impl Limits {
    pub(super) fn of(settings: &Settings) -> Self {
        Self {
            start: settings.start_timeout,
            patience: settings.copy_timeout + crate::proof::BOOT_LIMIT,
            stop: settings.restore_stop_timeout,
            lead: settings.restore_start_timeout,
            join: settings.restore_join_timeout,
            store_claim: settings.store_claim.clone(),
            parallel: settings.parallel,
        }
    }
}

/// A restore under way.
pub(super) struct Course<'a> {
    /// What stands recorded.
    owed: Obligation,
    /// The same, as it will be recorded next.
    pub debt: RestoreDebt,
    /// The Job that carries it on, by which its runners are named.
    pub job: &'a str,
    /// The limits.
    pub limits: Limits,
    /// Whether another run began it.
    pub resumed: bool,
    /// The world.
    pub ports: RestorePorts<'a>,
    runners: u32,
    /// The rows that were counted in the proven copy; none where another run proved it.
    pub proven_rows: Vec<Counted>,
    /// The write-set at which the restored data were put into place by this run.
    pub placed_at: Option<i64>,
    /// The runner that was started ahead for the switch.
    pub waiting: Option<Waiting>,
    /// Whether the old cluster serves while the leader's volume is put in order.
    pub others_serve: bool,
    /// Whether the leader's old data stay where they were set aside.
    pub keeps_old: bool,
    /// How long each part of the outage took, as far as this run was there.
    pub took: OutageParts,
}

/// A runner that was started ahead, with the word it waits for.
pub(super) struct Waiting {
    pub spec: RunnerSpec,
    pub runner: Box<dyn Runner>,
    pub word: Box<dyn GoAhead>,
}

/// Why a step came to nothing.
#[derive(Debug)]
pub(super) enum StepError {
    /// What was tried did not work; the restore has to be undone.
    Failed(String),
    /// A pod turned up with a volume while it was written.
    Intruded(String),
    /// Kubernetes could not be asked or told: nobody knows more than before.
    World(PortError),
}

impl From<PortError> for StepError {
    fn from(error: PortError) -> Self {
        Self::World(error)
    }
}

impl<'a> Course<'a> {
    pub(super) fn new(
        owed: &Obligation,
        debt: RestoreDebt,
        job: &'a str,
        limits: Limits,
        ports: RestorePorts<'a>,
    ) -> Self {
        let (owed, proven_rows) = (owed.clone(), Vec::new());
        Self {
            owed,
            debt,
            job,
            limits,
            resumed: false,
            ports,
            runners: 0,
            proven_rows,
            placed_at: None,
            waiting: None,
            others_serve: false,
            keeps_old: false,
            took: OutageParts::default(),
        }
    }

    /// The run that owes it, under whose name everything of it lies on the volumes.
    pub(super) fn run(&self) -> &str {
        &self.owed.run
    }

    /// Records the stage that comes next, before its first act.
    pub(super) async fn enter(&mut self, stage: Stage) -> Result<(), RestoreError> {
        let left = std::mem::replace(&mut self.debt.stage, stage);
        if stage != Stage::RollingBack {
            self.debt.reached = self.debt.reached.max(stage);
        }
        self.record().await.map_err(|source| RestoreError::Interrupted {
            backup: self.debt.backup.clone(),
            stage: left,
            source: Box::new(source),
        })
    }

    pub(super) async fn record(&mut self) -> Result<(), PortError> {
        self.owed.debt = Debt::Restore(Box::new(self.debt.clone()));
        patiently(self.ports.conductor, || self.ports.workload.record_stage(&self.owed)).await
    }

    /// The claim of the volume of backups that this restore uses.
    pub(super) fn store_claim(&self) -> String {
        self.debt.store_claim.clone().unwrap_or_else(|| self.limits.store_claim.clone())
    }

    /// What this restore has on the volume of backups, as a runner that has it sees it.
    pub(super) fn on_store(&self) -> Option<String> {
        self.debt.on_store().map(|directory| format!("{STORE_PATH}/{directory}"))
    }

    /// A name for the next runner; never the same twice in one Job.
    pub(super) fn next_runner(&mut self, what: &str) -> String {
        self.runners += 1;
        format!("{}-{what}-{}", self.job, self.runners)
    }

    pub(super) fn step(&self, phase: Phase, message: impl Into<String>) {
        self.ports.conductor.events.step(phase, message.into());
    }

    pub(super) fn interrupted(&self, source: PortError) -> RestoreError {
        RestoreError::Interrupted { backup: self.debt.backup.clone(), stage: self.debt.stage, source: Box::new(source) }
    }
}

/// Goes on from the stage that is recorded to the end.
pub(super) async fn drive(mut course: Course<'_>) -> Result<RestoreReport, RestoreError> {
    loop {
        let stage = course.debt.stage;
        let begun = course.ports.conductor.clock.elapsed();
        let (done, next) = match stage {
            Stage::Proving | Stage::Stopping => (phase1_stop::run(&mut course).await, Stage::Switching),
            Stage::Switching => (phase2_refill::run(&mut course).await, Stage::Starting),
            Stage::Starting => (phase3_start::lead(&mut course).await, Stage::Joining),
            Stage::Joining => (phase3_join::join(&mut course).await, Stage::Tidying),
            Stage::Tidying => return phase3_start::finish(&mut course).await,
            Stage::RollingBack => return Err(rollback::run(&mut course).await),
        };
        let took = millis(course.ports.conductor.clock.elapsed().saturating_sub(begun));
        match stage {
            Stage::Proving | Stage::Stopping => course.took.stop_millis = took,
            Stage::Switching => course.took.place_millis = took,
            _ => {}
        }
        match done {
            Ok(()) => course.enter(next).await?,
            Err(StepError::World(source)) => return Err(course.interrupted(source)),
            Err(StepError::Failed(why) | StepError::Intruded(why)) if stage == Stage::Joining => {
                return Err(RestoreError::NotJoined { leader: course.debt.leader.pod.clone(), why });
            }
            Err(error) if course.debt.chosen.is_some() => {
                // Stopped, it can be started anew, or another be chosen.
                if let Err(StepError::World(source)) = phase1_stop::stop(&course).await {
                    return Err(course.interrupted(source));
                }
                let why = format!("{} was chosen to start the cluster", course.debt.leader.pod);
                return Err(rollback::not_back(&course, error.into(), &why));
            }
            Err(StepError::Failed(why) | StepError::Intruded(why)) => {
                course.step(Phase::RollBack, format!("failed while {}: {why}", stage.words()));
                course.debt.why = Some(why);
                course.enter(Stage::RollingBack).await?;
            }
        }
    }
}

pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
