//! The way back where the leader's volume cannot be put in order, such as one that has turned read-only: the old
//! cluster serves without it until somebody has mended it.

use super::course::{Course, StepError};
use super::phase3_start::{ask, started};
use super::positions;
use super::rollback::{self, NotBack};
use crate::model::event::Phase;
use crate::model::galera::Member;
use crate::model::order::RefillAct;
use crate::model::workload::Replica;
use crate::patience::patiently;

/// Starts the old cluster from the furthest of the others, with as many of them as can run without the leader:
/// its volume may hold restored data that let it start a cluster of its own. Returns what came of it.
pub(super) async fn serve(course: &mut Course<'_>, trouble: String) -> NotBack {
    if course.debt.stood_at_zero {
        return StepError::Failed(trouble).into();
    }
    course.step(Phase::RollBack, format!("{trouble}; starting the old cluster without {}", course.debt.leader.pod));
    let others = course.debt.others.clone();
    match rollback::lead(course, &others).await {
        Ok((first, _)) => match start_others(course, &first).await {
            Ok(()) => NotBack::WithoutLeader(trouble),
            Err(error) => error.into(),
        },
        Err(StepError::World(error)) => StepError::World(error).into(),
        Err(error) => StepError::Failed(format!("{trouble}; {}", error.words())).into(),
    }
}

/// Starts those beside the first that can be. One that does not come up is nobody's obstacle: the cluster serves.
async fn start_others(course: &Course<'_>, first: &Replica) -> Result<(), StepError> {
    let scale = course.debt.saved.around(first, &course.debt.leader);
    patiently(course.ports.conductor, || course.ports.workload.scale(scale)).await?;
    let range = scale.first..scale.first + scale.replicas;
    for replica in course.debt.others.iter().filter(|of| range.contains(&of.ordinal)) {
        match started(course, replica, course.limits.join).await {
            Err(StepError::Failed(why)) => course.step(Phase::RollBack, why),
            done => done?,
        }
    }
    Ok(())
}

/// The replica by which the old cluster serves while nobody has the leader's volume, if it does.
pub(super) async fn serving(course: &mut Course<'_>) -> Result<Option<(Replica, Member)>, StepError> {
    let claims = [course.debt.leader.claim.clone()];
    let workload = course.ports.workload;
    if !patiently(course.ports.conductor, || workload.users(&claims, None)).await?.is_empty() {
        return Ok(None);
    }
    let (previous, history) = (course.debt.previous.clone(), course.debt.history.clone());
    let is_old = |uuid: &String| match &previous {
        Some(previous) => uuid == previous,
        None => Some(uuid) != history.as_ref(),
    };
    for replica in course.debt.others.clone() {
        if let Ok(member) = ask(course.ports, &replica).await?
            && member.ready
            && member.cluster_status == "Primary"
            && is_old(&member.state_uuid)
        {
            return Ok(Some((replica, member)));
        }
    }
    Ok(None)
}

/// Puts the leader's old data back while the others serve, and lets it join them.
pub(super) async fn put_back(course: &mut Course<'_>, serving: &(Replica, Member)) -> Result<(), NotBack> {
    let (first, member) = serving;
    let leader = course.debt.leader.clone();
    course.step(Phase::RollBack, format!("{} serves the old data; {} joins it", first.pod, leader.pod));
    course.others_serve = true;
    match in_order(course, &leader).await {
        Ok(()) => Ok(rollback::join(course, member).await?),
        Err(StepError::Failed(trouble)) => Err(NotBack::WithoutLeader(trouble)),
        Err(error) => Err(error.into()),
    }
}

/// Whoever joins must not be told to start a cluster of its own.
async fn in_order(course: &mut Course<'_>, leader: &Replica) -> Result<(), StepError> {
    let history = course.debt.history.clone();
    course.refill(leader, RefillAct::PutBack { history }).await?;
    let found = positions::of(course, std::slice::from_ref(leader)).await?;
    if found.iter().any(|of| of.state.safe_to_bootstrap) {
        course.refill(leader, RefillAct::Uncrown).await?;
    }
    Ok(())
}
