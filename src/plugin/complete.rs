//! What kubectl and the shells ask while a line is being typed.
//!
//! kubectl calls `kubectl_complete-mariadb_backup` with the words after the plugin's name, the last of
//! them unfinished, and reads cobra's protocol: a candidate a line, with its description behind a tab,
//! and at the end a colon with a number that says what the shell shall make of them. Whoever types
//! must neither wait nor be disturbed: what is not known within a moment is left out, nothing is ever
//! written to stderr, and the exit code is 0.

mod line;
mod live;
mod things;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use clap::builder::StyledStr;
use clap::{Arg, ArgAction, Command, CommandFactory, ValueHint};

use super::cli::Cli;
use line::{Line, Slot};

/// What a program that kubectl asks for candidates is called before the plugin's own name.
const ASKED_AS: &str = "kubectl_complete-";

/// The first word by which every other program asks.
const ASKED_WITH: &str = "__complete";

/// Directive: candidates or nothing, but no file names.
const NO_FILES: u8 = 4;

/// Directive: in this order.
const KEEP_ORDER: u8 = 32;

/// One way to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Candidate {
    word: String,
    description: String,
}

impl Candidate {
    fn new(word: impl Into<String>, description: impl Into<String>) -> Self {
        Self { word: word.into(), description: description.into() }
    }
}

/// All ways to go on, and what the shell shall make of them.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    candidates: Vec<Candidate>,
    directive: u8,
}

impl Answer {
    fn of(candidates: Vec<Candidate>) -> Self {
        Self { candidates, directive: NO_FILES }
    }

    /// The answer as it is read; a description is one line, whoever wrote it.
    fn text(&self) -> String {
        let line = |candidate: &Candidate| {
            let description = candidate.description.replace(char::is_control, " ");
            if description.is_empty() {
                format!("{}\n", candidate.word)
            } else {
                format!("{}\t{description}\n", candidate.word)
            }
        };
        let lines: String = self.candidates.iter().map(line).collect();
        format!("{lines}:{}\n", self.directive)
    }
}

/// The words to complete, when that is what the program was called for.
pub(crate) fn asked(arguments: &[OsString]) -> Option<Vec<String>> {
    let (program, words) = arguments.split_first()?;
    let name = Path::new(program).file_name()?.to_string_lossy();
    let words = if name.starts_with(ASKED_AS) {
        words
    } else {
        words.split_first().filter(|(first, _)| *first == ASKED_WITH)?.1
    };
    Some(words.iter().map(|word| word.to_string_lossy().into_owned()).collect())
}

/// Answers with everything the last word may become.
pub(crate) fn answer(words: &[String], variables: BTreeMap<String, String>) -> String {
    let mut command = Cli::command();
    command.build();
    let line = line::read(&command, words);
    let mut answer = match line.slot {
        Slot::Command => Answer::of(commands(line.command)),
        Slot::Flag => Answer::of(flags(&line)),
        Slot::Value(arg) => value(arg, &line, variables),
        Slot::Nothing => Answer::of(vec![]),
    };
    answer.candidates.retain(|candidate| candidate.word.starts_with(&line.begun));
    answer.text()
}

/// The first line of a help text.
fn first_line(help: Option<&StyledStr>) -> String {
    let help = help.map(ToString::to_string).unwrap_or_default();
    help.lines().next().unwrap_or_default().to_owned()
}

fn commands(command: &Command) -> Vec<Candidate> {
    let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
    shown.map(|command| Candidate::new(command.get_name(), first_line(command.get_about()))).collect()
}

fn flags(line: &Line<'_>) -> Vec<Candidate> {
    let is_over = |arg: &Arg| !matches!(arg.get_action(), ArgAction::Append) && line.has(arg);
    let open = line.command.get_arguments().filter(|arg| !arg.is_hide_set() && !is_over(arg));
    open.filter_map(|arg| Some(Candidate::new(format!("--{}", arg.get_long()?), first_line(arg.get_help())))).collect()
}

fn value(arg: &Arg, line: &Line<'_>, variables: BTreeMap<String, String>) -> Answer {
    let possible = arg.get_possible_values();
    if !possible.is_empty() {
        let shown = possible.iter().filter(|value| !value.is_hide_set());
        return Answer::of(shown.map(|value| Candidate::new(value.get_name(), first_line(value.get_help()))).collect());
    }
    if let Some(subject) = live::Subject::of(line.command.get_name(), arg.get_id().as_str()) {
        return live::answer(subject, line, variables);
    }
    let is_file = matches!(arg.get_value_hint(), ValueHint::AnyPath | ValueHint::FilePath | ValueHint::DirPath);
    Answer { candidates: vec![], directive: if is_file { 0 } else { NO_FILES } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    fn asked_with(line: &str) -> Option<Vec<String>> {
        asked(&words(line).into_iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn the_name_or_the_first_word_tells_that_candidates_are_asked_for() {
        assert_eq!(asked_with("/bin/kubectl_complete-mariadb_backup list "), Some(words("list ")));
        assert_eq!(asked_with("kubectl-mariadb_backup __complete list "), Some(words("list ")));
        assert_eq!(asked_with("kubectl-mariadb_backup list"), None);
        assert_eq!(asked_with("kubectl-mariadb_backup"), None);
    }

    fn shown(line: &str) -> String {
        answer(&words(line), BTreeMap::new())
    }

    #[test]
    fn values_are_offered_with_their_meaning() {
        assert_eq!(shown("verify --store l"), "local\tThe volume of backups\n:4\n");
        assert_eq!(shown("verify --store=s"), "s3\tThe bucket\n:4\n");
        assert_eq!(shown("verify --timeout 5"), ":4\n");
    }

    #[test]
    fn where_a_file_is_meant_the_shell_goes_on_by_itself() {
        assert_eq!(shown("list --kubeconfig /et"), ":0\n");
    }

    #[test]
    fn a_flag_is_offered_until_it_is_given_and_again_where_it_may_be_repeated() {
        let offered = shown("list --context a --as-group b --");
        assert!(!offered.contains("--context\t") && offered.contains("--as-group\t"), "{offered}");
    }

    #[test]
    fn a_description_is_one_line_whoever_wrote_it() {
        let answer = Answer::of(vec![Candidate::new("a", "b\n:0\x1b[31m"), Candidate::new("c", "")]);
        assert_eq!(answer.text(), "a\tb :0 [31m\nc\n:4\n");
    }
}
