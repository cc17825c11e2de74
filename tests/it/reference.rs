//! `docs/reference.md` is what the command line really is: made of its model, and compared with it here.
//!
//! After a change of the command line: `UPDATE_DOCS=1 cargo test --test it reference`.

use std::fmt::Write;

use clap::{Arg, Command};
use mariadb_backup::exit_code::ExitCode;
use mariadb_backup::plugin::command_line;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference.md");

const HEAD: &str = "\
# Reference

Every command, every flag and every exit code. This page is made of the program; `UPDATE_DOCS=1 cargo test --test it
reference` makes it again.

Flags stand behind the plugin's name, on either side of the command. Durations are written like `90s` or `1h30m`.
";

#[test]
fn the_reference_is_that_of_the_command_line() {
    let mut root = command_line();
    root.build();
    let made = reference(&root);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(FILE, &made).unwrap();
    }
    let there = std::fs::read_to_string(FILE).unwrap_or_default();
    assert!(
        there == made,
        "docs/reference.md is not that of the command line: UPDATE_DOCS=1 cargo test --test it reference"
    );
}

fn reference(root: &Command) -> String {
    let mut text = HEAD.to_owned();
    text.push_str("\n## Flags of every command\n\n");
    text.push_str(&table(root.get_arguments().filter(|arg| is_of_every_command(arg))));
    for command in below(root) {
        text.push_str(&section(command, root));
    }
    text.push_str("\n## Exit codes\n\n| code | meaning |\n| --- | --- |\n");
    for (code, meaning) in ExitCode::ALL {
        writeln!(text, "| {} | {meaning} |", code.number()).unwrap();
    }
    text
}

/// The commands below one, each followed by those below it.
fn below(command: &Command) -> Vec<&Command> {
    let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
    shown.flat_map(|command| std::iter::once(command).chain(below(command))).collect()
}

fn section(command: &Command, root: &Command) -> String {
    let words = command.get_bin_name().unwrap_or_default();
    let name = words.trim_start_matches(root.get_bin_name().unwrap_or_default()).trim();
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    let usage = command.clone().render_usage().to_string();
    let mut text = format!("\n## {name}\n\n{about}\n\n```text\n{}\n```\n", usage.trim_start_matches("Usage: "));
    let own = || command.get_arguments().filter(|arg| !arg.is_hide_set() && !is_of_every_command(arg));
    if own().any(Arg::is_positional) {
        writeln!(text, "\n{}", table(own().filter(|arg| arg.is_positional())).trim_end()).unwrap();
    }
    for heading in headings(own()) {
        if let Some(heading) = heading {
            writeln!(text, "\n{heading}:").unwrap();
        }
        let here = own().filter(|arg| !arg.is_positional() && arg.get_help_heading() == heading);
        writeln!(text, "\n{}", table(here).trim_end()).unwrap();
    }
    if let Some(after) = command.get_after_help().map(ToString::to_string) {
        text.push_str(&parts(&after).iter().map(Part::written).collect::<String>());
    }
    text
}

/// What stands below the flags: something under a heading, or a paragraph.
#[derive(Debug, Default, PartialEq, Eq)]
struct Part {
    heading: Option<String>,
    lines: Vec<String>,
}

/// Takes a text apart where a line that is not indented begins something new.
fn parts(after: &str) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for line in after.lines() {
        let is_text = !line.is_empty() && !line.starts_with(' ');
        if let Some(heading) = line.strip_suffix(':').filter(|_| is_text) {
            parts.push(Part { heading: Some(heading.to_owned()), lines: Vec::new() });
            continue;
        }
        if is_text && parts.last().is_none_or(|part| part.heading.is_some()) {
            parts.push(Part::default());
        }
        let line = line.strip_prefix("  ").unwrap_or(line).to_owned();
        parts.last_mut().expect("a text begins with a heading or a paragraph").lines.push(line);
    }
    parts
}

impl Part {
    fn written(&self) -> String {
        let lines = self.lines.join("\n");
        let lines = lines.trim_end();
        match self.heading.as_deref() {
            None => format!("\n{lines}\n"),
            Some("Examples") => format!("\n```sh\n{lines}\n```\n"),
            Some(heading) => format!("\n{heading}:\n\n```text\n{lines}\n```\n"),
        }
    }
}

#[test]
fn what_stands_below_the_flags_keeps_its_headings_and_only_examples_are_for_a_shell() {
    let after = "Columns:\n  A  one\n     more\n\nExamples:\n  # Do\n  do\n\nIn the end\nof it all.";
    let written: String = parts(after).iter().map(Part::written).collect();
    assert_eq!(
        written,
        "\nColumns:\n\n```text\nA  one\n   more\n```\n\n```sh\n# Do\ndo\n```\n\nIn the end\nof it all.\n"
    );
}

/// The headings of flags, in order; `None` for those without.
fn headings<'a>(args: impl Iterator<Item = &'a Arg>) -> Vec<Option<&'a str>> {
    let mut headings = Vec::new();
    for arg in args.filter(|arg| !arg.is_positional()) {
        if !headings.contains(&arg.get_help_heading()) {
            headings.push(arg.get_help_heading());
        }
    }
    headings
}

fn is_of_every_command(arg: &Arg) -> bool {
    arg.is_global_set() || arg.get_id() == "help" || arg.get_id() == "version"
}

fn table<'a>(args: impl Iterator<Item = &'a Arg>) -> String {
    let rows = args.map(|arg| format!("| {} | {} | {} |\n", spelling(arg), default(arg), meaning(arg)));
    format!("| | default | meaning |\n| --- | --- | --- |\n{}", rows.collect::<String>())
}

/// `-o, --output <FORM>`, or `[CLUSTER]`.
fn spelling(arg: &Arg) -> String {
    // The model writes it as its own help does, in bold where there is colour.
    let value = arg.to_string();
    let long = value.split("--").nth(1).map(|long| format!("--{long}"));
    let text = match (arg.get_short(), long) {
        (Some(short), Some(long)) => format!("-{short}, {long}"),
        (None, Some(long)) => long,
        _ => value,
    };
    format!("`{}`", text.replace('|', "\\|"))
}

fn default(arg: &Arg) -> String {
    let is_flag = !arg.get_action().takes_values();
    let values: Vec<_> =
        arg.get_default_values().iter().map(|value| format!("`{}`", value.to_string_lossy())).collect();
    if is_flag { String::new() } else { values.join(", ") }
}

fn meaning(arg: &Arg) -> String {
    let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let possible = arg.get_possible_values();
    let is_flag = !arg.get_action().takes_values();
    let values = possible.iter().filter(|value| !value.is_hide_set()).map(|value| match value.get_help() {
        Some(help) => format!("`{}`: {}", value.get_name(), lowered(&help.to_string())),
        None => format!("`{}`", value.get_name()),
    });
    let values = if is_flag { vec![] } else { values.collect::<Vec<_>>() };
    let text = if values.is_empty() { help } else { format!("{help}. {}", values.join("; ")) };
    text.replace('\n', " ").replace('|', "\\|").replace('<', "&lt;")
}

/// A sentence in the middle of another; what is written in capitals stays.
fn lowered(text: &str) -> String {
    let mut letters = text.chars();
    match (letters.next(), letters.clone().next()) {
        (Some(first), Some(second)) if second.is_lowercase() => format!("{}{}", first.to_lowercase(), letters.as_str()),
        _ => text.to_owned(),
    }
}
