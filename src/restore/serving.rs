//! Who serves the restored data while the others join, and whether whoever should still can.

use std::time::Duration;

use super::course::{Course, StepError};
use super::phase3_start::{all, ask};
use crate::model::galera::Member;
use crate::model::obligation::RestoreDebt;
use crate::model::workload::Replica;

/// How often it is looked whether anybody serves while the others join.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How long one member is waited for before the leader is asked again.
pub(super) const LOOK: Duration = Duration::from_secs(10);

/// How long a group that changes may be without a majority.
pub(super) const REGROUP: Duration = Duration::from_secs(30);

/// Looks again for so long, as one answer may be lost; `None` when nothing was found by then.
pub(super) async fn for_a_while<T>(
    course: &Course<'_>,
    limit: Duration,
    mut look: impl AsyncFnMut() -> Result<Option<T>, StepError>,
) -> Result<Option<T>, StepError> {
    let clock = course.ports.conductor.clock;
    let deadline = clock.elapsed() + limit;
    loop {
        let found = look().await?;
        if found.is_some() || clock.elapsed() >= deadline {
            return Ok(found);
        }
        clock.sleep(LOOK_EVERY).await;
    }
}

/// The first replica that serves, whatever it has, by its own word.
pub(super) async fn anybody(course: &Course<'_>) -> Result<Option<Replica>, StepError> {
    for replica in all(course) {
        if ask(course.ports, &replica).await?.is_ok_and(|member| member.serves()) {
            return Ok(Some(replica));
        }
    }
    Ok(None)
}

/// The first replica that serves the restored data, if any does: also while it feeds another one.
pub(super) async fn serving(course: &Course<'_>) -> Result<Option<(Replica, Member)>, StepError> {
    for replica in all(course).into_iter().filter(|replica| course.debt.can_have_the_leader_s(replica)) {
        if let Ok(member) = ask(course.ports, &replica).await?
            && member.serves()
            && is_restored(&course.debt, &replica, &member)
        {
            return Ok(Some((replica, member)));
        }
    }
    Ok(None)
}

/// A cluster that crashed and came back may have begun yet another history. It is the restored one all the
/// same when the leader has the data it served before: its redo only grows.
pub(super) fn is_restored(debt: &RestoreDebt, replica: &Replica, member: &Member) -> bool {
    let in_history = debt.history.as_ref() == Some(&member.state_uuid);
    let is_old = debt.previous.as_ref() == Some(&member.state_uuid);
    in_history || (!is_old && *replica == debt.leader && member.lsn >= debt.served_lsn)
}

/// Whether the leader is up and has no majority. What is left of a group whose others were killed waits for them
/// for good: those who come back are new ones.
pub(super) async fn is_headless(course: &Course<'_>) -> bool {
    let said = ask(course.ports, &course.debt.leader).await;
    matches!(said, Ok(Ok(member)) if member.cluster_status != "Primary")
}

/// Whether the leader still has a majority: with members that were killed, and others that had to be stopped since,
/// it can be what is left of a larger group, and wait for them for good.
pub(super) async fn still_leads(course: &Course<'_>) -> Result<bool, StepError> {
    let clock = course.ports.conductor.clock;
    let deadline = clock.elapsed() + LOOK;
    loop {
        // One that does not answer may serve all the same, and is not stopped for that.
        match ask(course.ports, &course.debt.leader).await? {
            Ok(member) if member.cluster_status != "Primary" => {}
            _ => return Ok(true),
        }
        if clock.elapsed() >= deadline {
            return Ok(false);
        }
        clock.sleep(LOOK_EVERY).await;
    }
}

/// Returns when nobody has served for as long as the leader had to come up at first.
pub(super) async fn lost(course: &Course<'_>) -> StepError {
    let clock = course.ports.conductor.clock;
    let mut served = clock.elapsed();
    loop {
        clock.sleep(LOOK_EVERY).await;
        match serving(course).await {
            Ok(Some(_)) => served = clock.elapsed(),
            Ok(None) => {
                let silent = clock.elapsed().saturating_sub(served);
                if silent > course.limits.lead || (silent > REGROUP && is_headless(course).await) {
                    let secs = silent.as_secs();
                    return StepError::Failed(format!("nobody has served the restored data for {secs} s"));
                }
            }
            // Nobody knows more than before; the API may be away.
            Err(_) => {}
        }
    }
}
