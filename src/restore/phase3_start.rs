//! Phase 3: the leader starts alone and is looked at, which ends the outage; then the others join.

use std::time::Duration;

use futures::future::join_all;

use super::RestoreError;
use super::course::{Course, StepError};
use super::phase1_stop;
use crate::model::event::{EventKind, Phase};
use crate::model::galera::Member;
use crate::model::obligation::ScratchPlace;
use crate::model::order::{RefillAct, ServerAddress};
use crate::model::report::{LastRestore, RestoreReport};
use crate::model::workload::{Replica, Scale, Started};
use crate::patience::patiently;

/// How often a server that comes up is asked.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// How long one member is waited for before the leader is asked again.
const LOOK: Duration = Duration::from_secs(10);

/// Starts the leader alone, and waits until it serves the restored data.
pub(super) async fn lead(course: &mut Course<'_>) -> Result<(), StepError> {
    let events = course.ports.conductor.events;
    events.send(Phase::Start, EventKind::Started);
    let leader = course.debt.leader.clone();
    start_alone(course, &leader).await?;
    let history = course.debt.history.clone();
    let is_restored = |member: &Member| Some(&member.state_uuid) == history.as_ref();
    let member = answers(course, &leader, course.limits.lead, &is_restored).await?;
    course.debt.served = Some(course.ports.conductor.clock.now());
    course.debt.served_lsn = member.lsn;
    course.step(Phase::Start, format!("{} serves the restored data: the outage is over", leader.pod));
    Ok(())
}

/// Starts one replica and nobody else, as the one that starts the cluster.
pub(super) async fn start_alone(course: &Course<'_>, replica: &Replica) -> Result<(), StepError> {
    let ports = course.ports;
    if let Some(config_map) = &course.debt.state_config_map {
        patiently(ports.conductor, || ports.workload.name_bootstrap(config_map, &replica.pod)).await?;
    }
    course.step(Phase::Start, format!("starting {} alone", replica.pod));
    patiently(ports.conductor, || ports.workload.scale(Scale::alone(replica))).await?;
    started(course, replica, course.limits.lead).await
}

pub(super) async fn started(course: &Course<'_>, replica: &Replica, limit: Duration) -> Result<(), StepError> {
    let ports = course.ports;
    match patiently(ports.conductor, || ports.workload.wait_until_started(&replica.pod, limit)).await? {
        Started::Ready => Ok(()),
        Started::Not(why) => Err(StepError::Failed(format!("{} is not Ready: {why}", replica.pod))),
    }
}

/// Waits until a replica is a Synced member that is as wanted.
pub(super) async fn answers(
    course: &Course<'_>,
    replica: &Replica,
    limit: Duration,
    is_wanted: &(dyn Fn(&Member) -> bool + Sync),
) -> Result<Member, StepError> {
    let clock = course.ports.conductor.clock;
    let deadline = clock.elapsed() + limit;
    loop {
        let said = ask(course, replica).await?;
        let how = match said {
            Ok(member) if member.ready && member.is_synced() && is_wanted(&member) => return Ok(member),
            Ok(member) => format!(
                "it is {} in history {} with {} members",
                if member.state.is_empty() { "<unknown>" } else { &member.state },
                member.state_uuid,
                member.cluster_size
            ),
            Err(why) => why,
        };
        if clock.elapsed() >= deadline {
            return Err(StepError::Failed(format!("{} does not serve as it should: {how}", replica.pod)));
        }
        clock.sleep(ASK_EVERY).await;
    }
}

async fn ask(course: &Course<'_>, replica: &Replica) -> Result<Result<Member, String>, StepError> {
    let conductor = course.ports.conductor;
    let view = patiently(conductor, || conductor.cluster.view()).await?;
    let Some(host) = view.pod(&replica.pod).and_then(|pod| pod.ip.clone()) else {
        return Ok(Err("it has no address".to_owned()));
    };
    let server = ServerAddress { host, port: view.server.port };
    Ok(conductor.galera.member(&server).await.map_err(|error| error.to_string()))
}

/// Empties the other volumes, starts all replicas, and waits until each is a member.
pub(super) async fn join(course: &mut Course<'_>) -> Result<(), StepError> {
    let leader = course.debt.leader.clone();
    if course.resumed {
        revive(course, &leader).await?;
    }
    empty_others(course).await?;
    let saved = course.debt.saved;
    course.step(Phase::Start, format!("starting all replicas: {}", saved.replicas));
    let ports = course.ports;
    patiently(ports.conductor, || ports.workload.scale(saved)).await?;
    for replica in all(course) {
        started(course, &replica, course.limits.join).await?;
        if replica != leader {
            course.step(Phase::Start, format!("{} has joined", replica.pod));
        }
    }
    all_joined(course).await?;
    forget_bootstrap(course).await?;
    ports.conductor.events.send(Phase::Start, EventKind::Finished);
    Ok(())
}

/// Takes back what told servers who starts the cluster: a later start must not go by it.
pub(super) async fn forget_bootstrap(course: &Course<'_>) -> Result<(), StepError> {
    let ports = course.ports;
    let Some(config_map) = &course.debt.state_config_map else { return Ok(()) };
    Ok(patiently(ports.conductor, || ports.workload.forget_bootstrap(config_map)).await?)
}

/// Every replica the StatefulSet asks for, the leader first.
pub(super) fn all(course: &Course<'_>) -> Vec<Replica> {
    let debt = &course.debt;
    std::iter::once(&debt.leader).chain(&debt.others).cloned().collect()
}

