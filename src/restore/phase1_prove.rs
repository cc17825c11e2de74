//! Phase 1, its longer part: the backup is unpacked and booted in scratch, while the cluster serves.

use super::course::Course;
use super::leader::Leader;
use super::{Observed, RestoreError, RestorePlan, volume};
use crate::catalogue;
use crate::errand;
use crate::exit_code::ExitCode;
use crate::model::backup_id::BackupId;
use crate::model::event::{EventKind, Phase};
use crate::model::galera::Position;
use crate::model::obligation::ScratchPlace;
use crate::model::order::{ORDER_VERSION, ProveOrder, RunnerOrder, RunnerTask, StoreName};
use crate::model::outcome::{Explain, Failure, in_full};
use crate::model::report::{ProveReport, VolumeReport};
use crate::patience::patiently;
use crate::ports::conductor::{ConductorPorts, DataVolume, RunnerSpec};
use crate::ports::restore::RestorePorts;
use crate::proof::Chain;
use crate::stores;

/// What an unpacked backup grows by while it is prepared and served.
const GROWTH_BYTES: u64 = 64 << 20;

/// Plans the runner that proves a chain on the leader's volume, or on that of backups.
pub(super) fn runner(
    observed: &Observed<'_>,
    chain: &Chain,
    leader: &Leader,
    number: usize,
    ignore_logins: bool,
) -> RunnerSpec {
    let settings = observed.settings;
    let is_beside = leader.scratch == ScratchPlace::Beside;
    let order = ProveOrder {
        reserve_bytes: if is_beside { settings.data_free_bytes } else { 0 },
        server_logins_may_fail: ignore_logins,
        ..chain.order(&observed.inputs(), volume::scratch_path(&leader.scratch))
    };
    let data = DataVolume { claim: leader.replica.claim.clone(), beside: leader.pod.clone() };
    let uses_store = chain.uses(StoreName::Local) || !is_beside;
    RunnerSpec {
        name: format!("{}-prove-{}", observed.job, number + 1),
        order: RunnerOrder { version: ORDER_VERSION, task: RunnerTask::Prove(order) },
        beside: None,
        data: is_beside.then_some(data),
        store_claim: uses_store.then(|| settings.store_claim.clone()),
        s3: stores::mounts(settings).filter(|_| chain.uses(StoreName::S3)),
        scratch: None,
        operator_secret: Some(settings.operator_secret.clone()),
        backup_secret: Some(settings.backup_secret.clone()),
    }
}

/// Refuses where the volume that was looked at has not the room: beside its data, or in their place.
pub(super) fn check_room(plan: &RestorePlan, look: &VolumeReport) -> Result<(), RestoreError> {
    plan.unpacked_bytes.map_or(Ok(()), |unpacked| check_room_for(unpacked, plan, look))
}

/// Refuses a backup of which only its proof told how large it is, where it would not fit in the place of the old
/// data. One that was unpacked beside them is where it will be.
pub(super) async fn check_room_at_last(
    proven: &Proven,
    plan: &RestorePlan,
    job: &str,
    ports: &RestorePorts<'_>,
) -> Result<(), RestoreError> {
    if plan.unpacked_bytes.is_some() || plan.debt.scratch == ScratchPlace::Beside {
        return Ok(());
    }
    let look = volume::look(plan, job, &plan.leader.replica, plan.leader.pod.clone());
    let spec = RunnerSpec { name: format!("{job}-look-again"), ..look };
    let look = errand::run::<VolumeReport>(&spec, plan.limits.start, ports.conductor, |_| {}).await;
    let pod = || plan.leader.replica.pod.clone();
    let failed =
        |error: errand::ErrandError| RestoreError::Look { pod: pod(), failure: Box::new(error.into_failure()) };
    check_room_for(proven.unpacked_bytes, plan, &look.map_err(failed)?)
}

fn check_room_for(unpacked: u64, plan: &RestorePlan, look: &VolumeReport) -> Result<(), RestoreError> {
    let (free_bytes, reserve_bytes) = match plan.debt.scratch {
        ScratchPlace::Beside => (look.free_bytes, plan.reserve_bytes()),
        // The old data are gone by then.
        ScratchPlace::Store(_) => (look.free_bytes.saturating_add(look.data_bytes), 0),
    };
    let needed_bytes = unpacked.saturating_add(GROWTH_BYTES);
    if needed_bytes.saturating_add(reserve_bytes) <= free_bytes {
        return Ok(());
    }
    Err(RestoreError::NoRoom {
        backup: plan.debt.backup.clone(),
        pod: plan.leader.replica.pod.clone(),
        needed_bytes,
        free_bytes,
        reserve_bytes,
    })
}

