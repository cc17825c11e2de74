//! A store in memory, whole and damaged.

use std::io::{Cursor, Read};
use std::sync::Mutex;

use async_trait::async_trait;
use jiff::Timestamp;
use sha2::Digest;

use super::*;
use crate::model::catalogue::Checksum;
use crate::model::manifest::{
    DesyncTimes, LsnRange, MANIFEST_SCHEMA, Manifest, Origin, Source, StoredFile, Stream, hex,
};
use crate::model::order::{Depth, OnCorrupt, Stores};
use crate::ports::runner::{FileFacts, PendingBackup};
use crate::work::stop;

const NAME: &str = "base/2026-01-31_23-59-59";
const ORIGINAL: &str = "base/2025-01-31_23-59-59";

#[derive(Default)]
struct MemoryStore(Mutex<BTreeMap<String, Vec<u8>>>);

impl Store for MemoryStore {
    fn place(&self) -> String {
        "/store".to_owned()
    }

    fn files(&self, _: &BackupId) -> Result<Vec<String>, PortError> {
        Ok(Vec::new())
    }

    fn facts(&self, _: &str) -> Result<FileFacts, PortError> {
        Err(PortError::new(Reason::Missing, "nothing"))
    }

    fn remove(&self, _: &BackupId) -> Result<bool, PortError> {
        Ok(false)
    }

    fn sweep(&self, _: &[BackupId]) -> Result<Vec<String>, PortError> {
        Ok(Vec::new())
    }

    fn begin(&self, _: &BackupId, _: u64) -> Result<Box<dyn PendingBackup>, PortError> {
        Err(PortError::new(Reason::Forbidden, "read-only"))
    }

    fn backups(&self) -> Result<Vec<BackupId>, PortError> {
        let files = self.0.lock().unwrap();
        if files.is_empty() {
            return Err(PortError::new(Reason::Missing, "cannot find the store"));
        }
        let manifests = files.keys().filter(|path| path.ends_with("manifest.json"));
        Ok(manifests.filter_map(|path| Some(BackupId::of_path(path)?.0)).collect())
    }

    fn open(&self, path: &str) -> Result<(Box<dyn Read + Send>, u64), PortError> {
        let bytes = self.0.lock().unwrap().get(path).cloned();
        let bytes = bytes.ok_or_else(|| PortError::new(Reason::Missing, "cannot open"))?;
        let size = bytes.len() as u64;
        Ok((Box::new(Cursor::new(bytes)), size))
    }
}

struct RealClock;

#[async_trait]
impl Clock for RealClock {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    async fn sleep(&self, _: Duration) {
        tokio::task::yield_now().await;
    }
}

struct NoEvents;

impl EventSink for NoEvents {
    fn send(&self, _: Phase, _: EventKind) {}
}

fn stored(bytes: &[u8]) -> StoredFile {
    StoredFile { size: bytes.len() as u64, sha256: hex(&sha2::Sha256::digest(bytes)) }
}

fn manifest(backup: &str, files: &[(&str, &[u8])]) -> Vec<u8> {
    let text = String::new;
    let source = Source {
        namespace: text(),
        statefulset: text(),
        replicas: 3,
        pod: text(),
        pod_uid: text(),
        node: text(),
        claim: text(),
        claim_uid: text(),
        server_image: text(),
    };
    let origin = Origin {
        server_version: text(),
        tool_version: text(),
        gcomm_uuid: text(),
        ibdata1_inode: 1,
        ibdata1_birth_nanos: None,
        position: "5b2c7e4c-f1d0-11ef-8a4c-0242ac110002:1".parse().unwrap(),
        lsn: LsnRange { from: 0, to: 1, last: 1 },
    };
    serde_json::to_vec(&Manifest {
        schema: MANIFEST_SCHEMA,
        backup: backup.parse().unwrap(),
        started: Timestamp::UNIX_EPOCH,
        finished: Timestamp::UNIX_EPOCH,
        agent_version: text(),
        source,
        origin,
        stream: Stream { bytes: 1, members: BTreeMap::new() },
        files: files.iter().map(|(name, bytes)| ((*name).to_owned(), stored(bytes))).collect(),
        desync: DesyncTimes::default(),
        allow_unsafe: false,
        parent: None,
        full_because: None,
    })
    .unwrap()
}

