//! Ring 2: the real agent looks after a real volume and a real bucket.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use mariadb_backup::adapters::store_local::VolumeStore;
use mariadb_backup::model::catalogue::Checksum;
use mariadb_backup::model::manifest::{MANIFEST_FILE, STREAM_FILE, StoredFile, hex};
use mariadb_backup::model::order::{
    CheckOrder, Depth, ExpectedBackup, InventoryOrder, KeepOrder, ORDER_VERSION, OnCorrupt, RunnerOrder, RunnerTask,
    Stores,
};
use mariadb_backup::ports::runner::Store;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::s3_server::{S3Server, open};

const NAME: &str = "base/2026-01-31_23-59-59";
const INFO_FILE: &str = "mariadb_backup_info";

/// A volume with one backup, a bucket without any, and what the catalogue says.
struct World {
    directory: tempfile::TempDir,
    stores: Stores,
    expected: BTreeMap<String, Checksum>,
}

fn stored(bytes: &[u8]) -> StoredFile {
    StoredFile { size: bytes.len() as u64, sha256: hex(&Sha256::digest(bytes)) }
}

/// More than one part of an upload, and no two blocks alike.
fn stream() -> Vec<u8> {
    (0..20_u32 << 20).map(|n| u8::try_from((n >> 3).wrapping_mul(2_654_435_761) >> 24).unwrap()).collect()
}

fn manifest(files: &Value) -> Vec<u8> {
    let document = json!({
        "schema": 1, "backup": NAME, "started": "2026-01-31T23:59:59Z", "finished": "2026-02-01T00:01:29Z",
        "agentVersion": "0.0.0",
        "source": { "namespace": "n", "statefulset": "s", "replicas": 3, "pod": "s-2", "podUid": "u", "node": "w",
                    "claim": "c", "claimUid": "d", "serverImage": "i" },
        "origin": { "serverVersion": "10.11", "toolVersion": "10.11", "gcommUuid": "g", "ibdata1Inode": 1,
                    "ibdata1BirthNanos": null, "position": "5b2c7e4c-f1d0-11ef-8a4c-0242ac110002:4711",
                    "lsn": { "from": 0, "to": 1, "last": 1 } },
        "stream": { "bytes": 1, "members": {} },
        "files": files,
        "desync": { "windowMillis": 0, "beforeMillis": 0, "afterMillis": 0, "resyncMillis": 0 },
        "allowUnsafe": false,
    });
    serde_json::to_vec(&document).unwrap()
}

impl World {
    fn new(server: &S3Server) -> Self {
        let directory = tempfile::tempdir_in("/var/tmp").unwrap();
        let volume = VolumeStore::new(directory.path().join("store"));
        fs::create_dir(directory.path().join("store")).unwrap();
        let (stream, info) = (stream(), b"tool_name = mariadb-backup\n");
        let manifest = manifest(&json!({ STREAM_FILE: stored(&stream), INFO_FILE: stored(info) }));
        let mut pending = volume.begin(&NAME.parse().unwrap(), stream.len() as u64).unwrap();
        let mut file = pending.create(STREAM_FILE).unwrap();
        file.write_all(&stream).unwrap();
        file.make_durable().unwrap();
        drop(file);
        pending.write(INFO_FILE, info).unwrap();
        pending.publish(MANIFEST_FILE, &manifest).unwrap();
        let local = directory.path().join("store").display().to_string();
        let stores = Stores { local: Some(local), s3: Some(server.order()) };
        let expected = BTreeMap::from([
            (format!("{NAME}/{STREAM_FILE}"), Checksum::of(&stored(&stream))),
            (format!("{NAME}/{MANIFEST_FILE}"), Checksum::of(&stored(&manifest))),
        ]);
        Self { directory, stores, expected }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("store").join(NAME).join(name)
    }

    /// Lets a real agent carry out a task, and returns its exit code, its report and its events.
    fn run(&self, task: RunnerTask) -> (i32, Value, Vec<Value>) {
        let order = serde_json::to_string(&RunnerOrder { version: ORDER_VERSION, task }).unwrap();
        let message = self.directory.path().join("message");
        let agent = Command::new(env!("CARGO_BIN_EXE_mariadb-backup-agent"))
            .args(["run", "--order", &order, "--termination-message"])
            .arg(&message)
            .output()
            .unwrap();
        let events = String::from_utf8(agent.stdout).unwrap();
        let word: Value = serde_json::from_slice(&fs::read(&message).unwrap()).unwrap();
        assert!(word["failed"].is_null(), "{word}");
        let events = events.lines().map(|line| serde_json::from_str(line).unwrap());
        (agent.status.code().unwrap(), word["done"].clone(), events.collect())
    }

    fn check(&self, depth: Depth) -> Value {
        let backup = NAME.parse().unwrap();
        let order = CheckOrder {
            stores: self.stores.clone(),
            backups: vec![ExpectedBackup { backup, local: true, s3: true }],
            expected: self.expected.clone(),
            known: Vec::new(),
            depth,
            repair: true,
            on_corrupt: OnCorrupt::Fail,
        };
        self.run(RunnerTask::Check(order)).1
    }

