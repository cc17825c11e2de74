//! Backups of the original: found in the stores, drilled and restored like ours.

use serde_json::json;

use crate::damage::flip_a_bit;
use crate::ground::{Cluster, run, scratch_file};
use crate::oracle::{Oracle, item, volume};
use crate::restore_shapes::all_serve;
use crate::restores::{backed_up_and_lost, is_back, nothing_is_left};

/// Makes of one of our backups one as the original leaves it: its stream as gzip, the tool's files by their old
/// names, a `grastate.dat` of a running server, the mark, and no manifest.
const AS_THE_ORIGINAL: &str = r#"
    set -o pipefail
    cd "$1"
    zstd -qdc backup.mbstream.zst | gzip > backup.stream.gz
    mv mariadb_backup_info xtrabackup_info
    mv mariadb_backup_checkpoints xtrabackup_checkpoints
    rm -f backup.mbstream.zst manifest.json mariadb_backup_galera_info
    printf '# GALERA saved state\nversion: 2.1\nuuid:    00000000-0000-0000-0000-000000000001\nseqno:   -1\nsafe_to_bootstrap: 0\n' > grastate.dat
    touch backup.successful
    chown -R --reference=. .
"#;

/// Encrypts it as the original does, with a key of its own, which is wrapped with the one in the file.
const ENCRYPT: &str = r#"
    cd "$1"
    openssl rand -hex 32 > dek.enc.plain
    openssl enc -aes-256-cbc -pbkdf2 -pass file:dek.enc.plain -in backup.stream.gz -out encrypted
    openssl enc -aes-256-cbc -pbkdf2 -pass "file:$2" -in dek.enc.plain -out dek.enc
    rm dek.enc.plain
    mv encrypted backup.stream.gz
    chmod 644 backup.stream.gz dek.enc
    chown -R --reference=. .
"#;

/// What the original enters into its table of one directory.
const TABLE: &str = "cd \"$1\"; md5sum \"$2\"/*";

/// Makes the backups of a cluster, by their directories in the store, the original's, and its catalogue too.
#[track_caller]
fn as_the_original_leaves_them(cluster: &Cluster, directories: &[String]) {
    let root = volume(cluster).unwrap();
    for directory in directories {
        let path = root.join(directory);
        run("bash", &["-euc", AS_THE_ORIGINAL, "original", path.to_str().unwrap()]).ends_with(0);
    }
    enter(cluster, directories);
}

/// The catalogue as the original writes it: the sum of every file, and nothing else.
#[track_caller]
fn enter(cluster: &Cluster, directories: &[String]) {
    let root = volume(cluster).unwrap();
    let mut table = serde_json::Map::new();
    for directory in directories {
        let sums = run("bash", &["-euc", TABLE, "original", root.to_str().unwrap(), directory]).ends_with(0).stdout;
        for line in sums.lines() {
            let (sum, path) = line.split_once("  ").unwrap();
            table.insert(path.to_owned(), json!({"checksum": sum}));
        }
    }
    let table = serde_json::to_string(&table).unwrap();
    let patch = json!({"data": {"hash_table": table, "backups": null, "room": null, "drill": null}}).to_string();
    cluster.kubectl(&["patch", "configmap", "mariadb-server-backup-hash", "--type", "merge", "-p", &patch]);
}

/// Makes a table with one row and a full backup, then two more rows and an increment; both become the original's.
#[track_caller]
fn chain(cluster: &Cluster) -> (String, String) {
    let [other, _] = cluster.others();
    cluster.sql(&other, "DROP DATABASE IF EXISTS drill");
    cluster.sql(&other, "CREATE DATABASE drill");
    cluster.sql(&other, "CREATE TABLE drill.kept (n INT PRIMARY KEY)");
    cluster.sql(&other, "INSERT INTO drill.kept VALUES (1)");
    let base = cluster.created(&["create"]);
    cluster.sql(&other, "INSERT INTO drill.kept VALUES (2), (3)");
    let child = cluster.created(&["create", "--type", "incremental"]);
    cluster.sql(&other, "INSERT INTO drill.kept VALUES (4)");
    as_the_original_leaves_them(cluster, &[format!("base/{base}"), format!("incr/{base}/{child}")]);
    (base, child)
}

const QUERY: [&str; 3] = ["--no-headers", "--query", "SELECT COUNT(*), MAX(n) FROM drill.kept"];