/// A store with a backup of ours and one of the original, and the catalogue of both.
fn world() -> (MemoryStore, CheckOrder) {
    let (stream, info) = (vec![7; 3 << 20], b"info".to_vec());
    let manifest = manifest(NAME, &[("backup.mbstream.zst", &stream), ("mariadb_backup_info", &info)]);
    let md5 = "5d41402abc4b2a76b9719d911017c592".to_owned();
    let original = Checksum { checksum: md5, algorithm: None, size: None };
    let expected = BTreeMap::from([
        (format!("{NAME}/backup.mbstream.zst"), Checksum::of(&stored(&stream))),
        (format!("{NAME}/manifest.json"), Checksum::of(&stored(&manifest))),
        (format!("{ORIGINAL}/backup.stream.gz"), original),
    ]);
    let files = BTreeMap::from([
        (format!("{NAME}/backup.mbstream.zst"), stream),
        (format!("{NAME}/mariadb_backup_info"), info),
        (format!("{NAME}/manifest.json"), manifest),
        (format!("{ORIGINAL}/backup.stream.gz"), b"hello".to_vec()),
    ]);
    let known = vec![NAME.parse().unwrap(), ORIGINAL.parse().unwrap()];
    (
        MemoryStore(Mutex::new(files)),
        CheckOrder {
            stores: Stores { local: Some("/store".to_owned()), s3: None },
            backups: Vec::new(),
            expected,
            known,
            depth: Depth::Full,
            repair: false,
            on_corrupt: OnCorrupt::Fail,
        },
    )
}

async fn check(store: MemoryStore, order: CheckOrder) -> Result<CheckReport, CheckError> {
    let (_stopper, stop) = stop::channel();
    let ports = CheckPorts { store: Arc::new(store), clock: Arc::new(RealClock), events: Arc::new(NoEvents) };
    super::check(order, &ports, stop).await
}

async fn findings(change: impl FnOnce(&mut BTreeMap<String, Vec<u8>>, &mut CheckOrder)) -> Vec<String> {
    let (store, mut order) = world();
    change(&mut store.0.lock().unwrap(), &mut order);
    let report = check(store, order).await.unwrap();
    assert_eq!(report.bad.len(), report.bad_count as usize);
    report.bad
}

#[tokio::test]
async fn whole_backups_of_both_kinds_are_good() {
    let (store, order) = world();
    store.0.lock().unwrap().insert("base/2026-02-01_00-00-00/manifest.json".to_owned(), Vec::new());
    let report = check(store, order).await.unwrap();
    let good = vec![ORIGINAL.parse().unwrap(), NAME.parse().unwrap()];
    let unlisted = vec!["base/2026-02-01_00-00-00".parse().unwrap()];
    assert_eq!((&report.good, &report.bad, &report.unlisted), (&good, &Vec::new(), &unlisted));
    assert!(report.bytes > 3 << 20);
}

#[tokio::test]
async fn every_kind_of_damage_is_named() {
    let stream = format!("{NAME}/backup.mbstream.zst");
    let flipped = findings(|files, _| files.get_mut(&stream).unwrap()[12345] ^= 1).await;
    assert_eq!(flipped, [format!("{stream}: its bytes are not the ones that were recorded")]);
    let shorter = findings(|files, _| files.get_mut(&stream).unwrap().truncate(5)).await;
    assert_eq!(shorter, [format!("{stream}: is 5 bytes long, not 3145728")]);
    let longer = findings(|files, _| files.get_mut(&stream).unwrap().push(0)).await;
    assert_eq!(longer, [format!("{stream}: is 3145729 bytes long, not 3145728")]);
    let info = format!("{NAME}/mariadb_backup_info");
    let missing = findings(|files, _| drop(files.remove(&info))).await;
    assert_eq!(missing, [format!("{info}: is missing")]);
    let original = format!("{ORIGINAL}/backup.stream.gz");
    let other = findings(|files, _| files.insert(original.clone(), b"hellO".to_vec()).map_or((), drop)).await;
    assert_eq!(other, [format!("{original}: its bytes are not the ones that were recorded")]);
}

#[tokio::test]
async fn a_manifest_that_disagrees_is_named() {
    let path = format!("{NAME}/manifest.json");
    let replace = |new: Vec<u8>| {
        let path = path.clone();
        findings(move |files, order| {
            order.expected.insert(path.clone(), Checksum::of(&stored(&new)));
            files.insert(path, new);
        })
    };
    let stream = format!("{NAME}/backup.mbstream.zst");
    let disagrees = replace(manifest(NAME, &[("backup.mbstream.zst", b"other")])).await;
    assert_eq!(disagrees, [format!("{stream}: the catalogue and the backup's manifest disagree about it")]);
    let of_another = replace(manifest(ORIGINAL, &[])).await;
    assert_eq!(of_another, [format!("{path}: is the manifest of 2025-01-31_23-59-59")]);
    let outside = replace(manifest(NAME, &[("../x", b"")])).await;
    assert_eq!(outside, [format!("{path}: lists \"../x\", which is no file of a backup")]);
    assert_eq!(replace(b"{".to_vec()).await.len(), 1);
}

#[tokio::test]
async fn a_store_that_is_not_there_is_no_such_store() {
    let (_, order) = world();
    let error = check(MemoryStore::default(), order).await.unwrap_err();
    assert_eq!(error.code(), ExitCode::NotFound);
}