    /// What a check says in letters: of the volume, of the bucket.
    fn verdicts(&self, depth: Depth) -> (String, String) {
        let report = self.check(depth);
        let letters = |store: &str| report[store].as_str().unwrap().to_owned();
        (letters("local"), letters("s3"))
    }

    fn keep(&self, change: impl FnOnce(&mut KeepOrder)) -> Value {
        let mut order = KeepOrder {
            stores: self.stores.clone(),
            remove: Vec::new(),
            upload: Vec::new(),
            download: Vec::new(),
            expected: self.expected.clone(),
            wanted_uploads: Vec::new(),
            limit_secs: None,
        };
        change(&mut order);
        self.run(RunnerTask::Keep(order)).1
    }

    fn upload(&self) -> Value {
        self.keep(|order| order.upload = vec![NAME.parse().unwrap()])
    }

    /// Flips a bit of a file without changing its length, as a bad disk would.
    fn flip(&self, name: &str) {
        let mut bytes = fs::read(self.path(name)).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(self.path(name), bytes).unwrap();
    }
}

fn letters(local: &str, s3: &str) -> (String, String) {
    (local.to_owned(), s3.to_owned())
}

#[test]
fn what_is_damaged_on_the_volume_is_fetched_from_the_bucket() {
    let world = World::new(S3Server::shared());
    assert_eq!(world.upload()["uploaded"], "y");
    assert_eq!(world.verdicts(Depth::Changed), letters("r", "g"));
    assert_eq!(world.verdicts(Depth::Changed), letters("g", "g"));

    world.flip(STREAM_FILE);
    fs::remove_file(world.path(INFO_FILE)).unwrap();
    let report = world.check(Depth::Changed);
    let found = [&report["local"], &report["s3"], &report["repairedCount"], &report["badCount"]];
    assert_eq!(found, [&json!("f"), &json!("g"), &json!(2), &json!(0)]);
    assert!(fs::read(world.path(STREAM_FILE)).unwrap() == stream());
    assert_eq!(world.verdicts(Depth::Full), letters("r", "r"));

    fs::remove_dir_all(world.path("")).unwrap();
    assert_eq!(world.verdicts(Depth::Quick), letters("f", "g"));
    assert_eq!(world.verdicts(Depth::Full), letters("r", "r"));
}

#[test]
fn a_backup_goes_to_the_bucket_and_back_and_is_removed_from_both() {
    let world = World::new(S3Server::shared());
    world.upload();
    let again = world.upload();
    assert_eq!((&again["uploaded"], &again["failedCount"]), (&json!("y"), &json!(0)));
    fs::remove_dir_all(world.path("")).unwrap();
    assert_eq!(world.keep(|order| order.download = vec![NAME.parse().unwrap()])["downloaded"], "y");
    assert!(fs::read(world.path(STREAM_FILE)).unwrap() == stream());

    let (_, report, events) =
        world.run(RunnerTask::Inventory(InventoryOrder { stores: world.stores.clone(), only: None }));
    assert_eq!((&report["localCount"], &report["s3Count"]), (&json!(1), &json!(1)));
    let found: Vec<_> = events.iter().filter(|event| event["kind"] == "found").map(|event| &event["found"]).collect();
    assert_eq!(found.iter().map(|found| &found["store"]).collect::<Vec<_>>(), ["local", "s3"]);
    for found in found {
        let files: BTreeMap<String, Checksum> = serde_json::from_value(found["files"].clone()).unwrap();
        assert_eq!((files, &found["trouble"]), (world.expected.clone(), &Value::Null));
    }

    assert_eq!(world.keep(|order| order.remove = vec![NAME.parse().unwrap()])["removed"], "y");
    assert!(!world.path("").exists());
    assert_eq!(open(world.stores.s3.as_ref().unwrap()).files(&NAME.parse().unwrap()).unwrap(), [""; 0]);
}

#[test]
fn a_damaged_backup_never_reaches_the_bucket() {
    let world = World::new(S3Server::shared());
    world.flip(STREAM_FILE);
    let report = world.upload();
    assert_eq!(report["uploaded"], "n");
    let failed = report["failed"][0].as_str().unwrap();
    assert!(failed.contains(STREAM_FILE) && failed.contains("(SHA-256 "), "{failed}");
    let bucket = open(world.stores.s3.as_ref().unwrap());
    assert_eq!((bucket.backups().unwrap(), bucket.sweep(&[]).unwrap()), (Vec::new(), Vec::new()));
}

#[test]
fn a_bucket_that_is_down_takes_nothing_from_what_the_volume_tells() {
    let mut server = S3Server::start();
    let world = World::new(&server);
    world.upload();
    server.kill();
    assert_eq!(world.verdicts(Depth::Changed), letters("r", "-"));
    let report = world.upload();
    assert_eq!((&report["uploaded"], &report["failedCount"]), (&json!("n"), &json!(2)));
    server.restart();
    assert_eq!(world.verdicts(Depth::Changed), letters("g", "g"));
}
