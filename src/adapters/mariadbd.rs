//! A throwaway mariadbd on a prepared directory: no network, nothing of it survives but the data.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::process::{Process, words};
use crate::ports::prove::{RUN_DIRECTORY, ServerEnd, Throwaway, ThrowawayRun};
use crate::ports::{PortError, Reason};

pub mod recover;

/// The server's name now and in older images, and where it may be without being on the path.
const PROGRAMS: [&str; 8] = [
    "mariadbd",
    "mysqld",
    "/usr/sbin/mariadbd",
    "/usr/sbin/mysqld",
    "/usr/libexec/mariadbd",
    "/opt/bitnami/mariadb/sbin/mariadbd",
    "/opt/bitnami/mariadb/sbin/mysqld",
    "/usr/local/mysql/bin/mariadbd",
];

/// Where images have the library of Galera.
const PROVIDERS: [&str; 7] = [
    "/usr/lib/galera/libgalera_smm.so",
    "/usr/lib/galera-4/libgalera_smm.so",
    "/usr/lib64/galera-4/libgalera_smm.so",
    "/usr/lib64/galera/libgalera_smm.so",
    "/usr/lib/libgalera_smm.so",
    "/usr/lib64/libgalera_smm.so",
    "/opt/bitnami/mariadb/lib/libgalera_smm.so",
];

/// The account that only the memory of this server knows.
pub const ACCOUNT: &str = "mariadb-backup-proof";

/// A socket's path may not be longer.
const MOST_SOCKET_BYTES: usize = 107;

/// So many complaints are repeated from the first ones, and as many from the last ones.
const COMPLAINTS: usize = 2;

/// Where a throwaway server is reached, and how. Has no `Debug`, which would show the password.
#[derive(Clone)]
pub struct Door {
    /// Its socket.
    pub socket: PathBuf,
    /// The password of [`ACCOUNT`].
    pub password: String,
}

impl Door {
    /// Makes one for a server in that scratch directory, with a password of its own.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn new(scratch: &Path) -> Result<Self, PortError> {
        let mut bytes = [0; 24];
        fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).map_err(|error| {
            PortError::new(Reason::Other, "cannot make a password for the throwaway server").caused_by(error)
        })?;
        // Of every kind of character, for servers with rules about passwords.
        let password = format!("Aa1-{}", crate::model::manifest::hex(&bytes));
        Ok(Self { socket: scratch.join(RUN_DIRECTORY).join("socket"), password })
    }
}

/// mariadbd of the image this agent runs in.
pub struct ThrowawayServer {
    scratch: PathBuf,
    door: Door,
    programs: Vec<String>,
    providers: Vec<PathBuf>,
}

impl ThrowawayServer {
    /// Makes one; nothing is started or written yet.
    #[must_use]
    pub fn new(scratch: impl Into<PathBuf>, door: Door) -> Self {
        let programs = PROGRAMS.map(str::to_owned).to_vec();
        Self { scratch: scratch.into(), door, programs, providers: PROVIDERS.map(PathBuf::from).to_vec() }
    }

    fn run_directory(&self) -> PathBuf {
        self.scratch.join(RUN_DIRECTORY)
    }

    fn init_file(&self) -> PathBuf {
        self.run_directory().join("init.sql")
    }

    fn provider(&self) -> Option<&PathBuf> {
        self.providers.iter().find(|path| path.exists())
    }

    /// The server's arguments. The options of the backup's own server come first: the size of its pages,
    /// its keys; whatever could reach beyond this directory is overridden.
    fn arguments(&self, directory: &str, provider: Option<&Path>) -> Vec<OsString> {
        let with = |name: &str, value: &Path| {
            let mut argument = OsString::from(name);
            argument.push(value);
            argument
        };
        let (data, run) = (self.scratch.join(directory), self.run_directory());
        let mut arguments = vec![
            with("--defaults-file=", &data.join("backup-my.cnf")),
            with("--datadir=", &data),
            with("--socket=", &self.door.socket),
            with("--pid-file=", &run.join("pid")),
            with("--tmpdir=", &run.join("tmp")),
            with("--init-file=", &self.init_file()),
        ];
        let fixed = [
            "--skip-networking",
            "--skip-slave-start",
            "--skip-log-bin",
            "--event-scheduler=DISABLED",
            "--local-infile=0",
            "--max-connections=10",
            // Small: the redo is empty, and what is read here is read once.
            "--innodb-buffer-pool-size=64M",
            "--innodb-log-file-size=24M",
            // What was just unpacked and prepared is in memory: past that, it would be read from the disk again.
            "--loose-innodb-flush-method=fsync",
            "--key-buffer-size=8M",
            "--aria-pagecache-buffer-size=16M",
        ];
        arguments.extend(fixed.map(OsString::from));
        match provider {
            Some(provider) => arguments.extend(galera_arguments(provider, &run)),
            None => arguments.push("--loose-wsrep-on=OFF".into()),
        }
        arguments
    }

