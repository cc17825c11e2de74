//! `completion`: the scripts for shells, and the program that kubectl asks for candidates.
//!
//! kubectl completes a plugin's words by calling a second program beside it in PATH. That is a link to
//! the plugin, which answers when it is called by that name: an upgrade of the plugin needs no second step.

use super::CommandResult;
use super::cli::{CompletionCommand, CompletionFlags};
use super::connect::Session;
use crate::adapters::path_links::{Linked, PathLinks};
use crate::exit_code::ExitCode;
use crate::model::outcome::{Explain, Failure};
use crate::render::screen::Screen;

/// The file by whose name kubectl finds the plugin.
const PLUGIN: &str = "kubectl-mariadb_backup";

/// The file by whose name kubectl finds whom to ask for candidates.
const SHIM: &str = "kubectl_complete-mariadb_backup";

pub(crate) fn run(flags: &CompletionFlags, session: &Session, screen: &mut Screen) -> CommandResult {
    match flags.command {
        CompletionCommand::Install => return install(session.variable("PATH").unwrap_or_default(), screen),
        CompletionCommand::Bash => screen.data(include_str!("../../completions/kubectl-mariadb_backup.bash")),
        CompletionCommand::Zsh => screen.data(include_str!("../../completions/_kubectl-mariadb_backup")),
        CompletionCommand::Fish => screen.data(include_str!("../../completions/kubectl-mariadb_backup.fish")),
        CompletionCommand::PowerShell => screen.data(include_str!("../../completions/kubectl-mariadb_backup.ps1")),
    }
    Ok(ExitCode::Done)
}

fn install(path: &str, screen: &mut Screen) -> CommandResult {
    let links = PathLinks::new(path);
    let Some(folder) = links.folder_of(PLUGIN) else {
        let what = format!("{PLUGIN} is in no directory of PATH, so kubectl does not find it either");
        let hint = format!("install {PLUGIN} /usr/local/bin/, then try again");
        return Err(Failure::new(ExitCode::Error, what).with_hint(hint));
    };
    let made = links.link(&folder, SHIM, PLUGIN).map_err(Explain::into_failure)?;
    let word = if made == Linked::Made { "installed" } else { "unchanged" };
    screen.line(&format!("{} {word}", folder.join(SHIM).display()));
    screen.note("kubectl completes this plugin wherever its own script is loaded; see: kubectl completion --help");
    Ok(ExitCode::Done)
}
