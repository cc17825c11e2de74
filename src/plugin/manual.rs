//! `manual`: a page of the manual for each command, made of the model of the command line.
//!
//! Hidden, because only who packages the plugin needs it: the pages of a package are then those of the
//! very program in it.

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use super::CommandResult;
use super::cli::{Cli, ManualFlags};
use crate::exit_code::ExitCode;
use crate::model::outcome::Failure;
use crate::render::screen::Screen;

/// The section of the manual for commands.
const SECTION: &str = "1";

pub(crate) fn run(flags: &ManualFlags, screen: &mut Screen) -> CommandResult {
    let mut root = Cli::command();
    root.build();
    let pages = pages(&root);
    let Some(wanted) = &flags.page else {
        for command in pages {
            screen.line(&name(command));
        }
        return Ok(ExitCode::Done);
    };
    let Some(command) = pages.iter().find(|command| name(command) == *wanted) else {
        let failure = Failure::new(ExitCode::NotFound, format!("the manual has no page {wanted}"));
        return Err(failure.with_hint("to see the names of all: kubectl mariadb-backup manual"));
    };
    let page = page(command).map_err(|error| {
        Failure::new(ExitCode::Error, format!("cannot write page {wanted}")).with_cause(error.to_string())
    })?;
    screen.data(&page);
    Ok(ExitCode::Done)
}

/// The commands that have a page, from the whole down.
fn pages(command: &Command) -> Vec<&Command> {
    let below = command.get_subcommands().filter(|command| !command.is_hide_set());
    std::iter::once(command).chain(below.flat_map(pages)).collect()
}

fn name(command: &Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}

fn page(command: &Command) -> std::io::Result<String> {
    let version = concat!("mariadb-backup ", env!("CARGO_PKG_VERSION"));
    // The synopsis would name every flag once more.
    let usage = command.clone().render_usage().to_string();
    let short = command.clone().override_usage(usage.trim_start_matches("Usage: ").to_owned());
    // No date: the same program gives the same pages.
    let man = Man::new(short).title(name(command)).section(SECTION).source(version).manual("kubectl plugins").date("");
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text)?;
    }
    let sections = String::from_utf8_lossy(&text);
    Ok(format!("{sections}{}{}", examples(command), exit_status()))
}

/// The examples of a command; its help ends with them.
fn examples(command: &Command) -> String {
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let Some(examples) = help.strip_prefix("Examples:\n") else { return String::new() };
    // The codes have a section of their own.
    let examples = examples.split("\n\nExit codes:").next().unwrap_or_default();
    format!(".SH EXAMPLES\n.nf\n{}\n.fi\n", verbatim(examples))
}

fn exit_status() -> String {
    let codes = ExitCode::ALL.map(|(code, meaning)| format!(".TP\n{}\n{}\n", code.number(), verbatim(meaning)));
    format!(".SH \"EXIT STATUS\"\n{}", codes.concat())
}

/// Text as it stands, with nothing in it that a formatter would act on.
fn verbatim(text: &str) -> String {
    let line = |line: &str| {
        let guard = if line.starts_with(['.', '\'']) { "\\&" } else { "" };
        format!("{guard}{}", line.replace('\\', "\\e").replace('-', "\\-"))
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_never_taken_for_an_instruction() {
        assert_eq!(verbatim(".x \\\n'y a-b"), "\\&.x \\e\n\\&'y a\\-b");
    }
}
