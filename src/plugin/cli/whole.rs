//! Flags of commands about a cluster as a whole: `setup`, `status`, `version`.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::settings::{RestoreSettingFlags, S3Flags, SettingFlags};
use super::shared::{ClusterFlags, DocumentForm, DryRun};
use crate::plugin::duration::parse_duration;

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
    #[arg(long, value_name = "SIZE", default_value = "10Gi")]
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
    /// Form of the output on stdout
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

/// Flags of `status`.
#[derive(Debug, Args)]
pub(crate) struct StatusFlags {
    #[command(flatten)]
    pub(crate) cluster: ClusterFlags,
    /// Longest time to wait for what the replicas say; 0 means no limit
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "1m")]
    pub(crate) timeout: Duration,
    /// Form of the output
    #[arg(short, long, value_enum, value_name = "FORM")]
    pub(crate) output: Option<DocumentForm>,
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
