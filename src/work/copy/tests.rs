//! A small simulated world with a journal: every effect in order, and any one of them can fail.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use super::*;
use crate::exit_code::ExitCode;
use crate::model::backup_id::BackupId;
use crate::model::galera::Member;
use crate::model::manifest::{Manifest, Source, StoredFile};
use crate::model::order::{ServerAddress, Stores};
use crate::model::outcome::End;
use crate::ports::runner::{
    Account, DataDirectory, Engine, EngineEnd, EngineRun, FileFacts, Identity, Incarnation, KeptSum, PendingBackup,
    Replacement, Server, Store, Volume,
};
use crate::ports::{Clock, EventSink, PortError, Reason};
use crate::work::follow::tests::GrowingFile;
use crate::work::stop;
use crate::work::xbstream::tests::{whole_increment, whole_stream};

/// A full backup that increments build on.
const PARENT: &str = "base/2026-01-01_00-00-00";

const MEMBER: &str = "5b2c7e4c-f1d0-11ef-8a4c-0242ac110002";

pub(super) fn order() -> CopyOrder {
    let text = |text: &str| text.to_owned();
    CopyOrder {
        backup: "base/2026-01-31_23-59-59".parse().unwrap(),
        server: ServerAddress { host: text("10.0.0.7"), port: 3306 },
        datadir: text("/var/lib/mysql"),
        stores: Stores { local: Some(text("/store")), s3: None },
        wanted_uploads: Vec::new(),
        parent: None,
        parent_sha256: None,
        full_because: None,
        drain_secs: 0,
        throttle: 0,
        data_free_bytes: 100,
        scratch: text("/scratch"),
        operator_credentials: text("/operator"),
        backup_credentials: text("/backup"),
        gate: text("gate"),
        source: Source {
            namespace: text("shop"),
            statefulset: text("db"),
            replicas: 3,
            pod: text("db-2"),
            pod_uid: text("u"),
            node: text("n"),
            claim: text("data-db-2"),
            claim_uid: text("c"),
            server_image: text("mariadb"),
        },
        allow_unsafe: false,
        required_space_ratio: 1.2,
        compression_level: 1,
        parallel: 2,
        ftwrl_wait_secs: 60,
        go_ahead_timeout_secs: 60,
        copy_timeout_secs: 600,
        stall_timeout_secs: 30,
        resync_timeout_secs: 60,
    }
}

fn member() -> Member {
    Member {
        ready: true,
        connected: true,
        state: "Synced".to_owned(),
        gcomm_uuid: MEMBER.to_owned(),
        state_uuid: MEMBER.to_owned(),
        lsn: 60,
        last_committed: 4712,
        version: "10.11.19-MariaDB-log".to_owned(),
        datadir: "/var/lib/mysql/".to_owned(),
        ..Member::default()
    }
}

pub(super) fn healthy() -> preflight::Observed {
    preflight::Observed {
        member: member(),
        operator_grants: vec!["GRANT SUPER ON *.* TO `o`@`%`".to_owned()],
        backup_grants: vec!["GRANT RELOAD, PROCESS, BINLOG MONITOR ON *.* TO `b`@`%`".to_owned()],
        tool_version: "mariadb-backup based on MariaDB server 10.11.19-MariaDB".to_owned(),
        data_bytes: 1000,
        files_member_id: Some(MEMBER.to_owned()),
        incarnation: Incarnation { ibdata1_inode: 7, ibdata1_birth_nanos: Some(5) },
        free_bytes: Some(1200),
        data_free_bytes: 100,
        parent: None,
    }
}

