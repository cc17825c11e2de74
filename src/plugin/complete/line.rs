//! What has been typed so far, read against the model of the command line: pure, and never an error.
//!
//! A line that is being typed is mostly wrong. What cannot be made sense of is passed over; the parser
//! says so when the line is finished.

use clap::{Arg, ArgAction, Command};

/// A line that is being typed.
pub(super) struct Line<'a> {
    /// The command that the words lead to.
    pub(super) command: &'a Command,
    /// What was given before the last word.
    pub(super) given: Vec<(&'a Arg, String)>,
    /// What the last word is.
    pub(super) slot: Slot<'a>,
    /// What is there of it already, without the flag it is attached to.
    pub(super) begun: String,
}

/// What a word can be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Slot<'a> {
    /// The name of a command.
    Command,
    /// A flag.
    Flag,
    /// The value of a flag, or a positional.
    Value(&'a Arg),
    /// One too many.
    Nothing,
}

impl Line<'_> {
    /// Whether a flag or positional was given.
    pub(super) fn has(&self, arg: &Arg) -> bool {
        self.given.iter().any(|(given, _)| given.get_id() == arg.get_id())
    }

    /// What was given under one of these names, the first one.
    pub(super) fn given_as(&self, ids: &[&str]) -> Option<&str> {
        let found = self.given.iter().find(|(arg, _)| ids.contains(&arg.get_id().as_str()));
        found.map(|(_, value)| value.as_str())
    }
}

/// Reads the words of a line, the last of which is unfinished.
pub(super) fn read<'a>(root: &'a Command, words: &[String]) -> Line<'a> {
    let mut reader = Reader { command: root, given: vec![], waiting: None, flags_are_over: false, positionals: 0 };
    let (last, before) = words.split_last().map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
    for word in before {
        reader.take(word);
    }
    reader.finish(last)
}

struct Reader<'a> {
    command: &'a Command,
    given: Vec<(&'a Arg, String)>,
    /// The flag whose value comes next.
    waiting: Option<&'a Arg>,
    flags_are_over: bool,
    positionals: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, word: &str) {
        if let Some(arg) = self.waiting.take() {
            self.given.push((arg, word.to_owned()));
        } else if word == "--" {
            self.flags_are_over = true;
        } else if let Some(long) = word.strip_prefix("--").filter(|_| !self.flags_are_over) {
            self.take_long(long);
        } else if let Some(short) = word.strip_prefix('-').filter(|rest| !rest.is_empty() && !self.flags_are_over) {
            self.take_short(short);
        } else {
            self.take_word(word);
        }
    }

    fn take_long(&mut self, text: &str) {
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        let Some(arg) = self.flag(|arg| arg.get_long() == Some(name)) else { return };
        self.take_flag(arg, value);
    }

    /// Takes `-v`, `-nNAME` or several short flags in one word.
    fn take_short(&mut self, text: &str) {
        for (at, letter) in text.char_indices() {
            let Some(arg) = self.flag(|arg| arg.get_short() == Some(letter)) else { return };
            let rest = &text[at + letter.len_utf8()..];
            if takes_value(arg) {
                let value = rest.strip_prefix('=').unwrap_or(rest);
                return self.take_flag(arg, Some(value).filter(|_| !rest.is_empty()));
            }
            self.take_flag(arg, None);
        }
    }

    fn take_flag(&mut self, arg: &'a Arg, value: Option<&str>) {
        if value.is_none() && takes_value(arg) && !arg.is_require_equals_set() {
            self.waiting = Some(arg);
        } else {
            self.given.push((arg, value.unwrap_or_default().to_owned()));
        }
    }

    fn take_word(&mut self, word: &str) {
        if let Some(command) = self.command.find_subcommand(word) {
            self.command = command;
        } else if let Some(arg) = self.positional() {
            self.given.push((arg, word.to_owned()));
            self.positionals += 1;
        }
    }

    fn finish(self, last: &str) -> Line<'a> {
        let (slot, begun) = self.slot(last);
        Line { command: self.command, slot, begun: begun.to_owned(), given: self.given }
    }

    fn slot<'w>(&self, last: &'w str) -> (Slot<'a>, &'w str) {
        if let Some(arg) = self.waiting {
            return (Slot::Value(arg), last);
        }
        if last.starts_with('-') && !self.flags_are_over {
            let attached = last.strip_prefix("--").and_then(|text| text.split_once('='));
            let Some((name, begun)) = attached else { return (Slot::Flag, last) };
            let arg = self.flag(|arg| arg.get_long() == Some(name) && takes_value(arg));
            return (arg.map_or(Slot::Nothing, Slot::Value), begun);
        }
        if self.command.has_subcommands() {
            return (Slot::Command, last);
        }
        (self.positional().map_or(Slot::Nothing, Slot::Value), last)
    }

    fn flag(&self, is_it: impl Fn(&Arg) -> bool) -> Option<&'a Arg> {
        self.command.get_arguments().find(|arg| !arg.is_positional() && is_it(arg))
    }

    /// The positional that the next word is; the last one where it may be repeated.
    fn positional(&self) -> Option<&'a Arg> {
        let next = self.command.get_positionals().nth(self.positionals);
        let repeated = |arg: &&Arg| matches!(arg.get_action(), ArgAction::Append);
        next.or_else(|| self.command.get_positionals().last().filter(repeated))
    }
}

fn takes_value(arg: &Arg) -> bool {
    arg.get_action().takes_values()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::plugin::cli::Cli;

    /// The command, what was given, what the last word is, and what there is of it.
    fn reading(line: &str) -> String {
        let mut root = Cli::command();
        root.build();
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let line = read(&root, &words);
        let given: Vec<String> = line.given.iter().map(|(arg, value)| format!("{}={value}", arg.get_id())).collect();
        let slot = match line.slot {
            Slot::Command => "command".to_owned(),
            Slot::Flag => "flag".to_owned(),
            Slot::Value(arg) => arg.get_id().to_string(),
            Slot::Nothing => "nothing".to_owned(),
        };
        format!("{} [{}] {slot} '{}'", line.command.get_name(), given.join(" "), line.begun)
    }

    #[test]
    fn every_kind_of_word_is_told_apart() {
        let cases = [
            ("", "kubectl-mariadb_backup [] command ''"),
            ("sch", "kubectl-mariadb_backup [] command 'sch'"),
            ("schedule sus", "schedule [] command 'sus'"),
            ("-n db list ", "list [namespace=db] cluster_name ''"),
            ("list -n", "list [] flag '-n'"),
            ("list -n ", "list [] namespace ''"),
            ("list -ndb -v --v=3 --no-h", "list [namespace=db verbose= verbose=3] flag '--no-h'"),
            ("list --output=j", "list [] output 'j'"),
            ("list --nonsense=j", "list [] nothing 'j'"),
            ("create --dry-run ", "create [dry_run=] cluster_name ''"),
            ("delete a -y b 2", "delete [backups=a yes= backups=b] backups '2'"),
            ("restore a ", "restore [backup=a] nothing ''"),
            ("drill -- -x", "drill [] backup '-x'"),
        ];
        for (line, expected) in cases {
            assert_eq!(reading(line), expected, "{line}");
        }
    }
}
