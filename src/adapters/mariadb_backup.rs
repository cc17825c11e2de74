//! mariadb-backup: its arguments, its option file, and what its lines mean.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use self::lock::{LockWait, LockWatch};
use super::process::{Process, words};
use crate::model::order::{CopyOrder, ServerAddress};
use crate::ports::runner::{Engine, EngineEnd, EngineRun};
use crate::ports::{PortError, Reason};

mod lock;
pub mod prepare;

/// The tool's name now and in older images.
const PROGRAMS: [&str; 2] = ["mariadb-backup", "mariabackup"];

/// What the tool says last when all is well.
const MARK_OF_SUCCESS: &str = "completed OK!";

/// Seconds after which the tool waits for a running query, inside the desync window, before it takes
/// its locks. Its own default is 0, which makes any long SELECT delay or fail a backup; the locks
/// themselves only wait for what they conflict with, and have their own limit.
const NO_QUERY_IS_THAT_OLD: u32 = 31_536_000;

/// How often it is looked whether the tool waits for a lock.
const LOCK_LOOK: Duration = Duration::from_millis(100);

/// Saying a version takes no longer.
const VERSION_LIMIT: Duration = Duration::from_secs(30);

/// So many complaints are repeated.
const COMPLAINTS: usize = 3;

/// Everything the tool must be told. Has no `Debug`, which would show the password.
#[derive(Clone)]
pub struct Options {
    /// The server.
    pub server: ServerAddress,
    /// Name of the account.
    pub username: String,
    /// Its password.
    pub password: String,
    /// The data directory.
    pub datadir: PathBuf,
    /// Where the option file goes, and the tool's own small files.
    pub scratch: PathBuf,
    /// Copy threads.
    pub parallel: u32,
    /// Seconds to wait for the global lock.
    pub ftwrl_wait_secs: u64,
    /// Pairs of reads and writes a second; 0 for no limit.
    pub throttle: u32,
}

impl Options {
    /// Takes them from an order.
    #[must_use]
    pub fn of(order: &CopyOrder, username: &str, password: &str) -> Self {
        Self {
            server: order.server.clone(),
            username: username.to_owned(),
            password: password.to_owned(),
            datadir: PathBuf::from(&order.datadir),
            scratch: PathBuf::from(&order.scratch),
            parallel: order.parallel,
            ftwrl_wait_secs: order.ftwrl_wait_secs,
            throttle: order.throttle,
        }
    }

    fn option_file(&self) -> PathBuf {
        self.scratch.join("mariadb-backup.cnf")
    }

    /// Where the tool repeats its small files outside the stream.
    fn lsn_directory(&self) -> PathBuf {
        self.scratch.join("lsn")
    }

    /// The tool's arguments. The option file must be the first, and holds what nobody may see.
    fn arguments(&self, since: Option<u64>, lock: LockWait) -> Vec<OsString> {
        let with = |name: &str, value: &Path| {
            let mut argument = OsString::from(name);
            argument.push(value);
            argument
        };
        let mut arguments = vec![
            with("--defaults-file=", &self.option_file()),
            "--backup".into(),
            "--stream=mbstream".into(),
            "--galera-info".into(),
            with("--extra-lsndir=", &self.lsn_directory()),
            with("--datadir=", &self.datadir),
            format!("--parallel={}", self.parallel.max(1)).into(),
            format!("--host={}", self.server.host).into(),
            format!("--port={}", self.server.port).into(),
        ];
        if lock == LockWait::Tool {
            arguments.push(format!("--ftwrl-wait-timeout={}", self.ftwrl_wait_secs).into());
            arguments.push(format!("--ftwrl-wait-threshold={NO_QUERY_IS_THAT_OLD}").into());
        }
        arguments.extend(since.map(|lsn| format!("--incremental-lsn={lsn}").into()));
        if self.throttle > 0 {
            arguments.push(format!("--throttle={}", self.throttle).into());
        }
        arguments
    }

    fn option_file_text(&self) -> String {
        format!("[mariabackup]\nuser={}\npassword={}\n", quote(&self.username), quote(&self.password))
    }
}