/// Everything behind the ports at once.
#[expect(clippy::struct_excessive_bools, reason = "each is one way in which this world can be bad")]
#[derive(Default)]
struct World {
    journal: Mutex<Vec<&'static str>>,
    /// The effect that fails, and how.
    fails: Option<&'static str>,
    desync_count: Mutex<u32>,
    /// How mariadb-backup misbehaves.
    engine: Misbehaviour,
    abandoned: bool,
    restarts: Restart,
    tool_ended: Mutex<bool>,
    files_change_hands: bool,
    /// What the parent's manifest in the store says, and up to where the increment gets.
    parent: Option<Vec<u8>>,
    increment_to: u64,
    since: Mutex<Option<u64>>,
    /// So many pulses break, then one is answered, and so on.
    broken_pulses: u32,
    pulses: Mutex<u32>,
    elapsed: Mutex<Duration>,
    wall_clock_set: Mutex<i64>,
    /// The stream as written, and the paths that were sealed.
    stream: GrowingFile,
    sealed: Mutex<Vec<String>>,
    published: Arc<Mutex<Option<Vec<u8>>>>,
    events: Mutex<Vec<EventKind>>,
    /// Room on the data volume while the tool runs, and whether traffic leaves in time.
    data_volume_fills: bool,
    traffic_stays: bool,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Restart {
    #[default]
    Never,
    DuringCopy,
    AfterCopy,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Misbehaviour {
    #[default]
    None,
    ExitCode,
    NoMark,
    CutStream,
    Hangs,
}

impl World {
    fn act(&self, effect: &'static str) -> Result<(), PortError> {
        self.journal.lock().unwrap().push(effect);
        if self.fails == Some(effect) {
            return Err(PortError::new(Reason::Other, format!("cannot {effect}")));
        }
        Ok(())
    }

    fn has(&self, effect: &str) -> bool {
        self.journal.lock().unwrap().contains(&effect)
    }

    fn next_pulse_breaks(&self) -> bool {
        let mut pulses = self.pulses.lock().unwrap();
        *pulses += 1;
        !pulses.is_multiple_of(self.broken_pulses + 1)
    }

    fn restarted(&self) -> bool {
        match self.restarts {
            Restart::Never => false,
            Restart::DuringCopy => self.has("start"),
            Restart::AfterCopy => *self.tool_ended.lock().unwrap(),
        }
    }
}

#[async_trait]
impl Server for World {
    async fn member(&self) -> Result<Member, PortError> {
        if self.restarted() {
            return Ok(Member { gcomm_uuid: "another".to_owned(), ..member() });
        }
        let desync_count = *self.desync_count.lock().unwrap();
        let state = if desync_count == 0 { "Synced" } else { "Donor/Desynced" }.to_owned();
        Ok(Member { state, desync_count, ..member() })
    }

    async fn pulse(&self) -> Result<String, PortError> {
        if self.next_pulse_breaks() {
            return Err(PortError::new(Reason::Unreachable, "connection reset by peer"));
        }
        Ok(self.member().await?.gcomm_uuid)
    }

    async fn grants(&self, account: Account) -> Result<Vec<String>, PortError> {
        let found = healthy();
        Ok(if account == Account::Operator { found.operator_grants } else { found.backup_grants })
    }

    async fn wait_for_go_ahead(&self, _: &str, _: Duration) -> Result<GoAhead, PortError> {
        self.act("go-ahead")?;
        Ok(if self.abandoned { GoAhead::Abandoned } else { GoAhead::Given })
    }

    async fn wait_for_drain(&self, _: &str, _: Duration) -> Result<bool, PortError> {
        self.act("drain")?;
        Ok(!self.traffic_stays)
    }

    async fn desync_on(&self, _: Duration) -> Result<(), PortError> {
        self.act("desync on")?;
        *self.desync_count.lock().unwrap() = 1;
        Ok(())
    }

    async fn desync_off(&self, gcomm_uuid: &str, _: Duration) -> Result<Identity, PortError> {
        if self.restarted() || gcomm_uuid != MEMBER {
            return Ok(Identity::Other);
        }
        self.act("desync off")?;
        *self.desync_count.lock().unwrap() = 0;
        Ok(Identity::Same)
    }

    async fn end_copy_sessions(&self) -> Result<usize, PortError> {
        self.act("end sessions")?;
        Ok(1)
    }

    async fn close(&self) {
        self.journal.lock().unwrap().push("close");
    }
}

#[async_trait]
impl Clock for World {
    fn now(&self) -> Timestamp {
        let mut set = self.wall_clock_set.lock().unwrap();
        *set += 1;
        // Somebody sets it by a day whenever it is looked at.
        Timestamp::from_second(86_400 * *set).unwrap()
    }

    fn elapsed(&self) -> Duration {
        *self.elapsed.lock().unwrap()
    }

    async fn sleep(&self, time: Duration) {
        *self.elapsed.lock().unwrap() += time;
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
}

impl EventSink for World {
    fn deliver(&self, _: Option<&str>, _: Phase, kind: EventKind) {
        self.events.lock().unwrap().push(kind);
    }
}

impl DataDirectory for World {
    fn data_bytes(&self) -> Result<u64, PortError> {
        Ok(1000)
    }

    fn member_id(&self) -> Result<Option<String>, PortError> {
        let other = self.files_change_hands && self.has("start");
        Ok(Some(if other { "another" } else { MEMBER }.to_owned()))
    }

    fn incarnation(&self) -> Result<Incarnation, PortError> {
        Ok(healthy().incarnation)
    }

    fn free_bytes(&self) -> Result<u64, PortError> {
        Ok(if self.data_volume_fills && self.has("start") { 99 } else { 1 << 40 })
    }
}

impl Volume for World {
    fn room(&self) -> Result<(u64, u64), PortError> {
        Ok((1 << 30, 1 << 31))
    }

    fn open_unfinished(&self, _: &BackupId, _: &str) -> Result<Box<dyn Read + Send>, PortError> {
        self.act("open unfinished")?;
        Ok(self.stream.reader())
    }

    fn seal(&self, _: &BackupId, marks: &BTreeMap<String, String>) -> Result<(), PortError> {
        *self.sealed.lock().unwrap() = marks.keys().cloned().collect();
        Ok(())
    }

    fn sealed(&self, _: &BackupId) -> Result<Option<BTreeMap<String, String>>, PortError> {
        Ok(None)
    }

    fn replace(&self, _: &str) -> Result<Box<dyn Replacement>, PortError> {
        Err(PortError::new(Reason::Forbidden, "nothing is replaced"))
    }

    fn set_aside(&self, _: &BackupId) -> Result<String, PortError> {
        Err(PortError::new(Reason::Forbidden, "nothing is set aside"))
    }
}

impl Store for World {
    fn place(&self) -> String {
        "/store".to_owned()
    }

    fn files(&self, _: &BackupId) -> Result<Vec<String>, PortError> {
        Ok(Vec::new())
    }

    fn facts(&self, _: &str) -> Result<FileFacts, PortError> {
        Ok(FileFacts { size: 1, mark: "mark".to_owned(), kept: KeptSum::None })
    }

    fn remove(&self, _: &BackupId) -> Result<bool, PortError> {
        Ok(false)
    }

    fn sweep(&self, _: &[BackupId]) -> Result<Vec<String>, PortError> {
        self.act("sweep")?;
        Ok(Vec::new())
    }

    fn begin(&self, _: &BackupId, _: u64) -> Result<Box<dyn PendingBackup>, PortError> {
        self.act("begin")?;
        let (fails, stream) = (self.fails, self.stream.clone());
        Ok(Box::new(Pending { published: Arc::clone(&self.published), stream, fails }))
    }

    fn backups(&self) -> Result<Vec<BackupId>, PortError> {
        Ok(Vec::new())
    }

    fn open(&self, path: &str) -> Result<(Box<dyn Read + Send>, u64), PortError> {
        let missing = || PortError::new(Reason::Missing, format!("cannot open {path}"));
        let manifest = self.parent.clone().filter(|_| path == format!("{PARENT}/manifest.json")).ok_or_else(missing)?;
        let size = manifest.len() as u64;
        Ok((Box::new(Cursor::new(manifest)), size))
    }
}

struct Pending {
    published: Arc<Mutex<Option<Vec<u8>>>>,
    stream: GrowingFile,
    fails: Option<&'static str>,
}

impl Pending {
    fn act(&self, effect: &str) -> Result<(), PortError> {
        if self.fails == Some(effect) { Err(PortError::new(Reason::NoSpace, "no room")) } else { Ok(()) }
    }
}

struct Sink {
    file: GrowingFile,
    full: bool,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.full { Err(io::ErrorKind::StorageFull.into()) } else { self.file.write(bytes) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl StoreFile for Sink {
    fn make_durable(&mut self) -> Result<(), PortError> {
        Ok(())
    }
}

impl PendingBackup for Pending {
    fn create(&mut self, _: &str) -> Result<Box<dyn StoreFile>, PortError> {
        self.act("create")?;
        Ok(Box::new(Sink { file: self.stream.clone(), full: self.fails == Some("fill the volume") }))
    }

    fn write(&mut self, _: &str, bytes: &[u8]) -> Result<StoredFile, PortError> {
        self.act("write")?;
        Ok(StoredFile { size: bytes.len() as u64, sha256: "0".repeat(64) })
    }

    fn publish(self: Box<Self>, _: &str, manifest: &[u8]) -> Result<StoredFile, PortError> {
        self.act("publish")?;
        *self.published.lock().unwrap() = Some(manifest.to_vec());
        Ok(StoredFile { size: manifest.len() as u64, sha256: "0".repeat(64) })
    }

    fn discard(self: Box<Self>) -> Result<(), PortError> {
        self.act("discard")
    }
}

struct Tool(Arc<World>);

#[async_trait]
impl Engine for Tool {
    async fn version(&self) -> Result<String, PortError> {
        Ok(healthy().tool_version)
    }

    async fn start(&self, since: Option<u64>) -> Result<Box<dyn EngineRun>, PortError> {
        self.0.act("start")?;
        *self.0.since.lock().unwrap() = since;
        Ok(Box::new(ToolRun { world: Arc::clone(&self.0), stopped: Mutex::new(false) }))
    }
}

struct ToolRun {
    world: Arc<World>,
    stopped: Mutex<bool>,
}

#[async_trait]
impl EngineRun for ToolRun {
    fn stream(&mut self) -> Option<Box<dyn Read + Send>> {
        let mut stream = match *self.world.since.lock().unwrap() {
            None => whole_stream(&[]),
            Some(since) => whole_increment(since, self.world.increment_to),
        };
        if self.world.engine == Misbehaviour::CutStream {
            stream.truncate(stream.len() - 200);
        }
        Some(Box::new(Cursor::new(stream)))
    }

    fn interrupt(&self) {
        self.world.journal.lock().unwrap().push("interrupt");
        *self.stopped.lock().unwrap() = true;
    }

    fn kill(&self) {}

    async fn wait(&mut self) -> Result<EngineEnd, PortError> {
        let hangs = self.world.engine == Misbehaviour::Hangs || self.world.restarts == Restart::DuringCopy;
        if hangs && !*self.stopped.lock().unwrap() {
            std::future::pending::<()>().await;
        }
        *self.world.tool_ended.lock().unwrap() = true;
        let exit_ok = self.world.engine != Misbehaviour::ExitCode;
        let completed = self.world.engine != Misbehaviour::NoMark;
        Ok(EngineEnd { exit_ok, how: "exit code 1".to_owned(), completed, ..EngineEnd::default() })
    }
}

async fn run_in(world: &Arc<World>, stop: stop::Stop) -> Outcome<CopyReport> {
    run_order(&order(), world, stop).await
}

/// The world behind all ports: one volume.
fn ports(world: &Arc<World>) -> RunnerPorts {
    RunnerPorts {
        server: world.clone(),
        engine: Arc::new(Tool(world.clone())),
        data: world.clone(),
        store: world.clone(),
        volume: Some(world.clone()),
        follower: None,
        clock: world.clone(),
        events: world.clone(),
    }
}

async fn run_order(order: &CopyOrder, world: &Arc<World>, stop: stop::Stop) -> Outcome<CopyReport> {
    run(order, &ports(world), stop).await
}

mod chains;
mod runs;
mod stores;
