//! Phase 3, its longer part: the restored data are served, and the other replicas get theirs from the leader.

use futures::future::join_all;

use super::course::{Course, StepError};
use super::phase3_start::{all, answers, ask, forget_bootstrap, start_alone, started};
use super::positions::Found;
use super::serving::{LOOK, LOOK_EVERY, REGROUP, is_headless, is_restored, lost, serving, still_leads};
use super::{phase1_lend, phase1_stop, positions, strays};
use crate::model::event::{EventKind, Phase};
use crate::model::galera::Member;
use crate::model::order::RefillAct;
use crate::model::workload::{Replica, Scale};
use crate::patience::patiently;
use crate::ports::conductor::RunnerSpec;

/// How often the others are let join.
const TRIES: u32 = 3;

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
        match started_again(course, again).await {
            Err(StepError::Failed(why)) if tries_left > 0 => course.step(Phase::Start, format!("{why}; once more")),
            done => {
                done?;
                break;
            }
        }
    }
    let (ports, replicas) = (course.ports, all(course));
    tokio::select! {
        biased;
        joined = all_joined(course) => joined?,
        never = strays::restart(ports, replicas) => match never {},
    }
    forget_bootstrap(course).await?;
    course.ports.conductor.events.send(Phase::Start, EventKind::Finished);
    Ok(())
}

