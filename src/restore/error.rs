//! Why a restore was refused, or failed, and how the cluster is then.

use super::Stage;
use crate::exit_code::ExitCode;
use crate::model::backup_id::BackupId;
use crate::model::bytes;
use crate::model::outcome::{Explain, Failure};
use crate::ports::PortError;
use crate::proof::ChainError;

/// Why a restore was refused, or failed.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The backup cannot be put together.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// Something stands in the way.
    #[error("the restore was refused: {}", .0.join("; "))]
    Obstacles(Vec<String>),
    /// No replica can be started first with the restored data.
    #[error("no replica can be started first with the restored data: {}", .reasons.join("; "))]
    NoLeader {
        /// Why not, of each.
        reasons: Vec<String>,
        /// The command that makes a copy any node can read, where the backup is read from a volume.
        sync: Option<String>,
        /// What a claim to unpack on has to be, where one would help.
        place: Option<String>,
    },
    /// It could not be undone.
    #[error(
        "if the restored data did not start, the old data of {cluster} could not be brought back: {}, and {}",
        why_not_aside(*.is_full), why_no_other(*.starts_another, .silent)
    )]
    NoWayBack {
        /// The cluster.
        cluster: String,
        /// Whether only the room for both is missing.
        is_full: bool,
        /// Whether another replica than the lowest ordinal could start the cluster at all.
        starts_another: bool,
        /// What came of asking those that did not answer.
        silent: Vec<String>,
    },
    /// The old data cannot be given up.
    #[error(
        "nobody may remove {what} from the data directory of {pod}, beside which nothing can be set aside; nothing was changed"
    )]
    Unremovable {
        /// Its pod.
        pod: String,
        /// What stays.
        what: String,
    },
    /// A person chose a replica that cannot be started first.
    #[error("ordinal {ordinal} cannot be chosen to start the cluster: {why}; nothing was changed")]
    NotToBeChosen {
        /// What was chosen.
        ordinal: i32,
        /// Why not.
        why: String,
    },
    /// Not all replicas can get the proven copy itself.
    #[error("--refill all cannot be done, and the cluster was not touched: {0}")]
    CannotLend(String),
    /// The leader's volume could not be looked at.
    #[error("cannot look at the data volume of {pod}: {}", .failure.message)]
    Look {
        /// The pod.
        pod: String,
        /// Why.
        failure: Box<Failure>,
    },
    /// The data are not where they are thought to be.
    #[error("the volume of {pod} has something on it, and no MariaDB data in \"{directory}\", where they should be")]
    NoData {
        /// The pod.
        pod: String,
        /// The directory below the volume's root.
        directory: String,
    },
    /// There is no room any more for what was proven.
    #[error("{backup} takes {} unpacked, and the volume of {pod} has {} for it; the cluster was not touched", bytes::human(*.needed_bytes), bytes::human(*.free_bytes))]
    NoRoom {
        /// The backup.
        backup: BackupId,
        /// The pod.
        pod: String,
        /// What it takes.
        needed_bytes: u64,
        /// What is left for it.
        free_bytes: u64,
    },
    /// The obligation could not be recorded.
    #[error("cannot record that a restore begins; nothing was changed")]
    NotBegun {
        /// Why.
        #[source]
        source: PortError,
    },
    /// The backup did not boot; the cluster served all the time.
    #[error("{backup} was not restored, and the cluster was not touched: {}", .failure.message)]
    NotProven {
        /// The backup.
        backup: BackupId,
        /// Why.
        failure: Box<Failure>,
    },
    /// Kubernetes could not be asked or told in the middle.
    #[error("the restore of {backup} was interrupted while {}", .stage.words())]
    Interrupted {
        /// The backup.
        backup: BackupId,
        /// How far it is.
        stage: Stage,
        /// Why.
        #[source]
        source: Box<PortError>,
    },
    /// The restored data are served, and others have not joined.
    #[error("the restored data were served by {leader}, but not all replicas have joined: {why}")]
    NotJoined {
        /// The replica that serves.
        leader: String,
        /// Why.
        why: String,
    },
    /// It failed and was undone.
    #[error("the restore of {backup} failed, and {how}: {why}")]
    RolledBack {
        /// The backup.
        backup: BackupId,
        /// Why it failed.
        why: String,
        /// How the old cluster is.
        how: &'static str,
    },
    /// It failed, and is undone but for a replica, such as one whose volume is in a state nobody may start from.
    #[error("the restore of {backup} failed ({why}); the old cluster serves again, but not whole: {trouble}")]
    PartlyBack {
        /// The backup.
        backup: BackupId,
        /// Why it failed.
        why: String,
        /// Who is not back, and why.
        trouble: Box<str>,
    },
    /// It failed, and could not be undone.
    #[error("the restore of {backup} failed ({why}), and the old cluster is not back: {trouble}")]
    NeedsPerson {
        /// The backup.
        backup: BackupId,
        /// Why it failed.
        why: String,
        /// Why it is not undone.
        trouble: Box<str>,
        /// Exactly what to do.
        instructions: Box<str>,
    },
}

