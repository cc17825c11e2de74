//! Runners on data volumes: what each is, and that no other pod is let near its volume meanwhile.

use std::time::Duration;

use super::RestorePlan;
use super::course::{Course, StepError, Waiting};
use super::leader::is_swept;
use super::phase1_stop;
use crate::errand::{self, ErrandError};
use crate::model::event::{Event, EventKind, Phase};
use crate::model::names::{DATA_VOLUME_PATH, STORE_PATH};
use crate::model::obligation::{ScratchPlace, Stage};
use crate::model::order::{DataPlace, ORDER_VERSION, RefillAct, RefillOrder, RunnerOrder, RunnerTask};
use crate::model::outcome::in_full;
use crate::model::report::VolumeReport;
use crate::model::workload::Replica;
use crate::patience::patiently;
use crate::ports::conductor::{DataVolume, Runner, RunnerSpec};
use crate::ports::{EventSink, PortError};

/// A volume that answers nothing for so long is given up.
const HUNG: Duration = Duration::from_mins(20);

/// The runner that only looks at a volume, beside its server.
pub(super) fn look(plan: &RestorePlan, job: &str, replica: &Replica, pod: Option<String>) -> RunnerSpec {
    let data = DataVolume { claim: replica.claim.clone(), beside: pod };
    spec(format!("{job}-look-at-{}", replica.ordinal), order(job, &plan.debt.place, RefillAct::Look, 1), data)
}

