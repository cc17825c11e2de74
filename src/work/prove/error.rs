//! Why a backup could not be proven, and what to do about it.

use std::io;

use crate::exit_code::ExitCode;
use crate::model::backup_id::BackupId;
use crate::model::bytes::human;
use crate::model::names::ORIGINAL_KEY_FILE;
use crate::model::outcome::Explain;
use crate::ports::{PortError, Reason};
use crate::work::check::flaw::Flaw;
use crate::work::check::look::Side;

/// Why a backup was not proven.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProveError {
    /// The order makes no sense.
    #[error("{0}")]
    Order(String),
    /// The key for an encrypted backup of the original is not there.
    #[error("{backup} was encrypted by the original, and {}", no_key(.secret.as_deref()))]
    NoKey {
        /// The backup.
        backup: BackupId,
        /// The Secret that should have it, if one is set.
        secret: Option<String>,
    },
    /// The key is not the one.
    #[error("{backup} was encrypted by the original with another key than the one in Secret {secret}")]
    WrongKey {
        /// The backup.
        backup: BackupId,
        /// The Secret.
        secret: String,
    },
    /// The backups do not build on one another.
    #[error("the backups are no chain: {backup} {what}")]
    NoChain {
        /// The first that does not fit.
        backup: BackupId,
        /// Why, as a sentence about it.
        what: String,
    },
    /// A file is not what was recorded.
    #[error("{file} {what}")]
    Damaged {
        /// The store and the path in it.
        file: String,
        /// What is wrong, as a sentence about the file.
        what: String,
    },
    /// A file could not be read.
    #[error("{file} {what}")]
    Unread {
        /// The store and the path in it.
        file: String,
        /// Why, as a sentence about the file.
        what: String,
    },
    /// The server is of another series.
    #[error("{backup} was made by server {made}, and this one is {runs}: physical backups fit one series only")]
    OtherSeries {
        /// The backup.
        backup: BackupId,
        /// The version it was made by.
        made: String,
        /// The version that was booted.
        runs: String,
    },
    /// The scratch directory could not be used.
    #[error(transparent)]
    Scratch(PortError),
    /// There is not enough room to unpack.
    #[error("{} do not fit into {place}, which has {} left", human(*.needed_bytes), human(*.free_bytes))]
    NoRoom {
        /// The scratch directory.
        place: String,
        /// What the backups and the server take.
        needed_bytes: u64,
        /// What is left.
        free_bytes: u64,
    },
    /// The room is used up while it is unpacked.
    #[error("unpacking {backup} was given up: {} are left in {place}, and {} are kept free", human(*.free_bytes), human(*.kept_bytes))]
    FillsUp {
        /// The backup.
        backup: BackupId,
        /// The scratch directory.
        place: String,
        /// What is left.
        free_bytes: u64,
        /// What has to be.
        kept_bytes: u64,
    },
    /// A file could not be written.
    #[error("cannot write {file} in the scratch directory")]
    Writing {
        /// The file.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// The room was used up meanwhile, of which the programs tell in many ways.
    #[error("only {} are left in {place}", human(*.free_bytes))]
    Full {
        /// The scratch directory.
        place: String,
        /// What is left.
        free_bytes: u64,
        /// What failed then.
        #[source]
        why: Box<ProveError>,
    },
    /// A program could not be started or waited for.
    #[error(transparent)]
    Start(PortError),
    /// The tool failed.
    #[error("cannot prepare {backup}: mariadb-backup ended with {how}{}", joined(.complaints))]
    Prepare {
        /// The backup it prepared or applied.
        backup: BackupId,
        /// Exit code or signal.
        how: String,
        /// What it said.
        complaints: Vec<String>,
    },
    /// The tool took too long.
    #[error("mariadb-backup was not done preparing after {secs} seconds")]
    PreparedTooLong {
        /// How long.
        secs: u64,
    },
    /// The server ended by itself.
    #[error("the throwaway server ended with {how}{}", joined(.complaints))]
    Died {
        /// Exit code or signal.
        how: String,
        /// What it said.
        complaints: Vec<String>,
    },
    /// The server did not come up.
    #[error("the throwaway server did not answer within {secs} seconds{}", joined(.complaints))]
    NoAnswer {
        /// How long.
        secs: u64,
        /// What it said.
        complaints: Vec<String>,
        /// What came of asking it last.
        #[source]
        why: PortError,
    },
    /// The server did not end well.
    #[error("the throwaway server ended with {how} when it was shut down{}", joined(.complaints))]
    EndedBadly {
        /// Exit code or signal.
        how: String,
        /// What it said.
        complaints: Vec<String>,
    },
    /// The server did not end at all.
    #[error("the throwaway server did not shut down within {secs} seconds{}", joined(.complaints))]
    DoesNotEnd {
        /// How long.
        secs: u64,
        /// What it said.
        complaints: Vec<String>,
    },
    /// The backup has no such account.
    #[error("the backup has no account {username}, which the Secret of the {account} account names today")]
    NoAccount {
        /// Which account.
        account: &'static str,
        /// Its name.
        username: String,
    },
    /// The account of today does not fit the backup.
    #[error("the password of the {account} account {username} in today's Secret is not the one in the backup")]
    WrongPassword {
        /// Which account.
        account: &'static str,
        /// Its name.
        username: String,
    },
    /// An account that the servers' own pods use is not let in.
    #[error("{}", not_let_in(.username, .from, *.is_known))]
    ServerAccount {
        /// Its name.
        username: String,
        /// Where its password of today stands, in words.
        from: String,
        /// Whether the backup has it, with another password.
        is_known: bool,
    },
    /// The server did not answer a question.
    #[error(transparent)]
    Sql(PortError),
    /// Tables do not open.
    #[error("{count} tables of the backup do not open, such as {}", .named.join(", "))]
    Tables {
        /// Some of them.
        named: Vec<String>,
        /// How many they are.
        count: u32,
        /// What the server said of the first.
        #[source]
        source: PortError,
    },
    /// The query failed.
    #[error(transparent)]
    Query(PortError),
    /// It was asked for.
    #[error("stopped before the backup was proven")]
    Stopped,
    /// A thread ended without its result.
    #[error("a thread that unpacks ended by a fault of this program")]
    BrokeOff,
}