    fn make_run_directory(&self, has_galera: bool) -> io::Result<()> {
        let run = self.run_directory();
        for directory in [&run, &run.join("tmp")] {
            DirBuilder::new().mode(0o700).create(directory)?;
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.init_file())?;
        file.write_all(init_text(&self.door.password, has_galera).as_bytes())
    }
}

/// Bound to loopback, on a port that is free, and its cache where it is thrown away: nobody can reach it,
/// it reaches nobody, and it begins a history of its own.
fn galera_arguments(provider: &Path, run: &Path) -> Vec<OsString> {
    let mut library = OsString::from("--wsrep-provider=");
    library.push(provider);
    let mut options = OsString::from("--wsrep-provider-options=gcache.size=1M;gcache.recover=no;gcache.dir=");
    options.push(run);
    options.push(";gmcast.listen_addr=tcp://127.0.0.1:0");
    let fixed = [
        "--wsrep-on=ON",
        "--wsrep-new-cluster",
        "--wsrep-cluster-address=gcomm://",
        "--wsrep-node-address=127.0.0.1",
        "--binlog-format=ROW",
        "--innodb-autoinc-lock-mode=2",
    ];
    [library, options].into_iter().chain(fixed.map(OsString::from)).collect()
}

/// What the server does before it lets anybody in: it makes an account, and takes it out of its files
/// again at once. Its memory keeps the account until it ends, its data never have it, not even when it is
/// killed in the middle: a server that begins again without its own files reads this nowhere.
///
/// `--skip-grant-tables` would need no account, but would accept every other one too.
fn init_text(password: &str, has_galera: bool) -> String {
    let local = if has_galera { "SET SESSION wsrep_on=OFF;\n" } else { "" };
    format!(
        "{local}CREATE OR REPLACE USER `{ACCOUNT}`@localhost IDENTIFIED BY '{password}';\n\
         GRANT ALL ON *.* TO `{ACCOUNT}`@localhost;\n\
         DELETE FROM mysql.global_priv WHERE User = '{ACCOUNT}';\n"
    )
}

#[async_trait]
impl Throwaway for ThrowawayServer {
    async fn boot(&self, directory: &str) -> Result<Box<dyn ThrowawayRun>, PortError> {
        if self.door.socket.as_os_str().len() > MOST_SOCKET_BYTES {
            let what = format!("the path of the socket {} is too long for the system", self.door.socket.display());
            return Err(PortError::new(Reason::Other, what).with_hint("choose a scratch directory with a shorter path"));
        }
        let provider = self.provider();
        self.make_run_directory(provider.is_some()).map_err(|error| {
            let run = self.run_directory();
            PortError::new(Reason::Other, format!("cannot make {} for the throwaway server", run.display()))
                .caused_by(error)
        })?;
        let started = Process::start_first(&self.programs, &self.arguments(directory, provider.map(PathBuf::as_path)));
        let failed = |error| PortError::new(Reason::Other, "cannot start mariadbd").caused_by(error);
        match started.map_err(failed)? {
            Some(process) => Ok(Box::new(Run { process, has_galera: provider.is_some() })),
            None => Err(PortError::new(Reason::Missing, "this image has no mariadbd")
                .with_hint("run the runner in the image of the server the backup was made of")),
        }
    }
}

struct Run {
    process: Process,
    has_galera: bool,
}

#[async_trait]
impl ThrowawayRun for Run {
    fn has_galera(&self) -> bool {
        self.has_galera
    }

    fn terminate(&self) {
        self.process.terminate();
    }