fn order(run: &str, place: &DataPlace, act: RefillAct, parallel: u32) -> RefillOrder {
    RefillOrder {
        volume: DATA_VOLUME_PATH.to_owned(),
        place: place.clone(),
        run: run.to_owned(),
        act,
        parallel,
        go_ahead: None,
    }
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
        fresh_store: false,
        near: None,
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

/// Where a proof leaves what it proved, below its scratch.
pub(super) const BASE: &str = "base";

/// Where a runner sees what was proven.
pub(super) fn proven(scratch: &ScratchPlace) -> String {
    format!("{}/{BASE}", scratch_path(scratch))
}

/// Whether an act needs the volume of backups too.
fn needs_store(act: &RefillAct, scratch: &ScratchPlace) -> bool {
    match act {
        RefillAct::Switch { .. } => matches!(scratch, ScratchPlace::Store(_)),
        RefillAct::Lend { .. } | RefillAct::Fill { .. } => true,
        RefillAct::Tidy { scratch, .. } => scratch.is_some(),
        _ => false,
    }
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
        let (start, events) = (self.limits.start, self.ports.conductor.events);
        let hear = |event| repeat(events, replica, event);
        let done = errand::run::<VolumeReport>(&spec, start, self.ports.conductor, hear).await;
        done.map_err(|error| failed(&spec, error))
    }

    /// The same, whether or not a server of it runs.
    pub(super) async fn refill_around(&mut self, replica: &Replica, act: RefillAct) -> Result<VolumeReport, StepError> {
        let cluster = self.ports.conductor.cluster;
        let view = patiently(self.ports.conductor, || cluster.view()).await?;
        if view.pod(&replica.pod).is_some_and(|pod| pod.node.is_some()) {
            self.refill_beside(replica, act).await
        } else {
            self.refill(replica, act).await
        }
    }

    /// Removes what the restore left beside the data of a replica, and on the volume of backups. Where that one
    /// cannot be mounted, its part is left to the sweep of the store. Returns whether old data stay set aside.
    pub(super) async fn tidy(
        &mut self,
        replica: &Replica,
        keep_old_data: bool,
        keep_failed: bool,
    ) -> Result<bool, StepError> {
        let scratch = self.on_store();
        let tidied =
            self.refill_around(replica, RefillAct::Tidy { scratch: scratch.clone(), keep_old_data, keep_failed }).await;
        match tidied {
            Err(StepError::Failed(why)) if scratch.is_some() => {
                let claim = self.store_claim();
                self.step(Phase::Refill, format!("{why}; once more without claim {claim}"));
                if let Some(directory) = self.debt.on_store().filter(|directory| !is_swept(directory)) {
                    let message = format!("{directory} on claim {claim} may still be there; nobody else removes it");
                    self.ports.conductor.events.send(Phase::Refill, EventKind::Warned { message });
                }
                let act = RefillAct::Tidy { scratch: None, keep_old_data, keep_failed };
                self.refill_around(replica, act).await.map(|report| report.set_aside)
            }
            tidied => tidied.map(|report| report.set_aside),
        }
    }

    /// Plans a runner.
    pub(super) fn runner(&mut self, replica: &Replica, act: RefillAct, beside: Option<String>) -> RunnerSpec {
        let word = match act {
            RefillAct::Look => "look",
            RefillAct::Position => "position",
            RefillAct::Switch { .. } => "switch",
            RefillAct::Lend { .. } => "lend",
            RefillAct::Fill { .. } => "fill",
            RefillAct::Empty { .. } => "empty",
            RefillAct::PutBack { .. } => "put-back",
            RefillAct::SetAside => "set-aside",
            RefillAct::Crown { .. } => "crown",
            RefillAct::Uncrown => "uncrown",
            RefillAct::Tidy { .. } => "tidy",
        };
        let store_claim = needs_store(&act, &self.debt.scratch).then(|| self.store_claim());
        let order = order(self.run(), &self.debt.place, act, self.limits.parallel);
        let data = DataVolume { claim: replica.claim.clone(), beside };
        RunnerSpec { store_claim, ..spec(self.next_runner(word), order, data) }
    }

    /// Has a runner do its work, as long as no other pod turns up with the volume.
    ///
    /// Its pod need not be gone at the end: its one process is.
    pub(super) async fn alone(&self, spec: &RunnerSpec, replica: &Replica) -> Result<VolumeReport, StepError> {
        let conductor = self.ports.conductor;
        let working = async {
            let failed = |source| ErrandError::Port { runner: spec.name.clone(), source };
            let mut runner = conductor.runners.start(spec, self.limits.start).await.map_err(failed)?;
            self.heard_out(spec, replica, runner.as_mut()).await
        };
        self.guarded(spec, replica, working).await
    }

    async fn heard_out(
        &self,
        spec: &RunnerSpec,
        replica: &Replica,
        runner: &mut dyn Runner,
    ) -> Result<VolumeReport, ErrandError> {
        let events = self.ports.conductor.events;
        let hear = |event| repeat(events, replica, event);
        errand::hear_out(spec, runner, silence(spec), self.ports.conductor, hear).await
    }

    async fn guarded(
        &self,
        spec: &RunnerSpec,
        replica: &Replica,
        working: impl Future<Output = Result<VolumeReport, ErrandError>>,
    ) -> Result<VolumeReport, StepError> {
        let ports = self.ports;
        // While the cluster is stopped nobody of it may run; before and after, those who do are meant to.
        let claims = match self.debt.stage {
            Stage::Proving | Stage::Joining | Stage::Tidying => vec![replica.claim.clone()],
            Stage::RollingBack if self.others_serve => vec![replica.claim.clone()],
            _ => phase1_stop::all_claims(self),
        };
        let (trouble, intruder) = tokio::select! {
            done = working => match done {
                Ok(report) => {
                    if let Err(error) = ports.conductor.runners.dismiss(&spec.name).await {
                        tracing::debug!(runner = spec.name, %error, "an ended runner's pod stays until the run ends");
                    }
                    return Ok(report);
                }
                Err(error) => (failed(spec, error), None),
            },
            intruder = ports.workload.next_user(&claims) => (StepError::Failed(String::new()), Some(intruder)),
        };
        // Not before the runner is surely gone may anybody decide what comes next.
        patiently(ports.conductor, || ports.conductor.runners.remove(&spec.name)).await?;
        match intruder {
            None => Err(trouble),
            Some(intruder) => {
                let by = intruder?.by;
                Err(StepError::Intruded(format!(
                    "{by} was started with the volume of {} while it was written",
                    replica.pod
                )))
            }
        }
    }

    /// Starts the runner for the switch ahead, beside the leader's server: it touches nothing before it is
    /// told. One that cannot be started ahead is started when it is needed.
    pub(super) async fn start_ahead(&mut self, act: RefillAct, beside: Option<String>) {
        let leader = self.debt.leader.clone();
        let mut spec = self.runner(&leader, act, beside);
        let ports = self.ports;
        let started = async {
            let word = ports.go_aheads.make(&spec.name).await?;
            if let RunnerTask::Refill(order) = &mut spec.order.task {
                order.go_ahead = Some(word.place());
            }
            let runner = ports.conductor.runners.start(&spec, self.limits.start).await?;
            Ok::<_, PortError>((runner, word))
        };
        match started.await {
            Ok((runner, word)) => self.waiting = Some(Waiting { spec, runner, word }),
            Err(error) => {
                tracing::debug!(%error, "the runner for the switch is started later");
                self.drop_ahead(&spec.name).await;
            }
        }
    }

    /// Tells the runner that was started ahead to begin, and hears it out; `None` when there is none, or
    /// when it could not be told: then it is gone.
    pub(super) async fn told(&mut self) -> Option<Result<VolumeReport, StepError>> {
        let Waiting { spec, mut runner, mut word } = self.waiting.take()?;
        if !word.give().await.unwrap_or(false) {
            drop(word);
            self.drop_ahead(&spec.name).await;
            return None;
        }
        let leader = self.debt.leader.clone();
        Some(self.guarded(&spec, &leader, self.heard_out(&spec, &leader, runner.as_mut())).await)
    }

    /// Makes sure that the runner that was started ahead is gone.
    pub(super) async fn dismiss_waiting(&mut self) {
        if let Some(Waiting { spec, word, .. }) = self.waiting.take() {
            drop(word);
            self.drop_ahead(&spec.name).await;
        }
    }

    async fn drop_ahead(&self, name: &str) {
        if let Err(error) = self.ports.conductor.runners.remove(name).await {
            // Without the word it ends by itself; whoever writes next looks for users first.
            tracing::debug!(%error, "a runner that was not told is still there");
        }
    }
}

