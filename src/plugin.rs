//! The kubectl side: orders, follows and shows.
//!
//! Everything the work in the cluster needs is in the order; nothing here is needed for it to go on.
//! What comes from the process (arguments, environment, terminals) comes in through [`Environment`],
//! so that the whole program runs in a test as it runs in a shell.

mod ask;
mod away;
mod backups;
mod cli;
mod complete;
mod completion;
mod connect;
mod create;
mod delete;
mod describe;
mod drill;
mod duration;
mod find;
mod follow;
mod job;
mod list;
mod logs;
mod manual;
mod order;
mod overrides;
mod preflight;
mod prune;
mod recover;
mod removal;
mod replicas;
mod report;
mod restore;
mod rights;
mod schedule;
mod setup;
mod status;
mod support;
mod sync;
mod verify;
mod version;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead, Write};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches, Parser, ValueEnum};

use crate::exit_code::ExitCode;
use crate::model::outcome::Failure;
use crate::render::screen::Screen;
use crate::render::style::Style;
use cli::{Cli, Command};
use connect::Session;

/// What the process gives to the program.
pub struct Environment {
    /// The command line, the program's name included.
    pub arguments: Vec<OsString>,
    /// The environment's variables.
    pub variables: BTreeMap<String, String>,
    /// Where answers come from.
    pub stdin: Box<dyn BufRead + Send>,
    /// Where data goes.
    pub stdout: Box<dyn Write + Send>,
    /// Where everything else goes.
    pub stderr: Box<dyn Write + Send>,
    /// Whether a person may be asked.
    pub stdin_is_terminal: bool,
    /// Whether stdout shows help in colour.
    pub stdout_is_terminal: bool,
    /// Whether a bar can move.
    pub stderr_is_terminal: bool,
    /// Starts logging with a filter, when `-v` asks for it.
    pub start_logging: fn(&str),
}

/// How a command ends when nothing went wrong on our side.
type CommandResult = Result<ExitCode, Failure>;

/// Runs the plugin and returns its exit code.
#[must_use]
pub fn run(environment: Environment) -> ExitCode {
    let Environment { arguments, variables, stdin, mut stdout, mut stderr, .. } = environment;
    if let Some(words) = complete::asked(&arguments) {
        // A shell that does not read to the end has enough candidates.
        drop(stdout.write_all(complete::answer(&words, variables).as_bytes()));
        return ExitCode::Done;
    }
    let color = asked_color(&arguments);
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(mut error) => {
            // Words behind `--` are names to us, so a flag that is not known never belongs there.
            error.remove(ContextKind::Suggested);
            if error.kind() == ErrorKind::DisplayVersion {
                // Nobody is left to be told that it could not be shown.
                drop(stdout.write_all(version::of_plugin().as_bytes()));
                return ExitCode::Done;
            }
            let text = error.render();
            let is_answer = !error.use_stderr();
            let (out, coloured) = if is_answer {
                (&mut stdout, environment.stdout_is_terminal)
            } else {
                (&mut stderr, environment.stderr_is_terminal)
            };
            let style = style(color, coloured, &variables);
            let mut text = if style.is_coloured() { text.ansi().to_string() } else { text.to_string() };
            text.extend(lacks_backup(&error).then(|| which_backups(&arguments, variables)));
            // Nobody is left to be told that help could not be shown.
            drop(out.write_all(text.as_bytes()));
            return if is_answer { ExitCode::Done } else { ExitCode::Usage };
        }
    };
    let style = style(cli.common.color, environment.stderr_is_terminal, &variables);
    // A terminal that cannot move its cursor is written to like a pipe.
    let can_move = variables.get("TERM").is_some_and(|term| !term.is_empty() && term != "dumb");
    let screen = Screen::new(stdout, stderr, style, environment.stderr_is_terminal && can_move)
        .with_terminal_stdout(environment.stdout_is_terminal);
    if let Some(level @ 1..) = cli.common.verbose {
        (environment.start_logging)(filter(level));
    }
    let asking = environment.stdin_is_terminal.then_some(stdin);
    carry_out(cli, variables, screen, asking)
}

/// What is said to whoever left out of which backup they spoke, with the flags that lead to theirs.
fn which_backups(arguments: &[OsString], variables: BTreeMap<String, String>) -> String {
    let read = Cli::command().ignore_errors(true).try_get_matches_from(arguments).ok();
    let flags = read.and_then(|read| cli::ConnectionFlags::from_arg_matches(&read).ok()).unwrap_or_default();
    format!("\nto see which there are: {}\n", Session::new(flags, variables).command("list"))
}

