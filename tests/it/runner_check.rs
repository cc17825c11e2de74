//! Ring 2: the real agent reads a real backup, whole and damaged.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;

use mariadb_backup::model::catalogue::Catalogue;
use mariadb_backup::model::order::{CheckOrder, Depth, OnCorrupt, RunnerTask, Stores};
use mariadb_backup::model::report::CopyReport;
use serde_json::Value;

use crate::real_server::{RealServer, image};

const NAME: &str = "base/2026-01-31_23-59-59";

#[test]
fn a_flipped_bit_is_found_and_a_whole_backup_is_good() {
    let server = RealServer::start(image());
    let (agent, _gate) = server.copy(RealServer::copy_order(NAME));
    let (code, word) = agent.end();
    assert_eq!(code, 0, "{word}");
    let report: CopyReport = serde_json::from_value(word["done"].clone()).unwrap();
    let mut catalogue = Catalogue::default();
    catalogue.enter(&report);
    let check = |expected: &BTreeMap<_, _>| {
        let order = CheckOrder {
            stores: Stores { local: Some("/mnt/store".to_owned()), s3: None },
            backups: Vec::new(),
            expected: expected.clone(),
            known: Vec::new(),
            depth: Depth::Full,
            repair: false,
            on_corrupt: OnCorrupt::Fail,
        };
        server.agent(RunnerTask::Check(order), "").end()
    };

    let (code, word) = check(&catalogue.files);
    assert_eq!(
        (code, &word["done"]["good"], &word["done"]["badCount"]),
        (0, &Value::from(vec![NAME]), &Value::from(0))
    );

    let stream = format!("{NAME}/backup.mbstream.zst");
    let file = fs::File::options().read(true).write(true).open(server.path(&format!("store/{stream}"))).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 12345).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 12345).unwrap();
    let (_, word) = check(&catalogue.files);
    let bad = format!("{stream}: its bytes are not the ones that were recorded");
    assert_eq!((&word["done"]["good"], &word["done"]["bad"]), (&Value::Array(Vec::new()), &Value::from(vec![bad])));

    let (_, word) = check(&BTreeMap::new());
    assert_eq!(word["done"]["unlisted"], Value::from(vec![NAME]));
}
