//! The volumes a plan would use are looked at, and it is made again with what was seen: room decides where the backup
//! is unpacked, and what becomes of the old data.

use futures::future::join_all;

use super::{Observed, RestoreError, RestorePlan, plan, volume};
use crate::errand;
use crate::model::order::RestoreRequest;
use crate::model::outcome::Explain;
use crate::model::report::VolumeReport;
use crate::model::workload::Replica;
use crate::ports::restore::RestorePorts;

/// Makes a plan that rests on what its volumes look like. Changes nothing.
///
/// # Errors
/// It cannot be done, or not without what the request does not allow; or the leader's volume cannot be looked at.
pub async fn settle(
    observed: &mut Observed<'_>,
    request: &RestoreRequest,
    ports: &RestorePorts<'_>,
) -> Result<RestorePlan, RestoreError> {
    loop {
        let plan = plan(observed, request)?;
        let leader = &plan.leader.replica;
        let is_seen = |of: &Replica| observed.look_at(&of.pod).is_some();
        let is_known = |of: &Replica| is_seen(of) || (of != leader && observed.looks.contains_key(&of.pod));
        let unlooked: Vec<_> = touched(&plan, observed).into_iter().filter(|of| !is_known(of)).cloned().collect();
        if unlooked.is_empty() {
            check(&plan, observed)?;
            return Ok(plan);
        }
        let looks = join_all(unlooked.iter().map(|replica| look(&plan, replica, observed, ports))).await;
        for (replica, look) in unlooked.into_iter().zip(looks) {
            match look {
                // What is in the way of another than the leader shows when it joins.
                Err(_) if replica != *leader => drop(observed.looks.insert(replica.pod, None)),
                look => drop(observed.looks.insert(replica.pod, Some(look?))),
            }
        }
    }
}

/// The replicas whose volumes are written. Of one that does not answer, nobody knows whether a runner could start beside
/// it.
fn touched<'a>(plan: &'a RestorePlan, observed: &Observed<'_>) -> Vec<&'a Replica> {
    let others = plan.debt.others.iter().filter(|other| observed.answers(&other.pod));
    std::iter::once(&plan.leader.replica).chain(others).collect()
}

async fn look(
    plan: &RestorePlan,
    replica: &Replica,
    observed: &Observed<'_>,
    ports: &RestorePorts<'_>,
) -> Result<VolumeReport, RestoreError> {
    let is_leader = *replica == plan.leader.replica;
    let beside = if is_leader { plan.leader.pod.clone() } else { Some(replica.pod.clone()) };
    let spec = volume::look(plan, observed.job, replica, beside);
    let look = errand::run::<VolumeReport>(&spec, plan.limits.start, ports.conductor, |_| {}).await;
    look.map_err(|error| RestoreError::Look { pod: replica.pod.clone(), failure: Box::new(error.into_failure()) })
}

/// Refuses a leader whose data are elsewhere than they are thought to be, and what nobody may remove where it would have
/// to be.
fn check(plan: &RestorePlan, observed: &Observed<'_>) -> Result<(), RestoreError> {
    let pod = &plan.leader.replica.pod;
    if observed.look_at(pod).is_some_and(|look| !look.has_data && !look.is_empty && !look.is_begun) {
        let directory = plan.debt.place.directory.clone();
        return Err(RestoreError::NoData { pod: pod.clone(), directory });
    }
    if plan.debt.place.has_room_beside() {
        return Ok(());
    }
    let is_at_root = plan.debt.place.directory.is_empty();
    // Whose data directory can be moved as a whole is not emptied file by file.
    let emptied = |replica: &&Replica| is_at_root || **replica == plan.leader.replica;
    for replica in touched(plan, observed).into_iter().filter(emptied) {
        if let Some(what) = observed.look_at(&replica.pod).and_then(|look| look.unremovable.clone()) {
            return Err(RestoreError::Unremovable { pod: replica.pod.clone(), what });
        }
    }
    Ok(())
}
