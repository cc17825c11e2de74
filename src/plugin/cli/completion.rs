//! Flags of `completion`, and of the hidden `manual`.

use clap::{Args, Subcommand};

/// What there is to know about completion.
pub(super) const ABOUT: &str = "\
Let the shell complete what is typed

kubectl's own completion asks this plugin, once it is told so: with `completion install`, and with kubectl's \
script in your shell (`kubectl completion --help`). Commands, flags and their values, clusters, replicas, \
backups, schedules, runs, namespaces and contexts are then completed after `kubectl mariadb-backup`.

The scripts that bash, zsh, fish and powershell print do the same for kubectl-mariadb_backup typed by its own name.";

const EXAMPLES: &str = "\
Examples:
  # For `kubectl mariadb-backup`
  kubectl mariadb-backup completion install

  # For `kubectl-mariadb_backup` in this bash, and in every new one
  source <(kubectl mariadb-backup completion bash)
  kubectl mariadb-backup completion bash > \\
    ~/.local/share/bash-completion/completions/kubectl-mariadb_backup

  # The same for other shells
  kubectl mariadb-backup completion zsh > \\
    \"${fpath[1]}/_kubectl-mariadb_backup\"
  kubectl mariadb-backup completion fish > \\
    ~/.config/fish/completions/kubectl-mariadb_backup.fish
  kubectl mariadb-backup completion powershell >> $PROFILE";

/// Flags of `completion`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, subcommand_required = true, arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct CompletionFlags {
    #[command(subcommand)]
    pub(crate) command: CompletionCommand,
}

/// What can be had for a shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum CompletionCommand {
    /// Put the program that kubectl asks for candidates beside the plugin
    Install,
    /// Print the script for bash
    Bash,
    /// Print the script for zsh
    Zsh,
    /// Print the script for fish
    Fish,
    /// Print the script for PowerShell
    #[command(name = "powershell")]
    PowerShell,
}

/// Flags of `manual`.
#[derive(Debug, Args)]
pub(crate) struct ManualFlags {
    /// Name of the page; the names of all pages when none is given
    #[arg(value_name = "PAGE")]
    pub(crate) page: Option<String>,
}
