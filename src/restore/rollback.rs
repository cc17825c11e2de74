//! The way back: the old cluster is started again, from the data set aside or from a replica that nobody
//! touched.

use std::collections::BTreeSet;
use std::time::Duration;

use super::RestoreError;
use super::course::{Course, StepError};
use super::error::why_not_aside;
use super::phase3_start::{all, answers, forget_bootstrap, start_alone, started};
use super::positions::{Found, Told};
use super::serving::{LOOK, anybody, for_a_while};
use super::{chosen, phase1_stop, positions, strays, without_leader};
use crate::model::event::{EventKind, Phase};
use crate::model::galera::Member;
use crate::model::names::RESTORE_DIRECTORY;
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
            RestoreError::RolledBack { backup, why, how: how_it_is(course) }
        }
        Err(not) => not_back(course, not, &why),
    }
}

/// What is left to be told where the cluster is not back as it was.
pub(super) fn not_back(course: &Course<'_>, not: NotBack, why: &str) -> RestoreError {
    let (backup, why) = (course.debt.backup.clone(), why.to_owned());
    match not {
        NotBack::Partly(trouble) => RestoreError::PartlyBack { backup, why, trouble: trouble.into() },
        NotBack::Step(StepError::World(source)) => course.interrupted(source),
        NotBack::Step(StepError::Failed(trouble) | StepError::Intruded(trouble)) | NotBack::LeaderIsStuck(trouble) => {
            let instructions = chosen::instructions(&course.debt, course.run()).into();
            RestoreError::NeedsPerson { backup, why, trouble: trouble.into(), instructions }
        }
    }
}

/// Why the old cluster is not back as it was.
pub(super) enum NotBack {
    /// What was tried came to nothing.
    Step(StepError),
    /// What has to be done to the leader's volume cannot be done.
    LeaderIsStuck(String),
    /// It serves, but not whole, for that reason.
    Partly(String),
}

impl From<StepError> for NotBack {
    fn from(error: StepError) -> Self {
        Self::Step(error)
    }
}

