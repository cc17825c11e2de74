//! Ring 2's world: a real one-node Galera in a Debian root file system, in namespaces of its own,
//! and the real agent beside it as process 1 of its own, as in a container.
//!
//! Inside, `/mnt` is the test's own directory: `data` (the server's files), `store`, `scratch`, the
//! accounts and the agent. Everything ends with the test.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use mariadb_backup::model::order::{CopyOrder, ORDER_VERSION, RunnerOrder, RunnerTask, ServerAddress, Stores};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::Value;

/// Nothing a test waits for takes longer.
const LIMIT: Duration = Duration::from_mins(1);

/// Counts up when what [`RealServer::fill`] makes changes.
const DATA_VERSION: u32 = 1;

/// The name under which the conductor and the runner know the gate.
pub(crate) const GATE: &str = "mariadb-backup";

/// A Debian root file system with a server, and the agent that fits into it.
pub(crate) struct Image {
    rootfs: PathBuf,
    agent: PathBuf,
    /// A data directory with accounts and rows, made once for an image and copied for each test.
    prepared: Mutex<Option<PathBuf>>,
}

pub(crate) fn from_environment(name: &str) -> PathBuf {
    let hint = "`make check` makes what ring 2 needs and sets it";
    PathBuf::from(std::env::var_os(name).unwrap_or_else(|| panic!("{name} is not set; {hint}")))
}

/// The image with MariaDB 10.11.
pub(crate) fn image() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| {
        Image::of(from_environment("GROUND_ROOTFS"), PathBuf::from(env!("CARGO_BIN_EXE_mariadb-backup-agent")))
    })
}

/// The image with MariaDB 10.5, which is older than the machine the agent is built on.
pub(crate) fn old_image() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| Image::of(from_environment("GROUND_ROOTFS_OLD"), from_environment("AGENT_RELEASE")))
}

/// A directory seen as `/mnt` in the image, with a network of its own.
struct Room {
    rootfs: PathBuf,
    directory: PathBuf,
    holder: Child,
}

impl Room {
    fn open(image: &Image, directory: &Path) -> Self {
        let script = "mount --make-rslave / && ip link set lo up && mount -t proc proc $0/proc \
                      && mount --bind $1 $0/mnt && : > $1/agent && mount --bind $2 $0/mnt/agent \
                      && echo ready && exec cat";
        let mut holder = Command::new("unshare")
            .args(["--mount", "--net", "sh", "-c", script])
            .args([&image.rootfs, directory, &image.agent])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare is there");
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "ring 2 needs root: it makes namespaces");
        Self { rootfs: image.rootfs.clone(), directory: directory.to_path_buf(), holder }
    }

    /// A command inside, still to be given its arguments.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        let target = self.holder.id().to_string();
        command.args(["--mount", "--net", "--target", &target, "chroot"]).arg(&self.rootfs).arg(program);
        command
    }

    /// A command inside that is process 1 of its own and takes its children with it.
    fn container(&self, program: &str) -> Command {
        let mut command = self.command("unshare");
        command.args(["--pid", "--fork", "--kill-child", "--propagation=unchanged", "--mount-proc", program]);
        command
    }

    fn shell(&self, script: &str) -> Output {
        self.command("sh").args(["-euc", script]).output().unwrap()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        end(&mut self.holder);
    }
}

/// Ends a child and waits for it; it may be gone already.
fn end(child: &mut Child) {
    let _gone = child.kill();
    let _gone = child.wait();
}

/// The only child of a process that forks once and waits.
fn child_of(pid: u32) -> u32 {
    wait_for("a child process", || child_if_any(pid))
}

fn child_if_any(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_whitespace().next().and_then(|pid| pid.parse().ok())
}

/// Sends a signal to one process.
fn signal(pid: u32, name: &str) {
    assert!(Command::new("kill").args(["-s", name, &pid.to_string()]).status().unwrap().success());
}

/// Asks until there is an answer.
pub(crate) fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < LIMIT, "waited {LIMIT:?} for {what}");
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// A running server.
pub(crate) struct RealServer {
    process: Child,
    room: Room,
    _directory: tempfile::TempDir,
}

impl RealServer {
    /// Starts a server with `shop.orders` in it.
    pub(crate) fn start(image: &Image) -> Self {
        let directory = tempfile::tempdir_in("/var/tmp").unwrap();
        image.copy_prepared_data(&directory.path().join("data"));
        Self::start_in(image, directory)
    }

