//! Ring 2: increments by the real agent, and what becomes a full backup instead.

use std::fs;
use std::process::Command;

use mariadb_backup::model::order::{CopyOrder, RunnerTask};
use mariadb_backup::model::report::CopyReport;

use crate::real_server::{RealServer, image};

const BASE: &str = "base/2026-01-31_00-00-00";

/// An increment's name; the clock was set back before it was made, which is nobody's concern.
const INCREMENT: &str = "incr/2026-01-31_00-00-00/2026-01-30_00-00-00";

fn take(server: &RealServer, order: CopyOrder) -> CopyReport {
    let (agent, _gate) = server.copy(order);
    let (code, word) = agent.end();
    assert_eq!(code, 0, "{word}");
    assert!(server.is_synced());
    serde_json::from_value(word["done"].clone()).unwrap()
}

fn full(server: &RealServer) -> CopyReport {
    take(server, RealServer::copy_order(BASE))
}

fn increment_on(parent: &CopyReport, name: &str) -> CopyOrder {
    CopyOrder {
        parent: Some(parent.backup.clone()),
        parent_sha256: Some(parent.manifest.sha256.clone()),
        ..RealServer::copy_order(name)
    }
}

/// Puts a backup's stream where the stock unpacker finds it.
fn unpack(server: &RealServer, report: &CopyReport, directory: &str) {
    let stream = fs::File::open(server.path(&format!("store/{}/backup.mbstream.zst", report.backup.directory())));
    let plain = fs::File::create(server.path("stream")).unwrap();
    let unpacked = Command::new("zstd").arg("-dc").stdin(stream.unwrap()).stdout(plain).status();
    assert!(unpacked.unwrap().success());
    server.shell(&format!("mkdir /mnt/{directory}; mbstream -x -C /mnt/{directory} < /mnt/stream"));
}

/// What every table of `shop` holds, and that there are no others.
const SUMS: &str = "SELECT GROUP_CONCAT(TABLE_NAME ORDER BY TABLE_NAME SEPARATOR ', shop.') \
                    FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'shop'";

#[test]
fn a_chain_with_tables_made_changed_renamed_and_dropped_in_between_is_restored_by_stock_tools_alone() {
    let server = RealServer::start(image());
    server.sql("USE shop; CREATE TABLE to_drop ENGINE=InnoDB AS SELECT seq AS id FROM seq_1_to_2000");
    let mut chain = vec![full(&server)];
    let changes = [
        "CREATE TABLE shop.made (id INT PRIMARY KEY, text VARCHAR(99)) AS \
             SELECT seq AS id, 'first' AS text FROM seq_1_to_3000; \
         ALTER TABLE shop.orders ADD COLUMN note INT NOT NULL DEFAULT 7; \
         UPDATE shop.orders SET note = id WHERE id % 5 = 0",
        "RENAME TABLE shop.made TO shop.renamed; DROP TABLE shop.to_drop; \
         INSERT INTO shop.renamed SELECT seq, 'second' FROM seq_3001_to_5000; \
         ALTER TABLE shop.orders ADD INDEX (note), ALGORITHM=COPY; \
         CREATE TABLE shop.aria (id INT) ENGINE=Aria; INSERT INTO shop.aria VALUES (1), (2)",
        "ALTER TABLE shop.renamed DROP COLUMN text, FORCE; DELETE FROM shop.orders WHERE id % 3 = 0; \
         DROP TABLE shop.aria; CREATE TABLE shop.aria (id BIGINT) ENGINE=Aria; INSERT INTO shop.aria VALUES (3)",
    ];
    for (number, change) in changes.into_iter().enumerate() {
        server.sql(&format!("USE shop; {change}"));
        let name = format!("incr/2026-01-31_00-00-00/2026-01-31_0{}-00-00", number + 1);
        let parent = chain.last().unwrap();
        let report = take(&server, increment_on(parent, &name));
        assert_eq!((report.full_because.as_deref(), report.parent.as_ref()), (None, Some(&parent.backup)));
        chain.push(report);
    }
    let names = server.sql(SUMS);
    let sums = format!("CHECKSUM TABLE shop.{names}");
    let expected = server.sql(&sums);
    assert_eq!(names, "aria, shop.orders, shop.renamed");

    unpack(&server, &chain[0], "restored");
    server.shell("mariadb-backup --prepare --target-dir=/mnt/restored 2>> /mnt/prepare.log");
    for (number, increment) in chain.iter().enumerate().skip(1) {
        let directory = format!("increment{number}");
        unpack(&server, increment, &directory);
        server.shell(&format!(
            "mariadb-backup --prepare --target-dir=/mnt/restored --incremental-dir=/mnt/{directory} 2>> /mnt/prepare.log"
        ));
    }
    server.shell(&format!(
        "chown -R mysql:mysql /mnt/restored
         mariadbd --no-defaults --user=mysql --datadir=/mnt/restored --socket=/mnt/r --skip-networking \
           --innodb-buffer-pool-size=32M --pid-file=/mnt/r.pid 2> /mnt/restored.log &
         for i in $(seq 300); do mariadb --no-defaults -S /mnt/r -e 'SELECT 1' 2> /dev/null && break; sleep 0.1; done
         mariadb --no-defaults -S /mnt/r -NBe \"{SUMS}\" > /mnt/names
         mariadb --no-defaults -S /mnt/r -NBe '{sums}' > /mnt/sums
         mariadb-admin --no-defaults -S /mnt/r shutdown; wait"
    ));
    assert_eq!(fs::read_to_string(server.path("names")).unwrap().trim_end(), names);
    assert_eq!(fs::read_to_string(server.path("sums")).unwrap().trim_end(), expected);
}

