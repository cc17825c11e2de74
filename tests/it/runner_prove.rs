//! Ring 2: real chains are unpacked, prepared and booted by the real agent, and what is not good is not.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use mariadb_backup::model::catalogue::{Catalogue, Checksum};
use mariadb_backup::model::order::{CopyOrder, ProveOrder, RunnerTask, StoreName, Stores};
use mariadb_backup::model::report::{CopyReport, ProveReport, ProvenLogins};

use crate::real_server::{Agent, Image, RealServer, image, old_image};

const BASE: &str = "base/2026-01-31_00-00-00";

/// Exit codes as scripts know them.
const USAGE: i32 = 2;
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
    for report in &reports {
        catalogue.enter(report);
    }
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
        server_accounts: Vec::new(),
        server_logins_may_fail: false,
        original_key: None,
        query: Some("SELECT COUNT(*) FROM shop.orders".to_owned()),
        prepare_memory_bytes: None,
        boot_timeout_secs: 60,
        prepare_timeout_secs: 120,
        count_rows: true,
        reserve_bytes: 0,
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

/// The rows that are told of a proof, by their tables: of those in Galera's keeping.
fn counted(server: &RealServer, order: ProveOrder) -> BTreeMap<String, u64> {
    let mut agent = agent(server, order);
    let mut told = BTreeMap::new();
    agent.wait_until_event(|event| {
        told.extend(event["tables"].as_array().into_iter().flatten().map(|table| {
            let text = |key: &str| table[key].as_str().unwrap().to_owned();
            (format!("{}.{}", text("schema"), text("name")), table["rows"].as_u64().unwrap())
        }));
        false
    });
    told
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
    let told = |table: &str, column: usize| (table.to_owned(), rows.split('\t').nth(column).unwrap().parse().unwrap());
    assert_eq!(counted(&server, order(&chain)), BTreeMap::from([told("shop.orders", 0), told("shop.renamed", 2)]));
    let report = proven(&server, ProveOrder { query: Some(counts.to_owned()), ..order(&chain) });

    let row = report.query_result.unwrap().rows[0].join("\t");
    assert_eq!((row, report.tables, report.schemas), (rows, 3, 1));
    let logins = ProvenLogins { operator: Some("operator".to_owned()), backup: Some("backup".to_owned()) };
    assert_eq!(report.logins, logins);
    let position = report.position.unwrap();
    assert_eq!((&report.backup, &position), (&chain.reports[2].backup, &chain.reports[2].position));
    assert_ne!(report.history_uuid.unwrap(), position.uuid, "a fresh history");
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

#[test]
fn a_flipped_bit_anywhere_in_a_chain_is_named_and_nothing_is_booted() {
    let server = RealServer::start(image());
    let chain = take_chain(&server, &["INSERT INTO orders (text) SELECT text FROM orders LIMIT 9000"]);
    for number in [0, 1] {
        let stream = stored(&server, &chain, number, "backup.mbstream.zst");
        flip(stream.clone());
        let (code, why) = failed(&server, order(&chain));
        assert_eq!(code, VERIFICATION, "{why}");
        let report = &chain.reports[number];
        let path = format!("/mnt/store/{}/backup.mbstream.zst", report.backup.directory());
        assert!(why.contains(&format!("{path} its bytes are not the ones that were recorded (SHA-256 ")), "{why}");
        assert!(why.contains(&format!("not {}", &report.stream.sha256[..12])), "{why}");
        assert!(!server.path("scratch/proof/run").exists());
        // Nothing was prepared either.
        let checkpoints = fs::read_to_string(server.path("scratch/proof/base/xtrabackup_checkpoints"));
        assert!(!checkpoints.unwrap_or_default().contains("log-applied"));
        flip(stream);
    }
    proven(&server, order(&chain));
}

#[test]
fn what_a_dead_try_left_is_removed_and_nothing_else_in_the_scratch() {
    let server = RealServer::start(image());
    let chain = take_chain(&server, &[]);
    server.shell(
        "mkdir -p /mnt/scratch/proof/base/shop /mnt/scratch/proof/inc-7 /mnt/scratch/proof/run /mnt/scratch/proof/kept
         echo stale > /mnt/scratch/proof/base/ibdata1; chown -R mysql:mysql /mnt/scratch/proof",
    );
    proven(&server, order(&chain));
    let mut names: Vec<_> =
        fs::read_dir(server.path("scratch/proof")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["base", "kept"]);
}

/// A stand-in for a program that does something before the real one.
fn stand_in(server: &RealServer, program: &str, script: &str) -> String {
    server.shell("mkdir -p /mnt/bin");
    let path = server.path(&format!("bin/{program}"));
    fs::write(path, format!("#!/bin/sh\n{script}\n")).unwrap();
    server.shell("chmod -R 755 /mnt/bin");
    "PATH=/mnt/bin:$PATH".to_owned()
}

#[test]
fn a_tool_that_is_killed_is_told_and_the_next_try_begins_anew() {
    let server = RealServer::start(image());
    let chain = take_chain(&server, &["DELETE FROM orders WHERE id % 2 = 0"]);
    let dies =
        "case \"$*\" in *--incremental-dir*) /usr/bin/mariadb-backup \"$@\" & sleep 0.05; kill -9 $!; kill -9 $$;; esac
                exec /usr/bin/mariadb-backup \"$@\"";
    let before = stand_in(&server, "mariadb-backup", dies);
    let (code, word) = server.agent(RunnerTask::Prove(order(&chain)), &before).end();
    assert_eq!(code, FAILED, "{word}");
    let message = word["failed"]["message"].as_str().unwrap();
    let increment = &chain.reports[1].backup;
    assert!(message.starts_with(&format!("cannot prepare {increment}: mariadb-backup ended with signal 9")), "{word}");
    proven(&server, order(&chain));
}

#[test]
fn a_tool_without_its_mark_of_success_has_failed() {
    let server = RealServer::start(image());
    let chain = take_chain(&server, &[]);
    let before = stand_in(&server, "mariadb-backup", "/usr/bin/mariadb-backup \"$@\"; echo more >&2");
    let (code, word) = server.agent(RunnerTask::Prove(order(&chain)), &before).end();
    assert_eq!(code, FAILED, "{word}");
    assert!(word["failed"]["message"].as_str().unwrap().contains("without its mark of success"), "{word}");
}

#[test]
fn a_full_scratch_is_said_before_and_while_it_is_filled() {
    let server = RealServer::start(image());
    let chain = take_chain(&server, &[]);
    server.shell("mkdir /mnt/scratch/proof; mount -t tmpfs -o size=30m,mode=777 tmpfs /mnt/scratch/proof");
    let (code, why) = failed(&server, order(&chain));
    assert_eq!(code, REFUSED, "{why}");
    assert!(why.contains("do not fit into /mnt/scratch/proof") && why.contains("more room"), "{why}");

    // Enough when it is looked at, and taken by somebody else then.
    server.shell("mount -o remount,size=160m /mnt/scratch/proof");
    // A server without room waits for some.
    let impatient = ProveOrder { boot_timeout_secs: 10, ..order(&chain) };
    let mut agent = agent(&server, impatient);
    assert!(agent.wait_until_event(|event| event["message"].as_str().is_some_and(|m| m.starts_with("preparing"))));
    server.shell(
        "mount -o remount,size=1m /mnt/scratch/proof || dd if=/dev/zero of=/mnt/scratch/proof/fill bs=1M || true",
    );
    let (code, word) = agent.end();
    assert_eq!(code, FAILED, "{word}");
    let message = word["failed"]["message"].as_str().unwrap();
    assert!(message.starts_with("only ") && message.ends_with(" are left in /mnt/scratch/proof"), "{word}");
    assert!(word["failed"]["hint"].as_str().unwrap().contains("more room"), "{word}");
}

#[test]
fn a_password_that_was_changed_since_is_told_and_so_is_an_account_that_is_not_there() {
    let server = RealServer::start(image());
    let chain = take_chain(&server, &[]);
    fs::write(server.path("backup/password"), "new").unwrap();
    let (code, why) = failed(&server, order(&chain));
    assert_eq!(code, CREDENTIALS, "{why}");
    assert!(
        why.contains("the password of the backup account backup in today's Secret is not the one in the backup"),
        "{why}"
    );
    fs::write(server.path("backup/username"), "somebody").unwrap();
    let (code, why) = failed(&server, order(&chain));
    assert_eq!(code, CREDENTIALS, "{why}");
    assert!(why.contains("the backup has no account somebody"), "{why}");
    // Without any account its tables are opened all the same.
    let without = ProveOrder { operator_credentials: None, backup_credentials: None, ..order(&chain) };
    let report = proven(&server, without);
    assert_eq!((report.tables, report.logins), (1, ProvenLogins::default()));
}

#[test]
fn an_account_that_no_socket_reaches_is_a_warning() {
    let server = RealServer::start(image());
    server.sql("RENAME USER backup@'%' TO backup@'127.0.0.1'");
    let chain = take_chain(&server, &[]);
    let (code, word) = agent(&server, order(&chain)).end();
    assert_eq!(code, 3, "{word}");
    assert!(word["warnings"].to_string().contains("it may only come from 127.0.0.1"), "{word}");
    assert_eq!(word["done"]["logins"]["operator"], "operator");
}

#[test]
fn a_query_that_would_change_the_backup_is_refused() {
    let server = RealServer::start(image());
    let chain = take_chain(&server, &[]);
    let (code, why) =
        failed(&server, ProveOrder { query: Some("DELETE FROM shop.orders".to_owned()), ..order(&chain) });
    assert_eq!(code, USAGE, "{why}");
    assert!(why.contains("READ ONLY transaction"), "{why}");
    let (code, why) = failed(&server, ProveOrder { query: Some("SELECT 1; SELECT 2".to_owned()), ..order(&chain) });
    assert_eq!((code, why.contains("1064")), (USAGE, true), "of two statements one would be told to nobody: {why}");
}

#[test]
fn a_long_result_is_cut_and_still_fits() {
    let server = RealServer::start(image());
    let chain = take_chain(&server, &[]);
    let query = "SELECT seq, REPEAT('\"', 300) FROM shop.seq_1_to_1000".to_owned();
    let report = proven(&server, ProveOrder { query: Some(query), ..order(&chain) });
    let result = report.query_result.unwrap();
    assert!(result.truncated && !result.rows.is_empty());
    assert!(fs::metadata(server.path("message")).unwrap().len() <= 4096);
}

#[test]
fn a_chain_in_another_order_or_with_a_gap_is_refused() {
    let server = RealServer::start(image());
    let chain = take_chain(&server, &["DELETE FROM orders WHERE id = 1", "DELETE FROM orders WHERE id = 2"]);
    let good = order(&chain);
    for wrong in [vec![0, 2, 1], vec![0, 2], vec![0, 1, 1]] {
        let members: Vec<_> = wrong.iter().map(|number| good.chain[*number].clone()).collect();
        let from = vec![StoreName::Local; members.len()];
        let (code, why) = failed(&server, ProveOrder { chain: members, from, ..good.clone() });
        assert_eq!(code, VERIFICATION, "{wrong:?} {why}");
        assert!(why.contains("the backups are no chain"), "{why}");
    }
}

/// Runs a proof that is stopped in the middle, and returns its code and what it left running.
fn stopped_at(server: &RealServer, order: ProveOrder, step: &str) -> (i32, String) {
    let count = "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline | grep -e '^[^ ]*mariadb' || true; done > /mnt/left; exit $code";
    // One that is left on purpose shows that what is left is seen.
    let run = "PATH=/mnt/bin:$PATH; code=0; cp /bin/sleep /mnt/bin/mariadb-control; /mnt/bin/mariadb-control 99 &
               setpriv --reuid=mysql --regid=mysql --clear-groups /mnt/agent run \
               --termination-message /mnt/message --order \"$0\" & pid=$!
               while ! test -e /mnt/stop; do sleep 0.05; done; kill -TERM $pid; wait $pid || code=$?";
    server.shell("rm -f /mnt/stop");
    let mut agent = server.agent(RunnerTask::Prove(order), &format!("{run}\n{count}"));
    assert!(agent.wait_until_event(|event| event["message"].as_str().is_some_and(|m| m.starts_with(step))), "{step}");
    // Into the middle of the step.
    std::thread::sleep(std::time::Duration::from_millis(100));
    fs::write(server.path("stop"), "").unwrap();
    let (code, word) = agent.end();
    assert_eq!(word["failed"]["message"], "stopped before the backup was proven", "{step}");
    (code, fs::read_to_string(server.path("left")).unwrap())
}

#[test]
fn a_stop_at_any_step_leaves_nothing_running() {
    let server = RealServer::start(image());
    let chain = take_chain(&server, &["DELETE FROM orders WHERE id % 2 = 0"]);
    let slow = "case \"$*\" in *--prepare*) sleep 1;; esac; exec /usr/bin/mariadb-backup \"$@\"";
    stand_in(&server, "mariadb-backup", slow);
    let query = ProveOrder { query: Some("SELECT SLEEP(50)".to_owned()), ..order(&chain) };
    for step in ["unpacking", "preparing", "booting", "opened"] {
        assert_eq!(
            stopped_at(&server, query.clone(), step),
            (FAILED, "/mnt/bin/mariadb-control 99 \n".to_owned()),
            "{step}"
        );
    }
    proven(&server, order(&chain));
}

#[test]
fn a_server_that_cannot_start_tells_its_last_errors() {
    let server = RealServer::start(image());
    let chain = take_chain(&server, &[]);
    let before = stand_in(&server, "mariadbd", "exec /usr/sbin/mariadbd \"$@\" --innodb-page-size=64k");
    let (code, word) = server.agent(RunnerTask::Prove(order(&chain)), &before).end();
    assert_eq!(code, FAILED, "{word}");
    let message = word["failed"]["message"].as_str().unwrap();
    assert!(message.contains("the throwaway server ended with ") && message.contains("[ERROR] InnoDB: "), "{word}");
    let before = stand_in(&server, "mariadbd", "exec sleep 50");
    let patient = ProveOrder { boot_timeout_secs: 1, ..order(&chain) };
    let (code, word) = server.agent(RunnerTask::Prove(patient), &before).end();
    assert_eq!(code, FAILED, "{word}");
    assert!(word["failed"]["message"].as_str().unwrap().contains("did not answer within 1 seconds"), "{word}");
}
