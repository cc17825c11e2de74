//! Phase 1, between its parts: the proven copy is lent to the replicas that are not started first, on the
//! volume of backups, so that they need no state transfer when they join.
//!
//! It is a courtesy: where it cannot be done, the others get everything from the leader, unless it was
//! asked for.

use super::course::{Course, StepError};
use super::leader::{self, Leader, store_scratch};
use super::{Observed, RestoreError, volume};
use crate::model::cluster::ClaimView;
use crate::model::event::Phase;
use crate::model::names::STORE_PATH;
use crate::model::obligation::ScratchPlace;
use crate::model::order::{Refill, RefillAct};
use crate::model::outcome::Failure;
use crate::model::workload::Replica;

/// The access mode of volumes that any number of nodes mount at once.
const SHARED: &str = "ReadWriteMany";

/// Where on the volume of backups the others will find the proven copy; `None` when they get everything from
/// the leader.
pub(super) fn place(
    observed: &Observed<'_>,
    leader: &Leader,
    others: &[Replica],
    wanted: Option<Refill>,
) -> Result<Option<String>, RestoreError> {
    if wanted == Some(Refill::Leader) || others.is_empty() {
        return Ok(None);
    }
    match (obstacle(observed, leader, others), wanted) {
        (None, _) => Ok(Some(match &leader.scratch {
            ScratchPlace::Beside => store_scratch(observed.job),
            ScratchPlace::Store(directory) => directory.clone(),
        })),
        (Some(why), Some(Refill::All)) => Err(RestoreError::CannotLend(why)),
        (Some(_), _) => Ok(None),
    }
}

/// Why the volume of backups cannot be mounted beside the data of each of them at once.
fn obstacle(observed: &Observed<'_>, leader: &Leader, others: &[Replica]) -> Option<String> {
    let Some(store) = &observed.store else {
        return Some("no volume of backups is used here".to_owned());
    };
    let claims: Vec<_> =
        observed.workload.replicas.iter().filter(|(of, _)| others.contains(of) || *of == leader.replica).collect();
    if !store.access_modes.iter().any(|mode| mode == SHARED) && !on_one_node(store, &claims) {
        let modes = store.access_modes.join(", ");
        return Some(format!(
            "claim {} is {modes}, so it can be mounted on one node at a time, and the replicas are on several",
            store.name
        ));
    }
    claims.iter().find_map(|(replica, claim)| match claim {
        Some(claim) if claim.phase != "Bound" => Some(format!("claim {} is {}", replica.claim, claim.phase)),
        Some(claim) if !leader::meet(store, claim) => {
            Some(format!("the volume of {} and that of backups can be mounted on no common node", replica.pod))
        }
        Some(_) => None,
        None => Some(format!("claim {} is not there", replica.claim)),
    })
}

/// Whether all of these volumes can be mounted on one and the same node only.
fn on_one_node(store: &ClaimView, claims: &[&(Replica, Option<ClaimView>)]) -> bool {
    let is_there = |nodes: &Option<Vec<String>>| {
        nodes.as_ref().is_some_and(|nodes| nodes.len() == 1 && *nodes == *store.nodes.as_deref().unwrap_or_default())
    };
    is_there(&store.nodes) && claims.iter().all(|(_, claim)| claim.as_ref().is_some_and(|claim| is_there(&claim.nodes)))
}

fn path(course: &Course<'_>) -> Option<String> {
    course.debt.lent.as_ref().map(|directory| format!("{STORE_PATH}/{directory}/{}", volume::BASE))
}

/// The proven copy for the others, as a runner with the volume of backups sees it.
pub(super) fn source(course: &Course<'_>) -> Option<String> {
    path(course).filter(|_| course.debt.lent_is_whole)
}

/// Copies it to the volume of backups, where it was not proven there.
///
/// # Errors
/// It was asked for and could not be done; the cluster was not touched.
pub(super) async fn run(course: &mut Course<'_>, wanted: Option<Refill>) -> Result<(), RestoreError> {
    let Some(target) = path(course) else { return Ok(()) };
    if course.debt.scratch != ScratchPlace::Beside {
        course.debt.lent_is_whole = true;
        return Ok(());
    }
    let leader = course.debt.leader.clone();
    let history = course.debt.history.clone().unwrap_or_default();
    let act = RefillAct::Lend { source: volume::proven(&course.debt.scratch), target, history };
    course.step(Phase::Prove, "copying what was proven for the other replicas");
    match course.refill_around(&leader, act).await {
        Ok(_) => course.debt.lent_is_whole = true,
        Err(StepError::World(source)) => {
            let backup = course.debt.backup.clone();
            return Err(RestoreError::NotProven { backup, failure: Box::new(Failure::of(&source)) });
        }
        Err(error) if wanted == Some(Refill::All) => return Err(RestoreError::CannotLend(error.words())),
        Err(error) => {
            let why = error.words();
            let message = format!("the other replicas will get everything from {} instead: {why}", leader.pod);
            course.step(Phase::Prove, message);
        }
    }
    Ok(())
}
