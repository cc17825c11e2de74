//! How far the data on stopped volumes are, and which of them is the furthest.

use futures::future::join_all;

use super::course::{Course, StepError};
use crate::model::event::{EventKind, Phase};
use crate::model::galera::SavedState;
use crate::model::order::RefillAct;
use crate::model::workload::Replica;

/// Where the data of one replica are.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub replica: Replica,
    pub state: SavedState,
}

/// Asks the volumes, all at once. One that cannot tell is left out with a warning: it must not keep the
/// others from coming back.
pub(super) async fn of(course: &mut Course<'_>, replicas: &[Replica]) -> Result<Vec<Found>, StepError> {
    let mut sent = Vec::new();
    for replica in replicas {
        sent.push((course.runner(replica, RefillAct::Position, None), replica));
    }
    let course = &*course;
    let asked = join_all(sent.iter().map(|(spec, replica)| course.alone(spec, replica))).await;
    let mut found = Vec::new();
    for (replica, report) in replicas.iter().zip(asked) {
        match report {
            Ok(report) => {
                let state = report.state.filter(|state| report.has_data && state.has_history());
                if let Some(state) = state {
                    course.step(Phase::RollBack, format!("{} is at {}:{}", replica.pod, state.uuid, state.seqno));
                    found.push(Found { replica: replica.clone(), state });
                }
            }
            Err(StepError::World(error)) => return Err(StepError::World(error)),
            Err(error) => {
                let message = format!("it is not known how far the data of {} are: {}", replica.pod, error.words());
                course.ports.conductor.events.send(Phase::RollBack, EventKind::Warned { message });
            }
        }
    }
    Ok(found)
}

/// The furthest; on a tie the one that is easiest to start alone.
pub(super) fn furthest(found: &[Found], first: i32) -> Option<&Found> {
    let key = |of: &&Found| (of.state.seqno, of.replica.ordinal == first, -of.replica.ordinal);
    found.iter().max_by_key(key)
}
