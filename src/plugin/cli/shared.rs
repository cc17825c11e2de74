//! Flags and words that several commands share.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::selector::selector;
use crate::model::order::{BackupKind, StoreName};
use crate::plugin::duration::parse_duration;
use crate::plugin::report::Wish;
use crate::render::document::Form;

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

/// Flags of commands that can show several clusters at once.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ScopeFlags {
    /// Look in all namespaces
    #[arg(short = 'A', long, conflicts_with_all = ["cluster_name", "statefulset"])]
    pub(crate) all_namespaces: bool,
    /// Look at the clusters whose StatefulSets have these labels, such as app=shop
    #[arg(short = 'l', long, value_name = "LABELS", value_parser = selector, conflicts_with_all = ["cluster_name", "statefulset"])]
    pub(crate) selector: Option<String>,
}

impl ScopeFlags {
    /// Whether they may lead to more than one cluster.
    pub(crate) fn is_given(&self) -> bool {
        self.all_namespaces || self.selector.is_some()
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
    /// What the run reports, one document a line, and how it ended on the last; with --dry-run or --no-wait, the Job
    Json,
    /// Print the Job as YAML and order nothing
    Yaml,
    /// Only the backup's name, at the end
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

impl From<DocumentForm> for Form {
    fn from(form: DocumentForm) -> Self {
        match form {
            DocumentForm::Json => Self::Json,
            DocumentForm::Yaml => Self::Yaml,
        }
    }
}

/// The same of commands that follow a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RunForm {
    /// What the run reports, one document a line, and how it ended on the last
    Json,
    /// How the run ended
    Yaml,
}

/// Flags of commands that order a run, follow it and show how it ended.
#[derive(Clone, Debug, Args)]
pub(crate) struct RunFlags {
    #[command(flatten)]
    pub(crate) wait: WaitFlags,
    /// Form of the output on stdout
    #[arg(short, long, value_enum, value_name = "FORM")]
    pub(crate) output: Option<RunForm>,
    /// Of commands that show columns, by a flag of their own.
    #[arg(skip)]
    pub(crate) no_headers: bool,
}

impl RunFlags {
    /// How the end of the run is shown.
    pub(crate) fn wish(&self) -> Wish {
        Wish { form: self.output, no_headers: self.no_headers }
    }
}

/// Kinds of backups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BackupType {
    /// Everything
    Full,
    /// What changed since the last backup, where that is possible; else everything
    Incremental,
}

impl From<BackupType> for BackupKind {
    fn from(kind: BackupType) -> Self {
        match kind {
            BackupType::Full => Self::Full,
            BackupType::Incremental => Self::Incremental,
        }
    }
}

/// One of the two stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StoreChoice {
    /// The volume of backups
    Local,
    /// The bucket
    S3,
}

impl From<StoreChoice> for StoreName {
    fn from(store: StoreChoice) -> Self {
        match store {
            StoreChoice::Local => Self::Local,
            StoreChoice::S3 => Self::S3,
        }
    }
}
