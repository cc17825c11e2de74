//! How far the data on stopped volumes are, and which of them is the furthest.

use futures::future::join_all;

use super::course::{Course, StepError};
use crate::model::event::{EventKind, Phase};
use crate::model::galera::SavedState;
use crate::model::order::RefillAct;
use crate::model::workload::Replica;

/// What is said of data that may be torn.
const DOUBT: &str = ", in doubt: its server was ended in the middle of a state transfer, or of a change of tables";

/// Where the data of one replica are.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub replica: Replica,
    pub state: SavedState,
    /// Whether its server was ended in the middle of a state transfer, or of a change of tables. Either it got nothing
    /// yet, and its data are whole; or files are of different times, and it claims to be where its donor was.
    pub in_doubt: bool,
}

impl Found {
    /// Whether one is further than another, or as far and not in doubt.
    pub(super) fn stands_before(&self, other: &Self) -> bool {
        (self.state.seqno, !self.in_doubt) > (other.state.seqno, !other.in_doubt)
    }
}

/// What the volumes told.
#[derive(Clone, Debug)]
pub(super) struct Told {
    /// Those that hold data.
    pub found: Vec<Found>,
    /// Whether every replica of the cluster has data and tells where they are: then nobody unknown can have been the
    /// donor of one in doubt.
    pub by_all: bool,
}

/// Asks the volumes, all at once. One that cannot tell is left out with a warning: it must not keep the
/// others from coming back.
pub(super) async fn of(course: &mut Course<'_>, replicas: &[Replica]) -> Result<Told, StepError> {
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
    let by_all = found.len() == course.debt.replicas().count();
    Ok(Told { found, by_all })
}

impl Told {
    /// The furthest of those; `None` when there is none. On a tie one that is not in doubt, then the one that is
    /// easiest to start alone.
    ///
    /// A donor that has its data still is not behind whom it has sent them to: who is in doubt and further than all
    /// others has its own data, whole. That holds only where nobody is missing.
    ///
    /// # Errors
    /// That one is in doubt, and whoever it may have its data from is not among those who told.
    pub(super) fn furthest(&self, of: impl Fn(&Found) -> bool, first: i32) -> Result<Option<&Found>, StepError> {
        let key = |of: &&Found| (of.state.seqno, !of.in_doubt, of.replica.ordinal == first, -of.replica.ordinal);
        let best = self.found.iter().filter(|found| of(found)).max_by_key(key);
        match best.filter(|best| best.in_doubt && !self.by_all) {
            Some(best) => Err(StepError::Failed(format!(
                "{} may be the furthest, or torn: its server was ended in the middle of a state transfer or of a change of tables, and whose data it then has is not known",
                best.replica.pod
            ))),
            None => Ok(best),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(ordinal: i32, seqno: i64, in_doubt: bool) -> Found {
        let replica = Replica { ordinal, pod: format!("db-{ordinal}"), claim: format!("data-db-{ordinal}") };
        Found { replica, state: SavedState { uuid: "h".to_owned(), seqno, safe_to_bootstrap: false }, in_doubt }
    }

    fn furthest(found: &[Found], by_all: bool) -> Result<Option<i32>, String> {
        let told = Told { found: found.to_vec(), by_all };
        let best = told.furthest(|_| true, 0).map(|best| best.map(|best| best.replica.ordinal));
        best.map_err(|error| error.words())
    }

    #[test]
    fn who_is_in_doubt_is_taken_only_where_nobody_can_have_sent_it_what_it_has() {
        let (donor, own) = (found(1, 7, false), found(2, 8, true));
        assert_eq!(furthest(&[found(0, 7, true), donor.clone()], true), Ok(Some(1)), "torn, from that donor");
        assert_eq!(furthest(&[donor.clone(), own.clone()], true), Ok(Some(2)), "nobody has what it has");
        assert!(furthest(&[donor.clone(), own], false).unwrap_err().starts_with("db-2 may be the furthest, or torn"));
        assert_eq!(furthest(&[found(0, 6, true), donor], false), Ok(Some(1)), "it does not matter");
        assert_eq!(furthest(&[found(0, 7, true), found(1, 7, true)], true), Ok(Some(0)), "as good as each other");
        assert_eq!(furthest(&[], true), Ok(None));
    }
}
