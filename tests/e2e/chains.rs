//! Incremental backups: a chain that restores to the ledger, and every reason to begin a new one.

use serde_json::{Value, json};

use crate::ground::{Cluster, Ledger};
use crate::nodes_and_servers::lose_data;
use crate::oracle::{Oracle, item, volume};
use crate::stock_tools::StockServer;

const INCREMENTAL: [&str; 3] = ["create", "--type", "incremental"];

/// Makes a backup that asks to be incremental, and returns its name and whether it is.
#[track_caller]
fn increment(cluster: &Cluster) -> (String, bool, String) {
    let ran = cluster.plugin(&[&INCREMENTAL[..], &["-o", "name"]].concat());
    assert!([0, 3].contains(&ran.code), "{}", ran.stderr);
    let name = ran.stdout.trim().trim_start_matches("backup/").to_owned();
    let is_incremental = item(cluster, &name)["type"] == "incremental";
    (name, is_incremental, ran.stderr)
}

/// Fails the test unless an incremental backup becomes a full one now and says why in these words.
#[track_caller]
fn becomes_a_full_one(cluster: &Cluster, because: &str) {
    let (name, is_incremental, said) = increment(cluster);
    assert!(!is_incremental, "{name} builds on what is not its own:\n{said}");
    assert!(said.contains("it is a full one, not an incremental"), "nothing says that it became a full one:\n{said}");
    assert!(said.contains(because), "expected \"{because}\" in:\n{said}");
}

#[test]
fn a_chain_of_a_full_and_three_increments_with_ddl_between_restores_to_the_ledger() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    let ledger = Ledger::start(&cluster);
    let [other, _] = cluster.others();
    cluster.sql(&other, "DROP DATABASE IF EXISTS chain");
    cluster.sql(&other, "CREATE DATABASE chain");
    cluster.sql(&other, "CREATE TABLE chain.kept (n INT PRIMARY KEY)");
    let base = cluster.created(&["create"]);
    let mut directories = vec![format!("base/{base}")];
    let mut last = base.clone();
    for step in 1..=3 {
        cluster.sql(&other, &format!("CREATE TABLE chain.step{step} (n INT PRIMARY KEY)"));
        cluster.sql(&other, &format!("INSERT INTO chain.step{step} VALUES ({step})"));
        cluster.sql(&other, &format!("ALTER TABLE chain.kept ADD COLUMN step{step} INT DEFAULT {step}"));
        cluster.sql(&other, &format!("INSERT INTO chain.kept (n) VALUES ({step})"));
        if step > 1 {
            cluster.sql(&other, &format!("DROP TABLE chain.step{}", step - 1));
        }
        ledger.goes_on();
        let (name, is_incremental, said) = increment(&cluster);
        assert!(is_incremental, "{said}");
        directories.push(format!("incr/{base}/{name}"));
        last = name;
    }
    let position = item(&cluster, &last)["position"].as_str().unwrap().to_owned();
    let server = StockServer::start_chain(&cluster, &directories);
    server.holds(&ledger, &position);
    assert_eq!(server.numbers("SELECT n FROM chain.step3"), [3]);
    assert_eq!(server.numbers("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = \"chain\""), [2]);
    assert_eq!(server.numbers("SELECT step1 + step2 + step3 FROM chain.kept ORDER BY n"), [6, 6, 6]);
    drop((server, ledger));
    cluster.sql(&other, "DROP DATABASE chain");
    oracle.all_is_well();
}

#[test]
fn an_increment_after_a_state_transfer_of_its_source_becomes_a_full_one_and_says_so() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    cluster.plugin(&["create"]).ends_with(0);
    let target = cluster.target();
    lose_data(&cluster, &target);
    cluster.healthy();
    becomes_a_full_one(&cluster, "ibdata1 was made anew");
    assert!(increment(&cluster).1, "the new full one is a good parent");
    oracle.all_is_well();
}