    fn kill(&self) {
        self.process.kill();
    }

    async fn wait(&mut self) -> Result<ServerEnd, PortError> {
        let status = self.process.wait().await.map_err(|error| {
            PortError::new(Reason::Other, "cannot wait for the end of the throwaway server").caused_by(error)
        })?;
        Ok(ServerEnd { exit_ok: status.success(), how: words(status) })
    }

    fn complaints(&self) -> Vec<String> {
        complaints(&self.process.last_lines())
    }

    fn last_lines(&self) -> Vec<String> {
        self.process.last_lines()
    }
}

/// The first errors, of which the others follow, and the last ones; where there are none the last lines.
fn complaints(lines: &[String]) -> Vec<String> {
    let said: Vec<_> = lines.iter().filter(|line| !line.is_empty()).collect();
    let errors: Vec<_> = said.iter().copied().filter(|line| line.contains("[ERROR]")).collect();
    let (first, told) = if errors.is_empty() { (0, said) } else { (COMPLAINTS.min(errors.len()), errors) };
    let last = told.len().saturating_sub(2 * COMPLAINTS - first).max(first);
    told[..first].iter().chain(&told[last..]).map(|line| (*line).clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> ThrowawayServer {
        let door = Door { socket: "/s/run/socket".into(), password: "p".to_owned() };
        ThrowawayServer::new("/s", door)
    }

    #[test]
    fn a_throwaway_server_has_no_network_no_binlog_and_nothing_outside_its_scratch() {
        let arguments = server().arguments("base", None);
        assert_eq!(arguments[0], "--defaults-file=/s/base/backup-my.cnf");
        for wanted in ["--datadir=/s/base", "--skip-networking", "--skip-slave-start", "--event-scheduler=DISABLED"] {
            assert!(arguments.iter().any(|argument| argument == wanted), "{wanted}");
        }
        let outside = |argument: &&OsString| {
            let argument = argument.to_string_lossy();
            argument.contains("=/") && !argument.contains("=/s/")
        };
        assert_eq!(arguments.iter().find(outside), None);
        assert_eq!(arguments.last().unwrap(), "--loose-wsrep-on=OFF");
    }

    #[test]
    fn galera_is_alone_on_loopback_and_begins_anew() {
        let arguments = server().arguments("base", Some(Path::new("/lib/g.so")));
        let options = "--wsrep-provider-options=gcache.size=1M;gcache.recover=no;gcache.dir=/s/run;\
                       gmcast.listen_addr=tcp://127.0.0.1:0";
        for wanted in ["--wsrep-provider=/lib/g.so", options, "--wsrep-new-cluster", "--wsrep-cluster-address=gcomm://"]
        {
            assert!(arguments.iter().any(|argument| argument == wanted), "{wanted}");
        }
    }

    #[test]
    fn the_account_is_out_of_the_files_before_anybody_is_let_in() {
        let text = init_text("secret", true);
        let last = text.lines().last().unwrap();
        assert_eq!(last, "DELETE FROM mysql.global_priv WHERE User = 'mariadb-backup-proof';");
        assert!(text.starts_with("SET SESSION wsrep_on=OFF;\nCREATE OR REPLACE USER"));
    }

    #[test]
    fn the_first_and_the_last_errors_tell_why_and_without_any_the_last_lines() {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let text = "[ERROR] a\n[Note] x\n[ERROR] b\n[Note] y";
        assert_eq!(complaints(&lines(text)), ["[ERROR] a", "[ERROR] b"]);
        let many: Vec<_> = (0..9).map(|n| format!("[ERROR] {n}")).collect();
        assert_eq!(complaints(&many), ["[ERROR] 0", "[ERROR] 1", "[ERROR] 7", "[ERROR] 8"]);
        assert_eq!(complaints(&lines("1\n2\n3\n4\n5\n")), ["2", "3", "4", "5"]);
    }

    #[tokio::test]
    async fn a_socket_with_too_long_a_path_is_said_before_anything_is_made() {
        let directory = tempfile::tempdir().unwrap();
        let scratch = directory.path().join("x".repeat(100));
        let server = ThrowawayServer::new(&scratch, Door::new(&scratch).unwrap());
        assert!(server.boot("base").await.err().unwrap().to_string().contains("too long"));
    }
}