fn how_it_is(course: &Course<'_>) -> &'static str {
    if course.debt.stood_at_zero {
        "the old data are in place, and the cluster is stopped as it was"
    } else {
        "the old cluster is back"
    }
}

async fn back(course: &mut Course<'_>) -> Result<(), NotBack> {
    let is_untouched = course.debt.reached <= Stage::Stopping;
    if is_untouched && old_serves(course).await? {
        course.step(Phase::RollBack, "the old cluster serves; it was not stopped, or is started again");
        // One that somebody has started since is his.
        if !course.debt.stood_at_zero {
            scale_back(course, course.limits.join).await?;
        }
        return Ok(as_it_was(course).await?);
    }
    if course.resumed
        && !is_untouched
        && !course.debt.stood_at_zero
        && let Some(serving) = without_leader::serving(course).await?
    {
        without_leader::put_back(course, &serving).await?;
        return Ok(as_it_was(course).await?);
    }
    match phase1_stop::stop(course).await {
        Ok(()) => {}
        // Whoever holds a volume may be further than all others: nobody else may be told to start the cluster.
        Err(StepError::Failed(why)) if course.debt.reached <= Stage::Stopping => {
            course.step(Phase::RollBack, format!("{why}; leaving the cluster as it was"));
            if !course.debt.stood_at_zero {
                scale_back(course, course.limits.lead).await?;
            }
            return Ok(as_it_was(course).await?);
        }
        Err(error) => return Err(error.into()),
    }
    if course.debt.reached >= Stage::Switching {
        match put_back(course).await {
            // In another stage it is recorded that nobody else has the old data, and how to go on then.
            Err(StepError::Failed(trouble)) if course.debt.stage == Stage::RollingBack => {
                return Err(without_leader::serve(course, trouble).await);
            }
            done => done?,
        }
    }
    if course.debt.stood_at_zero && (course.debt.place.has_room_beside() || course.debt.reached < Stage::Switching) {
        course.step(Phase::RollBack, "the cluster was stopped before, and stays so");
        return Ok(as_it_was(course).await?);
    }
    let member = match lead(course, &all(course)).await {
        Err(NotBack::LeaderIsStuck(trouble)) => return Err(without_leader::serve(course, trouble).await),
        led => led?.1,
    };
    without_leader::partly(join(course, &member).await)?;
    if course.debt.stood_at_zero {
        // Stopped with its leader's volume empty, whoever starts it next could begin with nothing.
        course.step(Phase::RollBack, "all replicas have the old data; stopping the cluster again, as it was");
        phase1_stop::stop(course).await?;
    }
    Ok(as_it_was(course).await?)
}

/// Starts the furthest of those replicas alone, with its old data.
pub(super) async fn lead(course: &mut Course<'_>, of: &[Replica]) -> Result<(Found, Member), NotBack> {
    let told = positions::of(course, of).await?;
    let furthest = furthest(course, &told)?;
    for other in told.found.iter().filter(|of| of.state.safe_to_bootstrap && of.replica != furthest.replica) {
        mark(course, &other.replica, RefillAct::Uncrown).await?;
    }
    mark(course, &furthest.replica, RefillAct::Crown { state: Some(furthest.state.clone()) }).await?;
    // Whoever is further than that has write-sets that are not in what is served from now on.
    course.debt.went_on_from = Some(furthest.state.seqno);
    course.record().await.map_err(StepError::from)?;
    start_alone(course, &furthest.replica).await?;
    let history = course.debt.history.clone();
    let is_old = |member: &Member| Some(&member.state_uuid) != history.as_ref();
    let member = answers(course, &furthest.replica, course.limits.lead, &is_old).await?;
    course.step(Phase::RollBack, format!("{} serves the old data", furthest.replica.pod));
    Ok((furthest, member))
}

async fn mark(course: &mut Course<'_>, replica: &Replica, act: RefillAct) -> Result<(), NotBack> {
    match course.refill(replica, act).await {
        Err(StepError::Failed(why)) if *replica == course.debt.leader => Err(NotBack::LeaderIsStuck(why)),
        done => Ok(done.map(drop)?),
    }
}

/// Starts all replicas, and waits until each is in one cluster with that member.
pub(super) async fn join(course: &Course<'_>, with: &Member) -> Result<(), StepError> {
    scale_back(course, course.limits.join).await?;
    let size = u32::try_from(course.debt.saved.replicas).unwrap_or(1);
    let is_member = |of: &Member| of.state_uuid == with.state_uuid && of.cluster_size >= size;
    for replica in all(course) {
        answers(course, &replica, course.limits.lead, &is_member).await?;
    }
    Ok(())
}

/// Whether anybody serves the data that nobody has touched yet.
async fn old_serves(course: &Course<'_>) -> Result<bool, StepError> {
    let ports = course.ports;
    let claims = phase1_stop::all_claims(course);
    // Since its run has died, the cluster may be on its way up.
    let comes_up =
        course.resumed && !patiently(ports.conductor, || ports.workload.users(&claims, None)).await?.is_empty();
    let limit = if comes_up { LOOK } else { Duration::ZERO };
    Ok(for_a_while(course, limit, async || anybody(course).await).await?.is_some())
}

/// Puts the leader's old data back; where none were set aside, only once another replica is known to have
/// them: the restored ones would be gone too.
async fn put_back(course: &mut Course<'_>) -> Result<(), StepError> {
    let leader = course.debt.leader.clone();
    if !course.debt.place.has_room_beside() && !is_untouched(course).await? {
        let others = course.debt.others.clone();
        let told = positions::of(course, &others).await?;
        if let Err(why) = furthest(course, &told) {
            let (stage, has) = match course.debt.reached {
                Stage::Switching => {
                    (Stage::Switching, "has given its own up; to try again puts the restored ones into place")
                }
                _ => (Stage::Starting, "keeps the restored ones"),
            };
            course.debt.stage = stage;
            course.record().await?;
            return Err(StepError::Failed(format!("{}, and {} {has}", why.words(), leader.pod)));
        }
        if course.debt.opened {
            let lost = format!("is lost: {}", why_not_aside(course.debt.place.is_full));
            let pod = &leader.pod;
            warn(course, format!("what clients wrote to {pod} while it served the restored data {lost}"));
        }
    }
    let act = RefillAct::PutBack { history: course.debt.history.clone() };
    course.refill(&leader, act).await.map(drop)
}

/// Whether the leader still has its old data, whole, where they were: the switch failed before it touched anything.
async fn is_untouched(course: &mut Course<'_>) -> Result<bool, StepError> {
    let leader = course.debt.leader.clone();
    let look = course.refill(&leader, RefillAct::Look).await?;
    let is_restored = look.state.as_ref().is_some_and(|state| Some(&state.uuid) == course.debt.history.as_ref());
    Ok(look.has_data && !look.is_begun && !is_restored)
}

/// Starts all replicas there were, and waits until each is Ready.
async fn scale_back(course: &Course<'_>, limit: Duration) -> Result<(), StepError> {
    let ports = course.ports;
    patiently(ports.conductor, || ports.workload.scale(course.debt.saved)).await?;
    let all_started = async {
        for replica in all(course) {
            started(course, &replica, limit).await?;
        }
        Ok(())
    };
    tokio::select! {
        biased;
        done = all_started => done,
        never = strays::restart(course.ports, all(course)) => match never {},
    }
}

/// Removes what is left of the restore, and clears the record.
async fn as_it_was(course: &mut Course<'_>) -> Result<(), StepError> {
    let ports = course.ports;
    forget_bootstrap(course).await?;
    let leader = course.debt.leader.clone();
    match course.tidy(&leader, course.keeps_old, course.debt.opened).await {
        Err(StepError::World(source)) => return Err(StepError::World(source)),
        Err(error) => {
            let place = format!("what was unpacked may still be on the volume of {} or that of backups", leader.pod);
            warn(course, format!("{place}: {}", error.words()));
        }
        Ok(_) if course.debt.opened && course.debt.place.has_room_beside() => {
            let place = format!("{RESTORE_DIRECTORY}/failed-{} on claim {}", course.run(), leader.claim);
            warn(course, format!("the restored data stay in {place}: clients may have written to them"));
        }
        Ok(_) => {}
    }
    patiently(ports.conductor, || ports.conductor.cluster.clear_obligation(course.run())).await?;
    Ok(())
}

pub(super) fn warn(course: &Course<'_>, message: String) {
    course.ports.conductor.events.send(Phase::RollBack, EventKind::Warned { message });
}

/// The replica the old cluster is started from: the furthest in the history it was in. Positions of different
/// histories cannot be compared; then a person has to choose.
fn furthest(course: &Course<'_>, told: &Told) -> Result<Found, StepError> {
    let debt = &course.debt;
    let is_old = |of: &Found| debt.is_old(&of.state.uuid);
    let old = told.found.iter().filter(|of| is_old(of));
    let histories: BTreeSet<_> = old.map(|of| of.state.uuid.as_str()).collect();
    if histories.len() > 1 {
        let histories: Vec<_> = histories.into_iter().collect();
        return Err(StepError::Failed(format!("the volumes hold different histories: {}", histories.join(", "))));
    }
    let best = told.furthest(is_old, debt.saved.first)?.cloned();
    let best = best.ok_or_else(|| StepError::Failed("no volume holds old data to start a cluster from".to_owned()))?;
    if best.replica.ordinal != debt.saved.first && !debt.starts_at_any_ordinal {
        let pod = &best.replica.pod;
        return Err(StepError::Failed(format!("{pod} is the furthest, and this Kubernetes cannot start it alone")));
    }
    Ok(best)
}
