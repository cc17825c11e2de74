//! Ring 2: the real agent reads a real backup, whole and damaged.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;

use mariadb_backup::model::catalogue::{Catalogue, Checksum};
use mariadb_backup::model::order::{CheckOrder, Depth, OnCorrupt, RunnerTask, Stores};
use mariadb_backup::model::report::CopyReport;
use serde_json::Value;

use crate::real_server::{RealServer, image};

const NAME: &str = "base/2026-01-31_23-59-59";

/// Has a real backup made, and returns what a catalogue says of it.
fn backed_up(server: &RealServer) -> Catalogue {
    let (agent, _gate) = server.copy(RealServer::copy_order(NAME));
    let (code, word) = agent.end();
    assert_eq!(code, 0, "{word}");
    let report: CopyReport = serde_json::from_value(word["done"].clone()).unwrap();
    let mut catalogue = Catalogue::default();
    catalogue.enter(&report);
    catalogue
}

/// Lets a real agent check a store, and returns its last word.
fn check(server: &RealServer, expected: &BTreeMap<String, Checksum>, depth: Depth) -> Value {
    let order = CheckOrder {
        stores: Stores { local: Some("/mnt/store".to_owned()), s3: None },
        backups: Vec::new(),
        expected: expected.clone(),
        known: Vec::new(),
        depth,
        repair: false,
        on_corrupt: OnCorrupt::Fail,
    };
    let (code, word) = server.agent(RunnerTask::Check(order), "").end();
    assert_eq!(code, 0, "{word}");
    word["done"].clone()
}

/// Flips a bit without changing the file's length, as a bad disk would.
fn flip(server: &RealServer, path: &str) {
    let file = fs::File::options().read(true).write(true).open(server.path(&format!("store/{path}"))).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 12345).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 12345).unwrap();
}

#[test]
fn a_flipped_bit_is_found_and_a_whole_backup_is_good() {
    let server = RealServer::start(image());
    let files = backed_up(&server).files;
    let report = check(&server, &files, Depth::Full);
    assert_eq!((&report["good"], &report["badCount"]), (&Value::from(vec![NAME]), &Value::from(0)));

    let stream = format!("{NAME}/backup.mbstream.zst");
    flip(&server, &stream);
    let report = check(&server, &files, Depth::Full);
    let bad = report["bad"][0].as_str().unwrap();
    assert!(bad.starts_with(&format!("{stream}: its bytes are not the ones that were recorded (SHA-256 ")), "{bad}");
    assert!(bad.ends_with(&format!(", not {}…)", &files[&stream].checksum[..12])), "{bad}");
    assert_eq!((&report["good"], &report["badCount"]), (&Value::Array(Vec::new()), &Value::from(1)));

    let report = check(&server, &BTreeMap::new(), Depth::Full);
    assert_eq!(report["unlisted"], Value::from(vec![NAME]));
}

#[test]
fn a_fresh_backup_need_not_be_read_again() {
    let server = RealServer::start(image());
    let files = backed_up(&server).files;
    let report = check(&server, &files, Depth::Changed);
    assert_eq!((&report["badCount"], &report["bytes"]), (&Value::from(0), &Value::from(0)), "{report}");
}

#[test]
fn what_was_read_and_did_not_change_is_not_read_again() {
    let server = RealServer::start(image());
    let files = backed_up(&server).files;
    let stream = format!("{NAME}/backup.mbstream.zst");
    let seen = |depth| {
        let report = check(&server, &files, depth);
        (report["local"].as_str().unwrap().to_owned(), report["bytes"].as_u64().unwrap() > 0)
    };
    assert_eq!(seen(Depth::Quick), ("g".to_owned(), false));
    assert_eq!(seen(Depth::Full), ("r".to_owned(), true));
    assert_eq!(seen(Depth::Changed), ("g".to_owned(), false));
    flip(&server, &stream);
    assert_eq!(seen(Depth::Quick), ("g".to_owned(), false));
    assert_eq!(seen(Depth::Changed), ("d".to_owned(), true));
    flip(&server, &stream);
    assert_eq!(seen(Depth::Changed), ("r".to_owned(), true));
    assert_eq!(seen(Depth::Changed), ("g".to_owned(), false));
    fs::remove_dir_all(server.path(&format!("store/{NAME}"))).unwrap();
    assert_eq!(seen(Depth::Quick), ("m".to_owned(), false));
}