    fn start_in(image: &Image, directory: tempfile::TempDir) -> Self {
        let room = Room::open(image, directory.path());
        let made = room.shell(
            "chmod 755 /mnt; mkdir -p /mnt/store /mnt/scratch /mnt/operator /mnt/backup
             chown mysql:mysql /mnt /mnt/store /mnt/scratch
             printf operator > /mnt/operator/username; printf 'o p' > /mnt/operator/password
             printf backup > /mnt/backup/username; printf 'b\"#\\\\p' > /mnt/backup/password",
        );
        assert!(made.status.success(), "{made:?}");
        let process = run_server(&room);
        let mut server = Self { process, room, _directory: directory };
        server.wait_until_synced();
        server
    }

    /// Ends the server in good order, runs a script on its files as root, and starts it again.
    pub(crate) fn restart_after(&mut self, script: &str) {
        self.shell("mariadb-admin --no-defaults -S /mnt/s shutdown");
        self.process.wait().unwrap();
        self.shell(script);
        self.process = run_server(&self.room);
        self.wait_until_synced();
    }

    fn wait_until_synced(&mut self) {
        wait_for("the server", || {
            if let Some(status) = self.process.try_wait().unwrap() {
                panic!("the server ended with {status}: {}", fs::read_to_string(self.path("server.log")).unwrap());
            }
            (self.try_sql("SHOW STATUS LIKE 'wsrep_local_state_comment'")?.ends_with("Synced")).then_some(())
        });
    }