/// Asks for an increment and returns why it became a full backup.
fn full_because(server: &RealServer, parent: &CopyReport) -> String {
    let report = take(server, increment_on(parent, INCREMENT));
    assert_eq!((report.backup.directory(), report.parent), ("base/2026-01-30_00-00-00".to_owned(), None));
    let manifest = fs::read_to_string(server.path("store/base/2026-01-30_00-00-00/manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!(manifest["fullBecause"].as_str(), report.full_because.as_deref());
    assert_eq!(manifest["origin"]["lsn"]["from"], 0);
    report.full_because.unwrap()
}

#[test]
fn an_increment_on_a_server_that_was_only_restarted_is_one() {
    let mut server = RealServer::start(image());
    let parent = full(&server);
    server.restart_after("true");
    let report = take(&server, increment_on(&parent, INCREMENT));
    assert_eq!((report.full_because, report.parent), (None, Some(parent.backup)));
}

#[test]
fn an_increment_on_files_that_were_copied_becomes_a_full_backup() {
    let mut server = RealServer::start(image());
    let parent = full(&server);
    server.restart_after("cp -a /mnt/data /mnt/copied; rm -r /mnt/data; mv /mnt/copied /mnt/data");
    let why = full_because(&server, &parent);
    assert!(why.contains("ibdata1 was made anew"), "{why}");
}

#[test]
fn an_increment_on_a_damaged_manifest_becomes_a_full_backup() {
    let server = RealServer::start(image());
    let parent = full(&server);
    server.shell(&format!("sed -i 's/\"replicas\": 1/\"replicas\": 2/' /mnt/store/{BASE}/manifest.json"));
    let why = full_because(&server, &parent);
    assert!(why.contains("is not the one that was recorded"), "{why}");
}

#[test]
fn an_increment_on_a_parent_that_is_gone_becomes_a_full_backup() {
    let server = RealServer::start(image());
    let parent = full(&server);
    server.shell(&format!("rm -r /mnt/store/{BASE}"));
    let why = full_because(&server, &parent);
    assert!(why.contains("cannot be read"), "{why}");
}

#[test]
fn streams_that_end_early_although_the_tool_says_it_is_well_are_no_backups() {
    let server = RealServer::start(image());
    // The stock unpacker is content with both: one ends between two chunks, the other never begins.
    let cut = "at=$(grep -abo XBSTCK01 /mnt/scratch/all | tail -n 1 | cut -d: -f1); head -c \"$at\" /mnt/scratch/all";
    for (what, ending, why) in [("cut", cut, "the stream ends early"), ("empty", ":", "after 0 bytes")] {
        let tool = format!(
            "#!/bin/sh\ncase \"$*\" in *--version*|*--help*) exec /usr/bin/mariadb-backup \"$@\";; esac\n\
             /usr/bin/mariadb-backup \"$@\" > /mnt/scratch/all || exit 1\n{ending}\n"
        );
        server.shell(&format!("mkdir /mnt/{what}"));
        fs::write(server.path(&format!("{what}/mariadb-backup")), tool).unwrap();
        server.shell(&format!("chmod 755 /mnt/{what}/mariadb-backup"));
        let mut gate = server.closed_gate();
        let order = Box::new(RealServer::copy_order(BASE));
        let mut agent = server.agent(RunnerTask::Copy(order), &format!("PATH=/mnt/{what}:$PATH"));
        assert!(agent.wait_until("ready"));
        gate.open_gate();
        let (code, word) = agent.end();
        assert_eq!(code, 4, "{what}: {word}");
        assert!(word["failed"]["causes"].to_string().contains(why), "{what}: {word}");
        assert!(server.is_synced());
        assert!(!server.path("store/base").exists(), "{what}");
    }
}
