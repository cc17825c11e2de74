//! The kubectl plugin: hands the process over to the library.

use std::io::{self, BufReader, IsTerminal};
use std::process::ExitCode;

use mariadb_backup::plugin::{self, Environment};

fn main() -> ExitCode {
    plugin::run(Environment {
        arguments: std::env::args_os().collect(),
        variables: std::env::vars_os()
            .filter_map(|(key, value)| key.into_string().ok().zip(value.into_string().ok()))
            .collect(),
        stdin: Box::new(BufReader::new(io::stdin())),
        stdout: Box::new(io::stdout()),
        stderr: Box::new(io::stderr()),
        stdin_is_terminal: io::stdin().is_terminal(),
        stdout_is_terminal: io::stdout().is_terminal(),
        stderr_is_terminal: io::stderr().is_terminal(),
        start_logging: |filter| {
            let ansi = io::stderr().is_terminal();
            tracing_subscriber::fmt().with_env_filter(filter).with_ansi(ansi).with_writer(io::stderr).init();
        },
    })
    .into()
}