/// Waits until every replica is a Synced member of one history, and that is the leader's.
///
/// A cluster that crashed and came back meanwhile may have begun yet another history. It is the restored one
/// all the same when the leader has the data it served before.
async fn all_joined(course: &mut Course<'_>) -> Result<(), StepError> {
    let size = u32::try_from(course.debt.saved.replicas).unwrap_or(1);
    let clock = course.ports.conductor.clock;
    let deadline = clock.elapsed() + course.limits.join;
    loop {
        let left = deadline.saturating_sub(clock.elapsed());
        let history = led(course, left).await?;
        let is_member = |member: &Member| member.state_uuid == history && member.cluster_size >= size;
        let mut joined = true;
        for replica in all(course) {
            // In the time of one look: when the leader has moved on meanwhile, nobody will join it here.
            joined &= answers(course, &replica, LOOK.min(left), &is_member).await.is_ok();
        }
        if joined {
            course.debt.history = Some(history);
            return Ok(());
        }
        if left.is_zero() {
            return Err(StepError::Failed(format!("not all are Synced members of history {history}")));
        }
    }
}

/// Waits until the leader serves the data that were restored, and returns the history it is in.
async fn led(course: &Course<'_>, limit: Duration) -> Result<String, StepError> {
    let lsn = course.debt.served_lsn;
    let leader = course.debt.leader.clone();
    Ok(answers(course, &leader, limit, &|member| member.lsn >= lsn).await?.state_uuid)
}

/// After a dead run: makes sure that the leader serves before anything of the others is given up.
async fn revive(course: &mut Course<'_>, leader: &Replica) -> Result<(), StepError> {
    let history = match led(course, Duration::ZERO).await {
        Ok(history) => history,
        Err(StepError::World(error)) => return Err(StepError::World(error)),
        Err(_) => {
            course.step(Phase::Start, format!("{} does not serve; starting it once more", leader.pod));
            phase1_stop::stop(course).await?;
            course.refill(leader, RefillAct::Crown).await?;
            start_alone(course, leader).await?;
            led(course, course.limits.lead).await?
        }
    };
    if course.debt.history.as_ref() != Some(&history) {
        course.debt.history = Some(history);
        course.record().await?;
    }
    Ok(())
}

/// Empties every other volume, all at once; those that have joined already stay as they are.
async fn empty_others(course: &mut Course<'_>) -> Result<(), StepError> {
    let others = course.debt.others.clone();
    if others.is_empty() {
        return Ok(());
    }
    let claims: Vec<_> = others.iter().map(|replica| replica.claim.clone()).collect();
    let ports = course.ports;
    let users = patiently(ports.conductor, || ports.workload.users(&claims, None)).await?;
    let is_free = |replica: &&Replica| users.iter().all(|user| user.claim != replica.claim);
    let history = course.debt.history.clone().unwrap_or_default();
    let mut specs = Vec::new();
    for replica in others.iter().filter(is_free) {
        specs.push((course.runner(replica, RefillAct::Empty { history: history.clone() }, None), replica));
    }
    course.step(Phase::Start, format!("emptying the other volumes: {}", specs.len()));
    let course = &*course;
    let emptied = join_all(specs.iter().map(|(spec, replica)| course.alone(spec, replica))).await;
    emptied.into_iter().collect::<Result<Vec<_>, _>>().map(drop)
}

/// Removes what is no longer needed, and the record.
pub(super) async fn finish(course: &mut Course<'_>) -> Result<RestoreReport, RestoreError> {
    let full = course.ports.conductor.clock.now();
    let leader = course.debt.leader.clone();
    let scratch = match &course.debt.scratch {
        ScratchPlace::Beside => None,
        ScratchPlace::Store(_) => Some(super::volume::scratch_path(&course.debt.scratch)),
    };
    let act = RefillAct::Tidy { scratch, keep_old_data: course.debt.keep_old_data };
    let mut kept_old_data = course.debt.keep_old_data && course.debt.place.has_siblings();
    match course.refill_beside(&leader, act).await {
        Ok(_) => {}
        Err(StepError::World(source)) => return Err(course.interrupted(source)),
        // What cannot be removed will not be removed by trying again: the restore is done all the same.
        Err(error) => {
            kept_old_data = course.debt.place.has_siblings();
            let message = format!("what was set aside may still be on the volume of {}: {}", leader.pod, error.words());
            course.ports.conductor.events.send(Phase::Start, EventKind::Warned { message });
        }
    }
    let debt = &course.debt;
    let millis = |end: Option<jiff::Timestamp>| {
        let span = debt.stopped.zip(end).map(|(begin, end)| end.duration_since(begin).as_millis());
        span.and_then(|millis| u64::try_from(millis).ok()).unwrap_or_default()
    };
    let report = RestoreReport {
        backup: debt.backup.clone(),
        leader: leader.pod.clone(),
        replicas: u32::try_from(debt.saved.replicas).unwrap_or(1),
        history: debt.history.clone().unwrap_or_default(),
        outage_millis: millis(debt.served),
        full_strength_millis: millis(Some(full)),
        kept_old_data,
        resumed: course.resumed,
    };
    let last = LastRestore { run: course.run().to_owned(), at: full, report: report.clone() };
    let ports = course.ports;
    patiently(ports.conductor, || ports.workload.finish(course.run(), &last))
        .await
        .map_err(|source| course.interrupted(source))?;
    Ok(report)
}

impl StepError {
    /// What went wrong, in words.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Failed(why) | Self::Intruded(why) => why.clone(),
            Self::World(error) => error.to_string(),
        }
    }
}