/// Whether a command line is refused because it names no backup.
fn lacks_backup(error: &clap::Error) -> bool {
    let is_backup = |missing: &String| missing.contains("<BACKUP");
    let missing = error.get(ContextKind::InvalidArg);
    error.kind() == ErrorKind::MissingRequiredArgument
        && matches!(missing, Some(ContextValue::Strings(missing)) if missing.iter().any(is_backup))
}

/// The model of the command line, from which its documentation is made.
#[must_use]
pub fn command_line() -> clap::Command {
    Cli::command()
}

fn style(color: cli::Color, is_terminal: bool, variables: &BTreeMap<String, String>) -> Style {
    let variable = |name: &str| variables.get(name).map(String::as_str);
    Style::decide(color.into(), is_terminal, variable("TERM"), variable("NO_COLOR"))
}

/// The colour that is asked for on a line that may not be understood.
fn asked_color(arguments: &[OsString]) -> cli::Color {
    let words: Vec<_> = arguments.iter().map(|word| word.to_string_lossy()).take_while(|word| word != "--").collect();
    let value = |at: usize| match words[at].strip_prefix("--color=") {
        Some(value) => Some(value),
        None if words[at] == "--color" => words.get(at + 1).map(AsRef::as_ref),
        None => None,
    };
    let asked = (0..words.len()).filter_map(value).find_map(|value| cli::Color::from_str(value, false).ok());
    asked.unwrap_or(cli::Color::Auto)
}

fn filter(level: u8) -> &'static str {
    match level {
        1 => "mariadb_backup=debug",
        2 => "mariadb_backup=debug,kube=debug",
        _ => "debug",
    }
}

fn carry_out(
    cli: Cli,
    variables: BTreeMap<String, String>,
    mut screen: Screen,
    asking: Option<Box<dyn BufRead + Send>>,
) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            screen.fail(&Failure::new(ExitCode::Error, "cannot start").with_cause(error.to_string()));
            return ExitCode::Error;
        }
    };
    let session = Session::new(cli.connection, variables).of_command(cli.command.word());
    let session = session.of_cluster(cli.command.cluster());
    let result = runtime.block_on(async {
        tokio::select! {
            // What a command has to say about Ctrl-C itself comes first.
            biased;
            result = dispatch(cli.command, &session, &mut screen, asking) => result,
            () = session.interrupted() => Ok(ExitCode::Interrupted),
        }
    });
    screen.clear_gauges();
    // A name that is still being looked up must not hold the program back.
    runtime.shutdown_background();
    result.unwrap_or_else(|failure| {
        screen.fail(&failure);
        failure.code
    })
}

async fn dispatch(
    command: Command,
    session: &Session,
    screen: &mut Screen,
    asking: Option<Box<dyn BufRead + Send>>,
) -> CommandResult {
    match command {
        Command::Create(flags) => Box::pin(create::run(&flags, session, screen, asking)).await,
        Command::List(flags) => Box::pin(list::run(&flags, session, screen)).await,
        Command::Verify(flags) => Box::pin(verify::run(&flags, session, screen)).await,
        Command::Sync(flags) => Box::pin(sync::run(&flags, session, screen)).await,
        Command::Delete(flags) => Box::pin(delete::run(&flags, session, screen, asking)).await,
        Command::Drill(flags) => Box::pin(drill::run(&flags, session, screen)).await,
        Command::Restore(flags) => Box::pin(restore::run(&flags, session, screen, asking)).await,
        Command::Prune(flags) => Box::pin(prune::run(&flags, session, screen, asking)).await,
        Command::Recover(flags) => Box::pin(recover::run(&flags, session, screen, asking)).await,
        Command::Schedule(flags) => Box::pin(schedule::run(&flags, session, screen)).await,
        Command::Status(flags) => Box::pin(status::run(&flags, session, screen)).await,
        Command::Describe(flags) => Box::pin(describe::run(&flags, session, screen)).await,
        Command::Report(flags) => Box::pin(support::run(&flags, session, screen)).await,
        Command::Setup(flags) => Box::pin(setup::run(&flags, session, screen)).await,
        Command::Logs(flags) => Box::pin(logs::run(&flags, session, screen)).await,
        Command::Completion(flags) => completion::run(&flags, session, screen),
        Command::Manual(flags) => manual::run(&flags, screen),
        Command::Version(flags) => Box::pin(version::run(&flags, session, screen)).await,
    }
}
