//! Every exit code of both binaries, in one place.
//!
//! Scripts depend on these numbers: they may gain members, but a number never changes its meaning.

use serde::{Deserialize, Serialize};

/// What a process of ours tells its caller by its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExitCode {
    /// 0: everything asked for was done.
    Done,
    /// 1: an error with no number of its own.
    Error,
    /// 2: the command line does not make sense.
    Usage,
    /// 3: done, with warnings worth reading.
    DoneWithWarnings,
    /// 4: the run failed in the cluster.
    FailedInCluster,
    /// 5: the run was still going when the wait ran out.
    StillRunning,
    /// 6: the cluster is unhealthy, or a check refused the run before it changed anything.
    Refused,
    /// 10: no such backup or store.
    NotFound,
    /// 11: another run holds the cluster's Lease.
    Locked,
    /// 12: credentials or a key are missing or not accepted.
    Credentials,
    /// 13: stored bytes are not the bytes that were recorded.
    VerificationFailed,
    /// 14: a restore failed and the old data is back.
    RolledBack,
    /// 15: a restore failed and a person has to act.
    NeedsPerson,
    /// 130: interrupted; what runs in the cluster goes on.
    Interrupted,
}

impl ExitCode {
    /// All codes, in ascending order, with the sentence that documents them.
    pub const ALL: [(ExitCode, &'static str); 14] = [
        (Self::Done, "done"),
        (Self::Error, "error"),
        (Self::Usage, "usage"),
        (Self::DoneWithWarnings, "done with warnings"),
        (Self::FailedInCluster, "failed in the cluster"),
        (Self::StillRunning, "still running when the wait ran out"),
        (Self::Refused, "unhealthy, or refused before anything changed"),
        (Self::NotFound, "no such backup or store"),
        (Self::Locked, "locked by another run"),
        (Self::Credentials, "credentials or key"),
        (Self::VerificationFailed, "verification failed"),
        (Self::RolledBack, "restore failed and was rolled back"),
        (Self::NeedsPerson, "restore failed and needs a person"),
        (Self::Interrupted, "interrupted; the run in the cluster goes on"),
    ];

    /// The number given to the operating system.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Error => 1,
            Self::Usage => 2,
            Self::DoneWithWarnings => 3,
            Self::FailedInCluster => 4,
            Self::StillRunning => 5,
            Self::Refused => 6,
            Self::NotFound => 10,
            Self::Locked => 11,
            Self::Credentials => 12,
            Self::VerificationFailed => 13,
            Self::RolledBack => 14,
            Self::NeedsPerson => 15,
            Self::Interrupted => 130,
        }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.number())
    }
}
