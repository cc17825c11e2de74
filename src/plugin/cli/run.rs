//! Flags of commands about single runs: `create`, `recover`, `logs`.

use std::time::Duration;

use clap::Args;

use super::settings::SettingFlags;
use super::shared::{BackupType, ClusterFlags, DryRun, ObjectForm, RunFlags, RunForm, WaitFlags};
use crate::plugin::duration::parse_duration;

const CREATE_EXAMPLES: &str = "\
Examples:
  # What changed since the last backup; a full one where that is not possible
  kubectl mariadb-backup create -n db --type incremental

  # The replica of your choice, to S3 alone, at 50 MiB a second
  kubectl mariadb-backup create -n db --replica mariadb-server-1 --store s3 \\
    --bwlimit 50Mi

  # Only print the Job
  kubectl mariadb-backup create -n db -o yaml";

/// Flags of `create`.
#[derive(Debug, Args)]
#[command(after_help = CREATE_EXAMPLES)]
pub(crate) struct CreateFlags {
    #[command(flatten)]
    pub(crate) cluster: ClusterFlags,
    /// Kind of backup
    #[arg(long = "type", value_enum, default_value = "full", value_name = "TYPE")]
    pub(crate) backup_type: BackupType,
    /// Take the backup that this schedule takes, now, with the schedule's own flags
    #[arg(long, value_name = "NAME", conflicts_with_all = ["backup_type", "replica", "allow_unsafe_backup"])]
    pub(crate) from_schedule: Option<String>,
    /// Replica to copy, by pod or ordinal; by default that with the highest
    #[arg(long, value_name = "POD")]
    pub(crate) replica: Option<String>,
    /// Back up although the cluster is not healthy; the backup may then be useless
    #[arg(long)]
    pub(crate) allow_unsafe_backup: bool,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) wait: WaitFlags,
    /// Show what would be ordered, and order nothing
    #[arg(long, value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "client", value_name = "WHERE")]
    pub(crate) dry_run: Option<DryRun>,
    /// Form of the output on stdout
    #[arg(short, long, value_enum, value_name = "FORM")]
    pub(crate) output: Option<ObjectForm>,
    #[command(flatten)]
    pub(crate) settings: SettingFlags,
}

const RECOVER_HELP: &str = "\
Without --leader it asks nothing: a restore that it finishes, or undoes, was
confirmed when it was ordered, and all else is what the next run of any kind
would do by itself.

With --leader, where a restore ended with 15 and can neither be finished nor
undone, and nobody serves: the cluster is started from what that replica has.
The other volumes are emptied once it serves, and what only they have is lost.";

/// Flags of `recover`.
#[derive(Debug, Args)]
#[command(after_help = RECOVER_HELP)]
pub(crate) struct RecoverFlags {
    #[command(flatten)]
    pub(crate) cluster: ClusterFlags,
    /// After a restore that ended with 15: start the cluster from what the replica of this ordinal has
    #[arg(long, value_name = "ORDINAL", value_parser = clap::value_parser!(i32).range(0..))]
    pub(crate) leader: Option<i32>,
    /// Do not ask
    #[arg(short, long, requires = "leader")]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) run: RunFlags,
}

/// Flags of `logs`.
#[derive(Debug, Args)]
pub(crate) struct LogsFlags {
    /// Job of the run; when none is named, the one at work, or else the newest that did anything
    #[arg(value_name = "JOB")]
    pub(crate) job: Option<String>,
    /// Only runs of this StatefulSet
    #[arg(long, value_name = "NAME")]
    pub(crate) statefulset: Option<String>,
    /// Longest time to follow the run; 0 means no limit
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "0")]
    pub(crate) timeout: Duration,
    /// Put the time of each line in front of it
    #[arg(long, conflicts_with = "output")]
    pub(crate) timestamps: bool,
    /// Form of the output
    #[arg(short, long, value_enum, value_name = "FORM")]
    pub(crate) output: Option<RunForm>,
}
