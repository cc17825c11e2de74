//! Phase 1, its longer part: the backup is unpacked and booted in scratch, while the cluster serves.

use super::course::Course;
use super::leader::{Leader, is_swept};
use super::{Observed, RestoreError, RestorePlan, store_claim, volume};
use crate::catalogue;
use crate::errand;
use crate::exit_code::ExitCode;
use crate::model::backup_id::BackupId;
use crate::model::event::{Event, EventKind, Phase};
use crate::model::galera::Position;
use crate::model::obligation::ScratchPlace;
use crate::model::order::{ORDER_VERSION, ProveOrder, RestoreRequest, RunnerOrder, RunnerTask, StoreName};
use crate::model::outcome::{Explain, Failure, in_full};
use crate::model::report::{ProveReport, VolumeReport};
use crate::model::rows::Counted;
use crate::patience::patiently;
use crate::ports::conductor::{ConductorPorts, DataVolume, RunnerSpec};
use crate::ports::restore::RestorePorts;
use crate::proof::Chain;
use crate::stores;

/// Plans the runner that proves a chain on the leader's volume, or on that of backups.
pub(super) fn runner(
    observed: &Observed<'_>,
    chain: &Chain,
    leader: &Leader,
    number: usize,
    request: &RestoreRequest,
) -> RunnerSpec {
    let settings = observed.settings;
    let is_beside = leader.scratch == ScratchPlace::Beside;
    let order = ProveOrder {
        reserve_bytes: if is_beside { settings.data_free_bytes } else { 0 },
        server_logins_may_fail: request.ignore_logins,
        count_rows: !request.ignore_rows,
        ..chain.order(&observed.inputs(), volume::scratch_path(&leader.scratch))
    };
    let data = DataVolume { claim: leader.replica.claim.clone(), beside: leader.pod.clone() };
    let uses_store = chain.uses(StoreName::Local) || !is_beside;
    // A claim that was named need not be bound yet: it has to be where the data are.
    let is_named = store_claim(observed) != settings.store_claim;
    let near = leader.pod.clone().filter(|_| is_named && !is_beside);
    RunnerSpec {
        name: format!("{}-prove-{}", observed.job, number + 1),
        order: RunnerOrder { version: ORDER_VERSION, task: RunnerTask::Prove(order) },
        beside: None,
        data: (is_beside || (is_named && near.is_none())).then_some(data),
        store_claim: uses_store.then(|| store_claim(observed).to_owned()),
        s3: stores::mounts(settings).filter(|_| chain.uses(StoreName::S3)),
        scratch: None,
        fresh_store: is_named && !is_beside,
        near,
        operator_secret: Some(settings.operator_secret.clone()),
        backup_secret: Some(settings.backup_secret.clone()),
    }
}

/// Looks once more at the leader's volume, now together with the one on which the copy lies: hours may have passed, the
/// size of some backups is only known by now, and a pod that cannot mount both is better found before the outage.
pub(super) async fn check_copy(
    proven: &Proven,
    plan: &RestorePlan,
    job: &str,
    ports: &RestorePorts<'_>,
) -> Result<(), RestoreError> {
    if plan.debt.scratch == ScratchPlace::Beside {
        return Ok(());
    }
    let pod = &plan.leader.replica.pod;
    let look = volume::look(plan, job, &plan.leader.replica, plan.leader.pod.clone());
    let spec = RunnerSpec { name: format!("{}-again", look.name), store_claim: plan.debt.store_claim.clone(), ..look };
    let look = errand::run::<VolumeReport>(&spec, plan.limits.start, ports.conductor, |_| {}).await;
    let look =
        look.map_err(|error| RestoreError::Look { pod: pod.clone(), failure: Box::new(error.into_failure()) })?;
    // Those that are not set aside are gone by then.
    let emptied = if plan.debt.place.has_room_beside() { 0 } else { look.data_bytes };
    let (needed_bytes, free_bytes) = (proven.unpacked_bytes, look.free_bytes.saturating_add(emptied));
    if needed_bytes <= free_bytes {
        return Ok(());
    }
    let backup = plan.debt.backup.clone();
    Err(RestoreError::NoRoom { backup, pod: pod.clone(), needed_bytes, free_bytes })
}

/// What a proof showed.
pub(super) struct Proven {
    /// The history that was begun.
    pub history: String,
    /// Where the backup stands, where that is known.
    pub position: Option<Position>,
    /// Bytes it took unpacked.
    pub unpacked_bytes: u64,
    /// Rows that were counted.
    pub rows: Vec<Counted>,
}

/// Has the backup booted.
pub(super) async fn run(plan: &RestorePlan, ports: &RestorePorts<'_>) -> Result<Proven, Failure> {
    let conductor = ports.conductor;
    conductor.events.send(Phase::Prove, EventKind::Started);
    let mut specs = plan.proofs.iter().peekable();
    let (mut fell_back, mut rows) = (false, Vec::new());
    let proof = loop {
        let Some(spec) = specs.next() else {
            return Err(Failure::new(ExitCode::Error, "the plan has no proof"));
        };
        rows.clear();
        let hear = |event: Event| match event.kind {
            EventKind::Counted { tables } => rows.extend(tables),
            _ => errand::repeat(event, conductor),
        };
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
    Ok(Proven { history, position: proof.position, unpacked_bytes: proof.unpacked_bytes, rows })
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

/// The volume of backups is left alone here: it sweeps its own unfinished work.
async fn remove_scratch(course: &mut Course<'_>) -> Result<(), String> {
    if matches!(&course.debt.scratch, ScratchPlace::Store(directory) if is_swept(directory)) {
        return Ok(());
    }
    let leader = course.debt.leader.clone();
    course.tidy(&leader, false, false).await.map(drop).map_err(|error| error.words())
}
