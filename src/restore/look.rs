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
        let unlooked: Vec<_> =
            touched(&plan, observed).into_iter().filter(|of| !observed.looks.contains_key(&of.pod)).cloned().collect();
        if unlooked.is_empty() {
            removable(&plan, observed)?;
            return Ok(plan);
        }
        let looks = join_all(unlooked.iter().map(|replica| look(&plan, replica, observed, ports))).await;
        for (replica, look) in unlooked.into_iter().zip(looks) {
            observed.looks.insert(replica.pod, look?);
        }
    }
}

/// The replicas whose old data have to be removed one by one, and the leader. Of one that does not answer, nobody knows
/// whether a runner could start beside it.
fn touched<'a>(plan: &'a RestorePlan, observed: &Observed<'_>) -> Vec<&'a Replica> {
    let others = plan.debt.others.iter();
    let emptied = others.filter(|other| plan.debt.place.directory.is_empty() && observed.answers(&other.pod));
    std::iter::once(&plan.leader.replica).chain(emptied).collect()
}

/// Looks at one volume; `None` when that of another than the leader cannot be looked at: what is in its way shows when
/// it joins.
async fn look(
    plan: &RestorePlan,
    replica: &Replica,
    observed: &Observed<'_>,
    ports: &RestorePorts<'_>,
) -> Result<Option<VolumeReport>, RestoreError> {
    let is_leader = *replica == plan.leader.replica;
    let beside = if is_leader { plan.leader.pod.clone() } else { Some(replica.pod.clone()) };
    let spec = volume::look(plan, observed.job, replica, beside);
    let look = errand::run::<VolumeReport>(&spec, plan.limits.start, ports.conductor, |_| {}).await;
    if !is_leader {
        return Ok(look.ok());
    }
    let pod = replica.pod.clone();
    let look = match look {
        Err(error) => return Err(RestoreError::Look { pod, failure: Box::new(error.into_failure()) }),
        Ok(look) => look,
    };
    if !look.has_data && !look.is_empty {
        return Err(RestoreError::NoData { pod, directory: plan.debt.place.directory.clone() });
    }
    Ok(Some(look))
}

/// Refuses what nobody may remove, where it would have to be.
fn removable(plan: &RestorePlan, observed: &Observed<'_>) -> Result<(), RestoreError> {
    if plan.debt.place.has_room_beside() {
        return Ok(());
    }
    for replica in touched(plan, observed) {
        if let Some(what) = observed.look_at(&replica.pod).and_then(|look| look.unremovable.clone()) {
            return Err(RestoreError::Unremovable { pod: replica.pod.clone(), what });
        }
    }
    Ok(())
}