    /// Makes an address of this machine reachable inside, and returns the one it has there.
    pub(crate) fn forward(&self, target: &str) -> String {
        let network = fs::File::open(format!("/proc/{}/ns/net", self.room.holder.id())).unwrap();
        // A socket is of the network its maker was in, whoever uses it later.
        let bind = move || {
            move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            TcpListener::bind("127.0.0.1:0").unwrap()
        };
        let listener = std::thread::spawn(bind).join().unwrap();
        let (address, target) = (listener.local_addr().unwrap(), target.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A server that is gone refuses, and so does this.
                let Ok(server) = TcpStream::connect(&target) else { continue };
                let (back, forth) = ((server.try_clone(), client.try_clone()), (client, server));
                let back = (back.0.unwrap(), back.1.unwrap());
                std::thread::spawn(move || pass(back.0, back.1));
                std::thread::spawn(move || pass(forth.0, forth.1));
            }
        });
        address.to_string()
    }

    /// Makes the accounts and the rows every test finds.
    fn fill(&self) {
        self.sql(
            "CREATE USER operator@'%' IDENTIFIED BY 'o p'; GRANT SUPER ON *.* TO operator@'%';
             CREATE USER backup@'%' IDENTIFIED BY 'b\"#\\\\p';
             GRANT RELOAD, PROCESS, BINLOG MONITOR ON *.* TO backup@'%';
             CREATE DATABASE shop; CREATE TABLE shop.orders (id INT PRIMARY KEY AUTO_INCREMENT, text VARBINARY(4000))",
        );
        let noise = ["SHA2(RAND(), 512)"; 8].join(", ");
        self.sql(&format!("USE shop; INSERT INTO orders (text) SELECT UNHEX(CONCAT({noise})) FROM seq_1_to_24000"));
    }

    fn try_sql(&self, statement: &str) -> Option<String> {
        let output = self.room.command("mariadb").args(["--no-defaults", "-S", "/mnt/s", "-NBe", statement]).output();
        let output = output.unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim_end().to_owned())
    }

    /// Runs SQL as root and returns what it prints.
    pub(crate) fn sql(&self, statement: &str) -> String {
        self.try_sql(statement).unwrap_or_else(|| panic!("{statement} failed"))
    }

    /// Whether it keeps up with the group again.
    pub(crate) fn is_synced(&self) -> bool {
        let status = self.sql("SHOW STATUS WHERE Variable_name IN ('wsrep_desync_count','wsrep_local_state_comment')");
        ["wsrep_desync_count\t0", "wsrep_local_state_comment\tSynced"].iter().all(|line| status.contains(line))
    }

    /// The test's directory, from outside.
    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.room.directory.join(below)
    }

    /// Runs a shell script inside, as root.
    pub(crate) fn shell(&self, script: &str) {
        let output = self.room.shell(script);
        assert!(output.status.success(), "{script}: {output:?}");
    }

    /// A command inside, as root, still to be given its arguments.
    pub(crate) fn inside(&self, program: &str) -> Command {
        self.room.command(program)
    }

    /// Ends the server as a power loss would.
    pub(crate) fn kill(&mut self) {
        signal(child_of(self.process.id()), "KILL");
        self.process.wait().unwrap();
    }

    /// A session that keeps what it has taken until it is dropped.
    pub(crate) fn session(&self) -> Session {
        let mut process = self
            .inside("mariadb")
            .args(["--no-defaults", "-S", "/mnt/s", "-NBn"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        Session { process, input, output }
    }

    /// An order to copy this server.
    pub(crate) fn copy_order(backup: &str) -> CopyOrder {
        let source = serde_json::from_value(serde_json::json!({
            "namespace": "shop", "statefulset": "db", "replicas": 1, "pod": "db-0", "podUid": "u", "node": "n",
            "claim": "data-db-0", "claimUid": "c", "serverImage": "mariadb"
        }));
        CopyOrder {
            backup: backup.parse().unwrap(),
            server: ServerAddress { host: "127.0.0.1".to_owned(), port: 3306 },
            datadir: "/mnt/data".to_owned(),
            stores: Stores { local: Some("/mnt/store".to_owned()), s3: None },
            wanted_uploads: Vec::new(),
            parent: None,
            parent_sha256: None,
            full_because: None,
            drain_secs: 0,
            throttle: 0,
            data_free_bytes: 0,
            scratch: "/mnt/scratch".to_owned(),
            operator_credentials: "/mnt/operator".to_owned(),
            backup_credentials: "/mnt/backup".to_owned(),
            gate: GATE.to_owned(),
            source: source.unwrap(),
            allow_unsafe: false,
            required_space_ratio: 1.0,
            compression_level: 1,
            parallel: 2,
            ftwrl_wait_secs: 50,
            go_ahead_timeout_secs: 50,
            copy_timeout_secs: 300,
            stall_timeout_secs: 60,
            resync_timeout_secs: 30,
        }
    }

    /// Starts the agent with an order; `before` is a shell command that runs first, as root.
    pub(crate) fn agent(&self, task: RunnerTask, before: &str) -> Agent {
        let order = serde_json::to_string(&RunnerOrder { version: ORDER_VERSION, task }).unwrap();
        // The message is a file that is there already, as Kubernetes mounts it.
        self.shell(": > /mnt/message; chmod 666 /mnt/message");
        let run = "exec setpriv --reuid=mysql --regid=mysql --clear-groups /mnt/agent run \
                   --termination-message /mnt/message --order \"$0\"";
        let log = fs::File::create(self.path("agent.log")).unwrap();
        let mut process = self
            .room
            .container("sh")
            .args(["-euc", &format!("{before}\n{run}"), &order])
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let events = BufReader::new(process.stdout.take().unwrap());
        Agent { process, events, message: self.path("message") }
    }

    /// Starts a copy with an open gate.
    pub(crate) fn copy(&self, order: CopyOrder) -> (Agent, Session) {
        let mut gate = self.closed_gate();
        let mut agent = self.agent(RunnerTask::Copy(Box::new(order)), "");
        if agent.wait_until("ready") {
            gate.open_gate();
        }
        (agent, gate)
    }

    /// The conductor's side of the gate.
    pub(crate) fn closed_gate(&self) -> Session {
        let mut session = self.session();
        assert_eq!(session.ask(&format!("SELECT GET_LOCK('{GATE}', 0)")), "1");
        session
    }
}

impl Drop for RealServer {
    fn drop(&mut self) {
        // With its change of user the server lost the signal it would get at its parent's end.
        if let Some(server) = child_if_any(self.process.id()) {
            signal(server, "KILL");
        }
        end(&mut self.process);
    }
}

impl Image {
    /// An agent in a root file system.
    pub(crate) fn of(rootfs: PathBuf, agent: PathBuf) -> Self {
        Self { rootfs, agent, prepared: Mutex::default() }
    }

    fn copy_prepared_data(&self, target: &Path) {
        let mut prepared = self.prepared.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let data = prepared.get_or_insert_with(|| self.prepared_data());
        let copied = Command::new("cp").args(["-a", "--reflink=auto"]).args([data.as_path(), target]).status();
        assert!(copied.unwrap().success());
    }

    /// Finds what an earlier run has made for this image, or makes it.
    fn prepared_data(&self) -> PathBuf {
        let image = self.rootfs.file_name().unwrap().to_str().unwrap();
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("data-{DATA_VERSION}-{image}"));
        if !place.exists() {
            let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
            self.prepare_data(&directory.path().join("data"));
            // Whole or not at all, as others may be looking.
            let _made_meanwhile = fs::rename(directory.path().join("data"), &place);
        }
        place
    }

    /// Makes a data directory with two accounts and some megabytes that do not compress.
    fn prepare_data(&self, target: &Path) {
        let directory = tempfile::tempdir_in("/var/tmp").unwrap();
        let room = Room::open(self, directory.path());
        let made = room.shell(
            "chmod 755 /mnt; mkdir /mnt/data; chown mysql:mysql /mnt /mnt/data
             mariadb-install-db --no-defaults --user=mysql --datadir=/mnt/data --innodb-log-file-size=24M \
               --auth-root-authentication-method=normal --skip-test-db --force",
        );
        assert!(made.status.success(), "{made:?}");
        drop(room);
        let mut server = RealServer::start_in(self, directory);
        server.fill();
        server.shell("mariadb-admin --no-defaults -S /mnt/s shutdown");
        server.process.wait().unwrap();
        let copied = Command::new("cp").arg("-a").args([server.path("data").as_path(), target]).status();
        assert!(copied.unwrap().success());
    }
}