/// Writes a value as option files want it when it may hold anything.
fn quote(value: &str) -> String {
    let mut quoted = String::from("\"");
    for character in value.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// mariadb-backup of the image this agent runs in.
#[derive(Clone)]
pub struct MariadbBackup {
    options: Options,
    programs: Vec<String>,
    lock_wait: OnceLock<LockWait>,
}

impl MariadbBackup {
    /// Makes one; nothing is started or written yet.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self { options, programs: PROGRAMS.map(str::to_owned).to_vec(), lock_wait: OnceLock::new() }
    }

    /// Runs the tool for what it tells about itself.
    async fn said(&self, arguments: &[OsString]) -> Result<String, PortError> {
        let what = arguments.last().map(|argument| argument.display().to_string()).unwrap_or_default();
        told(self.spawn(arguments)?, &what).await
    }

    /// Finds out what the tool makes of a limit for its locks.
    async fn lock_wait(&self) -> Result<LockWait, PortError> {
        if let Some(known) = self.lock_wait.get() {
            return Ok(*known);
        }
        let help = self.said(&["--no-defaults".into(), "--help".into()]).await?;
        Ok(*self.lock_wait.get_or_init(|| LockWait::by_help(&help)))
    }

    /// Starts whichever of the names exists.
    fn spawn(&self, arguments: &[OsString]) -> Result<Process, PortError> {
        for program in &self.programs {
            match Process::start(program, arguments) {
                Ok(process) => return Ok(process),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(PortError::new(Reason::Other, format!("cannot start {program}")).caused_by(error));
                }
            }
        }
        Err(PortError::new(Reason::Missing, "this image has no mariadb-backup")
            .with_hint("run the runner in a server image that has it, of the server's own series"))
    }

    fn write_option_file(&self) -> io::Result<()> {
        std::fs::create_dir_all(self.options.lsn_directory())?;
        let path = self.options.option_file();
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(self.options.option_file_text().as_bytes())
    }
}

/// What a run of the tool for one of its options tells: some series on standard error, others on standard output.
async fn told(mut process: Process, what: &str) -> Result<String, PortError> {
    let failed = |how: String| PortError::new(Reason::Other, format!("mariadb-backup {what} ended with {how}"));
    let broken = |error: io::Error| failed("an error".to_owned()).caused_by(error);
    let stdout = process.stdout();
    // Read beside the process: help is longer than a pipe may hold.
    let reader = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        stdout.map_or(Ok(0), |mut stdout| stdout.read_to_string(&mut text)).map(|_| text)
    });
    let status = tokio::time::timeout(VERSION_LIMIT, process.wait())
        .await
        .map_err(|_| PortError::new(Reason::TimedOut, format!("mariadb-backup {what} did not end")))?
        .map_err(broken)?;
    if !status.success() {
        return Err(failed(words(status)));
    }
    let text = reader.await.map_err(io::Error::other).and_then(|read| read).map_err(broken)?;
    let mut lines = process.last_lines();
    lines.push(text);
    Ok(lines.join("\n"))
}

/// The sentence with the tool's version.
async fn version(process: Process) -> Result<String, PortError> {
    let text = told(process, "--version").await?;
    let sentence = text.lines().find(|line| line.contains("based on")).or_else(|| text.lines().next());
    Ok(sentence.unwrap_or_default().trim().to_owned())
}

#[async_trait]
impl Engine for MariadbBackup {
    async fn version(&self) -> Result<String, PortError> {
        let said = version(self.spawn(&["--version".into()])?).await?;
        // Outside the desync window, where there is time for it.
        self.lock_wait().await?;
        Ok(said)
    }

    async fn start(&self, since: Option<u64>) -> Result<Box<dyn EngineRun>, PortError> {
        self.write_option_file().map_err(|error| {
            let scratch = self.options.scratch.display();
            PortError::new(Reason::Other, format!("cannot write mariadb-backup's options to {scratch}"))
                .caused_by(error)
        })?;
        let lock = self.lock_wait().await?;
        let limit = Duration::from_secs(self.options.ftwrl_wait_secs);
        let watch = (lock == LockWait::Ours).then(|| LockWatch::new(limit));
        Ok(Box::new(Run { process: self.spawn(&self.options.arguments(since, lock))?, watch }))
    }
}

struct Run {
    process: Process,
    watch: Option<LockWatch>,
}

#[async_trait]
impl EngineRun for Run {
    fn stream(&mut self) -> Option<Box<dyn Read + Send>> {
        self.process.stdout().map(|stdout| Box::new(stdout) as Box<dyn Read + Send>)
    }

    fn interrupt(&self) {
        self.process.interrupt();
    }

    fn kill(&self) {
        self.process.kill();
    }

    async fn wait(&mut self) -> Result<EngineEnd, PortError> {
        loop {
            let status = tokio::select! {
                status = self.process.wait() => status.map_err(|error| {
                    PortError::new(Reason::Other, "cannot wait for the end of mariadb-backup").caused_by(error)
                })?,
                () = tokio::time::sleep(LOCK_LOOK), if self.watch.is_some() => {
                    let lines = self.process.last_lines();
                    if self.watch.as_mut().is_some_and(|watch| watch.look(&lines, Instant::now())) {
                        self.process.interrupt();
                    }
                    continue;
                }
            };
            let mut end = judge(status.success(), words(status), &self.process.last_lines());
            if let Some(complaint) = self.watch.as_ref().and_then(LockWatch::complaint) {
                end.complaints = vec![complaint];
            }
            return Ok(end);
        }
    }
}

