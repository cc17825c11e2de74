//! How far the data on stopped volumes are, and which of them is the furthest.

use futures::future::join_all;

use super::course::{Course, StepError};
use crate::model::event::{EventKind, Phase};
use crate::model::galera::SavedState;
use crate::model::order::RefillAct;
use crate::model::workload::Replica;

/// What is said of data whose position is not to be believed.
const DOUBT: &str = ", in doubt: its server was ended in the middle of a state transfer, or of a change of tables";

/// Where the data of one replica are.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub replica: Replica,
    pub state: SavedState,
    /// Whether its server was ended in the middle of a state transfer, or of a change of tables: files may be of
    /// different times, whatever position they claim.
    pub in_doubt: bool,
}

/// Asks the volumes, all at once. One that cannot tell is left out with a warning: it must not keep the
/// others from coming back. So is one in doubt, unless all of the cluster are: then nobody was there to transfer
/// anything from, and they were ended while tables were changed.
pub(super) async fn of(course: &mut Course<'_>, replicas: &[Replica]) -> Result<Vec<Found>, StepError> {
    let mut sent = Vec::new();
    for replica in replicas {
        sent.push((course.runner(replica, RefillAct::Position, None), replica));
    }
    let course = &*course;
    let asked = join_all(sent.iter().map(|(spec, replica)| course.alone(spec, replica))).await;
    let (mut found, mut have_told) = (Vec::new(), 0);
    for (replica, report) in replicas.iter().zip(asked) {
        match report {
            Ok(report) => {
                have_told += 1;
                let in_doubt = report.in_doubt;
                let state = report.state.filter(|state| report.has_data && state.has_history());
                if let Some(state) = state {
                    let doubt = if in_doubt { DOUBT } else { "" };
                    course
                        .step(Phase::RollBack, format!("{} is at {}:{}{doubt}", replica.pod, state.uuid, state.seqno));
                    found.push(Found { replica: replica.clone(), state, in_doubt });
                }
            }
            Err(StepError::World(error)) => return Err(StepError::World(error)),
            Err(error) => {
                let message = format!("it is not known how far the data of {} are: {}", replica.pod, error.words());
                course.ports.conductor.events.send(Phase::RollBack, EventKind::Warned { message });
            }
        }
    }
    let is_whole_cluster = have_told == course.debt.replicas().count();
    if !is_whole_cluster || found.iter().any(|of| !of.in_doubt) {
        found.retain(|of| !of.in_doubt);
    }
    Ok(found)
}

/// The furthest; on a tie the one that is easiest to start alone.
pub(super) fn furthest(found: &[Found], first: i32) -> Option<&Found> {
    let key = |of: &&Found| (of.state.seqno, of.replica.ordinal == first, -of.replica.ordinal);
    found.iter().max_by_key(key)
}