/// Makes the other volumes ready and starts all replicas, for as long as somebody serves.
async fn started_again(course: &mut Course<'_>, again: bool) -> Result<(), StepError> {
    let preparations = preparations(course, again).await?;
    if !preparations.is_empty() {
        tokio::select! {
            biased;
            prepared = prepare_all(course, &preparations) => prepared?,
            lost = lost(course) => {
                end_all(course, &preparations).await?;
                return Err(lost);
            }
        }
        if let Some(choice) = &mut course.debt.chosen {
            choice.emptied.extend(preparations.iter().map(|of| of.replica.pod.clone()));
            course.record().await?;
        }
    }
    let course = &*course;
    start_all(course).await?;
    tokio::select! {
        biased;
        started = all_started(course) => started,
        lost = lost(course) => Err(lost),
        never = strays::restart(course.ports, all(course)) => match never {},
    }
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

/// Makes sure that the restored data are served before anything of the others is given up. Nobody who serves
/// them is ever stopped for it.
async fn revive(course: &mut Course<'_>) -> Result<(), StepError> {
    let clock = course.ports.conductor.clock;
    let (began, deadline) = (clock.elapsed(), clock.elapsed() + course.limits.lead);
    loop {
        if let Some((_, member)) = serving(course).await? {
            return adopt(course, &member).await;
        }
        let waited = clock.elapsed().saturating_sub(began);
        if clock.elapsed() >= deadline || (waited > REGROUP && is_headless(course).await) {
            break;
        }
        clock.sleep(LOOK_EVERY).await;
    }
    course.step(Phase::Start, "nobody serves the restored data; starting from whoever is furthest with them");
    start_from_furthest(course).await
}

/// Stops whoever is left, and starts the replica that is furthest in the restored history alone.
async fn start_from_furthest(course: &mut Course<'_>) -> Result<(), StepError> {
    phase1_stop::stop(course).await?;
    let Found { replica: leader, state, .. } = furthest_restored(course).await?;
    if leader != course.debt.leader {
        let old = std::mem::replace(&mut course.debt.leader, leader.clone());
        course.debt.others.retain(|replica| *replica != leader);
        course.debt.others.push(old.clone());
        course.debt.first_leader.get_or_insert(old);
    }
    course.record().await?;
    course.refill(&leader, RefillAct::Crown { state: Some(state) }).await?;
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
///
/// What was lent to the others is in that history too, and only as far as the backup: as long as it is not
/// known how far the leader is, none of them may stand for it.
async fn furthest_restored(course: &mut Course<'_>) -> Result<Found, StepError> {
    let mut told = positions::of(course, &all(course)).await?;
    let debt = &course.debt;
    told.found.retain(|of| debt.can_have_the_leader_s(&of.replica));
    let is_restored = |of: &Found| debt.history.as_ref() == Some(&of.state.uuid);
    let mut found = told.found.iter();
    let leader = found.find(|of| of.replica == debt.leader && debt.previous.as_ref() != Some(&of.state.uuid));
    if debt.lent_is_whole {
        match leader.filter(|of| of.state.seqno >= 0) {
            None => return Err(StepError::Failed(unknown_leader(&debt.leader))),
            Some(of) if !is_restored(of) => return Ok(of.clone()),
            Some(_) => {}
        }
    }
    // As long as nobody else has led, the leader joined nobody whose data are not surely whole: what it has is its own.
    let is_own = |of: &&Found| of.in_doubt && is_restored(of) && debt.first_leader.is_none();
    if let Some(leader) = leader.filter(is_own)
        && !told.found.iter().any(|of| is_restored(of) && of.stands_before(leader))
    {
        return Ok(leader.clone());
    }
    let best = told.furthest(is_restored, debt.saved.first)?.or(leader);
    let none = || StepError::Failed("no volume holds the restored data in a state to start from".to_owned());
    best.cloned().ok_or_else(none)
}

fn unknown_leader(leader: &Replica) -> String {
    format!(
        "it is not known how far the data of {} are, which served the restored ones and may hold what clients wrote since; nothing else is started in its place",
        leader.pod
    )
}

/// What is done to the volume of one replica before it joins.
struct Preparation {
    replica: Replica,
    /// Fills it with what was lent to it, where there is something.
    fill: Option<RunnerSpec>,
    /// Empties it.
    empty: RunnerSpec,
}

/// Finds out whose volumes have to be made ready, and makes sure that nobody has them.
///
/// On the first try, what has the restored data already is left as it is; later, data that did not come up
/// are given up.
async fn preparations(course: &mut Course<'_>, mut again: bool) -> Result<Vec<Preparation>, StepError> {
    let mut late = Vec::new();
    for replica in course.debt.others.clone() {
        let serves = ask(course.ports, &replica)
            .await?
            .is_ok_and(|member| member.is_synced() && course.debt.history.as_ref() == Some(&member.state_uuid))
            && course.debt.can_have_the_leader_s(&replica);
        late.extend((!serves).then_some(replica));
    }
    if late.is_empty() {
        return Ok(Vec::new());
    }
    only_leader(course).await?;
    if !still_leads(course).await? {
        let leader = course.debt.leader.clone();
        let told = format!("{} is alone and has lost its majority; starting it again", leader.pod);
        course.step(Phase::Start, told);
        start_from_furthest(course).await?;
        if leader != course.debt.leader {
            // Nobody else's data may be taken for those of the one that leads now.
            (late, again) = (course.debt.others.clone(), true);
        }
    }
    let history = course.debt.history.clone().filter(|_| !again);
    let is_chosen = course.debt.chosen.is_some();
    let lent = phase1_lend::source(course).filter(|_| !is_chosen).zip(history.clone());
    let mut preparations = Vec::new();
    for replica in late {
        let fill = lent.clone().map(|(source, history)| RefillAct::Fill { source, history });
        let fill = fill.map(|act| course.runner(&replica, act, None));
        let history = history.clone().filter(|_| course.debt.can_have_the_leader_s(&replica));
        let empty = course.runner(&replica, RefillAct::Empty { history }, None);
        preparations.push(Preparation { replica, fill, empty });
    }
    Ok(preparations)
}

/// Makes all volumes ready at once; the leader goes on serving meanwhile.
async fn prepare_all(course: &Course<'_>, preparations: &[Preparation]) -> Result<(), StepError> {
    let fills = preparations.iter().any(|of| of.fill.is_some());
    let what = if fills { "copying the restored data to" } else { "emptying" };
    course.step(Phase::Start, format!("{what} the other volumes: {}", preparations.len()));
    join_all(preparations.iter().map(|of| prepare(course, of))).await.into_iter().collect()
}

/// Fills a volume with what was lent to it; empties it where there is nothing, or where that fails.
async fn prepare(course: &Course<'_>, of: &Preparation) -> Result<(), StepError> {
    if let Some(fill) = &of.fill {
        match course.alone(fill, &of.replica).await {
            Err(StepError::Failed(why)) => {
                let (pod, leader) = (&of.replica.pod, &course.debt.leader.pod);
                course.step(Phase::Start, format!("{pod} gets everything from {leader} instead: {why}"));
            }
            filled => return filled.map(drop),
        }
    }
    match course.alone(&of.empty, &of.replica).await {
        Err(StepError::Failed(why)) => Err(StepError::Failed(format!("the volume of {}: {why}", of.replica.pod))),
        emptied => emptied.map(drop),
    }
}

/// Makes sure that no runner writes to those volumes any more.
async fn end_all(course: &Course<'_>, preparations: &[Preparation]) -> Result<(), StepError> {
    let conductor = course.ports.conductor;
    for spec in preparations.iter().flat_map(|of| of.fill.iter().chain([&of.empty])) {
        patiently(conductor, || conductor.runners.remove(&spec.name)).await?;
    }
    Ok(())
}

/// Makes sure that no other replica has its volume, nor will get it before it is told to: also not from a
/// controller that could not start it yet.
async fn only_leader(course: &Course<'_>) -> Result<(), StepError> {
    let ports = course.ports;
    let alone = Scale::alone(&course.debt.leader);
    let claims: Vec<_> = course.debt.others.iter().map(|replica| replica.claim.clone()).collect();
    patiently(ports.conductor, || ports.workload.scale(alone)).await?;
    if patiently(ports.conductor, || ports.workload.users(&claims, None)).await?.is_empty() {
        return Ok(());
    }
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
