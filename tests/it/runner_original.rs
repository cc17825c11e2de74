//! Ring 2: backups as the original's script makes them, with the stock tool, are proven by the real agent.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use md5::Digest;

use mariadb_backup::model::catalogue::Checksum;
use mariadb_backup::model::manifest::hex;
use mariadb_backup::model::order::{OriginalKey, ProveOrder, RunnerTask, StoreName, Stores};
use mariadb_backup::model::report::ProveReport;

use crate::real_server::{Image, RealServer, image, old_image, wait_for};

const CHAIN: [&str; 3] = [
    "base/2026-01-31_00-00-00",
    "incr/2026-01-31_00-00-00/2026-01-31_01-00-00",
    "incr/2026-01-31_00-00-00/2026-01-31_02-00-00",
];

/// The original's steps, in its order; `$1` is the new directory and `$2` what it builds on, if anything.
const SCRIPT: &str = r#"
    set -o pipefail
    mkdir -p "/mnt/store/$1" && cd "/mnt/store/$1"
    mariadb-backup --no-defaults --backup --user=root --socket=/mnt/s --datadir=/mnt/data --extra-lsndir="$PWD" \
      ${2:+--incremental-basedir="/mnt/store/$2"} --stream=xbstream 2> /mnt/tool.log | gzip > backup.stream.gz
    tail -n 1 /mnt/tool.log | grep -q 'completed OK!'
    cp /mnt/data/grastate.dat .
    touch backup.successful
    # It runs as the server's user.
    chown -R mysql:mysql /mnt/store
"#;

/// Makes a backup as the original does, on the one before it.
fn take(server: &RealServer, number: usize) {
    let parent = number.checked_sub(1).map_or("", |parent| CHAIN[parent]);
    let made = server.inside("bash").args(["-euc", SCRIPT, "resque", CHAIN[number], parent]).output().unwrap();
    assert!(made.status.success(), "{made:?} {}", fs::read_to_string(server.path("tool.log")).unwrap());
}

/// Makes a full backup, and an increment after each of the changes.
fn take_chain(server: &RealServer, changes: &[&str]) {
    take(server, 0);
    for (number, change) in changes.iter().enumerate() {
        server.sql(&format!("USE shop; {change}"));
        take(server, number + 1);
    }
}

/// What the original enters into its table: the md5 sum of every file.
fn table(store: &Path, chain: &[&str]) -> BTreeMap<String, Checksum> {
    let mut table = BTreeMap::new();
    for backup in chain {
        for file in fs::read_dir(store.join(backup)).unwrap() {
            let (name, bytes) = file.map(|file| (file.file_name(), fs::read(file.path()).unwrap())).unwrap();
            let sum = Checksum { checksum: hex(&md5::Md5::digest(&bytes)), algorithm: None, size: None };
            table.insert(format!("{backup}/{}", name.into_string().unwrap()), sum);
        }
    }
    table
}

fn order(server: &RealServer, chain: &[&str]) -> ProveOrder {
    ProveOrder {
        stores: Stores { local: Some("/mnt/store".to_owned()), s3: None },
        chain: chain.iter().map(|backup| backup.parse().unwrap()).collect(),
        from: vec![StoreName::Local; chain.len()],
        expected: table(&server.path("store"), chain),
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
        count_rows: false,
        reserve_bytes: 0,
        discard: false,
    }
}

fn proven(server: &RealServer, order: ProveOrder) -> ProveReport {
    let (code, word) = server.agent(RunnerTask::Prove(order), "").end();
    assert_eq!(code, 0, "{word} {}", fs::read_to_string(server.path("agent.log")).unwrap());
    serde_json::from_value(word["done"].clone()).unwrap()
}

/// The exit code, what was said, and that nothing was unpacked.
fn refused(server: &RealServer, order: ProveOrder) -> (i32, String) {
    let (code, word) = server.agent(RunnerTask::Prove(order), "").end();
    assert!(!server.path("scratch/proof/base").exists(), "{word}");
    (code, word["failed"]["message"].as_str().unwrap_or_default().to_owned())
}

/// Where the server stands.
fn position(server: &RealServer) -> String {
    let status = |name: &str| server.sql(&format!("SHOW STATUS LIKE '{name}'")).split('\t').nth(1).unwrap().to_owned();
    format!("{}:{}", status("wsrep_cluster_state_uuid"), status("wsrep_last_committed"))
}

fn chain_is_proven(image: &Image) {
    let server = RealServer::start(image);
    server.sql("USE shop; CREATE TABLE to_drop ENGINE=InnoDB AS SELECT seq AS id FROM seq_1_to_2000");
    let changes = [
        "CREATE TABLE made (id INT PRIMARY KEY) AS SELECT seq AS id FROM seq_1_to_3000; \
         ALTER TABLE orders ADD COLUMN note INT NOT NULL DEFAULT 7",
        "RENAME TABLE made TO renamed; DROP TABLE to_drop; DELETE FROM orders WHERE id % 3 = 0",
    ];
    take_chain(&server, &changes);
    let counts = "SELECT (SELECT COUNT(*) FROM shop.orders), (SELECT SUM(note) FROM shop.orders), \
                  (SELECT COUNT(*) FROM shop.renamed)";
    let (rows, stands_at) = (server.sql(counts), position(&server));
    // What comes after the last backup is not in it.
    server.sql("DELETE FROM shop.orders");
    let report = proven(&server, ProveOrder { query: Some(counts.to_owned()), ..order(&server, &CHAIN) });
    assert_eq!((report.query_result.unwrap().rows[0].join("\t"), report.tables), (rows, 2));
    let position = report.position.expect("the tool finds it in the data");
    assert_eq!(position.to_string(), stands_at);
    assert_ne!(report.history_uuid.unwrap(), position.uuid, "a fresh history");
    assert!(report.stored_bytes > 0 && report.unpacked_bytes > report.stored_bytes);
    let left: Vec<_> =
        fs::read_dir(server.path("scratch/proof")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["base"]);
}

