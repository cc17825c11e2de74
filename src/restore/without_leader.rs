//! The way back where the leader's volume cannot be put in order, such as one that has turned read-only: the old
//! cluster serves without it until somebody has mended it.

use super::course::{Course, StepError};
use super::phase3_start::{ask, forget_bootstrap, started};
use super::rollback::{self, NotBack};
use super::serving::{LOOK, for_a_while};
use super::{phase1_stop, positions};
use crate::model::event::Phase;
use crate::model::galera::{Member, SavedState};
use crate::model::names::RESTORE_DIRECTORY;
use crate::model::order::RefillAct;
use crate::model::workload::{Replica, Scale};
use crate::patience::patiently;

/// Starts the old cluster from the furthest of the others, with as many of them as can run without the leader:
/// its volume may hold restored data that let it start a cluster of its own. Returns what came of it.
pub(super) async fn serve(course: &mut Course<'_>, trouble: String) -> NotBack {
    if course.debt.stood_at_zero {
        return StepError::Failed(trouble).into();
    }
    let leader = course.debt.leader.pod.clone();
    course.step(Phase::RollBack, format!("{trouble}; starting the old cluster without {leader}"));
    match by_others(course).await {
        Ok(()) => NotBack::Partly(format!("{leader} is left out: {trouble}")),
        Err(NotBack::Step(StepError::Failed(why) | StepError::Intruded(why))) => {
            StepError::Failed(format!("{trouble}; {why}")).into()
        }
        Err(error) => error,
    }
}

async fn by_others(course: &mut Course<'_>) -> Result<(), NotBack> {
    let others = course.debt.others.clone();
    let (first, member) = rollback::lead(course, &others).await?;
    // Whoever goes on goes by what is served from now on.
    course.debt.previous = Some(member.state_uuid);
    course.record().await.map_err(StepError::from)?;
    if let Some(stood) = course.debt.stopped_at.clone()
        && stood.uuid == first.state.uuid
        && stood.seqno > first.state.seqno
    {
        let (pod, from, to) = (&course.debt.leader.pod, first.state.seqno + 1, stood.seqno);
        rollback::warn(course, format!("write-sets {from} to {to} are on {pod} alone, if anywhere"));
    }
    let scale = without(course, &first.replica).await?;
    let range = scale.first..scale.first + scale.replicas;
    for replica in course.debt.others.iter().filter(|of| range.contains(&of.ordinal)) {
        match started(course, replica, course.limits.lead).await {
            // One that does not come up is nobody's obstacle: the cluster serves.
            Err(StepError::Failed(why)) => course.step(Phase::RollBack, why),
            done => done?,
        }
    }
    // With others there, nobody may start the cluster by that mark any more.
    if scale.replicas > 1 {
        forget_bootstrap(course).await?;
    }
    Ok(())
}

/// Asks for as many as can run of those without the leader.
async fn without(course: &Course<'_>, first: &Replica) -> Result<Scale, StepError> {
    let scale = course.debt.saved.around(first, &course.debt.leader);
    patiently(course.ports.conductor, || course.ports.workload.scale(scale)).await?;
    Ok(scale)
}

/// One of the others by which the old cluster serves, if it does: asked again for a while, as who serves is never
/// stopped for want of an answer.
pub(super) async fn serving(course: &Course<'_>) -> Result<Option<(Replica, Member)>, StepError> {
    let ports = course.ports;
    let claims: Vec<_> = course.debt.others.iter().map(|replica| replica.claim.clone()).collect();
    if patiently(ports.conductor, || ports.workload.users(&claims, None)).await?.is_empty() {
        return Ok(None);
    }
    for_a_while(course, LOOK, async || {
        for replica in &course.debt.others {
            if let Some(member) = old(course, replica).await? {
                return Ok(Some((replica.clone(), member)));
            }
        }
        Ok(None)
    })
    .await
}

/// What a replica says that serves the old data.
async fn old(course: &Course<'_>, replica: &Replica) -> Result<Option<Member>, StepError> {
    let said = ask(course.ports, replica).await?.ok();
    Ok(said.filter(|of| of.serves() && course.debt.is_old(&of.state_uuid)))
}

/// Puts the leader's old data back while the others serve, and lets it join them.
pub(super) async fn put_back(course: &mut Course<'_>, serving: &(Replica, Member)) -> Result<(), NotBack> {
    let (first, member) = serving;
    let leader = course.debt.leader.clone();
    let joined = old(course, &leader).await?.is_some_and(|of| of.state_uuid == member.state_uuid);
    if !joined {
        course.step(Phase::RollBack, format!("{} serves the old data; {} joins it", first.pod, leader.pod));
        without(course, first).await?;
        course.others_serve = true;
        partly(apart(course, &leader).await)?;
        partly(in_order(course, &leader, member).await)?;
    }
    partly(rollback::join(course, member).await)
}

/// The cluster serves, whatever comes to nothing here.
pub(super) fn partly(done: Result<(), StepError>) -> Result<(), NotBack> {
    match done {
        Err(StepError::Failed(why) | StepError::Intruded(why)) => Err(NotBack::Partly(why)),
        done => Ok(done?),
    }
}

/// Makes sure that nobody has the leader's volume.
async fn apart(course: &Course<'_>, leader: &Replica) -> Result<(), StepError> {
    let ports = course.ports;
    patiently(ports.conductor, || ports.workload.end_pod(&leader.pod)).await?;
    let claims = [leader.claim.clone()];
    let free = || ports.workload.wait_until_free(&claims, None, course.limits.stop);
    let left = patiently(ports.conductor, free).await?;
    if left.is_empty() { Ok(()) } else { Err(StepError::Failed(phase1_stop::not_free(&left, 0, course.limits.stop))) }
}

/// What has gone on without the leader may have other write-sets by the numbers that its own data have: then these
/// are set aside, and it gets everything anew. Whoever joins must not be told to start a cluster of its own either.
async fn in_order(course: &mut Course<'_>, leader: &Replica, member: &Member) -> Result<(), StepError> {
    let history = course.debt.history.clone();
    let report = course.refill(leader, RefillAct::PutBack { history }).await?;
    if !report.has_data {
        return Ok(());
    }
    course.refill(leader, RefillAct::Uncrown).await?;
    let told = positions::of(course, std::slice::from_ref(leader)).await?;
    let from = course.debt.went_on_from;
    let is_part =
        |of: &SavedState| of.uuid == member.state_uuid && of.seqno >= 0 && from.is_some_and(|from| of.seqno <= from);
    if told.found.iter().any(|of| !of.in_doubt && is_part(&of.state)) {
        return Ok(());
    }
    if !course.debt.place.has_room_beside() {
        let (pod, claim) = (&leader.pod, &leader.claim);
        return Err(StepError::Failed(format!(
            "the old data of {pod} may have what the others lack, and nothing can be set aside there; save what you need of claim {claim}, and empty it"
        )));
    }
    course.refill(leader, RefillAct::SetAside).await?;
    course.keeps_old = true;
    let place = format!("{RESTORE_DIRECTORY}/old-{} on claim {}", course.run(), leader.claim);
    rollback::warn(
        course,
        format!("the old data of {} stay in {place}: they may have what the others lack", leader.pod),
    );
    Ok(())
}
