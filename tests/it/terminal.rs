//! The real plugin binary on a terminal: what a person sees there, and what Ctrl-C leaves behind.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, OptionalActions, Winsize, tcgetattr, tcsetattr, tcsetwinsize};
use serde_json::{Value, json};

use crate::cli_runs::{answer_at_work, pod, report};
use crate::loopback_api::Api;

/// How long anything is waited for; it takes this long only where it never comes.
const LIMIT: Duration = Duration::from_mins(1);

/// A program on a terminal of its own.
pub(crate) struct Terminal {
    keyboard: File,
    child: Child,
    output: Receiver<Vec<u8>>,
    /// Everything that was written so far.
    pub(crate) written: String,
}

impl Terminal {
    pub(crate) fn run(arguments: &[&str], server: &Api, columns: u16) -> Self {
        Self::run_with(&[], arguments, server, columns)
    }

    /// The same, with variables in its environment.
    pub(crate) fn run_with(variables: &[(&str, &str)], arguments: &[&str], server: &Api, columns: u16) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        tcsetwinsize(&master, Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let name = ptsname(&master, vec![]).unwrap();
        let there = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = rustix::fs::open(name, there, Mode::empty()).unwrap();
        // Else the system throws away what was not read yet when Ctrl-C is pressed, at times also what is written then.
        let mut modes = tcgetattr(&slave).unwrap();
        modes.local_modes |= LocalModes::NOFLSH;
        tcsetattr(&slave, OptionalActions::Now, &modes).unwrap();
        let child = start(variables, arguments, server, &slave);
        // The last end of it is the program's: its end ends the output.
        drop(slave);
        let keyboard = File::from(master);
        let output = listen(keyboard.try_clone().unwrap());
        Self { keyboard, child, output, written: String::new() }
    }

    /// Waits until something was written.
    pub(crate) fn until(&mut self, what: &str) {
        while !self.written.contains(what) {
            let Ok(bytes) = self.output.recv_timeout(LIMIT) else { panic!("no {what:?} in {}", self.written) };
            self.written.push_str(&String::from_utf8_lossy(&bytes));
        }
    }

    /// Waits until more was written.
    pub(crate) fn more(&mut self) {
        let Ok(bytes) = self.output.recv_timeout(LIMIT) else { panic!("no more than {}", self.written) };
        self.written.push_str(&String::from_utf8_lossy(&bytes));
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for the end, and returns the exit code with all that was written.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        while let Ok(bytes) = self.output.recv_timeout(LIMIT) {
            self.written.push_str(&String::from_utf8_lossy(&bytes));
        }
        (self.child.wait().unwrap().code(), self.written)
    }
}

/// Starts the plugin in a session of its own, so that the terminal's Ctrl-C is its.
fn start(variables: &[(&str, &str)], arguments: &[&str], server: &Api, terminal: &OwnedFd) -> Child {
    let end = || Stdio::from(terminal.try_clone().unwrap());
    let mut command = Command::new("setsid");
    command.args(["--ctty", "--wait"]).arg(assert_cmd::cargo::cargo_bin("kubectl-mariadb_backup")).args(arguments);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("TERM", "xterm");
    command.env("HOME", "/nowhere").env("KUBECONFIG", server.kubeconfig());
    command.envs(variables.iter().copied());
    command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap()
}

fn listen(mut screen: File) -> Receiver<Vec<u8>> {
    let (heard, output) = channel();
    thread::spawn(move || {
        let mut bytes = [0; 4096];
        // A terminal that nobody has open any more ends with an error.
        while let Ok(count @ 1..) = screen.read(&mut bytes) {
            if heard.send(bytes[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    output
}

/// Every line that was drawn or written, without what only moves the cursor and what the terminal itself shows
/// of a pressed Ctrl-C, wherever the cursor is.
fn drawn(written: &str) -> Vec<String> {
    written.replace("^C", "").split(['\r', '\n']).map(without_controls).collect()
}

pub(crate) fn without_controls(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let first = parts.next().unwrap_or_default().to_owned();
    let rest = parts.map(|part| part.trim_start_matches(|c: char| !c.is_ascii_alphabetic()).chars().skip(1));
    rest.fold(first, |text, part| text + &part.collect::<String>())
}

/// What a run tells whose two runners send bytes.
pub(crate) fn reports_at_work() -> Vec<Value> {
    let progress = |seq: u32, runner: &str, second: u32, done: u64| {
        let kind = json!({"kind": "progress", "runner": format!("run-x-{runner}"), "doneBytes": done << 20,
            "totalBytes": 400 << 20, "writtenBytes": (done << 20) / 2});
        let mut report = report(seq, &kind);
        report["time"] = json!(format!("2000-01-03T00:00:{second:02}Z"));
        report
    };
    vec![
        report(1, &json!({"kind": "step", "message": "2 backups to copy"})),
        progress(2, "sync-0", 0, 0),
        progress(3, "sync-1", 0, 0),
        progress(4, "sync-0", 10, 100),
        progress(5, "sync-1", 10, 200),
    ]
}

/// A cluster in which two runners send bytes, without end.
pub(crate) fn at_work() -> Api {
    let reports = reports_at_work();
    let pod = pod("Running", &json!({"running": {}}));
    Api::judging(move |asked| answer_at_work(asked, &reports, &pod))
}

#[test]
fn ctrl_c_while_a_run_is_followed_says_how_to_see_it_again_and_leaves_the_terminal_as_it_was() {
    let server = at_work();
    let mut terminal = Terminal::run(&["sync", "-n", "db"], &server, 60);
    terminal.until("sync-1");
    terminal.press("\x03");
    let (code, written) = terminal.end();
    assert_eq!(code, Some(130), "{written}");
    assert!(written.ends_with("\r\n  kubectl mariadb-backup logs run-x -n db\r\n"), "{written}");
    assert!(!written.contains("\x1b[?25l"), "the cursor was hidden");
}

#[test]
fn every_runner_at_work_has_a_bar_and_no_line_is_wider_than_the_terminal() {
    let server = at_work();
    let mut terminal = Terminal::run(&["sync", "-n", "db"], &server, 60);
    terminal.until("200MiB/400MiB");
    terminal.press("\x03");
    let (_, written) = terminal.end();
    let lines = drawn(&written);
    let has = |begin: &str, end: &str| lines.iter().any(|line| line.contains(begin) && line.ends_with(end));
    assert!(has("store sync-0 [==>", "] 100MiB/400MiB 10MiB/s ETA 30s"), "{lines:?}");
    assert!(has("store sync-1 [=====>", "] 200MiB/400MiB 20MiB/s ETA 10s"), "{lines:?}");
    assert!(lines.iter().all(|line| line.chars().count() <= 60), "{lines:?}");
}