/// What finishes what stands.
const RECOVER: &str = "kubectl mariadb-backup recover";

/// Why old data cannot be set aside.
pub(super) fn why_not_aside(is_full: bool) -> &'static str {
    if is_full {
        "its volume has no room for them beside the restored ones"
    } else {
        "nothing can be set aside beside a data directory that is the root of its volume"
    }
}

/// What would let a replica be started first.
fn possible(sync: Option<&str>, place: Option<&str>) -> String {
    let mut ways = vec!["leave --leader out where it was given".to_owned()];
    ways.extend(
        sync.map(|sync| {
            format!("or make a copy that any node can read: {sync}\nand restore that one, with --store s3")
        }),
    );
    ways.extend(place.map(|place| {
        format!("or make a claim {place} that a pod beside the data can mount, and have the backup of S3 unpacked there: --scratch-claim NAME")
    }));
    ways.join("; ")
}

/// Why no other replica could bring them back.
fn why_no_other(starts_another: bool, silent: &[String]) -> String {
    if !starts_another {
        return "no replica but the lowest ordinal can start the cluster alone here".to_owned();
    }
    let silent = if silent.is_empty() { String::new() } else { format!(" ({})", silent.join("; ")) };
    format!("no other replica answers that would still have them{silent}")
}

impl Explain for RestoreError {
    fn code(&self) -> ExitCode {
        match self {
            Self::Chain(error) => error.code(),
            Self::NoData { .. }
            | Self::Obstacles(_)
            | Self::NoLeader { .. }
            | Self::NoWayBack { .. }
            | Self::Unremovable { .. }
            | Self::NotToBeChosen { .. }
            | Self::CannotLend(_)
            | Self::NoRoom { .. } => ExitCode::Refused,
            Self::Look { failure, .. } | Self::NotProven { failure, .. } => failure.code,
            Self::NotBegun { .. } | Self::Interrupted { .. } | Self::NotJoined { .. } => ExitCode::FailedInCluster,
            Self::RolledBack { .. } => ExitCode::RolledBack,
            Self::PartlyBack { .. } | Self::NeedsPerson { .. } => ExitCode::NeedsPerson,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Chain(error) => error.hint(),
            Self::Obstacles(_) => {
                Some("nothing was changed; clear what stands in the way and order it again".to_owned())
            }
            Self::NoLeader { sync, place, .. } => Some(possible(sync.as_deref(), place.as_deref())),
            // No pod that Pod Security restricts may take that mark off.
            Self::Unremovable { .. } => Some(
                "see in that pod who owns it: ls -ln; where it is immutable (lsattr), only root on its node can free it: chattr -i -a"
                    .to_owned(),
            ),
            Self::NoWayBack { .. } => Some("--no-rollback goes on without a way back".to_owned()),
            Self::CannotLend(_) => {
                Some("leave --refill out, and the other replicas get everything from the first one".to_owned())
            }
            Self::Look { failure, .. } | Self::NotProven { failure, .. } => failure.hint.clone(),
            Self::NoData { .. } => Some(
                "a replica that answers says where its data are: bring one up, or see what is on the volume".to_owned(),
            ),
            Self::NoRoom { .. } => {
                Some("make its claim larger, or start with a replica that has more room: --leader ORDINAL".to_owned())
            }
            Self::NotBegun { source } => source.hint(),
            Self::Interrupted { .. } => Some(format!("to go on with it, or bring the old cluster back: {RECOVER}")),
            Self::NotJoined { .. } => {
                Some(format!("the pods that did not join: kubectl get pods -o wide\nto go on: {RECOVER}"))
            }
            Self::RolledBack { .. } => Some("what happened, step by step: kubectl mariadb-backup logs".to_owned()),
            Self::NotToBeChosen { .. } => Some(format!("to go on without choosing: {RECOVER}")),
            Self::PartlyBack { .. } => Some(format!(
                "until then do not scale it, nor resume what keeps it: that replica could start a cluster of its own; no backup is made meanwhile\nmend its volume; then, to let it join while the others serve: {RECOVER}"
            )),
            Self::NeedsPerson { instructions, .. } => Some(instructions.to_string()),
        }
    }

    fn reported(&self) -> Option<&Failure> {
        match self {
            Self::Look { failure, .. } | Self::NotProven { failure, .. } => Some(failure),
            _ => None,
        }
    }
}