impl RestorePlan {
    /// What is kept free on a volume on which a server lives.
    pub(super) fn reserve_bytes(&self) -> u64 {
        self.proofs
            .iter()
            .find_map(|spec| match &spec.order.task {
                RunnerTask::Prove(order) => Some(order.reserve_bytes),
                _ => None,
            })
            .unwrap_or_default()
    }
}

/// What a proof showed.
pub(super) struct Proven {
    /// The history that was begun.
    pub history: String,
    /// Where the backup stands, where that is known.
    pub position: Option<Position>,
    /// Bytes it took unpacked.
    pub unpacked_bytes: u64,
}

/// Has the backup booted.
pub(super) async fn run(plan: &RestorePlan, ports: &RestorePorts<'_>) -> Result<Proven, Failure> {
    let conductor = ports.conductor;
    conductor.events.send(Phase::Prove, EventKind::Started);
    let mut specs = plan.proofs.iter().peekable();
    let mut fell_back = false;
    let proof = loop {
        let Some(spec) = specs.next() else {
            return Err(Failure::new(ExitCode::Error, "the plan has no proof"));
        };
        let hear = |event: crate::model::event::Event| errand::repeat(event, conductor);
        let proven =
            errand::run_patiently::<ProveReport>(spec, plan.limits.start, plan.limits.patience, conductor, hear);
        match proven.await {
            Ok(proof) => break proof,
            Err(error) if error.code() == ExitCode::VerificationFailed && specs.peek().is_some() => {
                let message = format!("{}; trying what lies in the other store", in_full(&error));
                conductor.events.send(Phase::Prove, EventKind::Warned { message });
                fell_back = true;
            }
            Err(error) => return Err(error.into_failure()),
        }
    };
    let Some(history) = proof.history_uuid else {
        let what = "the server's image has no Galera, so the restored data have no history others could join";
        return Err(Failure::new(ExitCode::Refused, what));
    };
    let said = format!("the backup boots, in the new history {history}");
    conductor.events.step(Phase::Prove, said);
    // A backup of which one copy was found damaged is not one to rely on.
    if !fell_back {
        enter(&plan.own, conductor).await;
    }
    conductor.events.send(Phase::Prove, EventKind::Finished);
    Ok(Proven { history, position: proof.position, unpacked_bytes: proof.unpacked_bytes })
}

/// Enters that every byte of the chain was read and is as recorded; a restore does not depend on it.
async fn enter(proven: &[BackupId], conductor: &ConductorPorts<'_>) {
    if proven.is_empty() {
        return;
    }
    let at = conductor.clock.now();
    if let Err(error) = catalogue::change(conductor, |catalogue| catalogue.enter_proof(proven, at)).await {
        let message = format!("the catalogue does not tell that the backup was proven: {}", in_full(&error));
        conductor.events.send(Phase::Prove, EventKind::Warned { message });
    }
}

/// Removes what a proof left, and the record with it: the cluster was never touched.
///
/// Scratch that cannot be removed now is removed by the next restore, or by the sweep of the store.
pub(super) async fn abandon(course: &mut Course<'_>) {
    if let Err(why) = remove_scratch(course).await {
        let message = format!("what was unpacked may still be there: {why}");
        course.ports.conductor.events.send(Phase::Prove, EventKind::Warned { message });
    }
    let cluster = course.ports.conductor.cluster;
    let cleared = patiently(course.ports.conductor, || cluster.clear_obligation(course.run())).await;
    if let Err(error) = cleared {
        let message = format!("{}; the next run clears it", in_full(&error));
        course.ports.conductor.events.send(Phase::Prove, EventKind::Warned { message });
    }
}

/// Only what lies beside a data directory is removed here; the store sweeps its own unfinished work.
async fn remove_scratch(course: &mut Course<'_>) -> Result<(), String> {
    if course.debt.scratch != ScratchPlace::Beside {
        return Ok(());
    }
    let leader = course.debt.leader.clone();
    course.tidy(&leader, false, false).await.map_err(|error| error.words())
}
