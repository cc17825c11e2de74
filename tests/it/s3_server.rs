//! Ring 2's S3: a real SeaweedFS on this machine's own address, ended with the test.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mariadb_backup::adapters::store_s3::S3Bucket;
use mariadb_backup::model::order::S3Store;
use mariadb_backup::ports::runner::Store;
use tokio::runtime::Runtime;

use crate::real_server::{from_environment, wait_for};

/// The bucket every server has.
pub(crate) const BUCKET: &str = "backups";

/// The secret key of every account.
pub(crate) const SECRET: &str = "a secret nobody may see";

/// The ports SeaweedFS opens, by flag; the first is the one that is asked.
const PORTS: [&str; 9] = [
    "s3.port",
    "s3.port.https",
    "s3.port.grpc",
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
];

/// Ends the server when the test's end of the pipe is closed, however the test ends. Unless it was
/// told to keep them, the server's files go too: a server that tests share is never dropped.
const KEEPER: &str = "\"$@\" & server=$!; read -r word; kill -9 $server; wait $server; \
                      test \"$word\" = keep || rm -rf \"$0\"";

/// The runtime the adapter needs.
pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap())
}

/// Opens a store as the agent does.
pub(crate) fn open(order: &S3Store) -> S3Bucket {
    let _inside = runtime().enter();
    S3Bucket::open(order).unwrap()
}

/// A running server.
pub(crate) struct S3Server {
    directory: tempfile::TempDir,
    ports: Vec<u16>,
    flags: Vec<String>,
    keeper: Child,
}

impl S3Server {
    /// The server that tests share which do not touch it but through a prefix of their own.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<S3Server> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Starts one for a test alone.
    pub(crate) fn start() -> Self {
        Self::start_with(|_| Vec::new())
    }

    /// Starts one with more flags, made from the directory it may use.
    pub(crate) fn start_with(flags: impl FnOnce(&Path) -> Vec<String>) -> Self {
        let directory = tempfile::tempdir_in("/var/tmp").unwrap();
        let root = directory.path();
        fs::create_dir(root.join("data")).unwrap();
        for (account, actions) in
            [("backup", r#""Admin", "Read", "Write", "List", "Tagging""#), ("reader", r#""Read", "List""#)]
        {
            let keys = root.join(account);
            fs::create_dir(&keys).unwrap();
            fs::write(keys.join("AWS_ACCESS_KEY_ID"), account).unwrap();
            fs::write(keys.join("AWS_SECRET_ACCESS_KEY"), SECRET).unwrap();
            fs::write(root.join(format!("{account}.identity")), identity(account, actions)).unwrap();
        }
        let identities =
            ["backup", "reader"].map(|account| fs::read_to_string(root.join(format!("{account}.identity"))).unwrap());
        fs::write(root.join("s3.json"), format!(r#"{{"identities": [{}]}}"#, identities.join(", "))).unwrap();
        let flags = flags(root);
        let ports = free_ports(PORTS.len());
        let keeper = spawn(root, &ports, &flags);
        let server = Self { directory, ports, flags, keeper };
        server.wait_until_it_serves();
        server
    }

    /// Its address.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0])
    }

    /// Its address with TLS, when it was started for that.
    pub(crate) fn tls_address(&self) -> String {
        format!("127.0.0.1:{}", self.ports[1])
    }

    /// A file of this server's.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A store on it under a prefix nobody else uses.
    pub(crate) fn order(&self) -> S3Store {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        S3Store {
            owner: None,
            endpoint: Some(format!("http://{}", self.address())),
            bucket: BUCKET.to_owned(),
            prefix: format!("test/{}", COUNT.fetch_add(1, Ordering::Relaxed)),
            region: "us-east-1".to_owned(),
            path_style: true,
            checksums_when_required: true,
            max_parts: 10_000,
            bytes_per_sec: 0,
            credentials: Some(self.path("backup").display().to_string()),
            ca_file: None,
        }
    }

    /// Kills it.
    pub(crate) fn kill(&mut self) {
        if let Some(mut pipe) = self.keeper.stdin.take() {
            pipe.write_all(b"keep\n").unwrap();
        }
        self.keeper.wait().unwrap();
    }

    /// Starts it again where it was, with what it had.
    pub(crate) fn restart(&mut self) {
        self.keeper = spawn(self.directory.path(), &self.ports, &self.flags);
        self.wait_until_it_serves();
    }

    fn wait_until_it_serves(&self) {
        wait_for("the S3 server", || answers_healthz(&self.address()).then_some(()));
        let store = open(&self.order());
        wait_for("the bucket", || store.backups().ok());
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn identity(account: &str, actions: &str) -> String {
    format!(
        r#"{{"name": "{account}", "actions": [{actions}], "credentials": [{{"accessKey": "{account}", "secretKey": "{SECRET}"}}]}}"#
    )
}

/// Ports that were free a moment ago.
fn free_ports(count: usize) -> Vec<u16> {
    let held: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    held.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

fn spawn(root: &Path, ports: &[u16], flags: &[String]) -> Child {
    let log = fs::OpenOptions::new().create(true).append(true).open(root.join("server.log")).unwrap();
    let has_tls = flags.iter().any(|flag| flag.starts_with("-s3.cert.file"));
    let used = |flag: &&str| has_tls || *flag != "s3.port.https";
    let ports = PORTS.iter().zip(ports).filter(|(flag, _)| used(flag)).map(|(flag, port)| format!("-{flag}={port}"));
    let data = root.join("data");
    let config = root.join("s3.json");
    Command::new("sh")
        .args(["-c", KEEPER])
        .arg(root)
        .arg(from_environment("GROUND_S3"))
        .args(["mini", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-admin.ui=false", "-webdav=false"])
        .args(["-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.autoCreateBucket=false", "-master.telemetry=false"])
        .arg(format!("-dir={}", data.display()))
        .arg(format!("-s3.config={}", config.display()))
        .arg(format!("-bucket={BUCKET}"))
        .args(ports)
        .args(flags)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", root)
        .current_dir(root)
        .stdin(Stdio::piped())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .expect("there is a shell")
}

fn answers_healthz(address: &str) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.0 200") || answer.starts_with("HTTP/1.1 200"))
}