fn not_let_in(username: &str, from: &str, is_known: bool) -> String {
    if is_known {
        format!("the password of {username} that the servers' own pods use today ({from}) is not the one in the backup")
    } else {
        format!("the backup has no account {username}, which the servers' own pods use today ({from})")
    }
}

fn no_key(secret: Option<&str>) -> String {
    secret.map_or("no Secret with its key is set".to_owned(), |secret| {
        format!("Secret {secret} is not there or has no {ORIGINAL_KEY_FILE}")
    })
}

/// What the original called its file is the only clue to where somebody has it.
fn key_hint(secret: Option<&str>) -> String {
    let name = secret.unwrap_or("mariadb-backup-original-key");
    let make = format!(
        "it is what the original had in /etc/mysql/backup-kek when it made that backup: kubectl create secret generic {name} \
         --from-file={ORIGINAL_KEY_FILE}=FILE --dry-run=client -o yaml | kubectl apply -f -"
    );
    match secret {
        Some(_) => make,
        None => format!("{make}\nthen name it: kubectl mariadb-backup setup --original-key-secret {name}"),
    }
}

fn joined(lines: &[String]) -> String {
    lines.iter().fold(String::new(), |text, line| text + "; " + line)
}

impl ProveError {
    /// Whether a scratch directory without room may be what it comes from.
    pub(super) fn may_be_for_room(&self) -> bool {
        matches!(
            self,
            Self::Prepare { .. }
                | Self::Died { .. }
                | Self::NoAnswer { .. }
                | Self::EndedBadly { .. }
                | Self::DoesNotEnd { .. }
                | Self::Start(_)
                | Self::Sql(_)
                | Self::Tables { .. }
                | Self::Query(_)
        )
    }
}

