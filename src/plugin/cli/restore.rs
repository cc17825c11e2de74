//! Flags of `restore`.

use clap::{Args, ValueEnum};

use super::settings::RestoreSettingFlags;
use super::shared::{RunFlags, StoreChoice};
use crate::model::order::Refill;

const EXAMPLES: &str = "\
Examples:
  # What would be done, and nothing more
  kubectl mariadb-backup restore 2026-01-31_23-59-59 -n db --dry-run

  # The plan is shown, and done once the cluster's name is typed
  kubectl mariadb-backup restore 2026-01-31_23-59-59 -n db

  # Into another cluster, whose data are lost; from another namespace only S3
  # can be read
  kubectl mariadb-backup restore 2026-01-31_23-59-59 -n db \\
    --statefulset mariadb-server --to staging/mariadb-server

  # From S3, in a script; the old data stay on the first replica's volume
  kubectl mariadb-backup restore 2026-01-31_23-59-59 -n db --store s3 \\
    --keep-old-data --yes";

/// Flags of `restore`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "each is one flag of the command line")]
pub(crate) struct RestoreFlags {
    /// Backup to set the cluster back to; an incremental one with all that it builds on
    #[arg(value_name = "BACKUP")]
    pub(crate) backup: String,
    /// StatefulSet of the cluster; found by itself when it is the only one in the namespace
    #[arg(long, value_name = "NAME")]
    pub(crate) statefulset: Option<String>,
    /// Restore it into this StatefulSet instead of the one it was made of
    #[arg(long, value_name = "[NAMESPACE/]NAME", value_parser = cluster)]
    pub(crate) to: Option<String>,
    /// Take it from this store; from local where it lies there when not given
    #[arg(long, value_enum, value_name = "STORE")]
    pub(crate) store: Option<StoreChoice>,
    /// Claim to unpack on; taken from S3 then. Beside the data of the first replica, or on the volume of backups, when not given
    #[arg(long, value_name = "CLAIM")]
    pub(crate) scratch_claim: Option<String>,
    /// Ordinal of the replica to start first; chosen by rule when not given
    #[arg(long, value_name = "ORDINAL")]
    pub(crate) leader: Option<i32>,
    /// Which replicas get what was proven; the others get theirs by state transfer. All where the volume of backups can be mounted beside each, when not given
    #[arg(long, value_enum, value_name = "WHICH")]
    pub(crate) refill: Option<RefillChoice>,
    /// How many replicas shall run of a StatefulSet that is scaled to 0; as many as have claims when not given
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i32).range(1..))]
    pub(crate) replicas: Option<i32>,
    /// Keep the old data on the first replica's volume
    #[arg(long)]
    pub(crate) keep_old_data: bool,
    /// Go on although the old cluster could not be brought back
    #[arg(long)]
    pub(crate) no_rollback: bool,
    /// Argo CD or Flux has been told not to set the StatefulSet back for the time
    #[arg(long)]
    pub(crate) gitops_paused: bool,
    /// The operator that owns the StatefulSet has been told to leave it alone for the time
    #[arg(long)]
    pub(crate) operator_suspended: bool,
    /// Go on although accounts that the servers' own pods use, as their Secrets are today, are not let in by the
    /// restored data
    #[arg(long)]
    pub(crate) ignore_logins: bool,
    /// Go on although the rows that are served are others than those that were counted on the booted backup
    #[arg(long)]
    pub(crate) ignore_rows: bool,
    /// Do not ask for the cluster's name; has to be given where there is no terminal
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) run: RunFlags,
    #[command(flatten)]
    pub(crate) settings: RestoreSettingFlags,
}

/// Takes a StatefulSet, with its namespace or without.
fn cluster(text: &str) -> Result<String, String> {
    let (namespace, name) = text.split_once('/').unwrap_or(("here", text));
    if namespace.is_empty() || name.is_empty() || name.contains('/') {
        return Err("a cluster is named such as mariadb-server, or staging/mariadb-server".to_owned());
    }
    Ok(text.to_owned())
}

/// Which replicas get the proven copy itself.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum RefillChoice {
    /// The one that is started first
    Leader,
    /// All of them
    All,
}

impl From<RefillChoice> for Refill {
    fn from(choice: RefillChoice) -> Self {
        match choice {
            RefillChoice::Leader => Self::Leader,
            RefillChoice::All => Self::All,
        }
    }
}
