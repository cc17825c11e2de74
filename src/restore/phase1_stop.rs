//! Phase 1, its end: the cluster stops, and nothing goes on before no pod holds any of its volumes.

use std::time::Duration;

use futures::future::try_join_all;

use super::course::{Course, StepError};
use super::phase3_start;
use crate::model::event::{EventKind, Phase};
use crate::model::galera::Position;
use crate::model::workload::ClaimUser;
use crate::patience::patiently;

/// How often a cluster is stopped again that somebody else starts again.
const MOST_AGAIN: u32 = 5;

/// The pause before a cluster that somebody else starts again is stopped again.
const AGAIN: Duration = Duration::from_secs(1);

pub(super) async fn run(course: &mut Course<'_>) -> Result<(), StepError> {
    let events = course.ports.conductor.events;
    events.send(Phase::Stop, EventKind::Started);
    if course.debt.stopped.is_none() {
        course.debt.stopped_at = stands_at(course).await?;
        course.debt.stopped = Some(course.ports.conductor.clock.now());
        course.record().await?;
    }
    course.step(Phase::Stop, "stopping the cluster: the outage begins");
    stop(course).await?;
    course.step(Phase::Stop, "no pod holds any of its volumes");
    events.send(Phase::Stop, EventKind::Finished);
    Ok(())
}

/// Where the cluster stands, by the word of the replica that is furthest of those in its majority.
async fn stands_at(course: &Course<'_>) -> Result<Option<Position>, StepError> {
    let ask = |replica| phase3_start::ask(course.ports, replica);
    let said = try_join_all(course.debt.replicas().map(ask)).await?;
    let members = said.into_iter().flatten().filter(|member| member.cluster_status == "Primary");
    Ok(members.max_by_key(|member| member.last_committed).map(|member| member.position()))
}

/// Stops every replica, and waits until nobody has any of the volumes, nor may still have it.
///
/// A cluster that somebody starts again meanwhile is stopped again, a few times and until time runs out.
pub(super) async fn stop(course: &Course<'_>) -> Result<(), StepError> {
    let ports = course.ports;
    let clock = ports.conductor.clock;
    let deadline = clock.elapsed() + course.limits.stop;
    let (claims, but) = (all_claims(course), waiting(course));
    let mut again = 0;
    loop {
        patiently(ports.conductor, || ports.workload.scale(course.debt.saved.none())).await?;
        // Also one by one: with ordered pods, one that is not Ready would hold up all the others.
        for replica in course.debt.replicas() {
            patiently(ports.conductor, || ports.workload.end_pod(&replica.pod)).await?;
        }
        let limit = deadline.saturating_sub(clock.elapsed());
        let free = || ports.workload.wait_until_free(&claims, but.as_deref(), limit);
        let left = patiently(ports.conductor, free).await?;
        if left.is_empty() {
            return Ok(());
        }
        if clock.elapsed() >= deadline {
            return Err(StepError::Failed(not_free(&left, again, course.limits.stop)));
        }
        if left.iter().any(|user| !user.terminating) {
            again += 1;
            // Each start and stop in the middle of another is a risk to what the servers have: a fight is not worth it.
            if again > MOST_AGAIN {
                return Err(StepError::Failed(not_free(&left, again, course.limits.stop.saturating_sub(limit))));
            }
            if again == 1 {
                course.step(Phase::Stop, format!("{} and does not end; stopping the cluster again", users_text(&left)));
            }
        }
        clock.sleep(AGAIN).await;
    }
}

pub(super) fn not_free(left: &[ClaimUser], again: u32, limit: Duration) -> String {
    let (who, secs) = (users_text(left), limit.as_secs());
    let by_somebody = if again > 1 {
        format!(
            "; it had to be stopped {again} times more, so somebody else scales it: an operator, a GitOps tool, a person"
        )
    } else {
        String::new()
    };
    format!("{who} after {secs} s, so its volume may not be written{by_somebody}")
}

/// Makes sure, before anything is written, that the cluster is still stopped.
pub(super) async fn hold(course: &Course<'_>) -> Result<(), StepError> {
    let ports = course.ports;
    let claims = all_claims(course);
    let but = waiting(course);
    let mut users = patiently(ports.conductor, || ports.workload.users(&claims, but.as_deref())).await?;
    // A runner of this run whose pod is on its way out has ended: only then is it dismissed.
    let own = format!("pod {}-", course.job);
    users.retain(|user| !(user.terminating && user.by.starts_with(&own)));
    if users.is_empty() {
        return Ok(());
    }
    course.step(Phase::Stop, format!("{}, which nobody of this restore started", users_text(&users)));
    stop(course).await
}

/// The runner that was started ahead has the leader's volume, and touches nothing before it is told.
fn waiting(course: &Course<'_>) -> Option<String> {
    course.waiting.as_ref().map(|waiting| waiting.spec.name.clone())
}

pub(super) fn all_claims(course: &Course<'_>) -> Vec<String> {
    course.debt.replicas().map(|replica| replica.claim.clone()).collect()
}

fn users_text(users: &[ClaimUser]) -> String {
    let user = |user: &ClaimUser| {
        let node = user.node.as_ref().map(|node| format!(" on node {node}")).unwrap_or_default();
        let how = if user.terminating { " is being deleted and still" } else { "" };
        format!("{}{node}{how} has claim {}", user.by, user.claim)
    };
    users.iter().map(user).collect::<Vec<_>>().join(", ")
}