/// Starts the server on what is in `data`.
fn run_server(room: &Room) -> Child {
    let log = fs::OpenOptions::new().create(true).append(true).open(room.directory.join("server.log")).unwrap();
    room.container("mariadbd")
        .args(["--no-defaults", "--user=mysql", "--datadir=/mnt/data", "--socket=/mnt/s", "--port=3306"])
        .args(["--bind-address=127.0.0.1", "--binlog-format=ROW", "--innodb-autoinc-lock-mode=2"])
        .args(["--innodb-buffer-pool-size=64M", "--innodb-log-file-size=24M", "--innodb-flush-method=fsync"])
        .args(["--wsrep-on=ON", "--wsrep-provider=/usr/lib/galera/libgalera_smm.so", "--wsrep-new-cluster"])
        .args(["--wsrep-cluster-address=gcomm://", "--wsrep-node-address=127.0.0.1"])
        .args(["--wsrep-provider-options=gcache.size=4M", "--wsrep-sst-method=mariabackup"])
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// Hands bytes on until one end is gone, which then goes for the other end too.
fn pass(mut from: TcpStream, mut to: TcpStream) {
    let _broke = std::io::copy(&mut from, &mut to);
    let _gone = (from.shutdown(Shutdown::Read), to.shutdown(Shutdown::Write));
}

/// A client session.
pub(crate) struct Session {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Session {
    /// Sends a statement that answers with one line.
    pub(crate) fn ask(&mut self, statement: &str) -> String {
        writeln!(self.input, "{statement};").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Opens the gate as the conductor does.
    pub(crate) fn open_gate(&mut self) {
        assert_eq!(self.ask(&format!("SELECT GET_LOCK('{GATE}.go', 0)")), "1");
        assert_eq!(self.ask(&format!("SELECT RELEASE_LOCK('{GATE}')")), "1");
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        end(&mut self.process);
    }
}

/// A running agent.
pub(crate) struct Agent {
    process: Child,
    events: BufReader<ChildStdout>,
    message: PathBuf,
}

impl Agent {
    /// Reads events until one of that kind, or until the end.
    pub(crate) fn wait_until(&mut self, kind: &str) -> bool {
        self.wait_until_event(|event| event["kind"] == kind)
    }

    /// Reads events until the wanted one, or until the end.
    pub(crate) fn wait_until_event(&mut self, mut wanted: impl FnMut(&Value) -> bool) -> bool {
        let mut line = String::new();
        while self.events.read_line(&mut line).unwrap() > 0 {
            if wanted(&serde_json::from_str(&line).unwrap()) {
                return true;
            }
            line.clear();
        }
        false
    }

    /// Its number outside; `None` when it ended too soon to be seen.
    pub(crate) fn pid(&mut self) -> Option<u32> {
        let parent = self.process.id();
        wait_for("the agent", || match child_if_any(parent) {
            Some(child) => Some(Some(child)),
            None => self.process.try_wait().unwrap().map(|_| None),
        })
    }

    /// Sends it a signal.
    pub(crate) fn signal(&mut self, name: &str) {
        signal(self.pid().expect("it has not ended yet"), name);
    }

    /// Waits for its end and returns its exit code and its last word.
    pub(crate) fn end(mut self) -> (i32, Value) {
        let mut rest = String::new();
        self.events.read_to_string(&mut rest).unwrap();
        let code = self.process.wait().unwrap().code().unwrap_or(-1);
        let word = fs::read_to_string(&self.message).unwrap();
        (code, serde_json::from_str(&word).unwrap_or(Value::Null))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        end(&mut self.process);
    }
}