/// Reads the tool's last lines.
fn judge(exit_ok: bool, how: String, lines: &[String]) -> EngineEnd {
    let last = lines.iter().rev().find(|line| !line.is_empty());
    let completed = last.is_some_and(|line| line.ends_with(MARK_OF_SUCCESS));
    let tells = |line: &&String| {
        ["FATAL ERROR", "[ERROR]", "Error:", "error:", "failed", "Errcode", "Unable to"]
            .iter()
            .any(|word| line.contains(word))
    };
    let mut complaints: Vec<_> = lines.iter().rev().filter(tells).take(COMPLAINTS).cloned().collect();
    if complaints.is_empty() && !completed {
        complaints.extend(last.cloned());
    }
    complaints.reverse();
    EngineEnd { exit_ok, how, completed, complaints, last_lines: lines.to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options {
            server: ServerAddress { host: "10.0.0.7".to_owned(), port: 3306 },
            username: "backup".to_owned(),
            password: "p\"a\\s#s\n".to_owned(),
            datadir: "/var/lib/mysql".into(),
            scratch: "/scratch".into(),
            parallel: 0,
            throttle: 0,
            ftwrl_wait_secs: 60,
        }
    }

    #[test]
    fn an_increment_and_a_throttle_are_told_to_the_tool_and_nothing_else_changes() {
        let mut options = options();
        let plain = options.arguments(None, LockWait::Tool);
        options.throttle = 50;
        let arguments = options.arguments(Some(47), LockWait::Tool);
        assert_eq!(arguments, [plain, vec!["--incremental-lsn=47".into(), "--throttle=50".into()]].concat());
    }

    #[test]
    fn the_option_file_comes_first_and_alone_knows_the_password() {
        let arguments = options().arguments(None, LockWait::Tool);
        assert_eq!(
            arguments,
            [
                "--defaults-file=/scratch/mariadb-backup.cnf",
                "--backup",
                "--stream=mbstream",
                "--galera-info",
                "--extra-lsndir=/scratch/lsn",
                "--datadir=/var/lib/mysql",
                "--parallel=1",
                "--host=10.0.0.7",
                "--port=3306",
                "--ftwrl-wait-timeout=60",
                "--ftwrl-wait-threshold=31536000",
            ]
        );
        let text = "[mariabackup]\nuser=\"backup\"\npassword=\"p\\\"a\\\\s#s\\n\"\n";
        assert_eq!(options().option_file_text(), text);
    }

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn only_the_mark_in_the_last_line_is_success() {
        let judge = |text: &str| judge(true, "exit code 0".to_owned(), &lines(text));
        assert!(judge("[00] 2026-01-01 00:00:00 completed OK!\n\n").completed);
        assert!(!judge("completed OK!\nmbstream: broken").completed);
        assert!(!judge("").completed);
    }

    #[test]
    fn a_tool_that_would_wait_for_silence_is_given_no_limit() {
        let told = options().arguments(None, LockWait::Ours);
        assert!(!told.iter().any(|argument| argument.to_string_lossy().contains("ftwrl")), "{told:?}");
    }

    #[test]
    fn the_last_complaints_are_repeated_in_their_order() {
        let text = "[00] copying\n[00] FATAL ERROR: 2026 no\n[00] cleaning up";
        let end = judge(false, "exit code 1".to_owned(), &lines(text));
        assert_eq!(end.complaints, ["[00] FATAL ERROR: 2026 no"]);
        let quiet = judge(false, "signal 9".to_owned(), &lines("[00] copying"));
        assert_eq!(quiet.complaints, ["[00] copying"]);
        // What it says last after waiting in vain for a table that somebody holds locked.
        let locked = "[00] Unable to obtain lock. Please try again later.";
        let waited = format!("{locked}\n0 [Note] InnoDB: Starting shutdown...");
        assert_eq!(judge(false, "exit code 1".to_owned(), &lines(&waited)).complaints, [locked]);
    }

    #[tokio::test]
    async fn an_image_without_the_tool_is_said_so() {
        let tool = MariadbBackup {
            options: options(),
            programs: vec!["no-such-mariadb-backup".to_owned()],
            lock_wait: OnceLock::new(),
        };
        assert_eq!(tool.version().await.unwrap_err().reason, Reason::Missing);
    }
}