#[test]
fn an_increment_is_made_on_what_is_left_and_a_full_one_where_nothing_is() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    becomes_a_full_one(&cluster, "");
    let (deleted, is_incremental, said) = increment(&cluster);
    assert!(is_incremental, "{said}");
    cluster.plugin(&["delete", &deleted, "--yes"]).ends_with(0);
    assert!(increment(&cluster).1, "its base is still a good parent");
    oracle.all_is_well();
}

#[test]
fn an_increment_whose_parent_is_damaged_becomes_a_full_one_once_it_is_set_aside() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    let parent = cluster.created(&["create"]);
    let file = volume(&cluster).unwrap().join(format!("base/{parent}/backup.mbstream.zst"));
    crate::damage::flip_a_bit(&file);
    cluster.plugin(&INCREMENTAL).ends_with(13).says("backup.mbstream.zst");
    let ran = cluster.plugin(&[&INCREMENTAL[..], &["--on-corrupt", "quarantine"]].concat()).ends_with(3);
    assert!(ran.stderr.contains("it is a full one, not an incremental"), "{}", ran.stderr);
    oracle.all_is_well();
}

#[test]
fn an_increment_on_another_replica_becomes_a_full_one_and_says_so() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    cluster.store_in("s3");
    cluster.plugin(&["create"]).ends_with(0);
    let [other, _] = cluster.others();
    let ran = cluster.plugin(&[&INCREMENTAL[..], &["--replica", &other]].concat());
    assert!([0, 3].contains(&ran.code), "{}", ran.stderr);
    ran.says("it is a full one, not an incremental").says("was made of");
    oracle.all_is_well();
}

#[test]
fn an_increment_is_a_full_one_when_the_cycle_is_over() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    cluster.plugin(&["create"]).ends_with(0);
    cluster.set("MARIADB_FULL_BACKUP_CYCLE", "1");
    becomes_a_full_one(&cluster, "old");
    oracle.all_is_well();
}

/// Makes a full backup one that was made in other circumstances: its manifest says so, also by
/// another name, and the catalogue is made again from it.
#[track_caller]
fn made_otherwise(cluster: &Cluster, name: &str, change: impl FnOnce(&mut Value)) {
    let base = volume(cluster).unwrap().join("base");
    let path = base.join(name).join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut manifest);
    std::fs::write(&path, serde_json::to_vec(&manifest).unwrap()).unwrap();
    let directory = manifest["backup"].as_str().unwrap().to_owned();
    std::fs::rename(base.join(name), base.join(directory.rsplit('/').next().unwrap())).unwrap();
    let rebuilt = cluster.plugin(&["verify", "--rebuild-catalogue"]);
    assert!([0, 3].contains(&rebuilt.code), "{}", rebuilt.stderr);
}

#[test]
fn an_increment_on_a_backup_of_another_version_or_history_or_volume_becomes_a_full_one_and_says_so() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    let other = "00000000-0000-0000-0000-000000000000";
    let elsewhere = json!(format!("{other}:1"));
    let cases: [(&[&str], Value, &str); 3] = [
        (&["origin", "serverVersion"], json!("10.6.21-MariaDB"), "is of series 10.6.21-MariaDB"),
        (&["origin", "position"], elsewhere, "was made in another history of the cluster"),
        (&["source", "claimUid"], json!(other), "was made of the data claim with UID"),
    ];
    for (key, value, because) in cases {
        let name = cluster.created(&["create"]);
        made_otherwise(&cluster, &name, |manifest| {
            let last = key.iter().fold(manifest, |inside, key| &mut inside[*key]);
            assert!(last.is_string(), "the manifest has no {key:?}");
            *last = value.clone();
        });
        becomes_a_full_one(&cluster, because);
    }
    oracle.all_is_well();
}

#[test]
fn an_increment_after_the_clock_was_set_back_becomes_a_full_one_and_says_so() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    let name = cluster.created(&["create"]);
    made_otherwise(&cluster, &name, |manifest| manifest["backup"] = json!("base/2099-01-01_00-00-00"));
    becomes_a_full_one(&cluster, "the clock was set back");
    oracle.all_is_well();
}
