//! The command line: every command, every flag, every word of help.
//!
//! Only shapes and texts; what a flag means is said where the command is carried out. Connection
//! flags are kubectl's own and stand on either side of the command.

mod completion;
mod connection;
#[cfg(test)]
mod documented;
mod output;
mod restore;
mod run;
mod schedule;
mod selector;
mod settings;
mod shared;
mod store;
mod whole;

use clap::{Parser, Subcommand};

pub(crate) use completion::{CompletionCommand, CompletionFlags, ManualFlags};
pub(crate) use connection::{Color, Common, ConnectionFlags};
pub(crate) use restore::RestoreFlags;
pub(crate) use run::{CreateFlags, LogsFlags, RecoverFlags};
pub(crate) use schedule::{NamedSchedule, ScheduleCommand, ScheduleCreateFlags, ScheduleFlags, ScheduleListFlags};
pub(crate) use settings::{RestoreSettingFlags, S3Flags, SettingFlags};
pub(crate) use shared::{ClusterFlags, DocumentForm, DryRun, ObjectForm, RunFlags, RunForm, ScopeFlags, WaitFlags};
pub(crate) use store::{DeleteFlags, DrillFlags, ListFlags, PruneFlags, SyncFlags, VerifyFlags};
pub(crate) use whole::{DescribeFlags, ReportFlags, SetupFlags, StatusFlags, VersionFlags};

const EXAMPLES: &str = "\
Examples:
  # Prepare a namespace: service accounts, roles, claim, settings
  kubectl mariadb-backup setup mariadb-server -n db --size 100Gi

  # Take a full backup and follow it; then one of what changed since
  kubectl mariadb-backup create -n db
  kubectl mariadb-backup create -n db --type incremental

  # Take one every night
  kubectl mariadb-backup schedule create nightly -n db \\
    --schedule \"30 2 * * *\"

  # Show the backups, and read every byte of them
  kubectl mariadb-backup list -n db
  kubectl mariadb-backup verify -n db --deep

  # Set the cluster back to a backup; the plan is shown first
  kubectl mariadb-backup restore 2026-01-31_23-59-59 -n db

  # How is the cluster, and is anything owed to it
  kubectl mariadb-backup status -n db

Exit codes: 0 done, 1 error, 2 usage, 3 done with warnings, 4 failed in the
cluster, 5 still running when the wait ran out, 6 unhealthy or refused,
10 no such backup or store, 11 locked by another run, 12 credentials,
13 verification failed, 14 restore rolled back, 15 restore needs a person,
130 interrupted.";

/// Back up MariaDB Galera clusters on Kubernetes physically, and prove it
#[derive(Debug, Parser)]
#[command(
    name = "kubectl-mariadb_backup",
    bin_name = "kubectl mariadb-backup",
    display_name = "kubectl-mariadb-backup",
    after_help = EXAMPLES,
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    // Written by the command of that name.
    version = env!("CARGO_PKG_VERSION"),
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten)]
    pub(crate) connection: ConnectionFlags,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Take a backup and follow it
    Create(Box<CreateFlags>),
    /// List backups
    List(ListFlags),
    /// Compare stored backups with what was recorded
    Verify(VerifyFlags),
    /// Prove a backup: boot it in a throwaway pod
    Drill(DrillFlags),
    /// Set the cluster back to a backup, booted before the outage
    Restore(RestoreFlags),
    /// Bring local (the volume of backups) and S3 to the same set
    Sync(SyncFlags),
    /// Remove backups, and the increments that need them
    Delete(DeleteFlags),
    /// Remove what retention no longer keeps
    Prune(PruneFlags),
    /// Take backups regularly
    Schedule(ScheduleFlags),
    /// Settle what dead runs owe to the cluster
    Recover(RecoverFlags),
    /// Show how the cluster and its backups are
    Status(StatusFlags),
    /// Show everything about one backup
    Describe(DescribeFlags),
    /// Make what backups need: service accounts, roles, claim, settings
    Setup(Box<SetupFlags>),
    /// Show a run from its start, and follow it while it goes on
    Logs(LogsFlags),
    /// Let the shell complete what is typed
    #[command(long_about = completion::ABOUT)]
    Completion(CompletionFlags),
    /// Print a page of the manual, for those who package this
    #[command(hide = true)]
    Manual(ManualFlags),
    /// Pack what helps others to help you into an archive without secrets
    Report(ReportFlags),
    /// Show versions of plugin, agent, Kubernetes and MariaDB
    Version(VersionFlags),
}

impl Command {
    /// The word for it; with a flag where that takes rights of its own.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Create(_) => "create",
            Self::List(flags) if flags.live => "list --live",
            Self::List(_) => "list",
            Self::Verify(_) => "verify",
            Self::Drill(_) => "drill",
            Self::Restore(_) => "restore",
            Self::Sync(_) => "sync",
            Self::Delete(_) => "delete",
            Self::Prune(_) => "prune",
            Self::Schedule(_) => "schedule",
            Self::Recover(_) => "recover",
            Self::Status(_) => "status",
            Self::Describe(_) => "describe",
            Self::Setup(_) => "setup",
            Self::Logs(_) => "logs",
            Self::Completion(_) => "completion",
            Self::Manual(_) => "manual",
            Self::Report(_) => "report",
            Self::Version(_) => "version",
        }
    }

    /// The cluster that its flags name.
    pub(crate) fn cluster(&self) -> Option<&str> {
        match self {
            Self::Create(flags) => flags.cluster.wanted(),
            Self::List(flags) => flags.cluster.wanted(),
            Self::Verify(flags) => flags.statefulset.as_deref(),
            Self::Drill(flags) => flags.statefulset.as_deref(),
            Self::Restore(flags) => flags.statefulset.as_deref(),
            Self::Sync(flags) => flags.statefulset.as_deref(),
            Self::Delete(flags) => flags.statefulset.as_deref(),
            Self::Prune(flags) => flags.cluster.wanted(),
            Self::Schedule(flags) => flags.command.cluster(),
            Self::Recover(flags) => flags.cluster.wanted(),
            Self::Status(flags) => flags.cluster.wanted(),
            Self::Describe(flags) => flags.statefulset.as_deref(),
            Self::Setup(flags) => flags.cluster.wanted(),
            Self::Logs(flags) => flags.statefulset.as_deref(),
            Self::Report(flags) => flags.cluster.wanted(),
            Self::Version(flags) => flags.cluster.wanted(),
            Self::Completion(_) | Self::Manual(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Cli::command().debug_assert();
    }

    #[test]
    fn connection_flags_stand_on_either_side() {
        for line in ["x -n db --context c list", "x list -n db --context c", "x --context c list -n db"] {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            assert_eq!(cli.connection.namespace.as_deref(), Some("db"), "{line}");
            assert_eq!(cli.connection.context.as_deref(), Some("c"), "{line}");
        }
    }

    #[test]
    fn a_dry_run_needs_no_value() {
        let dry_run = |line: &str| match Cli::try_parse_from(line.split(' ')).unwrap().command {
            Command::Create(flags) => (flags.dry_run, flags.cluster.cluster_name),
            _ => unreachable!("only create is given"),
        };
        assert_eq!(dry_run("x create"), (None, None));
        assert_eq!(dry_run("x create --dry-run db"), (Some(DryRun::Client), Some("db".to_owned())));
        assert_eq!(dry_run("x create --dry-run=server"), (Some(DryRun::Server), None));
    }
}
