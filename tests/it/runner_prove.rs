//! Ring 2: real chains are unpacked, prepared and booted by the real agent, and what is not good is not.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use mariadb_backup::model::catalogue::{Catalogue, Checksum};
use mariadb_backup::model::order::{CopyOrder, ProveOrder, RunnerTask, StoreName, Stores};
use mariadb_backup::model::report::{CopyReport, ProveReport, ProvenLogins};
use serde_json::Value;

use crate::real_server::{Agent, Image, RealServer, image, old_image, wait_for};

const BASE: &str = "base/2026-01-31_00-00-00";

/// Exit codes as scripts know them.
const FAILED: i32 = 4;
const REFUSED: i32 = 6;
const CREDENTIALS: i32 = 12;
const VERIFICATION: i32 = 13;

/// What the catalogue says of a chain.
struct Chain {
    reports: Vec<CopyReport>,
    files: BTreeMap<String, Checksum>,
}

fn take(server: &RealServer, order: CopyOrder) -> CopyReport {
    let (agent, _gate) = server.copy(order);
    let (code, word) = agent.end();
    assert_eq!(code, 0, "{word}");
    serde_json::from_value(word["done"].clone()).unwrap()
}

/// Takes a full backup, and an increment after each of the changes.
fn take_chain(server: &RealServer, changes: &[&str]) -> Chain {
    let mut reports = vec![take(server, RealServer::copy_order(BASE))];
    for (number, change) in changes.iter().enumerate() {
        server.sql(&format!("USE shop; {change}"));
        let parent = reports.last().unwrap();
        let name = format!("incr/2026-01-31_00-00-00/2026-01-31_0{}-00-00", number + 1);
        let order = CopyOrder {
            parent: Some(parent.backup.clone()),
            parent_sha256: Some(parent.manifest.sha256.clone()),
            ..RealServer::copy_order(&name)
        };
        reports.push(take(server, order));
    }
    let mut catalogue = Catalogue::default();
    reports.iter().for_each(|report| catalogue.enter(report));
    Chain { reports, files: catalogue.files }
}

fn order(chain: &Chain) -> ProveOrder {
    ProveOrder {
        stores: Stores { local: Some("/mnt/store".to_owned()), s3: None },
        chain: chain.reports.iter().map(|report| report.backup.clone()).collect(),
        from: chain.reports.iter().map(|_| StoreName::Local).collect(),
        expected: chain.files.clone(),
        scratch: "/mnt/scratch/proof".to_owned(),
        operator_credentials: Some("/mnt/operator".to_owned()),
        backup_credentials: Some("/mnt/backup".to_owned()),
        query: Some("SELECT COUNT(*) FROM shop.orders".to_owned()),
        parallel: 2,
        prepare_memory_bytes: None,
        boot_timeout_secs: 60,
        prepare_timeout_secs: 120,
        discard: false,
    }
}

fn agent(server: &RealServer, order: ProveOrder) -> Agent {
    server.agent(RunnerTask::Prove(order), "")
}

fn proven(server: &RealServer, order: ProveOrder) -> ProveReport {
    let (code, word) = agent(server, order).end();
    assert_eq!(code, 0, "{word} {}", fs::read_to_string(server.path("agent.log")).unwrap());
    serde_json::from_value(word["done"].clone()).unwrap()
}

fn failed(server: &RealServer, order: ProveOrder) -> (i32, String) {
    let (code, word) = agent(server, order).end();
    (code, format!("{} {} {}", word["failed"]["message"], word["failed"]["causes"], word["failed"]["hint"]))
}

/// A path of the store or the scratch, from outside.
fn stored(server: &RealServer, chain: &Chain, number: usize, name: &str) -> PathBuf {
    server.path(&format!("store/{}/{name}", chain.reports[number].backup.directory()))
}

/// Flips a bit without changing the file's length, as a bad disk would.
fn flip(path: PathBuf) {
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 12345).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 12345).unwrap();
}

fn chain_with_ddl_is_proven(image: &Image) {
    let server = RealServer::start(image);
    server.sql("USE shop; CREATE TABLE to_drop ENGINE=InnoDB AS SELECT seq AS id FROM seq_1_to_2000");
    let chain = take_chain(
        &server,
        &[
            "CREATE TABLE made (id INT PRIMARY KEY) AS SELECT seq AS id FROM seq_1_to_3000; \
             CREATE TABLE aria (id INT) ENGINE=Aria; INSERT INTO aria VALUES (1), (2); \
             ALTER TABLE orders ADD COLUMN note INT NOT NULL DEFAULT 7",
            "RENAME TABLE made TO renamed; DROP TABLE to_drop; DELETE FROM orders WHERE id % 3 = 0; \
             CREATE VIEW seen AS SELECT id FROM renamed",
        ],
    );
    let counts = "SELECT (SELECT COUNT(*) FROM shop.orders), (SELECT SUM(note) FROM shop.orders), \
                  (SELECT COUNT(*) FROM shop.renamed), (SELECT COUNT(*) FROM shop.aria), NULL";
    let rows = server.sql(counts);
    // What comes after the last backup is not in it.
    server.sql("DELETE FROM shop.orders");
    let report = proven(&server, ProveOrder { query: Some(counts.to_owned()), ..order(&chain) });

    let row = report.query_result.unwrap().rows[0].join("\t");
    assert_eq!((row, report.tables, report.schemas), (rows, 3, 1));
    let logins = ProvenLogins { operator: Some("operator".to_owned()), backup: Some("backup".to_owned()) };
    assert_eq!(report.logins, logins);
    assert_eq!((&report.backup, &report.position), (&chain.reports[2].backup, &chain.reports[2].position));
    assert_ne!(report.history_uuid.unwrap(), report.position.uuid, "a fresh history");
    assert!(report.server_version.contains("MariaDB"));
    assert!(report.stored_bytes > 0 && report.unpacked_bytes > report.stored_bytes / 2);

    // What is left is a data directory that was shut down cleanly, and nothing else.
    let left = server.path("scratch/proof");
    let names: Vec<_> = fs::read_dir(&left).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["base"]);
    for gone in ["galera.cache", "gvwstate.dat", "socket"] {
        assert!(!left.join("base").join(gone).exists(), "{gone}");
    }
    server.shell(
        "mkdir /mnt/r; chown mysql /mnt/r
         mariadbd --no-defaults --user=mysql --datadir=/mnt/scratch/proof/base --socket=/mnt/r/s --skip-networking \
           --pid-file=/mnt/r/pid --innodb-buffer-pool-size=32M 2> /mnt/restored.log &
         for i in $(seq 300); do mariadb --no-defaults -S /mnt/r/s -e 'SELECT 1' 2> /dev/null && break; sleep 0.1; done
         mariadb --no-defaults -S /mnt/r/s -NBe \"SELECT COUNT(*) FROM mysql.global_priv WHERE User LIKE 'mariadb-backup%'\" \
           > /mnt/accounts
         mariadb-admin --no-defaults -S /mnt/r/s shutdown; wait",
    );
    assert_eq!(fs::read_to_string(server.path("accounts")).unwrap().trim_end(), "0");
    assert!(!fs::read_to_string(server.path("restored.log")).unwrap().contains("Starting crash recovery"));
}

#[test]
fn a_chain_with_ddl_in_between_is_proven_with_its_rows() {
    chain_with_ddl_is_proven(image());
}

#[test]
fn the_released_agent_proves_a_chain_in_an_old_image() {
    chain_with_ddl_is_proven(old_image());
}