#[test]
fn a_chain_of_the_original_is_listed_described_verified_and_drilled() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    let (base, child) = chain(&cluster);
    assert_eq!(item(&cluster, &child)["base"], base.as_str());
    cluster.plugin(&["describe", &child]).ends_with(0);
    cluster.plugin(&["verify", "--deep"]).ends_with(0);
    let drilled = cluster.plugin(&[&["drill", &child][..], &QUERY].concat()).ends_with(0).says("can be restored");
    assert_eq!(drilled.stdout, "3\t3\n");
    let drilled = cluster.plugin(&[&["drill", &base][..], &QUERY].concat()).ends_with(0);
    assert_eq!(drilled.stdout, "1\t1\n");
    assert!(item(&cluster, &child)["verified"].is_string(), "{}", item(&cluster, &child));
    oracle.nothing_is_left();
}

#[test]
fn one_of_the_original_that_is_damaged_or_was_not_finished_is_refused_and_named() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    let (base, child) = chain(&cluster);
    let root = volume(&cluster).unwrap();
    let stream = root.join(format!("base/{base}/backup.stream.gz"));
    flip_a_bit(&stream);
    cluster.plugin(&["drill", &child]).ends_with(13).says("backup.stream.gz");
    cluster.plugin(&["restore", &child, "--yes"]).ends_with(13).says("the cluster was not touched");
    flip_a_bit(&stream);
    let mark = root.join(format!("incr/{base}/{child}/backup.successful"));
    std::fs::remove_file(&mark).unwrap();
    cluster.plugin(&["drill", &child]).ends_with(13).says("the backup was not finished");
    cluster.plugin(&["drill", &base]).ends_with(0);
    std::fs::write(&mark, "").unwrap();
    cluster.plugin(&["drill", &child]).ends_with(0);
    oracle.nothing_is_left();
}

/// Restores a backup of the original and looks at what came of it.
#[track_caller]
fn comes_back(cluster: &Cluster) {
    let name = backed_up_and_lost(cluster);
    as_the_original_leaves_them(cluster, &[format!("base/{name}")]);
    let plan = cluster.plugin(&["restore", &name, "--dry-run"]).ends_with(0);
    for said in ["unknown how much", "where the backup stands is not recorded"] {
        assert!(plan.stdout.contains(said), "expected \"{said}\" in:\n{}", plan.stdout);
    }
    cluster.plugin(&["restore", &name, "--yes"]).ends_with(0).says("outage ");
    all_serve(cluster, 3);
    is_back(cluster, 3);
    nothing_is_left(cluster, 3);
    // No increment is made on it.
    let next = cluster.plugin(&["create", "--type", "incremental"]);
    assert!([0, 3].contains(&next.code), "{}", next.stderr);
    next.says("it is a full one, not an incremental");
}

#[test]
fn a_dropped_table_comes_back_from_a_backup_of_the_original() {
    comes_back(&Cluster::with_data());
}

#[test]
fn a_cluster_in_the_way_of_openstack_helm_comes_back_from_a_backup_of_the_original() {
    comes_back(&Cluster::new("original-mosk", &["--flavour", "mosk"]));
}

#[test]
fn an_encrypted_backup_of_the_original_is_drilled_and_restored_with_its_key_alone() {
    let cluster = Cluster::with_data();
    let name = backed_up_and_lost(&cluster);
    let directories = [format!("base/{name}")];
    as_the_original_leaves_them(&cluster, &directories);
    let kek = scratch_file("kek", "what the chart had\n");
    let path = volume(&cluster).unwrap().join(&directories[0]);
    run("bash", &["-euc", ENCRYPT, "original", path.to_str().unwrap(), kek.to_str().unwrap()]).ends_with(0);
    enter(&cluster, &directories);
    cluster.plugin(&["verify", "--deep"]).ends_with(0);
    cluster.plugin(&["restore", &name, "--yes"]).ends_with(12).says("no Secret with its key is set");
    let (secret, from_file) = ("original-key", format!("--from-file=openssl_kek={}", kek.display()));
    cluster.set("MARIADB_OPENSSL_KEK_SECRET", secret);
    run("kubectl", &["delete", "secret", secret, "-n", &cluster.namespace, "--ignore-not-found"]);
    cluster.plugin(&["drill", &name]).ends_with(12).says("Secret original-key is not there");
    cluster.kubectl(&["create", "secret", "generic", secret, "--from-literal=openssl_kek=another"]);
    cluster.plugin(&["drill", &name]).ends_with(12).says("with another key than the one in Secret original-key");
    cluster.kubectl(&["delete", "secret", secret]);
    cluster.kubectl(&["create", "secret", "generic", secret, &from_file]);
    std::fs::remove_file(kek).unwrap();
    cluster.plugin(&["drill", &name]).ends_with(0).says("can be restored");
    cluster.plugin(&["restore", &name, "--yes"]).ends_with(0).says("outage ");
    all_serve(&cluster, 3);
    is_back(&cluster, 3);
    nothing_is_left(&cluster, 3);
    cluster.kubectl(&["delete", "secret", secret]);
}
