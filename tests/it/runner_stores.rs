//! Ring 2: a volume with a real S3 that follows it, and S3 alone, behind a network that fails.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;

use mariadb_backup::adapters::store_s3::S3Bucket;
use mariadb_backup::model::backup_id::BackupId;
use mariadb_backup::model::catalogue::Presence;
use mariadb_backup::model::order::{CopyOrder, S3Store, Stores};
use mariadb_backup::model::report::CopyReport;
use mariadb_backup::ports::runner::Store;
use serde_json::Value;

use crate::real_server::{RealServer, image};
use crate::s3_proxy::{Fate, Proxy, Request};
use crate::s3_server::{self, S3Server};

const NAME: &str = "base/2026-01-31_23-59-59";

/// Exit codes as scripts know them.
const DONE: i32 = 0;
const WARNED: i32 = 3;
const FAILED: i32 = 4;

/// The most memory an agent may take, with everything on.
const MEMORY_KIB: u64 = 128 << 10;

/// A server, and a store in a bucket that it reaches through a proxy.
struct Stand {
    server: RealServer,
    proxy: Proxy,
    inside: S3Store,
    bucket: S3Bucket,
}

impl Stand {
    fn new() -> Self {
        let s3 = S3Server::shared();
        let (server, proxy, outside) = (RealServer::start(image()), Proxy::before(&s3.address()), s3.order());
        let keys = server.path("s3");
        fs::create_dir(&keys).unwrap();
        for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
            fs::copy(s3.path("backup").join(name), keys.join(name)).unwrap();
            fs::set_permissions(keys.join(name), fs::Permissions::from_mode(0o644)).unwrap();
        }
        let address = server.forward(proxy.endpoint().trim_start_matches("http://"));
        let inside = S3Store {
            owner: None,
            endpoint: Some(format!("http://{address}")),
            credentials: Some("/mnt/s3".to_owned()),
            ..outside.clone()
        };
        Self { server, proxy, inside, bucket: s3_server::open(&outside) }
    }

    fn order_for_both(&self) -> CopyOrder {
        let order = RealServer::copy_order(NAME);
        CopyOrder { stores: Stores { s3: Some(self.inside.clone()), ..order.stores }, ..order }
    }

    fn order_for_s3(&self, name: &str) -> CopyOrder {
        let stores = Stores { local: None, s3: Some(self.inside.clone()) };
        CopyOrder { stores, ..RealServer::copy_order(name) }
    }

    fn backups_in_s3(&self) -> Vec<String> {
        self.bucket.backups().unwrap().iter().map(BackupId::directory).collect()
    }

    fn s3_bytes(&self, path: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.bucket.open(path).unwrap().0.read_to_end(&mut bytes).unwrap();
        bytes
    }

    fn local_bytes(&self, path: &str) -> Vec<u8> {
        fs::read(self.server.path(&format!("store/{path}"))).unwrap()
    }
}

fn report(word: &Value) -> CopyReport {
    serde_json::from_value(word["done"].clone()).unwrap_or_else(|_| panic!("{word}"))
}

fn is_part(request: &Request) -> bool {
    request.part().is_some()
}

