//! Phase 2: the proven copy takes the place of the old data on the leader's volume, and on no other.

use super::course::{Course, StepError};
use super::{phase1_stop, volume};
use crate::model::event::{EventKind, Phase};
use crate::model::order::RefillAct;

/// How often it is begun anew after a pod turned up with the volume.
const ATTEMPTS: u32 = 3;

/// What is done to the leader's volume.
pub(super) fn act(course: &Course<'_>) -> RefillAct {
    let history = course.debt.history.clone().unwrap_or_default();
    RefillAct::Switch { source: volume::proven(&course.debt.scratch), history }
}

pub(super) async fn run(course: &mut Course<'_>) -> Result<(), StepError> {
    let events = course.ports.conductor.events;
    events.send(Phase::Refill, EventKind::Started);
    let leader = course.debt.leader.clone();
    course.step(Phase::Refill, format!("putting the restored data into place on the volume of {}", leader.pod));
    for tries_left in (0..ATTEMPTS).rev() {
        phase1_stop::hold(course).await?;
        let switched = match course.told().await {
            // Whatever became of it, the same can be done again.
            Some(Err(StepError::Failed(why))) => {
                course.step(Phase::Refill, format!("{why}; once more"));
                course.refill(&leader, act(course)).await
            }
            Some(switched) => switched,
            None => course.refill(&leader, act(course)).await,
        };
        match switched {
            Err(StepError::Intruded(why)) if tries_left > 0 => course.step(Phase::Refill, format!("{why}; once more")),
            done => {
                course.placed_at = done?.state.map(|state| state.seqno);
                break;
            }
        }
    }
    events.send(Phase::Refill, EventKind::Finished);
    Ok(())
}
