//! Flags of `schedule` and its commands.

use clap::{Args, Subcommand};

use super::output::ListOutputs;
use super::settings::SettingFlags;
use super::shared::{BackupType, ClusterFlags, DocumentForm, DryRun, ScopeFlags};
use crate::render::output::ListOutput;

const EXAMPLES: &str = "\
Examples:
  # A full backup every Sunday, and what changed since on the other nights
  kubectl mariadb-backup schedule create weekly -n db \\
    --schedule \"30 2 * * 0\"
  kubectl mariadb-backup schedule create nightly -n db \\
    --schedule \"30 2 * * 1-6\" --type incremental

  # Not for now, and again
  kubectl mariadb-backup schedule suspend nightly -n db
  kubectl mariadb-backup schedule resume nightly -n db";

/// Flags of `schedule`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, subcommand_required = true, arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct ScheduleFlags {
    #[command(subcommand)]
    pub(crate) command: ScheduleCommand,
}

/// What can be done with schedules.
#[derive(Debug, Subcommand)]
pub(crate) enum ScheduleCommand {
    /// Make a schedule, or change one
    Create(Box<ScheduleCreateFlags>),
    /// List schedules
    List(ScheduleListFlags),
    /// Take no more backups by a schedule until it is resumed
    Suspend(NamedSchedule),
    /// Take backups by a suspended schedule again
    Resume(NamedSchedule),
    /// Remove a schedule; backups and runs that it ordered stay
    Delete(NamedSchedule),
}

impl ScheduleCommand {
    /// The cluster that its flags name.
    pub(crate) fn cluster(&self) -> Option<&str> {
        match self {
            Self::Create(flags) => flags.statefulset.as_deref(),
            Self::List(flags) => flags.cluster.wanted(),
            Self::Suspend(_) | Self::Resume(_) | Self::Delete(_) => None,
        }
    }
}

/// Flags of `schedule create`.
#[derive(Debug, Args)]
pub(crate) struct ScheduleCreateFlags {
    /// Name of the schedule, and of its CronJob
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// When: minute, hour, day of the month, month, day of the week; or @hourly, @daily, @weekly, @monthly
    #[arg(long, value_name = "CRON")]
    pub(crate) schedule: String,
    /// Time zone of the schedule
    #[arg(long, value_name = "ZONE", default_value = "Etc/UTC")]
    pub(crate) time_zone: String,
    /// Kind of backup
    #[arg(long = "type", value_enum, default_value = "full", value_name = "TYPE")]
    pub(crate) backup_type: BackupType,
    /// Pod of the replica to copy; by default the one with the highest number
    #[arg(long, value_name = "POD")]
    pub(crate) replica: Option<String>,
    /// Make it, but take no backups until it is resumed
    #[arg(long)]
    pub(crate) suspend: bool,
    /// StatefulSet of the cluster; found by itself when it is the only one in the namespace
    #[arg(long, value_name = "NAME")]
    pub(crate) statefulset: Option<String>,
    /// Show what would be made, and make nothing
    #[arg(long, value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "client", value_name = "WHERE")]
    pub(crate) dry_run: Option<DryRun>,
    /// Print what would be made, in this form, and make nothing
    #[arg(short, long, value_enum, value_name = "FORM")]
    pub(crate) output: Option<DocumentForm>,
    #[command(flatten)]
    pub(crate) settings: SettingFlags,
}

const LIST_HELP: &str = "\
Examples:
  # When the next backup of each cluster is due, and what becomes of that
  kubectl mariadb-backup schedule list -A -w";

/// Flags of `schedule list`.
#[derive(Debug, Args)]
#[command(after_help = LIST_HELP)]
pub(crate) struct ScheduleListFlags {
    #[command(flatten)]
    pub(crate) cluster: ClusterFlags,
    #[command(flatten)]
    pub(crate) scope: ScopeFlags,
    /// Show what changes from then on, until Ctrl-C
    #[arg(short, long)]
    pub(crate) watch: bool,
    /// Form of the output
    #[arg(short, long, value_parser = ListOutputs, value_name = "FORM")]
    pub(crate) output: Option<ListOutput>,
    /// Leave the headers out
    #[arg(long)]
    pub(crate) no_headers: bool,
}

/// A schedule that is there.
#[derive(Debug, Args)]
pub(crate) struct NamedSchedule {
    /// Name of the schedule
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}
