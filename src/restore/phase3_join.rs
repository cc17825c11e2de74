//! Phase 3, its longer part: the restored data are served, and the other replicas get theirs from the leader.

use std::time::Duration;

use futures::future::join_all;

use super::course::{Course, StepError};
use super::phase1_stop;
use super::phase3_start::{all, answers, ask, forget_bootstrap, start_alone, started};
use crate::model::event::{EventKind, Phase};
use crate::model::galera::Member;
use crate::model::order::RefillAct;
use crate::model::workload::Replica;
use crate::patience::patiently;

/// How often the leader is looked at while the others join.
const LOOK_AT_LEADER: Duration = Duration::from_secs(2);

/// How often the others are let join.
const TRIES: u32 = 3;

/// How long one member is waited for before the leader is asked again.
const LOOK: Duration = Duration::from_secs(10);

/// Empties the other volumes, starts all replicas, and waits until each is a member.
///
/// A leader that crashes meanwhile can leave them all waiting for one another for good. Its data are whole:
/// the cluster is stopped, and started with it again.
pub(super) async fn join(course: &mut Course<'_>) -> Result<(), StepError> {
    let leader = course.debt.leader.clone();
    let mut must_revive = course.resumed;
    for tries_left in (0..TRIES).rev() {
        if must_revive {
            revive(course, &leader).await?;
        }
        empty_others(course).await?;
        start_all(course).await?;
        let joined = tokio::select! {
            biased;
            joined = all_started(course) => joined,
            lost = leader_lost(course) => Err(lost),
        };
        match joined {
            Err(StepError::Failed(why)) if tries_left > 0 => course.step(Phase::Start, format!("{why}; once more")),
            done => {
                done?;
                break;
            }
        }
        must_revive = true;
    }
    all_joined(course).await?;
    forget_bootstrap(course).await?;
    course.ports.conductor.events.send(Phase::Start, EventKind::Finished);
    Ok(())
}

async fn start_all(course: &Course<'_>) -> Result<(), StepError> {
    let saved = course.debt.saved;
    course.step(Phase::Start, format!("starting all replicas: {}", saved.replicas));
    Ok(patiently(course.ports.conductor, || course.ports.workload.scale(saved)).await?)
}

async fn all_started(course: &Course<'_>) -> Result<(), StepError> {
    for replica in all(course) {
        started(course, &replica, course.limits.join).await?;
        if replica != course.debt.leader {
            course.step(Phase::Start, format!("{} has joined", replica.pod));
        }
    }
    Ok(())
}

/// Returns when the leader has been out of service for as long as it had to come up at first.
async fn leader_lost(course: &Course<'_>) -> StepError {
    let clock = course.ports.conductor.clock;
    let mut served = clock.elapsed();
    loop {
        clock.sleep(LOOK_AT_LEADER).await;
        match ask(course, &course.debt.leader).await {
            Ok(Ok(member)) if member.cluster_status == "Primary" => served = clock.elapsed(),
            Ok(_) if clock.elapsed().saturating_sub(served) > course.limits.lead => {
                let secs = course.limits.lead.as_secs();
                return StepError::Failed(format!("{} has not served for {secs} s", course.debt.leader.pod));
            }
            // Nobody knows more than before; the API may be away.
            Ok(_) | Err(_) => {}
        }
    }
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
