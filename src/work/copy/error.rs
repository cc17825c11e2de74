//! Why a copy was refused or failed, and what that means for the replica.

use crate::exit_code::ExitCode;
use crate::model::bytes::human;
use crate::model::outcome::{Explain, Failure};
use crate::model::space::NotEnoughRoom;
use crate::model::version::Series;
use crate::ports::runner::GoAhead;
use crate::ports::{PortError, Reason};
use crate::work::pipeline::PipelineError;

/// A state of the world in which no copy is begun.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The account lacks what the copy will need at its end at the latest.
    #[error("the {account} account lacks {missing}")]
    MissingGrants {
        /// Which account.
        account: &'static str,
        /// Its name, as GRANT spells it.
        grantee: String,
        /// The privileges, as GRANT spells them.
        missing: String,
    },
    /// A version text without a version.
    #[error("\"{text}\" tells no version of {of}")]
    UnknownVersion {
        /// What was said.
        text: String,
        /// Who said it.
        of: &'static str,
    },
    /// Tool and server are of different series.
    #[error("mariadb-backup is of series {tool}, the server of {server}")]
    OtherSeries {
        /// The tool's.
        tool: Series,
        /// The server's.
        server: Series,
    },
    /// The server keeps its data elsewhere, and mariadb-backup would read there.
    #[error("the server's data directory is {server}, this runner sees {here}")]
    OtherPath {
        /// The server's.
        server: String,
        /// The runner's.
        here: String,
    },
    /// The files are not those of this server.
    #[error("the files in {datadir} belong to member {files}, the server is member {server}")]
    OtherServersFiles {
        /// Where the files are.
        datadir: String,
        /// Member id in the files.
        files: String,
        /// Member id of the server.
        server: String,
    },
    /// The system tablespace is another file than it was.
    #[error("ibdata1 in {datadir} is another file than before")]
    OtherIncarnation {
        /// Where the files are.
        datadir: String,
    },
    /// The member id of the files is missing.
    #[error("no Galera member runs on the files in {datadir}")]
    NoMember {
        /// Where the files are.
        datadir: String,
    },
    /// Not a moment to desync this member.
    #[error("the server is {state}, not Synced")]
    NotSynced {
        /// Its state.
        state: String,
    },
    /// Somebody else has desynced it.
    #[error("the server is desynced already (wsrep_desync_count {count})")]
    AlreadyDesynced {
        /// How many have asked for it.
        count: u32,
    },
    /// `wsrep_mode` lets the applier and the backup block each other for good.
    #[error("wsrep_mode of the server has BF_ABORT_MARIABACKUP")]
    AbortsBackups,
    /// A desynced member would still slow the group down.
    #[error("gcs.sync_donor of the server is on")]
    SyncDonor,
    /// The copy would be given up at once.
    #[error(
        "{} are free on the data volume, less than the {} below which a copy is given up",
        human(*.free_bytes),
        human(*.least_bytes)
    )]
    DataVolume {
        /// What is free.
        free_bytes: u64,
        /// What has to be.
        least_bytes: u64,
    },
    /// No room.
    #[error("not enough room in the store")]
    Room(#[source] NotEnoughRoom),
}