/// What is wrong with a file, as an error.
pub(super) fn bad_file(side: &Side<'_>, path: &str, flaw: &Flaw) -> ProveError {
    let (file, what) = (format!("{}/{path}", side.store.place()), flaw.sentence().to_owned());
    if flaw.is_damage() { ProveError::Damaged { file, what } } else { ProveError::Unread { file, what } }
}

impl Explain for ProveError {
    fn code(&self) -> ExitCode {
        match self {
            Self::Order(_) => ExitCode::Usage,
            // Of what the backup is, it tells nothing.
            Self::Query(error) if error.reason == Reason::Malformed => ExitCode::Usage,
            Self::NoRoom { .. } | Self::FillsUp { .. } | Self::OtherSeries { .. } => ExitCode::Refused,
            Self::NoChain { .. } | Self::Damaged { .. } => ExitCode::VerificationFailed,
            Self::NoKey { .. }
            | Self::WrongKey { .. }
            | Self::NoAccount { .. }
            | Self::WrongPassword { .. }
            | Self::ServerAccount { .. } => ExitCode::Credentials,
            Self::Unread { .. }
            | Self::Scratch(_)
            | Self::Writing { .. }
            | Self::Full { .. }
            | Self::Start(_)
            | Self::Prepare { .. }
            | Self::PreparedTooLong { .. }
            | Self::Died { .. }
            | Self::NoAnswer { .. }
            | Self::EndedBadly { .. }
            | Self::DoesNotEnd { .. }
            | Self::Sql(_)
            | Self::Tables { .. }
            | Self::Query(_)
            | Self::Stopped
            | Self::BrokeOff => ExitCode::FailedInCluster,
        }
    }

    fn hint(&self) -> Option<String> {
        let more_room = || {
            Some("give that volume more room; a drill can unpack on one made for it: --scratch-class CLASS".to_owned())
        };
        match self {
            Self::Scratch(error) if error.reason == Reason::NoSpace => more_room(),
            Self::Scratch(error) | Self::Start(error) => error.hint(),
            Self::NoRoom { .. } | Self::FillsUp { .. } | Self::Full { .. } => more_room(),
            Self::Writing { source, .. } if source.kind() == io::ErrorKind::StorageFull => more_room(),
            Self::OtherSeries { .. } => Some(
                "choose a backup made since the servers were upgraded: kubectl mariadb-backup list; or give the StatefulSet \
                 an image of the series the backup was made by"
                    .to_owned(),
            ),
            Self::NoKey { secret, .. } => Some(key_hint(secret.as_deref())),
            Self::WrongKey { secret, .. } => Some(key_hint(Some(secret))),
            Self::NoChain { .. } | Self::Damaged { .. } => {
                Some("see which backups are good: kubectl mariadb-backup verify --deep".to_owned())
            }
            Self::NoAccount { .. } | Self::WrongPassword { .. } => Some(
                "after a restore of this backup nobody gets in with that Secret; compare it with the one of that time, \
                 or choose a backup taken since it was changed: kubectl mariadb-backup list"
                    .to_owned(),
            ),
            Self::ServerAccount { .. } => Some(
                "choose a backup taken since it was changed: kubectl mariadb-backup list\n\
                 or give the account and that Secret, both at once, the password of that time, until the restore is done: \
                 running pods see a changed Secret, too\n\
                 or, where nothing of them logs in with it: kubectl mariadb-backup restore BACKUP --ignore-logins"
                    .to_owned(),
            ),
            Self::Prepare { .. } | Self::Died { .. } | Self::NoAnswer { .. } => Some(
                "the image of the StatefulSet has to be of the series the backup was made by; where it is, choose another \
                 backup: kubectl mariadb-backup list"
                    .to_owned(),
            ),
            Self::Query(_) => Some(
                "the backup itself booted and all its tables opened; mind the statement: one, with the schema named, and \
                 quoted for your shell"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}
