//! Phase 3, its shorter part: the leader starts alone and is looked at, which ends the outage. And its end.

use std::time::Duration;

use super::RestoreError;
use super::course::{Course, StepError, millis};
use super::{chosen, phase1_stop, proven_rows, rows};
use crate::model::event::{EventKind, Phase};
use crate::model::galera::Member;
use crate::model::names::RESTORE_DIRECTORY;
use crate::model::order::ServerAddress;
use crate::model::outcome::in_full;
use crate::model::report::{LastRestore, RestoreReport};
use crate::model::rows::RowCounts;
use crate::model::workload::{Replica, Scale, Started};
use crate::patience::patiently;
use crate::ports::restore::RestorePorts;

/// How often a server that comes up is asked.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// Starts the leader alone, and waits until it serves the restored data.
pub(super) async fn lead(course: &mut Course<'_>) -> Result<(), StepError> {
    let events = course.ports.conductor.events;
    events.send(Phase::Start, EventKind::Started);
    let leader = course.debt.leader.clone();
    let begun = course.ports.conductor.clock.elapsed();
    if !course.resumed {
        phase1_stop::hold(course).await?;
    }
    if course.debt.chosen.is_some() {
        chosen::crown_again(course).await?;
    }
    start_alone(course, &leader).await?;
    // From now on clients may write to it.
    course.debt.opened = true;
    course.record().await?;
    let history = course.debt.history.clone();
    let is_restored = |member: &Member| Some(&member.state_uuid) == history.as_ref();
    let member = answers(course, &leader, course.limits.lead, &is_restored).await?;
    course.debt.served = Some(course.ports.conductor.clock.now());
    course.debt.served_lsn = member.lsn;
    course.took.start_millis = millis(course.ports.conductor.clock.elapsed().saturating_sub(begun));
    let what = if course.debt.chosen.is_some() { "what it has" } else { "the restored data" };
    course.step(Phase::Start, format!("{} serves {what}: the outage is over", leader.pod));
    proven_rows::are_as_proven(course).await
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
    let mut address = None;
    loop {
        let said = ask_at(course.ports, replica, &mut address).await?;
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

pub(super) async fn ask(ports: RestorePorts<'_>, replica: &Replica) -> Result<Result<Member, String>, StepError> {
    ask_at(ports, replica, &mut None).await
}

/// Asks a server for its state: no watch tells that. Where it is, Kubernetes is asked for only as long as
/// nobody answers there.
async fn ask_at(
    ports: RestorePorts<'_>,
    replica: &Replica,
    address: &mut Option<ServerAddress>,
) -> Result<Result<Member, String>, StepError> {
    let conductor = ports.conductor;
    if address.is_none() {
        let view = patiently(conductor, || conductor.cluster.view()).await?;
        let host = view.pod(&replica.pod).and_then(|pod| pod.ip.clone());
        *address = host.map(|host| ServerAddress { host, port: view.server.port });
    }
    let Some(server) = address else { return Ok(Err("it has no address".to_owned())) };
    let said = conductor.galera.member(server).await.map_err(|error| in_full(&error));
    if said.is_err() {
        *address = None;
    }
    Ok(said)
}

/// Takes back what told servers who starts the cluster: a later start must not go by it.
pub(super) async fn forget_bootstrap(course: &Course<'_>) -> Result<(), StepError> {
    let ports = course.ports;
    let Some(config_map) = &course.debt.state_config_map else { return Ok(()) };
    Ok(patiently(ports.conductor, || ports.workload.forget_bootstrap(config_map)).await?)
}

/// Every replica the StatefulSet asks for, the leader first.
pub(super) fn all(course: &Course<'_>) -> Vec<Replica> {
    course.debt.replicas().cloned().collect()
}

/// Removes what is no longer needed, and the record.
pub(super) async fn finish(course: &mut Course<'_>) -> Result<RestoreReport, RestoreError> {
    let full = course.ports.conductor.clock.now();
    let leader = course.debt.leader.clone();
    let rows = rows::compare(course).await;
    // Nothing old is given up while it is in doubt what is new.
    let in_doubt = rows.as_ref().is_some_and(RowCounts::are_in_doubt);
    let keep_old_data = course.debt.keep_old_data || in_doubt;
    let mut kept_old_data = keep_old_data && course.debt.place.has_room_beside();
    let with_old_data = course.debt.first_leader.clone().unwrap_or_else(|| leader.clone());
    // What a person chose was proven by nobody.
    let keep_failed = course.debt.chosen.is_some();
    match course.tidy(&with_old_data, keep_old_data, keep_failed).await {
        Ok(is_set_aside) => kept_old_data &= is_set_aside,
        Err(StepError::World(source)) => return Err(course.interrupted(source)),
        // What cannot be removed will not be removed by trying again: the restore is done all the same.
        Err(error) => {
            kept_old_data = course.debt.place.has_room_beside();
            let message =
                format!("what was set aside may still be on the volume of {}: {}", with_old_data.pod, error.words());
            course.ports.conductor.events.send(Phase::Start, EventKind::Warned { message });
        }
    }
    let debt = &course.debt;
    let since_stop = |end: Option<jiff::Timestamp>| {
        let span = debt.stopped.zip(end).map(|(begin, end)| end.duration_since(begin).as_millis());
        span.and_then(|millis| u64::try_from(millis).ok()).unwrap_or_default()
    };
    let report = RestoreReport {
        backup: debt.backup.clone(),
        leader: leader.pod.clone(),
        replicas: u32::try_from(debt.saved.replicas).unwrap_or(1),
        history: debt.history.clone().unwrap_or_default(),
        stopped_at: debt.stopped_at.clone(),
        restored_to: debt.restored_to.clone(),
        outage_millis: since_stop(debt.served),
        full_strength_millis: since_stop(Some(full)),
        outage_parts: (!course.resumed).then_some(course.took),
        rows,
        kept_on: kept_old_data.then(|| with_old_data.pod.clone()),
        kept_in: kept_old_data.then(|| format!("{RESTORE_DIRECTORY}/old-{}", course.run())),
        resumed: course.resumed,
        is_chosen: debt.chosen.is_some(),
    };
    let last = LastRestore { run: course.run().to_owned(), at: full, report: report.clone(), kept_before: vec![] };
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
            Self::World(error) => in_full(error),
        }
    }
}
