//! Phase 3, its longer part: the restored data are served, and the other replicas get theirs from the leader.

use std::time::Duration;

use futures::future::join_all;

use super::course::{Course, StepError};
use super::phase3_start::{all, answers, ask, forget_bootstrap, start_alone, started};
use super::{phase1_lend, phase1_stop, positions, strays};
use crate::model::event::{EventKind, Phase};
use crate::model::galera::Member;
use crate::model::obligation::RestoreDebt;
use crate::model::order::RefillAct;
use crate::model::workload::{Replica, Scale};
use crate::patience::patiently;
use crate::ports::conductor::RunnerSpec;

/// How often it is looked whether anybody serves while the others join.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How often the others are let join.
const TRIES: u32 = 3;

/// How long one member is waited for before the leader is asked again.
const LOOK: Duration = Duration::from_secs(10);

/// Gives the other volumes what was lent to them, or empties them; starts all replicas, and waits until each is a member.
///
/// A leader that crashes meanwhile can leave them all waiting for one another for good. The restored data
/// are whole: the cluster is stopped, and started again from whoever is furthest with them.
pub(super) async fn join(course: &mut Course<'_>) -> Result<(), StepError> {
    for tries_left in (0..TRIES).rev() {
        let again = tries_left + 1 < TRIES;
        if again || course.resumed {
            revive(course).await?;
        }
        prepare_others(course, again).await?;
        start_all(course).await?;
        let joined = tokio::select! {
            biased;
            joined = all_started(course) => joined,
            lost = lost(course) => Err(lost),
            never = strays::restart(course) => match never {},
        };
        match joined {
            Err(StepError::Failed(why)) if tries_left > 0 => course.step(Phase::Start, format!("{why}; once more")),
            done => {
                done?;
                break;
            }
        }
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

/// The first replica that serves the restored data, if any does: also while it feeds another one.
async fn serving(course: &Course<'_>) -> Result<Option<(Replica, Member)>, StepError> {
    for replica in all(course) {
        if let Ok(member) = ask(course, &replica).await?
            && member.ready
            && member.cluster_status == "Primary"
            && is_restored(&course.debt, &replica, &member)
        {
            return Ok(Some((replica, member)));
        }
    }
    Ok(None)
}

/// A cluster that crashed and came back may have begun yet another history. It is the restored one all the
/// same when the leader has the data it served before: its redo only grows.
fn is_restored(debt: &RestoreDebt, replica: &Replica, member: &Member) -> bool {
    let in_history = debt.history.as_ref() == Some(&member.state_uuid);
    let is_old = debt.previous.as_ref() == Some(&member.state_uuid);
    in_history || (!is_old && *replica == debt.leader && member.lsn >= debt.served_lsn)
}

/// Returns when nobody has served for as long as the leader had to come up at first.
async fn lost(course: &Course<'_>) -> StepError {
    let clock = course.ports.conductor.clock;
    let mut served = clock.elapsed();
    loop {
        clock.sleep(LOOK_EVERY).await;
        match serving(course).await {
            Ok(Some(_)) => served = clock.elapsed(),
            Ok(None) if clock.elapsed().saturating_sub(served) > course.limits.lead => {
                let secs = course.limits.lead.as_secs();
                return StepError::Failed(format!("nobody has served the restored data for {secs} s"));
            }
            // Nobody knows more than before; the API may be away.
            Ok(None) | Err(_) => {}
        }
    }
}

/// Makes sure that the restored data are served before anything of the others is given up. Nobody who serves
/// them is ever stopped for it.
async fn revive(course: &mut Course<'_>) -> Result<(), StepError> {
    let clock = course.ports.conductor.clock;
    let deadline = clock.elapsed() + course.limits.lead;
    loop {
        if let Some((_, member)) = serving(course).await? {
            return adopt(course, &member).await;
        }
        if clock.elapsed() >= deadline {
            break;
        }
        clock.sleep(LOOK_EVERY).await;
    }
    course.step(Phase::Start, "nobody serves the restored data; starting from whoever is furthest with them");
    phase1_stop::stop(course).await?;
    let leader = furthest_restored(course).await?;
    if leader != course.debt.leader {
        let old = std::mem::replace(&mut course.debt.leader, leader.clone());
        course.debt.others.retain(|replica| *replica != leader);
        course.debt.others.push(old);
    }
    course.record().await?;
    course.refill(&leader, RefillAct::Crown { state: None }).await?;
    start_alone(course, &leader).await?;
    let previous = course.debt.previous.clone();
    let is_new = |member: &Member| Some(&member.state_uuid) != previous.as_ref();
    let member = answers(course, &leader, course.limits.lead, &is_new).await?;
    course.debt.served_lsn = member.lsn;
    adopt(course, &member).await
}

/// Goes by the history that is served from now on.
async fn adopt(course: &mut Course<'_>, member: &Member) -> Result<(), StepError> {
    if course.debt.history.as_ref() != Some(&member.state_uuid) {
        course.debt.history = Some(member.state_uuid.clone());
        course.record().await?;
    }
    Ok(())
}

/// The replica that is furthest in the restored history; the leader where none is in it.
async fn furthest_restored(course: &mut Course<'_>) -> Result<Replica, StepError> {
    let found = positions::of(course, &all(course)).await?;
    let debt = &course.debt;
    let restored: Vec<_> = found.iter().filter(|of| debt.history.as_ref() == Some(&of.state.uuid)).cloned().collect();
    let of_leader = || {
        let leads = |of: &&positions::Found| of.replica == debt.leader;
        found.iter().find(leads).filter(|of| debt.previous.as_ref() != Some(&of.state.uuid))
    };
    let best = positions::furthest(&restored, debt.saved.first).or_else(of_leader);
    best.map(|of| of.replica.clone())
        .ok_or_else(|| StepError::Failed("no volume holds the restored data in a state to start from".to_owned()))
}

/// Makes the volumes of those ready that do not serve yet, all at once; the leader goes on serving meanwhile.
///
/// On the first try, what has the restored data already is left as it is; later, data that did not come up
/// are given up.
async fn prepare_others(course: &mut Course<'_>, again: bool) -> Result<(), StepError> {
    let mut late = Vec::new();
    for replica in course.debt.others.clone() {
        let serves = ask(course, &replica)
            .await?
            .is_ok_and(|member| member.is_synced() && course.debt.history.as_ref() == Some(&member.state_uuid));
        late.extend((!serves).then_some(replica));
    }
    if late.is_empty() {
        return Ok(());
    }
    only_leader(course).await?;
    let history = course.debt.history.clone().filter(|_| !again);
    let lent = phase1_lend::source(course).zip(history.clone());
    let mut sent = Vec::new();
    for replica in &late {
        let fill = lent.clone().map(|(source, history)| RefillAct::Fill { source, history });
        let fill = fill.map(|act| course.runner(replica, act, None));
        sent.push((replica, fill, course.runner(replica, RefillAct::Empty { history: history.clone() }, None)));
    }
    let what = if lent.is_some() { "copying the restored data to" } else { "emptying" };
    course.step(Phase::Start, format!("{what} the other volumes: {}", sent.len()));
    let course = &*course;
    let prepared = sent.iter().map(|(replica, fill, empty)| prepare(course, replica, fill.as_ref(), empty));
    join_all(prepared).await.into_iter().collect()
}

/// Fills a volume with what was lent to it; empties it where there is nothing, or where that fails.
async fn prepare(
    course: &Course<'_>,
    replica: &Replica,
    fill: Option<&RunnerSpec>,
    empty: &RunnerSpec,
) -> Result<(), StepError> {
    if let Some(fill) = fill {
        match course.alone(fill, replica).await {
            Err(StepError::Failed(why)) => {
                let leader = &course.debt.leader.pod;
                let message = format!("{} gets everything from {leader} instead: {why}", replica.pod);
                course.ports.conductor.events.send(Phase::Start, EventKind::Warned { message });
            }
            filled => return filled.map(drop),
        }
    }
    course.alone(empty, replica).await.map(drop)
}

/// Makes sure that no other replica has its volume.
async fn only_leader(course: &Course<'_>) -> Result<(), StepError> {
    let ports = course.ports;
    let alone = Scale::alone(&course.debt.leader);
    let claims: Vec<_> = course.debt.others.iter().map(|replica| replica.claim.clone()).collect();
    if patiently(ports.conductor, || ports.workload.users(&claims, None)).await?.is_empty() {
        return Ok(());
    }
    patiently(ports.conductor, || ports.workload.scale(alone)).await?;
    for replica in &course.debt.others {
        patiently(ports.conductor, || ports.workload.end_pod(&replica.pod)).await?;
    }
    let free = || ports.workload.wait_until_free(&claims, None, course.limits.stop);
    match patiently(ports.conductor, free).await?.first() {
        None => Ok(()),
        Some(user) => Err(StepError::Failed(format!("{} still has claim {}", user.by, user.claim))),
    }
}

/// Waits until every replica is a Synced member of one history, and that is the leader's.
async fn all_joined(course: &mut Course<'_>) -> Result<(), StepError> {
    let size = u32::try_from(course.debt.saved.replicas).unwrap_or(1);
    let clock = course.ports.conductor.clock;
    let deadline = clock.elapsed() + course.limits.join;
    loop {
        let left = deadline.saturating_sub(clock.elapsed());
        let leader = course.debt.leader.clone();
        let debt = course.debt.clone();
        let is_led = |member: &Member| is_restored(&debt, &debt.leader, member);
        let led = answers(course, &leader, left, &is_led).await?;
        adopt(course, &led).await?;
        let is_member = |member: &Member| member.state_uuid == led.state_uuid && member.cluster_size >= size;
        let mut joined = true;
        for replica in all(course) {
            // In the time of one look: when the leader has moved on meanwhile, nobody will join it here.
            joined &= answers(course, &replica, LOOK.min(left), &is_member).await.is_ok();
        }
        if joined {
            return Ok(());
        }
        if left.is_zero() {
            let history = &led.state_uuid;
            return Err(StepError::Failed(format!("not all are Synced members of history {history}")));
        }
    }
}
