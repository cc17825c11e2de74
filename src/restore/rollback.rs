//! The way back: the old cluster is started again, from the data set aside or from a replica that nobody
//! touched.

use futures::future::join_all;

use super::RestoreError;
use super::course::{Course, StepError};
use super::phase1_stop;
use super::phase3_start::{all, answers, forget_bootstrap, start_alone, started};
use crate::model::event::{EventKind, Phase};
use crate::model::galera::SavedState;
use crate::model::obligation::Stage;
use crate::model::order::RefillAct;
use crate::model::workload::Replica;
use crate::patience::patiently;

/// Brings the old cluster back and says how the restore ended.
pub(super) async fn run(course: &mut Course<'_>) -> RestoreError {
    let events = course.ports.conductor.events;
    events.send(Phase::RollBack, EventKind::Started);
    course.step(Phase::RollBack, "bringing the old cluster back");
    course.dismiss_waiting().await;
    let why = course.debt.why.clone().unwrap_or_default();
    let backup = course.debt.backup.clone();
    match back(course).await {
        Ok(()) => {
            events.send(Phase::RollBack, EventKind::Finished);
            RestoreError::RolledBack { backup, why }
        }
        Err(StepError::World(source)) => course.interrupted(source),
        Err(StepError::Failed(trouble) | StepError::Intruded(trouble)) => {
            RestoreError::NeedsPerson { backup, why, trouble, instructions: instructions(course) }
        }
    }
}

async fn back(course: &mut Course<'_>) -> Result<(), StepError> {
    match phase1_stop::stop(course).await {
        Ok(()) => {}
        // Whoever holds a volume may be further than all others: nobody else may be told to start the cluster.
        Err(StepError::Failed(why)) if course.debt.reached <= Stage::Stopping => {
            course.step(Phase::RollBack, format!("{why}; starting the cluster as it was"));
            return as_it_was(course).await;
        }
        Err(error) => return Err(error),
    }
    let history = course.debt.history.clone();
    let leader = course.debt.leader.clone();
    if course.debt.reached >= Stage::Switching {
        course.refill(&leader, RefillAct::PutBack { history: history.clone() }).await?;
    }
    let furthest = furthest(course).await?;
    course.refill(&furthest, RefillAct::Crown).await?;
    start_alone(course, &furthest).await?;
    let is_old = |member: &crate::model::galera::Member| Some(&member.state_uuid) != history.as_ref();
    answers(course, &furthest, course.limits.lead, &is_old).await.map(drop)?;
    course.step(Phase::RollBack, format!("{} serves the old data", furthest.pod));
    as_it_was(course).await
}

/// Starts all replicas, waits for them, and clears the record.
async fn as_it_was(course: &mut Course<'_>) -> Result<(), StepError> {
    let ports = course.ports;
    patiently(ports.conductor, || ports.workload.scale(course.debt.saved)).await?;
    for replica in all(course) {
        started(course, &replica, course.limits.join).await?;
    }
    forget_bootstrap(course).await?;
    let leader = course.debt.leader.clone();
    let act = RefillAct::Tidy { scratch: None, keep_old_data: false };
    if course.debt.place.has_siblings() {
        match course.refill_beside(&leader, act).await {
            Err(StepError::World(source)) => return Err(StepError::World(source)),
            Err(error) => {
                let place = format!("what was unpacked may still be on the volume of {}", leader.pod);
                let message = format!("{place}: {}", error.words());
                ports.conductor.events.send(Phase::RollBack, EventKind::Warned { message });
            }
            Ok(_) => {}
        }
    }
    patiently(ports.conductor, || ports.conductor.cluster.clear_obligation(course.run())).await?;
    Ok(())
}

/// Finds the replica whose old data are furthest; on a tie the one that is easiest to start alone.
async fn furthest(course: &mut Course<'_>) -> Result<Replica, StepError> {
    let replicas = all(course);
    let mut sent = Vec::new();
    for replica in &replicas {
        sent.push((course.runner(replica, RefillAct::Position, None), replica));
    }
    let asked = {
        let course = &*course;
        join_all(sent.iter().map(|(spec, replica)| course.alone(spec, replica))).await
    };
    let mut found: Vec<(Replica, SavedState)> = Vec::new();
    for (replica, report) in replicas.iter().zip(asked) {
        let report = report?;
        let old = report.state.filter(|state| report.has_data && Some(&state.uuid) != course.debt.history.as_ref());
        if let Some(state) = old.filter(SavedState::has_history) {
            course.step(Phase::RollBack, format!("{} is at {}:{}", replica.pod, state.uuid, state.seqno));
            found.push((replica.clone(), state));
        }
    }
    let first = course.debt.saved.first;
    found
        .into_iter()
        .max_by_key(|(replica, state)| (state.seqno, replica.ordinal == first, -replica.ordinal))
        .map(|(replica, _)| replica)
        .ok_or_else(|| StepError::Failed("no volume holds old data that a cluster could be started from".to_owned()))
}

/// What a person types to bring back what can be brought back.
fn instructions(course: &Course<'_>) -> String {
    let debt = &course.debt;
    let claims: Vec<_> = all(course).iter().map(|replica| replica.claim.clone()).collect();
    let aside = if debt.place.has_siblings() {
        format!(
            "the old data of {} are in .mariadb-backup/old-{} on claim {}, or in its {} again",
            debt.leader.pod,
            course.run(),
            debt.leader.claim,
            debt.place.directory
        )
    } else {
        format!("the old data are on the claims other than {}", debt.leader.claim)
    };
    format!(
        "kubectl mariadb-backup recover tries again; nothing is removed meanwhile: {aside}; the StatefulSet asked for {} replicas from ordinal {} on, on claims {}",
        debt.saved.replicas,
        debt.saved.first,
        claims.join(", ")
    )
}
