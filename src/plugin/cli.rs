//! The command line: every command, every flag, every word of help.
//!
//! Only shapes and texts; what a flag means is said where the command is carried out. Connection
//! flags are kubectl's own and stand on either side of the command.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::duration::parse_duration;
use crate::render::style::ColorWish;

const EXAMPLES: &str = "\
Examples:
  # Prepare a namespace: service accounts, roles, claim, settings
  kubectl mariadb-backup setup mariadb-server -n db --size 100Gi

  # Take a full backup and follow it
  kubectl mariadb-backup create -n db

  # Show the backups, and read every byte of them
  kubectl mariadb-backup list -n db
  kubectl mariadb-backup verify -n db

Exit codes: 0 done, 1 error, 2 usage, 3 done with warnings, 4 failed in the cluster,
5 still running when the wait ran out, 6 unhealthy or refused, 10 no such backup or store,
11 locked by another run, 12 credentials, 13 verification failed, 130 interrupted.";

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

/// Flags of every command.
#[derive(Clone, Debug, Args)]
pub(crate) struct Common {
    /// Say more on stderr, up to 3
    #[arg(short = 'v', long = "v", global = true, num_args = 0..=1, require_equals = true, default_missing_value = "1")]
    #[arg(value_name = "LEVEL")]
    pub(crate) verbose: Option<u8>,
    /// When to use colour
    #[arg(long, global = true, value_enum, default_value = "auto", value_name = "WHEN")]
    pub(crate) color: Color,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal that can show it, unless `NO_COLOR` is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl From<Color> for ColorWish {
    fn from(color: Color) -> Self {
        match color {
            Color::Auto => Self::Auto,
            Color::Always => Self::Always,
            Color::Never => Self::Never,
        }
    }
}

/// kubectl's connection flags.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Connection (as in kubectl)")]
pub(crate) struct ConnectionFlags {
    /// Namespace of the cluster
    #[arg(short, long, global = true, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// Context of the kubeconfig to use
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// Kubeconfig file to use
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Kubeconfig's cluster to use
    #[arg(long, global = true, value_name = "NAME", hide_short_help = true)]
    pub(crate) cluster: Option<String>,
    /// Kubeconfig's user to use
    #[arg(long, global = true, value_name = "NAME", hide_short_help = true)]
    pub(crate) user: Option<String>,
    /// Address and port of the API server
    #[arg(short, long, global = true, value_name = "URL", hide_short_help = true)]
    pub(crate) server: Option<String>,
    /// Server name to check the server's certificate against
    #[arg(long, global = true, value_name = "NAME", hide_short_help = true)]
    pub(crate) tls_server_name: Option<String>,
    /// Do not check the server's certificate; the connection is then open to attack
    #[arg(long, global = true, hide_short_help = true)]
    pub(crate) insecure_skip_tls_verify: bool,
    /// File with the certificate authority of the API server
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub(crate) certificate_authority: Option<PathBuf>,
    /// File with the client certificate
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub(crate) client_certificate: Option<PathBuf>,
    /// File with the client certificate's key
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub(crate) client_key: Option<PathBuf>,
    /// Bearer token
    #[arg(long, global = true, value_name = "TOKEN", hide_short_help = true)]
    pub(crate) token: Option<String>,
    /// User to impersonate
    #[arg(long = "as", global = true, value_name = "USER", hide_short_help = true)]
    pub(crate) as_user: Option<String>,
    /// Group to impersonate; may be repeated
    #[arg(long, global = true, value_name = "GROUP", hide_short_help = true)]
    pub(crate) as_group: Vec<String>,
    /// UID to impersonate
    #[arg(long, global = true, value_name = "UID", hide_short_help = true)]
    pub(crate) as_uid: Option<String>,
    /// How long one request to the API server may take, such as 30s; 0 means no limit
    #[arg(long, global = true, value_name = "DURATION", value_parser = parse_duration, default_value = "0", hide_short_help = true)]
    pub(crate) request_timeout: Duration,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Take a backup and follow it
    Create(CreateFlags),
    /// List backups
    List(ListFlags),
    /// Read every byte of stored backups and compare it with what was recorded
    Verify(VerifyFlags),
    /// Make what backups need: service accounts, roles, claim, settings
    Setup(SetupFlags),
    /// Show a run from its start, and follow it while it goes on
    Logs(LogsFlags),
    /// Show versions of plugin and agent
    Version(VersionFlags),
}

/// The cluster as a positional or a flag.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ClusterFlags {
    /// StatefulSet of the cluster; found by itself when it is the only one in the namespace
    #[arg(value_name = "CLUSTER")]
    pub(crate) cluster_name: Option<String>,
    /// The same as CLUSTER
    #[arg(long, value_name = "NAME", conflicts_with = "cluster_name")]
    pub(crate) statefulset: Option<String>,
}