impl Refusal {
    fn hint(&self) -> String {
        match self {
            Self::MissingGrants { grantee, missing, .. } => format!("in SQL: GRANT {missing} ON *.* TO {grantee}"),
            Self::OtherSeries { .. } | Self::UnknownVersion { .. } => {
                "run the runner in the server's own image".to_owned()
            }
            Self::OtherPath { server, .. } => format!("mount the data volume at {server} in the runner"),
            Self::OtherServersFiles { .. } | Self::OtherIncarnation { .. } | Self::NoMember { .. } => {
                "check which claim is mounted, and whether the server was restarted just now".to_owned()
            }
            Self::NotSynced { .. } => {
                "in SQL: SHOW STATUS LIKE 'wsrep_local_state_comment'; wait until it is Synced".to_owned()
            }
            Self::AlreadyDesynced { .. } => {
                "when nobody needs that any more, in SQL: SET GLOBAL wsrep_desync=OFF".to_owned()
            }
            Self::AbortsBackups => "take BF_ABORT_MARIABACKUP out of wsrep_mode".to_owned(),
            Self::SyncDonor => "in SQL: SET GLOBAL wsrep_provider_options='gcs.sync_donor=NO'".to_owned(),
            Self::DataVolume { .. } => {
                "give the replica's data claim more room; MARIADB_BACKUP_DATA_FREE is how much must stay free"
                    .to_owned()
            }
            Self::Room(_) => "to see what would go if fewer were kept: kubectl mariadb-backup prune --keep NUMBER --dry-run\nor give the store's claim more room".to_owned(),
        }
    }
}

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// A check could not be made; nothing was changed.
    #[error(transparent)]
    Check(PortError),
    /// A check refused; nothing was changed.
    #[error("refused before anything was changed")]
    Refused(#[source] Refusal),
    /// There was no go-ahead; nothing was changed.
    #[error("{}", no_go_ahead(*.0))]
    NoGoAhead(GoAhead),
    /// The run was stopped before anything was changed.
    #[error("stopped before the replica was touched")]
    StoppedBefore,
    /// A place for the backup could not be made; nothing else was changed.
    #[error("cannot begin the backup in the store")]
    Begin(#[source] PortError),
    /// The replica did not take the desync.
    #[error("cannot desync the replica")]
    Desync(#[source] PortError),
    /// The replica took the desync and did not get there.
    #[error("the replica is {state} {secs} seconds after wsrep_desync=ON")]
    NotDesynced {
        /// Its state.
        state: String,
        /// How long that was.
        secs: u64,
    },
    /// mariadb-backup could not be started.
    #[error(transparent)]
    Start(PortError),
    /// mariadb-backup failed.
    #[error("mariadb-backup ended with {how}{}", joined(.complaints))]
    Engine {
        /// Exit code or signal.
        how: String,
        /// What it said.
        complaints: Vec<String>,
    },
    /// The bytes did not arrive, or are not a whole stream.
    #[error(transparent)]
    Pipeline(PipelineError),
    /// No byte for too long.
    #[error("mariadb-backup sent nothing for {secs} seconds")]
    Stalled {
        /// How long.
        secs: u64,
    },
    /// The copy took too long.
    #[error("the copy was not done after {secs} seconds")]
    TookTooLong {
        /// How long.
        secs: u64,
    },
    /// The data volume fills up: what arrives while the replica lags is kept there.
    #[error(
        "only {} are left on the data volume; the copy was given up below {}",
        human(*.free_bytes),
        human(*.least_bytes)
    )]
    DataVolumeFull {
        /// What is free.
        free_bytes: u64,
        /// What has to be.
        least_bytes: u64,
    },
    /// The server went away during the copy.
    #[error("the server went away during the copy")]
    ServerGone(#[source] PortError),
    /// The server was restarted during the run.
    #[error("the server was restarted during the run, which also ended its desync")]
    ServerRestarted,
    /// The run was stopped during the copy.
    #[error("stopped during the copy; the replica was brought back")]
    Stopped,
    /// The replica was not brought back.
    #[error("{}the replica could not be brought back by its runner: {why}", after(.copy.as_deref()))]
    NotRejoined {
        /// What stood in the way.
        why: String,
        /// Why the copy had failed before that, if it had.
        copy: Option<Box<CopyError>>,
        /// What the server or the connection said.
        #[source]
        source: Option<PortError>,
    },
    /// The backup covers another stretch of redo than was asked for.
    #[error("mariadb-backup copied the redo from {from} to {to}, not on from {since}")]
    OtherRedo {
        /// Where it was to begin.
        since: u64,
        /// Where it began.
        from: u64,
        /// Where it ended.
        to: u64,
    },
    /// What the backup says about itself cannot be read.
    #[error("cannot read {what} of the backup")]
    Unreadable {
        /// Which fact.
        what: &'static str,
    },
    /// The backup could not be signed off.
    #[error("cannot sign the backup off")]
    Publish(#[source] PortError),
}

/// Tells an error with its causes in one sentence, for a warning.
pub(super) fn told(error: &dyn Explain) -> String {
    let Failure { message, causes, .. } = Failure::of(error);
    causes.into_iter().fold(message, |text, cause| text + ": " + &cause)
}

fn no_go_ahead(how: GoAhead) -> &'static str {
    match how {
        GoAhead::Abandoned => "the conductor of this run is gone; nothing was changed",
        GoAhead::TimedOut | GoAhead::Given => "the conductor did not let it begin in time; nothing was changed",
    }
}

fn joined(lines: &[String]) -> String {
    lines.iter().fold(String::new(), |text, line| text + "; " + line)
}

fn after(copy: Option<&CopyError>) -> String {
    copy.map(|copy| format!("{copy}; then ")).unwrap_or_default()
}

impl Explain for CopyError {
    fn code(&self) -> ExitCode {
        match self {
            Self::Check(error) if error.reason == Reason::Credentials => ExitCode::Credentials,
            Self::Check(_) | Self::Refused(_) => ExitCode::Refused,
            _ => ExitCode::FailedInCluster,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Refused(refusal) => Some(refusal.hint()),
            Self::Check(error)
            | Self::Start(error)
            | Self::Begin(error)
            | Self::Publish(error)
            | Self::Pipeline(PipelineError::Durable(error)) => error.hint(),
            Self::Pipeline(PipelineError::Write { source, .. }) if source.kind() == std::io::ErrorKind::StorageFull => {
                Some("to see what would go if fewer were kept: kubectl mariadb-backup prune --keep NUMBER --dry-run\nor give the store's claim more room".to_owned())
            }
            Self::DataVolumeFull { .. } => Some(
                "give the replica's data claim more room, or back up when less is written: write-sets that arrive \
                 during a copy are kept there (gcache.page files)"
                    .to_owned(),
            ),
            Self::Stalled { .. } => Some(
                "in SQL on that replica: SHOW FULL PROCESSLIST; a statement of mariadb-backup that waits there, and \
                 what it waits for, or else the store that takes no bytes, is the cause"
                    .to_owned(),
            ),
            // Among these a replica that is not back: the conductor tries next, and knows what to do then.
            _ => None,
        }
    }
}
