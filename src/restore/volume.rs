//! Runners on data volumes: what each is, and that no other pod is let near its volume meanwhile.

use super::RestorePlan;
use super::course::{Course, StepError};
use crate::errand::{self, ErrandError};
use crate::model::event::{Event, EventKind, Phase};
use crate::model::names::{DATA_VOLUME_PATH, STORE_PATH};
use crate::model::obligation::ScratchPlace;
use crate::model::order::{DataPlace, ORDER_VERSION, RefillAct, RefillOrder, RunnerOrder, RunnerTask};
use crate::model::report::VolumeReport;
use crate::model::workload::Replica;
use crate::ports::conductor::{DataVolume, RunnerSpec};

/// The runner that only looks at the leader's volume, beside its server.
pub(super) fn look(plan: &RestorePlan, job: &str) -> RunnerSpec {
    let leader = &plan.leader;
    let data = DataVolume { claim: leader.replica.claim.clone(), beside: leader.pod.clone() };
    spec(format!("{job}-look"), order(job, &plan.debt.place, RefillAct::Look, 1), data)
}

fn order(run: &str, place: &DataPlace, act: RefillAct, parallel: u32) -> RefillOrder {
    RefillOrder { volume: DATA_VOLUME_PATH.to_owned(), place: place.clone(), run: run.to_owned(), act, parallel }
}

fn spec(name: String, order: RefillOrder, data: DataVolume) -> RunnerSpec {
    RunnerSpec {
        name,
        order: RunnerOrder { version: ORDER_VERSION, task: RunnerTask::Refill(order) },
        beside: None,
        data: Some(data),
        store_claim: None,
        s3: None,
        scratch: None,
        operator_secret: None,
        backup_secret: None,
    }
}

/// Where a runner that has the leader's volume, and that of backups where it is needed, sees the scratch.
pub(super) fn scratch_path(scratch: &ScratchPlace) -> String {
    use crate::model::names::{PREPARED_DIRECTORY, RESTORE_DIRECTORY};
    match scratch {
        ScratchPlace::Beside => format!("{DATA_VOLUME_PATH}/{RESTORE_DIRECTORY}/{PREPARED_DIRECTORY}"),
        ScratchPlace::Store(directory) => format!("{STORE_PATH}/{directory}"),
    }
}

/// Whether an act needs the volume of backups too.
fn needs_store(act: &RefillAct, scratch: &ScratchPlace) -> bool {
    matches!(scratch, ScratchPlace::Store(_))
        && matches!(act, RefillAct::Switch { .. } | RefillAct::Tidy { scratch: Some(_), .. })
}

impl Course<'_> {
    /// Has something done to the volume of a replica that runs no server.
    ///
    /// A pod that turns up with the same volume ends it at once: two writers destroy everything.
    pub(super) async fn refill(&mut self, replica: &Replica, act: RefillAct) -> Result<VolumeReport, StepError> {
        let spec = self.runner(replica, act, None);
        self.alone(&spec, replica).await
    }

    /// The same while the replica's own server runs, for acts that keep away from its data.
    pub(super) async fn refill_beside(&mut self, replica: &Replica, act: RefillAct) -> Result<VolumeReport, StepError> {
        let spec = self.runner(replica, act, Some(replica.pod.clone()));
        let start = self.limits.start;
        let done = errand::run::<VolumeReport>(&spec, start, self.ports.conductor, |event| repeat(self, event)).await;
        done.map_err(|error| failed(&spec, error))
    }

    /// Plans a runner.
    pub(super) fn runner(&mut self, replica: &Replica, act: RefillAct, beside: Option<String>) -> RunnerSpec {
        let word = match act {
            RefillAct::Look => "look",
            RefillAct::Position => "position",
            RefillAct::Switch { .. } => "switch",
            RefillAct::Empty { .. } => "empty",
            RefillAct::PutBack { .. } => "put-back",
            RefillAct::Crown => "crown",
            RefillAct::Tidy { .. } => "tidy",
        };
        let store_claim = needs_store(&act, &self.debt.scratch).then(|| self.limits.store_claim.clone());
        let order = order(self.run(), &self.debt.place, act, self.limits.parallel);
        let data = DataVolume { claim: replica.claim.clone(), beside };
        RunnerSpec { store_claim, ..spec(self.next_runner(word), order, data) }
    }

    pub(super) async fn alone(&self, spec: &RunnerSpec, replica: &Replica) -> Result<VolumeReport, StepError> {
        let ports = self.ports;
        let claims = [replica.claim.clone()];
        let working =
            errand::run::<VolumeReport>(spec, self.limits.start, ports.conductor, |event| repeat(self, event));
        let intruder = tokio::select! {
            done = working => return done.map_err(|error| failed(spec, error)),
            intruder = ports.workload.next_user(&claims) => intruder,
        };
        // Not before the runner is surely gone may anybody decide what comes next.
        ports.conductor.runners.remove(&spec.name).await?;
        let by = intruder?.by;
        Err(StepError::Intruded(format!("{by} was started with the volume of {} while it was written", replica.pod)))
    }
}

fn repeat(course: &Course<'_>, event: Event) {
    if matches!(event.kind, EventKind::Step { .. } | EventKind::Warned { .. } | EventKind::Progress { .. }) {
        course.ports.conductor.events.send(Phase::Refill, event.kind);
    }
}

fn failed(spec: &RunnerSpec, error: ErrandError) -> StepError {
    match error {
        ErrandError::Failed(failure) => {
            let why: Vec<_> = std::iter::once(failure.message).chain(failure.causes).collect();
            StepError::Failed(format!("runner {}: {}", spec.name, why.join(": ")))
        }
        ErrandError::Port { runner, source } if source.reason == crate::ports::Reason::Unreachable => {
            tracing::debug!(runner, "cannot follow a runner");
            StepError::World(source)
        }
        ErrandError::Port { runner, source } => StepError::Failed(format!("cannot send runner {runner}: {source}")),
    }
}