impl ClusterFlags {
    /// The cluster that was named, either way.
    pub(crate) fn wanted(&self) -> Option<&str> {
        self.cluster_name.as_deref().or(self.statefulset.as_deref())
    }
}

/// Flags of commands that follow a run.
#[derive(Clone, Debug, Args)]
pub(crate) struct WaitFlags {
    /// Return as soon as the run is ordered
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Longest time to follow the run, such as 90s or 1h30m; the run itself goes on. 0 means no limit
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "0")]
    pub(crate) timeout: Duration,
}

/// Where a dry run stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DryRun {
    /// Before anything is sent
    Client,
    /// In the API server, which checks everything and keeps nothing
    Server,
}

/// Forms of output of `create`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ObjectForm {
    /// Print the Job as JSON and order nothing
    Json,
    /// Print the Job as YAML and order nothing
    Yaml,
    /// Only the backup's name, at the end
    Name,
}

/// Forms of output of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListForm {
    /// More columns
    Wide,
    /// JSON
    Json,
    /// YAML
    Yaml,
    /// Only the names
    Name,
}

/// Forms of output for other programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DocumentForm {
    /// JSON
    Json,
    /// YAML
    Yaml,
}

/// Kinds of backups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BackupType {
    /// Everything
    Full,
    /// What changed since the last backup
    Incremental,
}

/// Flags of `create`.
#[derive(Debug, Args)]
pub(crate) struct CreateFlags {
    #[command(flatten)]
    pub(crate) cluster: ClusterFlags,
    /// Kind of backup
    #[arg(long = "type", value_enum, default_value = "full", value_name = "TYPE")]
    pub(crate) backup_type: BackupType,
    /// Pod of the replica to copy; by default the one with the highest number
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

/// Settings: `setup` stores them for the cluster, `create` takes them for one run.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Settings")]
pub(crate) struct SettingFlags {
    /// Full backups to keep, with their increments
    #[arg(long, value_name = "NUMBER")]
    pub(crate) keep: Option<String>,
    /// Free space wanted, as a multiple of the data's size
    #[arg(long, value_name = "RATIO")]
    pub(crate) required_space_ratio: Option<String>,
    /// zstd level, -7 to 19
    #[arg(long, value_name = "LEVEL", allow_hyphen_values = true)]
    pub(crate) compression_level: Option<String>,
    /// Copy threads of mariadb-backup
    #[arg(long, value_name = "NUMBER")]
    pub(crate) parallel: Option<String>,
    /// Claim of the local store
    #[arg(long, value_name = "NAME")]
    pub(crate) store_claim: Option<String>,
    /// Secret (username, password) of the account that may desync
    #[arg(long, value_name = "NAME")]
    pub(crate) operator_secret: Option<String>,
    /// Secret (username, password) of the account mariadb-backup uses
    #[arg(long, value_name = "NAME")]
    pub(crate) backup_secret: Option<String>,
    /// Image with the agent
    #[arg(long, value_name = "IMAGE")]
    pub(crate) agent_image: Option<String>,
    /// Longest time for one copy
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) copy_timeout: Option<Duration>,
    /// Longest time without a byte copied
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) stall_timeout: Option<Duration>,
    /// Longest time until a pod of the run works
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) start_timeout: Option<Duration>,
    /// Longest time for the replica to catch up again
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) resync_timeout: Option<Duration>,
    /// Longest time mariadb-backup waits for the global lock
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) ftwrl_wait_timeout: Option<Duration>,
}

