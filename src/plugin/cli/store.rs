//! Flags of commands about stored backups: `list`, `verify`, `drill`, `sync`, `delete`, `prune`.

use std::time::Duration;

use clap::Args;

use super::output::ListOutputs;
use super::shared::{ClusterFlags, RunFlags, ScopeFlags, StoreChoice};
use crate::plugin::duration::parse_duration;
use crate::render::output::ListOutput;

const LIST_HELP: &str = "\
Columns:
  SIZE      bytes stored, compressed
  LOCAL S3  whether it lies in the local store (the volume of backups), and in
            S3: yes, unfinished (on its way there), missing, damaged,
            quarantined (set aside) or <none>
  VERIFIED  how long ago every byte was last read, by verify --deep, drill or
            restore, and found to be what was recorded; damaged when something
            else was found; <none> when nobody has read it since
  BASE      (wide) the full backup that an incremental one begins with
  PARENT    (wide) the backup that an incremental one builds on
  DURATION  (wide) how long the copy took
  DATA      (wide) bytes before compression
  POSITION  (wide) where in Galera's history it stands

Examples:
  # The names of the full backups
  kubectl mariadb-backup list -o jsonpath='{.items[?(@.type==\"full\")].name}'

  # Columns of your own, of all clusters
  kubectl mariadb-backup list -A \\
    -o custom-columns=NAME:.name,SIZE:.sizeBytes";

/// Flags of `list`.
#[derive(Debug, Args)]
#[command(after_help = LIST_HELP)]
pub(crate) struct ListFlags {
    #[command(flatten)]
    pub(crate) cluster: ClusterFlags,
    #[command(flatten)]
    pub(crate) scope: ScopeFlags,
    /// Show what changes from then on, until Ctrl-C
    #[arg(short, long)]
    pub(crate) watch: bool,
    /// Look at the stores themselves, and tell where they are not what the catalogue says
    #[arg(long, conflicts_with_all = ["all_namespaces", "selector", "watch"])]
    pub(crate) live: bool,
    /// Longest time to wait for what the stores hold, with --live; 0 means no limit
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "0", requires = "live")]
    pub(crate) timeout: Duration,
    /// Form of the output
    #[arg(short, long, value_parser = ListOutputs, value_name = "FORM")]
    pub(crate) output: Option<ListOutput>,
    /// Leave the headers out
    #[arg(long)]
    pub(crate) no_headers: bool,
}

/// Flags of `verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyFlags {
    /// Backups to verify; all of them when none is named
    #[arg(value_name = "BACKUP")]
    pub(crate) backups: Vec<String>,
    /// StatefulSet of the cluster; found by itself when it is the only one in the namespace
    #[arg(long, value_name = "NAME")]
    pub(crate) statefulset: Option<String>,
    /// Read every byte, instead of sizes and the sums that the store itself keeps
    #[arg(long)]
    pub(crate) deep: bool,
    /// Only this store; both when not given
    #[arg(long, value_enum, value_name = "STORE")]
    pub(crate) store: Option<StoreChoice>,
    /// First make the catalogue again, from the manifests in the stores
    #[arg(long, conflicts_with = "backups")]
    pub(crate) rebuild_catalogue: bool,
    #[command(flatten)]
    pub(crate) run: RunFlags,
}

const DRILL_EXAMPLES: &str = "\
Examples:
  # The newest backup, and how many orders are in it
  kubectl mariadb-backup drill -n db \\
    --query 'SELECT COUNT(*), MAX(id) FROM shop.orders'

  # A certain one, from S3, unpacked on a volume that is made for it and goes
  # with it
  kubectl mariadb-backup drill 2026-01-31_23-59-59 -n db --store s3 \\
    --scratch-class fast";

/// Flags of `drill`.
#[derive(Debug, Args)]
#[command(after_help = DRILL_EXAMPLES)]
pub(crate) struct DrillFlags {
    /// Backup to boot; the newest that can be relied on when none is named
    #[arg(value_name = "BACKUP")]
    pub(crate) backup: Option<String>,
    /// StatefulSet of the cluster; found by itself when it is the only one in the namespace
    #[arg(long, value_name = "NAME")]
    pub(crate) statefulset: Option<String>,
    /// Take it from this store; from local where it lies there when not given
    #[arg(long, value_enum, value_name = "STORE")]
    pub(crate) store: Option<StoreChoice>,
    /// Statement to run on the booted server; its rows are shown
    #[arg(long, value_name = "SQL")]
    pub(crate) query: Option<String>,
    /// Leave the names of its columns out
    #[arg(long)]
    pub(crate) no_headers: bool,
    /// Unpack on a volume of this storage class, made for the drill; on the volume of backups when not given
    #[arg(long, value_name = "CLASS")]
    pub(crate) scratch_class: Option<String>,
    #[command(flatten)]
    pub(crate) run: RunFlags,
}

/// Flags of `sync`.
#[derive(Debug, Args)]
pub(crate) struct SyncFlags {
    /// Backups to copy; all of them when none is named
    #[arg(value_name = "BACKUP")]
    pub(crate) backups: Vec<String>,
    /// StatefulSet of the cluster; found by itself when it is the only one in the namespace
    #[arg(long, value_name = "NAME")]
    pub(crate) statefulset: Option<String>,
    /// Copy to this store only; both ways when not given
    #[arg(long, value_enum, value_name = "STORE")]
    pub(crate) to: Option<StoreChoice>,
    /// Most bytes sent to S3 a second, such as 50Mi; 0 for no limit
    #[arg(long, value_name = "BYTES")]
    pub(crate) bwlimit: Option<String>,
    /// Show what would be copied, and copy nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) run: RunFlags,
}

/// Flags of `delete`.
#[derive(Debug, Args)]
pub(crate) struct DeleteFlags {
    /// Backups to remove from every store; the increments that need them are removed too
    #[arg(value_name = "BACKUP", required = true)]
    pub(crate) backups: Vec<String>,
    /// StatefulSet of the cluster; found by itself when it is the only one in the namespace
    #[arg(long, value_name = "NAME")]
    pub(crate) statefulset: Option<String>,
    /// Do not ask for the cluster's name; has to be given where there is no terminal
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Show what would be removed, and remove nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) run: RunFlags,
}

/// Flags of `prune`.
#[derive(Debug, Args)]
pub(crate) struct PruneFlags {
    #[command(flatten)]
    pub(crate) cluster: ClusterFlags,
    /// Full backups to keep, with their increments; the cluster's setting when not given
    #[arg(long, value_name = "NUMBER")]
    pub(crate) keep: Option<String>,
    /// Do not ask for the cluster's name; has to be given where there is no terminal
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Show what would be removed, and remove nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) run: RunFlags,
}