#[test]
fn one_pass_brings_the_same_backup_to_both_stores_in_little_memory() {
    let stand = Stand::new();
    let (mut agent, _gate) = stand.server.copy(stand.order_for_both());
    let mut first = Value::Null;
    assert!(agent.wait_until_event(|event| {
        first = event["report"].clone();
        event["kind"] == "published"
    }));
    let status = fs::read_to_string(format!("/proc/{}/status", agent.pid().unwrap())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
    let (code, word) = agent.end();
    assert_eq!(code, DONE, "{word}");
    let report = report(&word);
    assert_eq!((report.local, report.s3), (Presence::Present, Presence::Present));
    assert_eq!((&first["local"], &first["s3"]), (&"present".into(), &"unfinished".into()));
    assert_eq!(stand.backups_in_s3(), [NAME]);
    for file in stand.bucket.files(&report.backup).unwrap() {
        let path = format!("{NAME}/{file}");
        assert!(stand.s3_bytes(&path) == stand.local_bytes(&path), "{path}");
    }
    assert_eq!(stand.bucket.files(&report.backup).unwrap().len(), 5);
    let peak: u64 = peak.unwrap();
    assert!(peak < MEMORY_KIB, "{peak} KiB");
}

#[test]
fn an_s3_that_dies_in_the_middle_leaves_the_backup_on_the_volume_whole() {
    let stand = Stand::new();
    stand.proxy.rule(|request| if is_part(request) { Fate::CutBody(1 << 20) } else { Fate::Pass });
    let order = CopyOrder { copy_timeout_secs: 20, ..stand.order_for_both() };
    let (agent, _gate) = stand.server.copy(order);
    let (code, word) = agent.end();
    assert_eq!(code, WARNED, "{word}");
    let report = report(&word);
    assert_eq!((report.local, report.s3), (Presence::Present, Presence::Unfinished), "{word}");
    assert!(word["warnings"][0].as_str().unwrap().contains("sync"), "{word}");
    assert!(stand.server.is_synced());
    assert_eq!(stand.backups_in_s3(), [""; 0]);
    assert_eq!(stand.local_bytes(&format!("{NAME}/backup.mbstream.zst")).len() as u64, report.stream.size);
}

#[test]
fn an_s3_that_is_not_there_at_all_costs_a_warning() {
    let stand = Stand::new();
    stand.proxy.rule(|_| Fate::Answer(403, "AccessDenied"));
    let (agent, _gate) = stand.server.copy(stand.order_for_both());
    let (code, word) = agent.end();
    assert_eq!(code, WARNED, "{word}");
    assert_eq!((report(&word).local, report(&word).s3), (Presence::Present, Presence::Absent), "{word}");
}

#[test]
fn sigterm_while_s3_lags_ends_with_the_backup_on_the_volume_alone() {
    let stand = Stand::new();
    stand.proxy.rule(|request| if is_part(request) { Fate::Hold } else { Fate::Pass });
    let (mut agent, _gate) = stand.server.copy(stand.order_for_both());
    assert!(agent.wait_until("published"));
    agent.signal("TERM");
    let (code, word) = agent.end();
    stand.proxy.release();
    assert_eq!(code, WARNED, "{word}");
    assert_eq!((report(&word).local, report(&word).s3), (Presence::Present, Presence::Unfinished), "{word}");
    assert_eq!(stand.backups_in_s3(), [""; 0]);
}

#[test]
fn s3_alone_holds_a_full_backup_and_its_increment() {
    let stand = Stand::new();
    let (agent, gate) = stand.server.copy(stand.order_for_s3(NAME));
    let (code, word) = agent.end();
    drop(gate);
    assert_eq!(code, DONE, "{word}");
    let full = report(&word);
    assert_eq!((full.local, full.s3, full.room), (Presence::Absent, Presence::Present, None));
    stand.server.sql("UPDATE shop.orders SET text = 'new' WHERE id < 100");
    let name = "incr/2026-01-31_23-59-59/2026-02-01_00-00-00";
    let order =
        CopyOrder { parent: Some(full.backup), parent_sha256: Some(full.manifest.sha256), ..stand.order_for_s3(name) };
    let (agent, _gate) = stand.server.copy(order);
    let (code, word) = agent.end();
    assert_eq!((code, report(&word).full_because), (DONE, None), "{word}");
    assert_eq!(stand.backups_in_s3(), [NAME, name]);
    assert!(!stand.server.path("store/base").exists() && !stand.server.path("store/.unfinished").exists());
    assert!(report(&word).stream.size < full.stream.size / 2);
}

#[test]
fn s3_alone_that_dies_in_the_middle_is_a_failed_copy_and_the_replica_is_back() {
    let stand = Stand::new();
    stand.proxy.rule(|request| if is_part(request) { Fate::Answer(403, "AccessDenied") } else { Fate::Pass });
    let (agent, _gate) = stand.server.copy(stand.order_for_s3(NAME));
    let (code, word) = agent.end();
    assert_eq!(code, FAILED, "{word}");
    assert!(stand.server.is_synced());
    assert_eq!(stand.backups_in_s3(), [""; 0]);
}
