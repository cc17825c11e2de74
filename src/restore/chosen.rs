//! The way out that a person chooses where a restore could neither be finished nor undone: the cluster is started from
//! what one replica has, whatever that is.
//!
//! What it has is then what the restore is about: that is recorded before anything is started, so that whoever goes on
//! goes on with it. The others are emptied once it serves, as after any restore; what was set aside stays.

use super::RestoreError;
use super::course::{Course, StepError};
use super::phase3_start::all;
use super::serving::{LOOK, anybody, for_a_while};
use super::{phase1_stop, positions, rollback};
use crate::model::names::RESTORE_DIRECTORY;
use crate::model::obligation::{Choice, RestoreDebt, Stage};
use crate::model::order::RefillAct;
use crate::model::workload::{Flavour, Replica};
use crate::patience::patiently;

/// Makes sure that the replica of that ordinal may be chosen: changes nothing.
pub(super) async fn check(course: &Course<'_>, ordinal: i32) -> Result<Replica, RestoreError> {
    let debt = &course.debt;
    let refused = |why: String| Err(RestoreError::NotToBeChosen { ordinal, why });
    if !debt.has_left_proving() {
        return refused("the restore has not touched the cluster, and without --leader it is given up".to_owned());
    }
    let Some(replica) = debt.replicas().find(|replica| replica.ordinal == ordinal).cloned() else {
        return refused(format!("the ordinals of its replicas are {}", ordinals(debt)));
    };
    let workload = patiently(course.ports.conductor, || course.ports.workload.look(None)).await;
    let workload = workload.map_err(|error| course.interrupted(error))?;
    let first = debt.saved.first;
    if ordinal != first && (!debt.starts_at_any_ordinal || workload.flavour == Flavour::Bitnami) {
        return refused(format!("only ordinal {first} can start the cluster alone here"));
    }
    match who_serves(course).await {
        Ok(None) => Ok(replica),
        Ok(Some(pod)) => {
            let set = replica.pod.rsplit_once('-').map_or("", |(set, _)| set);
            refused(format!(
                "{pod} serves; where what it serves shall be given up, stop it first: kubectl scale statefulset {set} --replicas=0"
            ))
        }
        Err(StepError::World(error)) => Err(course.interrupted(error)),
        Err(error) => refused(error.words()),
    }
}

/// Any replica that serves, whatever it has, by its own word or by Kubernetes'; asked for a while, as one answer may be
/// lost.
async fn who_serves(course: &Course<'_>) -> Result<Option<String>, StepError> {
    let conductor = course.ports.conductor;
    for_a_while(course, LOOK, async || {
        let view = patiently(conductor, || conductor.cluster.view()).await?;
        match view.pods.into_iter().find(|pod| pod.ready) {
            Some(pod) => Ok(Some(pod.name)),
            None => Ok(anybody(course).await?.map(|replica| replica.pod)),
        }
    })
    .await
}

/// Stops whoever is left, looks at what each has, and records that the restore is about what that one has.
pub(super) async fn choose(course: &mut Course<'_>, replica: &Replica) -> Result<(), RestoreError> {
    let why = format!("{} was chosen to start the cluster", replica.pod);
    match chosen(course, replica).await {
        Ok(history) => {
            take_over(&mut course.debt, replica, history);
            course.record().await.map_err(|error| course.interrupted(error))
        }
        Err(error) => Err(rollback::not_back(course, error.into(), &why)),
    }
}

/// The history of what it has, which is marked to start the cluster, and nothing else is.
async fn chosen(course: &mut Course<'_>, replica: &Replica) -> Result<String, StepError> {
    phase1_stop::stop(course).await?;
    let none = || StepError::Failed(format!("{} has no whole data that say where they stand", replica.pod));
    let look = course.refill(replica, RefillAct::Look).await?;
    let told = positions::of(course, &all(course)).await?;
    let found = told.found.iter().find(|of| of.replica == *replica);
    let own = look.state.filter(|state| look.has_data && state.has_history());
    let own = own.or_else(|| found.map(|of| of.state.clone())).ok_or_else(none)?;
    if look.in_doubt {
        let pod = &replica.pod;
        rollback::warn(
            course,
            format!(
                "the data of {pod} are in doubt: its server was ended in the middle of a state transfer, or of a change of tables, so that files may be of different times; compare what it serves with what should be there"
            ),
        );
    }
    for other in told.found.iter().filter(|of| of.replica != *replica && of.state.safe_to_bootstrap) {
        match course.refill(&other.replica, RefillAct::Uncrown).await {
            // It is emptied before it is started.
            Err(StepError::Failed(why)) => rollback::warn(course, why),
            done => drop(done?),
        }
    }
    course.refill(replica, RefillAct::Crown { state: Some(own.clone()) }).await?;
    Ok(own.uuid)
}

fn take_over(debt: &mut RestoreDebt, replica: &Replica, history: String) {
    if debt.leader != *replica {
        let before = std::mem::replace(&mut debt.leader, replica.clone());
        debt.others.retain(|other| other != replica);
        debt.others.push(before.clone());
        // What was set aside is on its volume.
        debt.first_leader.get_or_insert(before);
    }
    // Before the switch nothing was set aside.
    let keep_old_data = debt.keep_old_data || debt.reached >= Stage::Switching;
    (debt.stage, debt.reached) = (Stage::Starting, debt.reached.max(Stage::Starting));
    (debt.history, debt.previous) = (Some(history), None);
    (debt.served, debt.served_lsn, debt.went_on_from, debt.why) = (None, 0, None, None);
    (debt.chosen, debt.keep_old_data) = (Some(Choice::default()), keep_old_data);
}

/// Marks what it has once more, as long as it was not started: the mark goes with the first start.
pub(super) async fn crown_again(course: &mut Course<'_>) -> Result<(), StepError> {
    let (leader, cluster) = (course.debt.leader.clone(), course.ports.conductor.cluster);
    let view = patiently(course.ports.conductor, || cluster.view()).await?;
    if view.pod(&leader.pod).is_none() {
        course.refill(&leader, RefillAct::Crown { state: None }).await?;
    }
    Ok(())
}

/// What a person can do where a restore could neither be finished nor undone.
pub(super) fn instructions(debt: &RestoreDebt, run: &str) -> String {
    let aside = debt.place.has_room_beside().then(|| {
        let first = debt.first_leader.as_ref().unwrap_or(&debt.leader);
        let (pod, claim, own) = (&first.pod, &first.claim, &debt.place.directory);
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
