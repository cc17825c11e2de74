//! Why a backup was not begun, and how one failed.

use super::findings::Finding;
use crate::exit_code::ExitCode;
use crate::model::backup_id::BackupId;
use crate::model::outcome::{Explain, Failure};
use crate::obligations::SettleError;
use crate::ports::PortError;
use crate::verify::VerifyError;

/// Why a backup was not begun. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The cluster is not healthy.
    #[error("refused to back up: {}", list(.0, "; "))]
    Unhealthy(Vec<Finding>),
    /// No such replica.
    #[error("there is no replica {wanted}; the cluster has {}", .pods.join(", "))]
    NoSuchReplica {
        /// What was asked for.
        wanted: String,
        /// What there is.
        pods: Vec<String>,
    },
    /// No replica at all.
    #[error("the cluster has no pod that could be copied")]
    NoReplica,
    /// The store cannot be mounted beside the replica.
    #[error("replica {pod} runs on node {node}, but the volume of claim {claim} can only be mounted on {}", .nodes.join(", "))]
    StoreElsewhere {
        /// The replica asked for.
        pod: String,
        /// Its node.
        node: String,
        /// The store's claim.
        claim: String,
        /// Where its volume can be mounted.
        nodes: Vec<String>,
    },
    /// The store's volume can be mounted on no replica's node.
    #[error("the volume of claim {claim} can only be mounted on {}, where no replica runs", .nodes.join(", "))]
    StoreBesideNone {
        /// The store's claim.
        claim: String,
        /// Where its volume can be mounted.
        nodes: Vec<String>,
    },
    /// The store's claim is not usable.
    #[error("claim {claim} of the local store is {phase}")]
    StoreUnusable {
        /// The store's claim.
        claim: String,
        /// Its phase.
        phase: String,
    },
    /// The data volume admits one pod only.
    #[error("claim {claim} of replica {pod} is ReadWriteOncePod: no runner can be put beside the server")]
    DataVolumeExclusive {
        /// The replica.
        pod: String,
        /// Its claim.
        claim: String,
    },
    /// The target cannot be used even when checks are overridden.
    #[error("replica {pod} cannot be copied: {why}")]
    TargetUnusable {
        /// The replica.
        pod: String,
        /// What is missing.
        why: String,
    },
}

fn list(things: &[impl ToString], between: &str) -> String {
    things.iter().map(ToString::to_string).collect::<Vec<_>>().join(between)
}

impl Explain for Refusal {
    fn code(&self) -> ExitCode {
        ExitCode::Refused
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Unhealthy(_) | Self::NoReplica => {
                "nothing was changed; try again when every replica is Synced; to see the pods: kubectl get pods"
            }
            Self::NoSuchReplica { .. } => "leave --replica out to have one chosen",
            Self::StoreElsewhere { .. } => "leave --replica out to have the replica beside the volume chosen",
            Self::StoreBesideNone { .. } | Self::StoreUnusable { .. } => {
                "name another claim with --store-claim, or make one: kubectl mariadb-backup setup"
            }
            Self::DataVolumeExclusive { .. } => "only ReadWriteOnce and ReadWriteMany data volumes can be backed up",
            Self::TargetUnusable { .. } => "name another replica with --replica",
        };
        Some(hint.to_owned())
    }
}

/// How a backup failed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// What the plan is made from could not be seen.
    #[error(transparent)]
    Look(PortError),
    /// It was not begun.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// No more backups can be entered.
    #[error("catalogue {0} is full")]
    CatalogueFull(String),
    /// The existing backups could not be verified.
    #[error("cannot verify the existing backups; nothing was touched")]
    Existing(#[source] VerifyError),
    /// Existing backups are not what was recorded, wherever they lie.
    #[error("{} of the existing backups are damaged in every store they lie in ({}): {}", .backups.len(), list(.backups, ", "), list(.files, "; "))]
    Corrupt {
        /// The backups.
        backups: Vec<BackupId>,
        /// The first of their files, with what is wrong.
        files: Vec<String>,
    },
    /// Something at the border to the world failed before the replica was touched.
    #[error("cannot isolate replica {pod}; it was not touched")]
    Isolate {
        /// The target.
        pod: String,
        /// Why.
        #[source]
        source: PortError,
    },
    /// Another run is at work on that server.
    #[error("replica {pod} is taken by another run; it was not touched")]
    Taken {
        /// The target.
        pod: String,
        /// Why.
        #[source]
        source: PortError,
    },
    /// The runner's own checks refused before the replica was touched.
    #[error("the runner beside {pod} refused, and the replica was not touched")]
    Checks {
        /// The target.
        pod: String,
        /// What the runner said.
        #[source]
        failure: Failure,
    },
    /// The copy failed; the replica is back in sync.
    #[error("copying {pod} failed, and the replica is back in sync")]
    Copy {
        /// The target.
        pod: String,
        /// What is known of it.
        #[source]
        failure: Failure,
    },
    /// The replica may still be desynced; the obligation stands.
    #[error("{}replica {pod} may still be desynced, and the obligation stays recorded", made(.whole.as_ref()))]
    Rejoin {
        /// The target.
        pod: String,
        /// The backup, when it was made and entered all the same.
        whole: Option<BackupId>,
        /// Why it is not back.
        #[source]
        source: SettleError,
    },
    /// The backup is whole on its volume, but the catalogue does not list it.
    #[error("backup {backup} is whole on its volume, but could not be entered into the catalogue")]
    Record {
        /// The backup.
        backup: BackupId,
        /// Why.
        #[source]
        source: PortError,
    },
}

fn made(whole: Option<&BackupId>) -> String {
    whole.map(|backup| format!("backup {backup} is whole and listed, but ")).unwrap_or_default()
}

impl Explain for BackupError {
    fn code(&self) -> ExitCode {
        match self {
            Self::Look(source) => source.code(),
            Self::Refused(refusal) => refusal.code(),
            Self::CatalogueFull(_) => ExitCode::Refused,
            Self::Existing(source) => source.code(),
            Self::Corrupt { .. } => ExitCode::VerificationFailed,
            Self::Taken { .. } => ExitCode::Locked,
            Self::Isolate { source, .. } => match source.code() {
                ExitCode::Error => ExitCode::FailedInCluster,
                code => code,
            },
            Self::Checks { failure, .. } | Self::Copy { failure, .. } => failure.code,
            Self::Rejoin { .. } | Self::Record { .. } => ExitCode::FailedInCluster,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Refused(refusal) => refusal.hint(),
            Self::CatalogueFull(_) => Some("to make room: kubectl mariadb-backup prune --keep NUMBER".to_owned()),
            Self::Existing(source) => source.hint(),
            Self::Corrupt { .. } => Some(
                "nothing was touched; to set them aside and go on: kubectl mariadb-backup create --on-corrupt=quarantine"
                    .to_owned(),
            ),
            Self::Look(source) | Self::Isolate { source, .. } | Self::Taken { source, .. } => source.hint(),
            Self::Checks { failure, .. } | Self::Copy { failure, .. } => failure.hint.clone(),
            Self::Rejoin { source, .. } => source.hint(),
            Self::Record { .. } => Some(
                "the next run enters it; or at once: kubectl mariadb-backup verify --rebuild-catalogue".to_owned(),
            ),
        }
    }

    fn reported(&self) -> Option<&Failure> {
        match self {
            Self::Checks { failure, .. } | Self::Copy { failure, .. } => Some(failure),
            Self::Existing(error) => error.reported(),
            _ => None,
        }
    }
}