/// Flags of `list`.
#[derive(Debug, Args)]
pub(crate) struct ListFlags {
    #[command(flatten)]
    pub(crate) cluster: ClusterFlags,
    /// Form of the output
    #[arg(short, long, value_enum, value_name = "FORM")]
    pub(crate) output: Option<ListForm>,
    /// Leave the headers out
    #[arg(long)]
    pub(crate) no_headers: bool,
}

/// Flags of `verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyFlags {
    /// Backups to read; all of them when none is named
    #[arg(value_name = "BACKUP")]
    pub(crate) backups: Vec<String>,
    /// StatefulSet of the cluster; found by itself when it is the only one in the namespace
    #[arg(long, value_name = "NAME")]
    pub(crate) statefulset: Option<String>,
    #[command(flatten)]
    pub(crate) wait: WaitFlags,
    /// Form of the output on stdout
    #[arg(short, long, value_enum, value_name = "FORM")]
    pub(crate) output: Option<DocumentForm>,
}

/// Flags of `setup`.
#[derive(Debug, Args)]
pub(crate) struct SetupFlags {
    #[command(flatten)]
    pub(crate) cluster: ClusterFlags,
    /// Storage class of the store's claim; the cluster's default when not given
    #[arg(long, value_name = "NAME")]
    pub(crate) storage_class: Option<String>,
    /// Size of the store's claim, when it has to be made
    #[arg(long, value_name = "SIZE", default_value = "10Gi")]
    pub(crate) size: String,
    /// Access mode of the store's claim, when it has to be made
    #[arg(long, value_enum, value_name = "MODE", default_value = "ReadWriteOnce")]
    pub(crate) access_mode: AccessMode,
    /// Show what would be made, and make nothing
    #[arg(long, value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "client", value_name = "WHERE")]
    pub(crate) dry_run: Option<DryRun>,
    /// Form of the output on stdout
    #[arg(short, long, value_enum, value_name = "FORM")]
    pub(crate) output: Option<DocumentForm>,
    #[command(flatten)]
    pub(crate) settings: SettingFlags,
}

/// Access modes of a claim, as Kubernetes spells them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "PascalCase")]
#[expect(clippy::enum_variant_names, reason = "Kubernetes' own words")]
pub(crate) enum AccessMode {
    /// One node at a time
    ReadWriteOnce,
    /// Many nodes
    ReadWriteMany,
    /// One pod at a time
    ReadWriteOncePod,
}

/// Flags of `logs`.
#[derive(Debug, Args)]
pub(crate) struct LogsFlags {
    /// Job of the run; the newest run when none is named
    #[arg(value_name = "JOB")]
    pub(crate) job: Option<String>,
    /// Only runs of this StatefulSet
    #[arg(long, value_name = "NAME")]
    pub(crate) statefulset: Option<String>,
    /// Longest time to follow the run; 0 means no limit
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "0")]
    pub(crate) timeout: Duration,
    /// Form of the output: json is one report a line, as the run wrote it
    #[arg(short, long, value_enum, value_name = "FORM")]
    pub(crate) output: Option<LogForm>,
}

/// Forms of a run's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogForm {
    /// One report a line
    Json,
}

/// Flags of `version`.
#[derive(Debug, Args)]
pub(crate) struct VersionFlags {
    #[command(flatten)]
    pub(crate) cluster: ClusterFlags,
    /// Only the plugin's version; the cluster is not asked
    #[arg(long)]
    pub(crate) client: bool,
    /// Form of the output
    #[arg(short, long, value_enum, value_name = "FORM")]
    pub(crate) output: Option<DocumentForm>,
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