#[test]
fn a_chain_of_the_original_is_proven_with_its_rows_and_where_it_stands() {
    chain_is_proven(image());
}

#[test]
fn the_released_agent_proves_a_chain_of_the_original_in_an_old_image() {
    chain_is_proven(old_image());
}

#[test]
fn a_full_backup_of_the_original_alone_is_proven() {
    let server = RealServer::start(image());
    take_chain(&server, &[]);
    let report = proven(&server, order(&server, &CHAIN[..1]));
    assert_eq!(report.query_result.unwrap().rows, [["24000"]]);
}

#[test]
fn a_chain_of_the_original_with_a_gap_or_an_unfinished_member_is_refused_before_it_is_unpacked() {
    let server = RealServer::start(image());
    take(&server, 0);
    // An increment begins at the checkpoint before, which a busy server moves and this one is told to.
    server.sql("SET GLOBAL innodb_max_dirty_pages_pct = 0");
    for number in [1, 2] {
        server.sql(&format!("DELETE FROM shop.orders WHERE id = {number}"));
        wait_for("a checkpoint", || {
            let age = server.sql("SHOW STATUS LIKE 'Innodb_checkpoint_age'");
            age.rsplit('\t').next()?.parse::<u64>().ok().filter(|age| *age < 500)
        });
        take(&server, number);
    }
    let (code, why) = refused(&server, order(&server, &[CHAIN[0], CHAIN[2]]));
    assert_eq!(code, 13, "{why}");
    assert!(why.starts_with("the backups are no chain: ") && why.contains("of the redo"), "{why}");
    let all = order(&server, &CHAIN);
    fs::remove_file(server.path(&format!("store/{}/backup.successful", CHAIN[1]))).unwrap();
    let (code, why) = refused(&server, all);
    assert_eq!(code, 13, "{why}");
    assert!(why.contains("backup.successful is missing") && why.contains("the backup was not finished"), "{why}");
}

#[test]
fn a_stream_of_the_original_that_was_cut_or_changed_is_named_and_never_prepared() {
    let server = RealServer::start(image());
    take_chain(&server, &[]);
    let order = order(&server, &CHAIN[..1]);
    let path = server.path(&format!("store/{}/backup.stream.gz", CHAIN[0]));
    let whole = fs::read(&path).unwrap();
    let mut flipped = whole.clone();
    flipped[12345] ^= 1;
    for bytes in [&flipped[..], &whole[..whole.len() - 1], &[&whole[..], b"behind"].concat()] {
        fs::write(&path, bytes).unwrap();
        let (code, word) = server.agent(RunnerTask::Prove(order.clone()), "").end();
        assert_eq!(code, 13, "{word}");
        let message = word["failed"]["message"].as_str().unwrap();
        assert!(message.contains("backup.stream.gz its bytes are not the ones that were recorded (MD5 "), "{word}");
        assert!(!server.path("scratch/proof/base").exists(), "it was not removed");
    }
    fs::write(&path, whole).unwrap();
    proven(&server, order);
}

/// Encrypts a chain on the volume as the original's script does, with openssl itself.
const ENCRYPT: &str = r#"
    cd "$1"
    openssl rand -hex 32 > dek.enc.plain
    openssl enc -aes-256-cbc -pbkdf2 -pass file:dek.enc.plain -in backup.stream.gz -out encrypted
    openssl enc -aes-256-cbc -pbkdf2 -pass "file:$2" -in dek.enc.plain -out dek.enc
    rm dek.enc.plain; mv encrypted backup.stream.gz; chmod 644 *
"#;

#[test]
fn an_encrypted_chain_of_the_original_is_proven_with_its_key_and_refused_with_another_or_none() {
    let server = RealServer::start(image());
    take_chain(&server, &["DELETE FROM orders WHERE id = 1"]);
    let kek = server.path("kek/openssl_kek");
    fs::create_dir(kek.parent().unwrap()).unwrap();
    fs::write(&kek, "what the chart had\n").unwrap();
    for backup in &CHAIN[..2] {
        let directory = server.path(&format!("store/{backup}"));
        let made = Command::new("bash").args(["-euc", ENCRYPT, "resque"]).arg(directory).arg(&kek).output().unwrap();
        assert!(made.status.success(), "{made:?}");
    }
    let without = order(&server, &CHAIN[..2]);
    let (code, why) = refused(&server, without.clone());
    assert_eq!(code, 12, "{why}");
    assert!(why.contains("was encrypted by the original, and no Secret with its key is set"), "{why}");
    let key = OriginalKey { secret: "kek".to_owned(), directory: "/mnt/kek".to_owned() };
    let with = ProveOrder { original_key: Some(key), ..without };
    let report = proven(&server, with.clone());
    assert_eq!(report.query_result.unwrap().rows, [["23999"]]);
    server.shell("rm -r /mnt/scratch/proof");
    fs::write(&kek, "another").unwrap();
    let (code, why) = refused(&server, with);
    assert_eq!(code, 12, "{why}");
    assert!(why.contains("with another key than the one in Secret kek"), "{why}");
}
