//! Why a data volume could not be changed.

use crate::exit_code::ExitCode;
use crate::model::bytes::human;
use crate::model::outcome::Explain;
use crate::ports::PortError;

/// Why a data volume could not be changed.
#[derive(Debug, thiserror::Error)]
pub(super) enum RefillError {
    /// The volume, or the server on it, said no.
    #[error(transparent)]
    Port(#[from] PortError),
    /// What should get into place is not what was proven.
    #[error("{place} is not the copy that was proven: {what}; nothing was touched")]
    NotProven {
        /// The scratch.
        place: String,
        /// Why, in words.
        what: String,
    },
    /// What was copied has changed meanwhile.
    #[error("somebody changed {place} while it was copied; the copy is not used")]
    Changed {
        /// What was copied.
        place: String,
    },
    /// There is nothing a cluster could be started from.
    #[error("{place} has no grastate.dat, so no cluster can be started from it")]
    NothingToStart {
        /// The data directory.
        place: String,
    },
    /// There is no room for another copy.
    #[error("the copy takes {}, and {place} has {} left; nothing was copied", human(*.needed_bytes), human(*.free_bytes))]
    NoRoom {
        /// Where it should go.
        place: String,
        /// What it takes.
        needed_bytes: u64,
        /// What is left.
        free_bytes: u64,
    },
    /// Nobody told it to begin.
    #[error("nobody told it to begin; nothing was touched")]
    NotTold,
    /// It was asked to stop.
    #[error("stopped; what was begun can be done again")]
    Stopped,
    /// The thread that did it broke off.
    #[error("the work on the volume ended by a fault of this program")]
    BrokeOff,
}

impl Explain for RefillError {
    fn code(&self) -> ExitCode {
        ExitCode::FailedInCluster
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Port(error) => error.hint(),
            _ => None,
        }
    }
}
