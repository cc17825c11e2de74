//! A child process whose output is a stream of bytes and whose complaints are lines.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinHandle;

/// With the default of 64 KiB, writer and reader of a pipe take turns instead of working together.
const PIPE_BYTES: usize = 1 << 20;

/// So many of the last lines are kept.
const LINES_KEPT: usize = 200;

/// Longer lines are cut when kept.
const LINE_LIMIT: usize = 1000;

/// The last lines a process wrote to its standard error.
type Lines = Arc<Mutex<VecDeque<String>>>;

/// A running child process.
pub struct Process {
    child: Child,
    stdout: Option<File>,
    lines: Lines,
    reader: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts a program with nothing on its standard input.
    pub fn start(program: &str, arguments: &[OsString]) -> io::Result<Self> {
        Self::spawn(program, arguments, Stdio::piped())
    }

    /// Starts one whose standard output nobody reads.
    pub fn start_quiet(program: &str, arguments: &[OsString]) -> io::Result<Self> {
        Self::spawn(program, arguments, Stdio::null())
    }

    /// Starts whichever of the programs there is; `None` when there is none of them.
    pub fn start_first(programs: &[String], arguments: &[OsString]) -> io::Result<Option<Self>> {
        for program in programs {
            match Self::start_quiet(program, arguments) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                started => return started.map(Some),
            }
        }
        Ok(None)
    }

    fn spawn(program: &str, arguments: &[OsString], stdout: Stdio) -> io::Result<Self> {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().map(tokio::process::ChildStdout::into_owned_fd).transpose()?.map(File::from);
        if let Some(stdout) = &stdout {
            // A smaller pipe is slower and no more: the limit for unprivileged users may forbid it.
            let _unchanged = rustix::pipe::fcntl_setpipe_size(stdout, PIPE_BYTES);
        }
        let lines = Lines::default();
        let reader = child.stderr.take().map(|stderr| tokio::spawn(keep_lines(stderr, Arc::clone(&lines))));
        Ok(Self { child, stdout, lines, reader })
    }

    /// Hands out the standard output; once.
    pub fn stdout(&mut self) -> Option<File> {
        self.stdout.take()
    }

    /// Sends SIGINT; nothing happens when the process has ended.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// Sends SIGKILL; nothing happens when the process has ended.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Sends SIGTERM; nothing happens when the process has ended.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    fn signal(&self, signal: Signal) {
        // `id` is empty once the process was waited for, so the number cannot be another's by now.
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It can only fail when the process is gone, which is what was wanted.
            let _gone = kill_process(pid, signal);
        }
    }

    /// Waits for the end of the process and of what it had to say. May be given up and called again.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        if let Some(reader) = &mut self.reader {
            // A reader that broke off has kept what it could.
            let _broke_off = reader.await;
            self.reader = None;
        }
        Ok(status)
    }

    /// Returns the last lines of its standard error.
    pub fn last_lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// Reads lines to the end and keeps the last ones; a line that is no UTF-8 is kept as well as can be.
async fn keep_lines(stderr: ChildStderr, lines: Lines) {
    let mut reader = BufReader::new(stderr);
    let mut line = Vec::new();
    while let Ok(1..) = reader.read_until(b'\n', &mut line).await {
        let text = String::from_utf8_lossy(&line[..line.len().min(LINE_LIMIT)]).trim_end().to_owned();
        tracing::debug!(line = %text, "the child process says");
        let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LINES_KEPT {
            lines.pop_front();
        }
        lines.push_back(text);
        line.clear();
    }
}

/// Says how a process ended, in words.
pub(super) fn words(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown status".to_owned(),
    }
}