/// How long a runner may show no sign of work. The cluster stands still meanwhile, and some only give files other
/// names. Whoever removes or copies many of them, or has a crash to recover from, may need long for one sign.
fn silence(spec: &RunnerSpec) -> Duration {
    let RunnerTask::Refill(order) = &spec.order.task else { return errand::SILENCE };
    match order.act {
        RefillAct::SetAside | RefillAct::Crown { .. } | RefillAct::Uncrown => HUNG,
        RefillAct::Switch { .. } | RefillAct::PutBack { .. } if order.place.has_room_beside() => HUNG,
        _ => errand::SILENCE,
    }
}

/// A runner knows its volume by a path that is the same for all of them: what it says is told of its replica.
fn repeat(events: &dyn EventSink, replica: &Replica, event: Event) {
    let of = |message: String| format!("{}: {message}", replica.pod);
    let kind = match event.kind {
        EventKind::Step { message } => EventKind::Step { message: of(message) },
        EventKind::Warned { message } => EventKind::Warned { message: of(message) },
        other @ (EventKind::Progress { .. } | EventKind::Said { .. }) => other,
        _ => return,
    };
    events.deliver(event.runner.as_deref(), Phase::Refill, kind);
}

fn failed(spec: &RunnerSpec, error: ErrandError) -> StepError {
    match error {
        ErrandError::Failed(failure) => {
            let why: Vec<_> = std::iter::once(failure.message).chain(failure.causes).collect();
            let hint = failure.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
            StepError::Failed(format!("runner {}: {}{hint}", spec.name, why.join(": ")))
        }
        ErrandError::Port { runner, source } if source.reason == crate::ports::Reason::Unreachable => {
            tracing::debug!(runner, "cannot follow a runner");
            StepError::World(source)
        }
        ErrandError::Port { runner, source } => {
            StepError::Failed(format!("runner {runner} could not be started or followed: {}", in_full(&source)))
        }
    }
}
