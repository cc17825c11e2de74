//! The way out that a person chooses where no plan is left: the cluster is started from what one replica has,
//! whatever that is.
//!
//! The others get everything from it once it serves, and what only they have is lost; what was set aside stays. The
//! record stays as it was until all is done: whoever goes on without choosing takes the way back of the restore.

use super::RestoreError;
use super::course::{Course, StepError};
use super::phase3_start::{all, answers, ask, forget_bootstrap, start_alone};
use super::positions::Found;
use super::rollback::{self, NotBack};
use super::{phase1_stop, positions};
use crate::model::event::Phase;
use crate::model::galera::Member;
use crate::model::names::RESTORE_DIRECTORY;
use crate::model::obligation::RestoreDebt;
use crate::model::order::RefillAct;
use crate::model::workload::Replica;
use crate::patience::patiently;

/// Starts the cluster from the replica with that ordinal; says what it serves.
pub(super) async fn run(course: &mut Course<'_>, ordinal: i32) -> Result<String, RestoreError> {
    let replica = of_ordinal(&course.debt, ordinal)?;
    match start(course, &replica).await {
        Ok(member) => {
            let what = "all replicas serve what it had";
            Ok(format!("{} was chosen to start the cluster, and {what}: {}", replica.pod, member.position()))
        }
        Err(not) => Err(rollback::not_back(course, not, &format!("{} was chosen to start it", replica.pod))),
    }
}

/// The replica of that ordinal, where it can be started alone.
fn of_ordinal(debt: &RestoreDebt, ordinal: i32) -> Result<Replica, RestoreError> {
    let refused = |why: String| Err(RestoreError::NotToBeChosen { ordinal, why });
    if !debt.has_left_proving() {
        return refused("the restore has not touched the cluster, and without --leader it is given up".to_owned());
    }
    let Some(replica) = debt.replicas().find(|replica| replica.ordinal == ordinal) else {
        return refused(format!("the ordinals of its replicas are {}", ordinals(debt)));
    };
    if ordinal != debt.saved.first && !debt.starts_at_any_ordinal {
        return refused(format!("below Kubernetes 1.31 only ordinal {} can be started alone", debt.saved.first));
    }
    Ok(replica.clone())
}

async fn start(course: &mut Course<'_>, replica: &Replica) -> Result<Member, NotBack> {
    let serves = |member: &Member| member.cluster_status == "Primary" && member.ready;
    let member = match ask(course.ports, replica).await?.ok().filter(serves) {
        Some(member) => {
            course.step(Phase::RollBack, format!("{} serves; the others join it", replica.pod));
            member
        }
        None => start_stopped(course, replica).await?,
    };
    rollback::join(course, &member).await?;
    settle(course).await?;
    Ok(member)
}

/// Stops whoever runs, sees to it that nobody else starts a cluster, and starts that one alone.
async fn start_stopped(course: &mut Course<'_>, replica: &Replica) -> Result<Member, NotBack> {
    phase1_stop::stop(course).await?;
    let found = positions::of(course, &all(course)).await?;
    let Some(chosen) = found.iter().find(|of| of.replica == *replica) else {
        return Err(StepError::Failed(format!("{} has no data that say where they stand", replica.pod)).into());
    };
    let is_other = |of: &&Found| of.replica != *replica && of.state.safe_to_bootstrap;
    for other in found.iter().filter(is_other) {
        course.refill(&other.replica, RefillAct::Uncrown).await?;
    }
    course.refill(replica, RefillAct::Crown { state: Some(chosen.state.clone()) }).await?;
    start_alone(course, replica).await?;
    let member = answers(course, replica, course.limits.lead, &|_| true).await?;
    course.step(Phase::RollBack, format!("{} serves what it had", replica.pod));
    Ok(member)
}

/// Removes the scratch and the record. Old data that were set aside stay: nobody has proven what is served now.
async fn settle(course: &mut Course<'_>) -> Result<(), StepError> {
    forget_bootstrap(course).await?;
    let leader = course.debt.leader.clone();
    let place = format!("{RESTORE_DIRECTORY} on the volume of {}", leader.pod);
    match course.tidy(&leader, true, true).await {
        Err(StepError::World(error)) => return Err(StepError::World(error)),
        Err(error) => rollback::warn(course, format!("what was unpacked may still be in {place}: {}", error.words())),
        Ok(()) if course.debt.place.has_room_beside() => {
            rollback::warn(course, format!("what was set aside stays in {place}, if anything was"));
        }
        Ok(()) => {}
    }
    let ports = course.ports;
    Ok(patiently(ports.conductor, || ports.conductor.cluster.clear_obligation(course.run())).await?)
}

/// What a person can do where a restore could neither be finished nor undone.
pub(super) fn instructions(debt: &RestoreDebt, run: &str) -> String {
    let aside = debt.place.has_room_beside().then(|| {
        let (pod, claim, own) = (&debt.leader.pod, &debt.leader.claim, &debt.place.directory);
        format!("; old data of {pod} may be in {RESTORE_DIRECTORY}/old-{run} on claim {claim}, or in its {own}")
    });
    format!(
        "to try again, for nothing is removed meanwhile{}: kubectl mariadb-backup recover\n\
         how far the data of each replica are, as far as they could be asked: kubectl mariadb-backup logs\n\
         to start the cluster from what one of them has instead ({}), where what only others have is lost: kubectl mariadb-backup recover --leader ORDINAL",
        aside.unwrap_or_default(),
        ordinals(debt)
    )
}

fn ordinals(debt: &RestoreDebt) -> String {
    let mut ordinals: Vec<i32> = debt.replicas().map(|replica| replica.ordinal).collect();
    ordinals.sort_unstable();
    ordinals.iter().map(i32::to_string).collect::<Vec<_>>().join(", ")
}
