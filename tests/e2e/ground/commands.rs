//! Commands as a person types them, what they print and how they end.

use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// What a command printed and how it ended.
#[derive(Clone, Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Fails the test unless the command ended with that code.
    #[track_caller]
    pub(crate) fn ends_with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Fails the test unless the text is in what went to stderr.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "expected \"{text}\" in:\n{}", self.stderr);
        self
    }
}

pub(super) fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).env("NO_COLOR", "1").env_remove("COLUMNS");
    command
}

pub(crate) fn run(program: &str, arguments: &[&str]) -> Ran {
    Ran::of(command(program, arguments).output().unwrap_or_else(|error| panic!("cannot start {program}: {error}")))
}

/// Runs a command that must succeed and returns its standard output without the last newline.
#[track_caller]
pub(crate) fn must(program: &str, arguments: &[&str]) -> String {
    run(program, arguments).ends_with(0).stdout.trim_end().to_owned()
}

#[track_caller]
pub(crate) fn ground(arguments: &[&str]) -> String {
    must("ground", arguments)
}

#[track_caller]
pub(crate) fn kubectl(arguments: &[&str]) -> String {
    must("kubectl", arguments)
}

#[track_caller]
pub(crate) fn kubectl_json(arguments: &[&str]) -> Value {
    let all: Vec<_> = arguments.iter().copied().chain(["-o", "json"]).collect();
    serde_json::from_str(&kubectl(&all)).unwrap()
}

/// A command that runs beside the test.
pub(crate) struct Started(Child);

impl Started {
    pub(super) fn of(mut command: Command) -> Self {
        Self(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// Kills it.
    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Kills it, and returns what it has said until then.
    pub(crate) fn killed(mut self) -> Ran {
        self.0.kill().unwrap();
        self.end()
    }

    /// Waits for its end.
    pub(crate) fn end(self) -> Ran {
        Ran::of(self.0.wait_with_output().unwrap())
    }
}
