//! Flags of commands about a cluster as a whole, and `describe`: `setup`, `status`, `report`, `version`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::output::{Machines, StatusOutputs};
use super::settings::{RestoreSettingFlags, S3Flags, SettingFlags};
use super::shared::{ClusterFlags, DocumentForm, DryRun, ScopeFlags};
use crate::plugin::duration::parse_duration;
use crate::render::output::{ListOutput, Machine};

const SETUP_EXAMPLES: &str = "\
Examples:
  # A volume
  kubectl mariadb-backup setup -n db --size 100Gi

  # A volume, and a bucket that follows it
  kubectl mariadb-backup setup -n db --store both --s3-bucket backups \\
    --s3-endpoint https://s3.example --s3-secret mariadb-backup-s3

  # Everything as YAML, for GitOps
  kubectl mariadb-backup setup mariadb-server -n db --dry-run -o yaml";

/// Flags of `setup`.
#[derive(Debug, Args)]
#[command(after_help = SETUP_EXAMPLES)]
pub(crate) struct SetupFlags {
    #[command(flatten)]
    pub(crate) cluster: ClusterFlags,
    /// Storage class of the store's claim; the cluster's default when not given
    #[arg(long, value_name = "NAME")]
    pub(crate) storage_class: Option<String>,
    /// Size of the store's claim, when it has to be made
    #[arg(long, value_name = "SIZE", value_parser = quantity, default_value = "10Gi")]
    pub(crate) size: String,
    /// Access mode of the store's claim, when it has to be made
    #[arg(long, value_enum, value_name = "MODE", default_value = "ReadWriteOnce")]
    pub(crate) access_mode: AccessMode,
    /// Also make a Role for each command, for people who may do no more
    #[arg(long)]
    pub(crate) roles: bool,
    /// Show what would be made, and make nothing
    #[arg(long, value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "client", value_name = "WHERE")]
    pub(crate) dry_run: Option<DryRun>,
    /// Print what would be made, in this form, and make nothing
    #[arg(short, long, value_enum, value_name = "FORM")]
    pub(crate) output: Option<DocumentForm>,
    #[command(flatten)]
    pub(crate) s3: S3Flags,
    #[command(flatten)]
    pub(crate) settings: SettingFlags,
    #[command(flatten)]
    pub(crate) restore: RestoreSettingFlags,
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

const STATUS_HELP: &str = "\
With -A or -l it is one line for each cluster, of what Kubernetes knows; the
replicas are not asked. With -w a line follows whenever one changes.

Columns of several clusters:
  READY           ready and wanted replicas; gone when only backups are left
  OWED            what a run, living or dead, owes to it: desync,
                  restore or <none>
  RUNNING         what is at work on it
  FULL INCREMENT  how old the last of its backups are that can be restored
  NEXT            how long until a schedule orders the next one
  FREE            room on the volume of backups
  FULL-IN         (wide) days until that has none, see below
  DRILL           (wide) how long ago a backup was last booted; or failed
  RESTORE         (wide) how long ago it was last restored
  FAILED          (wide) what failed last and was not made good since
  IMAGE NODES     (wide) of its servers

Volume full in: days until the volume has no room for the next backup. Below
the number of full backups to keep (MARIADB_BACKUPS_TO_KEEP), what was stored
a day since the oldest of them goes on; once that many are there, each new one
replaces one, and only the growth from the oldest to the newest counts. When
it has none now, a person should act.

It ends with 6 when a person should act, with 3 when the replicas could not be
asked.";

/// Flags of `status`.
#[derive(Debug, Args)]
#[command(after_help = STATUS_HELP)]
pub(crate) struct StatusFlags {
    #[command(flatten)]
    pub(crate) cluster: ClusterFlags,
    #[command(flatten)]
    pub(crate) scope: ScopeFlags,
    /// Show it anew whenever something changes, until Ctrl-C
    #[arg(short, long)]
    pub(crate) watch: bool,
    /// Longest time to wait for what the replicas say; 0 means no limit
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "1m")]
    pub(crate) timeout: Duration,
    /// Form of the output
    #[arg(short, long, value_parser = StatusOutputs, value_name = "FORM")]
    pub(crate) output: Option<ListOutput>,
    /// Leave the headers of columns out
    #[arg(long)]
    pub(crate) no_headers: bool,
}

/// Flags of `describe`.
#[derive(Debug, Args)]
pub(crate) struct DescribeFlags {
    /// Backup to describe
    #[arg(value_name = "BACKUP")]
    pub(crate) backup: String,
    /// StatefulSet of the cluster; found by itself when it is the only one in the namespace
    #[arg(long, value_name = "NAME")]
    pub(crate) statefulset: Option<String>,
    /// Longest time to wait for what its manifest says; 0 means no limit
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "1m")]
    pub(crate) timeout: Duration,
    /// Form of the output
    #[arg(short, long, value_parser = Machines, value_name = "FORM")]
    pub(crate) output: Option<Machine>,
}

const REPORT_HELP: &str = "\
Examples:
  # Into a file, whose content is listed
  kubectl mariadb-backup report -n db

  # To another machine
  kubectl mariadb-backup report -n db -f - | ssh jump 'cat > report.tar.gz'

Secrets are not even read. Values of environment variables, commands and
annotations of your own pods, and what looks like a password in logs and
events, are left out. Look through it before you send it.";

/// Flags of `report`.
#[derive(Debug, Args)]
#[command(after_help = REPORT_HELP)]
pub(crate) struct ReportFlags {
    #[command(flatten)]
    pub(crate) cluster: ClusterFlags,
    /// Archive to write, which must not exist yet; - for stdout. Named after cluster and time when not given
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// How many of the newest runs' logs are packed
    #[arg(long, value_name = "NUMBER", default_value = "5")]
    pub(crate) runs: usize,
}

const VERSION_HELP: &str = "\
MariaDB's version is what the tag of the servers' image says. It ends with 3
when plugin and agent do not understand each other.";

/// Flags of `version`.
#[derive(Debug, Args)]
#[command(after_help = VERSION_HELP)]
pub(crate) struct VersionFlags {
    #[command(flatten)]
    pub(crate) cluster: ClusterFlags,
    /// Only the plugin's version; the cluster is not asked
    #[arg(long)]
    pub(crate) client: bool,
    /// Form of the output
    #[arg(short, long, value_parser = Machines, value_name = "FORM")]
    pub(crate) output: Option<Machine>,
}

/// Takes a size as Kubernetes writes it, such as `50Gi`.
fn quantity(text: &str) -> Result<String, String> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let is_unit =
        ["", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].contains(&&text[number.len()..]);
    match number.parse::<f64>() {
        Ok(size) if size > 0.0 && size.is_finite() && is_unit => Ok(text.to_owned()),
        _ => Err("a size is a number with a unit, such as 50Gi".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_one_that_kubernetes_takes() {
        for good in ["50Gi", "1.5Ti", "1000", "20G"] {
            assert_eq!(quantity(good).as_deref(), Ok(good));
        }
        for bad in ["abc", "", "Gi", "50GiB", "-1Gi", "0", "infGi", "NaN", "5 Gi"] {
            assert!(quantity(bad).is_err(), "{bad}");
        }
    }
}
